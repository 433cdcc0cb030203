/*
 * A timer's DPC that uses the interrupt object.
 *
 * The timer was cancelled too late for its DPC; the interrupt is disconnected meanwhile.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KDPC Dpc;
    KTIMER Timer;
    ULONG Count;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooCount(PVOID Context)
{
    PZOO zoo = Context;

    zoo->State.Count++;
    return TRUE;
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PKINTERRUPT interrupt = zoo->Interrupt;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSynchronizeExecution(interrupt, ZooCount, zoo);
}

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
    KeInitializeTimer(&Zoo->State.Timer);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    KeSetTargetProcessorDpc(&Zoo->State.Dpc, 1); /* away from the boot processor */
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    KeCancelTimer(&Zoo->State.Timer);
#ifdef FIXED
    KeFlushQueuedDpcs();
#endif
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Zoo);
    UNREFERENCED_PARAMETER(Irp);
    *Value = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    LARGE_INTEGER due;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    due.QuadPart = -10 * 1000; /* 1 ms */
    KeSetTimer(&Zoo->State.Timer, due, &Zoo->State.Dpc);
    return STATUS_SUCCESS;
}
