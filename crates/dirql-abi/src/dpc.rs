//! Deferred procedure calls.
//!
//! Source: WDK reference, wdm.KDPC, "DPC Objects and DPCs"; wdm.h.

use crate::layout::{layouts, named_values};
use crate::list::ListEntry;

layouts! {
    /// A deferred procedure call. It can be queued once at a time.
    struct KDpc = "KDPC", size 64 {
        /// 19 ordinary, 24 threaded; see [`crate::dispatcher::kernel_object_type`].
        0 type_: u8 = "Type",
        /// One of [`importance`].
        1 importance: u8 = "Importance",
        /// Target processor plus a bias of the system's own, or 0 for none set.
        2 number: u16 = "Number",
        4 padding4: u32,
        8 dpc_list_entry: ListEntry = "DpcListEntry",
        24 deferred_routine: u64 = "DeferredRoutine",
        32 deferred_context: u64 = "DeferredContext",
        40 system_argument1: u64 = "SystemArgument1",
        48 system_argument2: u64 = "SystemArgument2",
        /// The queue it is on; null when it is not queued.
        56 dpc_data: u64 = "DpcData",
    }

    /// What `KeQueryDpcWatchdogInformation` writes. All times are in ticks.
    struct KDpcWatchdogInformation = "KDPC_WATCHDOG_INFORMATION", size 20 {
        0 dpc_time_limit: u32 = "DpcTimeLimit",
        4 dpc_time_count: u32 = "DpcTimeCount",
        8 dpc_watchdog_limit: u32 = "DpcWatchdogLimit",
        12 dpc_watchdog_count: u32 = "DpcWatchdogCount",
        16 reserved: u32 = "Reserved",
    }
}

named_values! {
    /// `KDPC_IMPORTANCE`.
    #[expect(non_upper_case_globals, reason = "spelled as the enumeration of the headers")]
    mod importance: u8 {
        /// Queued at the end; another processor is not disturbed for it.
        LowImportance = 0,
        /// Queued at the end; the default.
        MediumImportance = 1,
        /// Queued at the front.
        HighImportance = 2,
        /// Queued at the end, and at once on other processors too. Since Windows Vista.
        MediumHighImportance = 3,
    }
}
