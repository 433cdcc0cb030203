/*
 * A thread that uses memory while it is freed, because removal does not wait for it first.
 *
 * A DPC wakes the thread; who frees the memory takes the pointer away, and the thread has it already.
 */
#include <ddk/wdm.h>

typedef struct _ZOO_LOG {
    ULONG Count;
} ZOO_LOG, *PZOO_LOG;

struct _ZOO_STATE {
    KDPC Dpc;
    KEVENT Work;
    PKTHREAD Thread;
    PZOO_LOG Log;
    LONG Stop;
};
#include "../zoo.h"

static VOID NTAPI ZooThread(PVOID Context)
{
    PZOO zoo = Context;
    PZOO_LOG log;

    for (;;) {
        KeWaitForSingleObject(&zoo->State.Work, Executive, KernelMode, FALSE, NULL);
        if (zoo->State.Stop)
            break;
        log = zoo->State.Log;
        if (log != NULL) {
            KeQueryPerformanceCounter(NULL); /* takes a while */
            log->Count++;
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(&zoo->State.Work, IO_NO_INCREMENT, FALSE);
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
    HANDLE thread;
    NTSTATUS status;

    Zoo->State.Thread = NULL;
    Zoo->State.Stop = FALSE;
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    KeInitializeEvent(&Zoo->State.Work, SynchronizationEvent, FALSE);
    Zoo->State.Log = ExAllocatePoolWithTag(NonPagedPool, sizeof(ZOO_LOG), ZOO_TAG);
    if (Zoo->State.Log == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Zoo->State.Log, sizeof(ZOO_LOG));
    status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, ZooThread, Zoo);
    if (!NT_SUCCESS(status))
        return status;
    status = ObReferenceObjectByHandle(thread, THREAD_ALL_ACCESS, NULL, KernelMode,
                                       (PVOID *)&Zoo->State.Thread, NULL);
    ZwClose(thread);
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

static VOID ZooEndThread(PZOO Zoo)
{
    if (Zoo->State.Thread == NULL)
        return;
    Zoo->State.Stop = TRUE;
    KeSetEvent(&Zoo->State.Work, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Zoo->State.Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Zoo->State.Thread);
    Zoo->State.Thread = NULL;
}

static VOID ZooGone(PZOO Zoo)
{
    PZOO_LOG log = Zoo->State.Log;

    KeFlushQueuedDpcs();
#ifdef FIXED
    ZooEndThread(Zoo);
#endif
    Zoo->State.Log = NULL;
    if (log != NULL)
        ExFreePoolWithTag(log, ZOO_TAG);
#ifndef FIXED
    ZooEndThread(Zoo);
#endif
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Zoo);
    UNREFERENCED_PARAMETER(Irp);
    *Value = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
