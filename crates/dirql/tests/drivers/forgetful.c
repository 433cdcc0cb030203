/* A driver whose cancel routine ends a request and leaves it where the DPC finds it. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KDPC Dpc;
    KSPIN_LOCK Lock;
    PIRP Irp;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI Cancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    ZooEnd(Irp, STATUS_CANCELLED, 0);
}

static VOID EndWhatWaits(PZOO Zoo, NTSTATUS Status)
{
    PIRP irp;
    KIRQL irql;

    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    irp = Zoo->State.Irp;
    if (irp != NULL && IoSetCancelRoutine(irp, NULL) == NULL)
        irp = NULL;
    if (irp != NULL)
        Zoo->State.Irp = NULL;
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
    if (irp != NULL)
        ZooEnd(irp, Status, sizeof(ULONG));
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    EndWhatWaits(Context, STATUS_SUCCESS);
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
    KeInitializeSpinLock(&Zoo->State.Lock);
    Zoo->State.Irp = NULL;
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
    EndWhatWaits(Zoo, STATUS_DEVICE_NOT_READY);
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Zoo);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    return STATUS_INVALID_DEVICE_REQUEST;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    NTSTATUS status = STATUS_PENDING;
    KIRQL irql;

    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    IoSetCancelRoutine(Irp, Cancel);
    if (Zoo->State.Irp != NULL || Irp->Cancel) {
        /* If somebody is cancelling it, the cancel routine ends it. */
        if (IoSetCancelRoutine(Irp, NULL) != NULL)
            status = Irp->Cancel ? STATUS_CANCELLED : STATUS_DEVICE_BUSY;
        else
            IoMarkIrpPending(Irp);
    } else {
        IoMarkIrpPending(Irp);
        Zoo->State.Irp = Irp;
    }
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
    if (status == STATUS_PENDING)
        ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return status;
}
