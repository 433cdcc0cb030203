/* Reads the time-stamp counter, both ways, with 10 us in between. */
#include "test.h"

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

static ULONG64 Stamp(VOID)
{
    ULONG low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (ULONG64)high << 32 | low;
}

static ULONG64 StampWithProcessor(PULONG Processor)
{
    ULONG low, high;

    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(*Processor));
    return (ULONG64)high << 32 | low;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG64 first, second;
    ULONG processor;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    first = Stamp();
    KeStallExecutionProcessor(10);
    second = StampWithProcessor(&processor);
    DbgPrint("first %I64u, then %I64u on %u\n", first, second - first, processor);
    return STATUS_SUCCESS;
}
