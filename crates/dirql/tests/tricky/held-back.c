/*
 * A filter above another driver, as those of vendors are made: a remove lock for each request, a
 * cancel-safe queue in which writes wait for a timer, and completion routines that hold the driver in
 * memory (IoSetCompletionRoutineEx). What waits when the device goes is ended before the lock is waited for.
 */
#include <ddk/wdm.h>

#define TAG 'dleH'

typedef struct _FILTER {
    PDEVICE_OBJECT Self;
    PDEVICE_OBJECT Lower;
    IO_REMOVE_LOCK Users;
    IO_CSQ Csq;
    KSPIN_LOCK Lock; /* of the next two */
    LIST_ENTRY Waiting;
    BOOLEAN Open;
    KTIMER Timer;
    KDPC Dpc;
} FILTER, *PFILTER;

static NTSTATUS NTAPI Insert(PIO_CSQ Csq, PIRP Irp, PVOID Context)
{
    PFILTER filter = CONTAINING_RECORD(Csq, FILTER, Csq);

    UNREFERENCED_PARAMETER(Context);
    if (!filter->Open)
        return STATUS_DEVICE_NOT_READY;
    InsertTailList(&filter->Waiting, &Irp->Tail.Overlay.ListEntry);
    return STATUS_SUCCESS;
}

static VOID NTAPI Remove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI Peek(PIO_CSQ Csq, PIRP Irp, PVOID Context)
{
    PFILTER filter = CONTAINING_RECORD(Csq, FILTER, Csq);
    PLIST_ENTRY next = Irp == NULL ? filter->Waiting.Flink : Irp->Tail.Overlay.ListEntry.Flink;

    UNREFERENCED_PARAMETER(Context);
    return next == &filter->Waiting ? NULL : CONTAINING_RECORD(next, IRP, Tail.Overlay.ListEntry);
}

static VOID NTAPI Acquire(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&CONTAINING_RECORD(Csq, FILTER, Csq)->Lock, Irql);
}

static VOID NTAPI Release(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&CONTAINING_RECORD(Csq, FILTER, Csq)->Lock, Irql);
}

static VOID End(PFILTER Filter, PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&Filter->Users, Irp);
}

static VOID NTAPI Cancelled(PIO_CSQ Csq, PIRP Irp)
{
    End(CONTAINING_RECORD(Csq, FILTER, Csq), Irp, STATUS_CANCELLED);
}

static NTSTATUS NTAPI Done(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PFILTER filter = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (Irp->PendingReturned)
        IoMarkIrpPending(Irp);
    IoReleaseRemoveLock(&filter->Users, Irp);
    return STATUS_CONTINUE_COMPLETION;
}

/* Hands a request on that holds the remove lock. */
static NTSTATUS Forward(PFILTER Filter, PIRP Irp)
{
    NTSTATUS status;

    IoCopyCurrentIrpStackLocationToNext(Irp);
    status = IoSetCompletionRoutineEx(Filter->Self, Irp, Done, Filter, TRUE, TRUE, TRUE);
    if (!NT_SUCCESS(status)) {
        End(Filter, Irp, status);
        return status;
    }
    return IoCallDriver(Filter->Lower, Irp);
}

static VOID NTAPI Later(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PFILTER filter = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    while ((irp = IoCsqRemoveNextIrp(&filter->Csq, NULL)) != NULL)
        Forward(filter, irp);
}

/* Ends what waits, and lets nothing wait any more. */
static VOID Close(PFILTER Filter)
{
    PIRP irp;
    KIRQL irql;

    KeAcquireSpinLock(&Filter->Lock, &irql);
    Filter->Open = FALSE;
    KeReleaseSpinLock(&Filter->Lock, irql);
    while ((irp = IoCsqRemoveNextIrp(&Filter->Csq, NULL)) != NULL)
        End(Filter, irp, STATUS_DEVICE_NOT_READY);
}

static NTSTATUS Refuse(PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI Pass(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILTER filter = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&filter->Users, Irp);

    if (!NT_SUCCESS(status))
        return Refuse(Irp, status);
    return Forward(filter, Irp);
}

static NTSTATUS NTAPI Write(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILTER filter = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&filter->Users, Irp);
    LARGE_INTEGER due;

    if (!NT_SUCCESS(status))
        return Refuse(Irp, status);
    due.QuadPart = -10 * 1000; /* 1 ms */
    status = IoCsqInsertIrpEx(&filter->Csq, Irp, NULL, NULL);
    if (!NT_SUCCESS(status)) {
        End(filter, Irp, status);
        return status;
    }
    /* The request may be gone, but not the device: this routine is inside a request to it. */
    KeSetTimer(&filter->Timer, due, &filter->Dpc);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILTER filter = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&filter->Users, Irp);

    PoStartNextPowerIrp(Irp);
    if (!NT_SUCCESS(status))
        return Refuse(Irp, status);
    IoSkipCurrentIrpStackLocation(Irp);
    status = PoCallDriver(filter->Lower, Irp);
    IoReleaseRemoveLock(&filter->Users, Irp);
    return status;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILTER filter = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&filter->Users, Irp);
    KIRQL irql;

    if (!NT_SUCCESS(status))
        return Refuse(Irp, status);
    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = STATUS_UNSUCCESSFUL;
        if (IoForwardIrpSynchronously(filter->Lower, Irp))
            status = Irp->IoStatus.Status;
        if (NT_SUCCESS(status)) {
            KeAcquireSpinLock(&filter->Lock, &irql);
            filter->Open = TRUE;
            KeReleaseSpinLock(&filter->Lock, irql);
        }
        Irp->IoStatus.Status = status;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
        break;

    case IRP_MN_STOP_DEVICE:
    case IRP_MN_SURPRISE_REMOVAL:
        Close(filter);
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(filter->Lower, Irp);
        break;

    case IRP_MN_REMOVE_DEVICE:
        Close(filter);
        IoReleaseRemoveLockAndWait(&filter->Users, Irp);
        KeCancelTimer(&filter->Timer);
        KeFlushQueuedDpcs();
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(filter->Lower, Irp);
        IoDetachDevice(filter->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    default:
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(filter->Lower, Irp);
        break;
    }
    IoReleaseRemoveLock(&filter->Users, Irp);
    return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT self;
    PFILTER filter;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(FILTER), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
                            &self);
    if (!NT_SUCCESS(status))
        return status;
    filter = self->DeviceExtension;
    filter->Self = self;
    IoInitializeRemoveLock(&filter->Users, TAG, 0, 0);
    KeInitializeSpinLock(&filter->Lock);
    InitializeListHead(&filter->Waiting);
    KeInitializeTimer(&filter->Timer);
    KeInitializeDpc(&filter->Dpc, Later, filter);
    IoCsqInitializeEx(&filter->Csq, Insert, Remove, Peek, Acquire, Release, Cancelled);
    filter->Lower = IoAttachDeviceToDeviceStack(self, Pdo);
    if (filter->Lower == NULL) {
        IoDeleteDevice(self);
        return STATUS_NO_SUCH_DEVICE;
    }
    self->Flags |= filter->Lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH);
    self->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG i;

    UNREFERENCED_PARAMETER(RegistryPath);
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        DriverObject->MajorFunction[i] = Pass;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = Write;
    DriverObject->MajorFunction[IRP_MJ_PNP] = Pnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = Power;
    DriverObject->DriverExtension->AddDevice = AddDevice;
    DriverObject->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
