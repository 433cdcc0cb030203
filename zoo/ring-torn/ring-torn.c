/*
 * A ring whose index is moved before its slot is filled.
 *
 * A request that comes between takes what was there before. Those who put are one at a time, and
 * those who take; the two need no lock between them.
 */
#include <ddk/wdm.h>

#define SLOTS 4

struct _ZOO_STATE {
    volatile ULONG Head;
    volatile ULONG Tail;
    volatile ULONG Slots[SLOTS];
    KSPIN_LOCK Putting;
    KSPIN_LOCK Taking;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return ZooAcknowledge(Context) != 0;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeSpinLock(&Zoo->State.Putting);
    KeInitializeSpinLock(&Zoo->State.Taking);
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
    ULONG tail;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    *Value = TRUE;
    KeAcquireSpinLock(&Zoo->State.Taking, &irql);
    tail = Zoo->State.Tail;
    if (tail != Zoo->State.Head) {
        *Value = Zoo->State.Slots[tail % SLOTS] != 0;
        Zoo->State.Tail = tail + 1;
    }
    KeReleaseSpinLock(&Zoo->State.Taking, irql);
    return STATUS_SUCCESS;
}

/* The one who puts. */
static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    NTSTATUS status = STATUS_DEVICE_BUSY;
    ULONG head;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    KeAcquireSpinLock(&Zoo->State.Putting, &irql);
    head = Zoo->State.Head;
    if (head - Zoo->State.Tail < SLOTS) {
#ifdef FIXED
        Zoo->State.Slots[head % SLOTS] = Value;
        Zoo->State.Head = head + 1;
#else
        Zoo->State.Head = head + 1;
        Zoo->State.Slots[head % SLOTS] = Value;
#endif
        status = STATUS_SUCCESS;
    }
    KeReleaseSpinLock(&Zoo->State.Putting, irql);
    return status;
}
