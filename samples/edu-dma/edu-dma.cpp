/*
 * Function driver for the PCI device "edu" in C++: its 4,096 bytes of memory, read and written by
 * DMA.
 *
 * A read or write names bytes of the device's memory by its offset. Requests wait in a cancel-safe
 * queue; one at a time is at the device, gathered from the pages of its caller, element by
 * element. Device memory does not survive D3: it is saved into a common buffer on the way down and
 * restored on the way up, both by DMA. The driver is its device's power policy owner: a system
 * power request makes it request a device power state.
 *
 * C++ without exceptions and run-time types. An object lives in the device extension; what it
 * holds has neither constructors that run before DriverEntry nor destructors that run at exit.
 *
 * Sources: QEMU, "EDU device"; WDK, "Using Scatter/Gather DMA", "Using Common-Buffer Bus-Master
 * DMA", "Handling System Power State Requests".
 *
 * Locks, outermost first:
 *   lock_          state_, current_, job_, the queue
 *   interruptLock_ causes_
 */
#include <ddk/wdm.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

inline void *operator new(size_t, void *place) noexcept { return place; }

namespace {

constexpr ULONG kTag = '0ADE';

/* Registers. */
enum Register : ULONG {
    kIdentification = 0x00,
    kStatus = 0x20,
    kInterruptStatus = 0x24,
    kInterruptAcknowledge = 0x64,
    kDmaSource = 0x80,
    kDmaDestination = 0x88,
    kDmaCount = 0x90,
    kDmaCommand = 0x98,
};
constexpr ULONG kWindow = 0x100;
constexpr ULONG kCauseDma = 0x100;
constexpr ULONG kGone = 0xFFFFFFFF; /* what every register reads once the device was pulled */

constexpr ULONGLONG kRun = 1;
constexpr ULONGLONG kToMemory = 2;
constexpr ULONGLONG kInterrupt = 4;

constexpr ULONGLONG kDeviceMemory = 0x40000;
constexpr ULONG kDeviceBytes = 4096;

/* Device control requests. */
constexpr ULONG kIoctlFill = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS);
constexpr ULONG kIoctlSum = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS);

/* {5B0E7F7E-2C35-4B5B-8A70-9F1B7C0C5D02} */
const GUID kInterface = {0x5b0e7f7e, 0x2c35, 0x4b5b, {0x8a, 0x70, 0x9f, 0x1b, 0x7c, 0x0c, 0x5d, 0x02}};

class SpinLockHolder {
public:
    explicit SpinLockHolder(KSPIN_LOCK &lock) : lock_(lock) { KeAcquireSpinLock(&lock_, &irql_); }
    ~SpinLockHolder() { KeReleaseSpinLock(&lock_, irql_); }
    SpinLockHolder(const SpinLockHolder &) = delete;
    SpinLockHolder &operator=(const SpinLockHolder &) = delete;

private:
    KSPIN_LOCK &lock_;
    KIRQL irql_;
};

NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information = 0)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

/* The registers, mapped. */
class Registers {
public:
    NTSTATUS Map(const CM_PARTIAL_RESOURCE_DESCRIPTOR &memory)
    {
        base_ = static_cast<PUCHAR>(MmMapIoSpace(memory.u.Memory.Start, kWindow, MmNonCached));
        return base_ != nullptr ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    }

    void Unmap()
    {
        if (base_ != nullptr)
            MmUnmapIoSpace(base_, kWindow);
        base_ = nullptr;
    }

    bool IsMapped() const { return base_ != nullptr; }

    ULONG Get(Register which) const
    {
        return READ_REGISTER_ULONG(reinterpret_cast<PULONG>(base_ + which));
    }

    void Set(Register which, ULONG value) const
    {
        WRITE_REGISTER_ULONG(reinterpret_cast<PULONG>(base_ + which), value);
    }

    void SetWide(Register which, ULONGLONG value) const
    {
        /* One access of 8 bytes: writing half of a DMA register clears the other half. */
        *reinterpret_cast<volatile ULONGLONG *>(base_ + which) = value;
    }

    ULONGLONG GetWide(Register which) const
    {
        return *reinterpret_cast<volatile ULONGLONG *>(base_ + which);
    }

    /* Starts a transfer between memory and the device's memory. */
    void Transfer(bool toMemory, ULONGLONG memory, ULONG offset, ULONG bytes) const
    {
        ULONGLONG own = kDeviceMemory + offset;

        SetWide(kDmaSource, toMemory ? own : memory);
        SetWide(kDmaDestination, toMemory ? memory : own);
        SetWide(kDmaCount, bytes);
        SetWide(kDmaCommand, kRun | kInterrupt | (toMemory ? kToMemory : 0));
    }

private:
    PUCHAR base_;
};

