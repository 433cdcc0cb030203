//! Objects a thread can wait for, the locks built on them, and device queues.
//!
//! Drivers hold these in their own memory and some read members directly, so they live there and
//! nowhere else.
//!
//! Source: WDK reference, "Kernel Dispatcher Objects", "Introduction to Spin Locks",
//! "Device Queue Objects"; wdm.h.

use crate::irql::Irql;
use crate::layout::{layouts, named_values};
use crate::list::ListEntry;

/// `KSPIN_LOCK`: 0 when free; bit 0 is set while it is held.
pub type KSpinLock = u64;

layouts! {
    /// First part of every object that a thread can wait for.
    struct DispatcherHeader = "DISPATCHER_HEADER", size 24 {
        /// One of [`object_type`].
        0 type_: u8 = "Type",
        /// `Absolute` of a timer, `Abandoned` of a mutant, `Signalling` of others.
        1 absolute: u8 = "TimerControlFlags",
        /// Size of the object in 32-bit words.
        2 size: u8 = "Size",
        /// `Inserted` of a timer (bit 6 since Windows 7), `DebugActive` of a thread.
        3 inserted: u8 = "TimerMiscFlags",
        /// Greater than 0: signalled. A mutant starts at 1 and goes down with each acquisition.
        4 signal_state: i32 = "SignalState",
        /// List of the wait blocks of the threads that wait.
        8 wait_list_head: ListEntry = "WaitListHead",
    }

    /// An event: [`object_type::EventNotificationObject`] stays signalled until it is reset,
    /// [`object_type::EventSynchronizationObject`] satisfies one wait.
    struct KEvent = "KEVENT", size 24 {
        0 header: DispatcherHeader = "Header",
    }

    /// A semaphore; `header.signal_state` is its count.
    struct KSemaphore = "KSEMAPHORE", size 32 {
        0 header: DispatcherHeader = "Header",
        24 limit: i32 = "Limit",
        28 padding28: u32,
    }

    /// A mutant, which drivers call a mutex (`KMUTEX`).
    struct KMutant = "KMUTANT", size 56 {
        0 header: DispatcherHeader = "Header",
        24 mutant_list_entry: ListEntry = "MutantListEntry",
        40 owner_thread: u64 = "OwnerThread",
        48 abandoned: u8 = "Abandoned",
        /// 1 when owning it disables normal kernel APCs, as `KeInitializeMutex` sets it.
        49 apc_disable: u8 = "ApcDisable",
        50 padding50: [u8; 6],
    }

    /// A timer, absolute or relative, one-shot or periodic.
    struct KTimer = "KTIMER", size 64 {
        0 header: DispatcherHeader = "Header",
        /// Interrupt time in 100 ns units at which it expires.
        24 due_time: u64 = "DueTime",
        32 timer_list_entry: ListEntry = "TimerListEntry",
        /// The DPC to queue at expiry, or null.
        48 dpc: u64 = "Dpc",
        /// Since Windows 7; before, the period lay here and nothing behind it.
        56 processor: u32 = "Processor",
        /// Period in milliseconds; 0 for one shot.
        60 period: u32 = "Period",
    }

    /// The synchronization event embedded in older locks.
    struct KGate = "KGATE", size 24 {
        0 header: DispatcherHeader = "Header",
    }

    /// A fast mutex.
    struct FastMutex = "FAST_MUTEX", size 56 {
        /// 1 when free, as the initialisation inlined into drivers sets it.
        0 count: i32 = "Count",
        4 padding4: u32,
        /// The owning thread, or null.
        8 owner: u64 = "Owner",
        16 contention: u32 = "Contention",
        20 padding20: u32,
        24 event: KEvent = "Event",
        /// Level at which the owner acquired it.
        48 old_irql: u32 = "OldIrql",
        52 padding52: u32,
    }

    /// A guarded mutex: a fast mutex that disables all kernel APCs instead of raising the level.
    struct KGuardedMutex = "KGUARDED_MUTEX", size 56 {
        0 count: i32 = "Count",
        4 padding4: u32,
        8 owner: u64 = "Owner",
        16 contention: u32 = "Contention",
        20 padding20: u32,
        24 gate: KGate = "Gate",
        48 kernel_apc_disable: i16 = "KernelApcDisable",
        50 special_apc_disable: i16 = "SpecialApcDisable",
        52 padding52: u32,
    }

    /// A queue that worker threads wait on.
    struct KQueue = "KQUEUE", size 64 {
        0 header: DispatcherHeader = "Header",
        24 entry_list_head: ListEntry = "EntryListHead",
        40 current_count: u32 = "CurrentCount",
        44 maximum_count: u32 = "MaximumCount",
        48 thread_list_head: ListEntry = "ThreadListHead",
    }

    /// One waiter of a queued spin lock.
    struct KSpinLockQueue = "KSPIN_LOCK_QUEUE", size 16 {
        0 next: u64 = "Next",
        8 lock: u64 = "Lock",
    }

    /// A queued spin lock's holder, on the holder's stack.
    struct KLockQueueHandle = "KLOCK_QUEUE_HANDLE", size 24 {
        0 lock_queue: KSpinLockQueue = "LockQueue",
        16 old_irql: Irql = "OldIrql",
        17 padding17: [u8; 7],
    }

    /// A queue of requests for a device, with the device's busy state.
    struct KDeviceQueue = "KDEVICE_QUEUE", size 40 {
        /// [`kernel_object_type::DeviceQueueObject`].
        0 type_: i16 = "Type",
        2 size: i16 = "Size",
        4 padding4: u32,
        8 device_list_head: ListEntry = "DeviceListHead",
        24 lock: KSpinLock = "Lock",
        /// Bit 0 is `Busy`; newer x64 systems keep a hint in the rest.
        32 busy: u8 = "Busy",
        33 padding33: [u8; 7],
    }

    /// A queued request.
    struct KDeviceQueueEntry = "KDEVICE_QUEUE_ENTRY", size 24 {
        0 device_list_entry: ListEntry = "DeviceListEntry",
        16 sort_key: u32 = "SortKey",
        20 inserted: u8 = "Inserted",
        21 padding21: [u8; 3],
    }

    /// One thread's wait for one object.
    struct KWaitBlock = "KWAIT_BLOCK", size 48 {
        0 wait_list_entry: ListEntry = "WaitListEntry",
        16 thread: u64 = "Thread",
        24 object: u64 = "Object",
        32 next_wait_block: u64 = "NextWaitBlock",
        40 wait_key: u16 = "WaitKey",
        /// 0 wait for all, 1 wait for any.
        42 wait_type: u8 = "WaitType",
        43 block_state: u8 = "BlockState",
        44 spare_long: i32 = "SpareLong",
    }

    /// A work item of the executive's worker threads.
    struct WorkQueueItem = "WORK_QUEUE_ITEM", size 32 {
        0 list: ListEntry = "List",
        16 worker_routine: u64 = "WorkerRoutine",
        24 parameter: u64 = "Parameter",
    }

    /// An executive resource: a lock with shared and exclusive owners.
    ///
    /// Drivers reserve the storage; members belong to the kernel.
    struct EResource = "ERESOURCE", size 104 {
        0 system_resources_list: ListEntry = "SystemResourcesList",
        16 owner_table: u64 = "OwnerTable",
        24 active_count: i16 = "ActiveCount",
        26 flag: u16 = "Flag",
        28 padding28: u32,
        32 shared_waiters: u64 = "SharedWaiters",
        40 exclusive_waiters: u64 = "ExclusiveWaiters",
        48 owner_entry: [u64; 2] = "OwnerEntry",
        64 active_entries: u32 = "ActiveEntries",
        68 contention_count: u32 = "ContentionCount",
        72 number_of_shared_waiters: u32 = "NumberOfSharedWaiters",
        76 number_of_exclusive_waiters: u32 = "NumberOfExclusiveWaiters",
        80 reserved2: u64 = "Reserved2",
        88 address: u64 = "Address",
        96 spin_lock: KSpinLock = "SpinLock",
    }
}

