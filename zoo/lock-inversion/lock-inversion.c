/*
 * Two spin locks, taken in one order here and in the other there.
 *
 * Each processor holds one and waits for the other.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Count;
    KSPIN_LOCK Queue;
    KSPIN_LOCK Device;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    (void)zoo;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeSpinLock(&Zoo->State.Queue);
    KeInitializeSpinLock(&Zoo->State.Device);
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
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
#ifdef FIXED
    KeAcquireSpinLock(&Zoo->State.Queue, &irql);
    KeAcquireSpinLockAtDpcLevel(&Zoo->State.Device);
    Zoo->State.Count++;
    KeReleaseSpinLockFromDpcLevel(&Zoo->State.Device);
    KeReleaseSpinLock(&Zoo->State.Queue, irql);
#else
    KeAcquireSpinLock(&Zoo->State.Device, &irql);
    KeAcquireSpinLockAtDpcLevel(&Zoo->State.Queue);
    Zoo->State.Count++;
    KeReleaseSpinLockFromDpcLevel(&Zoo->State.Queue);
    KeReleaseSpinLock(&Zoo->State.Device, irql);
#endif
    *Value = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    KeAcquireSpinLock(&Zoo->State.Queue, &irql);
    KeAcquireSpinLockAtDpcLevel(&Zoo->State.Device);
    Zoo->State.Count++;
    KeReleaseSpinLockFromDpcLevel(&Zoo->State.Device);
    KeReleaseSpinLock(&Zoo->State.Queue, irql);
    return STATUS_SUCCESS;
}
