/*
 * Function driver for the device "button": it interrupts on one line when it is pressed and
 * on another when it is released, and there is no way to stop it from doing so.
 *
 * Shows IoConnectInterrupt as drivers for Windows XP and Server 2003 use it (WDK reference,
 * wdm.IoConnectInterrupt): two vectors that share data need one spin lock, the driver's own,
 * and one synchronization level, the higher of the two. And since nothing can be muted, the
 * ISR runs as soon as its vector is connected: before the call returns, and before the
 * second vector is connected. So all it needs is ready by then, and the DPC leaves the
 * interrupt objects alone until the device is started.
 *
 * A read returns what happened, one byte for each press (0) or release (1), and waits if
 * nothing has.
 *
 * Locks, outermost first:
 *   Lock            State, Reads
 *   InterruptLock   Seen, Events, First, Count
 */
#include <ddk/wdm.h>

#define INIT __attribute__((section("INIT")))
#define PAGED __attribute__((section("PAGE")))

/* Registers, one byte each, in ports or memory. */
#define PANEL_STATUS 0      /* bit 1 + n: line n is asserted */
#define PANEL_PRESSES 1     /* presses since power-on, modulo 256 */
#define PANEL_ACKNOWLEDGE 2 /* bit n: release line n */
#define PANEL_WINDOW 4

#define PANEL_GONE 0xFF /* the status once the device was pulled */

#define PANEL_LINES 2
#define PANEL_EVENTS 32

enum { PanelPress = 0, PanelReleased = 1 };

typedef enum _PANEL_STATE {
    PanelNotStarted = 1, /* requests fail */
    PanelStarted = 2,
    PanelHeld = 4,       /* paused, or stopped for rebalancing: requests wait */
    PanelRemoved = 8     /* requests fail */
} PANEL_STATE;
#define PANEL_ANY_STATE 0xF

struct _PANEL_EXTENSION;

typedef struct _PANEL_LINE {
    struct _PANEL_EXTENSION *Panel;
    UCHAR Number;
    PKINTERRUPT Interrupt;
} PANEL_LINE, *PPANEL_LINE;

typedef struct _PANEL_EXTENSION {
    PDEVICE_OBJECT Lower;
    UNICODE_STRING Interface;
    IO_REMOVE_LOCK RemoveLock;
    PUCHAR Registers;
    BOOLEAN InMemory; /* Registers is a mapping, not a port number */
    PANEL_LINE Lines[PANEL_LINES];
    KDPC Dpc;

    KSPIN_LOCK Lock;
    PANEL_STATE State;
    LIST_ENTRY Reads;

    KSPIN_LOCK InterruptLock;
    UCHAR Seen; /* of the presses register */
    UCHAR Events[PANEL_EVENTS];
    ULONG First;
    ULONG Count;
} PANEL_EXTENSION, *PPANEL_EXTENSION;

typedef struct _PANEL_BATCH {
    PPANEL_EXTENSION Panel;
    PUCHAR Buffer;
    ULONG Count; /* in: room in Buffer; out: events moved there */
} PANEL_BATCH, *PPANEL_BATCH;

/* {6C9F7F5B-6A0E-4A47-9B1E-2F0C5D1B0E04} */
static const GUID PanelInterface =
    {0x6c9f7f5b, 0x6a0e, 0x4a47, {0x9b, 0x1e, 0x2f, 0x0c, 0x5d, 0x1b, 0x0e, 0x04}};

static UCHAR PanelGet(PPANEL_EXTENSION Panel, ULONG Offset)
{
    if (Panel->InMemory)
        return READ_REGISTER_UCHAR(Panel->Registers + Offset);
    return READ_PORT_UCHAR(Panel->Registers + Offset);
}

static VOID PanelSet(PPANEL_EXTENSION Panel, ULONG Offset, UCHAR Value)
{
    if (Panel->InMemory)
        WRITE_REGISTER_UCHAR(Panel->Registers + Offset, Value);
    else
        WRITE_PORT_UCHAR(Panel->Registers + Offset, Value);
}

/* --- Interrupt side ------------------------------------------------------- */

/* The caller holds InterruptLock. What does not fit is dropped. */
static VOID PanelNote(PPANEL_EXTENSION Panel, UCHAR Event)
{
    if (Panel->Count < PANEL_EVENTS) {
        Panel->Events[(Panel->First + Panel->Count) % PANEL_EVENTS] = Event;
        Panel->Count++;
    }
}

