/*
 * A timer that is set when its memory is freed, because a flag said that it was not.
 *
 * The timer's DPC clears the flag and sets the timer again; in between the flag is not true
 * for long.
 */
#include <ddk/wdm.h>

typedef struct _ZOO_WORK {
    KDPC Dpc;
    KTIMER Timer;
    BOOLEAN IsSet;
    BOOLEAN Stopping;
    ULONG Count;
} ZOO_WORK, *PZOO_WORK;

struct _ZOO_STATE {
    PZOO_WORK Work;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;
    PZOO_WORK work = CONTAINING_RECORD(Dpc, ZOO_WORK, Dpc);
    LARGE_INTEGER due;

    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    work->IsSet = FALSE;
#ifdef FIXED
    if (work->Stopping)
        return;
#endif
    ZooSet(zoo, EDU_LIVENESS, 1); /* the device's watchdog */
    due.QuadPart = -10 * 1000 * 1000; /* 1 s */
    KeSetTimer(&work->Timer, due, &work->Dpc);
    work->IsSet = TRUE;
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    Zoo->State.Work = ExAllocatePoolWithTag(NonPagedPool, sizeof(ZOO_WORK), ZOO_TAG);
    if (Zoo->State.Work == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Zoo->State.Work, sizeof(ZOO_WORK));
    KeInitializeDpc(&Zoo->State.Work->Dpc, ZooDpc, Zoo);
    KeInitializeTimer(&Zoo->State.Work->Timer);
    KeSetTargetProcessorDpc(&Zoo->State.Work->Dpc, 1); /* away from the boot processor */
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
    PZOO_WORK work = Zoo->State.Work;

    if (work == NULL)
        return;
#ifdef FIXED
    work->Stopping = TRUE;
    KeCancelTimer(&work->Timer);
    KeFlushQueuedDpcs();
    KeCancelTimer(&work->Timer); /* set by a DPC that had looked before */
#else
    if (work->IsSet)
        KeCancelTimer(&work->Timer);
#endif
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(work, ZOO_TAG);
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
    PZOO_WORK work = Zoo->State.Work;
    LARGE_INTEGER due;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    due.QuadPart = -10 * 1000; /* 1 ms */
    work->IsSet = TRUE;
    KeSetTimer(&work->Timer, due, &work->Dpc);
    return STATUS_SUCCESS;
}
