/* The DPC takes all that is on a list at once under the lock, and works on it without. */
#include <ddk/wdm.h>

typedef struct _NOTE {
    LIST_ENTRY Entry;
    ULONG Value;
} NOTE, *PNOTE;

struct _ZOO_STATE {
    KSPIN_LOCK Lock;
    LIST_ENTRY List;
    KDPC Dpc;
    LONG Sum;
};

#include "../../../../zoo/zoo.h"

/* Takes what is on the list, adds it up, and frees it. */
static VOID TakeAll(PZOO Zoo)
{
    LIST_ENTRY taken;
    PNOTE note;
    KIRQL irql;

    InitializeListHead(&taken);
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    if (!IsListEmpty(&Zoo->State.List)) {
        taken = Zoo->State.List;
        taken.Flink->Blink = &taken;
        taken.Blink->Flink = &taken;
        InitializeListHead(&Zoo->State.List);
    }
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
    while (!IsListEmpty(&taken)) {
        note = CONTAINING_RECORD(RemoveHeadList(&taken), NOTE, Entry);
        InterlockedExchangeAdd(&Zoo->State.Sum, (LONG)note->Value);
        ExFreePoolWithTag(note, ZOO_TAG);
    }
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    TakeAll(zoo);
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
    KeInitializeSpinLock(&Zoo->State.Lock);
    InitializeListHead(&Zoo->State.List);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    Zoo->State.Sum = 0;
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
    KeFlushQueuedDpcs();
    TakeAll(Zoo);
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Sum != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    PNOTE note = ExAllocatePoolWithTag(NonPagedPool, sizeof(NOTE), ZOO_TAG);
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    if (note == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    note->Value = Value;
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    InsertTailList(&Zoo->State.List, &note->Entry);
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
