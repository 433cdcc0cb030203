/* Two requests that each have a lock and try for the other's, for ever. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KSPIN_LOCK Locks[2];
    LONG Arrived;
};

#include "../../../../zoo/zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return ZooAcknowledge(Context) != 0;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeSpinLock(&Zoo->State.Locks[0]);
    KeInitializeSpinLock(&Zoo->State.Locks[1]);
    Zoo->State.Arrived = 0;
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

static __attribute__((noinline)) VOID Both(PZOO Zoo, ULONG First)
{
    KIRQL irql;

    KeAcquireSpinLock(&Zoo->State.Locks[First], &irql);
    InterlockedIncrement(&Zoo->State.Arrived);
    while (*(volatile LONG *)&Zoo->State.Arrived < 2)
        KeStallExecutionProcessor(1);
    while (!KeTryToAcquireSpinLockAtDpcLevel(&Zoo->State.Locks[1 - First]))
        ;
    KeReleaseSpinLockFromDpcLevel(&Zoo->State.Locks[1 - First]);
    KeReleaseSpinLock(&Zoo->State.Locks[First], irql);
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = 0;
    Both(Zoo, 0);
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    Both(Zoo, 1);
    return STATUS_SUCCESS;
}
