/*
 * One lock for an ExInterlocked routine in the ISR and for KeAcquireSpinLock elsewhere.
 *
 * The ISR interrupts the processor that holds the lock, and waits for ever.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    LIST_ENTRY List;
    LIST_ENTRY Entry;
    ULONG Queued;
    KSPIN_LOCK Lock;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    if (InterlockedExchange((PLONG)&zoo->State.Queued, TRUE) == FALSE)
        ExInterlockedInsertTailList(&zoo->State.List, &zoo->State.Entry, &zoo->State.Lock);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeSpinLock(&Zoo->State.Lock);
    InitializeListHead(&Zoo->State.List);
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
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
#ifndef FIXED
    KIRQL irql;

    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    if (!IsListEmpty(&Zoo->State.List)) {
        RemoveHeadList(&Zoo->State.List);
        Zoo->State.Queued = FALSE;
    }
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
#else
    if (ExInterlockedRemoveHeadList(&Zoo->State.List, &Zoo->State.Lock) != NULL)
        InterlockedExchange((PLONG)&Zoo->State.Queued, FALSE);
#endif
    UNREFERENCED_PARAMETER(Irp);
    *Value = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_SUCCESS;
}
