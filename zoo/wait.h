/*
 * A request that waits for the device. It can be cancelled meanwhile, and whoever takes it ends it.
 */
typedef struct _ZOO_WAIT {
    KSPIN_LOCK Lock;
    PIRP Irp;
} ZOO_WAIT, *PZOO_WAIT;

static inline VOID ZooWaitInitialize(PZOO_WAIT Wait)
{
    KeInitializeSpinLock(&Wait->Lock);
    Wait->Irp = NULL;
}

static VOID NTAPI ZooWaitCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PZOO_WAIT wait = Irp->Tail.Overlay.DriverContext[0];
    KIRQL irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&wait->Lock, &irql);
    if (wait->Irp == Irp)
        wait->Irp = NULL;
    KeReleaseSpinLock(&wait->Lock, irql);
    Irp->IoStatus.Status = STATUS_CANCELLED;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

/* Has a request wait, whoever waits already. Under the lock. */
static NTSTATUS ZooWaitPut(PZOO_WAIT Wait, PIRP Irp)
{
    Irp->Tail.Overlay.DriverContext[0] = Wait;
    IoSetCancelRoutine(Irp, ZooWaitCancel);
    if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL)
        return STATUS_CANCELLED;
    IoMarkIrpPending(Irp);
    Wait->Irp = Irp;
    return STATUS_PENDING;
}

/* Has a request wait: STATUS_PENDING, or why not. */
static NTSTATUS ZooWaitFor(PZOO_WAIT Wait, PIRP Irp)
{
    NTSTATUS status = STATUS_DEVICE_BUSY;
    KIRQL irql;

    KeAcquireSpinLock(&Wait->Lock, &irql);
    if (Wait->Irp == NULL)
        status = ZooWaitPut(Wait, Irp);
    KeReleaseSpinLock(&Wait->Lock, irql);
    return status;
}

/* The request that waits, which is the caller's to end; NULL if there is none. */
static PIRP ZooWaitTake(PZOO_WAIT Wait)
{
    PIRP irp;
    KIRQL irql;

    KeAcquireSpinLock(&Wait->Lock, &irql);
    irp = Wait->Irp;
    /* If somebody is cancelling it, its cancel routine ends it. */
    if (irp != NULL && IoSetCancelRoutine(irp, NULL) == NULL)
        irp = NULL;
    if (irp != NULL)
        Wait->Irp = NULL;
    KeReleaseSpinLock(&Wait->Lock, irql);
    return irp;
}
