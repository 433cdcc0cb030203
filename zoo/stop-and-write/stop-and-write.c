/*
 * Registers that a request uses while the device stops.
 *
 * The request has seen the device started; when it gets to the register, the mapping is gone.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    KMUTEX Mutex;
    BOOLEAN Initialised;
    BOOLEAN Started;
};
#define ZOO_ANY_TIME
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
    if (!Zoo->State.Initialised)
        KeInitializeMutex(&Zoo->State.Mutex, 0);
    Zoo->State.Initialised = TRUE;
    return STATUS_SUCCESS;
}

static VOID ZooReady(PZOO Zoo)
{
    Zoo->State.Started = TRUE;
}

static VOID ZooQuiet(PZOO Zoo)
{
#ifdef FIXED
    KeWaitForSingleObject(&Zoo->State.Mutex, Executive, KernelMode, FALSE, NULL);
#endif
    Zoo->State.Started = FALSE;
#ifdef FIXED
    KeReleaseMutex(&Zoo->State.Mutex, FALSE);
#endif
}

static VOID ZooGone(PZOO Zoo)
{
    UNREFERENCED_PARAMETER(Zoo);
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
    NTSTATUS status = STATUS_DEVICE_NOT_READY;

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
#ifdef FIXED
    KeWaitForSingleObject(&Zoo->State.Mutex, Executive, KernelMode, FALSE, NULL);
#endif
    if (Zoo->State.Started) {
        DbgPrint("zoo: writes %u\n", Value);
        ZooSet(Zoo, EDU_LIVENESS, Value);
        status = STATUS_SUCCESS;
    }
#ifdef FIXED
    KeReleaseMutex(&Zoo->State.Mutex, FALSE);
#endif
    return status;
}
