/*
 * What a driver is not allowed to do with interrupts, a pair of routines for each rule: BreakXxx
 * breaks it, KeepXxx does the same as it should be done. A request names the rule by a number, and
 * which of the two.
 *
 * The device is "msix", with a line or with messages.
 */
#pragma GCC optimize("no-optimize-sibling-calls") /* a finding names the function */
#include <ddk/wdm.h>

/* Not in wdm.h any more. */
NTHALAPI ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE Type, ULONG Bus, ULONG Level, ULONG Vector, PKIRQL Irql,
                                           PKAFFINITY Affinity);

/* Not in these headers yet. What is reported has the layout of what is disconnected. */
typedef VOID(NTAPI *REPORT_ROUTINE)(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters);
static REPORT_ROUTINE IoReportInterruptActive, IoReportInterruptInactive;

#define IOCTL_RULE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

#define MOST_INTERRUPTS 4
#define TAG 'elur'

typedef struct _REQUEST {
    ULONG Number;
    ULONG Keep;
    ULONG Raw; /* the device's raw vector */
} REQUEST, *PREQUEST;

#define DEVICE_BASE       \
    PDEVICE_OBJECT Self;  \
    PDEVICE_OBJECT Pdo;   \
    PDEVICE_OBJECT Lower; \
    UNICODE_STRING Interface

typedef struct _DEVICE *PDEVICE;
typedef VOID (*PRULE)(PDEVICE Device);

typedef struct _DEVICE {
    DEVICE_BASE;
    PUCHAR Registers;
    CM_PARTIAL_RESOURCE_DESCRIPTOR Assigned[MOST_INTERRUPTS];
    ULONG Interrupts;
    REQUEST Request;

    ULONG Version; /* of the connect; 0 if nothing is connected */
    PVOID Connection;
    PKINTERRUPT Objects[MOST_INTERRUPTS];
    KSPIN_LOCK InterruptLock;
    KSPIN_LOCK Lock;
    KDPC Dpc;
    ULONG Count;
    ULONG Seen;
    PULONG Made; /* what the driver makes itself */

    PRULE OnStart; /* called by the next start, stop and change of power */
    BOOLEAN StartFails;
    PRULE OnStop;
    PRULE OnPower;
} DEVICE;

static VOID Release(PDEVICE Device);

/* --- The device ------------------------------------------------------------ */

#define QUEUES 0x04
#define REQUESTS(q) (0x100 + 16 * (q))
#define COMPLETIONS(q) (0x104 + 16 * (q))
#define WINDOW 0x10000

static ULONG Get(PDEVICE Device, ULONG Offset)
{
    return READ_REGISTER_ULONG((PULONG)(Device->Registers + Offset));
}

static VOID Set(PDEVICE Device, ULONG Offset, ULONG Value)
{
    WRITE_REGISTER_ULONG((PULONG)(Device->Registers + Offset), Value);
}

/* Whether the device had a reason to interrupt, which it has not any more. */
static BOOLEAN Silence(PDEVICE Device)
{
    ULONG completions = Get(Device, COMPLETIONS(0));

    if (completions != 0)
        Set(Device, COMPLETIONS(0), completions);
    return completions != 0;
}

/* The device has work, and interrupts before this returns if the level lets it. */
static VOID Interrupt(PDEVICE Device)
{
    Set(Device, REQUESTS(0), 1);
    KeStallExecutionProcessor(40);
}

static BOOLEAN NTAPI Isr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return Silence(Context);
}

static BOOLEAN NTAPI IsrOfMessages(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Message);
    return Silence(Context);
}

/* --- Connecting as it should be done --------------------------------------- */

static VOID FillLine(PDEVICE Device, PIO_CONNECT_INTERRUPT_PARAMETERS Connect, PKSERVICE_ROUTINE Routine)
{
    RtlZeroMemory(Connect, sizeof(*Connect));
    Connect->Version = CONNECT_LINE_BASED;
    Connect->LineBased.PhysicalDeviceObject = Device->Pdo;
    Connect->LineBased.InterruptObject = &Device->Objects[0];
    Connect->LineBased.ServiceRoutine = Routine;
    Connect->LineBased.ServiceContext = Device;
}

static VOID FillMessages(PDEVICE Device, PIO_CONNECT_INTERRUPT_PARAMETERS Connect)
{
    RtlZeroMemory(Connect, sizeof(*Connect));
    Connect->Version = CONNECT_MESSAGE_BASED;
    Connect->MessageBased.PhysicalDeviceObject = Device->Pdo;
    Connect->MessageBased.ConnectionContext.Generic = &Device->Connection;
    Connect->MessageBased.MessageServiceRoutine = IsrOfMessages;
    Connect->MessageBased.ServiceContext = Device;
    Connect->MessageBased.FallBackServiceRoutine = Isr;
}

static VOID FillFully(PDEVICE Device, PIO_CONNECT_INTERRUPT_PARAMETERS Connect, ULONG Index)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR descriptor = &Device->Assigned[Index];

    RtlZeroMemory(Connect, sizeof(*Connect));
    Connect->Version = CONNECT_FULLY_SPECIFIED;
    Connect->FullySpecified.PhysicalDeviceObject = Device->Pdo;
    Connect->FullySpecified.InterruptObject = &Device->Objects[Index];
    Connect->FullySpecified.ServiceRoutine = Isr;
    Connect->FullySpecified.ServiceContext = Device;
    if (descriptor->Flags & CM_RESOURCE_INTERRUPT_MESSAGE) {
        Connect->FullySpecified.Vector = descriptor->u.MessageInterrupt.Translated.Vector;
        Connect->FullySpecified.Irql = (KIRQL)descriptor->u.MessageInterrupt.Translated.Level;
        Connect->FullySpecified.ProcessorEnableMask = descriptor->u.MessageInterrupt.Translated.Affinity;
    } else {
        Connect->FullySpecified.Vector = descriptor->u.Interrupt.Vector;
        Connect->FullySpecified.Irql = (KIRQL)descriptor->u.Interrupt.Level;
        Connect->FullySpecified.ProcessorEnableMask = descriptor->u.Interrupt.Affinity;
    }
    Connect->FullySpecified.SynchronizeIrql = Connect->FullySpecified.Irql;
    Connect->FullySpecified.InterruptMode = descriptor->Flags & CM_RESOURCE_INTERRUPT_LATCHED ? Latched : LevelSensitive;
    Connect->FullySpecified.ShareVector = descriptor->ShareDisposition == CmResourceShareShared;
}

static BOOLEAN Connect(PDEVICE Device, PKSERVICE_ROUTINE Routine)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillLine(Device, &connect, Routine);
    return NT_SUCCESS(IoConnectInterruptEx(&connect));
}

