/* A driver whose ISR raises exceptions and handles them, at the device's level or at PASSIVE_LEVEL.
 * A control request says what the ISR does; its answer is what came of it. Built by clang, whose
 * `__try` mingw-w64's compiler does not have. */
#include "test.h"

#define IOCTL_CONNECT_PASSIVE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_INTERRUPT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

#define RAISED ((NTSTATUS)0xE0000001)

/* Registers of the device. */
#define STATUS 0x24
#define RAISE 0x60
#define ACKNOWLEDGE 0x64

enum { DOES_HANDLE, DOES_RAISE, DOES_DIVIDE, DOES_TOUCH };

typedef struct {
    PDEVICE_OBJECT Lower, Pdo;
    PKINTERRUPT Interrupt;
    CM_PARTIAL_RESOURCE_DESCRIPTOR Resource;
    PUCHAR Registers;
    ULONG Does;
    volatile LONG Raised, Finally, Divided, Touched, LevelKept;
} DEVICE;

static volatile int zero, quotient;

static DECLSPEC_NOINLINE void Divide(void) { quotient = 100 / zero; }
static DECLSPEC_NOINLINE void Raise(void) { ExRaiseStatus(RAISED); }
static DECLSPEC_NOINLINE void Touch(volatile LONG *Pointer) { *Pointer = 1; }

static void Handles(DEVICE *Device)
{
    KIRQL level = KeGetCurrentIrql();

    __try {
        __try {
            Raise();
        } __finally {
            Device->Finally++;
        }
    } __except ((NTSTATUS)GetExceptionCode() == RAISED ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH) {
        Device->Raised++;
    }
    __try {
        Divide();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Device->Divided += (NTSTATUS)GetExceptionCode() == STATUS_INTEGER_DIVIDE_BY_ZERO;
    }
    Device->LevelKept += KeGetCurrentIrql() == level;
}

static BOOLEAN NTAPI Isr(PKINTERRUPT Interrupt, PVOID Context)
{
    DEVICE *device = Context;
    ULONG status = READ_REGISTER_ULONG((PULONG)(device->Registers + STATUS));

    UNREFERENCED_PARAMETER(Interrupt);
    if (status == 0)
        return FALSE;
    WRITE_REGISTER_ULONG((PULONG)(device->Registers + ACKNOWLEDGE), status);
    switch (device->Does) {
    case DOES_HANDLE:
        Handles(device);
        break;
    case DOES_RAISE:
        Raise();
        break;
    case DOES_DIVIDE:
        Divide();
        break;
    case DOES_TOUCH:
        __try {
            Touch((volatile LONG *)0x10);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            device->Touched += (NTSTATUS)GetExceptionCode() == STATUS_ACCESS_VIOLATION;
        }
        break;
    }
    return TRUE;
}

static NTSTATUS Connect(DEVICE *Device, BOOLEAN Passive)
{
    IO_CONNECT_INTERRUPT_PARAMETERS parameters;
    KIRQL level = Passive ? PASSIVE_LEVEL : (KIRQL)Device->Resource.u.Interrupt.Level;

    RtlZeroMemory(&parameters, sizeof(parameters));
    parameters.Version = CONNECT_FULLY_SPECIFIED;
    parameters.FullySpecified.PhysicalDeviceObject = Device->Pdo;
    parameters.FullySpecified.InterruptObject = &Device->Interrupt;
    parameters.FullySpecified.ServiceRoutine = Isr;
    parameters.FullySpecified.ServiceContext = Device;
    parameters.FullySpecified.SynchronizeIrql = level;
    parameters.FullySpecified.Irql = level;
    parameters.FullySpecified.ShareVector = TRUE;
    parameters.FullySpecified.Vector = Device->Resource.u.Interrupt.Vector;
    parameters.FullySpecified.InterruptMode = LevelSensitive;
    parameters.FullySpecified.ProcessorEnableMask = Device->Resource.u.Interrupt.Affinity;
    return IoConnectInterruptEx(&parameters);
}

static void Disconnect(DEVICE *Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS parameters;

    if (Device->Interrupt == NULL)
        return;
    parameters.Version = CONNECT_FULLY_SPECIFIED;
    parameters.ConnectionContext.InterruptObject = Device->Interrupt;
    IoDisconnectInterruptEx(&parameters);
    Device->Interrupt = NULL;
}

static NTSTATUS Start(DEVICE *Device, PCM_RESOURCE_LIST Resources)
{
    PCM_PARTIAL_RESOURCE_LIST list = &Resources->List[0].PartialResourceList;
    ULONG i;

    for (i = 0; i < list->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR one = &list->PartialDescriptors[i];
        if (one->Type == CmResourceTypeMemory)
            Device->Registers = MmMapIoSpace(one->u.Memory.Start, 0x1000, MmNonCached);
        else if (one->Type == CmResourceTypeInterrupt)
            Device->Resource = *one;
    }
    return Device->Registers == NULL ? STATUS_INSUFFICIENT_RESOURCES : Connect(Device, FALSE);
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT Self, PIRP Irp)
{
    PIO_STACK_LOCATION here = IoGetCurrentIrpStackLocation(Irp);
    DEVICE *device = Self->DeviceExtension;
    PDEVICE_OBJECT lower = device->Lower;
    NTSTATUS status;

    switch (here->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = PassAndWait(lower, Irp);
        if (NT_SUCCESS(status))
            status = Start(device, here->Parameters.StartDevice.AllocatedResourcesTranslated);
        return Complete(Irp, status, 0);
    case IRP_MN_REMOVE_DEVICE:
        Disconnect(device);
        MmUnmapIoSpace(device->Registers, 0x1000);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        status = Pass(lower, Irp);
        IoDetachDevice(lower);
        IoDeleteDevice(Self);
        return status;
    default:
        if (here->MinorFunction == IRP_MN_QUERY_REMOVE_DEVICE)
            Irp->IoStatus.Status = STATUS_SUCCESS;
        return Pass(lower, Irp);
    }
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT Self, PIRP Irp)
{
    PIO_STACK_LOCATION here = IoGetCurrentIrpStackLocation(Irp);
    DEVICE *device = Self->DeviceExtension;
    PULONG buffer = Irp->AssociatedIrp.SystemBuffer;
    LARGE_INTEGER a_while = {.QuadPart = -100000};

    switch (here->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_CONNECT_PASSIVE:
        Disconnect(device);
        return Complete(Irp, Connect(device, TRUE), 0);
    case IOCTL_INTERRUPT:
        device->Does = buffer[0];
        WRITE_REGISTER_ULONG((PULONG)(device->Registers + RAISE), 1);
        KeDelayExecutionThread(KernelMode, FALSE, &a_while);
        buffer[0] = device->Raised << 16 | device->Finally << 12 | device->Divided << 8 | device->Touched << 4 |
                    device->LevelKept;
        return Complete(Irp, STATUS_SUCCESS, sizeof(ULONG));
    default:
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT Self, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Self);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\Raising");
    PDEVICE_OBJECT self;
    DEVICE *device;
    NTSTATUS status = IoCreateDevice(Driver, sizeof(DEVICE), &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &self);

    if (!NT_SUCCESS(status))
        return status;
    device = self->DeviceExtension;
    device->Pdo = Pdo;
    device->Lower = IoAttachDeviceToDeviceStack(self, Pdo);
    self->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT Driver) { UNREFERENCED_PARAMETER(Driver); }

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    Driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    Driver->DriverExtension->AddDevice = AddDevice;
    Driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
