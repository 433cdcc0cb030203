//! Driver code that runs and makes no step: it polls memory, computes, or hangs.
//!
//! A yield point is where something else can happen, and a loop over plain memory has none.
//! So whoever watches the driver from outside says from time to time that it still runs, and
//! what could change what the driver waits for is made to happen at the interrupted point.

use core::cell::Cell;

use dirql_abi::Irql;

use crate::Kernel;

/// Virtual time that the first nudge in a row lets pass if nothing else happens, 100 ns units:
/// 1 ms. Each one after it lets twice as much pass.
const FIRST_100NS: u64 = 10_000;

/// Nudges in a row after which nothing is expected to change any more: by then a quarter
/// of an hour of virtual time has passed.
const MOST: u32 = 20;

#[derive(Default)]
pub(super) struct Nudge {
    /// Nudges since the driver's last own step.
    in_a_row: Cell<u32>,
    /// Steps when the nudged code went on.
    step: Cell<u64>,
    /// A nudge is being attended to.
    pending: Cell<bool>,
}

impl Kernel {
    /// The driver code that runs now has made no step for a while, and polls perhaps. Lets
    /// happen what could change what it polls: interrupts that wait are delivered, other
    /// processors and threads run, and time passes to the next event.
    ///
    /// For a signal handler that has interrupted driver code: it runs no driver code itself.
    /// After `true` the platform calls [`Kernel::attend`] on the interrupted strand, as after
    /// a trapped instruction, and then lets the driver go on. `false` means that nothing is
    /// left that could change anything, or that all of it has been tried: if the code still
    /// makes no step it hangs.
    #[must_use]
    pub fn nudge(&self) -> bool {
        let nudge = &self.ke.nudge;
        if self.has_ended() {
            return true;
        }
        let is_alone = nudge.step.get() == self.step() && !nudge.pending.get();
        nudge.in_a_row.set(if is_alone {
            nudge.in_a_row.get() + 1
        } else {
            0
        });
        if nudge.in_a_row.get() >= MOST {
            return false;
        }
        let something = self.prepare_nudge(nudge.in_a_row.get());
        nudge.pending.set(something);
        if something {
            self.give_up_turn();
        }
        something
    }

    fn prepare_nudge(&self, in_a_row: u32) -> bool {
        let me = self.processor();
        if self.needs_attention() || self.is_any_other_runnable() {
            return true;
        }
        if self.irql() < Irql::DISPATCH && self.thread_is_ready_for(me) {
            // Also one of lower priority: Windows lets none starve for ever.
            self.ke.starve_nobody.set(true);
            return true;
        }
        if !self.has_alarms() {
            return false;
        }
        let before = self.time_100ns();
        self.pass_time(FIRST_100NS << in_a_row);
        if !self.needs_attention() {
            self.pass_time_to_next_event();
        }
        let passed = self.time_100ns() - before;
        self.ke.patience.does_not_count(passed);
        true
    }

    pub(super) fn is_any_other_runnable(&self) -> bool {
        let me = self.processor().id;
        self.processors()
            .iter()
            .any(|other| other.id != me && self.is_runnable(other))
    }

    /// The interrupted code is about to go on.
    pub(super) fn note_attended(&self) {
        let nudge = &self.ke.nudge;
        if nudge.pending.take() {
            nudge.step.set(self.step());
        }
    }
}