static VOID FillDisconnect(PIO_DISCONNECT_INTERRUPT_PARAMETERS Disconnect, ULONG Version, PVOID Context)
{
    RtlZeroMemory(Disconnect, sizeof(*Disconnect));
    Disconnect->Version = Version;
    Disconnect->ConnectionContext.Generic = Context;
}

static VOID Disconnect(PDEVICE Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;
    ULONG i;

    for (i = 0; i < MOST_INTERRUPTS; i++) {
        if (Device->Objects[i] == NULL)
            continue;
        FillDisconnect(&disconnect, CONNECT_LINE_BASED, Device->Objects[i]);
        if (Device->Version != 0)
            disconnect.Version = Device->Version;
        IoDisconnectInterruptEx(&disconnect);
        Device->Objects[i] = NULL;
    }
    if (Device->Connection != NULL) {
        FillDisconnect(&disconnect, Device->Version, Device->Connection);
        IoDisconnectInterruptEx(&disconnect);
        Device->Connection = NULL;
    }
}

static KIRQL LevelOf(PDEVICE Device)
{
    return (KIRQL)Device->Assigned[0].u.Interrupt.Level;
}

/* Part of the routine that raises, which a finding names. */
static inline __attribute__((always_inline)) KIRQL Raise(KIRQL Level)
{
    KIRQL old;

    KeRaiseIrql(Level, &old);
    return old;
}

/* With an ISR connected, the device interrupts. */
static VOID Serve(PDEVICE Device, PKSERVICE_ROUTINE Routine)
{
    if (!Connect(Device, Routine))
        return;
    Interrupt(Device);
    Disconnect(Device);
}

/* --- 1: the level of connecting and disconnecting --------------------------- */

static VOID BreakConnectLevel(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    KIRQL old;

    FillLine(Device, &connect, Isr);
    old = Raise(DISPATCH_LEVEL);
    IoConnectInterruptEx(&connect);
    KeLowerIrql(old);
    Disconnect(Device);
}

static VOID KeepConnectLevel(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillLine(Device, &connect, Isr);
    IoConnectInterruptEx(&connect);
    Disconnect(Device);
}

static VOID BreakDisconnectLevel(PDEVICE Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;
    KIRQL old;

    if (!Connect(Device, Isr))
        return;
    FillDisconnect(&disconnect, CONNECT_LINE_BASED, Device->Objects[0]);
    old = Raise(DISPATCH_LEVEL);
    IoDisconnectInterruptEx(&disconnect);
    KeLowerIrql(old);
    Device->Objects[0] = NULL;
}

/* --- 2: the level of reports ------------------------------------------------- */

static VOID ReportAt(PDEVICE Device, KIRQL Level)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS pair;
    KIRQL old;

    if (!Connect(Device, Isr))
        return;
    FillDisconnect(&pair, CONNECT_LINE_BASED, Device->Objects[0]);
    old = Raise(Level);
    IoReportInterruptInactive(&pair);
    IoReportInterruptActive(&pair);
    KeLowerIrql(old);
    Disconnect(Device);
}

static VOID BreakReportLevel(PDEVICE Device)
{
    ReportAt(Device, LevelOf(Device));
}

static VOID KeepReportLevel(PDEVICE Device)
{
    ReportAt(Device, DISPATCH_LEVEL);
}

/* --- 3, 4: the interrupt's lock ---------------------------------------------- */

static BOOLEAN NTAPI Section(PVOID Context)
{
    ((PDEVICE)Context)->Count++;
    return TRUE;
}

static VOID SynchronizeAt(PDEVICE Device, KIRQL Level)
{
    KIRQL old;

    if (!Connect(Device, Isr))
        return;
    old = Raise(Level);
    KeSynchronizeExecution(Device->Objects[0], Section, Device);
    KeLowerIrql(old);
    Disconnect(Device);
}

static VOID BreakSynchronizeLevel(PDEVICE Device)
{
    SynchronizeAt(Device, LevelOf(Device) + 1);
}

static VOID KeepSynchronizeLevel(PDEVICE Device)
{
    SynchronizeAt(Device, LevelOf(Device));
}

static VOID LockAt(PDEVICE Device, KIRQL Level)
{
    KIRQL old, before;

    if (!Connect(Device, Isr))
        return;
    old = Raise(Level);
    before = KeAcquireInterruptSpinLock(Device->Objects[0]);
    KeReleaseInterruptSpinLock(Device->Objects[0], before);
    KeLowerIrql(old);
    Disconnect(Device);
}

static VOID BreakLockLevel(PDEVICE Device)
{
    LockAt(Device, LevelOf(Device) + 1);
}

static VOID KeepLockLevel(PDEVICE Device)
{
    LockAt(Device, LevelOf(Device));
}

static VOID BreakLockOldLevel(PDEVICE Device)
{
    KIRQL before;

    if (!Connect(Device, Isr))
        return;
    before = KeAcquireInterruptSpinLock(Device->Objects[0]);
    KeReleaseInterruptSpinLock(Device->Objects[0], APC_LEVEL);
    KeLowerIrql(before);
    Disconnect(Device);
}

static VOID BreakLockNotHeld(PDEVICE Device)
{
    KIRQL before;

    if (!Connect(Device, Isr))
        return;
    before = KeAcquireInterruptSpinLock(Device->Objects[0]);
    KeReleaseInterruptSpinLock(Device->Objects[0], before);
    Raise(LevelOf(Device));
    KeReleaseInterruptSpinLock(Device->Objects[0], before);
    Disconnect(Device);
}

/* --- 6: taking the interrupt's lock where it is held -------------------------- */

static BOOLEAN NTAPI IsrThatSynchronizes(PKINTERRUPT Interrupt, PVOID Context)
{
    KeSynchronizeExecution(Interrupt, Section, Context);
    return Silence(Context);
}

static BOOLEAN NTAPI IsrThatHasTheLock(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    Section(Context);
    return Silence(Context);
}

static VOID BreakLockTwice(PDEVICE Device)
{
    Serve(Device, IsrThatSynchronizes);
}

static VOID KeepLockTwice(PDEVICE Device)
{
    Serve(Device, IsrThatHasTheLock);
}

static BOOLEAN NTAPI SectionThatLocks(PVOID Context)
{
    PDEVICE device = Context;
    KIRQL before = KeAcquireInterruptSpinLock(device->Objects[0]);

    KeReleaseInterruptSpinLock(device->Objects[0], before);
    return TRUE;
}

static VOID BreakNested(PDEVICE Device)
{
    if (!Connect(Device, Isr))
        return;
    KeSynchronizeExecution(Device->Objects[0], SectionThatLocks, Device);
    Disconnect(Device);
}

/* --- 7: reports are for what the Ex routine returned -------------------------- */

static NTSTATUS ConnectOld(PDEVICE Device, ULONG Vector, BOOLEAN FloatingSave)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR line = &Device->Assigned[0];

    return IoConnectInterrupt(&Device->Objects[0], Isr, Device, NULL, Vector, (KIRQL)line->u.Interrupt.Level,
                              (KIRQL)line->u.Interrupt.Level, LevelSensitive, TRUE, line->u.Interrupt.Affinity,
                              FloatingSave);
}

