/* A driver that prints what lies below its stack pointer after it called a kernel routine, as one does that reads a
   variable before it has written it. */
#include "test.h"

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    volatile ULONG_PTR *Stack = (volatile ULONG_PTR *)__builtin_frame_address(0);
    ULONG_PTR Sum = 0;
    LONG At;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    ExFreePool(ExAllocatePoolWithTag(NonPagedPool, 16, 'tfeL'));
    for (At = 1; At <= 256; At++) {
        Sum = Sum * 31 + Stack[-At];
    }
    DbgPrint("leftover: %I64x\n", Sum);
    return STATUS_SUCCESS;
}
