/* The DPC sets an event that lies on the stack of the request that waits for it. Whoever takes its
 * address, the DPC or the request whose time is over, has it alone. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PVOID Waiter;
    KDPC Dpc;
    LONG Done;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;
    PKEVENT waiter;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    waiter = InterlockedExchangePointer(&zoo->State.Waiter, NULL);
    if (waiter != NULL)
        KeSetEvent(waiter, IO_NO_INCREMENT, FALSE);
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
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    Zoo->State.Waiter = NULL;
    Zoo->State.Done = 0;
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
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Done != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    LARGE_INTEGER due;
    KEVENT event;

    UNREFERENCED_PARAMETER(Irp);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    if (InterlockedCompareExchangePointer(&Zoo->State.Waiter, &event, NULL) != NULL)
        return STATUS_DEVICE_BUSY;
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    due.QuadPart = -10 * 1000 * 1000; /* 1 s */
    if (KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &due) == STATUS_TIMEOUT) {
        if (InterlockedCompareExchangePointer(&Zoo->State.Waiter, NULL, &event) == &event)
            return STATUS_IO_TIMEOUT;
        KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL); /* the DPC has it */
    }
    InterlockedIncrement(&Zoo->State.Done);
    return STATUS_SUCCESS;
}
