/*
 * Function driver for the PCI device "edu" (QEMU documentation, "EDU device").
 *
 * Shows CONNECT_FULLY_SPECIFIED: the interrupt is described by hand, from the
 * translated resources of IRP_MN_START_DEVICE, and may be a line or a message
 * (WDK, "Using the CONNECT_FULLY_SPECIFIED Version of IoConnectInterruptEx").
 *
 * A write of four bytes, or IOCTL_EDU_FACTORIAL, computes a factorial: the request
 * waits in a cancel-safe queue, the device works, the ISR fetches the result and
 * the DPC completes the request. A read returns the latest result.
 *
 * Locks, outermost first:
 *   Lock             State, Requests, Current, Busy, Latest
 *   interrupt lock   Accept, Done, Result
 */
#include <ddk/wdm.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

#define IOCTL_EDU_FACTORIAL \
    CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

/* Registers in BAR 0, all four bytes wide. */
#define EDU_ID 0x00         /* 0xRRrr00ED, the revision above the constant */
#define EDU_FACTORIAL 0x08  /* write n while idle, read n! */
#define EDU_STATUS 0x20
#define EDU_IRQ_STATUS 0x24 /* why the device interrupts */
#define EDU_IRQ_ACK 0x64    /* write 1 to clear in EDU_IRQ_STATUS */
#define EDU_WINDOW 0x68

#define EDU_STATUS_COMPUTING 0x01
#define EDU_STATUS_IRQ 0x80     /* interrupt at the end of a computation */
#define EDU_IRQ_FACTORIAL 0x01
#define EDU_GONE 0xFFFFFFFF     /* what reads bring once the device was pulled */

typedef enum _EDU_STATE {
    EduNotStarted = 1, /* requests fail */
    EduStarted = 2,
    EduHeld = 4,       /* paused, or stopped for rebalancing: requests wait */
    EduRemoved = 8     /* requests fail */
} EDU_STATE;
#define EDU_ANY_STATE 0xF

typedef struct _EDU_EXTENSION {
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    IO_REMOVE_LOCK RemoveLock;
    PUCHAR Registers;
    PKINTERRUPT Interrupt;
    KDPC Dpc;

    KSPIN_LOCK Lock;
    EDU_STATE State;
    LIST_ENTRY Requests; /* the one at the device stays in here, too */
    PIRP Current;        /* the one at the device; NULL if it was cancelled */
    BOOLEAN Busy;        /* the device computes, for Current or for nobody */
    ULONG Latest;

    BOOLEAN Accept;      /* the ISR may queue the DPC */
    BOOLEAN Done;
    ULONG Result;
} EDU_EXTENSION, *PEDU_EXTENSION;

typedef struct _EDU_COMPUTATION {
    PEDU_EXTENSION Edu;
    ULONG Number; /* in for EduSynchStart, out for EduSynchTake */
} EDU_COMPUTATION, *PEDU_COMPUTATION;

/* {6C9F7F5B-6A0E-4A47-9B1E-2F0C5D1B0E01} */
static const GUID EduInterface =
    {0x6c9f7f5b, 0x6a0e, 0x4a47, {0x9b, 0x1e, 0x2f, 0x0c, 0x5d, 0x1b, 0x0e, 0x01}};

static ULONG EduGet(PEDU_EXTENSION Edu, ULONG Offset)
{
    return READ_REGISTER_ULONG((PULONG)(Edu->Registers + Offset));
}

static VOID EduSet(PEDU_EXTENSION Edu, ULONG Offset, ULONG Value)
{
    WRITE_REGISTER_ULONG((PULONG)(Edu->Registers + Offset), Value);
}

/* --- Interrupt side ------------------------------------------------------- */

