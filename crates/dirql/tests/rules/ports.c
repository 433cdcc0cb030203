/* Clients of the parallel port. */
#include "pairs.h"
#include <parallel.h>

/* Not in mingw-w64's parallel.h. */
typedef struct _PARALLEL_INTERRUPT_INFORMATION {
    PKINTERRUPT InterruptObject;
    PPARALLEL_TRY_ALLOCATE_ROUTINE TryAllocatePortAtInterruptLevel;
    PPARALLEL_FREE_ROUTINE FreePortFromInterruptLevel;
    PVOID Context;
} PARALLEL_INTERRUPT_INFORMATION;

/* The function driver uses one buffer for both. */
static union {
    PARALLEL_INTERRUPT_SERVICE_ROUTINE Service;
    PARALLEL_INTERRUPT_INFORMATION Information;
} Connection;

static PFILE_OBJECT PortFile;
static PDEVICE_OBJECT Port;
static PARALLEL_PORT_INFORMATION Information;

static NTSTATUS Ask(ULONG Code, PVOID Buffer, ULONG Input, ULONG Output)
{
    IO_STATUS_BLOCK block;
    NTSTATUS status;
    PIRP irp;

    KeClearEvent(&Event);
    irp = IoBuildDeviceIoControlRequest(Code, Port, Buffer, Input, Buffer, Output, TRUE, &Event, &block);
    if (irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = IoCallDriver(Port, irp);
    if (status == STATUS_PENDING) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        status = block.Status;
    }
    return status;
}

static BOOLEAN Open(VOID)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\ParallelPort0");

    if (!NT_SUCCESS(IoGetDeviceObjectPointer(&name, FILE_READ_DATA | FILE_WRITE_DATA, &PortFile, &Port)))
        return FALSE;
    return NT_SUCCESS(Ask(IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, &Information, 0, sizeof(Information)));
}

static VOID Close(VOID)
{
    ObDereferenceObject(PortFile);
}

static BOOLEAN NTAPI Isr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Context);
    return FALSE;
}

static VOID NTAPI Check(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
}

static VOID Connect(PKSERVICE_ROUTINE Routine)
{
    RtlZeroMemory(&Connection, sizeof(Connection));
    Connection.Service.InterruptServiceRoutine = Routine;
    Connection.Service.DeferredPortCheckRoutine = Check;
    Ask(IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT, &Connection, sizeof(Connection.Service),
        sizeof(Connection.Information));
}

static VOID Disconnect(VOID)
{
    RtlZeroMemory(&Connection, sizeof(Connection));
    Connection.Service.InterruptServiceRoutine = Isr;
    Connection.Service.DeferredPortCheckRoutine = Check;
    Ask(IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT, &Connection, sizeof(Connection.Service), 0);
    Close();
}

static BOOLEAN Allocate(VOID)
{
    return Information.TryAllocatePort(Information.Context);
}

static VOID Free(VOID)
{
    Information.FreePort(Information.Context);
}

static VOID FreeAndClose(VOID)
{
    Free();
    Close();
}

static VOID BreakLevel(VOID)
{
    if (!Open())
        return;
    OnUnload = Disconnect;
    Connect(Isr);
    if (Connection.Information.TryAllocatePortAtInterruptLevel(Connection.Information.Context))
        Free();
}

static VOID KeepLevel(VOID)
{
    if (!Open())
        return;
    OnUnload = Disconnect;
    Connect(Isr);
    if (Allocate())
        Free();
}

static VOID BreakFree(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    if (Allocate())
        Free();
    Free();
}

static VOID KeepFree(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    if (Allocate())
        Free();
}

static VOID BreakConnected(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    Connect(Isr);
}

static VOID BreakAllocated(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    Allocate();
}

static VOID KeepAllocated(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    if (Allocate())
        OnUnload = FreeAndClose;
}

static VOID BreakConnectLevel(VOID)
{
    KIRQL irql;

    if (!Open())
        return;
    OnUnload = Disconnect;
    KeRaiseIrql(APC_LEVEL, &irql);
    Connect(Isr);
    KeLowerIrql(irql);
}

static VOID Select(VOID)
{
    PARALLEL_1284_COMMAND command;

    RtlZeroMemory(&command, sizeof(command));
    command.ID = 4; /* the end of the chain */
    command.CommandFlags = PAR_END_OF_CHAIN_DEVICE | PAR_HAVE_PORT_KEEP_PORT;
    Ask(IOCTL_INTERNAL_SELECT_DEVICE, &command, sizeof(command), 0);
}

static VOID BreakSelect(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    Select();
}

static VOID KeepSelect(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    if (Allocate()) {
        Select();
        Free();
    }
}

static VOID BreakWithoutIsr(VOID)
{
    if (!Open())
        return;
    OnUnload = Disconnect;
    Connect(NULL);
    /* Another client's turn is over. */
    if (Allocate())
        Free();
}

static VOID BreakContext(VOID)
{
    if (!Open())
        return;
    OnUnload = Close;
    Information.TryAllocatePort(&Information);
}

static const PAIR Pairs[] = {
    {4700, BreakLevel, KeepLevel},
    {4710, BreakFree, KeepFree},
    {4720, BreakConnected, KeepLevel},
    {4730, BreakAllocated, KeepAllocated},
    {4740, BreakConnectLevel, KeepLevel},
    {4750, BreakSelect, KeepSelect},
    {4760, BreakWithoutIsr, KeepLevel},
    {4770, BreakContext, KeepFree},
    {0, NULL, NULL},
};
