/* A DPC sets its timer again until it is told to stop. What was set meanwhile is cancelled after the
 * DPCs were flushed, and flushed again. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KTIMER Timer;
    KDPC Dpc;
    LONG Stopped;
    LONG Ticks;
};

#include "../../../../zoo/zoo.h"

static VOID Again(PZOO Zoo)
{
    LARGE_INTEGER due;

    due.QuadPart = -10 * 1000; /* 1 ms */
    KeSetTimer(&Zoo->State.Timer, due, &Zoo->State.Dpc);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    if (InterlockedIncrement(&zoo->State.Ticks) < 3 &&
        InterlockedCompareExchange(&zoo->State.Stopped, 0, 0) == 0)
        Again(zoo);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeTimer(&Zoo->State.Timer);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    Zoo->State.Stopped = 1;
    Zoo->State.Ticks = 0;
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
    InterlockedExchange(&Zoo->State.Stopped, 2);
    KeFlushQueuedDpcs(); /* after this none sets it any more */
    KeCancelTimer(&Zoo->State.Timer);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Ticks != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    if (InterlockedExchange(&Zoo->State.Stopped, 0) == 1)
        Again(Zoo);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
