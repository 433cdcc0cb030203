/*
 * A client of the parallel port that receives bytes: what is at the other end pulls nFault low
 * while it has bytes, drives the data lines when the computer does not, announces each byte with
 * a pulse of nAck, and takes a pulse of nStrobe as "taken".
 *
 * Shows IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT (WDK, "Connecting an Interrupt Service Routine
 * to a Parallel Port"). The port is shared, so the ISR may be called while another client has it:
 * then it must not touch the data lines. It notes that and leaves the byte to the deferred port
 * check, which the function driver calls when the port is free.
 *
 * A read of \??\PortReader returns the bytes so far, and waits if there are none.
 *
 * Locks, outermost first:
 *   Lock                          Reads
 *   the port's interrupt lock     Bytes, First, Count, Missed
 */
#include "port-client.h"

#define READER_BYTES 256

/* How long the peripheral takes to see that its byte was taken, with room to spare. */
#define READER_SETTLE_US 15

typedef struct _READER {
    PORT Port;
    PARALLEL_INTERRUPT_INFORMATION Interrupt;
    KDPC Dpc;

    KSPIN_LOCK Lock;
    LIST_ENTRY Reads;

    UCHAR Bytes[READER_BYTES];
    ULONG First;
    ULONG Count;
    BOOLEAN Missed; /* a byte was announced while another client had the port */
} READER, *PREADER;

typedef struct _READER_BATCH {
    PREADER Reader;
    PUCHAR Buffer;
    ULONG Count; /* in: room in Buffer; out: bytes moved there */
} READER_BATCH, *PREADER_BATCH;

typedef struct _READER_CONNECTED {
    PREADER Reader;
    PARALLEL_INTERRUPT_INFORMATION Information;
} READER_CONNECTED, *PREADER_CONNECTED;

/* {97F76EF0-F883-11D0-AF1F-0000F800845C} */
static const GUID PortInterface =
    {0x97f76ef0, 0xf883, 0x11d0, {0xaf, 0x1f, 0x00, 0x00, 0xf8, 0x00, 0x84, 0x5c}};

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD ReaderUnload;

/* --- Interrupt side ------------------------------------------------------- */

/* The caller has the port and holds the interrupt lock. Without room the byte stays there. */
static VOID ReaderTake(PREADER Reader)
{
    PPORT port = &Reader->Port;
    UCHAR control = PortGet(port, PORT_CONTROL) & ~(CONTROL_INPUT | CONTROL_STROBE);

    if (Reader->Count == READER_BYTES)
        return;
    PortSet(port, PORT_CONTROL, control | CONTROL_INPUT);
    Reader->Bytes[(Reader->First + Reader->Count) % READER_BYTES] = PortGet(port, PORT_DATA);
    Reader->Count++;
    PortSet(port, PORT_CONTROL, control | CONTROL_INPUT | CONTROL_STROBE);
    PortSet(port, PORT_CONTROL, control | CONTROL_INPUT);
    PortSet(port, PORT_CONTROL, control);
    KeStallExecutionProcessor(READER_SETTLE_US);
    KeInsertQueueDpc(&Reader->Dpc, NULL, NULL);
}

static BOOLEAN ReaderIsOffered(PREADER Reader)
{
    return (PortGet(&Reader->Port, PORT_STATUS) & STATUS_NOT_FAULT) == 0;
}

/*
 * The ISR can be called before the request to connect has returned: nAck may interrupt for
 * another client.
 */
static BOOLEAN ReaderTryPort(PREADER Reader)
{
    PPARALLEL_TRY_ALLOCATE_ROUTINE try = Reader->Interrupt.TryAllocatePortAtInterruptLevel;

    return try != NULL && try(Reader->Interrupt.Context);
}

static BOOLEAN NTAPI ReaderIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PREADER reader = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (!ReaderIsOffered(reader))
        return FALSE; /* the answer to a byte that another client sent */
    if (!ReaderTryPort(reader)) {
        reader->Missed = TRUE;
        return TRUE;
    }
    ReaderTake(reader);
    reader->Interrupt.FreePortFromInterruptLevel(reader->Interrupt.Context);
    return TRUE;
}

/* The deferred port check: at DIRQL, with the interrupt lock held. */
static VOID NTAPI ReaderCheck(PVOID Context)
{
    PREADER reader = Context;

    if (!reader->Missed)
        return;
    if (!ReaderTryPort(reader))
        return; /* another client's check was first; there will be a next time */
    reader->Missed = FALSE;
    if (ReaderIsOffered(reader))
        ReaderTake(reader);
    reader->Interrupt.FreePortFromInterruptLevel(reader->Interrupt.Context);
}

