//! Loops at or above DISPATCH_LEVEL that call the kernel and never end.
//!
//! Such a loop keeps its processor from everything that could end it: the thread that it has
//! interrupted, DPCs, whoever wants a lock that it holds. A loop that goes on for long may be one
//! that has much to do, so a number of steps proves nothing. What does: when nothing else is left
//! that could happen, in the computer or in time, and the driver's registers and memory are at one
//! return from the kernel what they were at an earlier one, and again after many more turns, then it
//! will go on like that.
//!
//! A loop that counts its turns is never the same again. It is told after as many steps as a driver
//! may look at what it has seen before ([`Config::max_looks`](crate::Config::max_looks)), which is
//! seconds on a real computer.
//!
//! What a loop sees of a device or a clock is not in its memory: whoever looks at those is judged by
//! time ([`super::patience`]).

use alloc::format;
use core::cell::Cell;

use dirql_abi::Irql;
use dirql_rules::ids;

use crate::Kernel;
use crate::ke::ProcessorId;
use crate::ke::processor::{Processor, asked};
use crate::ke::scheduler::TURN;
use crate::platform::CallSite;
use crate::stop::Ddi;

/// Turns at or above DISPATCH_LEVEL after which a loop is looked at.
const LONG: u32 = 256;

/// Virtual time that the first look lets pass, 100 ns units: 1 ms. Each one after it lets twice as
/// much pass.
const FIRST_100NS: u64 = 10_000;

/// Looks that let time pass: a quarter of an hour in all, as for a loop that makes no step.
const MOST_WAITS: u32 = 20;

/// Returns to one place among which one is looked for that is like the first: a loop may go round a
/// short list.
const LONGEST_PERIOD: u32 = 16;

/// Periods after which it has to be the same again.
const CONFIRMED: u32 = 100;

/// Steps in which all that has to be seen.
const WINDOW: u64 = 1 << 15;

/// Steps for which a loop that is to be told is watched, and at most twice as many.
const OUTERMOST: u64 = 1 << 12;

/// How often it is tried in one stretch.
const ATTEMPTS: u32 = 3;

/// What is known of the loop that is looked at.
pub(super) struct Livelock {
    /// The step from which on every return to the driver is looked at.
    pub(super) due: Cell<u64>,
    mark: Cell<Option<Mark>>,
    verdict: Cell<Option<Verdict>>,
    waits: Cell<u32>,
    attempts: Cell<u32>,
}

impl Default for Livelock {
    fn default() -> Self {
        Self {
            due: Cell::new(u64::MAX),
            mark: Cell::default(),
            verdict: Cell::default(),
            waits: Cell::default(),
            attempts: Cell::default(),
        }
    }
}

/// A loop that has gone on for too long, and is told as soon as it is known which function loops.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    processor: ProcessorId,
    /// The step from which on it is watched for that.
    from: u64,
    /// The return to the driver that was outermost since.
    outermost: Option<CallSite>,
}

/// A return to the driver with which later ones are compared.
#[derive(Clone, Copy, Debug)]
struct Mark {
    processor: ProcessorId,
    site: CallSite,
    state: u64,
    step: u64,
    /// What had happened until then beside the loop.
    events: u64,
    /// Returns to the same place since.
    returns: u32,
    /// Returns after which everything was the same, 0 if it has not been.
    period: u32,
}

/// What a return to a driver says of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing yet.
    Nothing,
    /// That it does not repeat itself.
    Other,
    /// That it does.
    Repeats,
}

impl Mark {
    /// The driver is at the same place again; `state` tells what is there.
    fn returns(&mut self, state: impl FnOnce() -> Option<u64>) -> Seen {
        self.returns += 1;
        let looks = match self.period {
            0 => true,
            period => self.returns == 2 * period || self.returns == CONFIRMED * period,
        };
        if !looks {
            return Seen::Nothing;
        }
        let same = state() == Some(self.state);
        match (self.period, same) {
            (0, true) => {
                self.period = self.returns;
                Seen::Nothing
            }
            (0, false) if self.returns < LONGEST_PERIOD => Seen::Nothing,
            (_, false) => Seen::Other,
            (period, true) if self.returns == CONFIRMED * period => Seen::Repeats,
            (_, true) => Seen::Nothing,
        }
    }
}

