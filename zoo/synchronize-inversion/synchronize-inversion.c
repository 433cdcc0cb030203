/*
 * A spin lock that is held around KeSynchronizeExecution, and wanted inside another one.
 *
 * One processor holds the spin lock and waits for the interrupt's, the other the reverse.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    LIST_ENTRY List;
    ULONG Count;
    KSPIN_LOCK Lock;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Count++;
    return TRUE;
}

static BOOLEAN NTAPI ZooCount(PVOID Context)
{
    PZOO zoo = Context;

    zoo->State.Count++;
    return TRUE;
}

static BOOLEAN NTAPI ZooDrain(PVOID Context)
{
    PZOO zoo = Context;

    zoo->State.Count = 0;
    ExInterlockedRemoveHeadList(&zoo->State.List, &zoo->State.Lock);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    KeInitializeSpinLock(&Zoo->State.Lock);
    InitializeListHead(&Zoo->State.List);
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
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    KeSynchronizeExecution(Zoo->Interrupt, ZooDrain, Zoo);
    *Value = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
#ifndef FIXED
    KIRQL irql;
#endif

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
#ifndef FIXED
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    KeSynchronizeExecution(Zoo->Interrupt, ZooCount, Zoo);
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
#else
    KeSynchronizeExecution(Zoo->Interrupt, ZooCount, Zoo);
#endif
    return STATUS_SUCCESS;
}
