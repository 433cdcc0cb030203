/* A driver of the device "msix" with two table entries that wants a message for each of four
 * processors, and re-points its entries while it runs. */
#include "test.h"

/* Two things that these headers do not have. {1A6A460B-194F-455D-B34B-B84C5B05712B} */
static const GUID MsixTableInterface =
    {0x1a6a460b, 0x194f, 0x455d, {0xb3, 0x4b, 0xb8, 0x4c, 0x5b, 0x05, 0x71, 0x2b}};

typedef struct _INTERRUPT_WISH { /* u.Interrupt of IO_RESOURCE_DESCRIPTOR */
    ULONG MinimumVector;
    ULONG MaximumVector;
    USHORT AffinityPolicy;
    USHORT Group;
    ULONG PriorityPolicy;
    KAFFINITY TargetedProcessors;
} INTERRUPT_WISH, *PINTERRUPT_WISH;

#define SPECIFIED_PROCESSORS 4

#define PROCESSORS 4
#define QUEUE(Number) (0x100 + 16 * (Number))

typedef struct _SPREAD {
    PDEVICE_OBJECT Pdo;
    PDEVICE_OBJECT Lower;
    PUCHAR Registers;
    ULONG Length;
    PVOID Connection;
    ULONG Version;
    PCI_MSIX_TABLE_CONFIG_INTERFACE Table;
} SPREAD, *PSPREAD;

static BOOLEAN NTAPI Service(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    PSPREAD spread = Context;
    ULONG queue;

    UNREFERENCED_PARAMETER(Interrupt);
    DbgPrint("message %u on processor %u\n", Message, KeGetCurrentProcessorNumber());
    for (queue = 0; queue < 2; queue++) {
        PULONG completions = (PULONG)(spread->Registers + QUEUE(queue) + 4);
        WRITE_REGISTER_ULONG(completions, READ_REGISTER_ULONG(completions));
    }
    return TRUE;
}

static VOID Post(PSPREAD Spread, ULONG Queue)
{
    LARGE_INTEGER moment = {.QuadPart = -10000};

    WRITE_REGISTER_ULONG((PULONG)(Spread->Registers + QUEUE(Queue)), 1);
    KeDelayExecutionThread(KernelMode, FALSE, &moment);
}

/* One message more for each processor without one; each goes to its own processor. */
static PIO_RESOURCE_REQUIREMENTS_LIST Enlarge(PIO_RESOURCE_REQUIREMENTS_LIST Old)
{
    ULONG count = Old->List[0].Count;
    ULONG messages = 0;
    ULONG size;
    ULONG index;
    PIO_RESOURCE_REQUIREMENTS_LIST list;
    PIO_RESOURCE_DESCRIPTOR descriptors;
    PINTERRUPT_WISH wish;

    for (index = 0; index < count; index++)
        messages += Old->List[0].Descriptors[index].Type == CmResourceTypeInterrupt;
    DbgPrint("offered: %u lists, %u messages\n", Old->AlternativeLists, messages);
    size = sizeof(*list) + (count + PROCESSORS - messages - 1) * sizeof(IO_RESOURCE_DESCRIPTOR);
    list = ExAllocatePoolWithTag(PagedPool, size, 'tsiL');
    if (list == NULL)
        return Old;
    RtlCopyMemory(list, Old, FIELD_OFFSET(IO_RESOURCE_REQUIREMENTS_LIST, List[0].Descriptors[count]));
    list->ListSize = size;
    list->AlternativeLists = 1;
    descriptors = list->List[0].Descriptors;
    for (; messages < PROCESSORS; messages++)
        descriptors[list->List[0].Count++] = descriptors[count - 1];
    messages = 0;
    for (index = 0; index < list->List[0].Count; index++) {
        if (descriptors[index].Type != CmResourceTypeInterrupt)
            continue;
        wish = (PINTERRUPT_WISH)&descriptors[index].u;
        wish->AffinityPolicy = SPECIFIED_PROCESSORS;
        wish->TargetedProcessors = (KAFFINITY)1 << messages++;
    }
    ExFreePool(Old);
    return list;
}