static VOID BreakReportContext(PDEVICE Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS pair;

    if (!NT_SUCCESS(ConnectOld(Device, Device->Assigned[0].u.Interrupt.Vector, FALSE)))
        return;
    FillDisconnect(&pair, CONNECT_LINE_BASED, Device->Objects[0]);
    IoReportInterruptInactive(&pair);
    IoDisconnectInterrupt(Device->Objects[0]);
    Device->Objects[0] = NULL;
}

/* --- 8, 9: what an ISR uses is resident ---------------------------------------- */

static VOID ConnectWithLock(PDEVICE Device, PKSPIN_LOCK Lock)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillLine(Device, &connect, Isr);
    connect.LineBased.SpinLock = Lock;
    connect.LineBased.SynchronizeIrql = LevelOf(Device);
    if (NT_SUCCESS(IoConnectInterruptEx(&connect)))
        Disconnect(Device);
}

static VOID BreakLockOnStack(PDEVICE Device)
{
    KSPIN_LOCK lock;

    KeInitializeSpinLock(&lock);
    ConnectWithLock(Device, &lock);
}

static VOID BreakLockNotInitialized(PDEVICE Device)
{
    Device->InterruptLock = 0x5A5A5A5A;
    ConnectWithLock(Device, &Device->InterruptLock);
}

static VOID BreakLockPageable(PDEVICE Device)
{
    PKSPIN_LOCK lock = ExAllocatePoolWithTag(PagedPool, sizeof(KSPIN_LOCK), TAG);

    if (lock == NULL)
        return;
    KeInitializeSpinLock(lock);
    ConnectWithLock(Device, lock);
    ExFreePoolWithTag(lock, TAG);
}

static VOID KeepLockStorage(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->InterruptLock);
    ConnectWithLock(Device, &Device->InterruptLock);
}

typedef struct _OTHER_CONTEXT {
    PDEVICE Device;
    ULONG Count;
} OTHER_CONTEXT, *POTHER_CONTEXT;

static BOOLEAN NTAPI IsrWithOtherContext(PKINTERRUPT Interrupt, PVOID Context)
{
    POTHER_CONTEXT context = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    context->Count++;
    return Silence(context->Device);
}

static VOID ServeWithContext(PDEVICE Device, POOL_TYPE Type)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    POTHER_CONTEXT context = ExAllocatePoolWithTag(Type, sizeof(OTHER_CONTEXT), TAG);

    if (context == NULL)
        return;
    context->Device = Device;
    context->Count = 0;
    FillLine(Device, &connect, IsrWithOtherContext);
    connect.LineBased.ServiceContext = context;
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Interrupt(Device);
        Disconnect(Device);
    }
    ExFreePoolWithTag(context, TAG);
}

static VOID BreakContextPageable(PDEVICE Device)
{
    ServeWithContext(Device, PagedPool);
}

static VOID KeepContextPageable(PDEVICE Device)
{
    ServeWithContext(Device, NonPagedPool);
}

/* --- 11 to 15: what is passed to a connect ------------------------------------- */

/* One ISR on the first two interrupts. */
static VOID ConnectTwo(PDEVICE Device, PKSPIN_LOCK Lock, KIRQL Lower)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    KIRQL highest = 0;
    ULONG i;

    for (i = 0; i < 2; i++)
        if (Device->Assigned[i].u.MessageInterrupt.Translated.Level > highest)
            highest = (KIRQL)Device->Assigned[i].u.MessageInterrupt.Translated.Level;
    for (i = 0; i < 2; i++) {
        FillFully(Device, &connect, i);
        connect.FullySpecified.SpinLock = Lock;
        if (Lock != NULL)
            connect.FullySpecified.SynchronizeIrql = highest + (i == 0 ? Lower : 0);
        if (!NT_SUCCESS(IoConnectInterruptEx(&connect)))
            break;
        Device->Version = connect.Version;
    }
    Disconnect(Device);
}

static VOID BreakOneIsrTwoVectors(PDEVICE Device)
{
    ConnectTwo(Device, NULL, 0);
}

static VOID KeepOneIsrTwoVectors(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->InterruptLock);
    ConnectTwo(Device, &Device->InterruptLock, 0);
}

static VOID BreakOneLockTwoLevels(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->InterruptLock);
    ConnectTwo(Device, &Device->InterruptLock, 1);
}

static VOID BreakTranslated(PDEVICE Device)
{
    if (NT_SUCCESS(ConnectOld(Device, Device->Request.Raw, FALSE)))
        IoDisconnectInterrupt(Device->Objects[0]);
    Device->Objects[0] = NULL;
}

static VOID KeepTranslated(PDEVICE Device)
{
    if (NT_SUCCESS(ConnectOld(Device, Device->Assigned[0].u.Interrupt.Vector, FALSE)))
        IoDisconnectInterrupt(Device->Objects[0]);
    Device->Objects[0] = NULL;
}

static VOID BreakMode(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillFully(Device, &connect, 0);
    connect.FullySpecified.InterruptMode = Latched;
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Device->Version = connect.Version;
        Disconnect(Device);
    }
}

static VOID BreakSharing(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillFully(Device, &connect, 0);
    connect.FullySpecified.ShareVector = FALSE;
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Device->Version = connect.Version;
        Disconnect(Device);
    }
}

static VOID BreakMask(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillFully(Device, &connect, 0);
    connect.FullySpecified.ProcessorEnableMask = 1;
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Device->Version = connect.Version;
        Disconnect(Device);
    }
}

static VOID KeepDescriptor(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillFully(Device, &connect, 0);
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Device->Version = connect.Version;
        Interrupt(Device);
        Disconnect(Device);
    }
}

/* The mask of all processors there could be. */
static VOID BreakMaskOfAll(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillFully(Device, &connect, 0);
    connect.FullySpecified.ProcessorEnableMask = (KAFFINITY)-1;
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Device->Version = connect.Version;
        Disconnect(Device);
    }
}

/* --- 5, 10: a passive-level interrupt has no spin lock ---------------------------- */

static BOOLEAN ConnectPassive(PDEVICE Device, PKSPIN_LOCK Lock)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillFully(Device, &connect, 0);
    connect.FullySpecified.Irql = PASSIVE_LEVEL;
    connect.FullySpecified.SynchronizeIrql = PASSIVE_LEVEL;
    connect.FullySpecified.SpinLock = Lock;
    if (!NT_SUCCESS(IoConnectInterruptEx(&connect)))
        return FALSE;
    Device->Version = connect.Version;
    return TRUE;
}

static VOID BreakPassiveLock(PDEVICE Device)
{
    KIRQL before;

    if (!ConnectPassive(Device, NULL))
        return;
    before = KeAcquireInterruptSpinLock(Device->Objects[0]);
    KeReleaseInterruptSpinLock(Device->Objects[0], before);
    Disconnect(Device);
}

