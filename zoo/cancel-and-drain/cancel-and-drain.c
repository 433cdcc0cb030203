/*
 * A DPC that takes requests off a queue until the queue is empty.
 *
 * A request that is being cancelled stays on the queue until its cancel routine takes it off, and
 * IoCsqRemoveNextIrp passes it over. If the DPC has interrupted the cancel routine, it looks at the
 * queue for ever. The queue is done when IoCsqRemoveNextIrp has nothing more to give.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    IO_CSQ Csq;
    LIST_ENTRY Requests;
    KSPIN_LOCK Lock; /* of the queue */
    KDPC Dpc;
};
#include "../zoo.h"

static PZOO ZooOf(PIO_CSQ Csq)
{
    return CONTAINING_RECORD(Csq, ZOO, State.Csq);
}

static VOID NTAPI ZooInsert(PIO_CSQ Csq, PIRP Irp)
{
    InsertTailList(&ZooOf(Csq)->State.Requests, &Irp->Tail.Overlay.ListEntry);
}

static VOID NTAPI ZooRemove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI ZooPeek(PIO_CSQ Csq, PIRP Irp, PVOID Context)
{
    PLIST_ENTRY requests = &ZooOf(Csq)->State.Requests;
    PLIST_ENTRY next = Irp == NULL ? requests->Flink : Irp->Tail.Overlay.ListEntry.Flink;

    UNREFERENCED_PARAMETER(Context);
    return next == requests ? NULL : CONTAINING_RECORD(next, IRP, Tail.Overlay.ListEntry);
}

static VOID NTAPI ZooLock(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&ZooOf(Csq)->State.Lock, Irql);
}

static VOID NTAPI ZooUnlock(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&ZooOf(Csq)->State.Lock, Irql);
}

static VOID NTAPI ZooCancelled(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    ZooEnd(Irp, STATUS_CANCELLED, 0);
}

static VOID ZooDrain(PZOO Zoo, NTSTATUS Status)
{
    PIRP irp;

#ifdef FIXED
    while ((irp = IoCsqRemoveNextIrp(&Zoo->State.Csq, NULL)) != NULL) {
#else
    while (!IsListEmpty(&Zoo->State.Requests)) {
        irp = IoCsqRemoveNextIrp(&Zoo->State.Csq, NULL);
        if (irp == NULL)
            continue;
#endif
        if (NT_SUCCESS(Status))
            *(PULONG)irp->AssociatedIrp.SystemBuffer = 1;
        ZooEnd(irp, Status, NT_SUCCESS(Status) ? sizeof(ULONG) : 0);
    }
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    ZooDrain(Context, STATUS_SUCCESS);
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
    InitializeListHead(&Zoo->State.Requests);
    KeInitializeSpinLock(&Zoo->State.Lock);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    return IoCsqInitialize(&Zoo->State.Csq, ZooInsert, ZooRemove, ZooPeek, ZooLock, ZooUnlock,
                           ZooCancelled);
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
    PIRP irp;

    KeFlushQueuedDpcs();
    while ((irp = IoCsqRemoveNextIrp(&Zoo->State.Csq, NULL)) != NULL)
        ZooEnd(irp, STATUS_DEVICE_NOT_CONNECTED, 0);
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Value);
    /* This marks the request pending. */
    IoCsqInsertIrp(&Zoo->State.Csq, Irp, NULL);
    return STATUS_PENDING;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_SUCCESS;
}
