/*
 * An event that is cleared after the look at what it stands for.
 *
 * The DPC sets it between the look and the clearing; the thread waits for ever.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    BOOLEAN Ready;
    KEVENT Event;
    KDPC Dpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    zoo->State.Ready = TRUE;
    KeSetEvent(&zoo->State.Event, IO_NO_INCREMENT, FALSE);
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
    KeInitializeEvent(&Zoo->State.Event, NotificationEvent, FALSE);
    Zoo->State.Ready = FALSE;
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
#ifdef FIXED
    KeClearEvent(&Zoo->State.Event);
#endif
    if (!Zoo->State.Ready) {
#ifndef FIXED
        KeClearEvent(&Zoo->State.Event);
#endif
        KeWaitForSingleObject(&Zoo->State.Event, Executive, KernelMode, FALSE, NULL);
    }
    *Value = Zoo->State.Ready;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_SUCCESS;
}
