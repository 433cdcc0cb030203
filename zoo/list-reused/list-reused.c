/*
 * A hand-made list whose head is changed by comparing pointers: an entry that was taken and put
 * back in the meantime looks as if nothing had happened (ABA).
 *
 * One request looks at the first entry and its successor; another one takes both and puts the first
 * back. The first request makes an entry that is in use the head.
 */
#include <ddk/wdm.h>

#define ENTRIES 3

struct _ZOO_STATE {
    volatile LONG64 Head; /* number of the first entry, 0 if there is none; above 32 bits a count */
    volatile LONG Next[ENTRIES + 1];
    volatile LONG Taken[ENTRIES + 1];
    volatile LONG Errors;
};
#include "../zoo.h"

#ifdef FIXED
#define CHANGED (1LL << 32)
#else
#define CHANGED 0
#endif

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return ZooAcknowledge(Context) != 0;
}

static LONG64 ZooReplace(PZOO Zoo, LONG64 Old, LONG New)
{
    LONG64 head = ((Old + CHANGED) & ~0xFFFFFFFFLL) | New;

    return InterlockedCompareExchange64(&Zoo->State.Head, head, Old);
}

static VOID ZooPush(PZOO Zoo, LONG Entry)
{
    LONG64 old;

    InterlockedExchange(&Zoo->State.Taken[Entry], FALSE);
    do {
        old = Zoo->State.Head;
        Zoo->State.Next[Entry] = (LONG)old;
    } while (ZooReplace(Zoo, old, Entry) != old);
}

static LONG ZooPop(PZOO Zoo)
{
    LONG64 old;
    LONG next;

    do {
        old = Zoo->State.Head;
        if ((LONG)old == 0)
            return 0;
        next = Zoo->State.Next[(LONG)old];
    } while (ZooReplace(Zoo, old, next) != old);
    if (InterlockedExchange(&Zoo->State.Taken[(LONG)old], TRUE))
        InterlockedIncrement(&Zoo->State.Errors); /* somebody else has it */
    return (LONG)old;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    LONG entry;

    for (entry = 1; entry <= ENTRIES; entry++)
        ZooPush(Zoo, entry);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Errors;
    return STATUS_SUCCESS;
}

/* 1: takes an entry. 2: takes two, and puts the first back. 3: takes all that are left. */
static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    LONG first;

    UNREFERENCED_PARAMETER(Irp);
    first = ZooPop(Zoo);
    if (Value == 2) {
        ZooPop(Zoo);
        if (first != 0)
            ZooPush(Zoo, first);
    }
    while (Value == 3 && first != 0 && Zoo->State.Errors == 0)
        first = ZooPop(Zoo);
    return STATUS_SUCCESS;
}
