/*
 * A buffer for the ISR that is allocated after the interrupt is connected.
 *
 * The device's self-test ends before the buffer is there.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PULONG Buffer;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Buffer[0]++;
    return TRUE;
}

static NTSTATUS ZooAllocate(PZOO Zoo)
{
    Zoo->State.Buffer = ExAllocatePoolWithTag(NonPagedPool, 64, ZOO_TAG);
    return Zoo->State.Buffer == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    NTSTATUS status = STATUS_SUCCESS;

#ifdef FIXED
    status = ZooAllocate(Zoo);
#endif
    ZooSet(Zoo, EDU_STATUS, EDU_STATUS_IRQ);
    ZooSet(Zoo, EDU_FACTORIAL, 3); /* the device's self-test */
    return status;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
#ifndef FIXED
    ZooAllocate(Zoo);
#endif
}

static VOID ZooQuiet(PZOO Zoo)
{
    ZooSet(Zoo, EDU_STATUS, 0);
}

static VOID ZooGone(PZOO Zoo)
{
    if (Zoo->State.Buffer != NULL)
        ExFreePoolWithTag(Zoo->State.Buffer, ZOO_TAG);
    Zoo->State.Buffer = NULL;
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
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    UNREFERENCED_PARAMETER(Zoo);
    return STATUS_SUCCESS;
}
