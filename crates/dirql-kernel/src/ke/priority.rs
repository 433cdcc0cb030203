//! Priorities of threads: as drivers set and ask them, and as waits and time slices change them.
//!
//! A wait that ends with an increment raises the thread's priority above its base until its
//! time slices take it back, step by step. Not modelled: time slices otherwise (a processor
//! that has run for long lets another thread of the same priority run).
//!
//! Source: Win32 documentation, "Priority Boosts"; WDK reference, ntddk.KeSetPriorityThread,
//! ntddk.KeQueryPriorityThread, wdm.KeSetEvent.

use dirql_abi::processor::kthread;

use super::processor::asked;
use super::scheduler::TURN;
use super::thread::{HIGH_PRIORITY, NORMAL_PRIORITY, State, ThreadId};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Lowest priority of real-time threads, which are never raised.
pub(super) const LOW_REALTIME_PRIORITY: u8 = 16;

impl Kernel {
    /// `KPRIORITY KeSetPriorityThread(PKTHREAD, KPRIORITY)`: returns the priority before.
    pub fn ke_set_priority_thread(&self, kthread: u64, priority: i32) -> Ddi<i32> {
        let priority = priority.clamp(0, i32::from(HIGH_PRIORITY)) as u8;
        let before = self
            .thread_at(kthread)
            .map_or(0, |thread| self.set_priority(thread, priority));
        Ok(i32::from(before))
    }

    /// `LONG KeSetBasePriorityThread(PKTHREAD, LONG Increment)`
    ///
    /// Sets the priority relative to that of the system process, which is 8: within 1..=15, and to one
    /// of these two for increments of 16 and -16.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the increment before.
    /// - Source: ntifs.h; exported, no page. Win32 documentation, "Scheduling Priorities", for the
    ///   bounds.
    pub fn ke_set_base_priority_thread(&self, kthread: u64, increment: i32) -> Ddi<i32> {
        const PROCESS: i32 = NORMAL_PRIORITY as i32;
        let Some(thread) = self.thread_at(kthread) else {
            return Ok(0);
        };
        let highest = i32::from(LOW_REALTIME_PRIORITY) - 1;
        let priority = match increment {
            16.. => highest,
            ..=-16 => 1,
            other => (PROCESS + other).clamp(1, highest),
        };
        let before = self.base_priority_of(thread);
        self.set_priority(thread, priority as u8);
        Ok(i32::from(before) - PROCESS)
    }

    fn base_priority_of(&self, thread: ThreadId) -> u8 {
        let all = self.ke.threads.all.borrow();
        all.get(thread.0 as usize)
            .map_or(0, |thread| thread.priority - thread.boost)
    }

    /// `KPRIORITY KeQueryPriorityThread(PKTHREAD)`
    pub fn ke_query_priority_thread(&self, kthread: u64) -> Ddi<i32> {
        Ok(self
            .thread_at(kthread)
            .map_or(0, |thread| i32::from(self.priority_of(thread))))
    }

    pub(crate) fn priority_of(&self, thread: ThreadId) -> u8 {
        self.ke
            .threads
            .all
            .borrow()
            .get(thread.0 as usize)
            .map_or(0, |thread| thread.priority)
    }

    /// Sets a thread's priority and returns the one before. A processor switches if another
    /// thread should run now.
    pub(crate) fn set_priority(&self, thread: ThreadId, priority: u8) -> u8 {
        let (before, after, state) = {
            let mut all = self.ke.threads.all.borrow_mut();
            let Some(entry) = all.get_mut(thread.0 as usize) else {
                return 0;
            };
            let before = core::mem::replace(&mut entry.priority, priority.min(HIGH_PRIORITY));
            entry.boost = 0;
            (before, entry.priority, entry.state)
        };
        self.show_priority(thread);
        match state {
            State::Ready if before != after => {
                self.ke.threads.ready.borrow_mut().remove(before, thread);
                self.make_ready(thread);
            }
            State::Running(processor) if after < before => {
                if let Some(processor) = self.processor_by_id(processor) {
                    processor.ask(asked::RESCHEDULE);
                }
            }
            _ => {}
        }
        before
    }

    /// Raises the priority of a thread that waits, above its base and below those of real-time
    /// threads. One that is above its base already stays as it is.
    pub(crate) fn boost(&self, thread: ThreadId, increment: i32) {
        let mut all = self.ke.threads.all.borrow_mut();
        let Some(entry) = all.get_mut(thread.0 as usize) else {
            return;
        };
        if entry.boost == 0 && entry.priority < LOW_REALTIME_PRIORITY {
            let boosted = i32::from(entry.priority).saturating_add(increment);
            let boosted =
                boosted.clamp(entry.priority.into(), i32::from(LOW_REALTIME_PRIORITY) - 1) as u8;
            entry.boost = boosted - entry.priority;
            entry.priority = boosted;
            if entry.boost > 0 {
                drop(all);
                self.show_priority(thread);
            }
        }
    }

    /// Raises the priority of a thread that is ready to `priority`, until it has run for a while.
    pub(super) fn lift(&self, thread: ThreadId, priority: u8) {
        let before = {
            let mut all = self.ke.threads.all.borrow_mut();
            match all.get_mut(thread.0 as usize) {
                Some(entry) if entry.priority < priority => {
                    entry.boost += priority - entry.priority;
                    core::mem::replace(&mut entry.priority, priority)
                }
                _ => return,
            }
        };
        self.show_priority(thread);
        self.ke.threads.ready.borrow_mut().remove(before, thread);
        self.make_ready(thread);
    }

    /// Writes a thread's priority to where drivers read it.
    fn show_priority(&self, thread: ThreadId) {
        let place = self.kthread_of(thread) + kthread::PRIORITY as u64;
        // Memory of our own, which is never closed.
        let _ = self.write(DriverPtr::new(place), self.priority_of(thread));
    }

    /// A turn is over: a priority above the base goes down by one, if the thread has run all of it. One
    /// that waits before, again and again, keeps what woke it.
    pub(super) fn decay(&self, thread: ThreadId) {
        let step = self.step();
        if let Some(entry) = self.ke.threads.all.borrow_mut().get_mut(thread.0 as usize)
            && entry.boost > 0
            && step.wrapping_sub(entry.since) >= TURN
        {
            entry.boost -= 1;
            entry.priority -= 1;
        } else {
            return;
        }
        self.show_priority(thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_boost_goes_down_with_a_turn_that_the_thread_has_run_all_of() {
        let bench = Bench::new(Config::default());
        let seen = bench.on_thread(|kernel| {
            let thread = kernel.current_thread().expect("on a thread");
            kernel.boost(thread, 2);
            let boosted = kernel.priority_of(thread);
            kernel.decay(thread);
            let at_once = kernel.priority_of(thread);
            for _ in 0..TURN {
                kernel.yield_point()?;
            }
            kernel.decay(thread);
            Ok((at_once == boosted, kernel.priority_of(thread) < boosted))
        });
        assert_eq!(seen, (true, true));
    }
}
