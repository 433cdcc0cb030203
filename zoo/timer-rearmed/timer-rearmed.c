/*
 * A DPC that sets its timer again while that is being cancelled.
 *
 * The timer is cancelled, then the DPC, which had begun before, sets it again, then its memory
 * is freed.
 */
#include <ddk/wdm.h>

typedef struct _ZOO_WORK {
    KDPC Dpc;
    KTIMER Timer;
    ULONG Count;
} ZOO_WORK, *PZOO_WORK;

struct _ZOO_STATE {
    PZOO_WORK Work;
    BOOLEAN Stopping;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    LARGE_INTEGER due;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
#ifdef FIXED
    if (zoo->State.Stopping)
        return;
#endif
    ZooSet(zoo, EDU_LIVENESS, 1); /* the device's watchdog */
    due.QuadPart = -10 * 1000 * 1000;
    KeSetTimer(&zoo->State.Work->Timer, due, &zoo->State.Work->Dpc);
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    (void)zoo;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    Zoo->State.Work = ExAllocatePoolWithTag(NonPagedPool, sizeof(ZOO_WORK), ZOO_TAG);
    if (Zoo->State.Work == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Zoo->State.Work, sizeof(ZOO_WORK));
    KeInitializeTimer(&Zoo->State.Work->Timer);
    KeInitializeDpc(&Zoo->State.Work->Dpc, ZooDpc, Zoo);
    KeSetTargetProcessorDpc(&Zoo->State.Work->Dpc, 1); /* away from the boot processor */
    Zoo->State.Stopping = FALSE;
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
    if (Zoo->State.Work == NULL)
        return;
    Zoo->State.Stopping = TRUE;
    KeCancelTimer(&Zoo->State.Work->Timer);
    KeFlushQueuedDpcs();
#ifdef FIXED
    KeCancelTimer(&Zoo->State.Work->Timer); /* set by a DPC that had looked before */
    KeFlushQueuedDpcs();
#endif
    ExFreePoolWithTag(Zoo->State.Work, ZOO_TAG);
    Zoo->State.Work = NULL;
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
    LARGE_INTEGER due;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    due.QuadPart = -10 * 1000; /* 1 ms */
    KeSetTimer(&Zoo->State.Work->Timer, due, &Zoo->State.Work->Dpc);
    return STATUS_SUCCESS;
}
