/* Two DPCs of which each queues the other one, for ever, and counts how often. */
#include <ddk/wdm.h>

static KDPC Dpcs[2];
static ULONG Rounds;

static VOID NTAPI Again(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Rounds++;
    KeInsertQueueDpc(Context, NULL, NULL);
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    KeRemoveQueueDpc(&Dpcs[0]);
    KeRemoveQueueDpc(&Dpcs[1]);
    KeFlushQueuedDpcs();
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    KeInitializeDpc(&Dpcs[0], Again, &Dpcs[1]);
    KeInitializeDpc(&Dpcs[1], Again, &Dpcs[0]);
    KeInsertQueueDpc(&Dpcs[0], NULL, NULL);
    return STATUS_SUCCESS;
}
