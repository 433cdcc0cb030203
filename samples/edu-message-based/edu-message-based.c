/*
 * Function driver for the PCI device "edu" (QEMU documentation, "EDU device").
 *
 * Shows CONNECT_MESSAGE_BASED: one ISR for all messages, a second one for the line in
 * case that the system granted no messages, and the disconnect that must name what
 * was connected in the end (WDK, "Using the CONNECT_MESSAGE_BASED Version of
 * IoConnectInterruptEx", "Removing an ISR").
 *
 * A write of four bytes computes a factorial and returns when the device has
 * interrupted; a read returns the latest result. Requests take turns under Mutex.
 * A paused or stopped device refuses them with STATUS_DEVICE_NOT_READY.
 *
 * Locks, outermost first:
 *   Mutex           Started, Latest, and the right to use the device
 *   InterruptLock   Phase, Result
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

typedef enum _EDU_PHASE { EduIdle, EduComputing, EduDone } EDU_PHASE;

typedef struct _EDU_EXTENSION {
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    IO_REMOVE_LOCK RemoveLock;
    PUCHAR Registers;
    KDPC Dpc;
    KEVENT Finished;

    ULONG Version; /* how the interrupt is connected; 0 if it is not */
    union {
        PVOID Generic;
        PIO_INTERRUPT_MESSAGE_INFO Messages;
        PKINTERRUPT Line;
    } Connection;

    FAST_MUTEX Mutex;
    BOOLEAN Started;
    ULONG Latest;

    /* All messages share the registers, so their ISRs share one lock. */
    KSPIN_LOCK InterruptLock;
    EDU_PHASE Phase;
    ULONG Result;
} EDU_EXTENSION, *PEDU_EXTENSION;

typedef struct _EDU_COMPUTATION {
    PEDU_EXTENSION Edu;
    ULONG Number;   /* in for EduSynchStart, out for EduSynchFinish */
    BOOLEAN GiveUp;
} EDU_COMPUTATION, *PEDU_COMPUTATION;

/* {6C9F7F5B-6A0E-4A47-9B1E-2F0C5D1B0E03} */
static const GUID EduInterface =
    {0x6c9f7f5b, 0x6a0e, 0x4a47, {0x9b, 0x1e, 0x2f, 0x0c, 0x5d, 0x1b, 0x0e, 0x03}};

static ULONG EduGet(PEDU_EXTENSION Edu, ULONG Offset)
{
    return READ_REGISTER_ULONG((PULONG)(Edu->Registers + Offset));
}

static VOID EduSet(PEDU_EXTENSION Edu, ULONG Offset, ULONG Value)
{
    WRITE_REGISTER_ULONG((PULONG)(Edu->Registers + Offset), Value);
}

/* --- Interrupt side ------------------------------------------------------- */

static BOOLEAN EduService(PEDU_EXTENSION Edu)
{
    ULONG causes = EduGet(Edu, EDU_IRQ_STATUS);

    if (causes == 0 || causes == EDU_GONE)
        return FALSE;
    EduSet(Edu, EDU_IRQ_ACK, causes);
    if ((causes & EDU_IRQ_FACTORIAL) && Edu->Phase == EduComputing) {
        Edu->Result = EduGet(Edu, EDU_FACTORIAL);
        Edu->Phase = EduDone;
        KeInsertQueueDpc(&Edu->Dpc, NULL, NULL);
    }
    return TRUE;
}

static BOOLEAN NTAPI EduMessageIsr(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Message); /* the device uses the first one only */
    return EduService(Context);
}

static BOOLEAN NTAPI EduLineIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return EduService(Context);
}

static VOID NTAPI EduDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PEDU_EXTENSION edu = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(&edu->Finished, IO_NO_INCREMENT, FALSE);
}

/* FALSE: the device still works on something that was given up. */
static BOOLEAN NTAPI EduSynchStart(PVOID Context)
{
    PEDU_COMPUTATION computation = Context;
    PEDU_EXTENSION edu = computation->Edu;

    if (EduGet(edu, EDU_STATUS) & EDU_STATUS_COMPUTING)
        return FALSE;
    EduSet(edu, EDU_IRQ_ACK, EduGet(edu, EDU_IRQ_STATUS));
    edu->Phase = EduComputing;
    EduSet(edu, EDU_FACTORIAL, computation->Number);
    return TRUE;
}

static BOOLEAN NTAPI EduSynchFinish(PVOID Context)
{
    PEDU_COMPUTATION computation = Context;
    PEDU_EXTENSION edu = computation->Edu;
    BOOLEAN done = edu->Phase == EduDone;

    computation->Number = edu->Result;
    if (done || computation->GiveUp)
        edu->Phase = EduIdle;
    return done;
}

static BOOLEAN NTAPI EduSynchAcknowledge(PVOID Context)
{
    EduSet(Context, EDU_IRQ_ACK, EduGet(Context, EDU_IRQ_STATUS));
    return TRUE;
}

/* Any of the interrupt objects will do: they share InterruptLock and the level. */
static PKINTERRUPT EduInterruptObject(PEDU_EXTENSION Edu)
{
    if (Edu->Version == CONNECT_MESSAGE_BASED)
        return Edu->Connection.Messages->MessageInfo[0].InterruptObject;
    return Edu->Connection.Line;
}

/* --- Requests ------------------------------------------------------------- */

