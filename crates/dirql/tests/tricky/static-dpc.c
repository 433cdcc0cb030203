/* A DPC in the image's data, initialised at each start and flushed at each stop. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    LONG Count;
};

#include "../../../../zoo/zoo.h"

static KDPC OnlyDpc;

static VOID NTAPI Count(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    InterlockedIncrement(&zoo->State.Count);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(Context) == 0)
        return FALSE;
    KeInsertQueueDpc(&OnlyDpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeDpc(&OnlyDpc, Count, Zoo);
    Zoo->State.Count = 0;
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
    KeRemoveQueueDpc(&OnlyDpc);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = InterlockedExchangeAdd(&Zoo->State.Count, 0) > 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
