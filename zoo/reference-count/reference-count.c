/*
 * A count of references that is lowered, and looked at again.
 *
 * Both users see it at zero, and both free.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PVOID Buffer;
    LONG References;
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
    Zoo->State.Buffer = ExAllocatePoolWithTag(NonPagedPool, 64, ZOO_TAG);
    if (Zoo->State.Buffer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Zoo->State.References = 2;
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
    if (Zoo->State.References > 0)
        ExFreePoolWithTag(Zoo->State.Buffer, ZOO_TAG);
    Zoo->State.References = 0;
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
#ifdef FIXED
    if (InterlockedDecrement(&Zoo->State.References) == 0)
        ExFreePoolWithTag(Zoo->State.Buffer, ZOO_TAG);
#else
    InterlockedDecrement(&Zoo->State.References);
    ZooSet(Zoo, EDU_LIVENESS, Value); /* shown on the device's panel */
    if (Zoo->State.References == 0)
        ExFreePoolWithTag(Zoo->State.Buffer, ZOO_TAG);
#endif
    return STATUS_SUCCESS;
}