static NTSTATUS EduComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* Computes *Number factorial. The caller holds Mutex and has seen Started. */
static NTSTATUS EduRun(PEDU_EXTENSION Edu, PULONG Number)
{
    EDU_COMPUTATION computation = {Edu, *Number, FALSE};
    PKINTERRUPT interrupt = EduInterruptObject(Edu);
    LARGE_INTEGER second;

    second.QuadPart = -10 * 1000 * 1000;
    if (!KeSynchronizeExecution(interrupt, EduSynchStart, &computation))
        return STATUS_DEVICE_BUSY;
    while (!computation.GiveUp) {
        /* A DPC of an earlier computation may be late: Phase decides, not the event. */
        if (KeWaitForSingleObject(&Edu->Finished, Executive, KernelMode, FALSE, &second) ==
            STATUS_TIMEOUT)
            computation.GiveUp = TRUE;
        if (KeSynchronizeExecution(interrupt, EduSynchFinish, &computation)) {
            *Number = computation.Number;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_IO_TIMEOUT;
}

static NTSTATUS EduFactorial(PEDU_EXTENSION Edu, PULONG Number)
{
    NTSTATUS status = STATUS_DEVICE_NOT_READY;

    ExAcquireFastMutex(&Edu->Mutex);
    if (Edu->Started)
        status = EduRun(Edu, Number);
    if (NT_SUCCESS(status))
        Edu->Latest = *Number;
    ExReleaseFastMutex(&Edu->Mutex);
    return status;
}

static NTSTATUS NTAPI EduCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return EduComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI EduRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length < sizeof(ULONG))
        return EduComplete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    ExAcquireFastMutex(&edu->Mutex);
    *(PULONG)Irp->AssociatedIrp.SystemBuffer = edu->Latest;
    ExReleaseFastMutex(&edu->Mutex);
    return EduComplete(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS NTAPI EduWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PEDU_EXTENSION edu = DeviceObject->DeviceExtension;
    NTSTATUS status;
    ULONG number;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length != sizeof(ULONG))
        return EduComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    status = IoAcquireRemoveLock(&edu->RemoveLock, Irp);
    if (!NT_SUCCESS(status))
        return EduComplete(Irp, status, 0);
    number = *(PULONG)Irp->AssociatedIrp.SystemBuffer;
    status = EduFactorial(edu, &number);
    EduComplete(Irp, status, NT_SUCCESS(status) ? sizeof(ULONG) : 0);
    IoReleaseRemoveLock(&edu->RemoveLock, Irp);
    return status;
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
    if (Edu->Version != 0)
        KeSynchronizeExecution(EduInterruptObject(Edu), EduSynchAcknowledge, Edu);
    else
        EduSynchAcknowledge(Edu);
    return STATUS_SUCCESS;
}

static NTSTATUS PAGED EduConnect(PEDU_EXTENSION Edu)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    NTSTATUS status;

    Edu->Phase = EduIdle;
    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_MESSAGE_BASED;
    connect.MessageBased.PhysicalDeviceObject = Edu->Pdo;
    connect.MessageBased.ConnectionContext.Generic = &Edu->Connection.Generic;
    connect.MessageBased.MessageServiceRoutine = EduMessageIsr;
    connect.MessageBased.FallBackServiceRoutine = EduLineIsr;
    connect.MessageBased.ServiceContext = Edu;
    connect.MessageBased.SpinLock = &Edu->InterruptLock;
    connect.MessageBased.SynchronizeIrql = 0; /* the highest of all messages */
    status = IoConnectInterruptEx(&connect);
    if (NT_SUCCESS(status))
        Edu->Version = connect.Version; /* CONNECT_LINE_BASED after a fallback */
    return status;
}

static VOID PAGED EduDisconnect(PEDU_EXTENSION Edu)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = Edu->Version;
    disconnect.ConnectionContext.Generic = Edu->Connection.Generic;
    IoDisconnectInterruptEx(&disconnect);
    Edu->Version = 0;
    Edu->Connection.Generic = NULL;
}

/* Gives the hardware back. The device is not Started, so no request uses it. */
static VOID PAGED EduRelease(PEDU_EXTENSION Edu, BOOLEAN Present)
{
    if (Present && Edu->Registers != NULL)
        EduQuiet(Edu);
    if (Edu->Version != 0)
        EduDisconnect(Edu);
    KeFlushQueuedDpcs();
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

/* Lets requests in, or keeps them out and waits for the one at the device. */
static VOID EduSetStarted(PEDU_EXTENSION Edu, BOOLEAN Started)
{
    ExAcquireFastMutex(&Edu->Mutex);
    Edu->Started = Started;
    ExReleaseFastMutex(&Edu->Mutex);
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
        EduSetStarted(Edu, TRUE);
        IoSetDeviceInterfaceState(&Edu->Interface, TRUE);
    } else {
        EduRelease(Edu, status != STATUS_NO_SUCH_DEVICE);
    }
    return status;
}

/* The device stops, goes, or is gone already if it is not Present. */
static VOID PAGED EduStop(PEDU_EXTENSION Edu, BOOLEAN Present)
{
    EduSetStarted(Edu, FALSE);
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
        EduSetStarted(edu, FALSE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return EduPassDown(edu, Irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = EduForwardAndWait(edu, Irp);
        EduSetStarted(edu, edu->Version != 0);
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
    IoInitializeRemoveLock(&edu->RemoveLock, '3udE', 0, 0);
    ExInitializeFastMutex(&edu->Mutex);
    KeInitializeSpinLock(&edu->InterruptLock);
    KeInitializeEvent(&edu->Finished, SynchronizationEvent, FALSE);
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
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        if (EduDispatch[i] != NULL)
            DriverObject->MajorFunction[i] = EduDispatch[i];
    return STATUS_SUCCESS;
}