static BOOLEAN NTAPI ReaderSynchConnected(PVOID Context)
{
    PREADER_CONNECTED connected = Context;

    connected->Reader->Interrupt = connected->Information;
    return TRUE;
}

static BOOLEAN NTAPI ReaderSynchAny(PVOID Context)
{
    PREADER reader = Context;

    return reader->Count != 0;
}

static BOOLEAN NTAPI ReaderSynchMove(PVOID Context)
{
    PREADER_BATCH batch = Context;
    PREADER reader = batch->Reader;
    ULONG i;

    if (batch->Count > reader->Count)
        batch->Count = reader->Count;
    for (i = 0; i < batch->Count; i++)
        batch->Buffer[i] = reader->Bytes[(reader->First + i) % READER_BYTES];
    reader->First = (reader->First + batch->Count) % READER_BYTES;
    reader->Count -= batch->Count;
    return TRUE;
}

/* --- Requests ------------------------------------------------------------- */

static NTSTATUS ReaderComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* Takes a request off the list. FALSE: its cancel routine is on its way and owns it. */
static BOOLEAN ReaderDequeue(PIRP Irp)
{
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    if (IoSetCancelRoutine(Irp, NULL) != NULL)
        return TRUE;
    InitializeListHead(&Irp->Tail.Overlay.ListEntry); /* ReaderCancel removes it again */
    return FALSE;
}

/* Completes reads as long as there are bytes. */
static VOID ReaderServe(PREADER Reader)
{
    PKINTERRUPT interrupt = Reader->Interrupt.InterruptObject;
    READER_BATCH batch;
    LIST_ENTRY served;
    PLIST_ENTRY entry;
    KIRQL irql;
    PIRP irp;

    InitializeListHead(&served);
    KeAcquireSpinLock(&Reader->Lock, &irql);
    while (!IsListEmpty(&Reader->Reads)) {
        if (!KeSynchronizeExecution(interrupt, ReaderSynchAny, Reader))
            break;
        entry = Reader->Reads.Flink;
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (!ReaderDequeue(irp))
            continue;
        batch.Reader = Reader;
        batch.Buffer = irp->AssociatedIrp.SystemBuffer;
        batch.Count = IoGetCurrentIrpStackLocation(irp)->Parameters.Read.Length;
        KeSynchronizeExecution(interrupt, ReaderSynchMove, &batch);
        irp->IoStatus.Information = batch.Count;
        InsertTailList(&served, entry);
    }
    KeReleaseSpinLock(&Reader->Lock, irql);

    while (!IsListEmpty(&served)) {
        entry = RemoveHeadList(&served);
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        ReaderComplete(irp, STATUS_SUCCESS, irp->IoStatus.Information);
    }
}

static VOID NTAPI ReaderDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    ReaderServe(Context);
}

static VOID NTAPI ReaderCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PREADER reader = DeviceObject->DeviceExtension;
    KIRQL irql;

    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&reader->Lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&reader->Lock, irql);
    ReaderComplete(Irp, STATUS_CANCELLED, 0);
}

static NTSTATUS NTAPI ReaderRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PREADER reader = DeviceObject->DeviceExtension;
    NTSTATUS status = STATUS_PENDING;
    KIRQL irql;

    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length == 0)
        return ReaderComplete(Irp, STATUS_SUCCESS, 0);
    IoMarkIrpPending(Irp);
    KeAcquireSpinLock(&reader->Lock, &irql);
    IoSetCancelRoutine(Irp, ReaderCancel);
    if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL)
        status = STATUS_CANCELLED;
    else
        InsertTailList(&reader->Reads, &Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&reader->Lock, irql);
    if (status == STATUS_CANCELLED)
        ReaderComplete(Irp, status, 0);
    else
        ReaderServe(reader);
    return STATUS_PENDING;
}

/* Cancels the waiting reads of the file that is closed. */
static NTSTATUS NTAPI ReaderCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PREADER reader = DeviceObject->DeviceExtension;
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    LIST_ENTRY flushed;
    PLIST_ENTRY entry, next;
    PIRP irp;
    KIRQL irql;

    InitializeListHead(&flushed);
    KeAcquireSpinLock(&reader->Lock, &irql);
    for (entry = reader->Reads.Flink; entry != &reader->Reads; entry = next) {
        next = entry->Flink;
        irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        if (IoGetCurrentIrpStackLocation(irp)->FileObject == file && ReaderDequeue(irp))
            InsertTailList(&flushed, entry);
    }
    KeReleaseSpinLock(&reader->Lock, irql);

    while (!IsListEmpty(&flushed)) {
        entry = RemoveHeadList(&flushed);
        ReaderComplete(CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry), STATUS_CANCELLED, 0);
    }
    return ReaderComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI ReaderCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return ReaderComplete(Irp, STATUS_SUCCESS, 0);
}

