/*
 * A counter that dispatch routine and ISR change, without KeSynchronizeExecution.
 *
 * An interrupt between the dispatch routine's load and its store is not counted.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    ULONG Count;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Count++;
    return TRUE;
}

static BOOLEAN NTAPI ZooCount(PVOID Context)
{
    PZOO zoo = Context;
    ULONG count = zoo->State.Count;

    ZooSet(zoo, EDU_LIVENESS, count); /* shown on the device's panel */
    zoo->State.Count = count + 1;
    return TRUE;
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

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Count;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
#ifdef FIXED
    KeSynchronizeExecution(Zoo->Interrupt, ZooCount, Zoo);
#else
    ZooCount(Zoo);
#endif
    return STATUS_SUCCESS;
}
