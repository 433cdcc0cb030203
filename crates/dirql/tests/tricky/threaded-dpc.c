/*
 * A threaded DPC, which may be a thread that is preempted or an ordinary DPC: the lock that it shares with requests
 * is a queued one, with the routines that are made for both cases.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KDPC Dpc;
    KSPIN_LOCK Lock; /* of the next two */
    ULONG Interrupts;
    ULONG Requests;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    KLOCK_QUEUE_HANDLE handle;
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    KeAcquireInStackQueuedSpinLockForDpc(&zoo->State.Lock, &handle);
    zoo->State.Interrupts++;
    KeReleaseInStackQueuedSpinLockForDpc(&handle);
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
    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    KeInitializeSpinLock(&Zoo->State.Lock);
    KeInitializeThreadedDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
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
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    KLOCK_QUEUE_HANDLE handle;

    UNREFERENCED_PARAMETER(Irp);
    KeAcquireInStackQueuedSpinLock(&Zoo->State.Lock, &handle);
    *Value = Zoo->State.Interrupts != 0 && Zoo->State.Requests != 0;
    KeReleaseInStackQueuedSpinLock(&handle);
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    KLOCK_QUEUE_HANDLE handle;

    UNREFERENCED_PARAMETER(Irp);
    KeAcquireInStackQueuedSpinLock(&Zoo->State.Lock, &handle);
    Zoo->State.Requests++;
    KeReleaseInStackQueuedSpinLock(&handle);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
