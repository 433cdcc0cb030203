/*
 * Function driver for the PCI device "edu" (QEMU documentation, "EDU device").
 *
 * Shows CONNECT_LINE_BASED: the system knows which line belongs to the device (WDK,
 * "Using the CONNECT_LINE_BASED Version of IoConnectInterruptEx"), and the classic path
 * of a request: StartIo, ISR, DpcForIsr.
 *
 * A write of four bytes computes a factorial; a read returns the latest result. The I/O
 * manager queues the writes. One that the device does not answer within a second fails.
 * A device with requests refuses to pause; a paused one refuses requests.
 *
 * Locks, outermost first:
 *   Lock             Started, Requests, Latest
 *   interrupt lock   Pending, Deadline
 * Whoever clears Pending owns the current request and must end it.
 */
#include <ddk/wdm.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

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

typedef struct _EDU_EXTENSION {
    PDEVICE_OBJECT Self;
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    IO_REMOVE_LOCK RemoveLock;
    PUCHAR Registers;
    PKINTERRUPT Interrupt;
    KTIMER Timer;
    KDPC TimerDpc;

    KSPIN_LOCK Lock;
    BOOLEAN Started; /* requests may come in and go to the device */
    ULONG Requests;  /* let in and not yet completed */
    ULONG Latest;

    BOOLEAN Pending; /* the device works for the current request */
    ULONGLONG Deadline;
} EDU_EXTENSION, *PEDU_EXTENSION;

typedef struct _EDU_COMPUTATION {
    PEDU_EXTENSION Edu;
    ULONG Number;
} EDU_COMPUTATION, *PEDU_COMPUTATION;

#define EDU_SECOND (10 * 1000 * 1000)

/* {6C9F7F5B-6A0E-4A47-9B1E-2F0C5D1B0E02} */
static const GUID EduInterface =
    {0x6c9f7f5b, 0x6a0e, 0x4a47, {0x9b, 0x1e, 0x2f, 0x0c, 0x5d, 0x1b, 0x0e, 0x02}};

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
    ULONG result;

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0 || causes == EDU_GONE)
        return FALSE;
    EduSet(edu, EDU_IRQ_ACK, causes);
    if ((causes & EDU_IRQ_FACTORIAL) && edu->Pending) {
        edu->Pending = FALSE;
        result = EduGet(edu, EDU_FACTORIAL);
        IoRequestDpc(edu->Self, edu->Self->CurrentIrp, (PVOID)(ULONG_PTR)result);
    }
    return TRUE;
}

/* FALSE: the device still works on something that was given up. */
static BOOLEAN NTAPI EduSynchStart(PVOID Context)
{
    PEDU_COMPUTATION computation = Context;
    PEDU_EXTENSION edu = computation->Edu;

    if (EduGet(edu, EDU_STATUS) & EDU_STATUS_COMPUTING)
        return FALSE;
    EduSet(edu, EDU_IRQ_ACK, EduGet(edu, EDU_IRQ_STATUS));
    edu->Pending = TRUE;
    edu->Deadline = KeQueryInterruptTime() + EDU_SECOND;
    EduSet(edu, EDU_FACTORIAL, computation->Number);
    return TRUE;
}

/* TRUE: the current request is the caller's. A timer can be late: then this is FALSE. */
static BOOLEAN NTAPI EduSynchGiveUp(PVOID Context)
{
    PEDU_EXTENSION edu = Context;

    if (!edu->Pending || KeQueryInterruptTime() < edu->Deadline)
        return FALSE;
    edu->Pending = FALSE;
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

/* Starts the next request and completes this one. At DISPATCH_LEVEL. */
static VOID EduEnd(PEDU_EXTENSION Edu, PIRP Irp, NTSTATUS Status)
{
    IoStartNextPacket(Edu->Self, FALSE);
    EduComplete(Irp, Status, NT_SUCCESS(Status) ? sizeof(ULONG) : 0);
    KeAcquireSpinLockAtDpcLevel(&Edu->Lock);
    Edu->Requests--;
    KeReleaseSpinLockFromDpcLevel(&Edu->Lock);
    IoReleaseRemoveLock(&Edu->RemoveLock, Irp);
}

static VOID NTAPI EduStartIo(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    EDU_COMPUTATION computation = {edu, *(PULONG)Irp->AssociatedIrp.SystemBuffer};
    LARGE_INTEGER second;
    NTSTATUS status = STATUS_SUCCESS;

    second.QuadPart = -EDU_SECOND;
    Irp->IoStatus.Status = STATUS_SUCCESS;
    KeAcquireSpinLockAtDpcLevel(&edu->Lock);
    if (!edu->Started)
        status = STATUS_DEVICE_NOT_READY;
    else if (!KeSynchronizeExecution(edu->Interrupt, EduSynchStart, &computation))
        status = STATUS_DEVICE_BUSY;
    else
        KeSetTimer(&edu->Timer, second, &edu->TimerDpc);
    KeReleaseSpinLockFromDpcLevel(&edu->Lock);

    if (!NT_SUCCESS(status)) {
        /* Not from here: IoStartNextPacket would call this routine again. */
        Irp->IoStatus.Status = status;
        IoRequestDpc(DeviceObject, Irp, NULL);
    }
}

static VOID NTAPI EduDpcForIsr(PKDPC Dpc, PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Result)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;

    UNREFERENCED_PARAMETER(Dpc);
    KeCancelTimer(&edu->Timer);
    if (NT_SUCCESS(Irp->IoStatus.Status)) {
        KeAcquireSpinLockAtDpcLevel(&edu->Lock);
        edu->Latest = (ULONG)(ULONG_PTR)Result;
        KeReleaseSpinLockFromDpcLevel(&edu->Lock);
    }
    EduEnd(edu, Irp, Irp->IoStatus.Status);
}

