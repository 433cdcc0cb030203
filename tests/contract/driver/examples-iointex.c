/*
 * The worked examples of the driver kit's documentation about interrupts, as code that runs: each
 * as the page means it, and where the page is wrong also as it is printed. A request names the
 * example and the variant; the driver writes down what it sees.
 *
 * It carries the library for systems before Windows Vista, so that it runs everywhere.
 */
#include <ddk/wdm.h>
#include "iointex.h"

/* ntddk.h has it, and cannot be included beside wdm.h. */
NTKERNELAPI PHYSICAL_ADDRESS NTAPI MmGetPhysicalAddress(PVOID BaseAddress);

#define IOCTL_RUN CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_END CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS)

#define LOG_BYTES 2048
#define MOST_INTERRUPTS 4
#define MOST_DPCS 3

typedef struct _REQUEST {
    ULONG Example;
    ULONG Variant;
} REQUEST, *PREQUEST;

#define DEVICE_BASE       \
    PDEVICE_OBJECT Self;  \
    PDEVICE_OBJECT Pdo;   \
    PDEVICE_OBJECT Lower; \
    UNICODE_STRING Interface

typedef struct _DEVICE *PDEVICE;

typedef struct _DEVICE {
    DEVICE_BASE;
    PUCHAR Registers; /* "msix" */
    PUCHAR Port;      /* "button" */
    CM_PARTIAL_RESOURCE_DESCRIPTOR Assigned[MOST_INTERRUPTS];
    ULONG Interrupts;

    ULONG Version; /* of the latest connect; 0 if nothing is connected, 1 also for the old routine */
    PVOID Connection;
    ULONG Connections;
    PKINTERRUPT Objects[MOST_INTERRUPTS];

    ULONG Variant;
    BOOLEAN Passive;
    KSPIN_LOCK InterruptLock;
    KSPIN_LOCK Lock;
    KDPC Dpcs[MOST_DPCS];
    ULONG Phase; /* what the ISR and the rest share */
    KEVENT Event;
    KTIMER Timer;
    FAST_MUTEX Mutex;
    LIST_ENTRY List;
    LIST_ENTRY Entry;
    KSPIN_LOCK ListLock;

    /* "Using Spin Locks: An Example" */
    BOOLEAN Wants[2]; /* StartIo's part, the DPC's: one waits for the interrupt's lock */
    BOOLEAN AllThree; /* both did, while the ISR had it */
    BOOLEAN Elsewhere; /* a critical section ran on another processor than its caller */
    ULONG Sections;   /* calls of StartIo's part */
    ULONG Count;      /* interrupts */
    ULONG Saved;      /* what the ISR leaves for the DPC */
    ULONG Processed;

    ULONG Resets; /* "Using an IoTimer Routine" */

    ULONG Used;
    CHAR Log[LOG_BYTES];
} DEVICE;

/* --- What it writes down -------------------------------------------------- */

static VOID Say(PDEVICE Device, PCSTR Text)
{
    for (; *Text != 0 && Device->Used < LOG_BYTES; Text++)
        Device->Log[Device->Used++] = *Text;
}

static VOID SayNumber(PDEVICE Device, ULONG Number)
{
    CHAR digits[12];
    ULONG at = sizeof(digits);

    digits[--at] = 0;
    do {
        digits[--at] = '0' + Number % 10;
        Number /= 10;
    } while (Number != 0);
    Say(Device, &digits[at]);
}

static VOID SayStatus(PDEVICE Device, NTSTATUS Status)
{
    static const struct {
        NTSTATUS Status;
        PCSTR Name;
    } names[] = {
        {STATUS_SUCCESS, "SUCCESS"},
        {STATUS_INVALID_PARAMETER, "INVALID_PARAMETER"},
        {STATUS_NOT_FOUND, "NOT_FOUND"},
        {STATUS_NOT_SUPPORTED, "NOT_SUPPORTED"},
    };
    ULONG i;

    for (i = 0; i < ARRAYSIZE(names); i++)
        if (names[i].Status == Status) {
            Say(Device, names[i].Name);
            return;
        }
    Say(Device, NT_SUCCESS(Status) ? "another success" : "another error");
}

/* The first interrupt's level is "own". */
static VOID SayLevel(PDEVICE Device, PCSTR Who)
{
    KIRQL level = KeGetCurrentIrql();

    Say(Device, Who);
    if (level == Device->Assigned[0].u.Interrupt.Level && level != PASSIVE_LEVEL) {
        Say(Device, " at own\n");
        return;
    }
    Say(Device, " at ");
    SayNumber(Device, level);
    Say(Device, "\n");
}

/* --- The devices ---------------------------------------------------------- */

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

/* Whether the device has a reason to interrupt. */
static BOOLEAN HasInterrupted(PDEVICE Device)
{
    ULONG queue;

    if (Device->Port != NULL)
        return (READ_PORT_UCHAR(Device->Port) & 6) != 0;
    for (queue = 0; queue < Get(Device, QUEUES); queue++)
        if (Get(Device, COMPLETIONS(queue)) != 0)
            return TRUE;
    return FALSE;
}

static VOID Silence(PDEVICE Device)
{
    ULONG queue;

    if (Device->Port != NULL) {
        WRITE_PORT_UCHAR(Device->Port + 2, 3);
        return;
    }
    for (queue = 0; queue < Get(Device, QUEUES); queue++)
        Set(Device, COMPLETIONS(queue), Get(Device, COMPLETIONS(queue)));
}

/* An "msix" device interrupts before this returns, if the level lets it. */
static VOID Interrupt(PDEVICE Device)
{
    if (Device->Registers == NULL)
        return;
    Set(Device, REQUESTS(0), 1);
    KeStallExecutionProcessor(40);
}

