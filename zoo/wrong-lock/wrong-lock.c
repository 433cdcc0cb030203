/*
 * A counter that the dispatch routine changes under a spin lock of its own, the ISR under the
 * interrupt's.
 *
 * Two locks are no lock: the ISR runs while the dispatch routine holds the other one.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Count;
    KSPIN_LOCK Lock;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG count;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    count = zoo->State.Count;
    ZooSet(zoo, EDU_LIVENESS, count); /* shown on the device's panel */
    zoo->State.Count = count + 1;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeSpinLock(&Zoo->State.Lock);
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
    *Value = Zoo->State.Count;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG count;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
#ifdef FIXED
    irql = KeAcquireInterruptSpinLock(Zoo->Interrupt);
#else
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
#endif
    count = Zoo->State.Count;
    ZooSet(Zoo, EDU_LIVENESS, count);
    Zoo->State.Count = count + 1;
#ifdef FIXED
    KeReleaseInterruptSpinLock(Zoo->Interrupt, irql);
#else
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
#endif
    return STATUS_SUCCESS;
}
