/* A client of the parallel port's class driver: sends and receives in DriverEntry, by the routines
   that it is given. */
#include "test.h"
#include <parallel.h>

/* Constants of ntddpar.h. */
#define PAR_COMPATIBILITY 0x0002
#define PAR_NIBBLE 0x0004
#define PAR_BYTE 0x0010

/* Sends an internal request; the answer goes to Output. */
static NTSTATUS Ask(PDEVICE_OBJECT Device, ULONG Code, PVOID Output, ULONG Length)
{
    KEVENT done;
    IO_STATUS_BLOCK answer;
    PIRP irp;
    NTSTATUS status;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    irp = IoBuildDeviceIoControlRequest(Code, Device, NULL, 0, Output, Length, TRUE, &done, &answer);
    if (irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = IoCallDriver(Device, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = answer.Status;
    }
    return status;
}

static VOID Receive(PPARCLASS_INFORMATION Class, ULONG Most)
{
    CHAR buffer[8] = {0};
    ULONG count = 99;
    NTSTATUS status = Class->ParallelRead(Class->ParclassContext, buffer, Most, &count, 0);

    DbgPrint("class: read 0x%08x, %u: %s\n", status, count, buffer);
}

static VOID Talk(PPARCLASS_INFORMATION Class)
{
    PVOID context = Class->ParclassContext;
    PARALLEL_1284_COMMAND last = {4, 0, PAR_HAVE_PORT_KEEP_PORT};
    PARALLEL_1284_COMMAND nobody = {3, 0, PAR_HAVE_PORT_KEEP_PORT};
    ULONG count = 99;
    NTSTATUS status;

    DbgPrint("class: modes 0x%04x\n", Class->DetermineIeeeModes(context));
    status = Class->ParallelWrite(context, "ping", 4, &count, 0);
    DbgPrint("class: written 0x%08x, %u\n", status, count);
    Receive(Class, 3);
    DbgPrint("class: terminated 0x%08x\n", Class->TerminateIeeeMode(context));
    status = Class->NegotiateIeeeMode(context, PAR_COMPATIBILITY, PAR_NIBBLE | PAR_BYTE, SAFE_MODE, TRUE);
    DbgPrint("class: negotiated 0x%08x\n", status);
    DbgPrint("class: reverse 0x%08x\n", Class->IeeeFwdToRevMode(context));
    Receive(Class, 7);
    DbgPrint("class: forward 0x%08x\n", Class->IeeeRevToFwdMode(context));
    DbgPrint("class: selected 0x%08x, 0x%08x\n", Class->ParallelTryselect(context, last),
             Class->ParallelTryselect(context, nobody));
    DbgPrint("class: deselected 0x%08x\n", Class->ParallelDeSelect(context, last));
}

static VOID NTAPI ClassUnload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\Parallel0.4");
    PARCLASS_INFORMATION class;
    PFILE_OBJECT file;
    PDEVICE_OBJECT device;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Path);
    Driver->DriverUnload = ClassUnload;
    status = IoGetDeviceObjectPointer(&name, FILE_READ_DATA | FILE_WRITE_DATA, &file, &device);
    if (!NT_SUCCESS(status))
        return status;
    status = Ask(device, IOCTL_INTERNAL_PARCLASS_CONNECT, &class, sizeof(class));
    if (NT_SUCCESS(status)) {
        status = Ask(device, IOCTL_INTERNAL_LOCK_PORT, NULL, 0);
        if (NT_SUCCESS(status)) {
            Talk(&class);
            Ask(device, IOCTL_INTERNAL_DISCONNECT_IDLE, NULL, 0);
            Ask(device, IOCTL_INTERNAL_UNLOCK_PORT, NULL, 0);
        }
        Ask(device, IOCTL_INTERNAL_PARCLASS_DISCONNECT, NULL, 0);
    }
    ObDereferenceObject(file);
    return status;
}
