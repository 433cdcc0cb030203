/* A driver that does one thing after the other for which Windows stops, and notes what it was told. */
#include "test.h"

/* That of the headers is the instruction, which asks nothing. */
typedef KIRQL(NTAPI *RAISE)(KIRQL New);

#define TAG 'bbts'
#define OTHER 'rhto'

static PDEVICE_OBJECT Device;

/* What it was told, for a read. */
static struct {
    NTSTATUS Waited;
    ULONG Raised;
    ULONG Level;
    ULONG Dereferenced;
} Told;

static VOID Try(VOID)
{
    static PVOID many[MAXIMUM_WAIT_OBJECTS + 1];
    PVOID block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    UNICODE_STRING name;
    RAISE raise;
    KIRQL old;

    ExFreePoolWithTag(block, TAG);
    ExFreePoolWithTag(block, TAG);
    block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG | PROTECTED_POOL);
    ExFreePoolWithTag(block, OTHER);
    Told.Waited = KeWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS + 1, many, WaitAll, Executive, KernelMode, FALSE, NULL,
                                           NULL);
    RtlInitUnicodeString(&name, L"KfRaiseIrql");
    raise = (RAISE)MmGetSystemRoutineAddress(&name);
    old = raise(DISPATCH_LEVEL);
    Told.Raised = raise(APC_LEVEL);
    Told.Level = KeGetCurrentIrql();
    KeLowerIrql(old);
    Told.Dereferenced = (ULONG)ObfDereferenceObject(&Told);
}

static NTSTATUS NTAPI Open(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, &Told, sizeof(Told));
    Complete(Irp, STATUS_SUCCESS, sizeof(Told));
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

/* What nothing goes on after: the driver's own end of everything. */
static NTSTATUS NTAPI Write(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeBugCheckEx(0xE2, 1, 2, 3, 4);
}

/* Nor after a fault. */
static NTSTATUS NTAPI Control(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    *(volatile ULONG *)(ULONG_PTR)0xFFFFF78FFFFFF000 = 1;
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    IoDeleteDevice(Device);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING name;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = Open;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = Open;
    DriverObject->MajorFunction[IRP_MJ_READ] = Read;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = Write;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    RtlInitUnicodeString(&name, L"\\Device\\Stubborn");
    status = IoCreateDevice(DriverObject, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    Device->Flags |= DO_BUFFERED_IO;
    Try();
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
