/*
 * A request that the device's DPC and the timer's DPC both end.
 *
 * Both see it pending, on two processors.
 */
#include <ddk/wdm.h>
#include "../wait.h"

struct _ZOO_STATE {
    ZOO_WAIT Wait;
    KDPC Dpc;
    KTIMER Timer;
    KDPC TimerDpc;
};
#include "../zoo.h"

/* The request that is to be ended. */
static PIRP ZooTake(PZOO Zoo)
{
#ifdef FIXED
    return ZooWaitTake(&Zoo->State.Wait);
#else
    PIRP irp = Zoo->State.Wait.Irp;

    if (irp != NULL)
        IoSetCancelRoutine(irp, NULL);
    return irp;
#endif
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    irp = ZooTake(zoo);
    if (irp == NULL)
        return;
    KeCancelTimer(&zoo->State.Timer);
#ifndef FIXED
    zoo->State.Wait.Irp = NULL;
#endif
    ZooEnd(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static VOID NTAPI ZooTimeout(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    irp = ZooTake(zoo);
    if (irp == NULL)
        return;
#ifndef FIXED
    zoo->State.Wait.Irp = NULL;
#endif
    ZooEnd(irp, STATUS_IO_TIMEOUT, sizeof(ULONG));
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
    ZooWaitInitialize(&Zoo->State.Wait);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    KeInitializeTimer(&Zoo->State.Timer);
    KeInitializeDpc(&Zoo->State.TimerDpc, ZooTimeout, Zoo);
    KeSetTargetProcessorDpc(&Zoo->State.TimerDpc, 1); /* away from the device's */
    ZooSet(Zoo, EDU_STATUS, EDU_STATUS_IRQ);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    ZooSet(Zoo, EDU_STATUS, 0);
}

static VOID ZooGone(PZOO Zoo)
{
    PIRP irp;

    KeCancelTimer(&Zoo->State.Timer);
    KeFlushQueuedDpcs();
    irp = ZooWaitTake(&Zoo->State.Wait);
    if (irp != NULL)
        ZooEnd(irp, STATUS_DEVICE_NOT_CONNECTED, 0);
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
    NTSTATUS status = ZooWaitFor(&Zoo->State.Wait, Irp);
    LARGE_INTEGER due;

    if (status != STATUS_PENDING)
        return status;
    due.QuadPart = -10 * 1000; /* 1 ms */
    KeSetTimer(&Zoo->State.Timer, due, &Zoo->State.TimerDpc);
    ZooSet(Zoo, EDU_FACTORIAL, Value);
    return STATUS_PENDING;
}