static VOID KeepPassiveLock(PDEVICE Device)
{
    if (!ConnectPassive(Device, NULL))
        return;
    KeSynchronizeExecution(Device->Objects[0], Section, Device);
    Disconnect(Device);
}

static VOID BreakLockOfPassive(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->InterruptLock);
    if (ConnectPassive(Device, &Device->InterruptLock))
        Disconnect(Device);
}

/* --- 16 to 20, 23: disconnecting ----------------------------------------------- */

static VOID DisconnectFully(PDEVICE Device, ULONG Version)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    FillFully(Device, &connect, 0);
    if (!NT_SUCCESS(IoConnectInterruptEx(&connect)))
        return;
    FillDisconnect(&disconnect, Version, Device->Objects[0]);
    Device->Objects[0] = NULL;
    IoDisconnectInterruptEx(&disconnect);
}

static VOID BreakDisconnectVersion(PDEVICE Device)
{
    DisconnectFully(Device, CONNECT_LINE_BASED);
}

static VOID KeepDisconnectVersion(PDEVICE Device)
{
    DisconnectFully(Device, CONNECT_FULLY_SPECIFIED);
}

static BOOLEAN ConnectMessages(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillMessages(Device, &connect);
    if (!NT_SUCCESS(IoConnectInterruptEx(&connect)))
        return FALSE;
    Device->Version = connect.Version;
    return TRUE;
}

/* A device with a line gives an interrupt object. */
static VOID BreakReturnedVersion(PDEVICE Device)
{
    PIO_INTERRUPT_MESSAGE_INFO table;

    if (!ConnectMessages(Device))
        return;
    table = Device->Connection;
    KeSynchronizeExecution(table->MessageInfo[0].InterruptObject, Section, Device);
    Disconnect(Device);
}

static VOID KeepReturnedVersion(PDEVICE Device)
{
    PIO_INTERRUPT_MESSAGE_INFO table;

    if (!ConnectMessages(Device))
        return;
    table = Device->Connection;
    if (Device->Version == CONNECT_MESSAGE_BASED)
        KeSynchronizeExecution(table->MessageInfo[0].InterruptObject, Section, Device);
    else
        KeSynchronizeExecution(Device->Connection, Section, Device);
    Disconnect(Device);
}

static VOID BreakDisconnectOnce(PDEVICE Device)
{
    PKINTERRUPT object;

    if (!Connect(Device, Isr))
        return;
    object = Device->Objects[0];
    Disconnect(Device);
    Device->Objects[0] = object;
    Disconnect(Device);
}

static VOID KeepDisconnectOnce(PDEVICE Device)
{
    if (!Connect(Device, Isr))
        return;
    Disconnect(Device);
    Disconnect(Device);
}

static VOID Forget(PDEVICE Device)
{
    UNREFERENCED_PARAMETER(Device);
}

static VOID BreakDisconnectAtStop(PDEVICE Device)
{
    if (Connect(Device, Isr))
        Device->OnStop = Forget;
}

static VOID KeepDisconnectAtStop(PDEVICE Device)
{
    if (Connect(Device, Isr))
        Device->OnStop = Disconnect;
}

static VOID ConnectAndForget(PDEVICE Device)
{
    Connect(Device, Isr);
    Device->StartFails = TRUE;
}

static VOID ConnectAndDisconnect(PDEVICE Device)
{
    if (Connect(Device, Isr))
        Disconnect(Device);
    Device->StartFails = TRUE;
}

static VOID BreakFailedStart(PDEVICE Device)
{
    Device->OnStart = ConnectAndForget;
    Device->OnStop = Forget;
}

static VOID KeepFailedStart(PDEVICE Device)
{
    Device->OnStart = ConnectAndDisconnect;
}

static VOID BreakSilentAtDisconnect(PDEVICE Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS pair;

    if (!Connect(Device, Isr))
        return;
    FillDisconnect(&pair, CONNECT_LINE_BASED, Device->Objects[0]);
    IoReportInterruptInactive(&pair);
    Interrupt(Device);
    Disconnect(Device);
    Silence(Device);
}

static VOID KeepSilentAtDisconnect(PDEVICE Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS pair;

    if (!Connect(Device, Isr))
        return;
    FillDisconnect(&pair, CONNECT_LINE_BASED, Device->Objects[0]);
    IoReportInterruptInactive(&pair);
    Interrupt(Device);
    Silence(Device);
    Disconnect(Device);
}

/* --- 21, 22: interrupts before the connect returned ------------------------------ */

static VOID BreakSilentAtConnect(PDEVICE Device)
{
    Interrupt(Device);
    if (Connect(Device, Isr))
        Disconnect(Device);
}

static VOID KeepSilentAtConnect(PDEVICE Device)
{
    if (!Connect(Device, Isr))
        return;
    Interrupt(Device);
    Disconnect(Device);
}

/* Uses what is made after the connect. */
static BOOLEAN NTAPI IsrOfLateCount(PKINTERRUPT Interrupt, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    *device->Made += 1;
    return Silence(device);
}

static VOID Make(PDEVICE Device)
{
    Device->Made = ExAllocatePoolWithTag(NonPagedPool, sizeof(ULONG), TAG);
}

static VOID Unmake(PDEVICE Device)
{
    ExFreePoolWithTag(Device->Made, TAG);
    Device->Made = NULL;
}

static VOID BreakEarlyCall(PDEVICE Device)
{
    if (!Connect(Device, IsrOfLateCount))
        return;
    Make(Device);
    Interrupt(Device);
    Disconnect(Device);
    Unmake(Device);
}

static VOID KeepEarlyCall(PDEVICE Device)
{
    Make(Device);
    if (Connect(Device, IsrOfLateCount)) {
        Interrupt(Device);
        Disconnect(Device);
    }
    Unmake(Device);
}

/* --- 24 to 26, 43: what an ISR does ----------------------------------------------- */

static BOOLEAN NTAPI IsrThatClaimsAll(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    Silence(Context);
    return TRUE;
}

static VOID BreakClaim(PDEVICE Device)
{
    Connect(Device, IsrThatClaimsAll); /* another device asserts the line afterwards */
    Device->OnStop = Disconnect;
}

static VOID KeepClaim(PDEVICE Device)
{
    Connect(Device, Isr);
    Device->OnStop = Disconnect;
}

static BOOLEAN NTAPI IsrThatDisowns(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    Silence(Context);
    return FALSE;
}

static VOID ServeTwice(PDEVICE Device, PKSERVICE_ROUTINE Routine)
{
    if (!Connect(Device, Routine))
        return;
    Interrupt(Device);
    Interrupt(Device);
    Disconnect(Device);
}

static VOID BreakDisown(PDEVICE Device)
{
    ServeTwice(Device, IsrThatDisowns);
}

