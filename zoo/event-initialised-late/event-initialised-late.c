/*
 * An event that is initialised after the device was started.
 *
 * The DPC has set it before; initialising clears it, and the thread waits until its
 * time is over.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KMUTEX Turn; /* of the request that uses the device */
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
    KeInitializeMutex(&Zoo->State.Turn, 0);
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
    LARGE_INTEGER due;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(Irp);
    KeWaitForSingleObject(&Zoo->State.Turn, Executive, KernelMode, FALSE, NULL);
#ifdef FIXED
    KeInitializeEvent(&Zoo->State.Event, NotificationEvent, FALSE);
    ZooSet(Zoo, EDU_FACTORIAL, Value);
#else
    ZooSet(Zoo, EDU_FACTORIAL, Value);
    KeInitializeEvent(&Zoo->State.Event, NotificationEvent, FALSE);
#endif
    due.QuadPart = -10 * 1000 * 1000; /* 1 s: the device may be gone */
    status = KeWaitForSingleObject(&Zoo->State.Event, Executive, KernelMode, FALSE, &due);
    KeReleaseMutex(&Zoo->State.Turn, FALSE);
    return status == STATUS_TIMEOUT ? STATUS_IO_TIMEOUT : STATUS_SUCCESS;
}