static VOID NTAPI EduTimeout(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PEDU_EXTENSION edu = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (KeSynchronizeExecution(edu->Interrupt, EduSynchGiveUp, edu))
        EduEnd(edu, edu->Self->CurrentIrp, STATUS_IO_TIMEOUT);
}

/* Ends the request that a device left behind when it was taken away. */
static VOID EduAbort(PEDU_EXTENSION Edu)
{
    KIRQL irql;

    if (!Edu->Pending)
        return;
    Edu->Pending = FALSE;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    EduEnd(Edu, Edu->Self->CurrentIrp, STATUS_DELETE_PENDING);
    KeLowerIrql(irql);
}

static NTSTATUS NTAPI EduCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
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

static NTSTATUS NTAPI EduWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    NTSTATUS status;
    BOOLEAN started;
    KIRQL irql;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length != sizeof(ULONG))
        return EduComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    status = IoAcquireRemoveLock(&edu->RemoveLock, Irp);
    if (!NT_SUCCESS(status))
        return EduComplete(Irp, status, 0);

    KeAcquireSpinLock(&edu->Lock, &irql);
    started = edu->Started;
    if (started)
        edu->Requests++;
    KeReleaseSpinLock(&edu->Lock, irql);
    if (!started) {
        EduComplete(Irp, STATUS_DEVICE_NOT_READY, 0);
        IoReleaseRemoveLock(&edu->RemoveLock, Irp);
        return STATUS_DEVICE_NOT_READY;
    }
    IoMarkIrpPending(Irp);
    IoStartPacket(DeviceObject, Irp, NULL, NULL);
    return STATUS_PENDING;
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

static NTSTATUS PAGED EduConnect(PEDU_EXTENSION Edu)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    NTSTATUS status;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_LINE_BASED;
    connect.LineBased.PhysicalDeviceObject = Edu->Pdo;
    connect.LineBased.InterruptObject = &Edu->Interrupt;
    connect.LineBased.ServiceRoutine = EduIsr;
    connect.LineBased.ServiceContext = Edu;
    connect.LineBased.SpinLock = NULL;
    connect.LineBased.SynchronizeIrql = 0;
    connect.LineBased.FloatingSave = FALSE;
    status = IoConnectInterruptEx(&connect);
    if (!NT_SUCCESS(status))
        Edu->Interrupt = NULL;
    return status;
}

static VOID PAGED EduDisconnect(PEDU_EXTENSION Edu)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = CONNECT_LINE_BASED;
    disconnect.ConnectionContext.InterruptObject = Edu->Interrupt;
    IoDisconnectInterruptEx(&disconnect);
    Edu->Interrupt = NULL;
}

/* Gives the hardware back. The device is not Started, so nothing is started. */
static VOID PAGED EduRelease(PEDU_EXTENSION Edu, BOOLEAN Present)
{
    if (Present && Edu->Registers != NULL)
        EduQuiet(Edu);
    KeCancelTimer(&Edu->Timer);
    KeFlushQueuedDpcs(); /* EduTimeout uses the interrupt object */
    if (Edu->Interrupt != NULL)
        EduDisconnect(Edu);
    KeFlushQueuedDpcs(); /* what the ISR has queued until now */
    EduAbort(Edu);
    if (Edu->Registers != NULL) {
        MmUnmapIoSpace(Edu->Registers, EDU_WINDOW);
        Edu->Registers = NULL;
    }
}