/* --- ISRs ------------------------------------------------------------------ */

static BOOLEAN NTAPI Isr(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (!HasInterrupted(device))
        return FALSE;
    Silence(device);
    SayLevel(device, "isr");
    return TRUE;
}

static BOOLEAN NTAPI MessageIsr(PKINTERRUPT InterruptObject, PVOID Context, ULONG Message)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(InterruptObject);
    Silence(device);
    Say(device, "message ");
    SayNumber(device, Message);
    Say(device, "\n");
    return TRUE;
}

/* As the page prints it, the ISR has no return statement: whatever the register holds. */
static BOOLEAN NTAPI IsrWithoutAnswer(PKINTERRUPT InterruptObject, PVOID Context)
{
    Isr(InterruptObject, Context);
    return FALSE;
}

/* Leaves one of the six steps of "Writing an ISR" out. */
static BOOLEAN NTAPI IsrInSteps(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (device->Variant != 1 && !HasInterrupted(device)) /* is it ours? */
        return FALSE;
    if (device->Variant != 2) /* stop the device from interrupting */
        Silence(device);
    device->Phase++;                              /* save what the device has */
    KeInsertQueueDpc(&device->Dpcs[0], NULL, NULL); /* ask for a DPC */
    return TRUE;                                  /* it was ours */
}

/* Asks for all the DPCs. */
static BOOLEAN NTAPI IsrOfDpcs(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;
    ULONG i;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (!HasInterrupted(device))
        return FALSE;
    Silence(device);
    Say(device, "isr");
    for (i = 0; i < MOST_DPCS; i++)
        Say(device, KeInsertQueueDpc(&device->Dpcs[i], NULL, NULL) ? " TRUE" : " FALSE");
    Say(device, "\n");
    return TRUE;
}

/* Asks for the device object's DPC. Variant 1: each time with something else. */
static BOOLEAN NTAPI IsrOfDpcForIsr(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (!HasInterrupted(device))
        return FALSE;
    Silence(device);
    device->Phase++;
    IoRequestDpc(device->Self, NULL, device->Variant == 1 ? UlongToPtr(device->Phase) : NULL);
    return TRUE;
}

static VOID NTAPI DpcForIsr(PKDPC Dpc, PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PDEVICE device = DeviceObject->DeviceExtension;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Irp);
    Say(device, "DpcForIsr ");
    SayNumber(device, PtrToUlong(Context));
    Say(device, " after ");
    SayNumber(device, device->Phase);
    Say(device, "\n");
}

/* An ISR of a device behind a slow bus: it waits. */
static BOOLEAN NTAPI PassiveIsr(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;
    LARGE_INTEGER millisecond;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (!HasInterrupted(device))
        return FALSE;
    millisecond.QuadPart = -10 * 1000;
    KeDelayExecutionThread(KernelMode, FALSE, &millisecond);
    Silence(device);
    SayLevel(device, "passive isr");
    return TRUE;
}

/* --- DPCs ------------------------------------------------------------------ */

static VOID NTAPI Dpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Say(device, "dpc ");
    SayNumber(device, (ULONG)(Dpc - device->Dpcs));
    SayLevel(device, "");
}

/* --- "Using Spin Locks: An Example" ------------------------------------------ */

#define STARTS 0
#define DEFERRED 1

typedef struct _SECTION {
    PDEVICE Device;
    ULONG Who;
    ULONG Processor;
} SECTION, *PSECTION;

/* KeGetCurrentProcessorNumber, which is inline in ntddk.h. */
static ULONG CurrentProcessor(VOID)
{
    ULONG number;

    __asm__ volatile("movl %%gs:0x184, %0" : "=r"(number));
    return number;
}

/* Saves what the device has for the DPC. Variant 1: over what an interrupt before has saved. */
static BOOLEAN NTAPI SavingIsr(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (!HasInterrupted(device))
        return FALSE;
    Silence(device);
    device->Count++;
    device->Saved = device->Variant == 1 ? 1 : device->Saved + 1;
    KeInsertQueueDpc(&device->Dpcs[0], NULL, NULL);
    Get(device, QUEUES); /* the device is slow; others come as far as the lock meanwhile */
    if (device->Wants[STARTS] && device->Wants[DEFERRED])
        device->AllThree = TRUE;
    return TRUE;
}

static BOOLEAN NTAPI Section(PVOID Context)
{
    PSECTION section = Context;
    PDEVICE device = section->Device;

    device->Wants[section->Who] = FALSE;
    if (CurrentProcessor() != section->Processor)
        device->Elsewhere = TRUE;
    if (section->Who == STARTS) {
        device->Sections++;
    } else {
        device->Processed += device->Saved;
        device->Saved = 0;
    }
    return TRUE;
}

static VOID EnterSection(PDEVICE Device, ULONG Who)
{
    SECTION section = {Device, Who, CurrentProcessor()};

    Device->Wants[Who] = TRUE;
    KeSynchronizeExecution(Device->Objects[0], Section, &section);
}

static VOID NTAPI SavedDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    EnterSection(Context, DEFERRED);
}

