/*
 * A work item that runs when its memory is freed, because it says early that it is done.
 *
 * The work item's routine sets the event for which removal waits when it begins.
 */
#include <ddk/wdm.h>

typedef struct _ZOO_WORK {
    KDPC Dpc;
    KEVENT Idle;
    KSPIN_LOCK Lock;
    LONG Interrupts; /* that the worker has not seen */
    PIO_WORKITEM Item;
    ULONG Count;
} ZOO_WORK, *PZOO_WORK;

struct _ZOO_STATE {
    PZOO_WORK Work;
};
#include "../zoo.h"

static VOID NTAPI ZooWorker(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PZOO_WORK work = Context;
    LONG left;
#ifdef FIXED
    KIRQL irql;
#endif

    UNREFERENCED_PARAMETER(DeviceObject);
#ifndef FIXED
    KeSetEvent(&work->Idle, IO_NO_INCREMENT, FALSE);
#endif
    do {
        KeQueryPerformanceCounter(NULL); /* takes a while */
        work->Count++;
#ifdef FIXED
        KeAcquireSpinLock(&work->Lock, &irql);
        left = InterlockedDecrement(&work->Interrupts);
        if (left == 0)
            KeSetEvent(&work->Idle, IO_NO_INCREMENT, FALSE);
        KeReleaseSpinLock(&work->Lock, irql);
#else
        left = InterlockedDecrement(&work->Interrupts);
#endif
    } while (left != 0);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO_WORK work = CONTAINING_RECORD(Dpc, ZOO_WORK, Dpc);

    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&work->Lock);
    if (InterlockedIncrement(&work->Interrupts) == 1) {
        KeClearEvent(&work->Idle);
        IoQueueWorkItem(work->Item, ZooWorker, DelayedWorkQueue, work);
    }
    KeReleaseSpinLockFromDpcLevel(&work->Lock);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    KeInsertQueueDpc(&zoo->State.Work->Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    Zoo->State.Work = ExAllocatePoolWithTag(NonPagedPool, sizeof(ZOO_WORK), ZOO_TAG);
    if (Zoo->State.Work == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Zoo->State.Work, sizeof(ZOO_WORK));
    KeInitializeSpinLock(&Zoo->State.Work->Lock);
    KeInitializeDpc(&Zoo->State.Work->Dpc, ZooDpc, Zoo);
    KeInitializeEvent(&Zoo->State.Work->Idle, NotificationEvent, TRUE);
    Zoo->State.Work->Item = IoAllocateWorkItem(Zoo->Self);
    if (Zoo->State.Work->Item == NULL) {
        ExFreePoolWithTag(Zoo->State.Work, ZOO_TAG);
        Zoo->State.Work = NULL;
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return STATUS_SUCCESS;
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
    PZOO_WORK work = Zoo->State.Work;
    KIRQL irql;

    if (work == NULL)
        return;
    KeFlushQueuedDpcs();
    KeWaitForSingleObject(&work->Idle, Executive, KernelMode, FALSE, NULL);
    /* Who has set the event holds the lock. */
    KeAcquireSpinLock(&work->Lock, &irql);
    KeReleaseSpinLock(&work->Lock, irql);
    IoFreeWorkItem(work->Item);
    ExFreePoolWithTag(work, ZOO_TAG);
    Zoo->State.Work = NULL;
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
