/*
 * What the drivers of the zoo have in common: a function driver for the PCI device "edu"
 * (QEMU documentation, "EDU device") with plug and play, opening and closing, and one device
 * interface. Each driver has its own interrupt and its own requests, and is wrong there in one way.
 *
 * A driver defines struct _ZOO_STATE before it includes this, and after it
 *   ZooIsr      its interrupt service routine,
 *   ZooPrepare  before the interrupt is connected,
 *   ZooReady    after it,
 *   ZooQuiet    before it is disconnected,
 *   ZooGone     after it,
 *   ZooRead     IRP_MJ_READ; *Value is what four bytes are to be,
 *   ZooWrite    IRP_MJ_WRITE of four bytes.
 * A routine that returns STATUS_PENDING has marked the IRP pending and ends it itself.
 *
 * ZooRead and ZooWrite are called between ZooReady and ZooQuiet; one that runs then has returned
 * before the interrupt is disconnected. With ZOO_ANY_TIME they are called whenever a request comes.
 */
#include <ddk/wdm.h>

#define EDU_LIVENESS 0x04  /* reads as the complement of what was written */
#define EDU_FACTORIAL 0x08 /* write n while idle, read n! */
#define EDU_STATUS 0x20
#define EDU_IRQ_STATUS 0x24 /* why the device interrupts */
#define EDU_IRQ_RAISE 0x60  /* interrupts at once, for these reasons */
#define EDU_IRQ_ACK 0x64
#define EDU_WINDOW 0x100000

#define EDU_STATUS_COMPUTING 0x01
#define EDU_STATUS_IRQ 0x80 /* interrupt at the end of a computation */
#define EDU_IRQ_FACTORIAL 0x01

#define ZOO_TAG 'ooZ'
#define ZOO_CLOSED ((LONG)0x80000000)

typedef struct _ZOO {
    PDEVICE_OBJECT Self;
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    PUCHAR Registers;
    PKINTERRUPT Interrupt;
    LONG Users;  /* requests that use the device; ZOO_CLOSED is added while none may */
    KEVENT Left; /* maybe nobody uses it any more */
    struct _ZOO_STATE State;
} ZOO, *PZOO;

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context);
static NTSTATUS ZooPrepare(PZOO Zoo);
static VOID ZooReady(PZOO Zoo);
static VOID ZooQuiet(PZOO Zoo);
static VOID ZooGone(PZOO Zoo);
static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value);
static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value);

/* {6C9F7F5B-6A0E-4A47-9B1E-2F0C5D1B0E20} */
static const GUID ZooInterface =
    {0x6c9f7f5b, 0x6a0e, 0x4a47, {0x9b, 0x1e, 0x2f, 0x0c, 0x5d, 0x1b, 0x0e, 0x20}};

static inline ULONG ZooGet(PZOO Zoo, ULONG Offset)
{
    return READ_REGISTER_ULONG((PULONG)(Zoo->Registers + Offset));
}

static inline VOID ZooSet(PZOO Zoo, ULONG Offset, ULONG Value)
{
    WRITE_REGISTER_ULONG((PULONG)(Zoo->Registers + Offset), Value);
}

/* In an ISR: why the device interrupts, which it does not any more then. */
static inline ULONG ZooAcknowledge(PZOO Zoo)
{
    ULONG causes = ZooGet(Zoo, EDU_IRQ_STATUS);

    if (causes != 0)
        ZooSet(Zoo, EDU_IRQ_ACK, causes);
    return causes;
}

static inline VOID ZooEnd(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static NTSTATUS ZooFinish(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    if (Status != STATUS_PENDING)
        ZooEnd(Irp, Status, Information);
    return Status;
}

static VOID ZooLeave(PZOO Zoo)
{
#ifndef ZOO_ANY_TIME
    if (InterlockedDecrement(&Zoo->Users) == ZOO_CLOSED)
        KeSetEvent(&Zoo->Left, IO_NO_INCREMENT, FALSE);
#else
    UNREFERENCED_PARAMETER(Zoo);
#endif
}

/* Whether the device can be used, until ZooLeave is called then. */
static BOOLEAN ZooEnter(PZOO Zoo)
{
#ifndef ZOO_ANY_TIME
    if (InterlockedIncrement(&Zoo->Users) <= 0) {
        ZooLeave(Zoo);
        return FALSE;
    }
#else
    UNREFERENCED_PARAMETER(Zoo);
#endif
    return TRUE;
}

static NTSTATUS NTAPI ZooCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return ZooFinish(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI ZooDispatchRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO zoo = DeviceObject->DeviceExtension;
    ULONG value = 0;
    NTSTATUS status;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length != sizeof(ULONG))
        return ZooFinish(Irp, STATUS_INVALID_PARAMETER, 0);
    if (!ZooEnter(zoo))
        return ZooFinish(Irp, STATUS_DEVICE_NOT_READY, 0);
    status = ZooRead(zoo, Irp, &value);
    if (status == STATUS_SUCCESS)
        *(PULONG)Irp->AssociatedIrp.SystemBuffer = value;
    ZooFinish(Irp, status, status == STATUS_SUCCESS ? sizeof(ULONG) : 0);
    ZooLeave(zoo);
    return status;
}