static VOID NTAPI StartIoThread(PVOID Context)
{
    PDEVICE device = Context;

    KeSetSystemAffinityThread(1 << 1);
    EnterSection(device, STARTS);
    KeRevertToUserAffinityThread();
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* --- "Using an IoTimer Routine" --------------------------------------------- */

#define TICKS 2
#define QUIET 0xFFFFFFFF

/* The device has done what it was asked for: its timer has nothing to count any more. */
static BOOLEAN NTAPI IsrInTime(PKINTERRUPT InterruptObject, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(InterruptObject);
    if (!HasInterrupted(device))
        return FALSE;
    Silence(device);
    device->Phase = QUIET;
    IoRequestDpc(device->Self, NULL, NULL);
    return TRUE;
}

static VOID NTAPI DpcInTime(PKDPC Dpc, PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PDEVICE device = DeviceObject->DeviceExtension;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    Say(device, "done\n");
    KeSetEvent(&device->Event, IO_NO_INCREMENT, FALSE);
}

/* TRUE: the device has had its time. */
static BOOLEAN NTAPI CountDown(PVOID Context)
{
    PDEVICE device = Context;

    if (device->Phase == QUIET)
        return FALSE;
    device->Phase--;
    return device->Phase == 0;
}

/* Resets the device and lets it try again. Variant 0 and 1: it does it then. */
static BOOLEAN NTAPI Reset(PVOID Context)
{
    PDEVICE device = Context;

    device->Phase = TICKS;
    if (device->Variant != 2)
        Set(device, REQUESTS(0), 1);
    return TRUE;
}

/* CustomDpc: gives up. */
static VOID NTAPI GiveUp(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Say(device, "failed\n");
    KeSetEvent(&device->Event, IO_NO_INCREMENT, FALSE);
}

/* Once a second, at DISPATCH_LEVEL. */
static VOID NTAPI IoTimer(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PDEVICE device = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (!KeSynchronizeExecution(device->Objects[0], CountDown, device))
        return;
    if (device->Resets++ == 0) {
        SayLevel(device, "reset");
        KeSynchronizeExecution(device->Objects[0], Reset, device);
    } else {
        device->Phase = QUIET;
        KeInsertQueueDpc(&device->Dpcs[1], NULL, NULL);
    }
}

/* --- Connecting ------------------------------------------------------------ */

/* "Using the CONNECT_FULLY_SPECIFIED Version of IoConnectInterruptEx": the table of members. */
static NTSTATUS ConnectFully(PDEVICE Device, ULONG Index, PKSERVICE_ROUTINE Routine, PKSPIN_LOCK Lock,
                             BOOLEAN ShareAsPrinted)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR descriptor = &Device->Assigned[Index];
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    NTSTATUS status;
    ULONG i;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = CONNECT_FULLY_SPECIFIED;
    connect.FullySpecified.PhysicalDeviceObject = Device->Pdo;
    connect.FullySpecified.InterruptObject = &Device->Objects[Index];
    connect.FullySpecified.ServiceRoutine = Routine;
    connect.FullySpecified.ServiceContext = Device;
    connect.FullySpecified.SpinLock = Lock;
    if (descriptor->Flags & CM_RESOURCE_INTERRUPT_MESSAGE) {
        connect.FullySpecified.Vector = descriptor->u.MessageInterrupt.Translated.Vector;
        connect.FullySpecified.Irql = (KIRQL)descriptor->u.MessageInterrupt.Translated.Level;
        connect.FullySpecified.ProcessorEnableMask =
            descriptor->u.MessageInterrupt.Translated.Affinity;
    } else {
        connect.FullySpecified.Vector = descriptor->u.Interrupt.Vector;
        connect.FullySpecified.Irql = (KIRQL)descriptor->u.Interrupt.Level;
        connect.FullySpecified.ProcessorEnableMask = descriptor->u.Interrupt.Affinity;
    }
    /* Interrupts that share a lock have the highest of their levels in common. */
    connect.FullySpecified.SynchronizeIrql = connect.FullySpecified.Irql;
    for (i = 0; Lock != NULL && i < Device->Interrupts; i++)
        if (Device->Assigned[i].u.Interrupt.Level > connect.FullySpecified.SynchronizeIrql)
            connect.FullySpecified.SynchronizeIrql = (KIRQL)Device->Assigned[i].u.Interrupt.Level;
    if (Device->Passive)
        connect.FullySpecified.Irql = connect.FullySpecified.SynchronizeIrql = PASSIVE_LEVEL;
    connect.FullySpecified.InterruptMode =
        descriptor->Flags & CM_RESOURCE_INTERRUPT_LATCHED ? Latched : LevelSensitive;
    connect.FullySpecified.ShareVector = descriptor->ShareDisposition == CmResourceShareShared;
    if (ShareAsPrinted) /* "Handling Active-Both Interrupts" copies the number into the BOOLEAN */
        connect.FullySpecified.ShareVector = descriptor->ShareDisposition;
    status = IoConnectInterruptEx(&connect);
    if (NT_SUCCESS(status)) {
        Device->Version = connect.Version;
        Device->Connections = Index + 1;
    }
    return status;
}

/* The versions that name only the device. */
static NTSTATUS ConnectAssigned(PDEVICE Device, ULONG Version, BOOLEAN Fallback, BOOLEAN AsPrinted,
                                PULONG Returned)
{
    IO_CONNECT_INTERRUPT_PARAMETERS connect;
    NTSTATUS status;

    RtlZeroMemory(&connect, sizeof(connect));
    connect.Version = Version;
    if (Version == CONNECT_LINE_BASED) {
        connect.LineBased.PhysicalDeviceObject = Device->Pdo;
        connect.LineBased.InterruptObject = (PKINTERRUPT *)&Device->Connection;
        connect.LineBased.ServiceRoutine = Isr;
        connect.LineBased.ServiceContext = Device;
    } else {
        connect.MessageBased.PhysicalDeviceObject = Device->Pdo;
        /* The page's example leaves this member out. */
        if (!AsPrinted)
            connect.MessageBased.ConnectionContext.Generic = &Device->Connection;
        connect.MessageBased.MessageServiceRoutine = MessageIsr;
        connect.MessageBased.ServiceContext = Device;
        connect.MessageBased.FallBackServiceRoutine = Fallback ? Isr : NULL;
    }
    status = IoConnectInterruptEx(&connect);
    if (NT_SUCCESS(status))
        Device->Version = connect.Version;
    *Returned = connect.Version;
    return status;
}

