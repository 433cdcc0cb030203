/*
 * A slot for the current request that is looked at, and filled a little later.
 *
 * Two requests find it empty; the second takes the place of the first, which never ends.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PIRP Irp;
    KDPC Dpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    irp = InterlockedExchangePointer((PVOID *)&zoo->State.Irp, NULL);
    if (irp != NULL)
        ZooEnd(irp, STATUS_SUCCESS, sizeof(ULONG));
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
    ZooSet(Zoo, EDU_STATUS, EDU_STATUS_IRQ);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    ZooSet(Zoo, EDU_STATUS, 0);
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Zoo);
    UNREFERENCED_PARAMETER(Irp);
    *Value = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    IoMarkIrpPending(Irp);
#ifdef FIXED
    if (InterlockedCompareExchangePointer((PVOID *)&Zoo->State.Irp, Irp, NULL) != NULL) {
        ZooEnd(Irp, STATUS_DEVICE_BUSY, 0);
        return STATUS_PENDING;
    }
#else
    if (Zoo->State.Irp != NULL || (ZooGet(Zoo, EDU_STATUS) & EDU_STATUS_COMPUTING)) {
        ZooEnd(Irp, STATUS_DEVICE_BUSY, 0);
        return STATUS_PENDING;
    }
    Zoo->State.Irp = Irp;
#endif
    ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return STATUS_PENDING;
}
