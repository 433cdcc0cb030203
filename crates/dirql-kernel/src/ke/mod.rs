//! The kernel core: processors, IRQL, interrupts, DPCs, threads, waits, time.

mod bug_check;
mod clock;
mod dispatch;
mod dpc;
mod event;
mod fault;
pub(crate) mod interrupt;
mod irql;
mod mutex;
mod processor;
mod query;
mod region;
mod scheduler;
mod semaphore;
mod spin_lock;
mod synchronize;
mod thread;
mod timer;
mod trap;
mod wait;

use alloc::boxed::Box;
use core::cell::Cell;

pub use clock::ClockAction;
pub use fault::{Fault, FaultAccess, FaultKind};
pub use interrupt::{ConnectionId, InterruptKind};
pub use processor::{Processor, ProcessorId};
pub use scheduler::RunState;
pub use thread::{ThreadBody, ThreadId};

/// The state of this part of the kernel.
pub(crate) struct Ke {
    processors: Box<[Processor]>,
    current: Cell<u16>,
    steps: Cell<u64>,
    turn_started: Cell<u64>,
    give_turn: Cell<bool>,
    pub(crate) interrupts: interrupt::Interrupts,
    pub(crate) locks: spin_lock::Locks,
    clock: clock::Clock,
    threads: thread::Threads,
    waits: wait::Waits,
    dpcs: dpc::Dpcs,
}

impl Ke {
    pub(crate) fn new(processors: u16) -> Self {
        Self {
            processors: (0..processors.max(1)).map(|id| Processor::new(ProcessorId(id))).collect(),
            current: Cell::new(0),
            steps: Cell::new(0),
            turn_started: Cell::new(0),
            give_turn: Cell::new(false),
            interrupts: interrupt::Interrupts::default(),
            locks: spin_lock::Locks::default(),
            clock: clock::Clock::default(),
            threads: thread::Threads::default(),
            waits: wait::Waits::default(),
            dpcs: dpc::Dpcs::default(),
        }
    }
}
