/*
 * A counter that dispatch routine and DPC change, without a spin lock.
 *
 * A DPC between the dispatch routine's load and its store is not counted.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Count;
    KSPIN_LOCK Lock;
    KDPC Dpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    KeAcquireSpinLockAtDpcLevel(&zoo->State.Lock);
#endif
    zoo->State.Count++;
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
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
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
    *Value = Zoo->State.Count;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG count;
#ifdef FIXED
    KIRQL irql;
#endif

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
#ifdef FIXED
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
#endif
    count = Zoo->State.Count;
    ZooSet(Zoo, EDU_LIVENESS, count); /* shown on the device's panel */
    Zoo->State.Count = count + 1;
#ifdef FIXED
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
#endif
    return STATUS_SUCCESS;
}
