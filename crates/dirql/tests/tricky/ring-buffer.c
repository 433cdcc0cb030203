/* The ISR hands causes over through a ring that only it writes and only the DPC reads, without a lock. */
#define SLOTS 8

#include <ddk/wdm.h>

struct _ZOO_STATE {
    KDPC Dpc;
    ULONG Ring[SLOTS];
    LONG Head; /* the ISR's: how many were put in */
    LONG Tail; /* the DPC's: how many were taken out */
    LONG Sum;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI Drain(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;
    LONG tail = zoo->State.Tail;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    while (tail != InterlockedCompareExchange(&zoo->State.Head, 0, 0)) {
        InterlockedExchangeAdd(&zoo->State.Sum, (LONG)zoo->State.Ring[tail % SLOTS]);
        InterlockedExchange(&zoo->State.Tail, ++tail);
    }
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooAcknowledge(zoo);
    LONG head = zoo->State.Head;

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
    if (head - InterlockedCompareExchange(&zoo->State.Tail, 0, 0) < SLOTS) {
        zoo->State.Ring[head % SLOTS] = causes;
        InterlockedExchange(&zoo->State.Head, head + 1);
    }
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    /* One processor for the DPC, so that it never runs twice at once. */
    KeInitializeDpc(&Zoo->State.Dpc, Drain, Zoo);
    KeSetTargetProcessorDpc(&Zoo->State.Dpc, 0);
    Zoo->State.Head = Zoo->State.Tail = Zoo->State.Sum = 0;
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
    KeRemoveQueueDpc(&Zoo->State.Dpc);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = (ULONG)InterlockedExchangeAdd(&Zoo->State.Sum, 0);
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