/* An interrupt, by message or by line. */
class Interrupt {
public:
    NTSTATUS Connect(PDEVICE_OBJECT pdo, PKMESSAGE_SERVICE_ROUTINE message, PKSERVICE_ROUTINE line,
                     PVOID context, PKSPIN_LOCK lock)
    {
        IO_CONNECT_INTERRUPT_PARAMETERS connect;
        NTSTATUS status;

        RtlZeroMemory(&connect, sizeof(connect));
        connect.Version = CONNECT_MESSAGE_BASED;
        connect.MessageBased.PhysicalDeviceObject = pdo;
        connect.MessageBased.ConnectionContext.Generic = &connection_;
        connect.MessageBased.MessageServiceRoutine = message;
        connect.MessageBased.FallBackServiceRoutine = line;
        connect.MessageBased.ServiceContext = context;
        connect.MessageBased.SpinLock = lock;
        status = IoConnectInterruptEx(&connect);
        if (NT_SUCCESS(status))
            version_ = connect.Version;
        return status;
    }

    void Disconnect()
    {
        IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

        if (version_ == 0)
            return;
        RtlZeroMemory(&disconnect, sizeof(disconnect));
        disconnect.Version = version_;
        disconnect.ConnectionContext.Generic = connection_;
        IoDisconnectInterruptEx(&disconnect);
        version_ = 0;
    }

    PKINTERRUPT Object() const
    {
        if (version_ == CONNECT_MESSAGE_BASED)
            return static_cast<PIO_INTERRUPT_MESSAGE_INFO>(connection_)->MessageInfo[0].InterruptObject;
        return static_cast<PKINTERRUPT>(connection_);
    }

private:
    PVOID connection_;
    ULONG version_;
};

/* What the device is doing. */
enum class Job {
    None,
    Request, /* current_ */
    Save,    /* its memory goes to the common buffer, for powerIrp_ */
    Restore, /* and comes back */
};

enum class State {
    Stopped,   /* not started, or removed: requests fail */
    Running,
    Held,      /* requests wait: a stop is pending, or the device is stopped for rebalancing */
    Asleep,    /* requests wait until power comes back */
};

class EduDevice {
public:
    static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT pdo);

    NTSTATUS Open(PIRP irp) { return Complete(irp, STATUS_SUCCESS); }
    NTSTATUS Cleanup(PIRP irp);
    NTSTATUS Queue(PIRP irp);
    NTSTATUS Pnp(PIRP irp);
    NTSTATUS Power(PIRP irp);
    NTSTATUS SystemControl(PIRP irp);

private:
    static EduDevice *Of(PDEVICE_OBJECT device) { return static_cast<EduDevice *>(device->DeviceExtension); }
    static EduDevice *Of(PIO_CSQ csq) { return CONTAINING_RECORD(csq, EduDevice, csq_); }

    /* Called by the kernel. */
    static BOOLEAN NTAPI MessageIsr(PKINTERRUPT, PVOID context, ULONG);
    static BOOLEAN NTAPI LineIsr(PKINTERRUPT, PVOID context);
    static BOOLEAN NTAPI TakeCauses(PVOID context);
    static VOID NTAPI DmaDpc(PKDPC, PVOID context, PVOID, PVOID);
    static VOID NTAPI ListReady(PDEVICE_OBJECT, PIRP, PSCATTER_GATHER_LIST list, PVOID context);
    static NTSTATUS NTAPI SystemPowerDone(PDEVICE_OBJECT, PIRP irp, PVOID context);
    static VOID NTAPI DevicePowerDone(PDEVICE_OBJECT, UCHAR, POWER_STATE, PVOID context, PIO_STATUS_BLOCK status);
    static NTSTATUS NTAPI WentDown(PDEVICE_OBJECT, PIRP irp, PVOID context);
    static NTSTATUS NTAPI PoweredUp(PDEVICE_OBJECT, PIRP irp, PVOID context);
    static NTSTATUS NTAPI CsqInsert(PIO_CSQ csq, PIRP irp, PVOID context);
    static VOID NTAPI CsqRemove(PIO_CSQ csq, PIRP irp);
    static PIRP NTAPI CsqPeek(PIO_CSQ csq, PIRP irp, PVOID context);
    static VOID NTAPI CsqAcquire(PIO_CSQ csq, PKIRQL irql);
    static VOID NTAPI CsqRelease(PIO_CSQ csq, KIRQL irql);
    static VOID NTAPI CsqCancelled(PIO_CSQ csq, PIRP irp);

    NTSTATUS Initialize(PDEVICE_OBJECT self, PDEVICE_OBJECT pdo);
    NTSTATUS Acquire(PCM_RESOURCE_LIST translated);
    NTSTATUS AcquireDma();
    void AbandonJob();
    void Release();
    NTSTATUS Start(PIRP irp);
    void Hold(State state);
    void Resume();
    void Stop(NTSTATUS status);
    NTSTATUS ForwardAndWait(PIRP irp);
    NTSTATUS PassDown(PIRP irp);

    void StartNext();
    void StartRequest(PIRP irp);
    void StartElement();
    void Transfer(bool toMemory, ULONGLONG memory, ULONG offset, ULONG bytes);
    void EndRequest(NTSTATUS status, ULONG_PTR information);
    void EndJob();
    void FlushQueue(PFILE_OBJECT file, NTSTATUS status);
    bool Control(PIRP irp);

    NTSTATUS SystemPower(PIRP irp);
    NTSTATUS DevicePower(PIRP irp);
    void GoOnDown();
    void GoOnUp(PIRP irp);
    NTSTATUS PassPower(PIRP irp);

    PDEVICE_OBJECT self_;
    PDEVICE_OBJECT pdo_;
    PDEVICE_OBJECT lower_;
    UNICODE_STRING interface_;
    IO_REMOVE_LOCK removeLock_;

    Registers registers_;
    Interrupt interrupt_;
    KSPIN_LOCK interruptLock_;
    ULONG causes_;
    KDPC dpc_;
    LONG transfers_; /* the device does, so that an interrupt may say that it has */

    PDMA_ADAPTER adapter_;
    ULONG mapRegisters_;
    PUCHAR common_;
    PHYSICAL_ADDRESS commonAddress_;
    bool isSaved_; /* the common buffer has what the device's memory held */

    KSPIN_LOCK lock_;
    IO_CSQ csq_;
    LIST_ENTRY irps_;
    ULONG arrived_; /* requests that have ever been queued */
    State state_;
    Job job_;
    PIRP current_;
    KEVENT idle_; /* no job */

    /* The request at the device. */
    PSCATTER_GATHER_LIST list_;
    ULONG element_;
    ULONG elementOffset_;
    ULONG offset_;
    ULONG done_;
    ULONG length_;
    ULONG chunk_;
    bool toMemory_;

    PIRP powerIrp_;
    DEVICE_POWER_STATE power_;
};

