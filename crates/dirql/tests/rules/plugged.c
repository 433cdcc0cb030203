/* Plug and play, power, WMI and DMA of a device that a bus reports. */
#define PLUGGED
#include "pairs.h"

static PDEVICE_OBJECT Function, Physical, Lower;

/* What is different in a pair. */
static BOOLEAN StaysInitializing, FailsStop, KeepsPower, DeletesEarly, Awaits;
static PRULE OnStart;

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

    case IRP_MN_STOP_DEVICE:
        if (FailsStop)
            return Complete(Irp, STATUS_UNSUCCESSFUL, 0);
        break;

    case IRP_MN_SURPRISE_REMOVAL:
        if (DeletesEarly)
            Delete();
        break;

    case IRP_MN_REMOVE_DEVICE:
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
    {4400, BreakBuffer, KeepBuffer},
    {4410, BreakTransfer, KeepTransfer},
    {4420, BreakFlush, KeepTransfer},
    {5860, BreakRemoveLock, KeepRemoveLock},
    {6060, BreakSurprise, Keep},
    {0, NULL, NULL},
};
