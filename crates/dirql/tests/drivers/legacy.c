/* Finds the serial port of a PC by itself: claims its resources, connects in DriverEntry, reports
 * it. */
#include "test.h"

/* Not in these headers any more. */
NTHALAPI ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE Type, ULONG Bus, ULONG Level, ULONG Vector, PKIRQL Irql,
                                           PKAFFINITY Affinity);

#define PORT 0x3F8
#define LINE 4
#define UART_INTERRUPT_ENABLE 1
#define UART_INTERRUPT_CAUSE 2
#define UART_MODEM_CONTROL 4

static PKINTERRUPT Interrupt;
static PDEVICE_OBJECT First;
static PDEVICE_OBJECT Second;
static LONG Interrupts;

static PUCHAR Register(ULONG Number)
{
    return (PUCHAR)(ULONG_PTR)(PORT + Number);
}

static BOOLEAN NTAPI Service(PKINTERRUPT Object, PVOID Context)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    if (READ_PORT_UCHAR(Register(UART_INTERRUPT_CAUSE)) & 1)
        return FALSE;
    InterlockedIncrement(&Interrupts);
    return TRUE;
}

/* For each serial controller that the firmware knows. */
static NTSTATUS NTAPI Described(PVOID Context, PUNICODE_STRING Path, INTERFACE_TYPE BusType, ULONG BusNumber,
                                PKEY_VALUE_FULL_INFORMATION *Bus, CONFIGURATION_TYPE ControllerType,
                                ULONG ControllerNumber, PKEY_VALUE_FULL_INFORMATION *Controller,
                                CONFIGURATION_TYPE PeripheralType, ULONG PeripheralNumber,
                                PKEY_VALUE_FULL_INFORMATION *Peripheral)
{
    PKEY_VALUE_FULL_INFORMATION data = Controller[IoQueryDeviceConfigurationData];
    PKEY_VALUE_FULL_INFORMATION name = Controller[IoQueryDeviceIdentifier];
    PCM_FULL_RESOURCE_DESCRIPTOR full = (PVOID)((PUCHAR)data + data->DataOffset);

    UNREFERENCED_PARAMETER(Path);
    UNREFERENCED_PARAMETER(Bus);
    UNREFERENCED_PARAMETER(PeripheralType);
    UNREFERENCED_PARAMETER(PeripheralNumber);
    UNREFERENCED_PARAMETER(Peripheral);
    ++*(PULONG)Context;
    DbgPrint("firmware: bus %d %u, controller %d %u, %ws at 0x%x\n", BusType, BusNumber, ControllerType,
             ControllerNumber, (PWSTR)((PUCHAR)name + name->DataOffset),
             full->PartialResourceList.PartialDescriptors[0].u.Port.Start.LowPart);
    return STATUS_SUCCESS;
}

static VOID AskFirmware(VOID)
{
    INTERFACE_TYPE bus = Isa;
    CONFIGURATION_TYPE serial = SerialController;
    CONFIGURATION_TYPE parallel = ParallelController;
    ULONG found = 0;
    NTSTATUS status = IoQueryDeviceDescription(&bus, NULL, &serial, NULL, NULL, NULL, Described, &found);

    DbgPrint("serial: 0x%08x, %u\n", status, found);
    status = IoQueryDeviceDescription(&bus, NULL, &parallel, NULL, NULL, NULL, Described, &found);
    DbgPrint("parallel: 0x%08x\n", status);
}

static VOID Fill(PCM_RESOURCE_LIST List, ULONG Port)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR descriptor = List->List[0].PartialResourceList.PartialDescriptors;

    RtlZeroMemory(List, sizeof(*List));
    List->Count = 1;
    List->List[0].InterfaceType = Isa;
    List->List[0].PartialResourceList.Version = 1;
    List->List[0].PartialResourceList.Revision = 1;
    List->List[0].PartialResourceList.Count = 1;
    descriptor->Type = CmResourceTypePort;
    descriptor->ShareDisposition = CmResourceShareDeviceExclusive;
    descriptor->Flags = CM_RESOURCE_PORT_IO;
    descriptor->u.Port.Start.QuadPart = Port;
    descriptor->u.Port.Length = 8;
}

static VOID Claim(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Device, ULONG Port, const char *What)
{
    CM_RESOURCE_LIST list;
    BOOLEAN conflict = 2;
    NTSTATUS status;

    Fill(&list, Port);
    status = IoReportResourceForDetection(Driver, NULL, 0, Device, &list, sizeof(list), &conflict);
    DbgPrint("%s: 0x%08x, conflict %d\n", What, status, conflict);
}

