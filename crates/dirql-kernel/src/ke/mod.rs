//! The kernel core: processors, IRQL, interrupts, DPCs, threads, waits, time.

mod affinity;
mod alert;
mod apc;
mod bug_check;
mod call_dpc;
mod callout;
mod choice;
mod claims;
pub(crate) mod clock;
mod dispatch;
mod dpc;
mod end;
mod event;
mod extended_state;
mod fault;
mod guarded_mutex;
pub(crate) mod interrupt;
mod intrude;
mod ipi;
mod irql;
mod kept;
mod last;
mod livelock;
mod lock_misuse;
mod lock_order;
mod merged;
mod mutex;
mod nmi;
mod nudge;
mod passive;
mod patience;
mod poll;
mod priority;
mod processor;
mod processor_change;
mod query;
mod queue;
mod quiet;
mod reader_writer_lock;
mod ready;
mod region;
mod scheduler;
mod semaphore;
mod spin_lock;
mod starvation;
mod synchronize;
mod system_lock;
mod system_thread;
#[cfg(test)]
mod tests;
mod thread;
mod threaded_dpc;
mod timer;
mod touch;
mod trap;
mod wait;
mod wait_block;
mod watchdog;

use alloc::boxed::Box;
use core::cell::{Cell, RefCell};

pub use alert::WaitMode;
pub use apc::ApcRequest;
pub use choice::{Choice, Chooser};
pub use clock::ClockAction;
pub use fault::{Fault, FaultAccess, FaultKind};
pub use interrupt::{ConnectionId, InterruptKind};
pub use intrude::Intruder;
pub use processor::{Processor, ProcessorId};
pub use scheduler::RunState;
pub use system_thread::MOST_DRIVER_THREADS;
pub use thread::{NativeBody, ThreadBody, ThreadId};
pub use touch::{Access as TouchAccess, Touch};

/// Processors of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affinity {
    pub(crate) group: u16,
    pub(crate) mask: u64,
}

impl Affinity {
    pub(crate) const fn contains(self, processor: ProcessorId) -> bool {
        processor.group() == self.group && self.mask & processor.mask() != 0
    }
}

/// Most processors: four groups of 64, which is what local APIC IDs of 8 bits can name.
const MOST_PROCESSORS: u16 = 256;

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Ke {
    processors: Box<[Processor]>,
    current: Cell<u16>,
    steps: quiet::Steps,
    turn_started: Cell<u64>,
    give_turn: Cell<bool>,
    /// Processors that have had nothing to do since they were last woken, by group; a bit each.
    asleep: [Cell<u64>; 4],
    /// Everything runs until there is nothing left to do: nobody is asked whether it is enough.
    nobody_asks: Cell<bool>,
    /// The current processor has switched to another thread, and has not gone on with it.
    switched: Cell<bool>,
    /// The processor whose idle strand came to rest last.
    idled_last: Cell<u16>,
    /// At the end of this turn any thread that is ready may run.
    starve_nobody: Cell<bool>,
    pub(crate) patience: patience::Patience,
    nudge: nudge::Nudge,
    choices: choice::Choices,
    intrusion: intrude::Intrusion,
    livelock: livelock::Livelock,
    starvation: starvation::Starvation,
    /// Where a driver was when the steps of the run were used up, and what it kept from running.
    busy_at_end: RefCell<Option<kept::Busy>>,
    pub(crate) interrupts: interrupt::Interrupts,
    claims: claims::Claims,
    merged: merged::Merged,
    locks: spin_lock::Locks,
    reader_writer_locks: reader_writer_lock::ReaderWriterLocks,
    lock_order: lock_order::LockOrder,
    clock: clock::Clock,
    pub(crate) polls: poll::Polls,
    threads: thread::Threads,
    waits: wait::Waits,
    apcs: apc::Apcs,
    alerts: alert::Alerts,
    queues: queue::Queues,
    mutexes: mutex::Mutexes,
    timers: timer::Timers,
    dpcs: dpc::Dpcs,
    passive: passive::Passive,
    ipi: ipi::Ipi,
    call_dpc: call_dpc::CallDpc,
    nmi: nmi::Nmi,
    bug_checks: bug_check::BugChecks,
    processor_changes: processor_change::ProcessorChanges,
}

impl Ke {
    pub(crate) fn new(processors: u16) -> Self {
        let count = processors.clamp(1, MOST_PROCESSORS);
        Self {
            processors: (0..count)
                .map(|id| Processor::new(ProcessorId(id)))
                .collect(),
            ..Self::default()
        }
    }
}
