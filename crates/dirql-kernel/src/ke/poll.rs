//! Time for drivers that poll.
//!
//! A driver that reads the same registers or the clock over and over waits for time to pass.
//! Each read traps, so two seconds of polling at the pace of a real bus would be millions of
//! traps. The longer such a loop goes on without seeing anything new, the more virtual time
//! each of its reads takes, up to a clock tick. Choice: no document says how long a read takes.

use core::cell::Cell;

use crate::Kernel;
use crate::ke::clock::{LOOK_AT_CLOCK, TICK};

/// Registers that a polling loop may read in turn.
const REMEMBERED: usize = 8;

/// Steps between two reads of one polling loop, if nothing else happens: some thirty calls into the
/// kernel, which are two steps each.
const ROUND: u64 = 64;

/// Steps between two reads with nothing in between. The end of a turn is a step of ours.
const AT_ONCE: u64 = 2;

/// Repeated reads after which the time for each doubles.
const DOUBLE_AFTER: u32 = 64;

/// What a driver has read lately without doing anything else.
#[derive(Default)]
pub(crate) struct Polls {
    recent: Cell<[(u64, u64); REMEMBERED]>,
    next: Cell<usize>,
    /// The step of the last read.
    step: Cell<u64>,
    /// Something has happened since, which the driver may have waited for.
    disturbed: Cell<bool>,
    repeats: Cell<u32>,
    /// How often something has happened, a device or a clock was looked at, or a device written to.
    events: Cell<u64>,
}

impl Polls {
    /// A device acts, an ISR runs, or time passes while nobody runs.
    #[inline]
    pub(super) fn something_happens(&self) {
        self.disturbed.set(true);
        self.counts();
    }

    /// The driver sees or does something outside its memory.
    #[inline]
    pub(crate) fn counts(&self) {
        self.events.set(self.events.get() + 1);
    }

    /// How often something has happened that is not in the driver's memory.
    pub(super) fn events(&self) -> u64 {
        self.events.get()
    }

    /// Whether a read brought nothing new, and how many before it did not either.
    fn repeats(&self, step: u64, what: u64, value: u64) -> u32 {
        let round = if self.disturbed.take() {
            AT_ONCE
        } else {
            ROUND
        };
        let goes_on = step - self.step.replace(step).min(step) <= round;
        if !goes_on {
            self.recent.set([(0, 0); REMEMBERED]);
        }
        let mut recent = self.recent.get();
        let known = recent.contains(&(what, value));
        if !known {
            recent[self.next.get()] = (what, value);
            self.next.set((self.next.get() + 1) % REMEMBERED);
            self.recent.set(recent);
        }
        self.repeats.set(if goes_on && known {
            self.repeats.get() + 1
        } else {
            0
        });
        self.repeats.get()
    }
}

/// What stands for any of the clocks, and for a delay of no length: addresses that no register has.
const CLOCK: u64 = u64::MAX;
const NO_DELAY: u64 = u64::MAX - 1;

impl Kernel {
    /// A driver looks at a clock.
    pub(crate) fn look_at_clock(&self) {
        self.touch_time();
        self.pass_time(LOOK_AT_CLOCK);
        self.polled(CLOCK, 0, LOOK_AT_CLOCK);
    }

    /// A driver has let its processor go for no time.
    pub(crate) fn delayed_for_no_time(&self) {
        self.polled(NO_DELAY, 0, LOOK_AT_CLOCK);
    }

    /// A driver has read `value` from `what`, a number that stands for a register or the
    /// clock; passes the time that the read takes beyond `least_100ns`, which has passed.
    /// Unless it looks at a clock, the driver has not spent it: one that reads zeros out of a
    /// buffer does not wait.
    pub(crate) fn polled(&self, what: u64, value: u64, least_100ns: u64) {
        self.ke.polls.counts();
        let repeats = self.ke.polls.repeats(self.step(), what, value);
        if repeats > 0 {
            self.ke.patience.looks();
        }
        let doublings = repeats / DOUBLE_AFTER;
        if doublings > 0 {
            let more = (least_100ns << doublings.min(32)).min(TICK);
            self.pass_time(more);
            self.ke.patience.does_not_count(more);
            if what != CLOCK {
                self.ke.clock.is_not_spent(more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_changes_or_another_step_ends_the_polling() {
        let polls = Polls::default();
        assert_eq!(polls.repeats(10, 0x60, 1), 0);
        assert_eq!(polls.repeats(11, 0x60, 1), 1);
        assert_eq!(polls.repeats(12, 0x60, 1), 2);
        assert_eq!(polls.repeats(13, 0x60, 2), 0, "another value");
        assert_eq!(polls.repeats(14, 0x60, 2), 1);
        assert_eq!(polls.repeats(14 + ROUND, 0x60, 2), 2, "other calls");
        assert_eq!(polls.repeats(15 + 2 * ROUND, 0x60, 2), 0, "other work");
        polls.repeats(20 + 2 * ROUND, 0x60, 2);
        polls.something_happens();
        assert_eq!(polls.repeats(23 + 2 * ROUND, 0x60, 2), 0, "an interrupt");
    }

    #[test]
    fn registers_can_be_polled_in_turn() {
        let polls = Polls::default();
        for step in 10..14 {
            polls.repeats(step, step % 2, 7);
        }
        assert_eq!(polls.repeats(14, 0, 7), 3);
    }
}