static BOOLEAN NTAPI EduIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PEDU_EXTENSION edu = Context;
    ULONG causes = EduGet(edu, EDU_IRQ_STATUS);

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0 || causes == EDU_GONE)
        return FALSE;
    EduSet(edu, EDU_IRQ_ACK, causes);
    if ((causes & EDU_IRQ_FACTORIAL) && edu->Accept) {
        edu->Result = EduGet(edu, EDU_FACTORIAL);
        edu->Done = TRUE;
        KeInsertQueueDpc(&edu->Dpc, NULL, NULL);
    }
    return TRUE;
}

static BOOLEAN NTAPI EduSynchStart(PVOID Context)
{
    PEDU_COMPUTATION computation = Context;

    computation->Edu->Done = FALSE;
    EduSet(computation->Edu, EDU_FACTORIAL, computation->Number);
    return TRUE;
}

static BOOLEAN NTAPI EduSynchTake(PVOID Context)
{
    PEDU_COMPUTATION computation = Context;
    BOOLEAN done = computation->Edu->Done;

    computation->Edu->Done = FALSE;
    computation->Number = computation->Edu->Result;
    return done;
}

static BOOLEAN NTAPI EduSynchOpen(PVOID Context)
{
    PEDU_EXTENSION edu = Context;

    edu->Done = FALSE;
    edu->Accept = TRUE;
    return TRUE;
}

static BOOLEAN NTAPI EduSynchClose(PVOID Context)
{
    PEDU_EXTENSION edu = Context;

    edu->Accept = FALSE;
    return TRUE;
}

static BOOLEAN NTAPI EduSynchAcknowledge(PVOID Context)
{
    EduSet(Context, EDU_IRQ_ACK, EduGet(Context, EDU_IRQ_STATUS));
    return TRUE;
}

/* --- Requests ------------------------------------------------------------- */

static NTSTATUS EduComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static VOID EduFinish(PEDU_EXTENSION Edu, PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    EduComplete(Irp, Status, Information);
    IoReleaseRemoveLock(&Edu->RemoveLock, Irp);
}

/* Gives the device its next request. The caller holds Lock. */
static VOID EduStartNext(PEDU_EXTENSION Edu)
{
    EDU_COMPUTATION computation;

    if (Edu->State != EduStarted || Edu->Busy || IsListEmpty(&Edu->Requests))
        return;
    Edu->Current = CONTAINING_RECORD(Edu->Requests.Flink, IRP, Tail.Overlay.ListEntry);
    Edu->Busy = TRUE;
    computation.Edu = Edu;
    computation.Number = *(PULONG)Edu->Current->AssociatedIrp.SystemBuffer;
    KeSynchronizeExecution(Edu->Interrupt, EduSynchStart, &computation);
}

/* Takes a request off the list. FALSE: its cancel routine is on its way and owns it. */
static BOOLEAN EduDequeue(PIRP Irp)
{
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    if (IoSetCancelRoutine(Irp, NULL) != NULL)
        return TRUE;
    InitializeListHead(&Irp->Tail.Overlay.ListEntry); /* EduCancel removes it again */
    return FALSE;
}

static VOID NTAPI EduDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PEDU_EXTENSION edu = Context;
    EDU_COMPUTATION computation = {edu, 0};
    PIRP irp;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);

    if (!KeSynchronizeExecution(edu->Interrupt, EduSynchTake, &computation))
        return;
    KeAcquireSpinLock(&edu->Lock, &irql);
    irp = edu->Current;
    edu->Current = NULL;
    edu->Busy = FALSE;
    edu->Latest = computation.Number;
    if (irp != NULL && !EduDequeue(irp))
        irp = NULL;
    EduStartNext(edu);
    KeReleaseSpinLock(&edu->Lock, irql);

    if (irp != NULL) {
        if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_DEVICE_CONTROL)
            *(PULONG)irp->AssociatedIrp.SystemBuffer = computation.Number;
        EduFinish(edu, irp, STATUS_SUCCESS, sizeof(ULONG));
    }
}

