/* Checks from inside a driver what drivers were seen to find on Windows.
 *
 * The device is \Device\Observed, with the link \??\Observed. Requests:
 * - RUN, buffered: the name of a test in, its number of checks and of failures out.
 * - COUNTERS, neither: the address and length of a buffer of the caller, where both numbers go
 *   as well from then on, through a mapping of its pages.
 * Each failure is printed with its line. */

#include "observed.h"

#define RUN 0x222000
#define COUNTERS 0x222007

static ULONG counts[2];
static volatile ULONG *counters;
static MDL *counters_mdl;
static DRIVER_OBJECT *this_driver;
static UNICODE_STRING *this_path;

static void check(int is_so, ULONG line, const char *text, ULONG64 value) {
    counts[0]++;
    if (!is_so) {
        counts[1]++;
        DbgPrint("line %u: %s, is %I64x\n", line, text, value);
    }
    if (counters) {
        counters[0] = counts[0];
        counters[1] = counts[1];
    }
}

#define IS(value, expected)                                                                        \
    do {                                                                                           \
        ULONG64 value_ = (ULONG64)(value);                                                         \
        check(value_ == (ULONG64)(expected), __LINE__, #value " == " #expected, value_);           \
    } while (0)

#define FILL(object) fill(&(object), sizeof(object))
#define FILLER 0x5555555555555555ULL

static void fill(void *at, ULONG64 length) {
    for (volatile UCHAR *byte = at; length--; byte++)
        *byte = 0x55;
}

static void *routine(const WCHAR *name) {
    UNICODE_STRING string;
    RtlInitUnicodeString(&string, name);
    return MmGetSystemRoutineAddress(&string);
}

/* A status that `statement` raises, or success. */
#if defined(__clang__)
unsigned long _exception_code(void);
#define RAISED(statement)                                                                          \
    ({                                                                                             \
        NTSTATUS raised = STATUS_SUCCESS;                                                          \
        __try {                                                                                    \
            statement;                                                                             \
        } __except (1) {                                                                           \
            raised = (NTSTATUS)_exception_code();                                                  \
        }                                                                                          \
        raised;                                                                                    \
    })
#define HAS_SEH 1
#else
#define HAS_SEH 0
#endif

static void levels(void) {
    for (UCHAR level = PASSIVE_LEVEL; level <= HIGH_LEVEL; level++) {
        IS(KfRaiseIrql(level), PASSIVE_LEVEL);
        IS(KeGetCurrentIrql(), level);
        KeLowerIrql(PASSIVE_LEVEL);
        IS(KeGetCurrentIrql(), PASSIVE_LEVEL);
    }
    UCHAR (*to_dpc)(void) = routine(u"KeRaiseIrqlToDpcLevel");
    UCHAR (*to_synch)(void) = routine(u"KeRaiseIrqlToSynchLevel");
    IS(to_dpc(), PASSIVE_LEVEL);
    IS(to_dpc(), DISPATCH_LEVEL);
    IS(to_synch(), DISPATCH_LEVEL);
    IS(KeGetCurrentIrql(), SYNCH_LEVEL);
    /* The level is a register; nothing looks at the one before. */
    KfRaiseIrql(HIGH_LEVEL);
    IS(KfRaiseIrql(APC_LEVEL), HIGH_LEVEL);
    IS(KeGetCurrentIrql(), APC_LEVEL);
    KeLowerIrql(HIGH_LEVEL);
    IS(KeGetCurrentIrql(), HIGH_LEVEL);
    KeLowerIrql(PASSIVE_LEVEL);
    IS(flags() >> 9 & 1, 1);
    /* A free system for several processors. */
    IS(KeGetCurrentPrcb() != NULL, 1);
}

static void spin_locks_at(UCHAR level) {
    ULONG64 lock;
    KLOCK_QUEUE_HANDLE handle;
    UCHAR old;
    KfRaiseIrql(level);
    FILL(lock);
    KeInitializeSpinLock(&lock);
    IS(lock, 0);

    IS(KeAcquireSpinLockRaiseToDpc(&lock), level);
    IS(lock, 1);
    IS(KeGetCurrentIrql(), DISPATCH_LEVEL);
    IS(KeTestSpinLock(&lock), 0);
    KeReleaseSpinLock(&lock, level);
    IS(lock, 0);
    IS(KeGetCurrentIrql(), level);
    IS(KeTestSpinLock(&lock), 1);

    IS(KeAcquireSpinLockRaiseToSynch(&lock), level);
    IS(KeGetCurrentIrql(), SYNCH_LEVEL);
    KeReleaseSpinLock(&lock, level);
    IS(KeGetCurrentIrql(), level);

    KeAcquireSpinLockAtDpcLevel(&lock);
    IS(lock, 1);
    IS(KeGetCurrentIrql(), level);
    KeReleaseSpinLockFromDpcLevel(&lock);
    IS(lock, 0);
    IS(KeTryToAcquireSpinLockAtDpcLevel(&lock), 1);
    IS(KeTryToAcquireSpinLockAtDpcLevel(&lock), 0);
    IS(lock, 1);
    KeReleaseSpinLockFromDpcLevel(&lock);

    FILL(handle);
    KeAcquireInStackQueuedSpinLock(&lock, &handle);
    IS(lock, &handle);
    IS(handle.LockQueue.Next, 0);
    IS(handle.LockQueue.Lock, (ULONG64)&lock | 2);
    IS(handle.OldIrql, level);
    IS(KeGetCurrentIrql(), DISPATCH_LEVEL);
    IS(KeTestSpinLock(&lock), 0);
    KeReleaseInStackQueuedSpinLock(&handle);
    IS(lock, 0);
    IS(handle.LockQueue.Next, 0);
    IS(handle.LockQueue.Lock, &lock);
    IS(KeGetCurrentIrql(), level);
    handle.OldIrql = 0x55;
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&lock, &handle);
    IS(lock, &handle);
    IS(handle.OldIrql, 0x55);
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&handle);
    IS(lock, 0);

    IS(KeAcquireQueuedSpinLock(7), level);
    IS(KeGetCurrentIrql(), DISPATCH_LEVEL);
    old = 0x55;
    IS(KeTryToAcquireQueuedSpinLock(7, &old), 0);
    IS(KeGetCurrentIrql(), DISPATCH_LEVEL);
    KeReleaseQueuedSpinLock(7, level);
    IS(KeTryToAcquireQueuedSpinLock(7, &old), 1);
    IS(old, level);
    KeReleaseQueuedSpinLock(7, level);
    IS(KeGetCurrentIrql(), level);
    IS(KeAreApcsDisabled(), 0);
    IS(flags() >> 9 & 1, 1);
    KeLowerIrql(PASSIVE_LEVEL);
}

