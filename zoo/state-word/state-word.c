/*
 * A state that is tested and changed by ISR and request without the interrupt's lock.
 *
 * The ISR says that the device is done between the request's look at the state and its change, and
 * the request puts it back to waiting.
 */
#include <ddk/wdm.h>

#define WAITING 1
#define DONE 2

struct _ZOO_STATE {
    volatile ULONG State;
    volatile ULONG Waiters;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.State |= DONE;
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

static BOOLEAN NTAPI ZooWait(PVOID Context)
{
    PZOO zoo = Context;
    ULONG state = zoo->State.State;

    if (!(state & DONE))
        zoo->State.State = state | WAITING;
    return TRUE;
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    *Value = (Zoo->State.State & DONE) != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    if (Value == 1) {
        ZooSet(Zoo, EDU_IRQ_RAISE, 1);
        return STATUS_SUCCESS;
    }
#ifdef FIXED
    KeSynchronizeExecution(Zoo->Interrupt, ZooWait, Zoo);
#else
    ZooWait(Zoo);
#endif
    return STATUS_SUCCESS;
}
