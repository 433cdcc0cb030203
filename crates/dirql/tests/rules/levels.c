/* Levels, locks, and what ends a driver. */
#include "pairs.h"

/* --- Levels ------------------------------------------------------------------ */

static VOID BreakReleaseAbove(VOID)
{
    KIRQL irql;

    KeAcquireSpinLock(&Lock, &irql);
    KeReleaseSpinLock(&Lock, DISPATCH_LEVEL + 1);
    KeLowerIrql(irql);
}

static VOID KeepLock(VOID)
{
    KIRQL irql;

    KeAcquireSpinLock(&Lock, &irql);
    Count++;
    KeReleaseSpinLock(&Lock, irql);
}

static VOID BreakReleaseLevel(VOID)
{
    KIRQL irql, below;

    KeRaiseIrql(APC_LEVEL, &irql);
    KeAcquireSpinLock(&Lock, &below);
    KeReleaseSpinLock(&Lock, irql);
}

static VOID KeepReleaseLevel(VOID)
{
    KIRQL irql, below;

    KeRaiseIrql(APC_LEVEL, &irql);
    KeAcquireSpinLock(&Lock, &below);
    KeReleaseSpinLock(&Lock, below);
    KeLowerIrql(irql);
}

static VOID BreakLockKind(VOID)
{
    KLOCK_QUEUE_HANDLE handle;
    KIRQL irql;

    KeAcquireInStackQueuedSpinLock(&Lock, &handle);
    KeReleaseSpinLockFromDpcLevel(&Lock);
    irql = handle.OldIrql;
    KeLowerIrql(irql);
}

static VOID KeepLockKind(VOID)
{
    KLOCK_QUEUE_HANDLE handle;

    KeAcquireInStackQueuedSpinLock(&Lock, &handle);
    Count++;
    KeReleaseInStackQueuedSpinLock(&handle);
}

static VOID NTAPI DpcThatRaises(PKDPC Object, PVOID Context, PVOID One, PVOID Two)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &irql);
    Count++;
}

static VOID NTAPI DpcThatLowers(PKDPC Object, PVOID Context, PVOID One, PVOID Two)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &irql);
    Count++;
    KeLowerIrql(irql);
}

static VOID QueueAndWait(PKDEFERRED_ROUTINE Routine)
{
    KeInitializeDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeFlushQueuedDpcs();
}

static VOID BreakDpcLevel(VOID)
{
    QueueAndWait(DpcThatRaises);
}

static VOID KeepDpcLevel(VOID)
{
    QueueAndWait(DpcThatLowers);
}

static VOID NTAPI DpcWithoutInterrupts(PKDPC Object, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    __asm__ volatile("cli");
    Count++;
}

static VOID NTAPI DpcWithInterrupts(PKDPC Object, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    __asm__ volatile("cli");
    Count++;
    __asm__ volatile("sti");
}

static VOID BreakInterruptFlag(VOID)
{
    QueueAndWait(DpcWithoutInterrupts);
}

static VOID KeepInterruptFlag(VOID)
{
    QueueAndWait(DpcWithInterrupts);
}

static NTSTATUS ReadThatRaises(PIRP Irp)
{
    KIRQL irql;

    KeRaiseIrql(APC_LEVEL, &irql);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS ReadThatLowers(PIRP Irp)
{
    NTSTATUS status;
    KIRQL irql;

    KeRaiseIrql(APC_LEVEL, &irql);
    status = Complete(Irp, STATUS_SUCCESS, 0);
    KeLowerIrql(irql);
    return status;
}

static VOID BreakRoutineLevel(VOID)
{
    OnRead = ReadThatRaises;
}

static VOID KeepRoutineLevel(VOID)
{
    OnRead = ReadThatLowers;
}

static VOID BreakRegion(VOID)
{
    KeLeaveCriticalRegion();
}

static VOID KeepRegion(VOID)
{
    KeEnterCriticalRegion();
    Count++;
    KeLeaveCriticalRegion();
}

static VOID BreakPrint(VOID)
{
    KIRQL irql;

    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    DbgPrint("%ws\n", L"wide");
    KeLowerIrql(irql);
}

static VOID KeepPrint(VOID)
{
    DbgPrint("%ws\n", L"wide");
}

static VOID NTAPI SlowDpc(PKDPC Object, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    KeStallExecutionProcessor(500);
}

static VOID NTAPI QuickDpc(PKDPC Object, PVOID Context, PVOID One, PVOID Two)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(One);
    UNREFERENCED_PARAMETER(Two);
    KeStallExecutionProcessor(5);
}

