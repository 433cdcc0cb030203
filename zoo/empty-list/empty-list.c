/*
 * A list that is found not to be empty, and emptied a little later.
 *
 * Two requests see its only entry; the second gets the list's head.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    LIST_ENTRY List;
    KSPIN_LOCK Lock;
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
    PLIST_ENTRY entry;

    KeInitializeSpinLock(&Zoo->State.Lock);
    InitializeListHead(&Zoo->State.List);
    entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(LIST_ENTRY), ZOO_TAG);
    if (entry == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    InsertTailList(&Zoo->State.List, entry);
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
    while (!IsListEmpty(&Zoo->State.List))
        ExFreePoolWithTag(RemoveHeadList(&Zoo->State.List), ZOO_TAG);
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
    PLIST_ENTRY entry;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
#ifdef FIXED
    entry = ExInterlockedRemoveHeadList(&Zoo->State.List, &Zoo->State.Lock);
    if (entry == NULL)
        return STATUS_DEVICE_BUSY;
    ZooSet(Zoo, EDU_LIVENESS, Value);
#else
    if (IsListEmpty(&Zoo->State.List))
        return STATUS_DEVICE_BUSY;
    ZooSet(Zoo, EDU_LIVENESS, Value); /* shown on the device's panel */
    entry = RemoveHeadList(&Zoo->State.List);
#endif
    ExFreePoolWithTag(entry, ZOO_TAG);
    return STATUS_SUCCESS;
}
