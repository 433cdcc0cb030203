/*
 * An event that is initialised after the device was started.
 *
 * The DPC has set it before; initialising clears it, and the thread waits for ever.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KEVENT Event;
    KDPC Dpc;
};
#include "../zoo.h"

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(&zoo->State.Event, IO_NO_INCREMENT, FALSE);
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
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
    KeInitializeEvent(&Zoo->State.Event, NotificationEvent, FALSE);
    ZooSet(Zoo, EDU_STATUS, EDU_STATUS_IRQ);
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
}

static VOID ZooQuiet(PZOO Zoo)
{
    ZooSet(Zoo, EDU_STATUS, 0);
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
    KeFlushQueuedDpcs();
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
    KeInitializeEvent(&Zoo->State.Event, NotificationEvent, FALSE);
    ZooSet(Zoo, EDU_FACTORIAL, Value);
#else
    ZooSet(Zoo, EDU_FACTORIAL, Value);
    KeInitializeEvent(&Zoo->State.Event, NotificationEvent, FALSE);
#endif
    KeWaitForSingleObject(&Zoo->State.Event, Executive, KernelMode, FALSE, NULL);
    return STATUS_SUCCESS;
}