static VOID DisconnectOne(PDEVICE Device, PVOID Context)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS disconnect;

    RtlZeroMemory(&disconnect, sizeof(disconnect));
    disconnect.Version = Device->Version;
    disconnect.ConnectionContext.Generic = Context;
    IoDisconnectInterruptEx(&disconnect);
}

static VOID DisconnectAll(PDEVICE Device)
{
    ULONG i;

    if (Device->Version == 0)
        return;
    Silence(Device);
    for (i = 0; i < Device->Connections; i++)
        DisconnectOne(Device, Device->Objects[i]);
    if (Device->Connections == 0)
        DisconnectOne(Device, Device->Connection);
    Device->Version = 0;
    Device->Connections = 0;
}

static VOID Report(PDEVICE Device, NTSTATUS Status, ULONG Version)
{
    Say(Device, "connect ");
    SayStatus(Device, Status);
    Say(Device, ", version ");
    SayNumber(Device, Version);
    Say(Device, "\n");
}

/* --- The examples ---------------------------------------------------------- */

static VOID FullySpecified(PDEVICE Device)
{
    ULONG i;

    for (i = 0; i < Device->Interrupts; i++)
        Report(Device, ConnectFully(Device, i, Isr, &Device->InterruptLock, FALSE), 1);
}

static VOID LineBased(PDEVICE Device)
{
    ULONG version;
    NTSTATUS status = ConnectAssigned(Device, CONNECT_LINE_BASED, FALSE, FALSE, &version);

    Report(Device, status, version);
}

/* Variant 1: as printed. */
static VOID MessageBased(PDEVICE Device)
{
    ULONG version;
    NTSTATUS status =
        ConnectAssigned(Device, CONNECT_MESSAGE_BASED, TRUE, Device->Variant == 1, &version);

    Report(Device, status, version);
}

/*
 * "Using IoConnectInterruptEx Prior to Windows Vista". Variant 0: retry if Version became
 * CONNECT_FULLY_SPECIFIED, as the code of the page does; variant 1: if it did not, as its text
 * says.
 */
static VOID PriorToVista(PDEVICE Device)
{
    ULONG version;
    NTSTATUS status = ConnectAssigned(Device, CONNECT_MESSAGE_BASED, FALSE, FALSE, &version);
    BOOLEAN retry = version == CONNECT_FULLY_SPECIFIED;

    if (Device->Variant == 1)
        retry = !retry;
    if (!NT_SUCCESS(status)) {
        Say(Device, retry ? "retry\n" : "no retry\n");
        if (retry) {
            status = ConnectFully(Device, 0, Isr, NULL, FALSE);
            version = CONNECT_FULLY_SPECIFIED;
        }
    }
    if (NT_SUCCESS(status))
        Report(Device, status, version);
}

/* "Making an ISR Active or Inactive": on leaving D0 and on the way back. */
static VOID ActiveInactive(PDEVICE Device)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS pair;
    ULONG version;
    NTSTATUS status = ConnectAssigned(Device, CONNECT_LINE_BASED, FALSE, FALSE, &version);
    KIRQL old;

    Report(Device, status, version);
    RtlZeroMemory(&pair, sizeof(pair));
    pair.Version = version;
    pair.ConnectionContext.Generic = Device->Connection;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    IoReportInterruptInactive(&pair);
    IoReportInterruptInactive(&pair);
    KeLowerIrql(old);
    Interrupt(Device);
    Say(Device, "inactive\n");
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    IoReportInterruptActive(&pair);
    KeLowerIrql(old);
    Say(Device, "active\n");
}

/* "Using Passive-Level Interrupt Service Routines". Variant 1: with a spin lock. */
static VOID Passive(PDEVICE Device)
{
    PKSPIN_LOCK lock = Device->Variant == 1 ? &Device->InterruptLock : NULL;

    Device->Passive = TRUE;
    Report(Device, ConnectFully(Device, 0, PassiveIsr, lock, FALSE), 1);
}

/*
 * "Handling Active-Both Interrupts". Variant 1: as printed, with the share disposition copied into
 * the BOOLEAN, an ISR without a return statement, and a pointer that is not cleared when the
 * hardware is released, so that a second release disconnects again.
 */
static VOID ActiveBoth(PDEVICE Device)
{
    BOOLEAN printed = Device->Variant == 1;

    Report(Device, ConnectFully(Device, 0, printed ? IsrWithoutAnswer : Isr, NULL, printed), 1);
}

/* "Unload Routine Functionality". Variant 1: nothing is disconnected. */
static VOID Unloading(PDEVICE Device)
{
    Report(Device, ConnectFully(Device, 0, Isr, NULL, FALSE), 1);
}

/* "Writing an ISR": variant 0 right, 1 without the first step, 2 without the second. */
static VOID WritingAnIsr(PDEVICE Device)
{
    Report(Device, ConnectFully(Device, 0, IsrInSteps, NULL, FALSE), 1);
}

static BOOLEAN NTAPI StartTimer(PVOID Context)
{
    PDEVICE device = Context;

    device->Phase = 3;
    Interrupt(device); /* arrives when the critical section has ended */
    SayLevel(device, "critical section");
    return TRUE;
}

/*
 * "Accessing Shared State Information". Variant 0: in a critical section; variant 1: with
 * KeAcquireSpinLock on the interrupt's lock, at whose level the ISR comes in and spins.
 */
static VOID SharedState(PDEVICE Device)
{
    KIRQL old;

    Report(Device, ConnectFully(Device, 0, Isr, &Device->InterruptLock, FALSE), 1);
    if (Device->Variant == 0) {
        KeSynchronizeExecution(Device->Objects[0], StartTimer, Device);
        return;
    }
    KeAcquireSpinLock(&Device->InterruptLock, &old);
    StartTimer(Device);
    KeReleaseSpinLock(&Device->InterruptLock, old);
}