impl Kernel {
    /// The processor goes above DISPATCH_LEVEL, or begins with another routine there.
    pub(super) fn stretch_begins(&self) {
        self.processor().high_turns.set(0);
    }

    /// Whether what runs may be a loop without an end, which is worth more steps than a run has.
    pub(super) fn may_be_livelock(&self) -> bool {
        self.is_long_at_high_level(self.processor())
    }

    /// Whether a processor has not been below DISPATCH_LEVEL for long.
    pub(super) fn is_long_at_high_level(&self, processor: &Processor) -> bool {
        processor.irql.get() >= Irql::DISPATCH && processor.high_turns.get() >= LONG
    }

    /// A turn of a processor is over.
    pub(super) fn watch_for_livelock(&self) -> Ddi<()> {
        let processor = self.processor();
        // What polls a device, or computes, is not for us.
        if self.irql() < Irql::DISPATCH || !self.report.is_in_ddi() {
            return Ok(());
        }
        let livelock = &self.ke.livelock;
        let turns = processor.high_turns.get() + 1;
        processor.high_turns.set(turns);
        if turns < LONG {
            return Ok(());
        }
        self.note_loop();
        if u64::from(turns) * TURN >= u64::from(self.config().max_looks) {
            if livelock.verdict.get().is_none() {
                livelock.give_up();
                livelock.verdict.set(Some(Verdict {
                    processor: processor.id,
                    from: self.step(),
                    outermost: None,
                }));
                self.look_from(self.step() + 1);
            }
            return Ok(());
        }
        if turns == LONG {
            livelock.waits.set(0);
            livelock.attempts.set(0);
            livelock.give_up();
        }
        let looks = livelock.mark.get().is_some() || livelock.due.get() != u64::MAX;
        if looks || livelock.attempts.get() >= ATTEMPTS || !self.nothing_else_happens() {
            return Ok(());
        }
        livelock.attempts.set(livelock.attempts.get() + 1);
        self.look_from(self.step() + 1);
        Ok(())
    }

    /// Whether nothing is left that could change what the loop sees. What is on its way arrives,
    /// and time passes to what it brings.
    fn nothing_else_happens(&self) -> bool {
        self.land_all();
        if self.has_work() || self.is_any_other_runnable() {
            return false;
        }
        let waits = self.ke.livelock.waits.get();
        if !self.has_alarms() || waits >= MOST_WAITS {
            return true;
        }
        self.ke.livelock.waits.set(waits + 1);
        let before = self.time_100ns();
        self.pass_time(FIRST_100NS << waits);
        if !self.has_work() {
            self.pass_time_to_next_event();
        }
        self.is_no_processors_time(self.time_100ns() - before);
        false
    }

    /// Whether something waits that this processor would do at its level.
    fn has_work(&self) -> bool {
        let processor = self.processor();
        processor.asked.get() & asked::NMI != 0 || processor.can_take_interrupt()
    }

    /// The driver is looked at from `step` on.
    fn look_from(&self, step: u64) {
        self.ke.livelock.due.set(step);
        self.ask_at(step);
    }

