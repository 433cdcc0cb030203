/* Requests push blocks on an SLIST, the DPC pops and frees them: no lock anywhere. */
#include <ddk/wdm.h>

typedef struct _NOTE {
    SLIST_ENTRY Entry;
    ULONG Value;
} NOTE, *PNOTE;

struct _ZOO_STATE {
    SLIST_HEADER List;
    KDPC Dpc;
    LONG Sum;
};

#include "../../../../zoo/zoo.h"

static VOID TakeAll(PZOO Zoo)
{
    PSLIST_ENTRY entry;
    PNOTE note;

    while ((entry = InterlockedPopEntrySList(&Zoo->State.List)) != NULL) {
        note = CONTAINING_RECORD(entry, NOTE, Entry);
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
    ExInitializeSListHead(&Zoo->State.List);
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

    UNREFERENCED_PARAMETER(Irp);
    if (note == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    note->Value = Value;
    InterlockedPushEntrySList(&Zoo->State.List, &note->Entry);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
