//! Push locks: locks between threads, shared or exclusive, in one word of the driver's memory.
//!
//! Note N0191. The word is 0 while the lock is free. Bit 0 is set while it is held, bit 1 while somebody
//! waits; shared holders are counted from bit 4 on. Who holds it is kept beside. Threads get it in
//! the order in which they came, shared ones that follow each other together.
//!
//! Source: WDK reference, wdm.ExInitializePushLock, wdm.ExAcquirePushLockExclusive,
//! wdm.ExAcquirePushLockShared, wdm.ExReleasePushLockExclusive.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::Irql;
use dirql_rules::{Place, ids};

use crate::{Ddi, DriverPtr, Kernel};

/// Somebody holds it.
const LOCKED: u64 = 1;

/// Somebody waits for it.
const WAITING: u64 = 2;

/// One shared holder.
const SHARER: u64 = 16;

/// How a push lock is held or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Together with others.
    Shared,
    /// Alone.
    Exclusive,
}

#[derive(Clone, Debug)]
struct Holder {
    thread: u64,
    hold: Hold,
    place: Place,
}

#[derive(Clone, Debug)]
struct Waiter {
    event: u64,
    thread: u64,
    hold: Hold,
    place: Place,
}

/// What is known of one lock while somebody has to do with it.
#[derive(Clone, Debug, Default)]
pub(super) struct PushLock {
    holders: Vec<Holder>,
    waiters: VecDeque<Waiter>,
}

impl PushLock {
    fn admits(&self, hold: Hold) -> bool {
        match hold {
            Hold::Exclusive => self.holders.is_empty(),
            Hold::Shared => self
                .holders
                .iter()
                .all(|holder| holder.hold == Hold::Shared),
        }
    }

    /// What the lock's word holds.
    fn word(&self) -> u64 {
        let held = match self.holders.first() {
            None => 0,
            Some(Holder {
                hold: Hold::Exclusive,
                ..
            }) => LOCKED,
            Some(_) => LOCKED | (SHARER * self.holders.len() as u64),
        };
        if self.waiters.is_empty() {
            held
        } else {
            held | WAITING
        }
    }
}

/// Every lock that is held or waited for, by address.
pub(super) type PushLocks = BTreeMap<u64, PushLock>;

