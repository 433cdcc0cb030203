/*
 * An index that is read from the device, which is all ones once that was pulled out.
 *
 * The device says in which slot of a ring it has something; the DPC counts it there.
 */
#include <ddk/wdm.h>

#define SLOTS 16

typedef struct _ZOO_RING {
    LONG Counts[SLOTS];
} ZOO_RING, *PZOO_RING;

struct _ZOO_STATE {
    KDPC Dpc;
    PZOO_RING Ring;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    UCHAR index = (UCHAR)ZooGet(zoo, EDU_LIVENESS);

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    if (index >= SLOTS)
        return;
#endif
    InterlockedIncrement(&zoo->State.Ring->Counts[index]);
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
    Zoo->State.Ring = ExAllocatePoolWithTag(NonPagedPool, sizeof(ZOO_RING), ZOO_TAG);
    if (Zoo->State.Ring == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Zoo->State.Ring, sizeof(ZOO_RING));
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    ZooSet(Zoo, EDU_LIVENESS, ~0u);
}

static VOID ZooQuiet(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooGone(PZOO Zoo)
{
    if (Zoo->State.Ring == NULL)
        return;
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(Zoo->State.Ring, ZOO_TAG);
    Zoo->State.Ring = NULL;
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Ring->Counts[0];
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_LIVENESS, ~(Value % SLOTS)); /* reads as the complement */
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_SUCCESS;
}
