/*
 * Function driver that makes, on request, the calls that the rows under ../claims are about, and
 * hands back what it saw. It judges nothing.
 *
 * The parameter block of a connect comes from outside, byte for byte; the driver fills in only
 * the addresses that it alone knows. Routines that not every Windows has are looked up, so that
 * the same file loads everywhere. Compiled with CONTRACT_IOINTEX it uses the library for drivers
 * that must load before Windows Vista instead.
 *
 * Devices: "msix" (a completion queue for each message) by its registers, "button" by its ports.
 */
#include <ddk/wdm.h>
#ifdef CONTRACT_IOINTEX
#include "iointex.h"
#endif

#define IOCTL_CONTRACT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define STATUS_ABSENT ((NTSTATUS)0xC0000139) /* the routine is not there */

#define SLOTS 4
#define LOG_ENTRIES 128
#define UNTOUCHED 0xEEEE

enum { Connect = 1, Disconnect, Report, Interrupt, Affinity, Synchronize, Lock, Log };

/* Flags of a request */
#define USE_PDO 0x01
#define USE_RESULT 0x02
#define USE_ROUTINE 0x04
#define USE_FALLBACK 0x08
#define USE_LOCK 0x10
#define OLD_ROUTINE 0x20 /* IoConnectInterrupt, IoDisconnectInterrupt */
#define REFUSE 0x40      /* the ISR returns FALSE and leaves the device alone */
#define ACTIVE 0x80

typedef struct _CONTRACT_REQUEST {
    ULONG Operation;
    ULONG Slot;
    ULONG Flags;
    ULONG Version;
    ULONG64 Argument; /* context, interrupt object, or a bit for each queue */
    ULONG64 Level;    /* IRQL at which the call is made */
    UCHAR Block[80];
} CONTRACT_REQUEST, *PCONTRACT_REQUEST;

typedef struct _CONTRACT_REPLY {
    ULONG Status;
    ULONG Extra;
    ULONG64 Value;
    ULONG64 Mask;
    UCHAR Block[80];
} CONTRACT_REPLY, *PCONTRACT_REPLY;

typedef struct _CONTRACT_CALL {
    UCHAR Slot;
    UCHAR Level;
    UCHAR Early; /* connect had not returned */
    UCHAR IsMessage;
    ULONG Message;
    ULONG64 Object;
} CONTRACT_CALL, *PCONTRACT_CALL;

#define DEVICE_BASE       \
    PDEVICE_OBJECT Self;  \
    PDEVICE_OBJECT Pdo;   \
    PDEVICE_OBJECT Lower; \
    UNICODE_STRING Interface

typedef struct _DEVICE *PDEVICE;

typedef struct _CONTRACT_SLOT {
    PDEVICE Device;
    ULONG64 Result;
    UCHAR Number;
    BOOLEAN Refuse;
    BOOLEAN Connecting;
} CONTRACT_SLOT, *PCONTRACT_SLOT;

typedef struct _DEVICE {
    DEVICE_BASE;
    PUCHAR Registers;
    PUCHAR Port;
    CONTRACT_SLOT Slots[SLOTS];
    KSPIN_LOCK Lock;
    UCHAR SynchronizeLevel;
    LONG Calls;
    CONTRACT_CALL Log[LOG_ENTRIES];
} DEVICE;

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

static BOOLEAN ServeQueue(PDEVICE Device, ULONG Queue)
{
    ULONG done = Get(Device, COMPLETIONS(Queue));

    if (done == 0)
        return FALSE;
    Set(Device, COMPLETIONS(Queue), done);
    return TRUE;
}

static BOOLEAN ServeAll(PDEVICE Device)
{
    BOOLEAN claimed = FALSE;
    ULONG queue, queues;

    if (Device->Port != NULL) {
        UCHAR causes = (READ_PORT_UCHAR(Device->Port) >> 1) & 3;

        if (causes == 0)
            return FALSE;
        WRITE_PORT_UCHAR(Device->Port + 2, causes);
        return TRUE;
    }
    queues = Get(Device, QUEUES);
    for (queue = 0; queue < queues; queue++)
        claimed |= ServeQueue(Device, queue);
    return claimed;
}

