/*
 * As drivers with a StartIo routine are made: one request after the other, a cancel routine for those that
 * wait, DpcForIsr, and a timer of a second that counts down for a device that does not answer. What the
 * device works at belongs to whoever clears Busy under the interrupt's lock. Stop takes it back and refuses the rest.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    BOOLEAN HasTimer;
    BOOLEAN Busy;  /* under the interrupt's lock */
    ULONG Seconds; /* likewise */
    BOOLEAN Closed; /* likewise */
    LONG Done;
};

#include "../../../../zoo/zoo.h"

static BOOLEAN NTAPI TakeBack(PVOID Context)
{
    PZOO zoo = Context;
    BOOLEAN busy = zoo->State.Busy;

    zoo->State.Busy = FALSE;
    return busy;
}

static BOOLEAN NTAPI Close(PVOID Context)
{
    PZOO zoo = Context;

    zoo->State.Closed = TRUE;
    return TakeBack(zoo);
}

static BOOLEAN NTAPI CountDown(PVOID Context)
{
    PZOO zoo = Context;

    return zoo->State.Busy && --zoo->State.Seconds == 0 && TakeBack(zoo);
}

/* At DISPATCH_LEVEL: the current request ends, and the next one begins. The device is used until then. */
static VOID EndCurrent(PZOO Zoo, NTSTATUS Status)
{
    PIRP irp = Zoo->Self->CurrentIrp;

    ZooEnd(irp, Status, Status == STATUS_SUCCESS ? sizeof(ULONG) : 0);
    IoStartNextPacket(Zoo->Self, TRUE);
    ZooLeave(Zoo);
}

static VOID NTAPI ForIsr(PKDPC Dpc, PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PZOO zoo = DeviceObject->DeviceExtension;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    InterlockedIncrement(&zoo->State.Done);
    EndCurrent(zoo, STATUS_SUCCESS);
}

static VOID NTAPI EverySecond(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (KeSynchronizeExecution(zoo->Interrupt, CountDown, zoo))
        EndCurrent(zoo, STATUS_IO_TIMEOUT);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    if (TakeBack(zoo))
        IoRequestDpc(zoo->Self, NULL, NULL);
    return TRUE;
}

static BOOLEAN NTAPI Begin(PVOID Context)
{
    PZOO zoo = Context;

    if (zoo->State.Closed)
        return FALSE;
    zoo->State.Busy = TRUE;
    zoo->State.Seconds = 3;
    ZooSet(zoo, EDU_IRQ_RAISE, *(PULONG)zoo->Self->CurrentIrp->AssociatedIrp.SystemBuffer);
    return TRUE;
}

static VOID NTAPI StartIo(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO zoo = DeviceObject->DeviceExtension;
    KIRQL irql;

    IoAcquireCancelSpinLock(&irql);
    if (Irp != DeviceObject->CurrentIrp || Irp->Cancel) {
        IoReleaseCancelSpinLock(irql); /* the cancel routine has it */
        return;
    }
    IoSetCancelRoutine(Irp, NULL);
    IoReleaseCancelSpinLock(irql);
    if (!KeSynchronizeExecution(zoo->Interrupt, Begin, zoo))
        EndCurrent(zoo, STATUS_DEVICE_NOT_READY);
}

static VOID NTAPI Cancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KIRQL irql = Irp->CancelIrql;

    if (Irp == DeviceObject->CurrentIrp) {
        IoReleaseCancelSpinLock(DISPATCH_LEVEL);
        IoStartNextPacket(DeviceObject, TRUE);
        KeLowerIrql(irql);
    } else {
        KeRemoveEntryDeviceQueue(&DeviceObject->DeviceQueue, &Irp->Tail.Overlay.DeviceQueueEntry);
        IoReleaseCancelSpinLock(irql);
    }
    ZooEnd(Irp, STATUS_CANCELLED, 0);
    ZooLeave(DeviceObject->DeviceExtension);
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    NTSTATUS status = STATUS_SUCCESS;

    Zoo->State.Busy = FALSE;
    Zoo->State.Closed = FALSE;
    Zoo->State.Done = 0;
    Zoo->Self->DriverObject->DriverStartIo = StartIo;
    if (!Zoo->State.HasTimer) {
        IoInitializeDpcRequest(Zoo->Self, ForIsr);
        status = IoInitializeTimer(Zoo->Self, EverySecond, Zoo);
        Zoo->State.HasTimer = NT_SUCCESS(status);
    }
    return status;
}

static VOID ZooReady(PZOO Zoo)
{
    IoStartTimer(Zoo->Self);
}

static VOID ZooQuiet(PZOO Zoo)
{
    KIRQL irql;

    if (Zoo->Interrupt == NULL)
        return;
    IoStopTimer(Zoo->Self);
    KeFlushQueuedDpcs(); /* after this it looks at the interrupt no more */
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    if (KeSynchronizeExecution(Zoo->Interrupt, Close, Zoo))
        EndCurrent(Zoo, STATUS_DEVICE_NOT_READY);
    KeLowerIrql(irql);
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Done;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Value);
    InterlockedIncrement(&Zoo->Users);
    IoMarkIrpPending(Irp);
    IoStartPacket(Zoo->Self, Irp, NULL, Cancel);
    return STATUS_PENDING;
}
