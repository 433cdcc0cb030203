/*
 * A counter that two requests change at once, without a lock and without a call in between.
 *
 * Two requests on two processors load the same value; nothing but these two instructions is
 * between, so only a stop inside the code shows it.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    volatile ULONG Count;
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
    KeInitializeSpinLock(&Zoo->State.Lock);
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
    *Value = Zoo->State.Count;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG count;
#ifdef FIXED
    KIRQL irql;
#endif

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
#ifdef FIXED
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
#endif
    count = Zoo->State.Count;
    Zoo->State.Count = count + 1;
#ifdef FIXED
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
#endif
    return STATUS_SUCCESS;
}