impl Kernel {
    /// `VOID ExInitializePushLock(PEX_PUSH_LOCK)`: free.
    ///
    /// - IRQL: any level.
    /// - Source: WDK reference, wdm.ExInitializePushLock.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_initialize_push_lock(&self, lock: DriverPtr<u64>) -> Ddi<()> {
        self.ex.push_locks.borrow_mut().remove(&lock.address());
        Ok(self.write(lock, 0)?)
    }

    /// `VOID ExAcquirePushLockExclusiveEx(PEX_PUSH_LOCK, ULONG Flags)`, `ExAcquirePushLockSharedEx`,
    /// and the older `ExfAcquirePushLockExclusive` and `ExfAcquirePushLockShared`
    ///
    /// - IRQL: at or below APC_LEVEL, in a critical region or otherwise safe from APCs.
    /// - Findings: DQ0531 with normal kernel APCs enabled; DQ0110 if the thread waits for itself.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquirePushLockExclusive, Remarks.
    ///
    /// # Errors
    /// An argument that is not memory; the run ends after the second finding.
    pub fn ex_acquire_push_lock(&self, lock: DriverPtr<u64>, hold: Hold) -> Ddi<()> {
        if self.irql() < Irql::APC && self.ke_are_apcs_disabled()? == 0 {
            let message = format!(
                "the push lock {:#x} was acquired with normal kernel APCs enabled",
                lock.address()
            );
            self.find(ids::PUSH_LOCK, message, None)?;
        }
        if self.take_push_lock(lock, hold)? {
            return Ok(());
        }
        let thread = self.current_kthread();
        self.check_push_lock_recursion(lock, thread)?;
        let event = self.take_event()?;
        let place = self.here();
        self.with_push_lock(lock, |state| {
            state.waiters.push_back(Waiter {
                event,
                thread,
                hold,
                place,
            });
        })?;
        self.wait_for(event, None)?;
        self.give_event(event);
        Ok(())
    }

    /// `BOOLEAN ExTryAcquirePushLockExclusiveEx(PEX_PUSH_LOCK, ULONG Flags)`,
    /// `ExTryAcquirePushLockSharedEx`, `ExfTryAcquirePushLockShared`: never waits.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE if it has the lock now.
    /// - Source: WDK headers, wdm.h, `ExTryAcquirePushLockExclusiveEx`.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_try_acquire_push_lock(&self, lock: DriverPtr<u64>, hold: Hold) -> Ddi<u8> {
        self.take_push_lock(lock, hold).map(u8::from)
    }

    /// `VOID ExReleasePushLockExclusiveEx(PEX_PUSH_LOCK, ULONG Flags)`, `ExReleasePushLockSharedEx`;
    /// `ExReleasePushLockEx` and `ExfReleasePushLock`, which do not say how it is held
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0531 if the thread does not hold it, or holds it in the other manner.
    /// - Source: WDK reference, wdm.ExReleasePushLockExclusive.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_release_push_lock(&self, lock: DriverPtr<u64>, hold: Option<Hold>) -> Ddi<()> {
        let thread = self.current_kthread();
        let held = self.push_lock_holder(lock.address(), thread);
        match held {
            None => {
                let message = format!(
                    "the push lock {:#x} was released by a thread that does not hold it",
                    lock.address()
                );
                return self.find(ids::PUSH_LOCK, message, None);
            }
            Some(holder) if hold.is_some_and(|hold| hold != holder.hold) => {
                let message = format!(
                    "the push lock {:#x} is held {:?} and released as {:?}",
                    lock.address(),
                    holder.hold,
                    hold.unwrap_or(holder.hold)
                );
                let earlier = Some((String::from("acquired here"), holder.place));
                self.find(ids::PUSH_LOCK, message, earlier)?;
            }
            Some(_) => {}
        }
        let woken = self.with_push_lock(lock, |state| {
            if let Some(at) = state
                .holders
                .iter()
                .rposition(|holder| holder.thread == thread)
            {
                state.holders.remove(at);
            }
            let mut woken = Vec::new();
            while let Some(next) = state.waiters.front() {
                if !state.admits(next.hold) {
                    break;
                }
                if let Some(next) = state.waiters.pop_front() {
                    woken.push(next.event);
                    state.holders.push(Holder {
                        thread: next.thread,
                        hold: next.hold,
                        place: next.place,
                    });
                }
            }
            woken
        })?;
        for event in woken {
            self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        }
        Ok(())
    }

    /// Gives `found` each push lock in a range of memory that is held, and where it was acquired.
    pub(crate) fn push_locks_held_in(
        &self,
        range: &core::ops::Range<u64>,
        mut found: impl FnMut(u64, &Place),
    ) {
        let locks = self.ex.push_locks.borrow();
        for (lock, state) in locks.range(range.clone()) {
            if let Some(holder) = state.holders.first() {
                found(*lock, &holder.place);
            }
        }
    }

    /// Takes the lock if nobody is in the way.
    fn take_push_lock(&self, lock: DriverPtr<u64>, hold: Hold) -> Ddi<bool> {
        if self.read(lock)? == 0 {
            // Also a lock that the driver initialised anew itself.
            self.ex.push_locks.borrow_mut().remove(&lock.address());
        }
        let (thread, place) = (self.current_kthread(), self.here());
        self.with_push_lock(lock, |state| {
            let free = state.waiters.is_empty() && state.admits(hold);
            if free {
                state.holders.push(Holder {
                    thread,
                    hold,
                    place,
                });
            }
            free
        })
    }

    fn push_lock_holder(&self, lock: u64, thread: u64) -> Option<Holder> {
        let locks = self.ex.push_locks.borrow();
        let holders = locks.get(&lock)?.holders.iter();
        holders.rev().find(|one| one.thread == thread).cloned()
    }

    fn check_push_lock_recursion(&self, lock: DriverPtr<u64>, thread: u64) -> Ddi<()> {
        let Some(holder) = self.push_lock_holder(lock.address(), thread) else {
            return Ok(());
        };
        let message = format!(
            "this thread waits for the push lock {:#x}, which it holds",
            lock.address()
        );
        let earlier = Some((String::from("acquired here"), holder.place));
        Err(self.find_fatal(ids::SELF_DEADLOCK, message, earlier))
    }

    /// Changes what is known of a lock, and its word.
    fn with_push_lock<R>(
        &self,
        lock: DriverPtr<u64>,
        change: impl FnOnce(&mut PushLock) -> R,
    ) -> Ddi<R> {
        let (result, word) = {
            let mut locks = self.ex.push_locks.borrow_mut();
            let state = locks.entry(lock.address()).or_default();
            let result = change(state);
            let word = state.word();
            if word == 0 {
                locks.remove(&lock.address());
            }
            (result, word)
        };
        self.write(lock, word)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::rc::Rc;
    use core::cell::RefCell;

    use super::*;
    use crate::Config;
    use crate::ke::ThreadBody;
    use crate::testing::Bench;

    fn lock(bench: &Bench) -> DriverPtr<u64> {
        let lock = DriverPtr::new(bench.variable(8));
        bench.kernel.ex_initialize_push_lock(lock).unwrap();
        lock
    }

    #[test]
    fn sharers_hold_it_together_and_the_word_counts_them() {
        let bench = Bench::new(Config::default());
        let lock = lock(&bench);
        bench.on_thread(move |kernel| {
            kernel.ke_enter_critical_region()?;
            kernel.ex_acquire_push_lock(lock, Hold::Shared)?;
            assert_eq!(kernel.ex_try_acquire_push_lock(lock, Hold::Exclusive)?, 0);
            assert_eq!(kernel.ex_try_acquire_push_lock(lock, Hold::Shared)?, 1);
            assert_eq!(kernel.read(lock)?, LOCKED | (2 * SHARER));
            kernel.ex_release_push_lock(lock, Some(Hold::Shared))?;
            kernel.ex_release_push_lock(lock, None)?;
            assert_eq!(kernel.read(lock)?, 0);
            kernel.ke_leave_critical_region()
        });
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn whoever_wants_it_alone_is_not_passed_by_sharers() {
        let bench = Bench::new(Config::default());
        let lock = lock(&bench);
        let order = Rc::new(RefCell::new(Vec::new()));
        let (first, later) = (order.clone(), order.clone());
        bench.on_thread(move |kernel| {
            kernel.ke_enter_critical_region()?;
            kernel.ex_acquire_push_lock(lock, Hold::Shared)?;
            for hold in [Hold::Exclusive, Hold::Shared] {
                let log = later.clone();
                let body = move |kernel: &Kernel| {
                    kernel.ke_enter_critical_region()?;
                    kernel.ex_acquire_push_lock(lock, hold)?;
                    log.borrow_mut().push(hold);
                    kernel.ex_release_push_lock(lock, Some(hold))?;
                    kernel.ke_leave_critical_region()
                };
                kernel.spawn_thread("waits", 20, ThreadBody::Native(Box::new(body)));
            }
            let event = kernel.new_event(1)?;
            kernel.wait_for(event.address(), Some(10_000))?;
            assert!(first.borrow().is_empty());
            assert_eq!(kernel.read(lock)?, LOCKED | WAITING | SHARER);
            kernel.ex_release_push_lock(lock, Some(Hold::Shared))?;
            kernel.ke_leave_critical_region()
        });
        assert_eq!(*order.borrow(), [Hold::Exclusive, Hold::Shared]);
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn misuse_is_found() {
        let bench = Bench::new(Config::default());
        let lock = lock(&bench);
        bench.try_on_thread(move |kernel| {
            kernel.ex_release_push_lock(lock, None)?;
            kernel.ex_acquire_push_lock(lock, Hold::Shared)?;
            kernel.ex_release_push_lock(lock, Some(Hold::Exclusive))?;
            kernel.ke_enter_critical_region()?;
            kernel.ex_acquire_push_lock(lock, Hold::Exclusive)?;
            kernel.ex_acquire_push_lock(lock, Hold::Shared)
        });
        assert_eq!(
            bench.rules(),
            [
                ids::PUSH_LOCK,
                ids::PUSH_LOCK,
                ids::PUSH_LOCK,
                ids::SELF_DEADLOCK
            ]
        );
    }

    #[test]
    fn a_lock_that_is_zeroed_is_free_again() {
        let bench = Bench::new(Config::default());
        let lock = lock(&bench);
        bench.on_thread(move |kernel| {
            kernel.ke_enter_critical_region()?;
            kernel.ex_acquire_push_lock(lock, Hold::Exclusive)?;
            let mut held = 0;
            kernel.push_locks_held_in(&(0..u64::MAX), |_, _| held += 1);
            assert_eq!(held, 1);
            kernel.write(lock, 0)?;
            kernel.ex_acquire_push_lock(lock, Hold::Shared)?;
            kernel.ex_release_push_lock(lock, Some(Hold::Shared))
        });
        assert!(bench.rules().is_empty());
    }
}
