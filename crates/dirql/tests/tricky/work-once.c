/*
 * One work item for many interrupts: the DPC queues it unless it is queued, and it says that it is not before it
 * looks for work. Queued items are counted, with one for the driver, and stop waits for the last.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PIO_WORKITEM Item;
    KDPC Dpc;
    volatile LONG Queued;
    volatile LONG Pending; /* causes that nobody has looked at */
    volatile LONG Outstanding;
    KEVENT Last;
    LONG Done;
};

#include "../../../../zoo/zoo.h"

static VOID Leave(PZOO Zoo)
{
    if (InterlockedDecrement(&Zoo->State.Outstanding) == 0)
        KeSetEvent(&Zoo->State.Last, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI Work(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    InterlockedExchange(&zoo->State.Queued, 0);
    if (InterlockedExchange(&zoo->State.Pending, 0) != 0)
        InterlockedIncrement(&zoo->State.Done);
    Leave(zoo);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    if (InterlockedExchange(&zoo->State.Queued, 1) != 0)
        return;
    InterlockedIncrement(&zoo->State.Outstanding);
    IoQueueWorkItem(zoo->State.Item, Work, DelayedWorkQueue, zoo);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooAcknowledge(zoo);

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
    InterlockedOr(&zoo->State.Pending, (LONG)causes);
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    KeInitializeEvent(&Zoo->State.Last, NotificationEvent, FALSE);
    Zoo->State.Outstanding = 1;
    Zoo->State.Item = IoAllocateWorkItem(Zoo->Self);
    return Zoo->State.Item == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
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
    if (Zoo->State.Item == NULL)
        return;
    KeFlushQueuedDpcs();
    Leave(Zoo);
    KeWaitForSingleObject(&Zoo->State.Last, Executive, KernelMode, FALSE, NULL);
    IoFreeWorkItem(Zoo->State.Item);
    Zoo->State.Item = NULL;
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
