/*
 * An object that is counted: the request has a reference and the DPC that looks at it has one. Whoever gives the
 * last one back reads what the others wrote, with no lock, and frees it.
 */
#include <ddk/wdm.h>

typedef struct _JOB {
    volatile LONG References;
    ULONG Result; /* of the DPC, for whoever comes last */
} JOB;

struct _ZOO_STATE {
    JOB *Job; /* with a reference, taken by exchange */
    KDPC Dpc;
    LONG Freed;
};

#include "../../../../zoo/zoo.h"

static VOID GiveBack(PZOO Zoo, JOB *Job)
{
    if (Job == NULL || InterlockedDecrement(&Job->References) != 0)
        return;
    if (Job->Result != 0)
        InterlockedIncrement(&Zoo->State.Freed);
    ExFreePoolWithTag(Job, ZOO_TAG);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;
    JOB *job;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    job = InterlockedExchangePointer((PVOID *)&zoo->State.Job, NULL);
    if (job == NULL)
        return;
    job->Result = 1;
    GiveBack(zoo, job);
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
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
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
    GiveBack(Zoo, InterlockedExchangePointer((PVOID *)&Zoo->State.Job, NULL));
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = Zoo->State.Freed != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    JOB *job = ExAllocatePoolWithTag(NonPagedPool, sizeof(JOB), ZOO_TAG);

    UNREFERENCED_PARAMETER(Irp);
    if (job == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    job->References = 2;
    job->Result = 0;
    GiveBack(Zoo, InterlockedExchangePointer((PVOID *)&Zoo->State.Job, job));
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    GiveBack(Zoo, job);
    return STATUS_SUCCESS;
}