static NTSTATUS QueryTable(PSPREAD Spread)
{
    KEVENT done;
    IO_STATUS_BLOCK answer;
    PIO_STACK_LOCATION stack;
    PIRP irp;
    NTSTATUS status;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    irp = IoBuildSynchronousFsdRequest(IRP_MJ_PNP, Spread->Lower, NULL, 0, NULL, &done, &answer);
    if (irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    stack = IoGetNextIrpStackLocation(irp);
    stack->MinorFunction = IRP_MN_QUERY_INTERFACE;
    stack->Parameters.QueryInterface.InterfaceType = &MsixTableInterface;
    stack->Parameters.QueryInterface.Size = PCI_MSIX_TABLE_CONFIG_MINIMUM_SIZE;
    stack->Parameters.QueryInterface.Version = PCI_MSIX_TABLE_CONFIG_INTERFACE_VERSION;
    stack->Parameters.QueryInterface.Interface = (PINTERFACE)&Spread->Table;
    stack->Parameters.QueryInterface.InterfaceSpecificData = NULL;
    status = IoCallDriver(Spread->Lower, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = answer.Status;
    }
    return status;
}

static VOID Exercise(PSPREAD Spread)
{
    PPCI_MSIX_TABLE_CONFIG_INTERFACE table = &Spread->Table;

    Post(Spread, 0);
    Post(Spread, 1);
    DbgPrint("entry 1 to message 3: 0x%08x\n", table->SetTableEntry(table->Context, 1, 3));
    Post(Spread, 1);
    DbgPrint("mask entry 0: 0x%08x\n", table->MaskTableEntry(table->Context, 0));
    Post(Spread, 0);
    DbgPrint("unmask entry 0: 0x%08x\n", table->UnmaskTableEntry(table->Context, 0));
    Post(Spread, 0);
    DbgPrint("no entry 2: 0x%08x\n", table->SetTableEntry(table->Context, 2, 0));
    DbgPrint("no message 4: 0x%08x\n", table->SetTableEntry(table->Context, 0, 4));
}

static NTSTATUS Start(PSPREAD Spread, PCM_PARTIAL_RESOURCE_LIST List)
{
    IO_CONNECT_INTERRUPT_PARAMETERS parameters;
    PCM_PARTIAL_RESOURCE_DESCRIPTOR window = &List->PartialDescriptors[0];
    PIO_INTERRUPT_MESSAGE_INFO messages;
    NTSTATUS status;

    Spread->Length = window->u.Memory.Length;
    Spread->Registers = MmMapIoSpace(window->u.Memory.Start, Spread->Length, MmNonCached);
    if (Spread->Registers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(&parameters, sizeof(parameters));
    parameters.Version = CONNECT_MESSAGE_BASED;
    parameters.MessageBased.PhysicalDeviceObject = Spread->Pdo;
    parameters.MessageBased.ConnectionContext.Generic = &Spread->Connection;
    parameters.MessageBased.MessageServiceRoutine = Service;
    parameters.MessageBased.ServiceContext = Spread;
    status = IoConnectInterruptEx(&parameters);
    if (!NT_SUCCESS(status)) {
        MmUnmapIoSpace(Spread->Registers, Spread->Length);
        return status;
    }
    Spread->Version = parameters.Version;
    messages = Spread->Connection;
    DbgPrint("granted: %u messages, the last for 0x%x\n", messages->MessageCount,
             (ULONG)messages->MessageInfo[messages->MessageCount - 1].TargetProcessorSet);
    status = QueryTable(Spread);
    if (NT_SUCCESS(status)) {
        Exercise(Spread);
        Spread->Table.InterfaceDereference(Spread->Table.Context);
    }
    return STATUS_SUCCESS;
}

static VOID Stop(PSPREAD Spread)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS parameters;

    if (Spread->Connection == NULL)
        return;
    parameters.Version = Spread->Version;
    parameters.ConnectionContext.Generic = Spread->Connection;
    IoDisconnectInterruptEx(&parameters);
    Spread->Connection = NULL;
    MmUnmapIoSpace(Spread->Registers, Spread->Length);
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    PSPREAD spread = Device->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status;

    switch (stack->MinorFunction) {
    case IRP_MN_FILTER_RESOURCE_REQUIREMENTS:
        PassAndWait(spread->Lower, Irp);
        return Complete(Irp, STATUS_SUCCESS,
                        (ULONG_PTR)Enlarge(stack->Parameters.FilterResourceRequirements.IoResourceRequirementList));
    case IRP_MN_START_DEVICE:
        status = PassAndWait(spread->Lower, Irp);
        if (NT_SUCCESS(status))
            status = Start(spread,
                           &stack->Parameters.StartDevice.AllocatedResourcesTranslated->List[0].PartialResourceList);
        return Complete(Irp, status, 0);
    case IRP_MN_REMOVE_DEVICE:
        Stop(spread);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        status = Pass(spread->Lower, Irp);
        IoDetachDevice(spread->Lower);
        IoDeleteDevice(Device);
        return status;
    default:
        return Pass(spread->Lower, Irp);
    }
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT Device, PIRP Irp)
{
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(((PSPREAD)Device->DeviceExtension)->Lower, Irp);
}

static NTSTATUS NTAPI Add(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT device;
    PSPREAD spread;
    NTSTATUS status = IoCreateDevice(Driver, sizeof(SPREAD), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);

    if (!NT_SUCCESS(status))
        return status;
    spread = device->DeviceExtension;
    spread->Pdo = Pdo;
    spread->Lower = IoAttachDeviceToDeviceStack(device, Pdo);
    device->Flags |= DO_POWER_PAGABLE;
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path)
{
    UNREFERENCED_PARAMETER(Path);
    Driver->DriverExtension->AddDevice = Add;
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    Driver->MajorFunction[IRP_MJ_POWER] = Power;
    return STATUS_SUCCESS;
}
