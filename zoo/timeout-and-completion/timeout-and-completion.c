/*
 * A request that the device's DPC and the timer's DPC both end.
 *
 * Both see it pending, on two processors.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PIRP Irp;
    KDPC Dpc;
    KTIMER Timer;
    KDPC TimerDpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    irp = InterlockedExchangePointer((PVOID *)&zoo->State.Irp, NULL);
#else
    irp = zoo->State.Irp;
#endif
    if (irp == NULL)
        return;
    KeCancelTimer(&zoo->State.Timer);
    zoo->State.Irp = NULL;
    ZooEnd(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static VOID NTAPI ZooTimeout(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    irp = InterlockedExchangePointer((PVOID *)&zoo->State.Irp, NULL);
#else
    irp = zoo->State.Irp;
#endif
    if (irp == NULL)
        return;
    zoo->State.Irp = NULL;
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
    KeCancelTimer(&Zoo->State.Timer);
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
    IoMarkIrpPending(Irp);
    Zoo->State.Irp = Irp;
    due.QuadPart = -10 * 1000; /* 1 ms */
    KeSetTimer(&Zoo->State.Timer, due, &Zoo->State.TimerDpc);
    ZooSet(Zoo, EDU_FACTORIAL, Value);
    return STATUS_PENDING;
}