static VOID KeepDisown(PDEVICE Device)
{
    ServeTwice(Device, Isr);
}

static BOOLEAN NTAPI IsrThatOnlyClaims(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Context);
    return TRUE;
}

static VOID BreakAcknowledge(PDEVICE Device)
{
    Serve(Device, IsrThatOnlyClaims);
}

static VOID KeepIsr(PDEVICE Device)
{
    Serve(Device, Isr);
}

static BOOLEAN NTAPI IsrThatRaises(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    Raise(HIGH_LEVEL);
    return Silence(Context);
}

static VOID BreakIsrLevel(PDEVICE Device)
{
    Serve(Device, IsrThatRaises);
}

static BOOLEAN NTAPI IsrWithAvx(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    __asm__ volatile("vpxor %%ymm0, %%ymm0, %%ymm0\n\tvzeroupper" ::: "xmm0");
    return Silence(Context);
}

static BOOLEAN NTAPI IsrWithX87(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    __asm__ volatile("fldz\n\tfstp %%st(0)" ::: "st");
    return Silence(Context);
}

static BOOLEAN NTAPI IsrWithSse(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    __asm__ volatile("xorps %%xmm0, %%xmm0" ::: "xmm0");
    return Silence(Context);
}

static VOID BreakAvx(PDEVICE Device)
{
    Serve(Device, IsrWithAvx);
}

static VOID BreakX87(PDEVICE Device)
{
    Serve(Device, IsrWithX87);
}

static VOID KeepExtendedState(PDEVICE Device)
{
    Serve(Device, IsrWithSse);
}

static VOID BreakFloatingSave(PDEVICE Device)
{
    if (NT_SUCCESS(ConnectOld(Device, Device->Assigned[0].u.Interrupt.Vector, TRUE)))
        IoDisconnectInterrupt(Device->Objects[0]);
    Device->Objects[0] = NULL;
}

/* --- 27, 28: messages --------------------------------------------------------------- */

static VOID Wait(VOID)
{
    LARGE_INTEGER millisecond;

    millisecond.QuadPart = -10 * 1000;
    KeDelayExecutionThread(KernelMode, FALSE, &millisecond);
}

static BOOLEAN ConnectMessagesTo(PDEVICE Device, PKMESSAGE_SERVICE_ROUTINE Routine, PKSPIN_LOCK Lock)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    ULONG i;

    FillMessages(Device, &connect);
    connect.MessageBased.MessageServiceRoutine = Routine;
    connect.MessageBased.SpinLock = Lock;
    for (i = 0; Lock != NULL && i < Device->Interrupts; i++)
        if (Device->Assigned[i].u.MessageInterrupt.Translated.Level > connect.MessageBased.SynchronizeIrql)
            connect.MessageBased.SynchronizeIrql = (KIRQL)Device->Assigned[i].u.MessageInterrupt.Translated.Level;
    if (!NT_SUCCESS(IoConnectInterruptEx(&connect)))
        return FALSE;
    Device->Version = connect.Version;
    return TRUE;
}

/* Takes one completion, as if each had a message of its own. */
static BOOLEAN NTAPI IsrOfOneCompletion(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Message);
    if (Get(Context, COMPLETIONS(0)) == 0)
        return FALSE;
    Set(Context, COMPLETIONS(0), 1);
    return TRUE;
}

/* Two messages while none is served. */
static VOID ServeMerged(PDEVICE Device, PKMESSAGE_SERVICE_ROUTINE Routine)
{
    KIRQL old;

    if (!ConnectMessagesTo(Device, Routine, NULL))
        return;
    Interrupt(Device);
    Wait();
    old = Raise(HIGH_LEVEL);
    Interrupt(Device);
    Interrupt(Device);
    KeLowerIrql(old);
    Wait();
    Silence(Device);
    Disconnect(Device);
}

static VOID BreakMergedMessages(PDEVICE Device)
{
    ServeMerged(Device, IsrOfOneCompletion);
}

static VOID KeepMergedMessages(PDEVICE Device)
{
    ServeMerged(Device, IsrOfMessages);
}

static BOOLEAN NTAPI IsrThatCounts(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    PDEVICE device = Context;
    ULONG completions = Get(device, COMPLETIONS(Message));

    UNREFERENCED_PARAMETER(Interrupt);
    if (completions == 0)
        return FALSE;
    Set(device, COMPLETIONS(Message), completions);
    device->Count += completions;
    return TRUE;
}

/* The messages of two queues, on two processors. */
static VOID ServeTwoQueues(PDEVICE Device, PKSPIN_LOCK Lock)
{
    KIRQL old;

    if (!ConnectMessagesTo(Device, IsrThatCounts, Lock))
        return;
    Set(Device, REQUESTS(0), 1);
    KeStallExecutionProcessor(40);
    old = Raise(HIGH_LEVEL);
    Set(Device, REQUESTS(1), 1);
    KeStallExecutionProcessor(40);
    KeLowerIrql(old);
    Wait();
    Disconnect(Device);
}

static VOID BreakMessagesTogether(PDEVICE Device)
{
    ServeTwoQueues(Device, NULL);
}

static VOID KeepMessagesTogether(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->InterruptLock);
    ServeTwoQueues(Device, &Device->InterruptLock);
}

/* --- 29, 30: what a connect gave -------------------------------------------------- */

static VOID SynchronizeMessages(PDEVICE Device, ULONG Messages)
{
    PIO_INTERRUPT_MESSAGE_INFO table = Device->Connection;
    ULONG i;

    for (i = 0; i < Messages; i++)
        KeSynchronizeExecution(table->MessageInfo[i].InterruptObject, Section, Device);
}

static VOID BreakMessageCount(PDEVICE Device)
{
    if (!ConnectMessages(Device))
        return;
    SynchronizeMessages(Device, MOST_INTERRUPTS); /* the device asks for so many */
    Disconnect(Device);
}

static VOID KeepMessageCount(PDEVICE Device)
{
    if (!ConnectMessages(Device))
        return;
    SynchronizeMessages(Device, ((PIO_INTERRUPT_MESSAGE_INFO)Device->Connection)->MessageCount);
    Disconnect(Device);
}

static VOID BreakConnectFails(PDEVICE Device)
{
    Connect(Device, Isr);
    KeSynchronizeExecution(Device->Objects[0], Section, Device);
    Disconnect(Device);
}

static VOID KeepConnectFails(PDEVICE Device)
{
    if (!Connect(Device, Isr))
        return;
    KeSynchronizeExecution(Device->Objects[0], Section, Device);
    Disconnect(Device);
}

/* --- 31 to 38: DPCs ----------------------------------------------------------------- */

static VOID NTAPI Deferred(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement((PLONG)&device->Seen);
}