/*
 * "Registering and Queuing a DpcForIsr Routine": several interrupts may give one run. Variant 1
 * counts on a run for each.
 */
static VOID OneDpc(PDEVICE Device)
{
    KIRQL old;

    IoInitializeDpcRequest(Device->Self, DpcForIsr);
    Report(Device, ConnectFully(Device, 0, IsrOfDpcForIsr, NULL, FALSE), 1);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    Interrupt(Device);
    Interrupt(Device);
    KeLowerIrql(old);
}

/*
 * "Registering and Queuing a CustomDpc Routine", "Which Type of DPC Should You Use?": one ISR
 * queues several DPCs; two interrupts before they run make one run of each.
 */
static VOID SeveralDpcs(PDEVICE Device)
{
    KIRQL old;

    Report(Device, ConnectFully(Device, 0, IsrOfDpcs, NULL, FALSE), 1);
    if (Device->Variant == 1) /* "Organization of DPC Queues" */
        KeSetImportanceDpc(&Device->Dpcs[2], HighImportance);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    Interrupt(Device);
    Interrupt(Device);
    KeLowerIrql(old);
}

/*
 * "Using Spin Locks: An Example": the ISR on one processor, StartIo on a second, the DPC on a
 * third; all three want the interrupt's lock.
 */
static VOID SpinLockExample(PDEVICE Device)
{
    HANDLE handle;
    PVOID thread;
    NTSTATUS status;

    KeInitializeDpc(&Device->Dpcs[0], SavedDpc, Device);
    KeSetTargetProcessorDpc(&Device->Dpcs[0], 2);
    if (!NT_SUCCESS(ConnectFully(Device, 0, SavingIsr, NULL, FALSE)))
        return;
    if (!NT_SUCCESS(PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL,
                                         StartIoThread, Device)))
        return;
    status = ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &thread, NULL);
    ZwClose(handle);
    Set(Device, REQUESTS(0), 1);
    Set(Device, REQUESTS(1), 1);
    if (!NT_SUCCESS(status))
        return;
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(thread);
}

static BOOLEAN NTAPI Nothing(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    return TRUE;
}

/* The device is done, no ISR runs, no DPC waits. */
static VOID SpinLockExampleRest(PDEVICE Device)
{
    LARGE_INTEGER moment = {.QuadPart = -1000};

    while (Get(Device, REQUESTS(0)) || Get(Device, REQUESTS(1)) || HasInterrupted(Device))
        KeDelayExecutionThread(KernelMode, FALSE, &moment);
    KeSynchronizeExecution(Device->Objects[0], Nothing, NULL);
    KeFlushQueuedDpcs();
}

static VOID SpinLockExampleEnd(PDEVICE Device)
{
    if (Device->AllThree)
        Say(Device, "all three\n");
    if (Device->Elsewhere)
        Say(Device, "elsewhere\n");
    if (Device->Sections != 1)
        Say(Device, "StartIo\n");
    Say(Device, Device->Processed == Device->Count ? "processed\n" : "lost\n");
}

/*
 * "Using an IoTimer Routine". Variant 0: the device interrupts in time; 1: after it was reset; 2:
 * never.
 */
static VOID IoTimerExample(PDEVICE Device)
{
    IoInitializeDpcRequest(Device->Self, DpcInTime);
    KeInitializeDpc(&Device->Dpcs[1], GiveUp, Device);
    KeClearEvent(&Device->Event);
    IoInitializeTimer(Device->Self, IoTimer, Device);
    Report(Device, ConnectFully(Device, 0, IsrInTime, NULL, FALSE), 1);
    Device->Phase = TICKS;
    IoStartTimer(Device->Self);
    if (Device->Variant == 0)
        Set(Device, REQUESTS(0), 1);
    KeWaitForSingleObject(&Device->Event, Executive, KernelMode, FALSE, NULL);
    IoStopTimer(Device->Self);
}

/* Windows 7 brought these. */
static NTSTATUS(NTAPI *SaveExtendedState)(ULONG64, PXSTATE_SAVE);
static VOID(NTAPI *RestoreExtendedState)(PXSTATE_SAVE);

#define STATE_AVX 4

/* CPUID leaf 1: the system has AVX on. */
static BOOLEAN HasAvx(VOID)
{
    const ULONG both = 1u << 27 | 1u << 28; /* OSXSAVE, AVX */
    ULONG a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (c & both) == both;
}

/* 1.5 + 2 in four lanes, and their sum. */
static ULONG AvxSum(VOID)
{
    static const double first[4] = {1.5, 1.5, 1.5, 1.5};
    static const double second[4] = {2, 2, 2, 2};
    double sum[4];

    __asm__ volatile("vmovupd %1, %%ymm6\n\tvaddpd %2, %%ymm6, %%ymm6\n\tvmovupd %%ymm6, %0\n\t"
                     "vzeroupper"
                     : "=m"(sum)
                     : "m"(first), "m"(second)
                     : "xmm6");
    return (ULONG)(sum[0] + sum[1] + sum[2] + sum[3]);
}

/*
 * "Using Extended Processor Features in Windows Drivers". Variant 0: at PASSIVE_LEVEL; 1: at
 * DISPATCH_LEVEL; 2: at the level of the device.
 */