/* --- Interrupt side --------------------------------------------------------- */

BOOLEAN NTAPI EduDevice::LineIsr(PKINTERRUPT, PVOID context)
{
    EduDevice *edu = static_cast<EduDevice *>(context);
    ULONG causes = edu->registers_.Get(kInterruptStatus);

    if (causes == 0 || causes == kGone)
        return FALSE;
    edu->registers_.Set(kInterruptAcknowledge, causes);
    edu->causes_ |= causes;
    KeInsertQueueDpc(&edu->dpc_, nullptr, nullptr);
    return TRUE;
}

BOOLEAN NTAPI EduDevice::MessageIsr(PKINTERRUPT interrupt, PVOID context, ULONG)
{
    return LineIsr(interrupt, context);
}

/* Under the interrupt's lock: whether a transfer has ended since this was last asked. */
BOOLEAN NTAPI EduDevice::TakeCauses(PVOID context)
{
    EduDevice *edu = static_cast<EduDevice *>(context);
    ULONG causes = edu->causes_;

    edu->causes_ = 0;
    return (causes & kCauseDma) != 0;
}

/* --- The queue ---------------------------------------------------------------- */

/* A stopped device takes nothing in. The lock is held. */
NTSTATUS NTAPI EduDevice::CsqInsert(PIO_CSQ csq, PIRP irp, PVOID)
{
    EduDevice *edu = Of(csq);

    if (edu->state_ == State::Stopped)
        return STATUS_DEVICE_NOT_READY;
    InsertTailList(&edu->irps_, &irp->Tail.Overlay.ListEntry);
    edu->arrived_++;
    return STATUS_SUCCESS;
}

VOID NTAPI EduDevice::CsqRemove(PIO_CSQ, PIRP irp)
{
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
}

/* The next request of a file, or of anybody. */
PIRP NTAPI EduDevice::CsqPeek(PIO_CSQ csq, PIRP irp, PVOID context)
{
    EduDevice *edu = Of(csq);
    PLIST_ENTRY entry = irp == nullptr ? edu->irps_.Flink : irp->Tail.Overlay.ListEntry.Flink;

    for (; entry != &edu->irps_; entry = entry->Flink) {
        PIRP next = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);

        if (context == nullptr || IoGetCurrentIrpStackLocation(next)->FileObject == context)
            return next;
    }
    return nullptr;
}

VOID NTAPI EduDevice::CsqAcquire(PIO_CSQ csq, PKIRQL irql) { KeAcquireSpinLock(&Of(csq)->lock_, irql); }

VOID NTAPI EduDevice::CsqRelease(PIO_CSQ csq, KIRQL irql) { KeReleaseSpinLock(&Of(csq)->lock_, irql); }

VOID NTAPI EduDevice::CsqCancelled(PIO_CSQ csq, PIRP irp)
{
    EduDevice *edu = Of(csq);

    Complete(irp, STATUS_CANCELLED);
    IoReleaseRemoveLock(&edu->removeLock_, irp);
}

void EduDevice::FlushQueue(PFILE_OBJECT file, NTSTATUS status)
{
    PIRP irp;

    while ((irp = IoCsqRemoveNextIrp(&csq_, file)) != nullptr) {
        Complete(irp, status);
        IoReleaseRemoveLock(&removeLock_, irp);
    }
}

