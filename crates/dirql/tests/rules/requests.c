/* Requests: dispatch routines, completion, cancelling, and devices. */
#include "pairs.h"

/* --- A device below, which the first one sends to ---------------------------- */

static PDEVICE_OBJECT Below;
static PIRP Held;
static KEVENT Done;

static VOID DeleteBelow(VOID)
{
    if (Below != NULL)
        IoDeleteDevice(Below);
}

static VOID MakeBelow(VOID)
{
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Below)))
        return;
    Below->Flags &= ~DO_DEVICE_INITIALIZING;
    Device->StackSize = Below->StackSize + 1;
    OnUnload = DeleteBelow;
}

static NTSTATUS Succeed(PIRP Irp)
{
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI PassOn(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Context);
    if (Irp->PendingReturned)
        IoMarkIrpPending(Irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI ForgetPending(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS NTAPI TakeBack(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* --- Dispatch routines ------------------------------------------------------- */

static NTSTATUS ReadTwice(PIRP Irp)
{
    Complete(Irp, STATUS_SUCCESS, 0);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS ReadForgotten(PIRP Irp)
{
    Irp->IoStatus.Status = STATUS_SUCCESS;
    return STATUS_SUCCESS;
}

static NTSTATUS ReadOnce(PIRP Irp)
{
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static VOID BreakTwice(VOID)
{
    OnRead = ReadTwice;
}

static VOID BreakForgotten(VOID)
{
    OnRead = ReadForgotten;
}

static VOID KeepOnce(VOID)
{
    OnRead = ReadOnce;
}

static NTSTATUS ReadPendingOnly(PIRP Irp)
{
    Complete(Irp, STATUS_SUCCESS, 0);
    return STATUS_PENDING;
}

static NTSTATUS ReadPending(PIRP Irp)
{
    IoMarkIrpPending(Irp);
    Complete(Irp, STATUS_SUCCESS, 0);
    return STATUS_PENDING;
}

static VOID BreakPending(VOID)
{
    OnRead = ReadPendingOnly;
}

static VOID KeepPending(VOID)
{
    OnRead = ReadPending;
}

static NTSTATUS ReadMarkedOnly(PIRP Irp)
{
    IoMarkIrpPending(Irp);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static VOID BreakMarked(VOID)
{
    OnRead = ReadMarkedOnly;
}

static NTSTATUS ReadOtherStatus(PIRP Irp)
{
    Complete(Irp, STATUS_UNSUCCESSFUL, 0);
    return STATUS_SUCCESS;
}

static VOID BreakStatus(VOID)
{
    OnRead = ReadOtherStatus;
}

static NTSTATUS ReadCompletedPending(PIRP Irp)
{
    IoMarkIrpPending(Irp);
    Complete(Irp, STATUS_PENDING, 0);
    return STATUS_PENDING;
}

static VOID BreakFinal(VOID)
{
    OnRead = ReadCompletedPending;
}

static NTSTATUS ReadTooMuch(PIRP Irp)
{
    return Complete(Irp, STATUS_SUCCESS, IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length + 1);
}

static NTSTATUS ReadAll(PIRP Irp)
{
    ULONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length;

    RtlZeroMemory(Irp->AssociatedIrp.SystemBuffer, length);
    return Complete(Irp, STATUS_SUCCESS, length);
}

static VOID BreakInformation(VOID)
{
    OnRead = ReadTooMuch;
}

static VOID KeepInformation(VOID)
{
    OnRead = ReadAll;
}

static NTSTATUS ReadUnderLock(PIRP Irp)
{
    NTSTATUS status;
    KIRQL irql;

    KeAcquireSpinLock(&Lock, &irql);
    status = Complete(Irp, STATUS_SUCCESS, 0);
    KeReleaseSpinLock(&Lock, irql);
    return status;
}

static NTSTATUS ReadAfterLock(PIRP Irp)
{
    KIRQL irql;

    KeAcquireSpinLock(&Lock, &irql);
    Count++;
    KeReleaseSpinLock(&Lock, irql);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static VOID BreakUnderLock(VOID)
{
    OnRead = ReadUnderLock;
}

static VOID KeepUnderLock(VOID)
{
    OnRead = ReadAfterLock;
}

/* --- Cancelling -------------------------------------------------------------- */

static VOID NTAPI Cancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    Complete(Irp, STATUS_CANCELLED, 0);
}

static VOID NTAPI CancelKeepsLock(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    Complete(Irp, STATUS_CANCELLED, 0);
}

static NTSTATUS ReadCancelRoutineLeft(PIRP Irp)
{
    IoSetCancelRoutine(Irp, Cancel);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS ReadCancelRoutineTaken(PIRP Irp)
{
    IoSetCancelRoutine(Irp, Cancel);
    if (IoSetCancelRoutine(Irp, NULL) != NULL)
        return Complete(Irp, STATUS_SUCCESS, 0);
    return STATUS_PENDING;
}

static VOID BreakCancelRoutine(VOID)
{
    OnRead = ReadCancelRoutineLeft;
}

static VOID KeepCancelRoutine(VOID)
{
    OnRead = ReadCancelRoutineTaken;
}

/* Waits below until it is cancelled. */
static NTSTATUS WaitForCancel(PIRP Irp, PDRIVER_CANCEL Routine)
{
    IoMarkIrpPending(Irp);
    IoSetCancelRoutine(Irp, Routine);
    return STATUS_PENDING;
}

static NTSTATUS BelowKeepsLock(PIRP Irp)
{
    return WaitForCancel(Irp, CancelKeepsLock);
}

static NTSTATUS BelowReleasesLock(PIRP Irp)
{
    return WaitForCancel(Irp, Cancel);
}

static VOID CancelOne(NTSTATUS (*Routine)(PIRP))
{
    PIRP irp;

    MakeBelow();
    OnReadBelow = Routine;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    irp = IoAllocateIrp(Below->StackSize, FALSE);
    if (irp == NULL)
        return;
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
    IoSetCompletionRoutine(irp, TakeBack, NULL, TRUE, TRUE, TRUE);
    if (IoCallDriver(Below, irp) == STATUS_PENDING) {
        IoCancelIrp(irp);
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    IoFreeIrp(irp);
}

static VOID BreakCancelLock(VOID)
{
    CancelOne(BelowKeepsLock);
}

static VOID KeepCancelLock(VOID)
{
    CancelOne(BelowReleasesLock);
}

static NTSTATUS ReadKept(PIRP Irp)
{
    IoMarkIrpPending(Irp);
    return STATUS_PENDING;
}

static NTSTATUS ReadCanBeCancelled(PIRP Irp)
{
    return WaitForCancel(Irp, Cancel);
}

static VOID BreakCancelled(VOID)
{
    OnRead = ReadKept;
}

static VOID KeepCancelled(VOID)
{
    OnRead = ReadCanBeCancelled;
}

/* --- IRPs of the driver's own ------------------------------------------------ */

static NTSTATUS NTAPI LetGo(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_CONTINUE_COMPLETION;
}

static VOID SendOwn(PIO_COMPLETION_ROUTINE Routine, CCHAR Locations)
{
    PIRP irp;

    MakeBelow();
    OnReadBelow = Succeed;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    irp = IoAllocateIrp(Locations, FALSE);
    if (irp == NULL)
        return;
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
    if (Routine != NULL)
        IoSetCompletionRoutine(irp, Routine, NULL, TRUE, TRUE, TRUE);
    IoCallDriver(Below, irp);
    IoFreeIrp(irp);
}

static VOID BreakTakenBack(VOID)
{
    SendOwn(LetGo, 1);
}

static VOID KeepTakenBack(VOID)
{
    SendOwn(TakeBack, 1);
}

static VOID BreakLocations(VOID)
{
    PIRP irp;

    MakeBelow();
    OnReadBelow = Succeed;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    irp = IoAllocateIrp(1, FALSE);
    if (irp == NULL)
        return;
    IoSetNextIrpStackLocation(irp);
    IoCallDriver(Below, irp);
    IoFreeIrp(irp);
}

static VOID BreakIrpInitialised(VOID)
{
    PIRP irp = IoAllocateIrp(1, FALSE);

    if (irp == NULL)
        return;
    IoInitializeIrp(irp, IoSizeOfIrp(1), 1);
    IoFreeIrp(irp);
}

static VOID KeepIrpInitialised(VOID)
{
    PIRP irp = IoAllocateIrp(1, FALSE);

    if (irp == NULL)
        return;
    IoReuseIrp(irp, STATUS_SUCCESS);
    IoFreeIrp(irp);
}

static NTSTATUS BelowPends(PIRP Irp)
{
    IoMarkIrpPending(Irp);
    Complete(Irp, STATUS_SUCCESS, 0);
    return STATUS_PENDING;
}

static NTSTATUS SendDown(PIRP Irp, PIO_COMPLETION_ROUTINE Routine)
{
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, Routine, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(Below, Irp);
}

static NTSTATUS ReadForgetsPending(PIRP Irp)
{
    return SendDown(Irp, ForgetPending);
}

static NTSTATUS ReadPassesPending(PIRP Irp)
{
    return SendDown(Irp, PassOn);
}

static VOID BreakPendingReturned(VOID)
{
    MakeBelow();
    OnReadBelow = BelowPends;
    OnRead = ReadForgetsPending;
}

static VOID KeepPendingReturned(VOID)
{
    MakeBelow();
    OnReadBelow = BelowPends;
    OnRead = ReadPassesPending;
}

static VOID SendAtDispatch(UCHAR Major)
{
    PIRP irp;
    KIRQL irql;

    MakeBelow();
    OnReadBelow = Succeed;
    irp = IoAllocateIrp(1, FALSE);
    if (irp == NULL)
        return;
    IoGetNextIrpStackLocation(irp)->MajorFunction = Major;
    IoSetCompletionRoutine(irp, TakeBack, NULL, TRUE, TRUE, TRUE);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    IoCallDriver(Below, irp);
    KeLowerIrql(irql);
    IoFreeIrp(irp);
}

static VOID BreakForwarded(VOID)
{
    SendAtDispatch(IRP_MJ_CREATE);
}

static VOID KeepForwarded(VOID)
{
    SendAtDispatch(IRP_MJ_READ);
}

/* --- Devices ----------------------------------------------------------------- */

static VOID BreakDeletedTwice(VOID)
{
    MakeBelow();
    OnUnload = NULL;
    IoDeleteDevice(Below);
    IoDeleteDevice(Below);
}

static VOID KeepDeleted(VOID)
{
    MakeBelow();
    OnUnload = NULL;
    IoDeleteDevice(Below);
}

static VOID BreakDeletedAttached(VOID)
{
    PDEVICE_OBJECT lower;

    MakeBelow();
    OnUnload = NULL;
    lower = IoAttachDeviceToDeviceStack(Below, Device);
    IoDeleteDevice(Below);
    UNREFERENCED_PARAMETER(lower);
}

static VOID KeepDetached(VOID)
{
    PDEVICE_OBJECT lower;

    MakeBelow();
    OnUnload = NULL;
    lower = IoAttachDeviceToDeviceStack(Below, Device);
    IoDetachDevice(lower);
    IoDeleteDevice(Below);
}

static VOID BreakDetach(VOID)
{
    MakeBelow();
    IoDetachDevice(Below);
}

static VOID BreakDeviceLeft(VOID)
{
    MakeBelow();
    OnUnload = NULL;
}

static VOID KeepDeviceLeft(VOID)
{
    MakeBelow();
}

/* A structure of its own is cleared, which is not the device object. */
static VOID ClearBelow(BOOLEAN Which)
{
    MakeBelow();
    RtlZeroMemory(Which ? (PVOID)Below : (PVOID)Block, 16);
}

static VOID BreakCleared(VOID)
{
    ClearBelow(TRUE);
}

static VOID KeepCleared(VOID)
{
    ClearBelow(FALSE);
}

static VOID BreakTimer(VOID)
{
    IoStartTimer(Device);
}

static VOID NTAPI Tick(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Context);
}

static VOID KeepTimer(VOID)
{
    if (NT_SUCCESS(IoInitializeTimer(Device, Tick, NULL))) {
        IoStartTimer(Device);
        IoStopTimer(Device);
    }
}

static VOID BreakTimerTwice(VOID)
{
    IoInitializeTimer(Device, Tick, NULL);
    IoInitializeTimer(Device, Tick, NULL);
}

/* --- Remove locks, work items, the error log, references --------------------- */

static IO_REMOVE_LOCK RemoveLock;

static VOID BreakRemoveLock(VOID)
{
    IoInitializeRemoveLock(&RemoveLock, TAG, 0, 0);
    IoAcquireRemoveLock(&RemoveLock, &Timer);
    IoReleaseRemoveLock(&RemoveLock, &Lock);
}

static VOID KeepRemoveLock(VOID)
{
    IoInitializeRemoveLock(&RemoveLock, TAG, 0, 0);
    if (NT_SUCCESS(IoAcquireRemoveLock(&RemoveLock, &Timer)))
        IoReleaseRemoveLock(&RemoveLock, &Timer);
}

static PIO_WORKITEM Item;

static VOID NTAPI Work(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Context);
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
}

static VOID BreakWorkItem(VOID)
{
    Item = IoAllocateWorkItem(Device);
    IoQueueWorkItem(Item, Work, DelayedWorkQueue, NULL);
    IoFreeWorkItem(Item);
}

static VOID KeepWorkItem(VOID)
{
    Item = IoAllocateWorkItem(Device);
    IoQueueWorkItem(Item, Work, DelayedWorkQueue, NULL);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    IoFreeWorkItem(Item);
}

static VOID BreakErrorLog(VOID)
{
    PIO_ERROR_LOG_PACKET packet = IoAllocateErrorLogEntry(Device, sizeof(IO_ERROR_LOG_PACKET));

    if (packet == NULL)
        return;
    RtlZeroMemory(packet, sizeof(*packet));
    IoWriteErrorLogEntry(packet);
    IoWriteErrorLogEntry(packet);
}

static VOID KeepErrorLog(VOID)
{
    PIO_ERROR_LOG_PACKET packet = IoAllocateErrorLogEntry(Device, sizeof(IO_ERROR_LOG_PACKET));

    if (packet == NULL)
        return;
    RtlZeroMemory(packet, sizeof(*packet));
    IoWriteErrorLogEntry(packet);
}

static VOID UseEvent(ULONG Times)
{
    OBJECT_ATTRIBUTES attributes;
    HANDLE handle;
    PVOID object;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(ZwCreateEvent(&handle, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE)))
        return;
    if (NT_SUCCESS(ObReferenceObjectByHandle(handle, EVENT_ALL_ACCESS, NULL, KernelMode, &object, NULL)))
        while (Times-- != 0)
            ObDereferenceObject(object);
    ZwClose(handle);
}

static VOID BreakReference(VOID)
{
    UseEvent(2);
}

static VOID KeepReference(VOID)
{
    UseEvent(1);
}

static const PAIR Pairs[] = {
    {1700, BreakTwice, KeepOnce},
    {1710, BreakForgotten, KeepOnce},
    {1810, BreakDeviceLeft, KeepDeviceLeft},
    {2030, BreakDeletedTwice, KeepDeleted},
    {2040, BreakDeletedAttached, KeepDetached},
    {2050, BreakDetach, KeepDetached},
    {2060, BreakIrpInitialised, KeepIrpInitialised},
    {2070, BreakCancelRoutine, KeepCancelRoutine},
    {2080, BreakPending, KeepPending},
    {2081, BreakMarked, KeepPending},
    {2090, BreakStatus, KeepOnce},
    {2100, BreakFinal, KeepPending},
    {2110, BreakPendingReturned, KeepPendingReturned},
    {2120, BreakCancelLock, KeepCancelLock},
    {2130, BreakInformation, KeepInformation},
    {2140, BreakTakenBack, KeepTakenBack},
    {2150, BreakRemoveLock, KeepRemoveLock},
    {2160, BreakWorkItem, KeepWorkItem},
    {2170, BreakTimer, KeepTimer},
    {2171, BreakTimerTwice, KeepTimer},
    {2180, BreakErrorLog, KeepErrorLog},
    {2200, BreakReference, KeepReference},
    {2220, BreakLocations, KeepTakenBack},
    {4600, BreakCancelled, KeepCancelled},
    {5250, BreakCleared, KeepCleared},
    {6050, BreakUnderLock, KeepUnderLock},
    {6080, BreakForwarded, KeepForwarded},
    {0, NULL, NULL},
};