static NTSTATUS PAGED EduAcquire(PEDU_EXTENSION Edu, PCM_RESOURCE_LIST Translated)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR memory = NULL;
    PCM_PARTIAL_RESOURCE_LIST list;
    NTSTATUS status;
    ULONG i;

    if (Translated == NULL || Translated->Count == 0)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    list = &Translated->List[0].PartialResourceList;
    for (i = 0; i < list->Count && memory == NULL; i++)
        if (list->PartialDescriptors[i].Type == CmResourceTypeMemory)
            memory = &list->PartialDescriptors[i];
    if (memory == NULL || memory->u.Memory.Length < EDU_WINDOW)
        return STATUS_DEVICE_CONFIGURATION_ERROR;

    Edu->Registers = MmMapIoSpace(memory->u.Memory.Start, EDU_WINDOW, MmNonCached);
    if (Edu->Registers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    if ((EduGet(Edu, EDU_ID) & 0xFFFF) != 0x00ED)
        return STATUS_NO_SUCH_DEVICE;
    status = EduQuiet(Edu);
    if (NT_SUCCESS(status))
        status = EduConnect(Edu);
    if (NT_SUCCESS(status))
        EduSet(Edu, EDU_STATUS, EDU_STATUS_IRQ);
    return status;
}

/* --- Plug and play -------------------------------------------------------- */

/* Sets Started; with Gently only if there are no requests. */
static NTSTATUS EduSetStarted(PEDU_EXTENSION Edu, BOOLEAN Started, BOOLEAN Gently)
{
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    KeAcquireSpinLock(&Edu->Lock, &irql);
    if (Gently && Edu->Requests != 0)
        status = STATUS_DEVICE_BUSY;
    else
        Edu->Started = Started;
    KeReleaseSpinLock(&Edu->Lock, irql);
    return status;
}

/* Lets the drivers below handle the request first; the caller completes it. */
static NTSTATUS PAGED EduForwardAndWait(PEDU_EXTENSION Edu, PIRP Irp)
{
    if (!IoForwardIrpSynchronously(Edu->Lower, Irp))
        return STATUS_UNSUCCESSFUL;
    return Irp->IoStatus.Status;
}

static NTSTATUS PAGED EduStart(PEDU_EXTENSION Edu, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = EduForwardAndWait(Edu, Irp);

    if (!NT_SUCCESS(status))
        return status;
    status = EduAcquire(Edu, stack->Parameters.StartDevice.AllocatedResourcesTranslated);
    if (NT_SUCCESS(status)) {
        EduSetStarted(Edu, TRUE, FALSE);
        IoSetDeviceInterfaceState(&Edu->Interface, TRUE);
    } else {
        EduRelease(Edu, status != STATUS_NO_SUCH_DEVICE);
    }
    return status;
}

/* The device stops, goes, or is gone already if it is not Present. */
static VOID PAGED EduStop(PEDU_EXTENSION Edu, BOOLEAN Present)
{
    EduSetStarted(Edu, FALSE, FALSE);
    EduRelease(Edu, Present);
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
        status = EduSetStarted(edu, FALSE, TRUE);
        if (!NT_SUCCESS(status))
            break;
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = EduForwardAndWait(edu, Irp);
        EduSetStarted(edu, edu->Interrupt != NULL, FALSE);
        break;

    case IRP_MN_STOP_DEVICE:
        EduStop(edu, TRUE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_SURPRISE_REMOVAL:
        IoSetDeviceInterfaceState(&edu->Interface, FALSE);
        EduStop(edu, FALSE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&edu->Interface, FALSE);
        EduStop(edu, TRUE); /* nothing left to do after a surprise removal */
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(edu->Lower, Irp);
        IoReleaseRemoveLockAndWait(&edu->RemoveLock, Irp);
        KeFlushQueuedDpcs(); /* the last request was ended by a DPC, perhaps */
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
    edu->Self = fdo;
    edu->Pdo = Pdo;
    IoInitializeRemoveLock(&edu->RemoveLock, '2udE', 0, 0);
    KeInitializeSpinLock(&edu->Lock);
    KeInitializeTimer(&edu->Timer);
    KeInitializeDpc(&edu->TimerDpc, EduTimeout, edu);
    IoInitializeDpcRequest(fdo, EduDpcForIsr);

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
    [IRP_MJ_CREATE] = EduCreateClose,
    [IRP_MJ_CLOSE] = EduCreateClose,
    [IRP_MJ_READ] = EduRead,
    [IRP_MJ_WRITE] = EduWrite,
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
    DriverObject->DriverStartIo = EduStartIo;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        if (EduDispatch[i] != NULL)
            DriverObject->MajorFunction[i] = EduDispatch[i];
    return STATUS_SUCCESS;
}
