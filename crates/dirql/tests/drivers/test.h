/* What the drivers of these tests have in common. */
#include <ntddk.h>

/* As the bus driver answers an internal request of the widget's driver. */
#define IOCTL_BUS_NUMBER CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_NEITHER, FILE_ANY_ACCESS)
/* The bus takes its child away, or brings it back. */
#define IOCTL_BUS_TOGGLE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

/* {5E0A5B3C-2A5F-4D5A-9A55-7B1D2A3C4D5E} */
static const GUID WidgetInterface =
    {0x5e0a5b3c, 0x2a5f, 0x4d5a, {0x9a, 0x55, 0x7b, 0x1d, 0x2a, 0x3c, 0x4d, 0x5e}};

static inline NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static inline NTSTATUS Pass(PDEVICE_OBJECT Lower, PIRP Irp)
{
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Lower, Irp);
}

static NTSTATUS NTAPI Wake(PDEVICE_OBJECT Device, PIRP Irp, PVOID Event)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static inline NTSTATUS PassAndWait(PDEVICE_OBJECT Lower, PIRP Irp)
{
    KEVENT done;
    NTSTATUS status;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, Wake, &done, TRUE, TRUE, TRUE);
    status = IoCallDriver(Lower, Irp);
    if (status == STATUS_PENDING)
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

/* Asks a device below with an internal request; the answer, or -1. */
static inline LONG AskBelow(PDEVICE_OBJECT Lower, ULONG Code)
{
    KEVENT done;
    IO_STATUS_BLOCK answer;
    LONG value = -1;
    PIRP irp;
    NTSTATUS status;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    irp = IoBuildDeviceIoControlRequest(Code, Lower, NULL, 0, &value, sizeof(value), TRUE, &done, &answer);
    if (irp == NULL)
        return -1;
    status = IoCallDriver(Lower, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = answer.Status;
    }
    return NT_SUCCESS(status) ? value : -1;
}
