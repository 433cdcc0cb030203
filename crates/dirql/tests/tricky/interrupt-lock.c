/* A request takes the lock of the interrupt by hand, for a counter that it shares with the ISR. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Count;
};

#include "../../../../zoo/zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Count++;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    Zoo->State.Count = 0;
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
    KIRQL irql = KeAcquireInterruptSpinLock(Zoo->Interrupt);

    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Count;
    KeReleaseInterruptSpinLock(Zoo->Interrupt, irql);
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    irql = KeAcquireInterruptSpinLock(Zoo->Interrupt);
    Zoo->State.Count++;
    KeReleaseInterruptSpinLock(Zoo->Interrupt, irql);
    return STATUS_SUCCESS;
}