static VOID NTAPI EduCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    KIRQL irql;

    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&edu->Lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    if (edu->Current == Irp)
        edu->Current = NULL; /* still Busy, until the device has interrupted */
    KeReleaseSpinLock(&edu->Lock, irql);
    EduFinish(edu, Irp, STATUS_CANCELLED, 0);
}

/* Queues a request whose buffer holds a number. The caller holds the remove lock. */
static NTSTATUS EduSubmit(PEDU_EXTENSION Edu, PIRP Irp)
{
    NTSTATUS status = STATUS_PENDING;
    KIRQL irql;

    IoMarkIrpPending(Irp);
    KeAcquireSpinLock(&Edu->Lock, &irql);
    if (Edu->State == EduNotStarted) {
        status = STATUS_DEVICE_NOT_READY;
    } else if (Edu->State == EduRemoved) {
        status = STATUS_DELETE_PENDING;
    } else {
        IoSetCancelRoutine(Irp, EduCancel);
        if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
            status = STATUS_CANCELLED;
        } else {
            InsertTailList(&Edu->Requests, &Irp->Tail.Overlay.ListEntry);
            EduStartNext(Edu);
        }
    }
    KeReleaseSpinLock(&Edu->Lock, irql);
    if (status != STATUS_PENDING)
        EduFinish(Edu, Irp, status, 0);
    return STATUS_PENDING;
}

/* Completes the waiting requests of one file, or all of them. */
static VOID EduFlush(PEDU_EXTENSION Edu, PFILE_OBJECT File, NTSTATUS Status)
{
    LIST_ENTRY flushed;
    PLIST_ENTRY entry, next;
    PIRP irp;
    KIRQL irql;

    InitializeListHead(&flushed);
    KeAcquireSpinLock(&Edu->Lock, &irql);
    for (entry = Edu->Requests.Flink; entry != &Edu->Requests; entry = next) {
        next = entry->Flink;
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (File != NULL && IoGetCurrentIrpStackLocation(irp)->FileObject != File)
            continue;
        if (Edu->Current == irp)
            Edu->Current = NULL;
        if (EduDequeue(irp))
            InsertTailList(&flushed, entry);
    }
    KeReleaseSpinLock(&Edu->Lock, irql);

    while (!IsListEmpty(&flushed)) {
        entry = RemoveHeadList(&flushed);
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        EduFinish(Edu, irp, Status, 0);
    }
}

static NTSTATUS NTAPI EduCreate(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    KeAcquireSpinLock(&edu->Lock, &irql);
    if (edu->State == EduNotStarted)
        status = STATUS_DEVICE_NOT_READY;
    else if (edu->State == EduRemoved)
        status = STATUS_DELETE_PENDING;
    KeReleaseSpinLock(&edu->Lock, irql);
    return EduComplete(Irp, status, 0);
}

static NTSTATUS NTAPI EduCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    EduFlush(DeviceObject->DeviceExtension, IoGetCurrentIrpStackLocation(Irp)->FileObject,
             STATUS_CANCELLED);
    return EduComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI EduClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return EduComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI EduRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    KIRQL irql;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length < sizeof(ULONG))
        return EduComplete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    KeAcquireSpinLock(&edu->Lock, &irql);
    *(PULONG)Irp->AssociatedIrp.SystemBuffer = edu->Latest;
    KeReleaseSpinLock(&edu->Lock, irql);
    return EduComplete(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

/* IRP_MJ_WRITE and IRP_MJ_DEVICE_CONTROL: four bytes in, and four out for the latter. */
static NTSTATUS NTAPI EduCompute(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status;

    if (stack->MajorFunction == IRP_MJ_WRITE) {
        if (stack->Parameters.Write.Length != sizeof(ULONG))
            return EduComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    } else {
        if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_EDU_FACTORIAL)
            return EduComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
        if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(ULONG) ||
            stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
            return EduComplete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    }
    status = IoAcquireRemoveLock(&edu->RemoveLock, Irp);
    if (!NT_SUCCESS(status))
        return EduComplete(Irp, status, 0);
    return EduSubmit(edu, Irp);
}