named_values! {
    /// `KOBJECTS` up to the timers: `Type` of a [`DispatcherHeader`].
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod object_type: u8 {
        EventNotificationObject = 0,
        EventSynchronizationObject = 1,
        MutantObject = 2,
        ProcessObject = 3,
        QueueObject = 4,
        SemaphoreObject = 5,
        ThreadObject = 6,
        GateObject = 7,
        TimerNotificationObject = 8,
        TimerSynchronizationObject = 9,
    }

    /// `KOBJECTS` from 18: `Type` of control objects.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod kernel_object_type: u8 {
        ApcObject = 18,
        DpcObject = 19,
        DeviceQueueObject = 20,
        EventPairObject = 21,
        InterruptObject = 22,
        ProfileObject = 23,
        ThreadedDpcObject = 24,
    }

    /// `WAIT_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod wait_type: u32 {
        WaitAll = 0,
        WaitAny = 1,
    }

    /// `EVENT_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod event_type: u32 {
        NotificationEvent = 0,
        SynchronizationEvent = 1,
    }

    /// `TIMER_TYPE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod timer_type: u32 {
        NotificationTimer = 0,
        SynchronizationTimer = 1,
    }

    /// `MODE` and `KPROCESSOR_MODE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod processor_mode: u8 {
        KernelMode = 0,
        UserMode = 1,
    }
}

/// `MAXIMUM_WAIT_OBJECTS`: the most that one wait can name, with a caller's wait blocks.
pub const MAXIMUM_WAIT_OBJECTS: u32 = 64;
/// `THREAD_WAIT_OBJECTS`: the most without them.
pub const THREAD_WAIT_OBJECTS: u32 = 3;