static void spin_lock_words(void) {
    static const ULONG64 held[] = {1, 2, ~0ULL, 1ULL << 63};
    ULONG64 word = 0;
    IS(KeTestSpinLock(&word), 1);
    for (ULONG index = 0; index < 4; index++) {
        word = held[index];
        IS(KeTestSpinLock(&word), 0);
    }
}

static void spin_locks(void) {
    spin_lock_words();
    spin_locks_at(PASSIVE_LEVEL);
    spin_locks_at(APC_LEVEL);
    spin_locks_at(DISPATCH_LEVEL);
}

static void spin_locks_high(void) { spin_locks_at(HIGH_LEVEL); }

static volatile ULONG dpc_runs;

static void dpc_routine(KDPC *dpc, void *context, void *argument1, void *argument2) {
    dpc_runs++;
    IS(KeGetCurrentIrql(), DISPATCH_LEVEL);
    IS(context, dpc);
    IS(argument1, 0xABC123);
    IS(argument2, 0x5678);
    IS(dpc->Type, 19);
    IS(dpc->Importance, 1);
    IS(dpc->DeferredContext, dpc);
    IS(dpc->SystemArgument1, argument1);
    IS(dpc->DpcData, NULL);
}

static void dpcs(void) {
    KDPC dpc;
    FILL(dpc);
    KeInitializeDpc(&dpc, dpc_routine, &dpc);
    IS(dpc.Type, 19);
    IS(dpc.Importance, 1);
    IS(dpc.Number, 0);
    IS(dpc.DpcListEntry.Flink, FILLER);
    IS(dpc.DpcListEntry.Blink, FILLER);
    IS(dpc.DeferredRoutine, dpc_routine);
    IS(dpc.SystemArgument1, FILLER);
    IS(dpc.SystemArgument2, FILLER);
    IS(dpc.DpcData, NULL);
    dpc_runs = 0;
    for (ULONG run = 1; run <= 5; run++) {
        IS(KeInsertQueueDpc(&dpc, (void *)0xABC123, (void *)0x5678), 1);
        IS(dpc_runs, run);
    }
    KfRaiseIrql(APC_LEVEL);
    KfRaiseIrql(DISPATCH_LEVEL);
    IS(KeRemoveQueueDpc(&dpc), 0);
    IS(KeInsertQueueDpc(&dpc, (void *)0xABC123, (void *)0x5678), 1);
    IS(KeInsertQueueDpc(&dpc, (void *)0xABC123, (void *)0x5678), 0);
    KfRaiseIrql(HIGH_LEVEL);
    KeLowerIrql(DISPATCH_LEVEL);
    IS(dpc_runs, 5);
    KeLowerIrql(APC_LEVEL);
    IS(dpc_runs, 6);
    KfRaiseIrql(DISPATCH_LEVEL);
    IS(KeInsertQueueDpc(&dpc, (void *)1, (void *)2), 1);
    IS(KeRemoveQueueDpc(&dpc), 1);
    KeLowerIrql(PASSIVE_LEVEL);
    IS(dpc_runs, 6);
    KeInitializeDpc(&dpc, NULL, NULL);
    KfRaiseIrql(HIGH_LEVEL);
    IS(KeInsertQueueDpc(&dpc, NULL, NULL), 1);
    IS(KeRemoveQueueDpc(&dpc), 1);
    KeLowerIrql(PASSIVE_LEVEL);
#if HAS_SEH
    IS(RAISED(KeInitializeDpc(NULL, NULL, NULL)), STATUS_ACCESS_VIOLATION);
#endif
}

static void check_event(KEVENT *event, UCHAR type, LONG state) {
    IS(event->Header.Type, type);
    IS(event->Header.Flags1, 0x55);
    IS(event->Header.Size, 6);
    IS(event->Header.Flags3, 0x55);
    IS(event->Header.SignalState, state);
    IS(KeReadStateEvent(event), state);
    IS(event->Header.WaitListHead.Flink, &event->Header.WaitListHead);
    IS(event->Header.WaitListHead.Blink, &event->Header.WaitListHead);
}

