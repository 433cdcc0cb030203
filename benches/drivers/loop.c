/* A loop over plain memory: five instructions a round, two of which access memory. */
#include <ddk/wdm.h>

static UNICODE_STRING LoopName = RTL_CONSTANT_STRING(L"\\Device\\Loop");

static NTSTATUS LoopEnd(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI LoopCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return LoopEnd(Irp, STATUS_SUCCESS, 0);
}

/* Four bytes: so many rounds. */
static NTSTATUS NTAPI LoopWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    ULONG cell = 0, rounds;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length != sizeof(ULONG))
        return LoopEnd(Irp, STATUS_INVALID_PARAMETER, 0);
    rounds = *(PULONG)Irp->AssociatedIrp.SystemBuffer;
    if (rounds == 0)
        return LoopEnd(Irp, STATUS_INVALID_PARAMETER, 0);
    __asm__ volatile("1: mov (%1), %%eax\n\t"
                     "add $1, %%eax\n\t"
                     "mov %%eax, (%1)\n\t"
                     "dec %0\n\t"
                     "jnz 1b"
                     : "+r"(rounds)
                     : "r"(&cell)
                     : "eax", "memory", "cc");
    return LoopEnd(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

static VOID NTAPI LoopUnload(PDRIVER_OBJECT DriverObject)
{
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT device;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    status = IoCreateDevice(DriverObject, 0, &LoopName, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    device->Flags |= DO_BUFFERED_IO;
    DriverObject->DriverUnload = LoopUnload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = LoopCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = LoopCreateClose;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = LoopWrite;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
