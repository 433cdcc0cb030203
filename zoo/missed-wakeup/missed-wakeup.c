/*
 * An event that is cleared after the look at what it stands for.
 *
 * The DPC sets it between the look and the clearing; the thread waits until it is told to
 * stop. There is nothing to clear: what the event stands for stays.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    BOOLEAN Ready;
    KEVENT Event;
    KEVENT Stopped;
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
    KeInitializeEvent(&Zoo->State.Stopped, NotificationEvent, FALSE);
    Zoo->State.Ready = FALSE;
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    KeSetEvent(&Zoo->State.Stopped, IO_NO_INCREMENT, FALSE);
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static VOID NTAPI ZooCancelRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    KeSetEvent(Irp->Tail.Overlay.DriverContext[0], IO_NO_INCREMENT, FALSE);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
}

/* Waits for the event, or until the request is cancelled or the device stopped. */
static NTSTATUS ZooWaitForEvent(PZOO Zoo, PIRP Irp)
{
    KEVENT cancelled;
    PVOID objects[3] = {&Zoo->State.Event, &cancelled, &Zoo->State.Stopped};
    NTSTATUS status;
    KIRQL irql;

    KeInitializeEvent(&cancelled, NotificationEvent, FALSE);
    Irp->Tail.Overlay.DriverContext[0] = &cancelled;
    IoSetCancelRoutine(Irp, ZooCancelRead);
    if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL)
        return STATUS_CANCELLED;
    status = KeWaitForMultipleObjects(3, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
    if (IoSetCancelRoutine(Irp, NULL) != NULL)
        return status == STATUS_WAIT_0 + 2 ? STATUS_DEVICE_NOT_CONNECTED : STATUS_SUCCESS;
    /* The routine is called under the lock: it does not use the event any more then. */
    IoAcquireCancelSpinLock(&irql);
    IoReleaseCancelSpinLock(irql);
    return STATUS_CANCELLED;
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (!Zoo->State.Ready) {
#ifndef FIXED
        KeClearEvent(&Zoo->State.Event);
#endif
        status = ZooWaitForEvent(Zoo, Irp);
    }
    *Value = Zoo->State.Ready;
    return status;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_SUCCESS;
}