static VOID ExtendedState(PDEVICE Device)
{
    static const KIRQL raise[] = {PASSIVE_LEVEL, DISPATCH_LEVEL};
    XSTATE_SAVE state;
    KIRQL level, old;

    if (SaveExtendedState == NULL) {
        Say(Device, "not there\n");
        return;
    }
    level = Device->Variant < 2 ? raise[Device->Variant] : (KIRQL)Device->Assigned[0].u.Interrupt.Level;
    KeRaiseIrql(level, &old);
    if (NT_SUCCESS(SaveExtendedState(STATE_AVX, &state))) {
        /* On a processor without AVX there is nothing to compute with. */
        Say(Device, !HasAvx() || AvxSum() == 14 ? "14" : "wrong");
        RestoreExtendedState(&state);
        SayLevel(Device, "");
    }
    KeLowerIrql(old);
}

/* {1A6A460B-194F-455D-B34B-B84C5B05712B} */
static const GUID MsixTableInterface =
    {0x1a6a460b, 0x194f, 0x455d, {0xb3, 0x4b, 0xb8, 0x4c, 0x5b, 0x05, 0x71, 0x2b}};

static NTSTATUS QueryTable(PDEVICE Device, PPCI_MSIX_TABLE_CONFIG_INTERFACE Table, USHORT Size)
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
    stack->Parameters.QueryInterface.Size = Size;
    stack->Parameters.QueryInterface.Version = PCI_MSIX_TABLE_CONFIG_INTERFACE_VERSION;
    stack->Parameters.QueryInterface.Interface = (PINTERFACE)Table;
    stack->Parameters.QueryInterface.InterfaceSpecificData = NULL;
    status = IoCallDriver(Device->Lower, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
        status = answer.Status;
    }
    return status;
}

static VOID SayAnswer(PDEVICE Device, PCSTR Question, NTSTATUS Answer)
{
    Say(Device, Question);
    Say(Device, " ");
    SayStatus(Device, Answer);
    Say(Device, "\n");
}

static VOID InterruptOf(PDEVICE Device, ULONG Queue)
{
    Set(Device, REQUESTS(Queue), 1);
    KeStallExecutionProcessor(40);
}

/* "Dynamically Configuring MSI-X". */
static VOID MsixTable(PDEVICE Device)
{
    PCI_MSIX_TABLE_CONFIG_INTERFACE table;
    ULONG version;
    NTSTATUS status;
    KIRQL old;

    ConnectAssigned(Device, CONNECT_MESSAGE_BASED, TRUE, FALSE, &version);
    status = QueryTable(Device, &table, PCI_MSIX_TABLE_CONFIG_MINIMUM_SIZE - 1);
    SayAnswer(Device, "too small", status);
    status = QueryTable(Device, &table, PCI_MSIX_TABLE_CONFIG_MINIMUM_SIZE);
    SayAnswer(Device, "interface", status);
    if (!NT_SUCCESS(status))
        return;
    Say(Device, "version ");
    SayNumber(Device, table.Version);
    Say(Device, "\n");
    if (version == CONNECT_MESSAGE_BASED)
        InterruptOf(Device, 1);
    SayAnswer(Device, "set", table.SetTableEntry(table.Context, 1, 2));
    if (version == CONNECT_MESSAGE_BASED)
        InterruptOf(Device, 1);
    KeRaiseIrql((KIRQL)Device->Assigned[0].u.Interrupt.Level, &old);
    status = table.MaskTableEntry(table.Context, 1);
    KeLowerIrql(old);
    SayAnswer(Device, "mask", status);
    if (version == CONNECT_MESSAGE_BASED)
        InterruptOf(Device, 1);
    SayAnswer(Device, "unmask", table.UnmaskTableEntry(table.Context, 1));
    SayAnswer(Device, "no such entry", table.SetTableEntry(table.Context, 3, 0));
    SayAnswer(Device, "no such message", table.SetTableEntry(table.Context, 0, 3));
    table.InterfaceDereference(table.Context);
}

/* Windows Vista brought these; a driver that imports them does not load before. */
static VOID(NTAPI *InitializeThreadedDpc)(PRKDPC, PKDEFERRED_ROUTINE, PVOID);
static KIRQL(NTAPI *AcquireForDpc)(PKSPIN_LOCK);
static VOID(NTAPI *ReleaseForDpc)(PKSPIN_LOCK, KIRQL);

static VOID NTAPI ThreadedDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PDEVICE device = Context;
    KIRQL old;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    SayLevel(device, "threaded dpc");
    if (device->Variant == 1) { /* not converted */
        KeAcquireSpinLockAtDpcLevel(&device->Lock);
        device->Phase++;
        KeReleaseSpinLockFromDpcLevel(&device->Lock);
    } else {
        old = AcquireForDpc(&device->Lock);
        device->Phase++;
        ReleaseForDpc(&device->Lock, old);
    }
    KeSetEvent(&device->Event, IO_NO_INCREMENT, FALSE);
}

/* "Converting an Ordinary DPC to a Threaded DPC". Variant 1: not converted. */
static VOID Threaded(PDEVICE Device)
{
    InitializeThreadedDpc(&Device->Dpcs[0], ThreadedDpc, Device);
    KeClearEvent(&Device->Event);
    KeInsertQueueDpc(&Device->Dpcs[0], NULL, NULL);
    KeWaitForSingleObject(&Device->Event, Executive, KernelMode, FALSE, NULL);
}

/* "Queued Spin Locks". Variant 1: released by the routine for the other kind. */
static VOID QueuedLocks(PDEVICE Device)
{
    KLOCK_QUEUE_HANDLE handle;

    KeAcquireInStackQueuedSpinLock(&Device->Lock, &handle);
    SayLevel(Device, "queued lock");
    if (Device->Variant == 1)
        KeReleaseSpinLock(&Device->Lock, handle.OldIrql);
    else
        KeReleaseInStackQueuedSpinLock(&handle);
}

