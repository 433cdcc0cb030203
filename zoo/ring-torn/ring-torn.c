/*
 * A ring whose index is moved before its slot is filled.
 *
 * A request that comes between takes what was there before.
 */
#include <ddk/wdm.h>

#define SLOTS 4

struct _ZOO_STATE {
    volatile ULONG Head;
    volatile ULONG Tail;
    volatile ULONG Slots[SLOTS];
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return ZooAcknowledge(Context) != 0;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
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

/* The one who takes: TRUE in Value if what it took is what was put there. */
static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    ULONG tail = Zoo->State.Tail;

    UNREFERENCED_PARAMETER(Irp);
    *Value = TRUE;
    if (tail != Zoo->State.Head) {
        *Value = Zoo->State.Slots[tail % SLOTS] != 0;
        Zoo->State.Tail = tail + 1;
    }
    return STATUS_SUCCESS;
}

/* The one who puts. */
static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG head = Zoo->State.Head;

    UNREFERENCED_PARAMETER(Irp);
#ifdef FIXED
    Zoo->State.Slots[head % SLOTS] = Value;
    Zoo->State.Head = head + 1;
#else
    Zoo->State.Head = head + 1;
    Zoo->State.Slots[head % SLOTS] = Value;
#endif
    return STATUS_SUCCESS;
}
