/*
 * A client of the parallel port that prints: the chip's FIFO sends the bytes, with nStrobe and
 * Busy as a printer wants them, and interrupts when it has room for more.
 *
 * Shows the chip's modes (WDK, "Setting and Clearing the Communication Mode for a Parallel Port")
 * with a connected ISR. The function driver knows four modes; that of the FIFO in compatibility
 * mode is not among them. Who has set ECP mode has the extended registers, and so the FIFO.
 *
 * The FIFO's interrupt sets serviceIntr, by which the ISR knows it; clearing that bit asks for
 * the next one.
 *
 * A write to \??\PortFifo prints, one write after the other.
 *
 * Locks: the port's interrupt lock    Bytes, Left, Active
 */
#include "port-client.h"

/* Registers, from PARALLEL_PNP_INFORMATION.EcpController. */
#define FIFO_DATA 0
#define FIFO_ECR 2

#define ECR_EMPTY 0x01
#define ECR_FULL 0x02
#define ECR_SERVICE 0x04  /* set: the FIFO does not interrupt, or has */
#define ECR_NO_FAULT 0x10 /* nFault does not interrupt */
#define ECR_COMPATIBLE_FIFO 0x40
#define ECR_ECP 0x60

/* The printer has this long to take enough for an interrupt. */
#define FIFO_PATIENCE_MS 5000

/* The last bytes are looked after 10 ms, then 20, and so on: 5 seconds in all. */
#define FIFO_LOOK_MS 10
#define FIFO_LOOKS 9

typedef struct _FIFO {
    PORT Port;
    PARALLEL_PNP_INFORMATION Pnp;
    PARALLEL_INTERRUPT_INFORMATION Interrupt;
    KDPC Dpc;
    KEVENT Sent;
    FAST_MUTEX Turn; /* one write at a time */

    PUCHAR Bytes;
    ULONG Left;
    BOOLEAN Active;
} FIFO, *PFIFO;

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD FifoUnload;

static UCHAR FifoGetEcr(PFIFO Fifo)
{
    return READ_PORT_UCHAR(Fifo->Pnp.EcpController + FIFO_ECR);
}

static VOID FifoSetEcr(PFIFO Fifo, UCHAR Value)
{
    WRITE_PORT_UCHAR(Fifo->Pnp.EcpController + FIFO_ECR,
                     ECR_COMPATIBLE_FIFO | ECR_NO_FAULT | Value);
}

/* --- Interrupt side ------------------------------------------------------- */

/* Puts bytes where there is room, and asks for an interrupt if some are left. */
static VOID FifoFill(PFIFO Fifo)
{
    FifoSetEcr(Fifo, ECR_SERVICE);
    while (Fifo->Left != 0 && !(FifoGetEcr(Fifo) & ECR_FULL)) {
        WRITE_PORT_UCHAR(Fifo->Pnp.EcpController + FIFO_DATA, *Fifo->Bytes);
        Fifo->Bytes++;
        Fifo->Left--;
    }
    if (Fifo->Left != 0) {
        FifoSetEcr(Fifo, 0);
        return;
    }
    Fifo->Active = FALSE;
    KeInsertQueueDpc(&Fifo->Dpc, NULL, NULL);
}

static BOOLEAN NTAPI FifoIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PFIFO fifo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (!fifo->Active || !(FifoGetEcr(fifo) & ECR_SERVICE))
        return FALSE;
    FifoFill(fifo);
    return TRUE;
}

static BOOLEAN NTAPI FifoSynchStart(PVOID Context)
{
    PFIFO fifo = Context;

    fifo->Active = TRUE;
    FifoFill(fifo);
    return TRUE;
}

static BOOLEAN NTAPI FifoSynchStop(PVOID Context)
{
    PFIFO fifo = Context;

    fifo->Active = FALSE;
    FifoSetEcr(fifo, ECR_SERVICE);
    return TRUE;
}

static VOID NTAPI FifoDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PFIFO fifo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(&fifo->Sent, IO_NO_INCREMENT, FALSE);
}

/* --- Requests ------------------------------------------------------------- */

static NTSTATUS FifoComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* The FIFO is empty, and the printer has taken the byte that left it last. */
static BOOLEAN FifoIsSent(PFIFO Fifo)
{
    return (FifoGetEcr(Fifo) & ECR_EMPTY) &&
           (PortGet(&Fifo->Port, PORT_STATUS) & STATUS_NOT_BUSY);
}

/* What is in the FIFO is on its way; FALSE if that takes too long. */
static BOOLEAN FifoWaitUntilSent(PFIFO Fifo)
{
    LARGE_INTEGER interval;
    ULONG look;

    interval.QuadPart = -10000LL * FIFO_LOOK_MS;
    for (look = 0; look < FIFO_LOOKS; look++) {
        if (FifoIsSent(Fifo))
            return TRUE;
        KeDelayExecutionThread(KernelMode, FALSE, &interval);
        interval.QuadPart *= 2;
    }
    return FifoIsSent(Fifo);
}

