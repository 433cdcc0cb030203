/*
 * A DPC routine that takes itself for alone.
 *
 * It is queued again while it runs, on another processor, and runs twice at once.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Count;
    ULONG Queued;
    KSPIN_LOCK Lock;
    KDPC Dpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    ULONG count;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    KeAcquireSpinLockAtDpcLevel(&zoo->State.Lock);
#endif
    count = zoo->State.Count;
    ZooSet(zoo, EDU_LIVENESS, count); /* shown on the device's panel */
    zoo->State.Count = count + 1;
#ifdef FIXED
    KeReleaseSpinLockFromDpcLevel(&zoo->State.Lock);
#endif
}

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
    KeInitializeSpinLock(&Zoo->State.Lock);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
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
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Count - Zoo->State.Queued;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    if (KeInsertQueueDpc(&Zoo->State.Dpc, NULL, NULL))
        InterlockedIncrement((PLONG)&Zoo->State.Queued);
    return STATUS_SUCCESS;
}
