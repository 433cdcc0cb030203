/* A Storport miniport, as far as its imports tell; the port driver's part is played by another driver. */
#include <ddk/wdm.h>

__declspec(dllimport) VOID NTAPI StorPortNotification(ULONG Type, PVOID Extension, ...);

static KSPIN_LOCK Lock;
static volatile LONG Count;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Count != 0)
        StorPortNotification(0, NULL);
    return STATUS_SUCCESS;
}

__declspec(dllexport) VOID CountUnderLock(VOID)
{
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(&Lock);

    Count++;
    KeReleaseSpinLock(&Lock, irql);
}

__declspec(dllexport) VOID CountInterlocked(VOID)
{
    InterlockedIncrement(&Count);
}
