/* The writer polls a volatile flag that the ISR sets, for a limited time, and goes on. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    volatile LONG Done;
};

#include "../../../../zoo/zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Done = 1;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    Zoo->State.Done = 0;
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
    *Value = (ULONG)Zoo->State.Done;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG tries;

    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    for (tries = 0; tries < 1000 && !Zoo->State.Done; tries++)
        KeStallExecutionProcessor(1);
    /* Whether it came in time or will come later, the reader sees it. */
    return STATUS_SUCCESS;
}
