/*
 * A thread of the driver's own, which the DPC wakes. It is told to stop by a flag and an event, says by another flag
 * that it has seen it, and is waited for by its object.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PVOID Thread;
    KEVENT Wake;
    KDPC Dpc;
    volatile BOOLEAN Stop;
    volatile BOOLEAN Stopped;
    volatile LONG Wanted;
    volatile LONG Done;
};

#include "../../../../zoo/zoo.h"

NTSYSAPI NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout);

static VOID NTAPI Worker(PVOID Context)
{
    PZOO zoo = Context;

    while (!zoo->State.Stop) {
        KeWaitForSingleObject(&zoo->State.Wake, Executive, KernelMode, FALSE, NULL);
        if (InterlockedExchange(&zoo->State.Wanted, 0) != 0)
            InterlockedIncrement(&zoo->State.Done);
    }
    zoo->State.Stopped = TRUE;
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    InterlockedExchange(&zoo->State.Wanted, 1);
    KeSetEvent(&zoo->State.Wake, IO_NO_INCREMENT, FALSE);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    HANDLE handle;
    NTSTATUS status;

    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    KeInitializeEvent(&Zoo->State.Wake, SynchronizationEvent, FALSE);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    status = PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, Zoo);
    if (!NT_SUCCESS(status))
        return status;
    status = ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Zoo->State.Thread, NULL);
    if (!NT_SUCCESS(status)) {
        /* The handle is as good for waiting. */
        Zoo->State.Stop = TRUE;
        KeSetEvent(&Zoo->State.Wake, IO_NO_INCREMENT, FALSE);
        ZwWaitForSingleObject(handle, FALSE, NULL);
    }
    ZwClose(handle);
    return status;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooGone(PZOO Zoo)
{
    if (Zoo->State.Thread == NULL)
        return;
    KeFlushQueuedDpcs();
    Zoo->State.Stop = TRUE;
    KeSetEvent(&Zoo->State.Wake, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Zoo->State.Thread, Executive, KernelMode, FALSE, NULL);
    ASSERT(Zoo->State.Stopped);
    ObDereferenceObject(Zoo->State.Thread);
    Zoo->State.Thread = NULL;
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Done != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
