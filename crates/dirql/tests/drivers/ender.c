/* A DPC that ends a request without looking whether its cancel routine is running already. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KSPIN_LOCK Lock;
    PIRP Irp;
    KDPC Dpc;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI Cancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO zoo = DeviceObject->DeviceExtension;
    KIRQL irql;

    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&zoo->State.Lock, &irql);
    if (zoo->State.Irp == Irp)
        zoo->State.Irp = NULL;
    KeReleaseSpinLock(&zoo->State.Lock, irql);
    ZooEnd(Irp, STATUS_CANCELLED, 0);
}

static PIRP Take(PZOO Zoo)
{
    PIRP irp;
    KIRQL irql;

    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    irp = Zoo->State.Irp;
    Zoo->State.Irp = NULL;
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
    if (irp != NULL)
        IoSetCancelRoutine(irp, NULL); /* NULL says that Cancel ends it */
    return irp;
}

static VOID NTAPI Deferred(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PIRP irp = Take(Context);

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
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
    KeInitializeSpinLock(&Zoo->State.Lock);
    Zoo->State.Irp = NULL;
    KeInitializeDpc(&Zoo->State.Dpc, Deferred, Zoo);
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
    irp = Take(Zoo);
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
    NTSTATUS status = STATUS_DEVICE_BUSY;
    KIRQL irql;

    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    if (Zoo->State.Irp == NULL) {
        IoSetCancelRoutine(Irp, Cancel);
        if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
            status = STATUS_CANCELLED;
        } else {
            IoMarkIrpPending(Irp);
            Zoo->State.Irp = Irp;
            status = STATUS_PENDING;
        }
    }
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
    if (status == STATUS_PENDING)
        ZooSet(Zoo, EDU_FACTORIAL, Value);
    return status;
}
