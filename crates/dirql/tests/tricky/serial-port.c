/*
 * As drivers of serial ports are made: characters lie in a buffer that only ISR and routines of
 * KeSynchronizeExecution touch. A read that finds none waits for the ISR, its timer and its cancel
 * routine, each of which holds a reference; the first of them that comes decides with what the read
 * ends, and takes back the references of the others if it can. Who gives the last one back ends it.
 */
#include <ddk/wdm.h>

#define BUFFER 16

enum { BY_ISR = 1, BY_TIMER = 2, BY_CANCEL = 4 };

struct _ZOO_STATE {
    /* Under the interrupt's lock. */
    ULONG Buffer[BUFFER];
    ULONG Put;
    ULONG Taken;
    BOOLEAN IsrWaits; /* the next character is for the read */
    ULONG Character;  /* that one */

    /* Under the cancel spin lock. */
    PIRP Read;
    ULONG References;
    BOOLEAN Decided;
    BOOLEAN Closed;

    KTIMER Timer;
    KDPC TimeoutDpc;
    KDPC CharacterDpc;
};

#include "../../../../zoo/zoo.h"

/* With the interrupt's lock: a character from the buffer, or the ISR hands the next one over. */
static BOOLEAN NTAPI TakeOrWait(PVOID Context)
{
    PZOO zoo = Context;

    if (zoo->State.Taken != zoo->State.Put) {
        zoo->State.Character = zoo->State.Buffer[zoo->State.Taken++ % BUFFER];
        return TRUE;
    }
    zoo->State.IsrWaits = TRUE;
    return FALSE;
}

/* With the interrupt's lock: the ISR is to hand over nothing. Whether it has not. */
static BOOLEAN NTAPI TakeBack(PVOID Context)
{
    PZOO zoo = Context;
    BOOLEAN waits = zoo->State.IsrWaits;

    zoo->State.IsrWaits = FALSE;
    return waits;
}

/* With the cancel spin lock, which it releases: `Reference` is given back, and the read ends with
 * `Status` if nobody has decided yet. */
static VOID TryToEnd(PZOO Zoo, ULONG Reference, NTSTATUS Status, KIRQL Irql)
{
    PIRP irp = Zoo->State.Read;

    Zoo->State.References &= ~Reference;
    if (!Zoo->State.Decided) {
        Zoo->State.Decided = TRUE;
        if (IoSetCancelRoutine(irp, NULL) != NULL)
            Zoo->State.References &= ~BY_CANCEL;
        if ((Zoo->State.References & BY_TIMER) != 0 && KeCancelTimer(&Zoo->State.Timer))
            Zoo->State.References &= ~BY_TIMER;
        if ((Zoo->State.References & BY_ISR) != 0 && KeSynchronizeExecution(Zoo->Interrupt, TakeBack, Zoo))
            Zoo->State.References &= ~BY_ISR;
        irp->IoStatus.Status = Status;
        if (Status == STATUS_SUCCESS)
            *(PULONG)irp->AssociatedIrp.SystemBuffer = Zoo->State.Character;
        irp->IoStatus.Information = Status == STATUS_SUCCESS ? sizeof(ULONG) : 0;
    }
    if (Zoo->State.References != 0) {
        IoReleaseCancelSpinLock(Irql);
        return;
    }
    Zoo->State.Read = NULL;
    IoReleaseCancelSpinLock(Irql);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static VOID NTAPI Cancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    TryToEnd(DeviceObject->DeviceExtension, BY_CANCEL, STATUS_CANCELLED, Irp->CancelIrql);
}

static VOID NTAPI Timeout(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    IoAcquireCancelSpinLock(&irql);
    TryToEnd(Context, BY_TIMER, STATUS_IO_TIMEOUT, irql);
}

static VOID NTAPI HasCharacter(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    IoAcquireCancelSpinLock(&irql);
    TryToEnd(Context, BY_ISR, STATUS_SUCCESS, irql);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooAcknowledge(zoo);

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0)
        return FALSE;
    if (zoo->State.IsrWaits) {
        zoo->State.IsrWaits = FALSE;
        zoo->State.Character = causes;
        KeInsertQueueDpc(&zoo->State.CharacterDpc, NULL, NULL);
    } else if (zoo->State.Put - zoo->State.Taken < BUFFER) {
        zoo->State.Buffer[zoo->State.Put++ % BUFFER] = causes;
    }
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    KeInitializeTimer(&Zoo->State.Timer);
    KeInitializeDpc(&Zoo->State.TimeoutDpc, Timeout, Zoo);
    KeInitializeDpc(&Zoo->State.CharacterDpc, HasCharacter, Zoo);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

/* Ends the read that waits, and lets none wait after it. */
static VOID ZooQuiet(PZOO Zoo)
{
    KIRQL irql;

    IoAcquireCancelSpinLock(&irql);
    Zoo->State.Closed = TRUE;
    if (Zoo->State.Read != NULL && !Zoo->State.Decided)
        TryToEnd(Zoo, 0, STATUS_DEVICE_NOT_READY, irql);
    else
        IoReleaseCancelSpinLock(irql);
}

/* What has been decided is ended by the DPCs that are on their way. */
static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    LARGE_INTEGER due;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Value);
    due.QuadPart = -100 * 10 * 1000; /* 100 ms */
    IoAcquireCancelSpinLock(&irql);
    if (Zoo->State.Closed || Zoo->State.Read != NULL || Irp->Cancel) {
        NTSTATUS status = Irp->Cancel ? STATUS_CANCELLED : STATUS_DEVICE_NOT_READY;

        IoReleaseCancelSpinLock(irql);
        return status;
    }
    IoMarkIrpPending(Irp);
    Zoo->State.Read = Irp;
    Zoo->State.Decided = FALSE;
    Zoo->State.References = BY_CANCEL | BY_TIMER | BY_ISR;
    IoSetCancelRoutine(Irp, Cancel);
    KeSetTimer(&Zoo->State.Timer, due, &Zoo->State.TimeoutDpc);
    if (KeSynchronizeExecution(Zoo->Interrupt, TakeOrWait, Zoo)) {
        Zoo->State.References &= ~BY_ISR;
        TryToEnd(Zoo, 0, STATUS_SUCCESS, irql);
    } else {
        IoReleaseCancelSpinLock(irql);
    }
    return STATUS_PENDING;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
