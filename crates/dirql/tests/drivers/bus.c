/* A bus driver: its device reports one child, TEST\Widget, which can be taken away and brought
 * back. The child answers IOCTL_BUS_NUMBER; it asks for the registers and the line of the bus, and
 * needs no driver. */
#include "test.h"

typedef struct _BUS_DEVICE {
    BOOLEAN IsChild;
    BOOLEAN Present; /* the child is on the bus */
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    PDEVICE_OBJECT Other; /* the child of the bus, the bus of the child */
    CM_PARTIAL_RESOURCE_DESCRIPTOR Memory; /* as the bus above sees them */
    CM_PARTIAL_RESOURCE_DESCRIPTOR Line;
    UNICODE_STRING Link; /* of a child without a driver */
} BUS_DEVICE, *PBUS_DEVICE;

static PVOID Text(const WCHAR *Characters, ULONG Bytes)
{
    PVOID copy = ExAllocatePoolWithTag(PagedPool, Bytes, 'txeT');

    if (copy != NULL)
        RtlCopyMemory(copy, Characters, Bytes);
    return copy;
}

static NTSTATUS ChildId(PIRP Irp, BUS_QUERY_ID_TYPE Type)
{
    static const WCHAR device[] = L"TEST\\Widget";
    static const WCHAR hardware[] = L"TEST\\Widget_2\0TEST\\Widget\0";
    static const WCHAR instance[] = L"7";
    PVOID text;

    switch (Type) {
    case BusQueryDeviceID:
        text = Text(device, sizeof(device));
        break;
    case BusQueryHardwareIDs:
        text = Text(hardware, sizeof(hardware));
        break;
    case BusQueryInstanceID:
        text = Text(instance, sizeof(instance));
        break;
    default:
        return Complete(Irp, Irp->IoStatus.Status, Irp->IoStatus.Information);
    }
    return Complete(Irp, text == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS, (ULONG_PTR)text);
}

/* The registers and the line that the bus has itself, shared. */
static NTSTATUS ChildRequirements(PBUS_DEVICE Child, PIRP Irp)
{
    PBUS_DEVICE bus = Child->Other->DeviceExtension;
    ULONG size = sizeof(IO_RESOURCE_REQUIREMENTS_LIST) + sizeof(IO_RESOURCE_DESCRIPTOR);
    PIO_RESOURCE_REQUIREMENTS_LIST list = ExAllocatePoolWithTag(PagedPool, size, 'qeRT');
    PIO_RESOURCE_DESCRIPTOR wish;

    if (list == NULL)
        return Complete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    RtlZeroMemory(list, size);
    list->ListSize = size;
    list->InterfaceType = InterfaceTypeUndefined;
    list->AlternativeLists = 1;
    list->List[0].Version = 1;
    list->List[0].Revision = 1;
    list->List[0].Count = 2;
    wish = list->List[0].Descriptors;
    wish[0].Type = CmResourceTypeMemory;
    wish[0].ShareDisposition = CmResourceShareShared;
    wish[0].u.Memory.Length = bus->Memory.u.Memory.Length;
    wish[0].u.Memory.Alignment = 1;
    wish[0].u.Memory.MinimumAddress = bus->Memory.u.Memory.Start;
    wish[0].u.Memory.MaximumAddress.QuadPart =
        bus->Memory.u.Memory.Start.QuadPart + bus->Memory.u.Memory.Length - 1;
    wish[1].Type = CmResourceTypeInterrupt;
    wish[1].ShareDisposition = CmResourceShareShared;
    wish[1].Flags = CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE;
    wish[1].u.Interrupt.MinimumVector = bus->Line.u.Interrupt.Vector;
    wish[1].u.Interrupt.MaximumVector = bus->Line.u.Interrupt.Vector;
    return Complete(Irp, STATUS_SUCCESS, (ULONG_PTR)list);
}

static VOID StartRaw(PDEVICE_OBJECT Device, PBUS_DEVICE Child)
{
    static const GUID raw = {0x6d1a0d1d, 0x2f3b, 0x4c5d, {0x8e, 0x9f, 0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xf5}};

    DbgPrint("bus: the child starts without a driver\n");
    if (NT_SUCCESS(IoRegisterDeviceInterface(Device, &raw, NULL, &Child->Link)))
        IoSetDeviceInterfaceState(&Child->Link, TRUE);
}

static NTSTATUS ChildPnp(PDEVICE_OBJECT Device, PBUS_DEVICE Child, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);

    switch (stack->MinorFunction) {
    case IRP_MN_QUERY_ID:
        return ChildId(Irp, stack->Parameters.QueryId.IdType);
    case IRP_MN_QUERY_RESOURCE_REQUIREMENTS:
        return ChildRequirements(Child, Irp);
    case IRP_MN_START_DEVICE:
        if (Device->AttachedDevice == NULL)
            StartRaw(Device, Child);
        return Complete(Irp, STATUS_SUCCESS, 0);
    case IRP_MN_QUERY_CAPABILITIES:
        stack->Parameters.DeviceCapabilities.Capabilities->RawDeviceOK = TRUE;
        return Complete(Irp, STATUS_SUCCESS, 0);
    case IRP_MN_STOP_DEVICE:
    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
    case IRP_MN_SURPRISE_REMOVAL:
        return Complete(Irp, STATUS_SUCCESS, 0);
    case IRP_MN_REMOVE_DEVICE:
        DbgPrint("bus: the child is removed%s\n", Child->Present ? "" : " for good");
        RtlFreeUnicodeString(&Child->Link);
        Complete(Irp, STATUS_SUCCESS, 0);
        if (!Child->Present)
            IoDeleteDevice(Device);
        return STATUS_SUCCESS;
    default:
        return Complete(Irp, Irp->IoStatus.Status, Irp->IoStatus.Information);
    }
}

