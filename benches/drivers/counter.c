/* A counter that the dispatch routine and the ISR share, and the interrupt's lock around it. */
#include <ddk/wdm.h>

/* IRP_MJ_WRITE of four bytes: so many updates with the lock, in the low 16 bits, and then one
 * without it if this is set: load, a call, store. */
#define COUNTER_UNLOCKED 0x10000
/* The request stays with the driver until its handle is closed. There is one such at a time. */
#define COUNTER_STAYS 0x20000

/* {8D1C6C0E-3B0B-4B5D-9B27-5E6E8C2A7F11} */
static const GUID CounterInterface =
    {0x8d1c6c0e, 0x3b0b, 0x4b5d, {0x9b, 0x27, 0x5e, 0x6e, 0x8c, 0x2a, 0x7f, 0x11}};

typedef struct {
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    PKINTERRUPT Interrupt;
    PIRP Staying;
    ULONG Count;
} COUNTER, *PCOUNTER;

static BOOLEAN NTAPI CounterIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PCOUNTER counter = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    counter->Count++;
    return TRUE;
}

static NTSTATUS CounterEnd(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI CounterCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return CounterEnd(Irp, STATUS_SUCCESS, 0);
}

/* IRP_MJ_READ of four bytes gives the count; of eight, where it is, for a test that looks there
 * without asking the driver again. */
static NTSTATUS NTAPI CounterRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PCOUNTER counter = DeviceObject->DeviceExtension;
    ULONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length;

    if (length == sizeof(PULONG)) {
        *(PULONG *)Irp->AssociatedIrp.SystemBuffer = &counter->Count;
        return CounterEnd(Irp, STATUS_SUCCESS, sizeof(PULONG));
    }
    if (length != sizeof(ULONG))
        return CounterEnd(Irp, STATUS_INVALID_PARAMETER, 0);
    *(PULONG)Irp->AssociatedIrp.SystemBuffer = counter->Count;
    return CounterEnd(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

static VOID CounterUpdate(PCOUNTER Counter)
{
    KIRQL irql = KeAcquireInterruptSpinLock(Counter->Interrupt);

    Counter->Count++;
    KeReleaseInterruptSpinLock(Counter->Interrupt, irql);
}

static NTSTATUS NTAPI CounterWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PCOUNTER counter = DeviceObject->DeviceExtension;
    ULONG updates;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length != sizeof(ULONG))
        return CounterEnd(Irp, STATUS_INVALID_PARAMETER, 0);
    updates = *(PULONG)Irp->AssociatedIrp.SystemBuffer;
    for (ULONG i = 0; i < (updates & 0xFFFF); i++)
        CounterUpdate(counter);
    if (updates & COUNTER_UNLOCKED) {
        ULONG count = counter->Count;

        KeStallExecutionProcessor(1);
        counter->Count = count + 1;
    }
    if (updates & COUNTER_STAYS) {
        IoMarkIrpPending(Irp);
        counter->Staying = Irp;
        return STATUS_PENDING;
    }
    return CounterEnd(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS NTAPI CounterCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PCOUNTER counter = DeviceObject->DeviceExtension;
    PIRP staying = InterlockedExchangePointer((PVOID *)&counter->Staying, NULL);

    if (staying != NULL)
        CounterEnd(staying, STATUS_SUCCESS, sizeof(ULONG));
    return CounterEnd(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS CounterStart(PCOUNTER Counter, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PCM_PARTIAL_RESOURCE_LIST list;
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    NTSTATUS status;

    if (!IoForwardIrpSynchronously(Counter->Lower, Irp))
        return STATUS_UNSUCCESSFUL;
    if (!NT_SUCCESS(Irp->IoStatus.Status))
        return Irp->IoStatus.Status;
    list = &stack->Parameters.StartDevice.AllocatedResourcesTranslated->List[0].PartialResourceList;
    for (ULONG i = 0; i < list->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR resource = &list->PartialDescriptors[i];

        if (resource->Type != CmResourceTypeInterrupt)
            continue;
        RtlZeroMemory(&connect, sizeof(connect));
        connect.Version = CONNECT_FULLY_SPECIFIED;
        connect.FullySpecified.PhysicalDeviceObject = Counter->Pdo;
        connect.FullySpecified.InterruptObject = &Counter->Interrupt;
        connect.FullySpecified.ServiceRoutine = CounterIsr;
        connect.FullySpecified.ServiceContext = Counter;
        connect.FullySpecified.SynchronizeIrql = (KIRQL)resource->u.Interrupt.Level;
        connect.FullySpecified.Vector = resource->u.Interrupt.Vector;
        connect.FullySpecified.Irql = (KIRQL)resource->u.Interrupt.Level;
        connect.FullySpecified.ProcessorEnableMask = resource->u.Interrupt.Affinity;
        connect.FullySpecified.InterruptMode =
            (resource->Flags & CM_RESOURCE_INTERRUPT_LATCHED) ? Latched : LevelSensitive;
        connect.FullySpecified.ShareVector = resource->ShareDisposition == CmResourceShareShared;
        status = IoConnectInterruptEx(&connect);
        if (NT_SUCCESS(status))
            status = IoSetDeviceInterfaceState(&Counter->Interface, TRUE);
        return status;
    }
    return STATUS_DEVICE_CONFIGURATION_ERROR;
}

static VOID CounterRelease(PCOUNTER Counter)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    if (Counter->Interrupt == NULL)
        return;
    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = CONNECT_FULLY_SPECIFIED;
    disconnect.ConnectionContext.InterruptObject = Counter->Interrupt;
    IoDisconnectInterruptEx(&disconnect);
    Counter->Interrupt = NULL;
}

static NTSTATUS NTAPI CounterPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PCOUNTER counter = DeviceObject->DeviceExtension;
    NTSTATUS status;

    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        return CounterEnd(Irp, CounterStart(counter, Irp), 0);

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&counter->Interface, FALSE);
        CounterRelease(counter);
        RtlFreeUnicodeString(&counter->Interface);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(counter->Lower, Irp);
        IoDetachDevice(counter->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        Irp->IoStatus.Status = STATUS_SUCCESS;
        break;
    }
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(counter->Lower, Irp);
}

static NTSTATUS NTAPI CounterPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PCOUNTER counter = DeviceObject->DeviceExtension;

    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(counter->Lower, Irp);
}

static NTSTATUS NTAPI CounterAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PCOUNTER counter;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(COUNTER), NULL, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    counter = fdo->DeviceExtension;
    counter->Pdo = Pdo;
    status = IoRegisterDeviceInterface(Pdo, &CounterInterface, NULL, &counter->Interface);
    if (NT_SUCCESS(status)) {
        counter->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
        if (counter->Lower == NULL) {
            RtlFreeUnicodeString(&counter->Interface);
            status = STATUS_NO_SUCH_DEVICE;
        }
    }
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    fdo->Flags |= DO_BUFFERED_IO | (counter->Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI CounterUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverExtension->AddDevice = CounterAddDevice;
    DriverObject->DriverUnload = CounterUnload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = CounterCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = CounterCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = CounterCleanup;
    DriverObject->MajorFunction[IRP_MJ_READ] = CounterRead;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = CounterWrite;
    DriverObject->MajorFunction[IRP_MJ_PNP] = CounterPnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = CounterPower;
    return STATUS_SUCCESS;
}
