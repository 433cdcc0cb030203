//! What a processor that does not lower its level keeps from running.
//!
//! The other half of a loop that never ends: it waits for something, and what would do that cannot
//! run because of it. Which of those it waits for nobody can tell; the first one that is found is
//! named, those that wait for a lock of the loop's first.

use alloc::string::String;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_rules::{Context, Place};

use crate::Kernel;
use crate::ke::processor::Spin;
use crate::report::CurrentDdi;

/// What an interrupt has come upon, below DISPATCH_LEVEL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupted {
    step: u64,
    time_100ns: u64,
    irql: Irql,
    context: Context,
    ddi: CurrentDdi,
    /// The instruction before which the code waits, where no routine is carried out for it.
    waiting: u64,
}

/// Where a driver is busy, and what that keeps from running.
pub(super) type Busy = (Place, Option<(String, Place)>);

/// What waits for a processor.
#[derive(Default)]
pub(crate) struct Kept {
    /// The thread that was interrupted on it, while the level is not that thread's.
    interrupted: Cell<Option<Interrupted>>,
    /// Where it waits itself for another one.
    waits: RefCell<Option<Place>>,
    /// Where it was when its latest turn in a long stretch at or above DISPATCH_LEVEL was over.
    loops: RefCell<Option<Place>>,
}

impl Kernel {
    /// An interrupt is taken, which the `ddi` waits for. Returns what is to be handed to
    /// [`Kernel::interrupt_is_over`].
    pub(super) fn interrupt_begins(&self, ddi: CurrentDdi) -> Option<Interrupted> {
        let kept = &self.processor().kept;
        let before = kept.interrupted.get();
        let (irql, context) = (self.irql(), self.context());
        if irql < Irql::DISPATCH && matches!(context, Context::Thread(_)) {
            kept.interrupted.set(Some(Interrupted {
                step: self.step(),
                time_100ns: self.time_100ns(),
                irql,
                context,
                ddi,
                waiting: self.report.waiting(),
            }));
        }
        before
    }

    /// What was interrupted goes on.
    pub(super) fn interrupt_is_over(&self, before: Option<Interrupted>) {
        self.processor().kept.interrupted.set(before);
    }

    /// The processor waits for another one from now on, or no longer.
    pub(super) fn note_wait(&self, waits: bool) {
        let place = waits.then(|| self.here());
        *self.processor().kept.waits.borrow_mut() = place;
    }

    /// The run's steps are used up: where the driver was at that moment, and what it kept from running.
    pub(super) fn note_who_is_busy(&self) {
        let mut place = self.here();
        if place.address == 0 && self.report.waiting() != 0 {
            place.address = self.platform().original(self.report.waiting());
        }
        let kept = if self.irql() < Irql::DISPATCH {
            None
        } else {
            self.kept_from_running()
        };
        *self.ke.busy_at_end.borrow_mut() = (place.address != 0).then_some((place, kept));
    }

    /// Where a driver was when the run's steps were used up, and what it kept from running then.
    #[must_use]
    pub fn busy_at_end(&self) -> Option<Busy> {
        self.ke.busy_at_end.borrow().clone()
    }

    /// The processor has been at or above DISPATCH_LEVEL for long, and its turn is over.
    pub(super) fn note_loop(&self) {
        *self.processor().kept.loops.borrow_mut() = Some(self.here());
    }

    /// Where another processor loops at the same time, each perhaps until the other one is done.
    pub(super) fn loops_meanwhile(&self) -> Option<(String, Place)> {
        let me = self.processor().id;
        let others = self.processors().iter().filter(|other| other.id != me);
        let mut looping = others.filter(|other| self.is_long_at_high_level(other));
        let place = looping.find_map(|other| other.kept.loops.borrow().clone())?;
        let text = "another processor has been in a loop here for as long";
        Some((String::from(text), place))
    }

    /// What cannot run before this processor lowers its level, or releases a lock; where the level
    /// comes from if nothing is known to wait.
    #[must_use]
    pub fn kept_from_running(&self) -> Option<(String, Place)> {
        self.waits_for_lock_of_ours()
            .or_else(|| self.interrupted_here())
            .or_else(|| self.dpc_that_waits())
            .or_else(|| self.raised_here())
    }

    fn waits_for_lock_of_ours(&self) -> Option<(String, Place)> {
        let me = self.processor().id;
        self.processors().iter().find_map(|other| {
            let (Spin::Lock(lock) | Spin::QueuedLock(lock)) = other.spin.get()? else {
                return None;
            };
            self.holder(lock).filter(|(id, _)| *id == me)?;
            let place = other.kept.waits.borrow().clone()?;
            let text = "a processor waits here for a spin lock that the loop holds";
            Some((String::from(text), place))
        })
    }

    fn interrupted_here(&self) -> Option<(String, Place)> {
        let processor = self.processor();
        let at = processor.kept.interrupted.get()?;
        let address = match at.ddi.name() {
            Some(_) => at.ddi.return_address(),
            None if at.waiting == 0 => 0,
            None => self.platform().original(at.waiting),
        };
        let place = Place {
            step: at.step,
            time_100ns: at.time_100ns,
            processor: processor.id.0,
            irql: at.irql.0,
            context: at.context,
            ddi: at.ddi.name(),
            address,
        };
        let text = "this was interrupted, and goes on when the level falls";
        Some((String::from(text), place))
    }

    fn dpc_that_waits(&self) -> Option<(String, Place)> {
        let first = self.processor().dpc_queue.borrow().front().copied()?;
        let queued = self.queued_dpc(first)?;
        let text = "a DPC was queued here, and runs when the level falls";
        Some((String::from(text), queued.place))
    }
}
