/*
 * Interlocked lists with a sequence number (SLIST): the ISR takes an entry from those that are free, says in it what
 * it saw, and puts it on those that are done, which the DPC takes all at once. The entries come from a
 * lookaside list.
 */
#include <ddk/wdm.h>

#define ENTRIES 4

typedef struct DECLSPEC_ALIGN(16) _RECORD {
    SLIST_ENTRY Link; /* the first, which is aligned */
    ULONG Causes;
} RECORD;

struct _ZOO_STATE {
    SLIST_HEADER Free;
    SLIST_HEADER Done;
    NPAGED_LOOKASIDE_LIST Records;
    BOOLEAN Prepared;
    KDPC Dpc;
    LONG Seen;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;
    PSLIST_ENTRY next;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    next = ExpInterlockedFlushSList(&zoo->State.Done);
    while (next != NULL) {
        RECORD *record = CONTAINING_RECORD(next, RECORD, Link);

        next = next->Next;
        if (record->Causes != 0)
            InterlockedIncrement(&zoo->State.Seen);
        ExpInterlockedPushEntrySList(&zoo->State.Free, &record->Link);
    }
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooAcknowledge(zoo);
    PSLIST_ENTRY entry;

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
    entry = ExpInterlockedPopEntrySList(&zoo->State.Free);
    if (entry != NULL) {
        CONTAINING_RECORD(entry, RECORD, Link)->Causes = causes;
        ExpInterlockedPushEntrySList(&zoo->State.Done, entry);
        KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    }
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    ULONG i;

    ExInitializeSListHead(&Zoo->State.Free);
    ExInitializeSListHead(&Zoo->State.Done);
    ExInitializeNPagedLookasideList(&Zoo->State.Records, NULL, NULL, 0, sizeof(RECORD), ZOO_TAG, 0);
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    Zoo->State.Seen = 0;
    Zoo->State.Prepared = TRUE;
    for (i = 0; i < ENTRIES; i++) {
        RECORD *record = ExAllocateFromNPagedLookasideList(&Zoo->State.Records);

        if (record == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
        ExpInterlockedPushEntrySList(&Zoo->State.Free, &record->Link);
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

static VOID Give(PZOO Zoo, PSLIST_HEADER Head)
{
    PSLIST_ENTRY entry;

    while ((entry = ExpInterlockedPopEntrySList(Head)) != NULL)
        ExFreeToNPagedLookasideList(&Zoo->State.Records, CONTAINING_RECORD(entry, RECORD, Link));
}

static VOID ZooGone(PZOO Zoo)
{
    if (!Zoo->State.Prepared)
        return;
    KeFlushQueuedDpcs();
    Give(Zoo, &Zoo->State.Free);
    Give(Zoo, &Zoo->State.Done);
    ExDeleteNPagedLookasideList(&Zoo->State.Records);
    Zoo->State.Prepared = FALSE;
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Seen != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
