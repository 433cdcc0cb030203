/*
 * Counters for each processor, as statistics are kept: whoever counts stays on its processor, because it is
 * at DISPATCH_LEVEL or above, and has its slot to itself there. Interrupts have a word of their own beside
 * that of DPCs and requests, which they come between. Reading adds them up, with no claim to be exact.
 */
#include <ddk/wdm.h>

#define MOST 256

typedef struct _SLOT {
    ULONG Interrupts; /* at DIRQL */
    ULONG Work;       /* at DISPATCH_LEVEL */
} SLOT;

struct _ZOO_STATE {
    KDPC Dpc;
    SLOT Slots[MOST];
};

#include "../../../../zoo/zoo.h"

static SLOT *Here(PZOO Zoo)
{
    return &Zoo->State.Slots[KeGetCurrentProcessorNumberEx(NULL) % MOST];
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    Here(Context)->Work++;
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (ZooAcknowledge(zoo) == 0)
        return FALSE;
    Here(zoo)->Interrupts++;
    KeInsertQueueDpc(&zoo->State.Dpc, NULL, NULL);
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    KeInitializeDpc(&Zoo->State.Dpc, ZooDpc, Zoo);
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
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    ULONG interrupts = 0, work = 0, i;

    UNREFERENCED_PARAMETER(Irp);
    for (i = 0; i < MOST; i++) {
        interrupts += *(volatile ULONG *)&Zoo->State.Slots[i].Interrupts;
        work += *(volatile ULONG *)&Zoo->State.Slots[i].Work;
    }
    *Value = interrupts != 0 ? work : 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    Here(Zoo)->Work++;
    KeLowerIrql(irql);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