/* A DPC that is queued here runs when the level is lowered. */
static VOID BreakDpcInitialized(PDEVICE Device)
{
    PKDPC dpc = ExAllocatePoolWithTag(NonPagedPool, sizeof(KDPC), TAG);

    UNREFERENCED_PARAMETER(Device);
    if (dpc == NULL)
        return;
    KeInsertQueueDpc(dpc, NULL, NULL);
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(dpc, TAG);
}

static VOID KeepDpc(PDEVICE Device)
{
    KIRQL old;

    KeInitializeDpc(&Device->Dpc, Deferred, Device);
    KeSetImportanceDpc(&Device->Dpc, HighImportance);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeLowerIrql(old);
    KeFlushQueuedDpcs();
}

static VOID BreakDpcInitializedAgain(PDEVICE Device)
{
    KIRQL old;

    KeInitializeDpc(&Device->Dpc, Deferred, Device);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeInitializeDpc(&Device->Dpc, Deferred, Device);
    KeLowerIrql(old);
}

static VOID BreakDpcPageable(PDEVICE Device)
{
    PKDPC dpc = ExAllocatePoolWithTag(PagedPool, sizeof(KDPC), TAG);

    if (dpc == NULL)
        return;
    KeInitializeDpc(dpc, Deferred, Device);
    KeInsertQueueDpc(dpc, NULL, NULL);
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(dpc, TAG);
}

static VOID QueueTwice(PDEVICE Device, PVOID Second)
{
    KIRQL old;

    KeInitializeDpc(&Device->Dpc, Deferred, Device);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeInsertQueueDpc(&Device->Dpc, NULL, Second);
    KeLowerIrql(old);
}

static VOID BreakDpcArguments(PDEVICE Device)
{
    QueueTwice(Device, Device);
}

static VOID KeepDpcArguments(PDEVICE Device)
{
    QueueTwice(Device, NULL);
}

static VOID BreakDpcLeft(PDEVICE Device)
{
    PKDPC dpc = ExAllocatePoolWithTag(NonPagedPool, sizeof(KDPC), TAG);
    KIRQL old;

    if (dpc == NULL)
        return;
    KeInitializeDpc(dpc, Deferred, Device);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(dpc, NULL, NULL);
    ExFreePoolWithTag(dpc, TAG);
    KeLowerIrql(old);
}

static VOID KeepDpcLeft(PDEVICE Device)
{
    PKDPC dpc = ExAllocatePoolWithTag(NonPagedPool, sizeof(KDPC), TAG);
    KIRQL old;

    if (dpc == NULL)
        return;
    KeInitializeDpc(dpc, Deferred, Device);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(dpc, NULL, NULL);
    KeLowerIrql(old);
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(dpc, TAG);
}

static VOID BreakFlushLevel(PDEVICE Device)
{
    KIRQL old = Raise(DISPATCH_LEVEL);

    UNREFERENCED_PARAMETER(Device);
    KeFlushQueuedDpcs();
    KeLowerIrql(old);
}

static VOID NTAPI DeferredFlush(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeFlushQueuedDpcs();
}

static VOID BreakFlushInDpc(PDEVICE Device)
{
    KeInitializeDpc(&Device->Dpc, DeferredFlush, Device);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
}

static VOID NTAPI DeferredLook(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedExchangeAdd((PLONG)&device->Seen, device->Count);
}

static BOOLEAN NTAPI IsrThatRequestsFirst(PKINTERRUPT Interrupt, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (!Silence(device))
        return FALSE;
    KeInsertQueueDpc(&device->Dpc, NULL, NULL);
    device->Count++;
    return TRUE;
}

static BOOLEAN NTAPI IsrThatRequestsLast(PKINTERRUPT Interrupt, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (!Silence(device))
        return FALSE;
    device->Count++;
    KeInsertQueueDpc(&device->Dpc, NULL, NULL);
    return TRUE;
}

static VOID BreakRequestFirst(PDEVICE Device)
{
    KeInitializeDpc(&Device->Dpc, DeferredLook, Device);
    Serve(Device, IsrThatRequestsFirst);
    KeFlushQueuedDpcs();
}

static VOID KeepRequestLast(PDEVICE Device)
{
    KeInitializeDpc(&Device->Dpc, DeferredLook, Device);
    Serve(Device, IsrThatRequestsLast);
    KeFlushQueuedDpcs();
}

/* Runs until it is told to end. */
static VOID NTAPI DeferredSlow(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedExchange((PLONG)&device->Seen, 1);
    while (InterlockedCompareExchange((PLONG)&device->Count, 0, 0) == 0)
        YieldProcessor();
}

static VOID RemoveSlow(PDEVICE Device, BOOLEAN Flush)
{
    PKDPC dpc = ExAllocatePoolWithTag(NonPagedPool, sizeof(KDPC), TAG);

    if (dpc == NULL)
        return;
    Device->Seen = Device->Count = 0;
    KeInitializeDpc(dpc, DeferredSlow, Device);
    KeSetTargetProcessorDpc(dpc, KeGetCurrentProcessorNumberEx(NULL) == 0 ? 1 : 0);
    KeSetImportanceDpc(dpc, HighImportance);
    KeInsertQueueDpc(dpc, NULL, NULL);
    while (InterlockedCompareExchange((PLONG)&Device->Seen, 0, 0) == 0)
        YieldProcessor();
    KeRemoveQueueDpc(dpc); /* FALSE: it runs */
    if (Flush) {
        InterlockedExchange((PLONG)&Device->Count, 1);
        KeFlushQueuedDpcs();
    }
    ExFreePoolWithTag(dpc, TAG);
    InterlockedExchange((PLONG)&Device->Count, 1);
    KeFlushQueuedDpcs();
}

static VOID BreakRemove(PDEVICE Device)
{
    RemoveSlow(Device, FALSE);
}

static VOID KeepRemove(PDEVICE Device)
{
    RemoveSlow(Device, TRUE);
}

static VOID BreakImportance(PDEVICE Device)
{
    KIRQL old;

    KeInitializeDpc(&Device->Dpc, Deferred, Device);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeSetImportanceDpc(&Device->Dpc, HighImportance);
    KeLowerIrql(old);
}

static VOID BreakTarget(PDEVICE Device)
{
    KIRQL old;

    KeInitializeDpc(&Device->Dpc, Deferred, Device);
    old = Raise(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeSetTargetProcessorDpc(&Device->Dpc, 0);
    KeLowerIrql(old);
}

static VOID NTAPI ThreadedAtDpcLevel(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&device->Lock);
    device->Count++;
    KeReleaseSpinLockFromDpcLevel(&device->Lock);
}

static VOID NTAPI ThreadedThatWaits(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    LARGE_INTEGER millisecond;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    millisecond.QuadPart = -10 * 1000;
    KeDelayExecutionThread(KernelMode, FALSE, &millisecond);
}

