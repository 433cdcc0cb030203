/*
 * A list that the first request initialises, with a flag that is tested without a lock.
 *
 * The second request finds it not initialised either, and empties it after the first has put
 * something in.
 */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    volatile LONG Initialised;
    volatile LONG Entries;
    KSPIN_LOCK Lock;
};
#include "../zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    UNREFERENCED_PARAMETER(Interrupt);
    return ZooAcknowledge(Context) != 0;
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
    *Value = Zoo->State.Entries;
    return STATUS_SUCCESS;
}

static VOID ZooInitialise(PZOO Zoo)
{
    if (!Zoo->State.Initialised) {
        Zoo->State.Entries = 0;
        Zoo->State.Initialised = TRUE;
    }
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
#ifdef FIXED
    KIRQL irql;
#endif

    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Value);
#ifdef FIXED
    KeAcquireSpinLock(&Zoo->State.Lock, &irql);
    ZooInitialise(Zoo);
    KeReleaseSpinLock(&Zoo->State.Lock, irql);
#else
    ZooInitialise(Zoo);
#endif
    InterlockedIncrement(&Zoo->State.Entries);
    return STATUS_SUCCESS;
}