/* Sends all bytes. The caller has the port and has set the mode. */
static NTSTATUS FifoSend(PFIFO Fifo, PUCHAR Bytes, ULONG Length)
{
    PKINTERRUPT interrupt = Fifo->Interrupt.InterruptObject;
    LARGE_INTEGER interval;
    NTSTATUS status;

    KeClearEvent(&Fifo->Sent);
    Fifo->Bytes = Bytes; /* Active is FALSE: the ISR does not look */
    Fifo->Left = Length;
    KeSynchronizeExecution(interrupt, FifoSynchStart, Fifo);

    interval.QuadPart = -10000LL * FIFO_PATIENCE_MS;
    status = KeWaitForSingleObject(&Fifo->Sent, Executive, KernelMode, FALSE, &interval);
    if (status != STATUS_SUCCESS || !FifoWaitUntilSent(Fifo))
        status = STATUS_IO_TIMEOUT;
    KeSynchronizeExecution(interrupt, FifoSynchStop, Fifo);
    return status;
}

static NTSTATUS FifoPrint(PFIFO Fifo, PUCHAR Bytes, ULONG Length)
{
    PPORT port = &Fifo->Port;
    NTSTATUS status;

    status = PortAsk(port, IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, NULL, 0, 0);
    if (!NT_SUCCESS(status))
        return status;
    status = Fifo->Pnp.TrySetChipMode(Fifo->Pnp.Context, ECR_ECP);
    if (NT_SUCCESS(status)) {
        status = FifoSend(Fifo, Bytes, Length);
        Fifo->Pnp.ClearChipMode(Fifo->Pnp.Context, ECR_ECP);
    }
    port->Information.FreePort(port->Information.Context);
    return status;
}

static NTSTATUS NTAPI FifoWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFIFO fifo = DeviceObject->DeviceExtension;
    ULONG length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length;
    NTSTATUS status;

    if (length == 0)
        return FifoComplete(Irp, STATUS_SUCCESS, 0);
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&fifo->Turn);
    status = FifoPrint(fifo, Irp->AssociatedIrp.SystemBuffer, length);
    ExReleaseFastMutexUnsafe(&fifo->Turn);
    KeLeaveCriticalRegion();
    return FifoComplete(Irp, status, NT_SUCCESS(status) ? length : 0);
}

static NTSTATUS NTAPI FifoCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return FifoComplete(Irp, STATUS_SUCCESS, 0);
}

/* --- The port ------------------------------------------------------------- */

static VOID PAGED FifoService(PFIFO Fifo, PORT_CONNECTION *Connection)
{
    RtlZeroMemory(Connection, sizeof(*Connection));
    Connection->Service.InterruptServiceRoutine = FifoIsr;
    Connection->Service.InterruptServiceContext = Fifo;
}

static NTSTATUS PAGED FifoConnect(PFIFO Fifo)
{
    PORT_CONNECTION connection;
    NTSTATUS status;

    status = PortAsk(&Fifo->Port, IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, &Fifo->Pnp, 0,
                     sizeof(Fifo->Pnp));
    if (!NT_SUCCESS(status))
        return status;
    if (!(Fifo->Pnp.HardwareCapabilities & PPT_ECP_PRESENT))
        return STATUS_NOT_SUPPORTED;
    FifoService(Fifo, &connection);
    status = PortAsk(&Fifo->Port, IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT, &connection,
                     sizeof(connection.Service), sizeof(connection.Information));
    if (NT_SUCCESS(status))
        Fifo->Interrupt = connection.Information;
    return status;
}

static VOID PAGED FifoDisconnect(PFIFO Fifo)
{
    PORT_CONNECTION connection;

    FifoService(Fifo, &connection);
    PortAsk(&Fifo->Port, IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT, &connection,
            sizeof(connection.Service), 0);
    KeRemoveQueueDpc(&Fifo->Dpc);
    KeFlushQueuedDpcs(); /* it may be running */
}

static VOID NTAPI PAGED FifoUnload(PDRIVER_OBJECT DriverObject)
{
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\PortFifo");
    PFIFO fifo = DriverObject->DeviceObject->DeviceExtension;

    IoDeleteSymbolicLink(&link);
    FifoDisconnect(fifo);
    PortClose(&fifo->Port);
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI INIT DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING port = RTL_CONSTANT_STRING(L"\\Device\\ParallelPort0");
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\PortFifo");
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\PortFifo");
    PDEVICE_OBJECT device;
    NTSTATUS status;
    PFIFO fifo;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = FifoCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = FifoCreateClose;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = FifoWrite;
    DriverObject->DriverUnload = FifoUnload;

    status = IoCreateDevice(DriverObject, sizeof(FIFO), &name, FILE_DEVICE_UNKNOWN,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    device->Flags |= DO_BUFFERED_IO;
    fifo = device->DeviceExtension;
    KeInitializeDpc(&fifo->Dpc, FifoDpc, fifo);
    KeInitializeEvent(&fifo->Sent, NotificationEvent, FALSE);
    ExInitializeFastMutex(&fifo->Turn);

    status = PortOpen(&fifo->Port, &port);
    if (!NT_SUCCESS(status))
        goto Delete;
    status = FifoConnect(fifo);
    if (!NT_SUCCESS(status))
        goto Close;
    status = IoCreateSymbolicLink(&link, &name);
    if (NT_SUCCESS(status))
        return status;

    FifoDisconnect(fifo);
Close:
    PortClose(&fifo->Port);
Delete:
    IoDeleteDevice(device);
    return status;
}