static void events_of(UCHAR type) {
    KEVENT event;
    FILL(event);
    KeInitializeEvent(&event, type, 0);
    check_event(&event, type, 0);
    FILL(event);
    KeInitializeEvent(&event, type, 1);
    check_event(&event, type, 1);
    event.Header.SignalState = 0x12345678;
    IS(KePulseEvent(&event, 0, 0), 0x12345678);
    check_event(&event, type, 0);
    event.Header.SignalState = 0x12345678;
    KeClearEvent(&event);
    check_event(&event, type, 0);
    IS(KeSetEvent(&event, 0, 0), 0);
    check_event(&event, type, 1);
    IS(KeResetEvent(&event), 1);
    event.Header.SignalState = 0x23456789;
    IS(KeSetEvent(&event, 0, 0), 0x23456789);
    check_event(&event, type, 1);
    event.Header.SignalState = 0x3456789A;
    IS(KeResetEvent(&event), 0x3456789A);
    check_event(&event, type, 0);
}

static void events(void) {
    static const UCHAR at[] = {PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL};
    for (ULONG index = 0; index < 3; index++) {
        KTIMER timer;
        KfRaiseIrql(at[index]);
        events_of(0);
        events_of(1);
        for (ULONG kind = 0; kind < 2; kind++) {
            FILL(timer);
            KeInitializeTimerEx(&timer, kind);
            IS(timer.Header.Type, 8 + kind);
            IS(timer.Header.Flags1, 0x55);
            IS(timer.Header.Size, sizeof(timer) / 4);
            IS(timer.Header.Flags3, 0);
            IS(timer.Header.SignalState, 0);
            IS(timer.Header.WaitListHead.Flink, &timer.Header.WaitListHead);
        }
        KeLowerIrql(PASSIVE_LEVEL);
    }
}

/* Offsets in a KTHREAD of Windows Server 2003. */
#define MUTANTS 0x18
#define WAIT_BLOCK 0xF8
#define KERNEL_APC_DISABLE 0x1B4
#define SPECIAL_APC_DISABLE 0x1B6
#define THREAD(offset) ((UCHAR *)KeGetCurrentThread() + (offset))
#define KERNEL_COUNT (*(volatile SHORT *)THREAD(KERNEL_APC_DISABLE))
#define SPECIAL_COUNT (*(volatile SHORT *)THREAD(SPECIAL_APC_DISABLE))

typedef struct {
    KEVENT *event;
    volatile ULONG started;
    void *handle;
    void *thread;
} WAITER;