NTSTATUS EduDevice::Cleanup(PIRP irp)
{
    FlushQueue(IoGetCurrentIrpStackLocation(irp)->FileObject, STATUS_CANCELLED);
    return Complete(irp, STATUS_SUCCESS);
}

/* Takes a request in. Its remove lock is dropped when it is complete. */
NTSTATUS EduDevice::Queue(PIRP irp)
{
    NTSTATUS status = IoAcquireRemoveLock(&removeLock_, irp);

    if (!NT_SUCCESS(status))
        return Complete(irp, status);
    status = IoCsqInsertIrpEx(&csq_, irp, nullptr, nullptr);
    if (!NT_SUCCESS(status)) {
        Complete(irp, status);
        IoReleaseRemoveLock(&removeLock_, irp);
        return status;
    }
    StartNext();
    return STATUS_PENDING;
}

/* --- Requests at the device ------------------------------------------------------ */

/* Begins the next request if the device is free. */
void EduDevice::StartNext()
{
    for (;;) {
        PIRP irp;
        ULONG arrived;

        {
            SpinLockHolder hold(lock_);

            if (state_ != State::Running || job_ != Job::None)
                return;
            job_ = Job::Request;
            arrived = arrived_;
            KeClearEvent(&idle_);
        }
        irp = IoCsqRemoveNextIrp(&csq_, nullptr);
        if (irp == nullptr) {
            EndJob();
            SpinLockHolder hold(lock_);

            /* One that is being cancelled may be in the queue still, and is not handed out. */
            if (arrived_ == arrived)
                return;
            continue; /* one came meanwhile, and its sender saw a busy device */
        }
        StartRequest(irp);
        return;
    }
}

/* The device is free. What waits for that goes on. */
void EduDevice::EndJob()
{
    SpinLockHolder hold(lock_);

    job_ = Job::None;
    current_ = nullptr;
    KeSetEvent(&idle_, IO_NO_INCREMENT, FALSE);
}

void EduDevice::EndRequest(NTSTATUS status, ULONG_PTR information)
{
    PIRP irp = current_;

    EndJob();
    Complete(irp, status, information);
    IoReleaseRemoveLock(&removeLock_, irp);
    StartNext();
}

/* A control request works with the common buffer. Whether a transfer was begun. */
bool EduDevice::Control(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    auto &control = stack->Parameters.DeviceIoControl;
    PUCHAR buffer = static_cast<PUCHAR>(irp->AssociatedIrp.SystemBuffer);

    list_ = nullptr;
    offset_ = 0;
    chunk_ = kDeviceBytes;
    switch (control.IoControlCode) {
    case kIoctlFill:
        if (control.InputBufferLength < 1)
            return EndRequest(STATUS_BUFFER_TOO_SMALL, 0), false;
        RtlFillMemory(common_, kDeviceBytes, buffer[0]);
        toMemory_ = false;
        break;
    case kIoctlSum:
        if (control.OutputBufferLength < sizeof(ULONG))
            return EndRequest(STATUS_BUFFER_TOO_SMALL, 0), false;
        toMemory_ = true;
        break;
    default:
        return EndRequest(STATUS_INVALID_DEVICE_REQUEST, 0), false;
    }
    isSaved_ = false;
    Transfer(toMemory_, commonAddress_.QuadPart, 0, kDeviceBytes);
    return true;
}

void EduDevice::StartRequest(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONGLONG offset;
    NTSTATUS status;
    KIRQL irql;

    current_ = irp;
    if (stack->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
        Control(irp);
        return;
    }
    /* Read and Write have the same layout. */
    offset = stack->Parameters.Read.ByteOffset.QuadPart;
    length_ = stack->Parameters.Read.Length;
    if (offset >= kDeviceBytes && length_ > 0)
        return EndRequest(STATUS_END_OF_FILE, 0);
    if (length_ == 0)
        return EndRequest(STATUS_SUCCESS, 0);
    offset_ = static_cast<ULONG>(offset);
    length_ = min(length_, kDeviceBytes - offset_);
    toMemory_ = stack->MajorFunction == IRP_MJ_READ;
    done_ = 0;
    element_ = 0;
    elementOffset_ = 0;
    KeFlushIoBuffers(irp->MdlAddress, toMemory_, TRUE);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    status = adapter_->DmaOperations->GetScatterGatherList(
        adapter_, self_, irp->MdlAddress, MmGetMdlVirtualAddress(irp->MdlAddress), length_, ListReady, this,
        !toMemory_);
    KeLowerIrql(irql);
    if (!NT_SUCCESS(status))
        EndRequest(status, 0);
}

VOID NTAPI EduDevice::ListReady(PDEVICE_OBJECT, PIRP, PSCATTER_GATHER_LIST list, PVOID context)
{
    EduDevice *edu = static_cast<EduDevice *>(context);

    edu->list_ = list;
    edu->StartElement();
}

