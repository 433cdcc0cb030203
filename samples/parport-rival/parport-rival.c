/*
 * A client of the parallel port that competes for it: a write waits its turn, sends the bytes with
 * nStrobe and Busy (IEEE 1284, compatibility mode), slowly, and gives the port back.
 *
 * Shows how clients take turns (WDK, "Synchronizing the Use of a Parallel Port"): an allocate
 * request waits in the function driver's queue, and the owner leaves the bits of the control
 * register alone that are not about its byte. Others may have their interrupt on.
 *
 * A write to \??\PortRival sends bytes.
 */
#include "port-client.h"

/* The other end has this long to take a byte: 100 times 10 ms. */
#define RIVAL_TRIES 100
#define RIVAL_WAIT_MS 10

/* Between bytes, as a slow device wants it. */
#define RIVAL_PAUSE_MS 1

typedef struct _RIVAL {
    PORT Port;
} RIVAL, *PRIVAL;

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD RivalUnload;

static NTSTATUS RivalComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static VOID RivalSleep(LONG Milliseconds)
{
    LARGE_INTEGER interval;

    interval.QuadPart = -10000LL * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

/* The other end takes a byte only while Busy is low. */
static BOOLEAN RivalIsReady(PPORT Port)
{
    ULONG i;

    for (i = 0; i < RIVAL_TRIES; i++) {
        if (PortGet(Port, PORT_STATUS) & STATUS_NOT_BUSY)
            return TRUE;
        RivalSleep(RIVAL_WAIT_MS);
    }
    return FALSE;
}

/* The caller has the port. */
static BOOLEAN RivalSend(PPORT Port, UCHAR Byte)
{
    UCHAR control;

    if (!RivalIsReady(Port))
        return FALSE;
    control = PortGet(Port, PORT_CONTROL) & ~CONTROL_STROBE;
    PortSet(Port, PORT_DATA, Byte);
    KeStallExecutionProcessor(1);
    PortSet(Port, PORT_CONTROL, control | CONTROL_STROBE);
    KeStallExecutionProcessor(1);
    PortSet(Port, PORT_CONTROL, control);
    RivalSleep(RIVAL_PAUSE_MS);
    return TRUE;
}

static NTSTATUS NTAPI RivalWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPORT port = &((PRIVAL)DeviceObject->DeviceExtension)->Port;
    ULONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length;
    PUCHAR bytes = Irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status;
    ULONG sent = 0;

    if (length == 0)
        return RivalComplete(Irp, STATUS_SUCCESS, 0);
    status = PortAsk(port, IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, NULL, 0, 0);
    if (!NT_SUCCESS(status))
        return RivalComplete(Irp, status, 0);
    while (sent < length && RivalSend(port, bytes[sent]))
        sent++;
    /* The port is given back when the last byte has been taken, too. */
    if (sent < length || !RivalIsReady(port))
        status = STATUS_IO_TIMEOUT;
    port->Information.FreePort(port->Information.Context);
    return RivalComplete(Irp, status, sent);
}

static NTSTATUS NTAPI RivalCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return RivalComplete(Irp, STATUS_SUCCESS, 0);
}

static VOID NTAPI PAGED RivalUnload(PDRIVER_OBJECT DriverObject)
{
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\PortRival");
    PRIVAL rival = DriverObject->DeviceObject->DeviceExtension;

    IoDeleteSymbolicLink(&link);
    PortClose(&rival->Port);
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING port = RTL_CONSTANT_STRING(L"\\Device\\ParallelPort0");
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\PortRival");
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\PortRival");
    PDEVICE_OBJECT device;
    PRIVAL rival;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = RivalCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = RivalCreateClose;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = RivalWrite;
    DriverObject->DriverUnload = RivalUnload;

    status = IoCreateDevice(DriverObject, sizeof(RIVAL), &name, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    device->Flags |= DO_BUFFERED_IO;
    rival = device->DeviceExtension;
    status = PortOpen(&rival->Port, &port);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    status = IoCreateSymbolicLink(&link, &name);
    if (!NT_SUCCESS(status)) {
        PortClose(&rival->Port);
        IoDeleteDevice(device);
    }
    return status;
}
