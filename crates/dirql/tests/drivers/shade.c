/* A filter driver that passes everything on, and imports from another driver. */
#include "test.h"

__declspec(dllimport) int LibNumber(int Number);

typedef struct _SHADE {
    PDEVICE_OBJECT Lower;
} SHADE, *PSHADE;

static NTSTATUS NTAPI ShadePass(PDEVICE_OBJECT Device, PIRP Irp)
{
    return Pass(((PSHADE)Device->DeviceExtension)->Lower, Irp);
}

static NTSTATUS NTAPI ShadePnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    PDEVICE_OBJECT lower = ((PSHADE)Device->DeviceExtension)->Lower;
    UCHAR minor = IoGetCurrentIrpStackLocation(Irp)->MinorFunction;
    NTSTATUS status;

    if (minor == IRP_MN_START_DEVICE)
        DbgPrint("shade: start, %d\n", LibNumber(1));
    if (minor != IRP_MN_REMOVE_DEVICE)
        return Pass(lower, Irp);
    status = Pass(lower, Irp);
    IoDetachDevice(lower);
    IoDeleteDevice(Device);
    return status;
}

static NTSTATUS NTAPI ShadePower(PDEVICE_OBJECT Device, PIRP Irp)
{
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(((PSHADE)Device->DeviceExtension)->Lower, Irp);
}

static NTSTATUS NTAPI ShadeAdd(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT device;
    PDEVICE_OBJECT lower;
    NTSTATUS status = IoCreateDevice(Driver, sizeof(SHADE), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);

    if (!NT_SUCCESS(status))
        return status;
    lower = IoAttachDeviceToDeviceStack(device, Pdo);
    ((PSHADE)device->DeviceExtension)->Lower = lower;
    device->Flags |= lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    DbgPrint("shade: %s the bus\n", lower == Pdo ? "directly above" : "not directly above");
    return STATUS_SUCCESS;
}

static VOID NTAPI ShadeUnload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    ULONG function;

    UNREFERENCED_PARAMETER(Path);
    for (function = 0; function <= IRP_MJ_MAXIMUM_FUNCTION; function++)
        Driver->MajorFunction[function] = ShadePass;
    Driver->MajorFunction[IRP_MJ_PNP] = ShadePnp;
    Driver->MajorFunction[IRP_MJ_POWER] = ShadePower;
    Driver->DriverExtension->AddDevice = ShadeAdd;
    Driver->DriverUnload = ShadeUnload;
    return STATUS_SUCCESS;
}
