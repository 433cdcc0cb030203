/* Two words are read without a lock, and again if their writer was at work meanwhile: an odd number
 * or another one says so. */
#include <ddk/wdm.h>

struct _ZOO_STATE {
    volatile ULONG Sequence;
    volatile ULONG Low;
    volatile ULONG High;
};

#include "../../../../zoo/zoo.h"

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    zoo->State.Sequence++;
    zoo->State.Low++;
    zoo->State.High++;
    zoo->State.Sequence++;
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    Zoo->State.Sequence = Zoo->State.Low = Zoo->State.High = 0;
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
    ULONG before, low, high;

    UNREFERENCED_PARAMETER(Irp);
    do {
        while ((before = Zoo->State.Sequence) & 1)
            YieldProcessor();
        low = Zoo->State.Low;
        high = Zoo->State.High;
    } while (Zoo->State.Sequence != before);
    *Value = low != 0 && low == high;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    UNREFERENCED_PARAMETER(Irp);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
