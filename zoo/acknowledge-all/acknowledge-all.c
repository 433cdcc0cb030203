/*
 * An ISR that acknowledges more than it has seen.
 *
 * A cause that comes between the look and the acknowledgement is lost, and so is its request.
 */
#include <ddk/wdm.h>
#include "../wait.h"

struct _ZOO_STATE {
    ZOO_WAIT Waits[2];
    LONG Seen;
    KDPC Dpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    LONG seen;
    ULONG i;
    PIRP irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    /* Without the interrupt's lock: it may be disconnected meanwhile. */
    seen = InterlockedExchange(&zoo->State.Seen, 0);
    for (i = 0; i < 2; i++) {
        if (!(seen & (1 << i)))
            continue;
        irp = ZooWaitTake(&zoo->State.Waits[i]);
        if (irp != NULL)
            ZooEnd(irp, STATUS_SUCCESS, sizeof(ULONG));
    }
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooGet(zoo, EDU_IRQ_STATUS);

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
#ifdef FIXED
    ZooSet(zoo, EDU_IRQ_ACK, causes);
#else
    ZooSet(zoo, EDU_IRQ_ACK, 0xFFFFFFFF);
#endif
    InterlockedOr(&zoo->State.Seen, (LONG)causes);
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    ZooWaitInitialize(&Zoo->State.Waits[0]);
    ZooWaitInitialize(&Zoo->State.Waits[1]);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static VOID ZooGone(PZOO Zoo)
{
    PIRP irp;
    ULONG i;

    KeFlushQueuedDpcs();
    for (i = 0; i < 2; i++) {
        irp = ZooWaitTake(&Zoo->State.Waits[i]);
        if (irp != NULL)
            ZooEnd(irp, STATUS_DEVICE_NOT_CONNECTED, 0);
    }
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

    if (Value != 1 && Value != 2)
        return STATUS_INVALID_PARAMETER;
    status = ZooWaitFor(&Zoo->State.Waits[Value - 1], Irp);
    if (status == STATUS_PENDING)
        ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return status;
}