    /// A yield point while the driver is looked at.
    pub(super) fn look_for_repetition(&self) {
        let livelock = &self.ke.livelock;
        if let Some(verdict) = livelock.verdict.get() {
            self.tell_loop_without_end(verdict);
            return;
        }
        let processor = self.processor();
        let here = processor.id;
        let known = livelock.mark.get();
        let is_other = known.is_some_and(|mark| {
            mark.processor != here
                || mark.events != self.ke.polls.events()
                || self.step() - mark.step > WINDOW
        });
        if is_other || !self.may_be_livelock() {
            livelock.give_up();
            return;
        }
        let Some(site) = self.report.returns_to() else {
            return;
        };
        let Some(mut mark) = known else {
            match self.platform().driver_state(site) {
                None => {
                    livelock.attempts.set(ATTEMPTS);
                    livelock.give_up();
                }
                Some(state) => livelock.mark.set(Some(Mark {
                    processor: here,
                    site,
                    state,
                    step: self.step(),
                    events: self.ke.polls.events(),
                    returns: 0,
                    period: 0,
                })),
            }
            return;
        };
        if site.stack_pointer > mark.site.stack_pointer {
            // The loop is in the outermost of the functions that it calls.
            livelock.mark.set(None);
            self.look_for_repetition();
            return;
        }
        if mark.site != site {
            return;
        }
        let seen = mark.returns(|| self.platform().driver_state(site));
        livelock.mark.set(Some(mark));
        match seen {
            Seen::Nothing => {}
            Seen::Other => livelock.give_up(),
            Seen::Repeats if self.is_any_other_runnable() => livelock.give_up(),
            Seen::Repeats => {
                livelock.give_up();
                let message = format!(
                    "the driver loops at {}: its registers and memory are what they were {} turns before, and nothing is left that could change them",
                    self.irql(),
                    mark.returns
                );
                // The only error is that the run has ended, and it has.
                let _ = self.find_fatal(ids::LIVELOCK, message, self.kept_from_running());
            }
        }
    }
}

impl Kernel {
    /// A yield point of a loop that is to be told: it is, at a return to the outermost of the functions
    /// in which it was seen, which is the one that loops. Those that it calls return to it.
    fn tell_loop_without_end(&self, mut verdict: Verdict) {
        let livelock = &self.ke.livelock;
        if self.processor().id != verdict.processor {
            return;
        }
        if !self.may_be_livelock() {
            livelock.give_up();
            return;
        }
        let watched = self.step() - verdict.from;
        let site = self.report.returns_to();
        let is_outer = match (site, verdict.outermost) {
            (Some(site), Some(known)) => site.stack_pointer > known.stack_pointer,
            (site, None) => site.is_some(),
            (None, _) => false,
        };
        if is_outer {
            verdict.outermost = site;
            livelock.verdict.set(Some(verdict));
        }
        let is_at_it = site.is_some() && site == verdict.outermost;
        if watched < OUTERMOST || watched < 2 * OUTERMOST && !is_at_it {
            return;
        }
        livelock.give_up();
        let message = format!(
            "the driver has called the kernel in {} steps at {} without letting its processor do anything else",
            u64::from(self.processor().high_turns.get()) * TURN,
            self.irql()
        );
        let other = self.loops_meanwhile();
        let other = other.or_else(|| self.kept_from_running());
        // The only error is that the run has ended, and it has.
        let _ = self.find_fatal(ids::LIVELOCK, message, other);
    }
}

impl Livelock {
    /// Nothing is looked at any more.
    fn give_up(&self) {
        self.due.set(u64::MAX);
        self.mark.set(None);
        self.verdict.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark {
            processor: ProcessorId(0),
            site: CallSite::default(),
            state: 0,
            step: 0,
            events: 0,
            returns: 0,
            period: 0,
        }
    }

    /// After how many returns something is said, if the state is `of` their number.
    fn says(of: impl Fn(u32) -> u32) -> (u32, Seen) {
        let mut mark = mark();
        for number in 1..100_000 {
            let seen = mark.returns(|| Some(u64::from(of(number))));
            if seen != Seen::Nothing {
                return (number, seen);
            }
        }
        panic!("nothing is ever said");
    }

    #[test]
    fn what_is_the_same_again_and_again_repeats() {
        assert_eq!(says(|_| 0), (CONFIRMED, Seen::Repeats));
        assert_eq!(says(|number| number % 3), (3 * CONFIRMED, Seen::Repeats));
        let longest = LONGEST_PERIOD;
        assert_eq!(
            says(|number| number % longest),
            (longest * CONFIRMED, Seen::Repeats)
        );
    }

    #[test]
    fn what_counts_does_not_repeat() {
        assert_eq!(says(|number| number), (LONGEST_PERIOD, Seen::Other));
        assert_eq!(
            says(|number| number % (LONGEST_PERIOD + 1)),
            (LONGEST_PERIOD, Seen::Other)
        );
        // As a loop whose body does something every so often.
        assert_eq!(says(|number| number / 10), (CONFIRMED, Seen::Other));
        assert_eq!(says(|number| u32::from(number == 2)), (2, Seen::Other));
    }
}
