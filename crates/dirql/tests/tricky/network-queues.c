/*
 * As drivers of network cards are made: a queue for each processor, with a DPC that has that processor as
 * its target and a spin lock of its own. The ISR says in a word of each queue that there is work, and only
 * the DPC takes that back. Counters are read without a lock.
 */
#include <ddk/wdm.h>

#define QUEUES 2
#define SLOTS 8
#define GONE 0xFFFFFFFF /* what registers read as when the device was pulled out */

typedef struct _QUEUE {
    KDPC Dpc;
    KSPIN_LOCK Lock; /* of what follows up to Done */
    ULONG Ring[SLOTS];
    ULONG Put;
    ULONG Taken;
    ULONG Done;
    volatile LONG Work;
} QUEUE, *PQUEUE;

struct _ZOO_STATE {
    QUEUE Queues[QUEUES];
    volatile LONG Interrupts;
};

#include "../../../../zoo/zoo.h"

static VOID NTAPI Complete(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PQUEUE queue = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    while (InterlockedExchange(&queue->Work, 0) != 0) {
        KeAcquireSpinLockAtDpcLevel(&queue->Lock);
        while (queue->Taken != queue->Put)
            queue->Done += queue->Ring[queue->Taken++ % SLOTS];
        KeReleaseSpinLockFromDpcLevel(&queue->Lock);
    }
}

static BOOLEAN NTAPI ZooIsr(PKINTERRUPT Interrupt, PVOID Context)
{
    PZOO zoo = Context;
    ULONG causes = ZooGet(zoo, EDU_IRQ_STATUS);
    ULONG i;

    UNREFERENCED_PARAMETER(Interrupt);
    if (causes == 0 || causes == GONE)
        return FALSE;
    ZooSet(zoo, EDU_IRQ_ACK, causes);
    InterlockedIncrement(&zoo->State.Interrupts);
    for (i = 0; i < QUEUES; i++)
        if ((causes & (1 << i)) != 0) {
            InterlockedExchange(&zoo->State.Queues[i].Work, 1);
            KeInsertQueueDpc(&zoo->State.Queues[i].Dpc, NULL, NULL);
        }
    return TRUE;
}

static NTSTATUS ZooPrepare(PZOO Zoo)
{
    ULONG processors = KeQueryActiveProcessorCount(NULL);
    ULONG i;

    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    for (i = 0; i < QUEUES; i++) {
        PQUEUE queue = &Zoo->State.Queues[i];

        KeInitializeSpinLock(&queue->Lock);
        KeInitializeDpc(&queue->Dpc, Complete, queue);
        KeSetTargetProcessorDpc(&queue->Dpc, (CCHAR)(i % processors));
        KeSetImportanceDpc(&queue->Dpc, HighImportance);
    }
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
    ULONG i;

    for (i = 0; i < QUEUES; i++)
        KeRemoveQueueDpc(&Zoo->State.Queues[i].Dpc);
    KeFlushQueuedDpcs();
}

static NTSTATUS ZooRead(PZOO Zoo, PIRP Irp, PULONG Value)
{
    ULONG done = 0;
    ULONG i;

    UNREFERENCED_PARAMETER(Irp);
    for (i = 0; i < QUEUES; i++) {
        KIRQL irql;

        KeAcquireSpinLock(&Zoo->State.Queues[i].Lock, &irql);
        done += Zoo->State.Queues[i].Done;
        KeReleaseSpinLock(&Zoo->State.Queues[i].Lock, irql);
    }
    /* A statistic, which need not be of this moment. */
    if (Zoo->State.Interrupts == 0)
        done = 0;
    *Value = done;
    return STATUS_SUCCESS;
}

/* One descriptor for each queue, and one doorbell for both. */
static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    ULONG i;

    UNREFERENCED_PARAMETER(Irp);
    for (i = 0; i < QUEUES; i++) {
        PQUEUE queue = &Zoo->State.Queues[i];
        BOOLEAN full;
        KIRQL irql;

        KeAcquireSpinLock(&queue->Lock, &irql);
        full = queue->Put - queue->Taken == SLOTS;
        if (!full)
            queue->Ring[queue->Put++ % SLOTS] = Value;
        KeReleaseSpinLock(&queue->Lock, irql);
        if (full)
            return STATUS_DEVICE_BUSY;
    }
    ZooSet(Zoo, EDU_IRQ_RAISE, (1 << QUEUES) - 1);
    return STATUS_SUCCESS;
}