static PDEVICE_OBJECT NewChild(PDEVICE_OBJECT Device)
{
    PDEVICE_OBJECT child;
    PBUS_DEVICE extension;

    if (!NT_SUCCESS(IoCreateDevice(Device->DriverObject, sizeof(BUS_DEVICE), NULL, FILE_DEVICE_UNKNOWN,
                                   FILE_AUTOGENERATED_DEVICE_NAME, FALSE, &child)))
        return NULL;
    extension = child->DeviceExtension;
    extension->IsChild = TRUE;
    extension->Present = TRUE;
    extension->Other = Device;
    child->Flags |= DO_POWER_PAGABLE;
    child->Flags &= ~DO_DEVICE_INITIALIZING;
    return child;
}

static NTSTATUS Relations(PBUS_DEVICE Bus, PIRP Irp)
{
    PDEVICE_RELATIONS list = ExAllocatePoolWithTag(PagedPool, sizeof(DEVICE_RELATIONS), 'leRT');

    if (list == NULL)
        return Complete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    list->Count = Bus->Other != NULL;
    list->Objects[0] = Bus->Other;
    if (Bus->Other != NULL)
        ObReferenceObject(Bus->Other);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = (ULONG_PTR)list;
    return Pass(Bus->Lower, Irp);
}

static VOID Remember(PBUS_DEVICE Bus, PCM_PARTIAL_RESOURCE_LIST Raw)
{
    ULONG i;

    for (i = 0; i < Raw->Count; i++) {
        if (Raw->PartialDescriptors[i].Type == CmResourceTypeMemory)
            Bus->Memory = Raw->PartialDescriptors[i];
        if (Raw->PartialDescriptors[i].Type == CmResourceTypeInterrupt)
            Bus->Line = Raw->PartialDescriptors[i];
    }
}

static NTSTATUS NTAPI BusPnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    PBUS_DEVICE bus = Device->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PDEVICE_OBJECT lower = bus->Lower;
    NTSTATUS status;

    if (bus->IsChild)
        return ChildPnp(Device, bus, Irp);
    switch (stack->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = PassAndWait(lower, Irp);
        if (NT_SUCCESS(status)) {
            Remember(bus, &stack->Parameters.StartDevice.AllocatedResources->List[0].PartialResourceList);
            bus->Other = NewChild(Device);
        }
        return Complete(Irp, status, 0);
    case IRP_MN_QUERY_DEVICE_RELATIONS:
        if (stack->Parameters.QueryDeviceRelations.Type == BusRelations)
            return Relations(bus, Irp);
        return Pass(lower, Irp);
    case IRP_MN_REMOVE_DEVICE:
        Irp->IoStatus.Status = STATUS_SUCCESS;
        status = Pass(lower, Irp);
        if (bus->Other != NULL)
            IoDeleteDevice(bus->Other);
        IoDetachDevice(lower);
        IoDeleteDevice(Device);
        return status;
    default:
        return Pass(lower, Irp);
    }
}

static NTSTATUS NTAPI BusPower(PDEVICE_OBJECT Device, PIRP Irp)
{
    PBUS_DEVICE bus = Device->DeviceExtension;

    PoStartNextPowerIrp(Irp);
    if (bus->IsChild)
        return Complete(Irp, STATUS_SUCCESS, 0);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(bus->Lower, Irp);
}

static NTSTATUS NTAPI BusInternal(PDEVICE_OBJECT Device, PIRP Irp)
{
    PBUS_DEVICE child = Device->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);

    if (!child->IsChild || stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_BUS_NUMBER)
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    *(PLONG)Irp->UserBuffer = 42;
    return Complete(Irp, STATUS_SUCCESS, sizeof(LONG));
}

static NTSTATUS NTAPI BusControl(PDEVICE_OBJECT Device, PIRP Irp)
{
    PBUS_DEVICE bus = Device->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);

    if (bus->IsChild || stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_BUS_TOGGLE)
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (bus->Other != NULL) {
        ((PBUS_DEVICE)bus->Other->DeviceExtension)->Present = FALSE;
        bus->Other = NULL;
    } else {
        bus->Other = NewChild(Device);
    }
    IoInvalidateDeviceRelations(bus->Pdo, BusRelations);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI BusOpen(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI BusClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    PBUS_DEVICE bus = Device->DeviceExtension;

    if (bus->IsChild && Device->AttachedDevice == NULL)
        DbgPrint("bus: the child is closed\n");
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI BusAdd(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\TestBus");
    PDEVICE_OBJECT device;
    PBUS_DEVICE bus;
    NTSTATUS status = IoCreateDevice(Driver, sizeof(BUS_DEVICE), &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);

    if (!NT_SUCCESS(status))
        return status;
    bus = device->DeviceExtension;
    bus->Pdo = Pdo;
    bus->Lower = IoAttachDeviceToDeviceStack(device, Pdo);
    device->Flags |= DO_POWER_PAGABLE;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI BusUnload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    UNREFERENCED_PARAMETER(Path);
    Driver->DriverExtension->AddDevice = BusAdd;
    Driver->DriverUnload = BusUnload;
    Driver->MajorFunction[IRP_MJ_CREATE] = BusOpen;
    Driver->MajorFunction[IRP_MJ_CLOSE] = BusClose;
    Driver->MajorFunction[IRP_MJ_PNP] = BusPnp;
    Driver->MajorFunction[IRP_MJ_POWER] = BusPower;
    Driver->MajorFunction[IRP_MJ_INTERNAL_DEVICE_CONTROL] = BusInternal;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = BusControl;
    return STATUS_SUCCESS;
}
