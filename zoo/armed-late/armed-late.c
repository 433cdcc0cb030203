/*
 * A flag for the ISR that is set after the device was started.
 *
 * The device is done before; the ISR sees no request, and the request never ends.
 */
#include <ddk/wdm.h>
#include "../wait.h"

struct _ZOO_STATE {
    ZOO_WAIT Wait;
    BOOLEAN Armed;
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
    if (zoo->State.Armed) {
        zoo->State.Armed = FALSE;
        KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    }
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    ZooWaitInitialize(&Zoo->State.Wait);
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
    NTSTATUS status = ZooWaitFor(&Zoo->State.Wait, Irp);

    if (status != STATUS_PENDING)
        return status;
#ifdef FIXED
    Zoo->State.Armed = TRUE;
    ZooSet(Zoo, EDU_FACTORIAL, Value);
#else
    ZooSet(Zoo, EDU_FACTORIAL, Value);
    Zoo->State.Armed = TRUE;
#endif
    return STATUS_PENDING;
}