/* --- Routines that the kernel calls --------------------------------------- */

static VOID Note(PCONTRACT_SLOT Slot, PKINTERRUPT Interrupt, BOOLEAN IsMessage, ULONG Message)
{
    LONG entry = InterlockedIncrement(&Slot->Device->Calls) - 1;
    PCONTRACT_CALL call = &Slot->Device->Log[entry % LOG_ENTRIES];

    call->Slot = Slot->Number;
    call->Level = KeGetCurrentIrql();
    call->Early = Slot->Connecting;
    call->IsMessage = IsMessage;
    call->Message = Message;
    call->Object = (ULONG64)Interrupt;
}

static BOOLEAN NTAPI LineIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PCONTRACT_SLOT slot = Context;

    Note(slot, Interrupt, FALSE, 0);
    return slot->Refuse ? FALSE : ServeAll(slot->Device);
}

static BOOLEAN NTAPI MessageIsr(PKINTERRUPT Interrupt, PVOID Context, ULONG Message)
{
    PCONTRACT_SLOT slot = Context;

    Note(slot, Interrupt, TRUE, Message);
    return slot->Refuse ? FALSE : ServeQueue(slot->Device, Message);
}

static BOOLEAN NTAPI CriticalSection(PVOID Context)
{
    PDEVICE device = Context;

    device->SynchronizeLevel = KeGetCurrentIrql();
    return 0x5A;
}

/* --- Operations ----------------------------------------------------------- */

#ifdef CONTRACT_IOINTEX

static VOID Begin(VOID)
{
    /* The library does. */
}

static NTSTATUS ConnectEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters)
{
    return IoConnectInterruptEx(Parameters);
}

static NTSTATUS DisconnectEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters)
{
    return IoDisconnectInterruptEx(Parameters);
}

static NTSTATUS ReportState(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters, BOOLEAN Active)
{
    if (Active)
        IoReportInterruptActive(Parameters);
    else
        IoReportInterruptInactive(Parameters);
    return STATUS_SUCCESS;
}

static NTSTATUS GetAffinity(PKINTERRUPT Object, PGROUP_AFFINITY Mask)
{
    return IoGetAffinityInterrupt(Object, Mask);
}

#else

/* What this Windows has of the newer routines. */
static NTSTATUS(NTAPI *ConnectRoutine)(PIO_CONNECT_INTERRUPT_PARAMETERS);
static VOID(NTAPI *DisconnectRoutine)(PIO_DISCONNECT_INTERRUPT_PARAMETERS);
static VOID(NTAPI *ActiveRoutine)(PIO_DISCONNECT_INTERRUPT_PARAMETERS);
static VOID(NTAPI *InactiveRoutine)(PIO_DISCONNECT_INTERRUPT_PARAMETERS);
static NTSTATUS(NTAPI *AffinityRoutine)(PKINTERRUPT, PGROUP_AFFINITY);

static PVOID Routine(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

static VOID Begin(VOID)
{
    ConnectRoutine = Routine(L"IoConnectInterruptEx");
    DisconnectRoutine = Routine(L"IoDisconnectInterruptEx");
    ActiveRoutine = Routine(L"IoReportInterruptActive");
    InactiveRoutine = Routine(L"IoReportInterruptInactive");
    AffinityRoutine = Routine(L"IoGetAffinityInterrupt");
}

static NTSTATUS ConnectEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters)
{
    return ConnectRoutine == NULL ? STATUS_ABSENT : ConnectRoutine(Parameters);
}

static NTSTATUS DisconnectEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters)
{
    if (DisconnectRoutine == NULL)
        return STATUS_ABSENT;
    DisconnectRoutine(Parameters);
    return STATUS_SUCCESS;
}