static BOOLEAN NTAPI PanelIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PPANEL_LINE line = Context;
    PPANEL_EXTENSION panel = line->Panel;
    UCHAR status = PanelGet(panel, PANEL_STATUS);
    BOOLEAN asserted = (status & (2 << line->Number)) != 0;
    BOOLEAN pressed = FALSE;
    UCHAR presses;

    UNREFERENCED_PARAMETER(Interrupt);
    if (status == PANEL_GONE)
        return FALSE;
    if (asserted)
        PanelSet(panel, PANEL_ACKNOWLEDGE, (UCHAR)(1 << line->Number));
    /* On either line: a press and release may be over before the first one is serviced. */
    presses = PanelGet(panel, PANEL_PRESSES);
    for (; panel->Seen != presses; panel->Seen++) {
        PanelNote(panel, PanelPress);
        pressed = TRUE;
    }
    if (asserted && line->Number == 1)
        PanelNote(panel, PanelReleased);
    if (panel->Count != 0)
        KeInsertQueueDpc(&panel->Dpc, NULL, NULL);
    return asserted || pressed;
}

static BOOLEAN NTAPI PanelSynchAny(PVOID Context)
{
    PPANEL_EXTENSION panel = Context;

    return panel->Count != 0;
}

static BOOLEAN NTAPI PanelSynchTake(PVOID Context)
{
    PPANEL_BATCH batch = Context;
    PPANEL_EXTENSION panel = batch->Panel;
    ULONG i;

    if (batch->Count > panel->Count)
        batch->Count = panel->Count;
    for (i = 0; i < batch->Count; i++)
        batch->Buffer[i] = panel->Events[(panel->First + i) % PANEL_EVENTS];
    panel->First = (panel->First + batch->Count) % PANEL_EVENTS;
    panel->Count -= batch->Count;
    return TRUE;
}

/* --- Requests ------------------------------------------------------------- */

static NTSTATUS PanelComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static VOID PanelFinish(PPANEL_EXTENSION Panel, PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    PanelComplete(Irp, Status, Information);
    IoReleaseRemoveLock(&Panel->RemoveLock, Irp);
}

/* Takes a request off the list. FALSE: its cancel routine is on its way and owns it. */
static BOOLEAN PanelDequeue(PIRP Irp)
{
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    if (IoSetCancelRoutine(Irp, NULL) != NULL)
        return TRUE;
    InitializeListHead(&Irp->Tail.Overlay.ListEntry); /* PanelCancel removes it again */
    return FALSE;
}

/*
 * Completes reads as long as there are events. Either vector's interrupt object will do,
 * since they share InterruptLock and the level; they are valid while State is PanelStarted.
 */
static VOID PanelServe(PPANEL_EXTENSION Panel)
{
    PKINTERRUPT interrupt;
    PANEL_BATCH batch;
    LIST_ENTRY served;
    PLIST_ENTRY entry;
    KIRQL irql;
    PIRP irp;

    InitializeListHead(&served);
    KeAcquireSpinLock(&Panel->Lock, &irql);
    while (Panel->State == PanelStarted && !IsListEmpty(&Panel->Reads)) {
        interrupt = Panel->Lines[0].Interrupt;
        if (!KeSynchronizeExecution(interrupt, PanelSynchAny, Panel))
            break;
        entry = Panel->Reads.Flink;
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (!PanelDequeue(irp))
            continue;
        batch.Panel = Panel;
        batch.Buffer = irp->AssociatedIrp.SystemBuffer;
        batch.Count = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
        KeSynchronizeExecution(interrupt, PanelSynchTake, &batch);
        irp->IoStatus.Information = batch.Count;
        InsertTailList(&served, entry);
    }
    KeReleaseSpinLock(&Panel->Lock, irql);

    while (!IsListEmpty(&served)) {
        entry = RemoveHeadList(&served);
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        PanelFinish(Panel, irp, STATUS_SUCCESS, irp->IoStatus.Information);
    }
}

static VOID NTAPI PanelDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    PanelServe(Context);
}

static VOID NTAPI PanelCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPANEL_EXTENSION panel = DeviceObject->DeviceExtension;
    KIRQL irql;

    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&panel->Lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&panel->Lock, irql);
    PanelFinish(panel, Irp, STATUS_CANCELLED, 0);
}

/* Completes the waiting reads of one file, or all of them. */
static VOID PanelFlush(PPANEL_EXTENSION Panel, PFILE_OBJECT File, NTSTATUS Status)
{
    LIST_ENTRY flushed;
    PLIST_ENTRY entry, next;
    PIRP irp;
    KIRQL irql;

    InitializeListHead(&flushed);
    KeAcquireSpinLock(&Panel->Lock, &irql);
    for (entry = Panel->Reads.Flink; entry != &Panel->Reads; entry = next) {
        next = entry->Flink;
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (File != NULL && IoGetCurrentIrpStackLocation(irp)->FileObject != File)
            continue;
        if (PanelDequeue(irp))
            InsertTailList(&flushed, entry);
    }
    KeReleaseSpinLock(&Panel->Lock, irql);

    while (!IsListEmpty(&flushed)) {
        entry = RemoveHeadList(&flushed);
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        PanelFinish(Panel, irp, Status, 0);
    }
}