/* --- Hardware ------------------------------------------------------------- */

/* Forbids the device to interrupt and waits until it is idle. */
static NTSTATUS EduQuiet(PEDU_EXTENSION Edu)
{
    LARGE_INTEGER millisecond;
    ULONG tries;

    millisecond.QuadPart = -10 * 1000;
    EduSet(Edu, EDU_STATUS, 0);
    for (tries = 0; EduGet(Edu, EDU_STATUS) & EDU_STATUS_COMPUTING; tries++) {
        if (tries == 100)
            return STATUS_IO_TIMEOUT;
        KeDelayExecutionThread(KernelMode, FALSE, &millisecond);
    }
    if (Edu->Interrupt != NULL)
        KeSynchronizeExecution(Edu->Interrupt, EduSynchAcknowledge, Edu);
    else
        EduSynchAcknowledge(Edu);
    return STATUS_SUCCESS;
}

static NTSTATUS PAGED EduConnect(PEDU_EXTENSION Edu, PCM_PARTIAL_RESOURCE_DESCRIPTOR Resource)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_FULLY_SPECIFIED;
    connect.FullySpecified.PhysicalDeviceObject = Edu->Pdo;
    connect.FullySpecified.InterruptObject = &Edu->Interrupt;
    connect.FullySpecified.ServiceRoutine = EduIsr;
    connect.FullySpecified.ServiceContext = Edu;
    if (Resource->Flags & CM_RESOURCE_INTERRUPT_MESSAGE) {
        connect.FullySpecified.Vector = Resource->u.MessageInterrupt.Translated.Vector;
        connect.FullySpecified.Irql = (KIRQL)Resource->u.MessageInterrupt.Translated.Level;
        connect.FullySpecified.ProcessorEnableMask =
            Resource->u.MessageInterrupt.Translated.Affinity;
    } else {
        connect.FullySpecified.Vector = Resource->u.Interrupt.Vector;
        connect.FullySpecified.Irql = (KIRQL)Resource->u.Interrupt.Level;
        connect.FullySpecified.ProcessorEnableMask = Resource->u.Interrupt.Affinity;
    }
    connect.FullySpecified.SynchronizeIrql = connect.FullySpecified.Irql;
    connect.FullySpecified.InterruptMode =
        (Resource->Flags & CM_RESOURCE_INTERRUPT_LATCHED) ? Latched : LevelSensitive;
    connect.FullySpecified.ShareVector = Resource->ShareDisposition == CmResourceShareShared;
    return IoConnectInterruptEx(&connect);
}

static VOID PAGED EduDisconnect(PEDU_EXTENSION Edu)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = CONNECT_FULLY_SPECIFIED;
    disconnect.ConnectionContext.InterruptObject = Edu->Interrupt;
    IoDisconnectInterruptEx(&disconnect);
    Edu->Interrupt = NULL;
}

/* Changes State if it is one of From; returns what it was. */
static ULONG EduSwitch(PEDU_EXTENSION Edu, ULONG From, EDU_STATE To)
{
    ULONG was;
    KIRQL irql;

    KeAcquireSpinLock(&Edu->Lock, &irql);
    was = Edu->State;
    if (was & From)
        Edu->State = To;
    EduStartNext(Edu);
    KeReleaseSpinLock(&Edu->Lock, irql);
    return was;
}

/* Nothing is at the device any more; what was there waits again. */
static VOID EduForget(PEDU_EXTENSION Edu)
{
    KIRQL irql;

    KeAcquireSpinLock(&Edu->Lock, &irql);
    Edu->Current = NULL;
    Edu->Busy = FALSE;
    KeReleaseSpinLock(&Edu->Lock, irql);
}

/*
 * Gives the hardware back. State is not EduStarted, so that nothing is started.
 * The DPC uses the interrupt object, so it must have run before the disconnect.
 */