/* --- The port ------------------------------------------------------------- */

/* Lets nAck interrupt, or not. The control register is the owner's, so the port is allocated. */
static NTSTATUS PAGED ReaderEnable(PREADER Reader, BOOLEAN Enable)
{
    PPORT port = &Reader->Port;
    UCHAR control;
    NTSTATUS status;

    status = PortAsk(port, IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, NULL, 0, 0);
    if (!NT_SUCCESS(status))
        return status;
    control = PortGet(port, PORT_CONTROL) & ~CONTROL_INTERRUPT;
    PortSet(port, PORT_CONTROL, Enable ? control | CONTROL_INTERRUPT : control);
    port->Information.FreePort(port->Information.Context);
    return STATUS_SUCCESS;
}

static VOID PAGED ReaderService(PREADER Reader, PORT_CONNECTION *Connection)
{
    Connection->Service.InterruptServiceRoutine = ReaderIsr;
    Connection->Service.InterruptServiceContext = Reader;
    Connection->Service.DeferredPortCheckRoutine = ReaderCheck;
    Connection->Service.DeferredPortCheckContext = Reader;
}

static NTSTATUS PAGED ReaderConnect(PREADER Reader)
{
    READER_CONNECTED connected;
    PORT_CONNECTION connection;
    NTSTATUS status;

    ReaderService(Reader, &connection);
    status = PortAsk(&Reader->Port, IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT, &connection,
                     sizeof(connection.Service), sizeof(connection.Information));
    if (!NT_SUCCESS(status))
        return status;
    connected.Reader = Reader;
    connected.Information = connection.Information;
    KeSynchronizeExecution(connected.Information.InterruptObject, ReaderSynchConnected, &connected);
    return status;
}

static VOID PAGED ReaderDisconnect(PREADER Reader)
{
    PORT_CONNECTION connection;

    ReaderService(Reader, &connection);
    PortAsk(&Reader->Port, IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT, &connection,
            sizeof(connection.Service), 0);
    KeRemoveQueueDpc(&Reader->Dpc);
    KeFlushQueuedDpcs(); /* it may be running */
}

/* Opens the first port that there is, by its interface. */
static NTSTATUS PAGED ReaderFind(PPORT Port)
{
    UNICODE_STRING name;
    PWSTR links;
    NTSTATUS status;

    status = IoGetDeviceInterfaces(&PortInterface, NULL, 0, &links);
    if (!NT_SUCCESS(status))
        return status;
    RtlInitUnicodeString(&name, links);
    status = name.Length == 0 ? STATUS_NO_SUCH_DEVICE : PortOpen(Port, &name);
    ExFreePool(links);
    return status;
}

static VOID NTAPI PAGED ReaderUnload(PDRIVER_OBJECT DriverObject)
{
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\PortReader");
    PREADER reader = DriverObject->DeviceObject->DeviceExtension;

    IoDeleteSymbolicLink(&link);
    ReaderEnable(reader, FALSE);
    ReaderDisconnect(reader);
    PortClose(&reader->Port);
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\PortReader");
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\PortReader");
    PDEVICE_OBJECT device;
    PREADER reader;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = ReaderCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = ReaderCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = ReaderCleanup;
    DriverObject->MajorFunction[IRP_MJ_READ] = ReaderRead;
    DriverObject->DriverUnload = ReaderUnload;

    status = IoCreateDevice(DriverObject, sizeof(READER), &name, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    device->Flags |= DO_BUFFERED_IO;
    reader = device->DeviceExtension;
    KeInitializeDpc(&reader->Dpc, ReaderDpc, reader);
    KeInitializeSpinLock(&reader->Lock);
    InitializeListHead(&reader->Reads);

    status = ReaderFind(&reader->Port);
    if (!NT_SUCCESS(status))
        goto Delete;
    status = ReaderConnect(reader);
    if (!NT_SUCCESS(status))
        goto Close;
    status = ReaderEnable(reader, TRUE);
    if (!NT_SUCCESS(status))
        goto Disconnect;
    status = IoCreateSymbolicLink(&link, &name);
    if (NT_SUCCESS(status))
        return status;

    ReaderEnable(reader, FALSE);
Disconnect:
    ReaderDisconnect(reader);
Close:
    PortClose(&reader->Port);
Delete:
    IoDeleteDevice(device);
    return status;
}
