/* The least that a driver can do with an interrupt: DriverEntry makes a device, looks its line up
 * and connects an ISR. For comparing what it takes to run that much under different emulators. */
#include <ddk/ntddk.h>

NTHALAPI ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE, ULONG, ULONG, ULONG, PKIRQL, PKAFFINITY);

typedef struct {
    PKINTERRUPT Interrupt;
    KDPC Dpc;
    volatile LONG Count;
} EXTENSION, *PEXTENSION;

/* Exported so that a script can find and call it. */
__declspec(dllexport) BOOLEAN NTAPI ConnectIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PEXTENSION extension = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    extension->Count++;
    return TRUE;
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    PEXTENSION extension = Driver->DeviceObject->DeviceExtension;

    IoDisconnectInterrupt(extension->Interrupt);
    IoDeleteDevice(Driver->DeviceObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Registry)
{
    PDEVICE_OBJECT device;
    PEXTENSION extension;
    KAFFINITY affinity = 0;
    KIRQL irql = 0;
    ULONG vector;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Registry);
    Driver->DriverUnload = Unload;
    status = IoCreateDevice(Driver, sizeof *extension, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    extension = device->DeviceExtension;
    vector = HalGetInterruptVector(Isa, 0, 10, 10, &irql, &affinity);
    status = IoConnectInterrupt(&extension->Interrupt, ConnectIsr, extension, NULL, vector, irql, irql,
                                Latched, FALSE, affinity, FALSE);
    if (!NT_SUCCESS(status))
        IoDeleteDevice(device);
    return status;
}