static VOID Override(PDRIVER_OBJECT Driver, BOOLEAN Force)
{
    CM_RESOURCE_LIST list;
    BOOLEAN conflict = 2;
    NTSTATUS status;

    Fill(&list, PORT + 4);
    status = IoReportResourceUsage(NULL, Driver, NULL, 0, Second, &list, sizeof(list), Force, &conflict);
    DbgPrint("usage, forced %d: 0x%08x, conflict %d\n", Force, status, conflict);
    IoReportResourceUsage(NULL, Driver, NULL, 0, Second, NULL, 0, FALSE, &conflict);
}

/* Ports and a line, each with a choice of places. */
static NTSTATUS Assign(PDRIVER_OBJECT Driver, PUNICODE_STRING Path, PCM_RESOURCE_LIST *List)
{
    struct {
        IO_RESOURCE_REQUIREMENTS_LIST Head;
        IO_RESOURCE_DESCRIPTOR More[1];
    } wish;
    PIO_RESOURCE_DESCRIPTOR descriptor = wish.Head.List[0].Descriptors;

    RtlZeroMemory(&wish, sizeof(wish));
    wish.Head.ListSize = sizeof(wish);
    wish.Head.InterfaceType = Isa;
    wish.Head.AlternativeLists = 1;
    wish.Head.List[0].Version = 1;
    wish.Head.List[0].Revision = 1;
    wish.Head.List[0].Count = 2;
    descriptor[0].Type = CmResourceTypePort;
    descriptor[0].ShareDisposition = CmResourceShareDeviceExclusive;
    descriptor[0].Flags = CM_RESOURCE_PORT_IO;
    descriptor[0].u.Port.Length = 8;
    descriptor[0].u.Port.Alignment = 8;
    descriptor[0].u.Port.MinimumAddress.QuadPart = PORT - 7;
    descriptor[0].u.Port.MaximumAddress.QuadPart = PORT + 7;
    descriptor[1].Type = CmResourceTypeInterrupt;
    descriptor[1].ShareDisposition = CmResourceShareDeviceExclusive;
    descriptor[1].Flags = CM_RESOURCE_INTERRUPT_LATCHED;
    descriptor[1].u.Interrupt.MinimumVector = LINE;
    descriptor[1].u.Interrupt.MaximumVector = LINE;
    return IoAssignResources(Path, NULL, Driver, First, &wish.Head, List);
}

static NTSTATUS Connect(PCM_PARTIAL_RESOURCE_LIST List)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR line = &List->PartialDescriptors[1];
    KAFFINITY affinity;
    KIRQL irql;
    ULONG vector;

    DbgPrint("assigned: port 0x%x, %u ports, line %u\n", List->PartialDescriptors[0].u.Port.Start.LowPart,
             List->PartialDescriptors[0].u.Port.Length, line->u.Interrupt.Vector);
    vector = HalGetInterruptVector(Isa, 0, line->u.Interrupt.Level, line->u.Interrupt.Vector, &irql, &affinity);
    return IoConnectInterrupt(&Interrupt, Service, NULL, NULL, vector, irql, irql, Latched, FALSE, affinity,
                              FALSE);
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    BOOLEAN conflict;

    WRITE_PORT_UCHAR(Register(UART_INTERRUPT_ENABLE), 0);
    IoDisconnectInterrupt(Interrupt);
    IoReportResourceForDetection(Driver, NULL, 0, First, NULL, 0, &conflict);
    IoDeleteDevice(Second);
    IoDeleteDevice(First);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    PCM_RESOURCE_LIST list = NULL;
    PDEVICE_OBJECT pdo = NULL;
    NTSTATUS status;

    Driver->DriverUnload = Unload;
    status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &First);
    if (!NT_SUCCESS(status))
        return status;
    status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Second);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(First);
        return status;
    }
    AskFirmware();
    Claim(Driver, First, PORT, "claimed");
    Claim(Driver, First, PORT, "claimed again");
    Claim(Driver, Second, PORT + 7, "for another device");
    Claim(Driver, Second, PORT + 8, "behind it");
    Override(Driver, FALSE);
    Override(Driver, TRUE);
    status = Assign(Driver, Path, &list);
    if (NT_SUCCESS(status)) {
        status = Connect(&list->List[0].PartialResourceList);
        if (NT_SUCCESS(status)) {
            WRITE_PORT_UCHAR(Register(UART_MODEM_CONTROL), 8);
            WRITE_PORT_UCHAR(Register(UART_INTERRUPT_ENABLE), 2);
            DbgPrint("interrupts: %d\n", Interrupts);
            status = IoReportDetectedDevice(Driver, Isa, 0, (ULONG)-1, list, NULL, TRUE, &pdo);
            DbgPrint("detected: 0x%08x, a device %d\n", status, pdo != NULL);
        }
        ExFreePool(list);
    }
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(Second);
        IoDeleteDevice(First);
    }
    return status;
}
