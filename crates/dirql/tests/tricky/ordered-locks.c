/*
 * Two accounts with a lock each. A transfer takes both locks, the lower address first, whichever way it goes:
 * requests carry one way, DPCs the other.
 */
#include <ddk/wdm.h>

typedef struct _ACCOUNT {
    KSPIN_LOCK Lock;
    LONG Amount;
} ACCOUNT;

struct _ZOO_STATE {
    ACCOUNT Device;
    ACCOUNT Requests;
    KDPC Dpc;
    LONG Interrupts;
};

#include "../../../../zoo/zoo.h"

/* At DISPATCH_LEVEL. */
static VOID Transfer(ACCOUNT *From, ACCOUNT *To, LONG Amount)
{
    ACCOUNT *first = From < To ? From : To;
    ACCOUNT *second = From < To ? To : From;

    KeAcquireSpinLockAtDpcLevel(&first->Lock);
    KeAcquireSpinLockAtDpcLevel(&second->Lock);
    From->Amount -= Amount;
    To->Amount += Amount;
    KeReleaseSpinLockFromDpcLevel(&second->Lock);
    KeReleaseSpinLockFromDpcLevel(&first->Lock);
}

static VOID NTAPI ZooDpc(PKDPC Dpc, PVOID Context, PVOID One, PVOID Two)
{
    PZOO zoo = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    Transfer(&zoo->State.Device, &zoo->State.Requests, 1);
    InterlockedIncrement(&zoo->State.Interrupts);
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
    RtlZeroMemory(&Zoo->State, sizeof(Zoo->State));
    KeInitializeSpinLock(&Zoo->State.Device.Lock);
    KeInitializeSpinLock(&Zoo->State.Requests.Lock);
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
    LONG sum;
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    KeAcquireSpinLock(&Zoo->State.Device.Lock, &irql);
    KeAcquireSpinLockAtDpcLevel(&Zoo->State.Requests.Lock);
    sum = Zoo->State.Device.Amount + Zoo->State.Requests.Amount;
    KeReleaseSpinLockFromDpcLevel(&Zoo->State.Requests.Lock);
    KeReleaseSpinLock(&Zoo->State.Device.Lock, irql);
    *Value = sum == 0 && Zoo->State.Interrupts != 0;
    return STATUS_SUCCESS;
}

static NTSTATUS ZooWrite(PZOO Zoo, PIRP Irp, ULONG Value)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Irp);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    Transfer(&Zoo->State.Requests, &Zoo->State.Device, 3);
    KeLowerIrql(irql);
    ZooSet(Zoo, EDU_IRQ_RAISE, Value);
    return STATUS_SUCCESS;
}