/* The block has the members of the one for disconnect. */
static NTSTATUS ReportState(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters, BOOLEAN Active)
{
    if (ActiveRoutine == NULL || InactiveRoutine == NULL)
        return STATUS_ABSENT;
    if (Active)
        ActiveRoutine(Parameters);
    else
        InactiveRoutine(Parameters);
    return STATUS_SUCCESS;
}

static NTSTATUS GetAffinity(PKINTERRUPT Object, PGROUP_AFFINITY Mask)
{
    return AffinityRoutine == NULL ? STATUS_ABSENT : AffinityRoutine(Object, Mask);
}

#endif

static NTSTATUS DoConnect(PDEVICE Device, PCONTRACT_REQUEST Request)
{
    PCONTRACT_SLOT slot = &Device->Slots[Request->Slot % SLOTS];
    PIO_CONNECT_INTERRUPT_PARAMETERS connect = (PVOID)Request->Block;
    BOOLEAN messages = connect->Version == CONNECT_MESSAGE_BASED || connect->Version == 5;
    NTSTATUS status;

    /* The first five members lie at the same places whatever Version is. */
    if (Request->Flags & USE_PDO)
        connect->FullySpecified.PhysicalDeviceObject = Device->Pdo;
    if (Request->Flags & USE_RESULT)
        connect->FullySpecified.InterruptObject = (PVOID)&slot->Result;
    if (Request->Flags & USE_ROUTINE)
        connect->FullySpecified.ServiceRoutine = messages ? (PVOID)MessageIsr : (PVOID)LineIsr;
    if (Request->Flags & USE_FALLBACK)
        connect->MessageBased.FallBackServiceRoutine = LineIsr;
    if (Request->Flags & USE_LOCK)
        connect->FullySpecified.SpinLock = &Device->Lock;
    connect->FullySpecified.ServiceContext = slot;

    slot->Result = UNTOUCHED;
    slot->Refuse = (Request->Flags & REFUSE) != 0;
    slot->Connecting = TRUE;
    if (Request->Flags & OLD_ROUTINE)
        status = IoConnectInterrupt(
            connect->FullySpecified.InterruptObject, connect->FullySpecified.ServiceRoutine,
            connect->FullySpecified.ServiceContext, connect->FullySpecified.SpinLock,
            connect->FullySpecified.Vector, connect->FullySpecified.Irql,
            connect->FullySpecified.SynchronizeIrql, connect->FullySpecified.InterruptMode,
            connect->FullySpecified.ShareVector, connect->FullySpecified.ProcessorEnableMask,
            connect->FullySpecified.FloatingSave);
    else
        status = ConnectEx(connect);
    slot->Connecting = FALSE;
    return status;
}

static NTSTATUS DoInterrupt(PDEVICE Device, ULONG64 Queues, KIRQL Level)
{
    ULONG queue;
    KIRQL old;

    if (Device->Registers == NULL)
        return STATUS_INVALID_DEVICE_REQUEST;
    KeRaiseIrql(Level, &old);
    for (queue = 0; queue < 64; queue++)
        if (Queues & (1ULL << queue))
            Set(Device, REQUESTS(queue), 1);
    if (Level > PASSIVE_LEVEL)
        KeStallExecutionProcessor(50); /* the device is done before the level falls */
    KeLowerIrql(old);
    return STATUS_SUCCESS;
}

