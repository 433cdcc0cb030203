//! The executive's services for drivers: pool by its public names, lists, locks for threads,
//! callbacks, exceptions.
//!
//! Source: WDK reference, the `Ex` routines; the page of each is named at its method.

mod callback;
mod etw;
mod fast_mutex;
mod interlocked;
mod lookaside;
mod misc;
mod pool;
mod probe;
mod push_lock;
mod resource;
mod rundown;
mod slist;
mod system_information;
mod timer;
mod work_item;
mod wpp;

use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};

pub use callback::CallbackLeft;
pub use push_lock::Hold;

/// The state of the executive.
#[derive(Default)]
pub(crate) struct Ex {
    callbacks: RefCell<callback::Callbacks>,
    lookasides: RefCell<BTreeMap<u64, lookaside::Lookaside>>,
    resources: RefCell<BTreeMap<u64, resource::Resource>>,
    /// Events that waits for resources use, when nobody waits.
    free_events: RefCell<alloc::vec::Vec<u64>>,
    uuids: Cell<u64>,
    luids: Cell<u64>,
    push_locks: RefCell<push_lock::PushLocks>,
    providers: RefCell<etw::Providers>,
    /// The event of whoever waits, by run-down reference.
    rundowns: RefCell<BTreeMap<u64, u64>>,
    timers: RefCell<BTreeMap<u64, timer::ExTimer>>,
    work_items: RefCell<BTreeMap<u64, dirql_rules::Place>>,
}
