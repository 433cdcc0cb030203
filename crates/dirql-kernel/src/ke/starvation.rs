//! Threads that are ready, and do not come to run because others of higher priority do.
//!
//! The balance set manager of Windows looks about once a second for threads that have been ready for
//! some four seconds, and lets each run for a while with the highest priority that is not real-time.
//! Time hardly moves here while code runs, so it is counted in steps, of a microsecond each.
//!
//! Source: "Windows Internals", "Priority Boosts for CPU Starvation".

use alloc::vec::Vec;
use core::cell::Cell;

use crate::Kernel;
use crate::ke::ThreadId;
use crate::ke::priority::LOW_REALTIME_PRIORITY;
use crate::ke::thread::State;

/// Steps from one look to the next.
const LOOK: u64 = 1 << 20;

/// Steps for which a thread that is helped has been ready.
const STARVED: u64 = 4 << 20;

/// When the ready threads are looked at next.
pub(super) struct Starvation {
    due: Cell<u64>,
}

impl Default for Starvation {
    fn default() -> Self {
        Self {
            due: Cell::new(STARVED),
        }
    }
}

impl Kernel {
    /// Lets threads run that have been ready for long, if it is time to look for them.
    #[inline]
    pub(super) fn starve_none(&self, step: u64) {
        if step >= self.ke.starvation.due.get() {
            self.help_starved(step);
        }
    }

    #[cold]
    fn help_starved(&self, step: u64) {
        self.ke.starvation.due.set(step + LOOK);
        let starved: Vec<ThreadId> = {
            let all = self.ke.threads.all.borrow();
            let numbered = (0..).map(ThreadId).zip(all.iter());
            numbered
                .filter(|(_, thread)| {
                    thread.state == State::Ready && step.wrapping_sub(thread.since) >= STARVED
                })
                .map(|(thread, _)| thread)
                .collect()
        };
        for thread in starved {
            self.lift(thread, LOW_REALTIME_PRIORITY - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::rc::Rc;

    use super::*;
    use crate::Config;
    use crate::ke::ThreadBody;
    use crate::testing::Bench;

    #[test]
    fn a_thread_that_others_keep_from_running_runs_in_the_end() {
        let bench = Bench::new(Config::default());
        let has_run = Rc::new(Cell::new(false));
        let (starved, seen) = (has_run.clone(), has_run.clone());
        let steps = bench.on_thread(move |kernel| {
            let body = move |_: &Kernel| {
                starved.set(true);
                Ok(())
            };
            let thread = kernel.spawn_thread("starved", 4, ThreadBody::Native(Box::new(body)));
            assert_eq!(kernel.priority_of(thread), 4);
            while !seen.get() {
                kernel.yield_point()?;
            }
            Ok(kernel.step())
        });
        assert!((STARVED..STARVED + 2 * LOOK).contains(&steps), "{steps}");
    }
}