/* "Preventing Errors and Deadlocks While Using Spin Locks". Variant 1: recursion. */
static VOID SpinLocks(PDEVICE Device)
{
    KIRQL old, inner;

    KeAcquireSpinLock(&Device->Lock, &old);
    SayLevel(Device, "spin lock");
    if (Device->Variant == 1)
        KeAcquireSpinLock(&Device->Lock, &inner);
    KeReleaseSpinLock(&Device->Lock, old);
}

static ULONG_PTR NTAPI Broadcast(ULONG_PTR Argument)
{
    PDEVICE device = (PDEVICE)Argument;

    InterlockedIncrement((PLONG)&device->Phase);
    return KeGetCurrentIrql() * 100;
}

/* KIPI_BROADCAST_WORKER, KeIpiGenericCall. */
static VOID Ipi(PDEVICE Device)
{
    ULONG_PTR result = KeIpiGenericCall(Broadcast, (ULONG_PTR)Device);

    Say(Device, "ipi ");
    SayNumber(Device, (ULONG)result);
    Say(Device, ", runs ");
    SayNumber(Device, Device->Phase);
    Say(Device, "\n");
}

/*
 * What may be called at DIRQL and what may not: one routine for each variant, from the lists that
 * the pages give. The levels are those of the routines' pages.
 */
typedef struct _AT_DIRQL {
    PCSTR Name;
    VOID (*Call)(PDEVICE);
} AT_DIRQL;

#define CALL(Name, Body)                 \
    static VOID Call##Name(PDEVICE Device) \
    {                                    \
        UNREFERENCED_PARAMETER(Device);  \
        Body;                            \
    }

static LARGE_INTEGER Soon = {.QuadPart = -10};
static LARGE_INTEGER Never;

CALL(InsertQueueDpc, KeInsertQueueDpc(&Device->Dpcs[0], NULL, NULL))
CALL(RemoveQueueDpc, KeRemoveQueueDpc(&Device->Dpcs[0]))
CALL(InitializeDpc, KeInitializeDpc(&Device->Dpcs[1], Dpc, Device))
CALL(SetImportanceDpc, KeSetImportanceDpc(&Device->Dpcs[1], HighImportance))
CALL(SetTargetProcessorDpc, KeSetTargetProcessorDpc(&Device->Dpcs[1], 0))
CALL(SynchronizeExecution, KeSynchronizeExecution(Device->Objects[0], Nothing, NULL))
CALL(InterruptSpinLock,
     KeReleaseInterruptSpinLock(Device->Objects[0], KeAcquireInterruptSpinLock(Device->Objects[0])))
CALL(RaiseAndLower, KIRQL old; KeRaiseIrql(HIGH_LEVEL, &old); KeLowerIrql(old))
CALL(ExInterlockedList, ExInterlockedInsertTailList(&Device->List, &Device->Entry, &Device->ListLock);
     ExInterlockedRemoveHeadList(&Device->List, &Device->ListLock))
CALL(StallExecutionProcessor, KeStallExecutionProcessor(1))
CALL(QueryPerformanceCounter, KeQueryPerformanceCounter(NULL))
CALL(GetPhysicalAddress, MmGetPhysicalAddress(Device))
CALL(DbgPrint, DbgPrint("at DIRQL\n"))
CALL(CopyMemory, RtlCopyMemory(&Device->Log[LOG_BYTES - 16], Device, 8))
CALL(GetAffinity, GROUP_AFFINITY mask; IoGetAffinityInterrupt(Device->Objects[0], &mask))

CALL(SetEvent, KeSetEvent(&Device->Event, IO_NO_INCREMENT, FALSE))
CALL(SetTimer, KeSetTimer(&Device->Timer, Soon, NULL))
CALL(CancelTimer, KeCancelTimer(&Device->Timer))
CALL(SpinLock, KIRQL old; KeAcquireSpinLock(&Device->Lock, &old); KeReleaseSpinLock(&Device->Lock, old))
CALL(SpinLockAtDpcLevel, KeAcquireSpinLockAtDpcLevel(&Device->Lock);
     KeReleaseSpinLockFromDpcLevel(&Device->Lock))
CALL(QueuedSpinLock, KLOCK_QUEUE_HANDLE handle;
     KeAcquireInStackQueuedSpinLock(&Device->Lock, &handle);
     KeReleaseInStackQueuedSpinLock(&handle))
CALL(CancelSpinLock, KIRQL old; IoAcquireCancelSpinLock(&old); IoReleaseCancelSpinLock(old))
CALL(AllocatePool, PVOID pool = ExAllocatePoolWithTag(NonPagedPool, 16, 'tseT');
     if (pool != NULL) ExFreePoolWithTag(pool, 'tseT'))
CALL(WaitForSingleObject,
     KeWaitForSingleObject(&Device->Event, Executive, KernelMode, FALSE, &Never))
CALL(DelayExecutionThread, KeDelayExecutionThread(KernelMode, FALSE, &Soon))
CALL(FastMutex, ExAcquireFastMutex(&Device->Mutex); ExReleaseFastMutex(&Device->Mutex))
CALL(ZwClose, ZwClose(NULL))
CALL(FlushQueuedDpcs, KeFlushQueuedDpcs())
CALL(ErrorLog, PVOID entry = IoAllocateErrorLogEntry(Device->Self, sizeof(IO_ERROR_LOG_PACKET));
     if (entry != NULL) IoFreeErrorLogEntry(entry))

#define AT(Name) {#Name, Call##Name}