static NTSTATUS NTAPI PanelCreate(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPANEL_EXTENSION panel = DeviceObject->DeviceExtension;
    NTSTATUS status = STATUS_SUCCESS;
    KIRQL irql;

    KeAcquireSpinLock(&panel->Lock, &irql);
    if (panel->State == PanelNotStarted)
        status = STATUS_DEVICE_NOT_READY;
    else if (panel->State == PanelRemoved)
        status = STATUS_DELETE_PENDING;
    KeReleaseSpinLock(&panel->Lock, irql);
    return PanelComplete(Irp, status, 0);
}

static NTSTATUS NTAPI PanelCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PanelFlush(DeviceObject->DeviceExtension, IoGetCurrentIrpStackLocation(Irp)->FileObject,
             STATUS_CANCELLED);
    return PanelComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI PanelClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return PanelComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI PanelRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPANEL_EXTENSION panel = DeviceObject->DeviceExtension;
    NTSTATUS status;
    KIRQL irql;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length == 0)
        return PanelComplete(Irp, STATUS_SUCCESS, 0);
    status = IoAcquireRemoveLock(&panel->RemoveLock, Irp);
    if (!NT_SUCCESS(status))
        return PanelComplete(Irp, status, 0);

    IoMarkIrpPending(Irp);
    KeAcquireSpinLock(&panel->Lock, &irql);
    if (panel->State == PanelNotStarted) {
        status = STATUS_DEVICE_NOT_READY;
    } else if (panel->State == PanelRemoved) {
        status = STATUS_DELETE_PENDING;
    } else {
        IoSetCancelRoutine(Irp, PanelCancel);
        if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL)
            status = STATUS_CANCELLED;
        else
            InsertTailList(&panel->Reads, &Irp->Tail.Overlay.ListEntry);
    }
    KeReleaseSpinLock(&panel->Lock, irql);
    if (!NT_SUCCESS(status))
        PanelFinish(panel, Irp, status, 0);
    else
        PanelServe(panel);
    return STATUS_PENDING;
}

/* --- Hardware ------------------------------------------------------------- */

/* Changes State if it is one of From; returns what it was. */
static ULONG PanelSwitch(PPANEL_EXTENSION Panel, ULONG From, PANEL_STATE To)
{
    ULONG was;
    KIRQL irql;

    KeAcquireSpinLock(&Panel->Lock, &irql);
    was = Panel->State;
    if (was & From)
        Panel->State = To;
    KeReleaseSpinLock(&Panel->Lock, irql);
    return was;
}

/* Gives the hardware back. State is not PanelStarted: nobody uses the interrupt objects. */
static VOID PAGED PanelRelease(PPANEL_EXTENSION Panel)
{
    ULONG i;

    for (i = 0; i < PANEL_LINES; i++) {
        if (Panel->Lines[i].Interrupt != NULL)
            IoDisconnectInterrupt(Panel->Lines[i].Interrupt);
        Panel->Lines[i].Interrupt = NULL;
    }
    KeRemoveQueueDpc(&Panel->Dpc);
    KeFlushQueuedDpcs(); /* it may be running */
    if (Panel->Registers != NULL && Panel->InMemory)
        MmUnmapIoSpace(Panel->Registers, PANEL_WINDOW);
    Panel->Registers = NULL;
}

