/*
 * A count of references that is raised and lowered with plain instructions.
 *
 * Two requests take a reference at the same time and only one of the two counts: the second to give
 * its own up finds that there is none left. They do not use the device.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    volatile LONG References;
    LONG Errors;
};
#define ZOO_ANY_TIME
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return ZooAcknowledge(Context) != 0;
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

static LONG ZooReference(PZOO Zoo)
{
#ifdef FIXED
    return InterlockedIncrement(&Zoo->State.References);
#else
    LONG now = Zoo->State.References + 1;

    Zoo->State.References = now;
    return now;
#endif
}

static LONG ZooDereference(PZOO Zoo)
{
    return InterlockedDecrement(&Zoo->State.References);
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
    ZooReference(Zoo);
    if (ZooDereference(Zoo) < 0)
        InterlockedIncrement(&Zoo->State.Errors); /* it had none */
    return STATUS_SUCCESS;
}