static const AT_DIRQL AtDirql[] = {
    AT(InsertQueueDpc),        AT(RemoveQueueDpc),     AT(InitializeDpc),
    AT(SetImportanceDpc),      AT(SetTargetProcessorDpc), AT(SynchronizeExecution),
    AT(InterruptSpinLock),     AT(RaiseAndLower),      AT(ExInterlockedList),
    AT(StallExecutionProcessor), AT(QueryPerformanceCounter), AT(GetPhysicalAddress),
    AT(DbgPrint),              AT(CopyMemory),         AT(GetAffinity),

    AT(SetEvent),              AT(SetTimer),           AT(CancelTimer),
    AT(SpinLock),              AT(SpinLockAtDpcLevel), AT(QueuedSpinLock),
    AT(CancelSpinLock),        AT(AllocatePool),       AT(WaitForSingleObject),
    AT(DelayExecutionThread),  AT(FastMutex),          AT(ZwClose),
    AT(FlushQueuedDpcs),       AT(ErrorLog),
};

/* Variant n calls the nth of them at the level of the interrupt. */
static VOID CallAtDirql(PDEVICE Device)
{
    KIRQL old;

    if (Device->Variant >= ARRAYSIZE(AtDirql)) {
        Say(Device, "no more");
        return;
    }
    Say(Device, AtDirql[Device->Variant].Name);
    ConnectFully(Device, 0, Isr, NULL, FALSE);
    KeRaiseIrql((KIRQL)Device->Assigned[0].u.Interrupt.Level, &old);
    AtDirql[Device->Variant].Call(Device);
    KeLowerIrql(old);
}

static VOID (*const Examples[])(PDEVICE) = {
    [1] = FullySpecified, [2] = LineBased, [3] = MessageBased,  [4] = PriorToVista,
    [9] = ActiveInactive, [10] = Passive,  [11] = ActiveBoth,   [14] = Unloading,
    [15] = WritingAnIsr,  [16] = SpinLockExample, [17] = SharedState,
    [18] = IoTimerExample, [20] = OneDpc,     [21] = SeveralDpcs, [24] = Threaded,
    [26] = QueuedLocks,   [27] = SpinLocks,   [29] = Ipi,         [30] = ExtendedState,
    [31] = CallAtDirql,   [37] = MsixTable,
};

/* --- Requests -------------------------------------------------------------- */

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/*
 * Gives back what the example took. Variant 1 of the active-both example does not clear its
 * pointer, so it disconnects twice; that of the unload example forgets to.
 */
static VOID End(PDEVICE Device, PREQUEST Request)
{
    ULONG version = Device->Version;

    if (Request->Example == 14 && Request->Variant == 1)
        return;
    if (Request->Example == 16)
        SpinLockExampleRest(Device);
    DisconnectAll(Device);
    KeFlushQueuedDpcs();
    if (Request->Example == 16)
        SpinLockExampleEnd(Device);
    if (Request->Example == 11 && Request->Variant == 1) {
        Device->Version = version;
        DisconnectOne(Device, Device->Objects[0]);
        Device->Version = 0;
    }
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PDEVICE device = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    PVOID buffer = Irp->AssociatedIrp.SystemBuffer;
    REQUEST request;

    if (stack->Parameters.DeviceIoControl.InputBufferLength != sizeof(request))
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    RtlCopyMemory(&request, buffer, sizeof(request));
    if (request.Example >= ARRAYSIZE(Examples) || Examples[request.Example] == NULL)
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_RUN:
        device->Variant = request.Variant;
        Examples[request.Example](device);
        return Complete(Irp, STATUS_SUCCESS, 0);

    case IOCTL_END:
        if (stack->Parameters.DeviceIoControl.OutputBufferLength < LOG_BYTES)
            return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
        End(device, &request);
        RtlCopyMemory(buffer, device->Log, device->Used);
        return Complete(Irp, STATUS_SUCCESS, device->Used);

    default:
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

/* --- Plug and play --------------------------------------------------------- */

static VOID Prepare(PDEVICE Device)
{
    ULONG i;

    KeInitializeSpinLock(&Device->InterruptLock);
    KeInitializeSpinLock(&Device->Lock);
    KeInitializeSpinLock(&Device->ListLock);
    InitializeListHead(&Device->List);
    ExInitializeFastMutex(&Device->Mutex);
    KeInitializeTimer(&Device->Timer);
    KeInitializeEvent(&Device->Event, NotificationEvent, FALSE);
    for (i = 0; i < MOST_DPCS; i++)
        KeInitializeDpc(&Device->Dpcs[i], Dpc, Device);
}

static NTSTATUS Resource(PDEVICE Device, PCM_PARTIAL_RESOURCE_DESCRIPTOR Resource)
{
    switch (Resource->Type) {
    case CmResourceTypePort:
        if (Device->Port == NULL)
            Device->Port = (PUCHAR)Resource->u.Port.Start.QuadPart;
        break;

    case CmResourceTypeMemory:
        if (Device->Registers != NULL)
            break;
        Device->Registers = MmMapIoSpace(Resource->u.Memory.Start, WINDOW, MmNonCached);
        if (Device->Registers == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
        break;

    case CmResourceTypeInterrupt: /* also for messages: there is no type of their own */
        if (Device->Interrupts < MOST_INTERRUPTS)
            Device->Assigned[Device->Interrupts++] = *Resource;
        break;
    }
    return STATUS_SUCCESS;
}

static VOID Release(PDEVICE Device)
{
    if (Device->Registers != NULL)
        MmUnmapIoSpace(Device->Registers, WINDOW);
    Device->Registers = NULL;
    Device->Port = NULL;
    Device->Interrupts = 0;
}

static PVOID Routine(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

static VOID Begin(VOID)
{
    InitializeThreadedDpc = Routine(L"KeInitializeThreadedDpc");
    AcquireForDpc = Routine(L"KeAcquireSpinLockForDpc");
    ReleaseForDpc = Routine(L"KeReleaseSpinLockForDpc");
    SaveExtendedState = Routine(L"KeSaveExtendedProcessorState");
    RestoreExtendedState = Routine(L"KeRestoreExtendedProcessorState");
}

#include "pnp.h"