static void waiter_body(void *context) {
    WAITER *waiter = context;
    IS(KeGetCurrentIrql(), PASSIVE_LEVEL);
    waiter->started = 1;
    IS(KeWaitForSingleObject(waiter->event, 0, 0, 0, NULL), STATUS_SUCCESS);
    IS(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static void check_waiters(KEVENT *event, void **threads, ULONG count) {
    LIST_ENTRY *entry = event->Header.WaitListHead.Flink;
    for (ULONG index = 0; index < count; index++, entry = entry->Flink) {
        IS(entry, (UCHAR *)threads[index] + WAIT_BLOCK);
        IS(entry->Flink->Blink, entry);
    }
    IS(entry, &event->Header.WaitListHead);
    IS(entry->Flink->Blink, entry);
}

#define WAITERS 5

static void waits_with(UCHAR type, LONG (*set)(KEVENT *, LONG, UCHAR), LONG increment, int all) {
    WAITER waiters[WAITERS];
    void *threads[WAITERS];
    KWAIT_BLOCK blocks[WAITERS];
    KEVENT event;
    LONG64 shortly = -10000, long_ = -1000000;
    OBJECT_ATTRIBUTES attributes = {sizeof(attributes), NULL, NULL, 0x200, NULL, NULL};
    KeInitializeEvent(&event, type, 0);
    for (ULONG index = 0; index < WAITERS; index++) {
        WAITER *waiter = &waiters[index];
        waiter->event = &event;
        waiter->started = 0;
        IS(PsCreateSystemThread(&waiter->handle, 0x10000000, &attributes, NULL, NULL, waiter_body, waiter), 0);
        IS(ObReferenceObjectByHandle(waiter->handle, 0x100000, *PsThreadType, 0, &waiter->thread, NULL), 0);
        threads[index] = waiter->thread;
        IS(KeQueryPriorityThread(waiter->thread), 8);
        while (!waiter->started)
            KeDelayExecutionThread(0, 0, &shortly);
        KeDelayExecutionThread(0, 0, &shortly);
        check_waiters(&event, threads, index + 1);
    }
    for (ULONG index = 0; index < WAITERS; index++) {
        LONG more = increment + (LONG)index;
        LONG expected = more < 0 ? 8 : more > 7 ? 15 : 8 + more;
        check_waiters(&event, threads + index, WAITERS - index);
        IS(set(&event, more, 0), 0);
        if (all) {
            IS(KeWaitForMultipleObjects(WAITERS, threads, 0, 0, 0, 0, &long_, blocks), STATUS_SUCCESS);
            for (; index < WAITERS; index++)
                IS(KeQueryPriorityThread(threads[index]), expected);
            check_waiters(&event, threads, 0);
            break;
        }
        check_waiters(&event, threads + index + 1, WAITERS - 1 - index);
        IS(KeWaitForMultipleObjects(WAITERS, threads, 1, 0, 0, 0, &long_, blocks), index);
        IS(KeQueryPriorityThread(waiters[index].thread), expected);
        /* A thread never ends while it waits for itself. */
        threads[index] = KeGetCurrentThread();
        IS(KeWaitForMultipleObjects(WAITERS, threads, 1, 0, 0, 0, &shortly, blocks), STATUS_TIMEOUT);
    }
    for (ULONG index = 0; index < WAITERS; index++) {
        ObfDereferenceObject(waiters[index].thread);
        IS(ZwClose(waiters[index].handle), STATUS_SUCCESS);
    }
}

static void waits(void) {
    for (LONG increment = -1; increment <= 8; increment += 3) {
        waits_with(0, KeSetEvent, increment, 1);
        waits_with(1, KeSetEvent, increment, 0);
        waits_with(0, KePulseEvent, increment, 1);
        waits_with(1, KePulseEvent, increment, 0);
    }
}

static void check_regions(SHORT kernel, SHORT special, UCHAR all, UCHAR level) {
    IS(KERNEL_COUNT, kernel);
    IS(SPECIAL_COUNT, special);
    IS(KeAreApcsDisabled(), kernel || special);
    IS(KeAreAllApcsDisabled(), all);
    IS(KeGetCurrentIrql(), level);
}

static void regions(void) {
    check_regions(0, 0, 0, PASSIVE_LEVEL);
    KeEnterCriticalRegion();
    check_regions(-1, 0, 0, PASSIVE_LEVEL);
    KeEnterCriticalRegion();
    KeEnterGuardedRegion();
    check_regions(-2, -1, 1, PASSIVE_LEVEL);
    KeEnterGuardedRegion();
    check_regions(-2, -2, 1, PASSIVE_LEVEL);
    KeLeaveCriticalRegion();
    KeLeaveGuardedRegion();
    KeLeaveCriticalRegion();
    check_regions(0, -1, 1, PASSIVE_LEVEL);
    KeLeaveGuardedRegion();
    check_regions(0, 0, 0, PASSIVE_LEVEL);
    KERNEL_COUNT = -1;
    check_regions(-1, 0, 0, PASSIVE_LEVEL);
    SPECIAL_COUNT = -1;
    check_regions(-1, -1, 1, PASSIVE_LEVEL);
    KERNEL_COUNT = 0;
    SPECIAL_COUNT = 0;
    KfRaiseIrql(APC_LEVEL);
    check_regions(0, 0, 1, APC_LEVEL);
    KfRaiseIrql(HIGH_LEVEL);
    check_regions(0, 0, 1, HIGH_LEVEL);
    KeLowerIrql(PASSIVE_LEVEL);
    check_regions(0, 0, 0, PASSIVE_LEVEL);
}

/* What no driver should do, and what becomes of it. */
static void regions_wrong(void) {
    KeLeaveCriticalRegion();
    check_regions(1, 0, 0, PASSIVE_LEVEL);
    KeEnterCriticalRegion();
    check_regions(0, 0, 0, PASSIVE_LEVEL);
    KeLeaveGuardedRegion();
    check_regions(0, 1, 1, PASSIVE_LEVEL);
    KeEnterGuardedRegion();
    KfRaiseIrql(HIGH_LEVEL);
    KeEnterCriticalRegion();
    KeEnterGuardedRegion();
    check_regions(-1, -1, 1, HIGH_LEVEL);
    KeLowerIrql(PASSIVE_LEVEL);
    KeLeaveCriticalRegion();
    KeLeaveGuardedRegion();
    check_regions(0, 0, 0, PASSIVE_LEVEL);
}

static void check_mutant(KMUTANT *mutant, LONG state, UCHAR apc_disable) {
    LIST_ENTRY *owned = (LIST_ENTRY *)THREAD(MUTANTS);
    int is_owned = state <= 0;
    IS(mutant->Header.Type, 2);
    IS(mutant->Header.Flags1, 0x55);
    IS(mutant->Header.Size, 14);
    IS(mutant->Header.Flags3, 0x55);
    IS(mutant->Header.SignalState, state);
    IS(mutant->OwnerThread, is_owned ? KeGetCurrentThread() : NULL);
    IS(mutant->Abandoned, 0);
    IS(mutant->ApcDisable, apc_disable);
    IS(owned->Flink, is_owned ? &mutant->MutantListEntry : owned);
    IS(owned->Blink, is_owned ? &mutant->MutantListEntry : owned);
    if (is_owned) {
        IS(mutant->MutantListEntry.Flink, owned);
        IS(mutant->MutantListEntry.Blink, owned);
    }
    check_regions(is_owned && apc_disable ? -1 : 0, 0, 0, PASSIVE_LEVEL);
}

#define TAKE(mutant) KeWaitForSingleObject(&(mutant), 0, 0, 0, NULL)

static void mutexes(void) {
    KMUTANT mutant;
    for (UCHAR apc_disable = 0; apc_disable < 2; apc_disable++) {
        FILL(mutant);
        if (apc_disable) {
            KeInitializeMutex(&mutant, 123);
        } else {
            KeInitializeMutant(&mutant, 1);
            check_mutant(&mutant, 0, 0);
            IS(KeReleaseMutant(&mutant, 1, 0, 0), 0);
            FILL(mutant);
            KeInitializeMutant(&mutant, 0);
        }
        check_mutant(&mutant, 1, apc_disable);
        IS(mutant.MutantListEntry.Flink, FILLER);
        for (LONG count = 0; count < 8; count++) {
            IS(TAKE(mutant), STATUS_SUCCESS);
            check_mutant(&mutant, -count, apc_disable);
        }
        for (LONG count = -7; count <= 0; count++) {
            IS(KeReleaseMutex(&mutant, 0), count);
            check_mutant(&mutant, count + 1, apc_disable);
        }
        IS(TAKE(mutant), STATUS_SUCCESS);
        mutant.Header.SignalState = (LONG)0x80000001;
        IS(TAKE(mutant), STATUS_SUCCESS);
        check_mutant(&mutant, (LONG)0x80000000, apc_disable);
#if HAS_SEH
        IS(RAISED(TAKE(mutant)), STATUS_MUTANT_LIMIT_EXCEEDED);
        check_mutant(&mutant, (LONG)0x80000000, apc_disable);
#endif
        mutant.Header.SignalState = -1;
        IS(KeReleaseMutant(&mutant, 1, 0, 0), -1);
        check_mutant(&mutant, 0, apc_disable);
        IS(KeReleaseMutant(&mutant, 1, 0, 0), 0);
        check_mutant(&mutant, 1, apc_disable);
#if HAS_SEH
        IS(RAISED(KeReleaseMutant(&mutant, 1, 0, 0)), STATUS_MUTANT_NOT_OWNED);
        check_mutant(&mutant, 1, apc_disable);
#endif
    }
}

static void check_guarded(MUTEX *mutex, LONG count, void *owner, SHORT kernel, SHORT special, UCHAR level) {
    IS(mutex->Count, count);
    IS(mutex->Owner, owner);
    IS(mutex->Contention, 0);
    IS(mutex->KernelApcDisable, 0x5555);
    IS(mutex->SpecialApcDisable, 0x5555);
    check_regions(kernel, special, special || level >= APC_LEVEL, level);
}

static void guarded_mutexes_at(UCHAR level, SHORT kernel, SHORT special) {
    void *self = KeGetCurrentThread();
    MUTEX mutex;
    KfRaiseIrql(level);
    KERNEL_COUNT = kernel;
    SPECIAL_COUNT = special;
    FILL(mutex);
    KeInitializeGuardedMutex(&mutex);
    check_guarded(&mutex, 1, NULL, kernel, special, level);
    KeAcquireGuardedMutex(&mutex);
    check_guarded(&mutex, 0, self, kernel, special - 1, level);
    IS(KeTryToAcquireGuardedMutex(&mutex), 0);
    check_guarded(&mutex, 0, self, kernel, special - 1, level);
    KeReleaseGuardedMutex(&mutex);
    check_guarded(&mutex, 1, NULL, kernel, special, level);
    IS(KeTryToAcquireGuardedMutex(&mutex), 1);
    check_guarded(&mutex, 0, self, kernel, special - 1, level);
    KeReleaseGuardedMutex(&mutex);
    KeAcquireGuardedMutexUnsafe(&mutex);
    check_guarded(&mutex, 0, self, kernel, special, level);
    KeReleaseGuardedMutexUnsafe(&mutex);
    check_guarded(&mutex, 1, NULL, kernel, special, level);
    KeAcquireGuardedMutex(&mutex);
    KeReleaseGuardedMutexUnsafe(&mutex);
    check_guarded(&mutex, 1, NULL, kernel, special - 1, level);
    KeLeaveGuardedRegion();
    check_guarded(&mutex, 1, NULL, kernel, special, level);
    KERNEL_COUNT = 0;
    SPECIAL_COUNT = 0;
    KeLowerIrql(PASSIVE_LEVEL);
}

static void guarded_mutexes(void) {
    guarded_mutexes_at(PASSIVE_LEVEL, 0, 0);
    guarded_mutexes_at(PASSIVE_LEVEL, -3, 0);
    guarded_mutexes_at(PASSIVE_LEVEL, 0, -1);
    guarded_mutexes_at(PASSIVE_LEVEL, -3, -2);
    guarded_mutexes_at(APC_LEVEL, 0, 0);
    guarded_mutexes_at(APC_LEVEL, -1, -1);
}

static void guarded_mutexes_high(void) {
    MUTEX mutex;
    guarded_mutexes_at(DISPATCH_LEVEL, 0, 0);
    guarded_mutexes_at(HIGH_LEVEL, -3, -2);
    FILL(mutex);
    KeInitializeGuardedMutex(&mutex);
    KeReleaseGuardedMutexUnsafe(&mutex);
    check_guarded(&mutex, 0, NULL, 0, 0, PASSIVE_LEVEL);
    KeReleaseGuardedMutex(&mutex);
    check_guarded(&mutex, 1, NULL, 0, 1, PASSIVE_LEVEL);
    KeReleaseGuardedMutex(&mutex);
    check_guarded(&mutex, 0, NULL, 0, 2, PASSIVE_LEVEL);
    SPECIAL_COUNT = 0;
}

static void check_fast(MUTEX *mutex, LONG count, void *owner, ULONG old, UCHAR level) {
    IS(mutex->Count, count);
    IS(mutex->Owner, owner);
    IS(mutex->Contention, 0);
    IS(mutex->OldIrql, old);
    IS(KeGetCurrentIrql(), level);
}

static void fast_mutexes_at(UCHAR level) {
    void *self = KeGetCurrentThread();
    MUTEX mutex;
    FILL(mutex);
    mutex.Count = 1;
    mutex.Owner = NULL;
    mutex.Contention = 0;
    KeInitializeEvent(&mutex.Gate, 1, 0);
    KfRaiseIrql(level);
    ExAcquireFastMutex(&mutex);
    check_fast(&mutex, 0, self, level, APC_LEVEL);
    IS(ExTryToAcquireFastMutex(&mutex), 0);
    check_fast(&mutex, 0, self, level, APC_LEVEL);
    ExReleaseFastMutex(&mutex);
    check_fast(&mutex, 1, NULL, level, level);
    IS(ExTryToAcquireFastMutex(&mutex), 1);
    check_fast(&mutex, 0, self, level, APC_LEVEL);
    ExReleaseFastMutex(&mutex);
    check_fast(&mutex, 1, NULL, level, level);
    ExAcquireFastMutexUnsafe(&mutex);
    check_fast(&mutex, 0, self, level, level);
    ExReleaseFastMutexUnsafe(&mutex);
    check_fast(&mutex, 1, NULL, level, level);
    mutex.OldIrql = 0x55555555;
    ExAcquireFastMutexUnsafe(&mutex);
    check_fast(&mutex, 0, self, 0x55555555, level);
    ExReleaseFastMutexUnsafe(&mutex);
    KeLowerIrql(PASSIVE_LEVEL);
}

static void fast_mutexes(void) {
    fast_mutexes_at(PASSIVE_LEVEL);
    fast_mutexes_at(APC_LEVEL);
}

static void fast_mutexes_high(void) {
    fast_mutexes_at(DISPATCH_LEVEL);
    fast_mutexes_at(HIGH_LEVEL);
}

/* The two members of an interrupt object that the routine looks at, of Windows Server 2003. */
typedef union {
    UCHAR bytes[0x100];
    struct {
        UCHAR before[0x38];
        ULONG64 *ActualLock;
        UCHAR between[0x0D];
        UCHAR SynchronizeIrql;
    };
} INTERRUPT;

static struct {
    UCHAR answer, level;
    ULONG64 lock;
} synchronized;

static UCHAR synchronize_routine(void *context) {
    IS(context, &synchronized);
    IS(KeGetCurrentIrql(), synchronized.level);
    IS(synchronized.lock != 0, 1);
    return synchronized.answer;
}

static void interrupts(void) {
    INTERRUPT interrupt;
    void *object = (void *)FILLER;
    FILL(interrupt);
    interrupt.ActualLock = &synchronized.lock;
    synchronized.lock = 0;
    for (synchronized.answer = 0; synchronized.answer <= 2; synchronized.answer++) {
        for (UCHAR from = PASSIVE_LEVEL; from <= HIGH_LEVEL; from++) {
            KfRaiseIrql(from);
            for (UCHAR to = from > DISPATCH_LEVEL ? from : DISPATCH_LEVEL; to <= HIGH_LEVEL; to++) {
                interrupt.SynchronizeIrql = synchronized.level = to;
                IS(KeSynchronizeExecution(&interrupt, synchronize_routine, &synchronized), synchronized.answer);
                IS(KeGetCurrentIrql(), from);
                IS(synchronized.lock, 0);
            }
            KeLowerIrql(PASSIVE_LEVEL);
        }
    }
    IS(IoConnectInterrupt(&object, synchronize_routine, NULL, NULL, 0, 0, 0, 0, 0, 1, 0), (NTSTATUS)0xC000000D);
    IS(object, NULL);
}

static void device_queues(void) {
    KDEVICE_QUEUE queue;
    KDEVICE_QUEUE_ENTRY first, entries[5];
    static const ULONG keys[5] = {3, 1, 2, 2, 0};
    FILL(queue);
    KeInitializeDeviceQueue(&queue);
    IS(queue.Type, 20);
    IS(queue.Size, 40);
    IS(queue.Busy & 1, 0);
    KfRaiseIrql(DISPATCH_LEVEL);
    first.Inserted = 1;
    IS(KeInsertDeviceQueue(&queue, &first), 0);
    IS(first.Inserted, 0);
    IS(queue.Busy & 1, 1);
    for (ULONG index = 0; index < 5; index++) {
        entries[index].SortKey = index;
        IS(KeInsertDeviceQueue(&queue, &entries[index]), 1);
        IS(entries[index].Inserted, 1);
        IS(entries[index].SortKey, index);
    }
    IS(KeRemoveEntryDeviceQueue(&queue, &entries[2]), 1);
    IS(entries[2].Inserted, 0);
    IS(KeRemoveEntryDeviceQueue(&queue, &entries[2]), 0);
    IS(KeRemoveDeviceQueue(&queue), &entries[0]);
    IS(KeRemoveDeviceQueue(&queue), &entries[1]);
    IS(KeRemoveDeviceQueue(&queue), &entries[3]);
    IS(KeRemoveDeviceQueue(&queue), &entries[4]);
    IS(KeRemoveDeviceQueue(&queue), NULL);
    IS(queue.Busy & 1, 0);
    IS(KeInsertByKeyDeviceQueue(&queue, &first, 7), 0);
    for (ULONG index = 0; index < 5; index++)
        IS(KeInsertByKeyDeviceQueue(&queue, &entries[index], keys[index]), 1);
    IS(KeRemoveDeviceQueue(&queue), &entries[4]);
    IS(KeRemoveDeviceQueue(&queue), &entries[1]);
    IS(KeRemoveDeviceQueue(&queue), &entries[2]);
    IS(KeRemoveDeviceQueue(&queue), &entries[3]);
    IS(KeRemoveDeviceQueue(&queue), &entries[0]);
    IS(KeRemoveDeviceQueue(&queue), NULL);
    KeLowerIrql(PASSIVE_LEVEL);
}

/* "TOBS", as tags are spelled. */
#define TAG 0x53424F54

static void irps(void) {
    ULONG size = sizeof(IRP) + 5 * sizeof(IO_STACK_LOCATION);
    IRP *irp = ExAllocatePoolWithTag(0, size, TAG);
    fill(irp, size);
    IoInitializeIrp(irp, (USHORT)size, 5);
    IS(irp->Type, 6);
    IS(irp->Size, size);
    IS(irp->StackCount, 5);
    IS(irp->CurrentLocation, 6);
    IS(irp->CurrentStackLocation, (IO_STACK_LOCATION *)(irp + 1) + 5);
    IS(irp->ThreadListEntry.Flink, &irp->ThreadListEntry);
    ExFreePoolWithTag(irp, TAG);
    for (UCHAR quota = 0; quota < 2; quota++) {
        irp = IoAllocateIrp(2, quota);
        IS(irp->Type, 6);
        IS(irp->Size >= sizeof(IRP) + 2 * sizeof(IO_STACK_LOCATION), 1);
        IS(irp->StackCount, 2);
        IS(irp->CurrentLocation, 3);
        IS(irp->CurrentStackLocation, (IO_STACK_LOCATION *)(irp + 1) + 2);
        IS(irp->ThreadListEntry.Flink, &irp->ThreadListEntry);
        /* Of a fixed size. */
        IS(irp->AllocationFlags & 4, 4);
        IoFreeIrp(irp);
    }
}

static void mdls(void) {
    IRP *irp = IoAllocateIrp(1, 0);
    MDL *mdl = IoAllocateMdl((void *)0x12345678, 2 * 4096 + 184, 0, 0, irp);
    IS(mdl->Next, NULL);
    IS(mdl->ByteCount, 2 * 4096 + 184);
    IS(mdl->ByteOffset, 0x678);
    IS(mdl->StartVa, 0x12345000);
    IS(irp->MdlAddress, mdl);
    IoFreeMdl(mdl);
    irp->MdlAddress = NULL;
    IoFreeIrp(irp);
}


#define POOL_TAG(memory) (((ULONG *)(memory))[-3])

static void pools(void) {
    static const ULONG sizes[] = {1, 8, 100, 4064, 4065, 4072, 4096, 4097, 10000};
    for (ULONG type = 0; type < 2; type++) {
        for (ULONG index = 0; index < sizeof(sizes) / sizeof(*sizes); index++) {
            UCHAR *memory = ExAllocatePoolWithTag(type, sizes[index], TAG);
            fill(memory, sizes[index]);
            if (sizes[index] <= 4064) {
                IS((ULONG64)memory % 16, 0);
                IS((ULONG64)memory % 4096 != 0, 1);
                IS(POOL_TAG(memory), TAG);
            } else {
                IS((ULONG64)memory % 4096, 0);
            }
            ExFreePoolWithTag(memory, TAG);
        }
    }
}

static int is_named(const UNICODE_STRING *string, const WCHAR *text, UCHAR fold) {
    UNICODE_STRING other;
    RtlInitUnicodeString(&other, text);
    return RtlEqualUnicodeString(string, &other, fold);
}

static ULONG flags_at_entry;
static ULONG count_of_routines;

NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path);

static void drivers(void) {
    DRIVER_EXTENSION *extension = this_driver->DriverExtension;
    UNICODE_STRING *hardware = this_driver->HardwareDatabase;
    UNICODE_STRING *key = &extension->ServiceKeyName;
    IS(this_driver->Type, 4);
    IS(this_driver->Size, sizeof(DRIVER_OBJECT));
    IS(flags_at_entry, 2);
    IS(this_driver->Flags, 0x12);
    IS(extension, this_driver + 1);
    IS(extension->DriverObject, this_driver);
    IS(extension->AddDevice, NULL);
    IS(extension->Count, 0);
    IS(count_of_routines, 28);
    IS(this_driver->DriverInit, DriverEntry);
    IS((UCHAR *)this_driver->DriverStart < (UCHAR *)drivers, 1);
    IS(this_driver->DriverName.Length, this_driver->DriverName.MaximumLength);
    IS(is_named(hardware, u"\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\SYSTEM", 0), 1);
    IS(hardware->MaximumLength, hardware->Length + 2);
    IS(key->MaximumLength, key->Length + 2);
    IS(key->Buffer[key->Length / 2], 0);
    IS(this_driver->MajorFunction[3] != NULL, 1);
    for (ULONG major = 4; major < 28; major++)
        if (major != 14 && major != 18)
            IS(this_driver->MajorFunction[major], this_driver->MajorFunction[3]);
}

static void devices(void) {
    static const WCHAR name[] = u"\\Device\\ObservedToo";
    UNICODE_STRING string;
    DEVICE_OBJECT *device;
    RtlInitUnicodeString(&string, name);
    for (UCHAR exclusive = 0; exclusive < 2; exclusive++) {
        IS(IoCreateDevice(this_driver, 0, &string, 0x22, 0, exclusive, &device), STATUS_SUCCESS);
        SHORT *extension = *(SHORT **)((UCHAR *)device + 0x138);
        IS(device->Type, 3);
        IS(device->Size, sizeof(DEVICE_OBJECT));
        IS(device->ReferenceCount, 0);
        IS(device->DriverObject, this_driver);
        IS(this_driver->DeviceObject, device);
        IS(device->AttachedDevice, NULL);
        IS(device->Characteristics, 0);
        IS(device->Flags, exclusive ? 0xC8 : 0xC0);
        IS(device->DeviceType, 0x22);
        IS(device->StackSize, 1);
        IS(device->DeviceExtension, NULL);
        IS(extension[0], 13);
        IS(extension[1], 0);
        IS(*(DEVICE_OBJECT **)(extension + 4), device);
        DEVICE_OBJECT *again = NULL;
        IS(IoCreateDevice(this_driver, 0, &string, 0x22, 0, 0, &again), (NTSTATUS)0xC0000035);
        IS(again, NULL);
        IoDeleteDevice(device);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"levels", levels},
    {"spin locks", spin_locks},
    {"spin locks, high", spin_locks_high},
    {"dpcs", dpcs},
    {"events", events},
    {"waits", waits},
    {"regions", regions},
    {"regions, wrong", regions_wrong},
    {"mutexes", mutexes},
    {"guarded mutexes", guarded_mutexes},
    {"guarded mutexes, high", guarded_mutexes_high},
    {"fast mutexes", fast_mutexes},
    {"fast mutexes, high", fast_mutexes_high},
    {"interrupts", interrupts},
    {"device queues", device_queues},
    {"irps", irps},
    {"mdls", mdls},
    {"pools", pools},
    {"drivers", drivers},
    {"devices", devices},
};

static int is_text(const char *text, const char *bytes, ULONG length) {
    ULONG at = 0;
    while (at < length && text[at] && text[at] == bytes[at])
        at++;
    return at == length && !text[at];
}

static NTSTATUS run(IRP *irp, IO_STACK_LOCATION *location) {
    ULONG *answer = irp->SystemBuffer;
    for (ULONG index = 0; index < sizeof(tests) / sizeof(*tests); index++) {
        if (!is_text(tests[index].name, irp->SystemBuffer, location->InputLength))
            continue;
        counts[0] = counts[1] = 0;
        tests[index].run();
        IS(KeGetCurrentIrql(), PASSIVE_LEVEL);
        if (location->OutputLength >= sizeof(counts)) {
            answer[0] = counts[0];
            answer[1] = counts[1];
            irp->Information = sizeof(counts);
        }
        return STATUS_SUCCESS;
    }
    return STATUS_OBJECT_NAME_INVALID;
}

static void drop_counters(void) {
    counters = NULL;
    if (counters_mdl) {
        MmUnlockPages(counters_mdl);
        IoFreeMdl(counters_mdl);
        counters_mdl = NULL;
    }
}

static NTSTATUS share_counters(IO_STACK_LOCATION *location) {
    NTSTATUS status = STATUS_SUCCESS;
    drop_counters();
    if (location->InputLength < sizeof(counts))
        return (NTSTATUS)0xC000000D;
    counters_mdl = IoAllocateMdl(location->Type3InputBuffer, location->InputLength, 0, 0, NULL);
#if HAS_SEH
    status = RAISED(MmProbeAndLockPages(counters_mdl, 1, 2));
#else
    MmProbeAndLockPages(counters_mdl, 1, 2);
#endif
    if (status != STATUS_SUCCESS) {
        IoFreeMdl(counters_mdl);
        counters_mdl = NULL;
        return status;
    }
    counters = MmMapLockedPagesSpecifyCache(counters_mdl, 0, 1, NULL, 0, 16);
    location->FileObject->FsContext = counters_mdl;
    return status;
}

static NTSTATUS dispatch(DEVICE_OBJECT *device, IRP *irp) {
    IO_STACK_LOCATION *location = irp->CurrentStackLocation;
    NTSTATUS status = STATUS_SUCCESS;
    (void)device;
    irp->Information = 0;
    if (location->MajorFunction == 14) {
        status = location->Code == RUN        ? run(irp, location)
                 : location->Code == COUNTERS ? share_counters(location)
                                              : STATUS_INVALID_DEVICE_REQUEST;
    } else if (location->MajorFunction == 18) {
        drop_counters();
    }
    irp->Status = status;
    IofCompleteRequest(irp, 0);
    return status;
}

static void unload(DRIVER_OBJECT *driver) {
    UNICODE_STRING link;
    RtlInitUnicodeString(&link, u"\\??\\Observed");
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(driver->DeviceObject);
}

NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path) {
    UNICODE_STRING name, link;
    DEVICE_OBJECT *device;
    this_driver = driver;
    this_path = path;
    flags_at_entry = driver->Flags;
    for (ULONG major = 0; major < 28; major++)
        count_of_routines += driver->MajorFunction[major] == driver->MajorFunction[1];
    RtlInitUnicodeString(&name, u"\\Device\\Observed");
    RtlInitUnicodeString(&link, u"\\??\\Observed");
    NTSTATUS status = IoCreateDevice(driver, 16, &name, 0x22, 0x101, 0, &device);
    if (status < 0)
        return status;
    status = IoCreateSymbolicLink(&link, &name);
    if (status < 0) {
        IoDeleteDevice(device);
        return status;
    }
    driver->DriverUnload = unload;
    driver->MajorFunction[0] = dispatch;
    driver->MajorFunction[2] = dispatch;
    driver->MajorFunction[14] = dispatch;
    driver->MajorFunction[18] = dispatch;
    return STATUS_SUCCESS;
}
