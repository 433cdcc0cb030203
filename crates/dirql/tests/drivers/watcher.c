/* Waits for widgets and opens each one that arrives. */
#include "test.h"

/* {CB3A4004-46F0-11D0-B08F-00609713053F} */
static const GUID Arrival = {0xcb3a4004, 0x46f0, 0x11d0, {0xb0, 0x8f, 0x00, 0x60, 0x97, 0x13, 0x05, 0x3f}};

static PVOID Registration;

static NTSTATUS NTAPI Changed(PVOID Notification, PVOID Context)
{
    PDEVICE_INTERFACE_CHANGE_NOTIFICATION change = Notification;
    PFILE_OBJECT file;
    PDEVICE_OBJECT device;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Context);
    if (RtlCompareMemory(&change->Event, &Arrival, sizeof(Arrival)) != sizeof(Arrival)) {
        DbgPrint("watcher: a widget has left\n");
        return STATUS_SUCCESS;
    }
    status = IoGetDeviceObjectPointer(change->SymbolicLinkName, FILE_READ_DATA, &file, &device);
    DbgPrint("watcher: a widget has arrived, opened with 0x%08x\n", status);
    if (NT_SUCCESS(status)) {
        DbgPrint("watcher: below it %d\n", AskBelow(device, IOCTL_BUS_NUMBER));
        ObDereferenceObject(file);
    }
    return STATUS_SUCCESS;
}

static VOID NTAPI WatcherUnload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    IoUnregisterPlugPlayNotification(Registration);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    UNREFERENCED_PARAMETER(Path);
    Driver->DriverUnload = WatcherUnload;
    return IoRegisterPlugPlayNotification(EventCategoryDeviceInterfaceChange,
                                          PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES,
                                          (PVOID)&WidgetInterface, Driver, Changed, NULL, &Registration);
}
