/* A DPC that queues itself until its work is done, or until it is told to stop. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KDPC Dpc;
    LONG Left;
    LONG Stopped;
    LONG Rounds;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI Round(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    InterlockedIncrement(&zoo->State.Rounds);
    if (InterlockedDecrement(&zoo->State.Left) > 0 &&
        InterlockedCompareExchange(&zoo->State.Stopped, 0, 0) == 0)
        KeInsertQueueDpc(Dpc, NULL, NULL);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    InterlockedExchange(&zoo->State.Left, 3);
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeDpc(&Zoo->State.Dpc, Round, Zoo);
    Zoo->State.Left = 0;
    Zoo->State.Stopped = 0;
    Zoo->State.Rounds = 0;
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    InterlockedExchange(&Zoo->State.Stopped, 1);
}

static VOID ZooGone(PZOO Zoo)
{
    /* One that looked before it was told may have queued itself once more. */
    KeFlushQueuedDpcs();
    KeRemoveQueueDpc(&Zoo->State.Dpc);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = InterlockedExchangeAdd(&Zoo->State.Rounds, 0) >= 3;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
