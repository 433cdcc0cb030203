/*
 * What an interrupt brought, handed to the DPC as an argument.
 *
 * The second interrupt comes before the first one's DPC has run; KeInsertQueueDpc returns
 * FALSE, and its argument is lost.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    LONG Causes;
    LONG Total;
    KDPC Dpc;
};
#include "../zoo.h"

#ifndef FIXED
static BOOLEAN NTAPI ZooTake(PVOID Context)
{
    PZOO zoo = Context;

    zoo->State.Total |= zoo->State.Causes;
    zoo->State.Causes = 0;
    return TRUE;
}
#endif

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    UNREFERENCED_PARAMETER(Argument1);
    /* Without the interrupt's lock: it may be disconnected meanwhile. */
    InterlockedOr(&zoo->State.Total, InterlockedExchange(&zoo->State.Causes, 0));
#else
    zoo->State.Causes = (LONG)(LONG_PTR)Argument1;
    ZooTake(zoo);
#endif
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooAcknowledge(zoo);

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
#ifdef FIXED
    InterlockedOr(&zoo->State.Causes, (LONG)causes);
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
#else
    KeInsertQueueDpc(&zoo->State.Dpc, (PVOID)(ULONG_PTR)causes, NULL);
#endif
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
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
    KeFlushQueuedDpcs();
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = (ULONG)Zoo->State.Total;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
