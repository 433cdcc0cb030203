/* The function driver of TEST\Widget: asks its bus for a number when it starts, offers an
 * interface, and connects the interrupt that it is given, which its bus's device "edu" drives. */
#include "test.h"

#define EDU_STATUS 0x24
#define EDU_RAISE 0x60
#define EDU_ACKNOWLEDGE 0x64

typedef struct _WIDGET {
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    PUCHAR Registers;
    ULONG Length;
    PKINTERRUPT Interrupt;
    LONG Interrupts;
} WIDGET, *PWIDGET;

static BOOLEAN NTAPI Service(PKINTERRUPT Interrupt, PVOID Context)
{
    PWIDGET widget = Context;
    ULONG causes = READ_REGISTER_ULONG((PULONG)(widget->Registers + EDU_STATUS));

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
    WRITE_REGISTER_ULONG((PULONG)(widget->Registers + EDU_ACKNOWLEDGE), causes);
    InterlockedIncrement(&widget->Interrupts);
    return TRUE;
}

static NTSTATUS Connect(PWIDGET Widget, PCM_PARTIAL_RESOURCE_LIST List)
{
    IO_CONNECT_INTERRUPT_PARAMETERS parameters;
    NTSTATUS status;
    ULONG i;

    for (i = 0; i < List->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR resource = &List->PartialDescriptors[i];
        if (resource->Type == CmResourceTypeMemory) {
            Widget->Length = resource->u.Memory.Length;
            Widget->Registers = MmMapIoSpace(resource->u.Memory.Start, Widget->Length, MmNonCached);
        }
    }
    if (Widget->Registers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(&parameters, sizeof(parameters));
    parameters.Version = CONNECT_LINE_BASED;
    parameters.LineBased.PhysicalDeviceObject = Widget->Pdo;
    parameters.LineBased.InterruptObject = &Widget->Interrupt;
    parameters.LineBased.ServiceRoutine = Service;
    parameters.LineBased.ServiceContext = Widget;
    status = IoConnectInterruptEx(&parameters);
    if (!NT_SUCCESS(status))
        return status;
    WRITE_REGISTER_ULONG((PULONG)(Widget->Registers + EDU_RAISE), 1);
    KeStallExecutionProcessor(10);
    DbgPrint("widget: interrupts %d\n", Widget->Interrupts);
    return STATUS_SUCCESS;
}

static VOID Disconnect(PWIDGET Widget)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS parameters;

    if (Widget->Interrupt != NULL) {
        parameters.Version = CONNECT_LINE_BASED;
        parameters.ConnectionContext.InterruptObject = Widget->Interrupt;
        IoDisconnectInterruptEx(&parameters);
        Widget->Interrupt = NULL;
    }
    if (Widget->Registers != NULL)
        MmUnmapIoSpace(Widget->Registers, Widget->Length);
    Widget->Registers = NULL;
}

static NTSTATUS NTAPI WidgetPnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    PWIDGET widget = Device->DeviceExtension;
    PDEVICE_OBJECT lower = widget->Lower;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status;

    switch (stack->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = PassAndWait(lower, Irp);
        if (NT_SUCCESS(status)) {
            DbgPrint("widget: the bus says %d\n", AskBelow(lower, IOCTL_BUS_NUMBER));
            status = Connect(widget, &stack->Parameters.StartDevice.AllocatedResourcesTranslated->List[0]
                                          .PartialResourceList);
            IoSetDeviceInterfaceState(&widget->Interface, NT_SUCCESS(status));
        }
        return Complete(Irp, status, 0);
    case IRP_MN_SURPRISE_REMOVAL:
        DbgPrint("widget: gone\n");
        Disconnect(widget);
        IoSetDeviceInterfaceState(&widget->Interface, FALSE);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return Pass(lower, Irp);
    case IRP_MN_REMOVE_DEVICE:
        DbgPrint("widget: removed\n");
        Disconnect(widget);
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
    widget->Pdo = Pdo;
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