static VOID PAGED EduRelease(PEDU_EXTENSION Edu, BOOLEAN Present)
{
    if (Present && Edu->Registers != NULL)
        EduQuiet(Edu);
    if (Edu->Interrupt != NULL) {
        KeSynchronizeExecution(Edu->Interrupt, EduSynchClose, Edu);
        KeFlushQueuedDpcs();
        EduDisconnect(Edu);
    }
    EduForget(Edu);
    if (Edu->Registers != NULL) {
        MmUnmapIoSpace(Edu->Registers, EDU_WINDOW);
        Edu->Registers = NULL;
    }
}

static NTSTATUS PAGED EduAcquire(PEDU_EXTENSION Edu, PCM_RESOURCE_LIST Translated)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR memory = NULL, interrupt = NULL, resource;
    PCM_PARTIAL_RESOURCE_LIST list;
    NTSTATUS status;
    ULONG i;

    if (Translated == NULL || Translated->Count == 0)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    list = &Translated->List[0].PartialResourceList;
    for (i = 0; i < list->Count; i++) {
        resource = &list->PartialDescriptors[i];
        if (resource->Type == CmResourceTypeMemory && memory == NULL)
            memory = resource;
        else if (resource->Type == CmResourceTypeInterrupt && interrupt == NULL)
            interrupt = resource;
    }
    if (memory == NULL || memory->u.Memory.Length < EDU_WINDOW || interrupt == NULL)
        return STATUS_DEVICE_CONFIGURATION_ERROR;

    Edu->Registers = MmMapIoSpace(memory->u.Memory.Start, EDU_WINDOW, MmNonCached);
    if (Edu->Registers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    if ((EduGet(Edu, EDU_ID) & 0xFFFF) != 0x00ED)
        return STATUS_NO_SUCH_DEVICE;
    status = EduQuiet(Edu);
    if (!NT_SUCCESS(status))
        return status;
    status = EduConnect(Edu, interrupt);
    if (!NT_SUCCESS(status)) {
        Edu->Interrupt = NULL;
        return status;
    }
    KeSynchronizeExecution(Edu->Interrupt, EduSynchOpen, Edu);
    EduSet(Edu, EDU_STATUS, EDU_STATUS_IRQ);
    return STATUS_SUCCESS;
}

/* --- Plug and play -------------------------------------------------------- */