static NTSTATUS PAGED PanelMap(PPANEL_EXTENSION Panel, PCM_PARTIAL_RESOURCE_DESCRIPTOR Window)
{
    if (Window->u.Generic.Length < PANEL_WINDOW)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    Panel->InMemory = Window->Type == CmResourceTypeMemory;
    if (Panel->InMemory)
        Panel->Registers = MmMapIoSpace(Window->u.Memory.Start, PANEL_WINDOW, MmNonCached);
    else
        Panel->Registers = (PUCHAR)(ULONG_PTR)Window->u.Port.Start.QuadPart;
    return Panel->Registers == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

static NTSTATUS PAGED PanelConnect(PPANEL_LINE Line, PCM_PARTIAL_RESOURCE_DESCRIPTOR Resource,
                                   KIRQL SynchronizeIrql)
{
    NTSTATUS status;

    status = IoConnectInterrupt(
        &Line->Interrupt, PanelIsr, Line, &Line->Panel->InterruptLock,
        Resource->u.Interrupt.Vector, (KIRQL)Resource->u.Interrupt.Level, SynchronizeIrql,
        (Resource->Flags & CM_RESOURCE_INTERRUPT_LATCHED) ? Latched : LevelSensitive,
        Resource->ShareDisposition == CmResourceShareShared, Resource->u.Interrupt.Affinity,
        FALSE);
    if (!NT_SUCCESS(status))
        Line->Interrupt = NULL;
    return status;
}

static NTSTATUS PAGED PanelAcquire(PPANEL_EXTENSION Panel, PCM_RESOURCE_LIST Translated)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR window = NULL, lines[PANEL_LINES], resource;
    PCM_PARTIAL_RESOURCE_LIST list;
    KIRQL synchronize = 0;
    ULONG found = 0, i;
    NTSTATUS status;

    if (Translated == NULL || Translated->Count == 0)
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    list = &Translated->List[0].PartialResourceList;
    for (i = 0; i < list->Count; i++) {
        resource = &list->PartialDescriptors[i];
        if (resource->Type == CmResourceTypeInterrupt && found < PANEL_LINES) {
            lines[found++] = resource;
            if ((KIRQL)resource->u.Interrupt.Level > synchronize)
                synchronize = (KIRQL)resource->u.Interrupt.Level;
        } else if ((resource->Type == CmResourceTypeMemory ||
                    resource->Type == CmResourceTypePort) && window == NULL) {
            window = resource;
        }
    }
    if (window == NULL || found < PANEL_LINES)
        return STATUS_DEVICE_CONFIGURATION_ERROR;

    status = PanelMap(Panel, window);
    if (!NT_SUCCESS(status))
        return status;
    if (Panel->State == PanelNotStarted)
        Panel->Seen = PanelGet(Panel, PANEL_PRESSES); /* earlier presses are nobody's */
    for (i = 0; i < PANEL_LINES && NT_SUCCESS(status); i++)
        status = PanelConnect(&Panel->Lines[i], lines[i], synchronize);
    return status;
}

/* --- Plug and play -------------------------------------------------------- */

