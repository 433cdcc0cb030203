/* The function driver of TEST\Widget: asks its bus for a number when it starts, and offers an
 * interface. */
#include "test.h"

typedef struct _WIDGET {
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
} WIDGET, *PWIDGET;

static NTSTATUS NTAPI WidgetPnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    PWIDGET widget = Device->DeviceExtension;
    PDEVICE_OBJECT lower = widget->Lower;
    NTSTATUS status;

    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = PassAndWait(lower, Irp);
        if (NT_SUCCESS(status)) {
            DbgPrint("widget: the bus says %d\n", AskBelow(lower, IOCTL_BUS_NUMBER));
            IoSetDeviceInterfaceState(&widget->Interface, TRUE);
        }
        return Complete(Irp, status, 0);
    case IRP_MN_SURPRISE_REMOVAL:
        DbgPrint("widget: gone\n");
        IoSetDeviceInterfaceState(&widget->Interface, FALSE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return Pass(lower, Irp);
    case IRP_MN_REMOVE_DEVICE:
        DbgPrint("widget: removed\n");
        IoSetDeviceInterfaceState(&widget->Interface, FALSE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        status = Pass(lower, Irp);
        RtlFreeUnicodeString(&widget->Interface);
        IoDetachDevice(lower);
        IoDeleteDevice(Device);
        return status;
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return Pass(lower, Irp);
    default:
        return Pass(lower, Irp);
    }
}

static NTSTATUS NTAPI WidgetInternal(PDEVICE_OBJECT Device, PIRP Irp)
{
    return Pass(((PWIDGET)Device->DeviceExtension)->Lower, Irp);
}

static NTSTATUS NTAPI WidgetPower(PDEVICE_OBJECT Device, PIRP Irp)
{
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(((PWIDGET)Device->DeviceExtension)->Lower, Irp);
}

static NTSTATUS NTAPI WidgetOpen(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI WidgetAdd(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT device;
    PWIDGET widget;
    NTSTATUS status = IoCreateDevice(Driver, sizeof(WIDGET), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);

    if (!NT_SUCCESS(status))
        return status;
    widget = device->DeviceExtension;
    status = IoRegisterDeviceInterface(Pdo, &WidgetInterface, NULL, &widget->Interface);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    widget->Lower = IoAttachDeviceToDeviceStack(device, Pdo);
    device->Flags |= DO_POWER_PAGABLE;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI WidgetUnload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    UNREFERENCED_PARAMETER(Path);
    Driver->DriverExtension->AddDevice = WidgetAdd;
    Driver->DriverUnload = WidgetUnload;
    Driver->MajorFunction[IRP_MJ_CREATE] = WidgetOpen;
    Driver->MajorFunction[IRP_MJ_CLOSE] = WidgetOpen;
    Driver->MajorFunction[IRP_MJ_INTERNAL_DEVICE_CONTROL] = WidgetInternal;
    Driver->MajorFunction[IRP_MJ_PNP] = WidgetPnp;
    Driver->MajorFunction[IRP_MJ_POWER] = WidgetPower;
    return STATUS_SUCCESS;
}