static NTSTATUS NTAPI EduForwarded(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    if (Irp->PendingReturned)
        KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Lets the drivers below handle the request first; the caller completes it. */
static NTSTATUS PAGED EduForwardAndWait(PEDU_EXTENSION Edu, PIRP Irp)
{
    KEVENT done;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, EduForwarded, &done, TRUE, TRUE, TRUE);
    if (IoCallDriver(Edu->Lower, Irp) == STATUS_PENDING)
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

static NTSTATUS PAGED EduStart(PEDU_EXTENSION Edu, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = EduForwardAndWait(Edu, Irp);

    if (NT_SUCCESS(status)) {
        status = EduAcquire(Edu, stack->Parameters.StartDevice.AllocatedResourcesTranslated);
        if (!NT_SUCCESS(status))
            EduRelease(Edu, status != STATUS_NO_SUCH_DEVICE);
    }
    if (NT_SUCCESS(status)) {
        EduSwitch(Edu, EduNotStarted | EduHeld, EduStarted);
        IoSetDeviceInterfaceState(&Edu->Interface, TRUE);
    } else {
        EduSwitch(Edu, EduHeld, EduNotStarted);
        EduFlush(Edu, NULL, STATUS_DEVICE_NOT_READY);
    }
    return status;
}

/* The device is going, or is gone already if it is not Present. */
static VOID PAGED EduRemove(PEDU_EXTENSION Edu, BOOLEAN Present)
{
    if (EduSwitch(Edu, EDU_ANY_STATE, EduRemoved) == EduRemoved)
        return;
    IoSetDeviceInterfaceState(&Edu->Interface, FALSE);
    EduRelease(Edu, Present);
    EduFlush(Edu, NULL, STATUS_DELETE_PENDING);
}

/* Hands a request on and drops the remove lock. */
static NTSTATUS EduPassDown(PEDU_EXTENSION Edu, PIRP Irp)
{
    NTSTATUS status;

    IoSkipCurrentIrpStackLocation(Irp);
    status = IoCallDriver(Edu->Lower, Irp);
    IoReleaseRemoveLock(&Edu->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI EduSystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&edu->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return EduComplete(Irp, status, 0);
    return EduPassDown(edu, Irp);
}

static NTSTATUS NTAPI EduPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&edu->RemoveLock, Irp);

    PoStartNextPowerIrp(Irp);
    if (!NT_SUCCESS(status))
        return EduComplete(Irp, status, 0);
    IoSkipCurrentIrpStackLocation(Irp);
    status = PoCallDriver(edu->Lower, Irp);
    IoReleaseRemoveLock(&edu->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PAGED EduPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&edu->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return EduComplete(Irp, status, 0);

    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = EduStart(edu, Irp);
        break;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        EduSwitch(edu, EduStarted, EduHeld);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = EduForwardAndWait(edu, Irp);
        if (edu->Interrupt != NULL)
            EduSwitch(edu, EduHeld, EduStarted);
        break;

    case IRP_MN_STOP_DEVICE:
        EduSwitch(edu, EduStarted, EduHeld);
        EduRelease(edu, TRUE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_SURPRISE_REMOVAL:
        EduRemove(edu, FALSE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_REMOVE_DEVICE:
        EduRemove(edu, TRUE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(edu->Lower, Irp);
        IoReleaseRemoveLockAndWait(&edu->RemoveLock, Irp);
        RtlFreeUnicodeString(&edu->Interface);
        IoDetachDevice(edu->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    default:
        return EduPassDown(edu, Irp);
    }

    EduComplete(Irp, status, Irp->IoStatus.Information);
    IoReleaseRemoveLock(&edu->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PAGED EduAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PEDU_EXTENSION edu;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(EDU_EXTENSION), NULL, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    edu = fdo->DeviceExtension;
    edu->Pdo = Pdo;
    edu->State = EduNotStarted;
    IoInitializeRemoveLock(&edu->RemoveLock, '1udE', 0, 0);
    KeInitializeSpinLock(&edu->Lock);
    InitializeListHead(&edu->Requests);
    KeInitializeDpc(&edu->Dpc, EduDpc, edu);

    status = IoRegisterDeviceInterface(Pdo, &EduInterface, NULL, &edu->Interface);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    edu->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
    if (edu->Lower == NULL) {
        RtlFreeUnicodeString(&edu->Interface);
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    fdo->Flags |= DO_BUFFERED_IO | (edu->Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI PAGED EduUnload(PDRIVER_OBJECT DriverObject)
{
    /* Every device was given back when it was removed. */
    UNREFERENCED_PARAMETER(DriverObject);
}

static const PDRIVER_DISPATCH EduDispatch[IRP_MJ_MAXIMUM_FUNCTION + 1] = {
    [IRP_MJ_CREATE] = EduCreate,
    [IRP_MJ_CLEANUP] = EduCleanup,
    [IRP_MJ_CLOSE] = EduClose,
    [IRP_MJ_READ] = EduRead,
    [IRP_MJ_WRITE] = EduCompute,
    [IRP_MJ_DEVICE_CONTROL] = EduCompute,
    [IRP_MJ_PNP] = EduPnp,
    [IRP_MJ_POWER] = EduPower,
    [IRP_MJ_SYSTEM_CONTROL] = EduSystemControl,
};

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG i;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverExtension->AddDevice = EduAddDevice;
    DriverObject->DriverUnload = EduUnload;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        if (EduDispatch[i] != NULL)
            DriverObject->MajorFunction[i] = EduDispatch[i];
    return STATUS_SUCCESS;
}