static VOID Perform(PDEVICE Device, PCONTRACT_REQUEST Request, PCONTRACT_REPLY Reply)
{
    IO_DISCONNECT_INTERRUPT_PARAMETERS pair;
    PKINTERRUPT object = (PKINTERRUPT)Request->Argument;
    GROUP_AFFINITY affinity;
    KIRQL old, before;

    RtlZeroMemory(Reply, sizeof(*Reply));
    RtlZeroMemory(&pair, sizeof(pair));
    RtlZeroMemory(&affinity, sizeof(affinity));
    pair.Version = Request->Version;
    pair.ConnectionContext.Generic = (PVOID)Request->Argument;
    switch (Request->Operation) {
    case Connect:
        KeRaiseIrql((KIRQL)Request->Level, &old);
        Reply->Status = DoConnect(Device, Request);
        KeLowerIrql(old);
        Reply->Value = Device->Slots[Request->Slot % SLOTS].Result;
        RtlCopyMemory(Reply->Block, Request->Block, sizeof(Reply->Block));
        break;

    case Disconnect:
        KeRaiseIrql((KIRQL)Request->Level, &old);
        if (Request->Flags & OLD_ROUTINE)
            IoDisconnectInterrupt(object);
        else
            Reply->Status = DisconnectEx(&pair);
        KeLowerIrql(old);
        break;

    case Report:
        KeRaiseIrql((KIRQL)Request->Level, &old);
        Reply->Status = ReportState(&pair, (Request->Flags & ACTIVE) != 0);
        KeLowerIrql(old);
        break;

    case Interrupt:
        Reply->Status = DoInterrupt(Device, Request->Argument, (KIRQL)Request->Level);
        break;

    case Affinity:
        KeRaiseIrql((KIRQL)Request->Level, &old);
        Reply->Status = GetAffinity(object, &affinity);
        KeLowerIrql(old);
        Reply->Mask = affinity.Mask;
        Reply->Extra = affinity.Group;
        break;

    case Synchronize:
        KeRaiseIrql((KIRQL)Request->Level, &old);
        Reply->Value = KeSynchronizeExecution(object, CriticalSection, Device);
        KeLowerIrql(old);
        Reply->Extra = Device->SynchronizeLevel;
        break;

    case Lock:
        KeRaiseIrql((KIRQL)Request->Level, &old);
        before = KeAcquireInterruptSpinLock(object);
        Reply->Extra = KeGetCurrentIrql();
        KeReleaseInterruptSpinLock(object, before);
        KeLowerIrql(old);
        Reply->Value = before;
        break;

    default:
        Reply->Status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
}

/* --- Requests ------------------------------------------------------------- */

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
    PVOID buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG room = stack->Parameters.DeviceIoControl.OutputBufferLength;
    CONTRACT_REQUEST request;
    ULONG bytes;

    if (stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_CONTRACT ||
        stack->Parameters.DeviceIoControl.InputBufferLength != sizeof(request))
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    RtlCopyMemory(&request, buffer, sizeof(request));
    if (request.Operation == Log) {
        bytes = min((ULONG)device->Calls, LOG_ENTRIES) * sizeof(CONTRACT_CALL);
        if (room < bytes)
            return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
        RtlCopyMemory(buffer, device->Log, bytes);
        device->Calls = 0;
        return Complete(Irp, STATUS_SUCCESS, bytes);
    }
    if (room < sizeof(CONTRACT_REPLY))
        return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    Perform(device, &request, buffer);
    return Complete(Irp, STATUS_SUCCESS, sizeof(CONTRACT_REPLY));
}

/* --- Plug and play -------------------------------------------------------- */

static VOID Prepare(PDEVICE Device)
{
    UCHAR slot;

    KeInitializeSpinLock(&Device->Lock);
    for (slot = 0; slot < SLOTS; slot++) {
        Device->Slots[slot].Device = Device;
        Device->Slots[slot].Number = slot;
    }
}

/* Nothing is connected here. */
static NTSTATUS Resource(PDEVICE Device, PCM_PARTIAL_RESOURCE_DESCRIPTOR Resource)
{
    if (Resource->Type == CmResourceTypePort && Device->Port == NULL)
        Device->Port = (PUCHAR)Resource->u.Port.Start.QuadPart;
    if (Resource->Type == CmResourceTypeMemory && Device->Registers == NULL) {
        Device->Registers = MmMapIoSpace(Resource->u.Memory.Start, WINDOW, MmNonCached);
        if (Device->Registers == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
    }
    return STATUS_SUCCESS;
}

static VOID Release(PDEVICE Device)
{
    if (Device->Registers != NULL)
        MmUnmapIoSpace(Device->Registers, WINDOW);
    Device->Registers = NULL;
    Device->Port = NULL;
}

#include "pnp.h"