static VOID NTAPI ThreadedForDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;
    KIRQL old;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    old = KeAcquireSpinLockForDpc(&device->Lock);
    device->Count++;
    KeReleaseSpinLockForDpc(&device->Lock, old);
}

static VOID Threaded(PDEVICE Device, PKDEFERRED_ROUTINE Routine)
{
    KeInitializeSpinLock(&Device->Lock);
    KeInitializeThreadedDpc(&Device->Dpc, Routine, Device);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeFlushQueuedDpcs();
}

static VOID BreakThreadedLock(PDEVICE Device)
{
    Threaded(Device, ThreadedAtDpcLevel);
}

static VOID BreakThreadedWait(PDEVICE Device)
{
    Threaded(Device, ThreadedThatWaits);
}

static VOID KeepThreaded(PDEVICE Device)
{
    Threaded(Device, ThreadedForDpc);
}

/* --- 39, 41, 42 -------------------------------------------------------------------- */

static VOID BreakUseAfterDisconnect(PDEVICE Device)
{
    PKINTERRUPT object;

    if (!Connect(Device, Isr))
        return;
    object = Device->Objects[0];
    Disconnect(Device);
    KeSynchronizeExecution(object, Section, Device);
}

static VOID ConnectInPower(PDEVICE Device)
{
    KeepTranslated(Device);
}

static VOID BreakSetPower(PDEVICE Device)
{
    Device->OnPower = ConnectInPower;
}

static VOID KeepSetPower(PDEVICE Device)
{
    Device->OnPower = Forget;
}

static VOID BreakVectorLookup(PDEVICE Device)
{
    KAFFINITY affinity;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Device);
    HalGetInterruptVector(Isa, 0, 4, 4, &irql, &affinity);
}

/* --- 40: the MSI-X table --------------------------------------------------------------- */

/* {1A6A460B-194F-455D-B34B-B84C5B05712B} */
static const GUID MsixTableInterface =
    {0x1a6a460b, 0x194f, 0x455d, {0xb3, 0x4b, 0xb8, 0x4c, 0x5b, 0x05, 0x71, 0x2b}};

static NTSTATUS QueryTable(PDEVICE Device, PPCI_MSIX_TABLE_CONFIG_INTERFACE Table)
{
    KEVENT done;
    IO_STATUS_BLOCK answer;
    PIO_STACK_LOCATION stack;
    PIRP irp;
    NTSTATUS status;

    RtlZeroMemory(Table, sizeof(*Table));
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    irp = IoBuildSynchronousFsdRequest(IRP_MJ_PNP, Device->Lower, NULL, 0, NULL, &done, &answer);
    if (irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    stack = IoGetNextIrpStackLocation(irp);
    stack->MinorFunction = IRP_MN_QUERY_INTERFACE;
    stack->Parameters.QueryInterface.InterfaceType = &MsixTableInterface;
    stack->Parameters.QueryInterface.Size = sizeof(*Table);
    stack->Parameters.QueryInterface.Version = PCI_MSIX_TABLE_CONFIG_INTERFACE_VERSION;
    stack->Parameters.QueryInterface.Interface = (PINTERFACE)Table;
    status = IoCallDriver(Device->Lower, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = answer.Status;
    }
    return status;
}

static VOID SetEntry(PDEVICE Device, ULONG Entry, ULONG Message)
{
    PCI_MSIX_TABLE_CONFIG_INTERFACE table;

    if (!NT_SUCCESS(QueryTable(Device, &table)))
        return;
    if (ConnectMessages(Device)) {
        table.SetTableEntry(table.Context, Entry, Message);
        Disconnect(Device);
    }
    table.InterfaceDereference(table.Context);
}

static VOID BreakEntry(PDEVICE Device)
{
    SetEntry(Device, WINDOW, 0);
}

static VOID BreakEntryMessage(PDEVICE Device)
{
    SetEntry(Device, 0, Device->Interrupts);
}

static VOID KeepEntry(PDEVICE Device)
{
    SetEntry(Device, 0, Device->Interrupts - 1);
}

static VOID SetEntryAt(PDEVICE Device, KIRQL Level)
{
    PCI_MSIX_TABLE_CONFIG_INTERFACE table;
    KIRQL old;

    if (!NT_SUCCESS(QueryTable(Device, &table)))
        return;
    if (ConnectMessages(Device)) {
        old = Raise(Level);
        table.SetTableEntry(table.Context, 0, 0);
        KeLowerIrql(old);
        Disconnect(Device);
    }
    table.InterfaceDereference(table.Context);
}

static VOID BreakEntryLevel(PDEVICE Device)
{
    SetEntryAt(Device, HIGH_LEVEL);
}

static VOID KeepEntryLevel(PDEVICE Device)
{
    SetEntryAt(Device, DISPATCH_LEVEL);
}

/* --- A place for the result -------------------------------------------------------------- */

static VOID BreakPlace(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillLine(Device, &connect, Isr);
    connect.LineBased.InterruptObject = NULL;
    IoConnectInterruptEx(&connect);
}

static VOID KeepPlace(PDEVICE Device)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;

    FillLine(Device, &connect, Isr);
    if (NT_SUCCESS(IoConnectInterruptEx(&connect))) {
        Device->Version = connect.Version;
        Disconnect(Device);
    }
}

/* --- Loops at DISPATCH_LEVEL ------------------------------------------------------------- */

static VOID BreakEndlessLoop(PDEVICE Device)
{
    KEVENT event;
    KIRQL old;

    UNREFERENCED_PARAMETER(Device);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    old = Raise(DISPATCH_LEVEL);
    while (KeReadStateEvent(&event) == 0)
        YieldProcessor();
    KeLowerIrql(old);
}

/* As long, and with an end. */
static VOID KeepLongLoop(PDEVICE Device)
{
    KEVENT event;
    KIRQL old;
    ULONG i;

    UNREFERENCED_PARAMETER(Device);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    old = Raise(DISPATCH_LEVEL);
    for (i = 0; i < 40000 && KeReadStateEvent(&event) == 0; i++)
        YieldProcessor();
    KeLowerIrql(old);
}

static VOID NTAPI DeferredLoop(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;
    KIRQL old;
    ULONG seen;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    do {
        KeAcquireSpinLock(&device->Lock, &old);
        seen = device->Seen;
        KeReleaseSpinLock(&device->Lock, old);
    } while (seen == 0);
}

/* The DPC waits for what this does when it is over. */
static VOID BreakWaitBelow(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->Lock);
    Device->Seen = 0;
    KeInitializeDpc(&Device->Dpc, DeferredLoop, Device);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    Device->Seen = 1;
}

static VOID KeepWaitBelow(PDEVICE Device)
{
    KeInitializeSpinLock(&Device->Lock);
    Device->Seen = 1;
    KeInitializeDpc(&Device->Dpc, DeferredLoop, Device);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    KeFlushQueuedDpcs();
}

/* --- Requests ------------------------------------------------------------------------ */

