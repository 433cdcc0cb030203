/*
 * Plug and play for the drivers of these tests. Before it is included: DEVICE, which begins with
 * DEVICE_BASE, and these:
 *
 *   Prepare     a new device
 *   Resource    one of the resources that it was given
 *   Release     its resources are taken away
 *   Control     IRP_MJ_DEVICE_CONTROL
 *   Begin       the driver was loaded
 */

/* {2D0E4E61-8D5F-4B0B-8E0B-6E6A5D0C7A11} */
static const GUID TestInterface =
    {0x2d0e4e61, 0x8d5f, 0x4b0b, {0x8e, 0x0b, 0x6e, 0x6a, 0x5d, 0x0c, 0x7a, 0x11}};

static NTSTATUS PassDown(PDEVICE Device, PIRP Irp)
{
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Device->Lower, Irp);
}

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return PassDown(DeviceObject->DeviceExtension, Irp);
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PDEVICE device = DeviceObject->DeviceExtension;

    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(device->Lower, Irp);
}

static NTSTATUS Start(PDEVICE Device, PCM_RESOURCE_LIST Translated)
{
    NTSTATUS status = STATUS_SUCCESS;
    PCM_PARTIAL_RESOURCE_LIST list;
    ULONG i;

    if (Translated == NULL || Translated->Count == 0)
        return STATUS_SUCCESS;
    list = &Translated->List[0].PartialResourceList;
    for (i = 0; i < list->Count && NT_SUCCESS(status); i++)
        status = Resource(Device, &list->PartialDescriptors[i]);
    return status;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PDEVICE device = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status;

    switch (stack->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = STATUS_UNSUCCESSFUL;
        if (IoForwardIrpSynchronously(device->Lower, Irp))
            status = Irp->IoStatus.Status;
        if (NT_SUCCESS(status))
            status = Start(device, stack->Parameters.StartDevice.AllocatedResourcesTranslated);
        if (NT_SUCCESS(status))
            IoSetDeviceInterfaceState(&device->Interface, TRUE);
        return Complete(Irp, status, 0);

    case IRP_MN_STOP_DEVICE:
    case IRP_MN_SURPRISE_REMOVAL:
        Release(device);
        break;

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&device->Interface, FALSE);
        Release(device);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        status = PassDown(device, Irp);
        RtlFreeUnicodeString(&device->Interface);
        IoDetachDevice(device->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        break;

    default:
        return PassDown(device, Irp);
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    return PassDown(device, Irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PDEVICE device;
    NTSTATUS status;

    status = IoCreateDevice(DriverObject, sizeof(DEVICE), NULL, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    device = fdo->DeviceExtension;
    device->Self = fdo;
    device->Pdo = Pdo;
    Prepare(device);
    status = IoRegisterDeviceInterface(Pdo, &TestInterface, NULL, &device->Interface);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    device->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
    if (device->Lower == NULL) {
        RtlFreeUnicodeString(&device->Interface);
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    fdo->Flags |= DO_BUFFERED_IO | (device->Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Begin();
    DriverObject->DriverExtension->AddDevice = AddDevice;
    DriverObject->DriverUnload = Unload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    DriverObject->MajorFunction[IRP_MJ_PNP] = Pnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = Power;
    DriverObject->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    return STATUS_SUCCESS;
}