static NTSTATUS NTAPI ZooDispatchWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO zoo = DeviceObject->DeviceExtension;
    NTSTATUS status;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length != sizeof(ULONG))
        return ZooFinish(Irp, STATUS_INVALID_PARAMETER, 0);
    if (!ZooEnter(zoo))
        return ZooFinish(Irp, STATUS_DEVICE_NOT_READY, 0);
    status = ZooWrite(zoo, Irp, *(PULONG)Irp->AssociatedIrp.SystemBuffer);
    ZooFinish(Irp, status, sizeof(ULONG));
    ZooLeave(zoo);
    return status;
}

static NTSTATUS ZooConnect(PZOO Zoo)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_LINE_BASED;
    connect.LineBased.PhysicalDeviceObject = Zoo->Pdo;
    connect.LineBased.InterruptObject = &Zoo->Interrupt;
    connect.LineBased.ServiceRoutine = ZooIsr;
    connect.LineBased.ServiceContext = Zoo;
    return IoConnectInterruptEx(&connect);
}

static BOOLEAN NTAPI ZooSilence(PVOID Context)
{
    ZooAcknowledge(Context);
    return TRUE;
}

static VOID ZooDisconnect(PZOO Zoo)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    if (Zoo->Interrupt == NULL)
        return;
    KeSynchronizeExecution(Zoo->Interrupt, ZooSilence, Zoo);
    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = CONNECT_LINE_BASED;
    disconnect.ConnectionContext.InterruptObject = Zoo->Interrupt;
    IoDisconnectInterruptEx(&disconnect);
    Zoo->Interrupt = NULL;
}

static VOID ZooRelease(PZOO Zoo)
{
    if (Zoo->Registers == NULL)
        return;
    if (Zoo->Users >= 0)
        InterlockedExchangeAdd(&Zoo->Users, ZOO_CLOSED);
    ZooQuiet(Zoo);
    while (Zoo->Users != ZOO_CLOSED)
        KeWaitForSingleObject(&Zoo->Left, Executive, KernelMode, FALSE, NULL);
    ZooDisconnect(Zoo);
    ZooGone(Zoo);
    MmUnmapIoSpace(Zoo->Registers, EDU_WINDOW);
    Zoo->Registers = NULL;
}

static NTSTATUS ZooStart(PZOO Zoo, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PCM_PARTIAL_RESOURCE_LIST list;
    NTSTATUS status;
    ULONG i;

    if (!IoForwardIrpSynchronously(Zoo->Lower, Irp))
        return STATUS_UNSUCCESSFUL;
    if (!NT_SUCCESS(Irp->IoStatus.Status))
        return Irp->IoStatus.Status;
    list = &stack->Parameters.StartDevice.AllocatedResourcesTranslated->List[0].PartialResourceList;
    for (i = 0; i < list->Count && Zoo->Registers == NULL; i++)
        if (list->PartialDescriptors[i].Type == CmResourceTypeMemory)
            Zoo->Registers =
                MmMapIoSpace(list->PartialDescriptors[i].u.Memory.Start, EDU_WINDOW, MmNonCached);
    if (Zoo->Registers == NULL)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    status = ZooPrepare(Zoo);
    if (NT_SUCCESS(status))
        status = ZooConnect(Zoo);
    if (!NT_SUCCESS(status)) {
        ZooRelease(Zoo);
        return status;
    }
    ZooReady(Zoo);
    InterlockedExchangeAdd(&Zoo->Users, ZOO_CLOSED);
    IoSetDeviceInterfaceState(&Zoo->Interface, TRUE);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI ZooPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO zoo = DeviceObject->DeviceExtension;
    NTSTATUS status;

    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        return ZooFinish(Irp, ZooStart(zoo, Irp), 0);

    case IRP_MN_STOP_DEVICE:
        ZooRelease(zoo);
        break;

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&zoo->Interface, FALSE);
        ZooRelease(zoo);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(zoo->Lower, Irp);
        RtlFreeUnicodeString(&zoo->Interface);
        IoDetachDevice(zoo->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        break;

    default:
        IoSkipCurrentIrpStackLocation(Irp);
        return IoCallDriver(zoo->Lower, Irp);
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(zoo->Lower, Irp);
}

static NTSTATUS NTAPI ZooPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO zoo = DeviceObject->DeviceExtension;

    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(zoo->Lower, Irp);
}

static NTSTATUS NTAPI ZooAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PZOO zoo;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(ZOO), NULL, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    zoo = fdo->DeviceExtension;
    zoo->Self = fdo;
    zoo->Pdo = Pdo;
    zoo->Users = ZOO_CLOSED;
    KeInitializeEvent(&zoo->Left, SynchronizationEvent, FALSE);
    status = IoRegisterDeviceInterface(Pdo, &ZooInterface, NULL, &zoo->Interface);
    if (NT_SUCCESS(status)) {
        zoo->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
        if (zoo->Lower == NULL) {
            RtlFreeUnicodeString(&zoo->Interface);
            status = STATUS_NO_SUCH_DEVICE;
        }
    }
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    fdo->Flags |= DO_BUFFERED_IO | (zoo->Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI ZooUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverExtension->AddDevice = ZooAddDevice;
    DriverObject->DriverUnload = ZooUnload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = ZooCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = ZooCreateClose;
    DriverObject->MajorFunction[IRP_MJ_READ] = ZooDispatchRead;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = ZooDispatchWrite;
    DriverObject->MajorFunction[IRP_MJ_PNP] = ZooPnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = ZooPower;
    return STATUS_SUCCESS;
}
