/* Plug and play, power, WMI and DMA of a device that a bus reports. */
#define PLUGGED
#include "pairs.h"

static PDEVICE_OBJECT Function, Physical, Lower;

/* What is different in a pair. */
static BOOLEAN StaysInitializing, FailsStop, KeepsPower, DeletesEarly, Awaits;
static PRULE OnStart, OnRemove;
static VOID (*OnFilter)(PIRP Irp);

static NTSTATUS Pass(PIRP Irp)
{
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Lower, Irp);
}

static VOID Delete(VOID)
{
    IoDetachDevice(Lower);
    IoDeleteDevice(Function);
    Function = NULL;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    NTSTATUS status;

    UNREFERENCED_PARAMETER(DeviceObject);
    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = IoForwardIrpSynchronously(Lower, Irp) ? Irp->IoStatus.Status : STATUS_UNSUCCESSFUL;
        if (NT_SUCCESS(status) && OnStart != NULL)
            OnStart();
        return Complete(Irp, status, 0);

    case IRP_MN_FILTER_RESOURCE_REQUIREMENTS:
        if (OnFilter == NULL)
            return Pass(Irp);
        if (IoForwardIrpSynchronously(Lower, Irp))
            OnFilter(Irp);
        return Complete(Irp, STATUS_SUCCESS, Irp->IoStatus.Information);

    case IRP_MN_STOP_DEVICE:
        if (FailsStop)
            return Complete(Irp, STATUS_UNSUCCESSFUL, 0);
        break;

    case IRP_MN_SURPRISE_REMOVAL:
        if (DeletesEarly)
            Delete();
        break;

    case IRP_MN_REMOVE_DEVICE:
        if (OnRemove != NULL)
            OnRemove();
        Irp->IoStatus.Status = STATUS_SUCCESS;
        if (Awaits)
            IoAcquireRemoveLock(Function->DeviceExtension, Function);
        status = Pass(Irp);
        if (Awaits)
            IoReleaseRemoveLockAndWait(Function->DeviceExtension, Function);
        Delete();
        return status;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        break;

    default:
        return Pass(Irp);
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    return Pass(Irp);
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    if (!KeepsPower)
        PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(Lower, Irp);
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Pass(Irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    NTSTATUS status = IoCreateDevice(DriverObject, sizeof(IO_REMOVE_LOCK), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
                                     &Function);

    if (!NT_SUCCESS(status))
        return status;
    Physical = Pdo;
    Lower = IoAttachDeviceToDeviceStack(Function, Pdo);
    if (Lower == NULL) {
        IoDeleteDevice(Function);
        return STATUS_NO_SUCH_DEVICE;
    }
    Function->Flags |= DO_BUFFERED_IO | (Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    if (!StaysInitializing)
        Function->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID Begin(PDRIVER_OBJECT DriverObject)
{
    DriverObject->DriverExtension->AddDevice = AddDevice;
    DriverObject->MajorFunction[IRP_MJ_PNP] = Pnp;
    DriverObject->MajorFunction[IRP_MJ_POWER] = Power;
    DriverObject->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
}

/* --- Plug and play and power ------------------------------------------------- */

static VOID Keep(VOID)
{
}

static VOID BreakInitializing(VOID)
{
    StaysInitializing = TRUE;
}

static VOID BreakStop(VOID)
{
    FailsStop = TRUE;
}

static VOID BreakPower(VOID)
{
    KeepsPower = TRUE;
}

static VOID BreakSurprise(VOID)
{
    DeletesEarly = TRUE;
}

static VOID RegisterTwice(VOID)
{
    IoWMIRegistrationControl(Function, WMIREG_ACTION_REGISTER);
    IoWMIRegistrationControl(Function, WMIREG_ACTION_REGISTER);
    IoWMIRegistrationControl(Function, WMIREG_ACTION_DEREGISTER);
}

static VOID RegisterOnce(VOID)
{
    IoWMIRegistrationControl(Function, WMIREG_ACTION_REGISTER);
    IoWMIRegistrationControl(Function, WMIREG_ACTION_DEREGISTER);
}

static VOID BreakWmi(VOID)
{
    OnStart = RegisterTwice;
}

static VOID KeepWmi(VOID)
{
    OnStart = RegisterOnce;
}

static VOID UseRemoveLock(VOID)
{
    IoInitializeRemoveLock((PIO_REMOVE_LOCK)Function->DeviceExtension, TAG, 0, 0);
    if (NT_SUCCESS(IoAcquireRemoveLock(Function->DeviceExtension, &Timer)))
        IoReleaseRemoveLock(Function->DeviceExtension, &Timer);
}

static VOID BreakRemoveLock(VOID)
{
    OnStart = UseRemoveLock;
}

static VOID KeepRemoveLock(VOID)
{
    OnStart = UseRemoveLock;
    Awaits = TRUE;
}

/* Asks for the last descriptor of the last list once more. */
static VOID AskForMore(PIRP Irp, BOOLEAN Enlarges)
{
    PIO_RESOURCE_REQUIREMENTS_LIST list = (PIO_RESOURCE_REQUIREMENTS_LIST)Irp->IoStatus.Information;
    PIO_RESOURCE_LIST last;
    ULONG index;

    if (Enlarges) {
        ULONG size = list->ListSize;
        PIO_RESOURCE_REQUIREMENTS_LIST larger =
            ExAllocatePoolWithTag(PagedPool, size + sizeof(IO_RESOURCE_DESCRIPTOR), TAG);

        if (larger == NULL)
            return;
        RtlCopyMemory(larger, list, size);
        RtlCopyMemory((PUCHAR)larger + size, (PUCHAR)larger + size - sizeof(IO_RESOURCE_DESCRIPTOR),
                      sizeof(IO_RESOURCE_DESCRIPTOR));
        larger->ListSize += sizeof(IO_RESOURCE_DESCRIPTOR);
        ExFreePool(list);
        list = larger;
        Irp->IoStatus.Information = (ULONG_PTR)larger;
    }
    last = list->List;
    for (index = 1; index < list->AlternativeLists; index++)
        last = (PIO_RESOURCE_LIST)&last->Descriptors[last->Count];
    last->Count++;
}

static VOID CountMore(PIRP Irp)
{
    AskForMore(Irp, FALSE);
}

static VOID AddMore(PIRP Irp)
{
    AskForMore(Irp, TRUE);
}

static VOID BreakRequirements(VOID)
{
    OnFilter = CountMore;
}

static VOID KeepRequirements(VOID)
{
    OnFilter = AddMore;
}

/* --- The power management framework, of which these headers know nothing --------- */

typedef struct _COMPONENT_STATE {
    ULONGLONG TransitionLatency;
    ULONGLONG ResidencyRequirement;
    ULONG NominalPower;
} COMPONENT_STATE;

typedef struct _COMPONENT {
    GUID Id;
    ULONG IdleStateCount;
    ULONG DeepestWakeableIdleState;
    COMPONENT_STATE *IdleStates;
} COMPONENT;

/* PO_FX_DEVICE_V1, with one component. */
typedef struct _FRAMEWORK_DEVICE {
    ULONG Version;
    ULONG ComponentCount;
    VOID(NTAPI *Active)(PVOID Context, ULONG Component);
    VOID(NTAPI *Idle)(PVOID Context, ULONG Component);
    VOID(NTAPI *IdleState)(PVOID Context, ULONG Component, ULONG State);
    VOID(NTAPI *Required)(PVOID Context);
    VOID(NTAPI *NotRequired)(PVOID Context);
    PVOID Control;
    PVOID Context;
    COMPONENT Components[1];
} FRAMEWORK_DEVICE;

typedef NTSTATUS(NTAPI *PREGISTER)(PDEVICE_OBJECT Pdo, FRAMEWORK_DEVICE *Device, PVOID *Handle);
typedef VOID(NTAPI *PWITH_DEVICE)(PVOID Handle);
typedef VOID(NTAPI *PWITH_COMPONENT)(PVOID Handle, ULONG Component);
typedef VOID(NTAPI *PCHANGE)(PVOID Handle, ULONG Component, ULONG Flags);

static PVOID FrameworkHandle;
static BOOLEAN AnswersTwice;

static PVOID Routine(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

static VOID NTAPI OnActive(PVOID Context, ULONG Component)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Component);
}

static VOID NTAPI OnIdle(PVOID Context, ULONG Component)
{
    PWITH_COMPONENT complete = (PWITH_COMPONENT)Routine(L"PoFxCompleteIdleCondition");

    UNREFERENCED_PARAMETER(Context);
    complete(FrameworkHandle, Component);
    if (AnswersTwice)
        complete(FrameworkHandle, Component);
}

static VOID NTAPI OnIdleState(PVOID Context, ULONG Component, ULONG State)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(State);
    ((PWITH_COMPONENT)Routine(L"PoFxCompleteIdleState"))(FrameworkHandle, Component);
}

static VOID NTAPI OnRequired(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    ((PWITH_DEVICE)Routine(L"PoFxReportDevicePoweredOn"))(FrameworkHandle);
}

static VOID NTAPI OnNotRequired(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    ((PWITH_DEVICE)Routine(L"PoFxCompleteDevicePowerNotRequired"))(FrameworkHandle);
}

static VOID RegisterWithFramework(VOID)
{
    static COMPONENT_STATE states[] = {{0, 0, 100}, {10, 20, 1}};
    static FRAMEWORK_DEVICE device = {1,          1,             OnActive, OnIdle, OnIdleState,
                                      OnRequired, OnNotRequired, NULL,     NULL,   {{{0}, 2, 1, states}}};

    if (!NT_SUCCESS(((PREGISTER)Routine(L"PoFxRegisterDevice"))(Physical, &device, &FrameworkHandle)))
        return;
    ((PCHANGE)Routine(L"PoFxActivateComponent"))(FrameworkHandle, 0, 0);
    ((PWITH_DEVICE)Routine(L"PoFxStartDevicePowerManagement"))(FrameworkHandle);
    ((PCHANGE)Routine(L"PoFxIdleComponent"))(FrameworkHandle, 0, 1); /* PO_FX_FLAG_BLOCKING */
}

static VOID UnregisterWithFramework(VOID)
{
    ((PWITH_DEVICE)Routine(L"PoFxUnregisterDevice"))(FrameworkHandle);
}

static VOID KeepFramework(VOID)
{
    OnStart = RegisterWithFramework;
    OnRemove = UnregisterWithFramework;
}

static VOID BreakFrameworkAnswer(VOID)
{
    AnswersTwice = TRUE;
    KeepFramework();
}

static VOID BreakFrameworkLeft(VOID)
{
    OnStart = RegisterWithFramework;
}

/* --- DMA --------------------------------------------------------------------- */

static PDMA_ADAPTER Adapter;
static PMDL Mdl;
static BOOLEAN Flushes;
static ULONG Length;

static PDMA_ADAPTER GetAdapter(VOID)
{
    DEVICE_DESCRIPTION description;
    ULONG registers;

    RtlZeroMemory(&description, sizeof(description));
    description.Version = DEVICE_DESCRIPTION_VERSION;
    description.Master = TRUE;
    description.ScatterGather = TRUE;
    description.Dma32BitAddresses = TRUE;
    description.InterfaceType = PCIBus;
    description.MaximumLength = PAGE_SIZE;
    return IoGetDmaAdapter(Physical, &description, &registers);
}

static VOID LeaveBuffer(VOID)
{
    PHYSICAL_ADDRESS logical;

    Adapter = GetAdapter();
    Adapter->DmaOperations->AllocateCommonBuffer(Adapter, PAGE_SIZE, &logical, TRUE);
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
}

static VOID FreeBuffer(VOID)
{
    PHYSICAL_ADDRESS logical;
    PVOID buffer;

    Adapter = GetAdapter();
    buffer = Adapter->DmaOperations->AllocateCommonBuffer(Adapter, PAGE_SIZE, &logical, TRUE);
    if (buffer != NULL)
        Adapter->DmaOperations->FreeCommonBuffer(Adapter, PAGE_SIZE, logical, buffer, TRUE);
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
}

static VOID BreakBuffer(VOID)
{
    OnStart = LeaveBuffer;
}

static VOID KeepBuffer(VOID)
{
    OnStart = FreeBuffer;
}

static IO_ALLOCATION_ACTION NTAPI Transfer(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Registers, PVOID Context)
{
    ULONG length = Length;
    PVOID at = MmGetMdlVirtualAddress(Mdl);

    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    Adapter->DmaOperations->MapTransfer(Adapter, Mdl, Registers, at, &length, TRUE);
    if (Flushes)
        Adapter->DmaOperations->FlushAdapterBuffers(Adapter, Mdl, Registers, at, Length, TRUE);
    Adapter->DmaOperations->FreeMapRegisters(Adapter, Registers, 1);
    return DeallocateObjectKeepRegisters;
}

static VOID DoTransfer(VOID)
{
    KIRQL irql;

    Adapter = GetAdapter();
    Mdl = IoAllocateMdl(Block, 64, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return;
    MmBuildMdlForNonPagedPool(Mdl);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    Adapter->DmaOperations->AllocateAdapterChannel(Adapter, Function, 1, Transfer, NULL);
    KeLowerIrql(irql);
    IoFreeMdl(Mdl);
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
}

static VOID BreakTransfer(VOID)
{
    Length = 65;
    Flushes = TRUE;
    OnStart = DoTransfer;
}

static VOID BreakFlush(VOID)
{
    Length = 64;
    OnStart = DoTransfer;
}

static VOID KeepTransfer(VOID)
{
    Length = 64;
    Flushes = TRUE;
    OnStart = DoTransfer;
}

static const PAIR Pairs[] = {
    {2190, BreakWmi, KeepWmi},
    {2210, BreakInitializing, Keep},
    {2230, BreakStop, Keep},
    {2240, BreakPower, Keep},
    {4310, BreakRequirements, KeepRequirements},
    {4400, BreakBuffer, KeepBuffer},
    {4410, BreakTransfer, KeepTransfer},
    {4420, BreakFlush, KeepTransfer},
    {5340, BreakFrameworkAnswer, KeepFramework},
    {5341, BreakFrameworkLeft, KeepFramework},
    {5860, BreakRemoveLock, KeepRemoveLock},
    {6060, BreakSurprise, Keep},
    {0, NULL, NULL},
};