/* The device moves what is left of the current element. */
void EduDevice::StartElement()
{
    const SCATTER_GATHER_ELEMENT &element = list_->Elements[element_];

    chunk_ = min(element.Length - elementOffset_, length_ - done_);
    Transfer(toMemory_, element.Address.QuadPart + elementOffset_, offset_ + done_, chunk_);
}

void EduDevice::Transfer(bool toMemory, ULONGLONG memory, ULONG offset, ULONG bytes)
{
    InterlockedExchange(&transfers_, 1);
    registers_.Transfer(toMemory, memory, offset, bytes);
}

VOID NTAPI EduDevice::DmaDpc(PKDPC, PVOID context, PVOID, PVOID)
{
    EduDevice *edu = static_cast<EduDevice *>(context);

    /* An interrupt can come before connecting has returned, and for no reason. */
    if (!edu->transfers_ || !KeSynchronizeExecution(edu->interrupt_.Object(), TakeCauses, edu))
        return;
    InterlockedExchange(&edu->transfers_, 0);
    switch (edu->job_) {
    case Job::None:
        break;
    case Job::Save:
        edu->isSaved_ = true;
        edu->EndJob();
        edu->GoOnDown();
        break;
    case Job::Restore: {
        PIRP irp = edu->powerIrp_;

        edu->powerIrp_ = nullptr;
        edu->EndJob();
        edu->GoOnUp(irp);
        break;
    }
    case Job::Request:
        if (edu->list_ == nullptr) {
            PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(edu->current_);
            ULONG sum = 0;

            if (stack->Parameters.DeviceIoControl.IoControlCode == kIoctlFill)
                return edu->EndRequest(STATUS_SUCCESS, 0);
            for (ULONG i = 0; i < kDeviceBytes; i++)
                sum += edu->common_[i];
            *static_cast<PULONG>(edu->current_->AssociatedIrp.SystemBuffer) = sum;
            return edu->EndRequest(STATUS_SUCCESS, sizeof(sum));
        }
        edu->done_ += edu->chunk_;
        edu->elementOffset_ += edu->chunk_;
        if (edu->elementOffset_ == edu->list_->Elements[edu->element_].Length) {
            edu->element_++;
            edu->elementOffset_ = 0;
        }
        if (edu->done_ < edu->length_ && edu->element_ < edu->list_->NumberOfElements)
            return edu->StartElement();
        edu->adapter_->DmaOperations->PutScatterGatherList(edu->adapter_, edu->list_, !edu->toMemory_);
        edu->list_ = nullptr;
        edu->EndRequest(STATUS_SUCCESS, edu->done_);
        break;
    }
}

/* --- Hardware --------------------------------------------------------------------- */

NTSTATUS PAGED EduDevice::AcquireDma()
{
    DEVICE_DESCRIPTION description;

    RtlZeroMemory(&description, sizeof(description));
    description.Version = DEVICE_DESCRIPTION_VERSION;
    description.Master = TRUE;
    description.ScatterGather = TRUE;
    description.Dma32BitAddresses = TRUE;
    description.InterfaceType = PCIBus;
    description.MaximumLength = kDeviceBytes;
    adapter_ = IoGetDmaAdapter(pdo_, &description, &mapRegisters_);
    if (adapter_ == nullptr)
        return STATUS_INSUFFICIENT_RESOURCES;
    common_ = static_cast<PUCHAR>(
        adapter_->DmaOperations->AllocateCommonBuffer(adapter_, kDeviceBytes, &commonAddress_, TRUE));
    return common_ != nullptr ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS PAGED EduDevice::Acquire(PCM_RESOURCE_LIST translated)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR memory = nullptr;
    NTSTATUS status;

    if (translated == nullptr || translated->Count == 0)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    auto &list = translated->List[0].PartialResourceList;
    for (ULONG i = 0; i < list.Count && memory == nullptr; i++)
        if (list.PartialDescriptors[i].Type == CmResourceTypeMemory)
            memory = &list.PartialDescriptors[i];
    if (memory == nullptr || memory->u.Memory.Length < kWindow)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    status = registers_.Map(*memory);
    if (NT_SUCCESS(status) && (registers_.Get(kIdentification) & 0xFFFF) != 0x00ED)
        status = STATUS_NO_SUCH_DEVICE;
    if (NT_SUCCESS(status))
        status = AcquireDma();
    if (NT_SUCCESS(status)) {
        registers_.Set(kStatus, 0);
        registers_.Set(kInterruptAcknowledge, registers_.Get(kInterruptStatus));
        causes_ = 0;
        status = interrupt_.Connect(pdo_, MessageIsr, LineIsr, this, &interruptLock_);
    }
    if (!NT_SUCCESS(status))
        Release();
    return status;
}

