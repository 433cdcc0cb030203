/* What the first request makes is looked for without the lock, and once more with it. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    FAST_MUTEX Lock;
    volatile LONG Made;
    ULONG Table[4];
};

#include "../../../../zoo/zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    ExInitializeFastMutex(&Zoo->State.Lock);
    Zoo->State.Made = 0;
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
    *Value = Zoo->State.Made ? Zoo->State.Table[3] : 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG i;

    UNREFERENCED_PARAMETER(Irp);
    if (!Zoo->State.Made) {
        ExAcquireFastMutex(&Zoo->State.Lock);
        if (!Zoo->State.Made) {
            for (i = 0; i < 4; i++)
                Zoo->State.Table[i] = 1;
            Zoo->State.Made = 1;
        }
        ExReleaseFastMutex(&Zoo->State.Lock);
    }
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
