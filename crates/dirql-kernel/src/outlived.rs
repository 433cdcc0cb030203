//! Bug checks and refusals that a run outlives, because it was asked to
//! ([`crate::Config::keep_going`]).
//!
//! Where a routine's own check of what a driver asks for fails, Windows stops, and nothing has
//! happened yet: such a routine can do nothing instead and say that it failed. Not so where driver
//! code itself faults, where an ISR or a DPC routine came back in a state that nobody can repair, where
//! threads wait for each other, or where the routine is one that never returns. Then the run ends as it
//! always does.
//!
//! What tells the two apart is that the processor is what it was when the routine was called: the same
//! level, the same code in the same context. A routine that ends half-way with a lock held or a level
//! raised has not merely refused.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::Irql;

use dirql_rules::{BugCheck, Context, Place, RuleId, ids};

use crate::ke::ProcessorId;
use crate::stop::{Ddi, Stop};
use crate::{Kernel, Outcome};

/// A bug check after which the run went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlived {
    /// Its number in [`Kernel::findings`].
    pub finding: usize,
    /// Code and parameters.
    pub bug_check: BugCheck,
    /// The driver's code, from the inside out, 0 before what was interrupted.
    pub stack: Vec<u64>,
}

/// What a processor was when a routine was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    processor: ProcessorId,
    irql: Irql,
    context: Context,
}

impl Kernel {
    pub(crate) fn entry(&self) -> Entry {
        Entry {
            processor: self.processor().id,
            irql: self.irql(),
            context: self.context(),
        }
    }

    /// Whether the run goes on although a routine has stopped, which then has done nothing. A bug
    /// check is recorded as a finding.
    ///
    /// # Errors
    /// `stop`, or the end of the run.
    #[cold]
    pub(crate) fn outlive_refusal(&self, name: &str, entry: Entry, stop: Stop) -> Ddi<()> {
        if self.has_ended() || self.entry() != entry {
            return Err(stop);
        }
        match stop {
            Stop::BugCheck(bug_check) => {
                self.note_outlived(bug_check, &format!("{name} did nothing instead"))
            }
            Stop::Refused => Ok(()),
            other => Err(other),
        }
    }

    /// A check of a routine's has failed that can do its work all the same. Returns if it is to.
    ///
    /// # Errors
    /// The bug check.
    pub(crate) fn outlive(&self, bug_check: BugCheck) -> Ddi<()> {
        if !self.config().keep_going {
            return Err(bug_check.into());
        }
        self.note_outlived(bug_check, "the routine went on all the same")
    }

    fn note_outlived(&self, bug_check: BugCheck, what: &str) -> Ddi<()> {
        let number = self.findings().len();
        let message = format!("the system would have stopped: {bug_check}; {what}");
        self.find(ids::BUG_CHECK, message, None)?;
        if self.findings().len() > number {
            let stack = self.platform().stack_of_caller();
            self.report.outlived.borrow_mut().push(Outlived {
                finding: number,
                bug_check,
                stack,
            });
        }
        Ok(())
    }

    /// As [`Kernel::find`], by a routine that does nothing then. The run cannot go on after it
    /// unless it was asked to.
    #[must_use]
    pub(crate) fn refuse(
        &self,
        rule: RuleId,
        message: String,
        earlier: Option<(String, Place)>,
    ) -> Stop {
        match self.find(rule, message, earlier) {
            Ok(()) if self.config().keep_going => Stop::Refused,
            _ => {
                self.end(Outcome::Finding);
                Stop::Ended
            }
        }
    }

    /// The system stops, whatever a run was asked to do: nothing can go on after it.
    #[must_use]
    pub(crate) fn stop_system(&self, bug_check: BugCheck) -> Stop {
        self.end(Outcome::BugCheck {
            bug_check,
            place: self.here(),
        });
        Stop::Ended
    }

    /// The bug checks after which the run went on, in order.
    #[must_use]
    pub fn outlived(&self) -> Vec<Outlived> {
        self.report.outlived.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    const BUG_CHECK: BugCheck = BugCheck::new(0xE2, [1, 2, 3, 4]);

    /// What a routine answers, 7 being for those that do nothing, and the rules that were broken.
    fn answer(
        keep_going: bool,
        body: impl FnOnce(&Kernel) -> Ddi<u64> + 'static,
    ) -> (bool, Vec<RuleId>) {
        let bench = Bench::new(Config {
            keep_going,
            ..Config::default()
        });
        let answered = bench.try_on_thread(|kernel| {
            let answer = kernel.ddi_or("Routine", None, Some(7), body)?;
            assert_eq!(answer, 7);
            Ok(())
        });
        let rules = bench.kernel.findings().into_iter().map(|one| one.rule);
        (answered == Some(Ok(())), rules.collect())
    }

    #[test]
    fn a_routine_that_stops_does_nothing_instead() {
        let stops = |_: &Kernel| Err(BUG_CHECK.into());
        assert_eq!(answer(true, stops), (true, [ids::BUG_CHECK].into()));
        assert_eq!(answer(false, stops), (false, [].into()));
    }

    #[test]
    fn a_routine_that_refuses_does_nothing_instead() {
        let refuses = |kernel: &Kernel| Err(kernel.refuse(ids::RUNDOWN, String::new(), None));
        assert_eq!(answer(true, refuses), (true, [ids::RUNDOWN].into()));
        assert_eq!(answer(false, refuses), (false, [ids::RUNDOWN].into()));
    }

    #[test]
    fn a_routine_that_is_half_done_is_the_end() {
        let half = |kernel: &Kernel| {
            kernel.set_irql(Irql::DISPATCH);
            Err(BUG_CHECK.into())
        };
        assert_eq!(answer(true, half), (false, [].into()));
    }

    #[test]
    fn what_nothing_goes_on_after_is_the_end() {
        let stops = |kernel: &Kernel| Err(kernel.stop_system(BUG_CHECK));
        assert_eq!(answer(true, stops), (false, [].into()));
    }
}