/* The device was pulled in the middle of a transfer: nobody ends it any more, but us. */
void EduDevice::AbandonJob()
{
    PIRP power = powerIrp_;

    if (job_ == Job::None)
        return;
    if (job_ == Job::Request) {
        if (list_ != nullptr)
            adapter_->DmaOperations->PutScatterGatherList(adapter_, list_, !toMemory_);
        list_ = nullptr;
        EndRequest(STATUS_DEVICE_REMOVED, 0);
        return;
    }
    powerIrp_ = nullptr;
    EndJob();
    power->IoStatus.Status = STATUS_DEVICE_REMOVED;
    PoStartNextPowerIrp(power);
    IoCompleteRequest(power, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&removeLock_, power);
}

/* Gives back whatever there is. */
void PAGED EduDevice::Release()
{
    interrupt_.Disconnect();
    KeFlushQueuedDpcs();
    AbandonJob();
    if (common_ != nullptr)
        adapter_->DmaOperations->FreeCommonBuffer(adapter_, kDeviceBytes, commonAddress_, common_, TRUE);
    common_ = nullptr;
    if (adapter_ != nullptr)
        adapter_->DmaOperations->PutDmaAdapter(adapter_);
    adapter_ = nullptr;
    registers_.Unmap();
}

/* --- Plug and play ------------------------------------------------------------------ */

NTSTATUS PAGED EduDevice::ForwardAndWait(PIRP irp)
{
    if (!IoForwardIrpSynchronously(lower_, irp))
        return STATUS_UNSUCCESSFUL;
    return irp->IoStatus.Status;
}

NTSTATUS PAGED EduDevice::Start(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = ForwardAndWait(irp);

    if (NT_SUCCESS(status))
        status = Acquire(stack->Parameters.StartDevice.AllocatedResourcesTranslated);
    if (NT_SUCCESS(status)) {
        power_ = PowerDeviceD0;
        isSaved_ = false;
        IoSetDeviceInterfaceState(&interface_, TRUE);
        Resume();
    }
    return status;
}

/* From now on requests wait, or fail; the one at the device has a second to come to its end. */
void EduDevice::Hold(State state)
{
    LARGE_INTEGER second;

    {
        SpinLockHolder hold(lock_);
        state_ = state;
    }
    second.QuadPart = -10 * 1000 * 1000;
    KeWaitForSingleObject(&idle_, Executive, KernelMode, FALSE, &second);
}

void EduDevice::Resume()
{
    {
        SpinLockHolder hold(lock_);
        state_ = State::Running;
    }
    StartNext();
}

void PAGED EduDevice::Stop(NTSTATUS status)
{
    Hold(State::Stopped);
    FlushQueue(nullptr, status);
    Release();
}

NTSTATUS EduDevice::PassDown(PIRP irp)
{
    NTSTATUS status;

    IoSkipCurrentIrpStackLocation(irp);
    status = IoCallDriver(lower_, irp);
    IoReleaseRemoveLock(&removeLock_, irp);
    return status;
}

NTSTATUS EduDevice::SystemControl(PIRP irp)
{
    NTSTATUS status = IoAcquireRemoveLock(&removeLock_, irp);

    if (!NT_SUCCESS(status))
        return Complete(irp, status);
    return PassDown(irp);
}

NTSTATUS PAGED EduDevice::Pnp(PIRP irp)
{
    NTSTATUS status = IoAcquireRemoveLock(&removeLock_, irp);

    if (!NT_SUCCESS(status))
        return Complete(irp, status);
    switch (IoGetCurrentIrpStackLocation(irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = Start(irp);
        break;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        if (registers_.IsMapped())
            Hold(State::Held);
        irp->IoStatus.Status = STATUS_SUCCESS;
        return PassDown(irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = ForwardAndWait(irp);
        if (registers_.IsMapped())
            Resume();
        break;

    case IRP_MN_STOP_DEVICE:
        /* Requests that wait go on after the next start. */
        Hold(State::Held);
        Release();
        irp->IoStatus.Status = STATUS_SUCCESS;
        return PassDown(irp);

    case IRP_MN_SURPRISE_REMOVAL:
        IoSetDeviceInterfaceState(&interface_, FALSE);
        Stop(STATUS_DEVICE_REMOVED);
        irp->IoStatus.Status = STATUS_SUCCESS;
        return PassDown(irp);

    case IRP_MN_REMOVE_DEVICE:
        IoSetDeviceInterfaceState(&interface_, FALSE);
        Stop(STATUS_DEVICE_REMOVED);
        irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(irp);
        status = IoCallDriver(lower_, irp);
        IoReleaseRemoveLockAndWait(&removeLock_, irp);
        RtlFreeUnicodeString(&interface_);
        IoDetachDevice(lower_);
        IoDeleteDevice(self_);
        return status;

    default:
        return PassDown(irp);
    }
    Complete(irp, status, irp->IoStatus.Information);
    IoReleaseRemoveLock(&removeLock_, irp);
    return status;
}

/* --- Power ------------------------------------------------------------------------------ */

NTSTATUS EduDevice::PassPower(PIRP irp)
{
    NTSTATUS status;

    PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    status = PoCallDriver(lower_, irp);
    IoReleaseRemoveLock(&removeLock_, irp);
    return status;
}

NTSTATUS EduDevice::Power(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&removeLock_, irp);

    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(irp);
        return Complete(irp, status);
    }
    if (stack->MinorFunction != IRP_MN_SET_POWER)
        return PassPower(irp);
    if (stack->Parameters.Power.Type == SystemPowerState)
        return SystemPower(irp);
    return DevicePower(irp);
}

