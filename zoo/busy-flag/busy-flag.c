/*
 * A flag that is tested, and set a little later.
 *
 * Two requests see the device free before either says that it is not.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    LONG Busy;
    ULONG Errors;
};
#include "../zoo.h"

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
    UNREFERENCED_PARAMETER(Zoo);
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
    *Value = Zoo->State.Errors;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
#ifdef FIXED
    if (InterlockedCompareExchange(&Zoo->State.Busy, TRUE, FALSE))
        return STATUS_DEVICE_BUSY;
#else
    if (Zoo->State.Busy || (ZooGet(Zoo, EDU_STATUS) & EDU_STATUS_COMPUTING))
        return STATUS_DEVICE_BUSY;
    Zoo->State.Busy = TRUE;
#endif
    ZooSet(Zoo, EDU_LIVENESS, Value);
    if (ZooGet(Zoo, EDU_LIVENESS) != ~Value)
        Zoo->State.Errors++;
    InterlockedExchange(&Zoo->State.Busy, FALSE);
    return STATUS_SUCCESS;
}
