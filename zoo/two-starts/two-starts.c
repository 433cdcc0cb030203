/*
 * A slot for the current request that is looked at, and filled a little later.
 *
 * Two requests find it empty; the second takes the place of the first, which never ends.
 */
#include <ddk/wdm.h>
#include "../wait.h"

struct _ZOO_STATE {
    ZOO_WAIT Wait;
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
    irp = ZooWaitTake(&zoo->State.Wait);
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
    ZooWaitInitialize(&Zoo->State.Wait);
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
    PIRP irp;

    KeFlushQueuedDpcs();
    irp = ZooWaitTake(&Zoo->State.Wait);
    if (irp != NULL)
        ZooEnd(irp, STATUS_DEVICE_NOT_CONNECTED, 0);
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
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Value);
#ifdef FIXED
    status = ZooWaitFor(&Zoo->State.Wait, Irp);
#else
    if (Zoo->State.Wait.Irp != NULL || (ZooGet(Zoo, EDU_STATUS) & EDU_STATUS_COMPUTING))
        return STATUS_DEVICE_BUSY;
    status = ZooWaitPut(&Zoo->State.Wait, Irp);
#endif
    if (status == STATUS_PENDING)
        ZooSet(Zoo, EDU_IRQ_RAISE, 1);
    return status;
}
