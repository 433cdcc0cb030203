/* A driver that reads a file of its own, and writes what it has read to another one. */
#include <ntddk.h>

static VOID NTAPI unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }

static NTSTATUS open(PCWSTR path, ACCESS_MASK access, ULONG disposition, PHANDLE file)
{
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK block;

    RtlInitUnicodeString(&name, path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(file, access | SYNCHRONIZE, &attributes, &block, NULL, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ,
                        disposition, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    IO_STATUS_BLOCK block;
    NTSTATUS status;
    HANDLE file;
    CHAR bytes[64];

    UNREFERENCED_PARAMETER(path);
    driver->DriverUnload = unload;
    status = open(L"\\??\\C:\\Windows\\Firmware\\chip.bin", GENERIC_READ, FILE_OPEN, &file);
    if (!NT_SUCCESS(status))
        return status;
    status = ZwReadFile(file, NULL, NULL, NULL, &block, bytes, sizeof(bytes), NULL, NULL);
    ZwClose(file);
    if (!NT_SUCCESS(status))
        return status;
    DbgPrint("%d bytes\n", (int)block.Information);
    status = open(L"\\DosDevices\\C:\\temp\\copy.bin", GENERIC_WRITE, FILE_OVERWRITE_IF, &file);
    if (!NT_SUCCESS(status))
        return status;
    status = ZwWriteFile(file, NULL, NULL, NULL, &block, bytes, (ULONG)block.Information, NULL, NULL);
    ZwClose(file);
    return status;
}