static const struct {
    ULONG Number;
    PRULE Break;
    PRULE Keep;
} Rules[] = {
    {10, BreakConnectLevel, KeepConnectLevel},
    {11, BreakDisconnectLevel, KeepConnectLevel},
    {20, BreakReportLevel, KeepReportLevel},
    {30, BreakSynchronizeLevel, KeepSynchronizeLevel},
    {40, BreakLockLevel, KeepLockLevel},
    {41, BreakLockOldLevel, KeepLockLevel},
    {42, BreakLockNotHeld, KeepLockLevel},
    {50, BreakPassiveLock, KeepPassiveLock},
    {60, BreakLockTwice, KeepLockTwice},
    {61, BreakNested, KeepLockTwice},
    {70, BreakReportContext, KeepReportLevel},
    {80, BreakLockOnStack, KeepLockStorage},
    {81, BreakLockNotInitialized, KeepLockStorage},
    {82, BreakLockPageable, KeepLockStorage},
    {90, BreakContextPageable, KeepContextPageable},
    {100, BreakLockOfPassive, KeepPassiveLock},
    {110, BreakOneIsrTwoVectors, KeepOneIsrTwoVectors},
    {120, BreakOneLockTwoLevels, KeepOneIsrTwoVectors},
    {130, BreakTranslated, KeepTranslated},
    {140, BreakMode, KeepDescriptor},
    {141, BreakSharing, KeepDescriptor},
    {150, BreakMask, KeepDescriptor},
    {151, BreakMaskOfAll, KeepDescriptor},
    {160, BreakDisconnectVersion, KeepDisconnectVersion},
    {170, BreakReturnedVersion, KeepReturnedVersion},
    {171, BreakPlace, KeepPlace},
    {180, BreakDisconnectOnce, KeepDisconnectOnce},
    {190, BreakDisconnectAtStop, KeepDisconnectAtStop},
    {200, BreakSilentAtDisconnect, KeepSilentAtDisconnect},
    {210, BreakSilentAtConnect, KeepSilentAtConnect},
    {220, BreakEarlyCall, KeepEarlyCall},
    {230, BreakFailedStart, KeepFailedStart},
    {240, BreakClaim, KeepClaim},
    {241, BreakDisown, KeepDisown},
    {250, BreakAcknowledge, KeepIsr},
    {260, BreakIsrLevel, KeepIsr},
    {261, BreakAvx, KeepExtendedState},
    {262, BreakX87, KeepExtendedState},
    {270, BreakMergedMessages, KeepMergedMessages},
    {280, BreakMessagesTogether, KeepMessagesTogether},
    {290, BreakMessageCount, KeepMessageCount},
    {300, BreakConnectFails, KeepConnectFails},
    {310, BreakDpcInitialized, KeepDpc},
    {311, BreakDpcInitializedAgain, KeepDpc},
    {312, BreakDpcPageable, KeepDpc},
    {320, BreakDpcArguments, KeepDpcArguments},
    {330, BreakRequestFirst, KeepRequestLast},
    {340, BreakDpcLeft, KeepDpcLeft},
    {350, BreakFlushLevel, KeepDpc},
    {351, BreakFlushInDpc, KeepDpc},
    {360, BreakRemove, KeepRemove},
    {370, BreakImportance, KeepDpc},
    {371, BreakTarget, KeepDpc},
    {380, BreakThreadedLock, KeepThreaded},
    {381, BreakThreadedWait, KeepThreaded},
    {390, BreakUseAfterDisconnect, KeepSynchronizeLevel},
    {400, BreakEntry, KeepEntry},
    {401, BreakEntryMessage, KeepEntry},
    {402, BreakEntryLevel, KeepEntryLevel},
    {410, BreakSetPower, KeepSetPower},
    {420, BreakVectorLookup, Forget},
    {430, BreakFloatingSave, KeepTranslated},
    {900, BreakEndlessLoop, KeepLongLoop},
    {901, BreakWaitBelow, KeepWaitBelow},
};

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PDEVICE device = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG i;

    if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_RULE ||
        stack->Parameters.DeviceIoControl.InputBufferLength != sizeof(REQUEST))
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    device->Request = *(PREQUEST)Irp->AssociatedIrp.SystemBuffer;
    for (i = 0; i < ARRAYSIZE(Rules); i++)
        if (Rules[i].Number == device->Request.Number) {
            if (device->Request.Keep)
                Rules[i].Keep(device);
            else
                Rules[i].Break(device);
            return Complete(Irp, STATUS_SUCCESS, 0);
        }
    return Complete(Irp, STATUS_NOT_FOUND, 0);
}

/* --- Plug and play ------------------------------------------------------------------- */

static NTSTATUS NTAPI PowerOf(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PDEVICE device = DeviceObject->DeviceExtension;
    PRULE rule = device->OnPower;

    if (rule != NULL && IoGetCurrentIrpStackLocation(Irp)->MinorFunction == IRP_MN_SET_POWER) {
        device->OnPower = NULL;
        rule(device);
    }
    PoStartNextPowerIrp(Irp);
    IoSkipCurrentIrpStackLocation(Irp);
    return PoCallDriver(device->Lower, Irp);
}

static VOID Prepare(PDEVICE Device)
{
    Device->Self->DriverObject->MajorFunction[IRP_MJ_POWER] = PowerOf;
}

static NTSTATUS Resource(PDEVICE Device, PCM_PARTIAL_RESOURCE_DESCRIPTOR Descriptor)
{
    PRULE rule = Device->OnStart;

    if (Descriptor->Type == CmResourceTypeMemory && Device->Registers == NULL)
        Device->Registers = MmMapIoSpace(Descriptor->u.Memory.Start, WINDOW, MmNonCached);
    if (Descriptor->Type != CmResourceTypeInterrupt || Device->Interrupts == MOST_INTERRUPTS)
        return STATUS_SUCCESS;
    Device->Assigned[Device->Interrupts++] = *Descriptor;
    Device->OnStart = NULL;
    if (rule != NULL)
        rule(Device);
    if (!Device->StartFails)
        return STATUS_SUCCESS;
    Device->StartFails = FALSE;
    Release(Device);
    return STATUS_UNSUCCESSFUL;
}

static VOID Release(PDEVICE Device)
{
    PRULE rule = Device->OnStop;

    Device->OnStop = NULL;
    if (rule != NULL)
        rule(Device);
    if (Device->Registers != NULL)
        MmUnmapIoSpace(Device->Registers, WINDOW);
    Device->Registers = NULL;
    Device->Interrupts = 0;
}

static REPORT_ROUTINE Routine(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return (REPORT_ROUTINE)MmGetSystemRoutineAddress(&name);
}

static VOID Begin(VOID)
{
    IoReportInterruptActive = Routine(L"IoReportInterruptActive");
    IoReportInterruptInactive = Routine(L"IoReportInterruptInactive");
}

#include "pnp.h"
