/*
 * A buffer that the first request allocates.
 *
 * Two requests are the first; one buffer is never freed.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    PVOID Buffer;
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
    PVOID buffer;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
    if (Zoo->State.Buffer != NULL)
        return STATUS_SUCCESS;
    buffer = ExAllocatePoolWithTag(NonPagedPool, 64, ZOO_TAG);
    if (buffer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
#ifdef FIXED
    if (InterlockedCompareExchangePointer(&Zoo->State.Buffer, buffer, NULL) != NULL)
        ExFreePoolWithTag(buffer, ZOO_TAG);
#else
    Zoo->State.Buffer = buffer;
#endif
    return STATUS_SUCCESS;
}