/* The drivers below first; then the device follows. */
NTSTATUS EduDevice::SystemPower(PIRP irp)
{
    IoMarkIrpPending(irp);
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, SystemPowerDone, this, TRUE, TRUE, TRUE);
    PoCallDriver(lower_, irp);
    return STATUS_PENDING;
}

NTSTATUS NTAPI EduDevice::SystemPowerDone(PDEVICE_OBJECT, PIRP irp, PVOID context)
{
    EduDevice *edu = static_cast<EduDevice *>(context);
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    POWER_STATE device;
    NTSTATUS status = irp->IoStatus.Status;

    if (NT_SUCCESS(status)) {
        device.DeviceState = stack->Parameters.Power.State.SystemState == PowerSystemWorking ? PowerDeviceD0
                                                                                            : PowerDeviceD3;
        status = PoRequestPowerIrp(edu->pdo_, IRP_MN_SET_POWER, device, DevicePowerDone, irp, nullptr);
        if (NT_SUCCESS(status))
            return STATUS_MORE_PROCESSING_REQUIRED; /* it is completed when the device has followed */
        irp->IoStatus.Status = status;
    }
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&edu->removeLock_, irp);
    return STATUS_CONTINUE_COMPLETION;
}

VOID NTAPI EduDevice::DevicePowerDone(PDEVICE_OBJECT, UCHAR, POWER_STATE, PVOID context, PIO_STATUS_BLOCK status)
{
    PIRP irp = static_cast<PIRP>(context);
    EduDevice *edu = Of(IoGetCurrentIrpStackLocation(irp)->DeviceObject);

    irp->IoStatus.Status = status->Status;
    PoStartNextPowerIrp(irp);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&edu->removeLock_, irp);
}

NTSTATUS EduDevice::DevicePower(PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    DEVICE_POWER_STATE wanted = stack->Parameters.Power.State.DeviceState;

    if (wanted == PowerDeviceD0) {
        IoMarkIrpPending(irp);
        IoCopyCurrentIrpStackLocationToNext(irp);
        IoSetCompletionRoutine(irp, PoweredUp, this, TRUE, TRUE, TRUE);
        PoCallDriver(lower_, irp);
        return STATUS_PENDING;
    }
    {
        SpinLockHolder hold(lock_);

        if (state_ != State::Running || power_ != PowerDeviceD0) {
            power_ = wanted;
            state_ = state_ == State::Running ? State::Asleep : state_;
        } else {
            power_ = wanted;
            state_ = State::Asleep;
            powerIrp_ = irp;
        }
    }
    if (powerIrp_ != irp) {
        PoSetPowerState(self_, DevicePowerState, stack->Parameters.Power.State);
        return PassPower(irp);
    }
    IoMarkIrpPending(irp);
    /* The request at the device comes to its end; only then is the memory what it has to be. */
    KeWaitForSingleObject(&idle_, Executive, KernelMode, FALSE, nullptr);
    {
        SpinLockHolder hold(lock_);

        /* Registers are unmapped only after the state has changed. */
        if (state_ == State::Asleep) {
            job_ = Job::Save;
            KeClearEvent(&idle_);
            Transfer(true, commonAddress_.QuadPart, 0, kDeviceBytes);
            return STATUS_PENDING;
        }
    }
    /* It was removed meanwhile. */
    GoOnDown();
    return STATUS_PENDING;
}

/* The memory is saved: the power may go. */
void EduDevice::GoOnDown()
{
    PIRP irp = powerIrp_;
    POWER_STATE state = IoGetCurrentIrpStackLocation(irp)->Parameters.Power.State;

    powerIrp_ = nullptr;
    PoSetPowerState(self_, DevicePowerState, state);
    /* It was marked pending, so the next driver must not get this driver's stack location. */
    IoCopyCurrentIrpStackLocationToNext(irp);
    IoSetCompletionRoutine(irp, WentDown, this, TRUE, TRUE, TRUE);
    PoStartNextPowerIrp(irp);
    PoCallDriver(lower_, irp);
}

NTSTATUS NTAPI EduDevice::WentDown(PDEVICE_OBJECT, PIRP irp, PVOID context)
{
    EduDevice *edu = static_cast<EduDevice *>(context);

    IoReleaseRemoveLock(&edu->removeLock_, irp);
    return STATUS_CONTINUE_COMPLETION;
}