static VOID BreakDuration(VOID)
{
    QueueAndWait(SlowDpc);
}

static VOID KeepDuration(VOID)
{
    QueueAndWait(QuickDpc);
}

/* --- Locks of threads -------------------------------------------------------- */

static FAST_MUTEX FastMutex;
static ERESOURCE Resource;
static EX_RUNDOWN_REF Rundown;

static VOID BreakFastMutex(VOID)
{
    ExInitializeFastMutex(&FastMutex);
    ExReleaseFastMutex(&FastMutex);
}

static VOID KeepFastMutex(VOID)
{
    ExInitializeFastMutex(&FastMutex);
    ExAcquireFastMutex(&FastMutex);
    ExReleaseFastMutex(&FastMutex);
}

static VOID BreakResource(VOID)
{
    ExInitializeResourceLite(&Resource);
    KeEnterCriticalRegion();
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
    ExDeleteResourceLite(&Resource);
}

static VOID BreakResourceHeld(VOID)
{
    ExInitializeResourceLite(&Resource);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExDeleteResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static VOID KeepResource(VOID)
{
    ExInitializeResourceLite(&Resource);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
    ExDeleteResourceLite(&Resource);
}

static VOID BreakRundown(VOID)
{
    ExInitializeRundownProtection(&Rundown);
    ExReleaseRundownProtection(&Rundown);
}

static VOID KeepRundown(VOID)
{
    ExInitializeRundownProtection(&Rundown);
    if (ExAcquireRundownProtection(&Rundown))
        ExReleaseRundownProtection(&Rundown);
    ExWaitForRundownProtectionRelease(&Rundown);
}

/* --- Ends -------------------------------------------------------------------- */

static VOID BreakLoop(VOID)
{
    while (Count == 0)
        ;
}

static VOID KeepLoop(VOID)
{
    ULONG turns;

    for (turns = 0; Count == 0 && turns < 100; turns++)
        KeStallExecutionProcessor(1);
}

static VOID BreakBreakpoint(VOID)
{
    DbgBreakPoint();
}

static VOID KeepBreakpoint(VOID)
{
    DbgPrint("no breakpoint\n");
}

static VOID BreakInstruction(VOID)
{
    static UCHAR table[10];

    __asm__ volatile("lgdt %0" : : "m"(table));
}

static VOID KeepInstruction(VOID)
{
    ULONG_PTR value;

    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    Count += (LONG)value;
}

static VOID BreakAssertion(VOID)
{
    RtlAssert((PVOID) "Count == 1", (PVOID) "levels.c", 1, NULL);
}

static const PAIR Pairs[] = {
    {30, BreakLoop, KeepLoop},
    {40, BreakBreakpoint, KeepBreakpoint},
    {50, BreakInstruction, KeepInstruction},
    {1050, BreakReleaseAbove, KeepLock},
    {1130, BreakLockKind, KeepLockKind},
    {1140, BreakReleaseLevel, KeepReleaseLevel},
    {1210, BreakDpcLevel, KeepDpcLevel},
    {1240, BreakInterruptFlag, KeepInterruptFlag},
    {1610, BreakRegion, KeepRegion},
    {2000, BreakRoutineLevel, KeepRoutineLevel},
    {3300, BreakFastMutex, KeepFastMutex},
    {3320, BreakResource, KeepResource},
    {3321, BreakResourceHeld, KeepResource},
    {3700, BreakPrint, KeepPrint},
    {3710, BreakAssertion, KeepLock},
    {4440, BreakRundown, KeepRundown},
    {6070, BreakDuration, KeepDuration},
    {0, NULL, NULL},
};
