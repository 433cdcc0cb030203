//! Steps at which nothing happens.
//!
//! Driver code that is stopped before each of its instructions passes a yield point at each, and
//! until it calls the kernel nothing can become different there: no other code runs. So how many
//! points it will pass by is known at the first one, and the platform may pass them by itself,
//! which costs it one subtraction. The step is counted all the same.
//!
//! Whatever counts a step ends that, and so does whoever enters the kernel.

use core::cell::Cell;

use crate::Kernel;
use crate::ke::scheduler::TURN;

/// How many yield points were passed.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// How many will have been passed when none of `left` is left.
    end: Cell<u64>,
    /// Those that may still be passed without asking; the platform counts down.
    left: Cell<u64>,
}

impl Steps {
    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.end.get() - self.left.get()
    }

    #[inline]
    pub(super) fn set(&self, steps: u64) {
        self.left.set(0);
        self.end.set(steps);
    }

    fn let_pass(&self, more: u64) {
        self.end.set(self.get() + more);
        self.left.set(more);
    }
}

impl Kernel {
    /// Lets the platform pass yield points by without asking, as many as nothing happens at
    /// unless the kernel is entered before. Where it counts them down; `None` if there are none.
    ///
    /// For driver code that has just attended ([`Kernel::attend`]) and goes on.
    #[must_use]
    pub fn let_pass(&self) -> Option<&Cell<u64>> {
        let processor = self.processor();
        let nothing_waits = !self.has_ended()
            && self.platform().on_strand()
            && processor.asked.get() == 0
            && !processor.can_take_interrupt()
            && (!self.is_exploring() || self.only_this_goes_on());
        if !nothing_waits {
            return None;
        }
        let before_intrusion = self.ke.intrusion.due.get().saturating_sub(self.step() + 1);
        let more = self.points_of_turn().min(before_intrusion);
        self.ke.steps.let_pass(more);
        (more > 0).then_some(&self.ke.steps.left)
    }

    /// Yield points that are passed before this turn is over.
    fn points_of_turn(&self) -> u64 {
        let passed = self.step().wrapping_sub(self.ke.turn_started.get());
        (TURN - 1).saturating_sub(passed)
    }

    /// A trapped instruction is a step too.
    #[inline]
    pub(crate) fn count_step(&self) {
        self.ke.steps.set(self.step() + 1);
    }

    /// The kernel is entered: what happens at the next yield point is to be asked.
    #[inline]
    pub fn end_passing(&self) {
        self.ke.steps.set(self.step());
    }
}