/* The bus driver has given power back. */
NTSTATUS NTAPI EduDevice::PoweredUp(PDEVICE_OBJECT, PIRP irp, PVOID context)
{
    EduDevice *edu = static_cast<EduDevice *>(context);
    bool restores = false;

    if (!NT_SUCCESS(irp->IoStatus.Status)) {
        PoStartNextPowerIrp(irp);
        IoReleaseRemoveLock(&edu->removeLock_, irp);
        return STATUS_CONTINUE_COMPLETION;
    }
    {
        SpinLockHolder hold(edu->lock_);

        edu->power_ = PowerDeviceD0;
        if (edu->state_ == State::Asleep && edu->isSaved_) {
            restores = true;
            edu->job_ = Job::Restore;
            edu->powerIrp_ = irp;
            KeClearEvent(&edu->idle_);
            edu->Transfer(false, edu->commonAddress_.QuadPart, 0, kDeviceBytes);
        }
    }
    if (restores)
        return STATUS_MORE_PROCESSING_REQUIRED;
    PoSetPowerState(edu->self_, DevicePowerState, IoGetCurrentIrpStackLocation(irp)->Parameters.Power.State);
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&edu->removeLock_, irp);
    return STATUS_CONTINUE_COMPLETION;
}

/* The memory is what it was: requests that waited go on. */
void EduDevice::GoOnUp(PIRP irp)
{
    PoSetPowerState(self_, DevicePowerState, IoGetCurrentIrpStackLocation(irp)->Parameters.Power.State);
    PoStartNextPowerIrp(irp);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoReleaseRemoveLock(&removeLock_, irp);
    Resume();
}

/* --- Loading ------------------------------------------------------------------------------- */

NTSTATUS PAGED EduDevice::Initialize(PDEVICE_OBJECT self, PDEVICE_OBJECT pdo)
{
    NTSTATUS status;

    self_ = self;
    pdo_ = pdo;
    IoInitializeRemoveLock(&removeLock_, kTag, 0, 0);
    KeInitializeSpinLock(&lock_);
    KeInitializeSpinLock(&interruptLock_);
    KeInitializeDpc(&dpc_, DmaDpc, this);
    KeInitializeEvent(&idle_, NotificationEvent, TRUE);
    InitializeListHead(&irps_);
    state_ = State::Stopped;
    power_ = PowerDeviceD0;
    status = IoCsqInitializeEx(&csq_, CsqInsert, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqCancelled);
    if (!NT_SUCCESS(status))
        return status;
    status = IoRegisterDeviceInterface(pdo, &kInterface, nullptr, &interface_);
    if (!NT_SUCCESS(status))
        return status;
    lower_ = IoAttachDeviceToDeviceStack(self, pdo);
    if (lower_ == nullptr) {
        RtlFreeUnicodeString(&interface_);
        return STATUS_NO_SUCH_DEVICE;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI PAGED EduDevice::AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT pdo)
{
    PDEVICE_OBJECT fdo;
    NTSTATUS status = IoCreateDevice(driver, sizeof(EduDevice), nullptr, FILE_DEVICE_UNKNOWN,
                                     FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);

    if (!NT_SUCCESS(status))
        return status;
    EduDevice *edu = new (fdo->DeviceExtension) EduDevice();
    status = edu->Initialize(fdo, pdo);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    fdo->Flags |= DO_DIRECT_IO | DO_POWER_PAGABLE;
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    EduDevice *edu = static_cast<EduDevice *>(device->DeviceExtension);

    switch (IoGetCurrentIrpStackLocation(irp)->MajorFunction) {
    case IRP_MJ_CREATE:
    case IRP_MJ_CLOSE:
        return edu->Open(irp);
    case IRP_MJ_CLEANUP:
        return edu->Cleanup(irp);
    default:
        return edu->Queue(irp);
    }
}

NTSTATUS NTAPI PAGED DispatchPnp(PDEVICE_OBJECT device, PIRP irp)
{
    return static_cast<EduDevice *>(device->DeviceExtension)->Pnp(irp);
}

NTSTATUS NTAPI DispatchPower(PDEVICE_OBJECT device, PIRP irp)
{
    return static_cast<EduDevice *>(device->DeviceExtension)->Power(irp);
}

NTSTATUS NTAPI DispatchSystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    EduDevice *edu = static_cast<EduDevice *>(device->DeviceExtension);

    return edu->SystemControl(irp);
}

VOID NTAPI PAGED Unload(PDRIVER_OBJECT)
{
    /* Every device was given back when it was removed. */
}

} // namespace

extern "C" NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING)
{
    driver->DriverExtension->AddDevice = EduDevice::AddDevice;
    driver->DriverUnload = Unload;
    static const UCHAR functions[] = {IRP_MJ_CREATE, IRP_MJ_CLOSE, IRP_MJ_CLEANUP,
                                      IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_DEVICE_CONTROL};

    for (UCHAR function : functions)
        driver->MajorFunction[function] = Dispatch;
    driver->MajorFunction[IRP_MJ_PNP] = DispatchPnp;
    driver->MajorFunction[IRP_MJ_POWER] = DispatchPower;
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = DispatchSystemControl;
    return STATUS_SUCCESS;
}