static NTSTATUS NTAPI PanelForwarded(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    if (Irp->PendingReturned)
        KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Lets the drivers below handle the request first; the caller completes it. */
static NTSTATUS PAGED PanelForwardAndWait(PPANEL_EXTENSION Panel, PIRP Irp)
{
    KEVENT done;

    KeInitializeEvent(&done, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, PanelForwarded, &done, TRUE, TRUE, TRUE);
    if (IoCallDriver(Panel->Lower, Irp) == STATUS_PENDING)
        KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

static NTSTATUS PAGED PanelStart(PPANEL_EXTENSION Panel, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS status = PanelForwardAndWait(Panel, Irp);

    if (NT_SUCCESS(status)) {
        status = PanelAcquire(Panel, stack->Parameters.StartDevice.AllocatedResourcesTranslated);
        if (!NT_SUCCESS(status))
            PanelRelease(Panel);
    }
    if (NT_SUCCESS(status)) {
        PanelSwitch(Panel, PanelNotStarted | PanelHeld, PanelStarted);
        PanelServe(Panel); /* what happened before, the DPC has left alone */
        IoSetDeviceInterfaceState(&Panel->Interface, TRUE);
    } else {
        PanelSwitch(Panel, PanelHeld, PanelNotStarted);
        PanelFlush(Panel, NULL, STATUS_DEVICE_NOT_READY);
    }
    return status;
}

static VOID PAGED PanelRemove(PPANEL_EXTENSION Panel)
{
    if (PanelSwitch(Panel, PANEL_ANY_STATE, PanelRemoved) == PanelRemoved)
        return;
    IoSetDeviceInterfaceState(&Panel->Interface, FALSE);
    PanelRelease(Panel);
    PanelFlush(Panel, NULL, STATUS_DELETE_PENDING);
}

/* Hands a request on and drops the remove lock. */
static NTSTATUS PanelPassDown(PPANEL_EXTENSION Panel, PIRP Irp)
{
    NTSTATUS status;

    IoSkipCurrentIrpStackLocation(Irp);
    status = IoCallDriver(Panel->Lower, Irp);
    IoReleaseRemoveLock(&Panel->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PanelSystemControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPANEL_EXTENSION panel = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&panel->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return PanelComplete(Irp, status, 0);
    return PanelPassDown(panel, Irp);
}

static NTSTATUS NTAPI PanelPower(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPANEL_EXTENSION panel = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&panel->RemoveLock, Irp);

    PoStartNextPowerIrp(Irp);
    if (!NT_SUCCESS(status))
        return PanelComplete(Irp, status, 0);
    IoSkipCurrentIrpStackLocation(Irp);
    status = PoCallDriver(panel->Lower, Irp);
    IoReleaseRemoveLock(&panel->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PAGED PanelPnp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PPANEL_EXTENSION panel = DeviceObject->DeviceExtension;
    NTSTATUS status = IoAcquireRemoveLock(&panel->RemoveLock, Irp);

    if (!NT_SUCCESS(status))
        return PanelComplete(Irp, status, 0);

    switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = PanelStart(panel, Irp);
        break;

    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
        PanelSwitch(panel, PanelStarted, PanelHeld);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return PanelPassDown(panel, Irp);

    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        status = PanelForwardAndWait(panel, Irp);
        if (panel->Lines[0].Interrupt != NULL) {
            PanelSwitch(panel, PanelHeld, PanelStarted);
            PanelServe(panel);
        }
        break;

    case IRP_MN_STOP_DEVICE:
        PanelSwitch(panel, PanelStarted, PanelHeld);
        PanelRelease(panel);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return PanelPassDown(panel, Irp);

    case IRP_MN_SURPRISE_REMOVAL:
        PanelRemove(panel);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        return PanelPassDown(panel, Irp);

    case IRP_MN_REMOVE_DEVICE:
        PanelRemove(panel);
        Irp->IoStatus.Status = STATUS_SUCCESS;
        IoSkipCurrentIrpStackLocation(Irp);
        status = IoCallDriver(panel->Lower, Irp);
        IoReleaseRemoveLockAndWait(&panel->RemoveLock, Irp);
        RtlFreeUnicodeString(&panel->Interface);
        IoDetachDevice(panel->Lower);
        IoDeleteDevice(DeviceObject);
        return status;

    default:
        return PanelPassDown(panel, Irp);
    }

    PanelComplete(Irp, status, Irp->IoStatus.Information);
    IoReleaseRemoveLock(&panel->RemoveLock, Irp);
    return status;
}

static NTSTATUS NTAPI PAGED PanelAddDevice(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Pdo)
{
    PDEVICE_OBJECT fdo;
    PPANEL_EXTENSION panel;
    NTSTATUS status;
    UCHAR i;

    status = IoCreateDevice(DriverObject, sizeof(PANEL_EXTENSION), NULL, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &fdo);
    if (!NT_SUCCESS(status))
        return status;
    panel = fdo->DeviceExtension;
    panel->State = PanelNotStarted;
    IoInitializeRemoveLock(&panel->RemoveLock, '4naP', 0, 0);
    KeInitializeSpinLock(&panel->Lock);
    KeInitializeSpinLock(&panel->InterruptLock);
    InitializeListHead(&panel->Reads);
    KeInitializeDpc(&panel->Dpc, PanelDpc, panel);
    for (i = 0; i < PANEL_LINES; i++) {
        panel->Lines[i].Panel = panel;
        panel->Lines[i].Number = i;
    }

    status = IoRegisterDeviceInterface(Pdo, &PanelInterface, NULL, &panel->Interface);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(fdo);
        return status;
    }
    panel->Lower = IoAttachDeviceToDeviceStack(fdo, Pdo);
    if (panel->Lower == NULL) {
        RtlFreeUnicodeString(&panel->Interface);
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    fdo->Flags |= DO_BUFFERED_IO | (panel->Lower->Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    fdo->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI PAGED PanelUnload(PDRIVER_OBJECT DriverObject)
{
    /* Every device was given back when it was removed. */
    UNREFERENCED_PARAMETER(DriverObject);
}

static const PDRIVER_DISPATCH PanelDispatch[IRP_MJ_MAXIMUM_FUNCTION + 1] = {
    [IRP_MJ_CREATE] = PanelCreate,
    [IRP_MJ_CLEANUP] = PanelCleanup,
    [IRP_MJ_CLOSE] = PanelClose,
    [IRP_MJ_READ] = PanelRead,
    [IRP_MJ_PNP] = PanelPnp,
    [IRP_MJ_POWER] = PanelPower,
    [IRP_MJ_SYSTEM_CONTROL] = PanelSystemControl,
};

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG i;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverExtension->AddDevice = PanelAddDevice;
    DriverObject->DriverUnload = PanelUnload;
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
        if (PanelDispatch[i] != NULL)
            DriverObject->MajorFunction[i] = PanelDispatch[i];
    return STATUS_SUCCESS;
}
