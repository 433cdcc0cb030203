/* A driver from which others import. */
#include "test.h"

static int Base;

__declspec(dllexport) int LibNumber(int Number);
__declspec(dllexport) NTSTATUS NTAPI DllInitialize(PUNICODE_STRING Path);

int LibNumber(int Number)
{
    return Base + Number;
}

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING Path)
{
    DbgPrint("lib: %wZ\n", Path);
    Base = 100;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    return STATUS_SUCCESS;
}
