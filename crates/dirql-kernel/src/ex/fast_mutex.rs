//! Fast mutexes.
//!
//! A driver initialises one itself (`Count` 1, no owner, a synchronization event), so its
//! members are the truth.
//!
//! Source: WDK reference, "Fast Mutexes and Guarded Mutexes", wdm.ExAcquireFastMutex,
//! wdm.ExReleaseFastMutex, wdm.ExTryToAcquireFastMutex; wdm.h, `FAST_MUTEX`.

use alloc::format;
use alloc::string::String;

use dirql_abi::Irql;
use dirql_abi::dispatcher::FastMutex;
use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// `VOID ExAcquireFastMutex(PFAST_MUTEX)`
    ///
    /// Raises to APC_LEVEL and takes the mutex, waiting for it if need be.
    ///
    /// - IRQL: enter at or below APC_LEVEL; returns at APC_LEVEL.
    /// - Findings: `SELF_DEADLOCK` if the thread holds it already.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquireFastMutex.
    ///
    /// # Errors
    /// The run ends after the finding.
    pub fn ex_acquire_fast_mutex(&self, mutex: DriverPtr<FastMutex>) -> Ddi<()> {
        let old = self.enter_lock_level(Irql::APC)?;
        self.ex_acquire_fast_mutex_unsafe(mutex)?;
        self.write(at!(mutex, FastMutex, old_irql), u32::from(old.0))?;
        Ok(())
    }

    /// `VOID ExAcquireFastMutexUnsafe(PFAST_MUTEX)`
    ///
    /// Takes the mutex at the level of the caller, who keeps APCs out.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `SELF_DEADLOCK` if the thread holds it already.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquireFastMutexUnsafe.
    ///
    /// # Errors
    /// The run ends after the finding.
    pub fn ex_acquire_fast_mutex_unsafe(&self, mutex: DriverPtr<FastMutex>) -> Ddi<()> {
        let thread = self.current_kthread();
        let count = self.read(at!(mutex, FastMutex, count))?.wrapping_sub(1);
        self.write(at!(mutex, FastMutex, count), count)?;
        if count != 0 {
            if self.read(at!(mutex, FastMutex, owner))? == thread {
                let message = format!(
                    "this thread waits for the fast mutex {:#x}, which it holds",
                    mutex.address()
                );
                return Err(self.find_fatal(ids::SELF_DEADLOCK, message, None));
            }
            let contention = self.read(at!(mutex, FastMutex, contention))?;
            self.write(
                at!(mutex, FastMutex, contention),
                contention.wrapping_add(1),
            )?;
            self.wait_for(at!(mutex, FastMutex, event).address(), None)?;
        }
        self.write(at!(mutex, FastMutex, owner), thread)?;
        Ok(())
    }

    /// `BOOLEAN ExTryToAcquireFastMutex(PFAST_MUTEX)`
    ///
    /// Takes the mutex if it is free, raising to APC_LEVEL then.
    ///
    /// - IRQL: enter at or below APC_LEVEL; returns at APC_LEVEL with TRUE, at the entry level
    ///   with FALSE.
    /// - Returns: TRUE if it was free.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExTryToAcquireFastMutex.
    pub fn ex_try_to_acquire_fast_mutex(&self, mutex: DriverPtr<FastMutex>) -> Ddi<u8> {
        if self.read(at!(mutex, FastMutex, count))? != 1 {
            return Ok(0);
        }
        let old = self.enter_lock_level(Irql::APC)?;
        self.write(at!(mutex, FastMutex, count), 0)?;
        self.write(at!(mutex, FastMutex, owner), self.current_kthread())?;
        self.write(at!(mutex, FastMutex, old_irql), u32::from(old.0))?;
        Ok(1)
    }

    /// `VOID ExReleaseFastMutex(PFAST_MUTEX)`
    ///
    /// Gives the mutex up and goes back to the level at which it was acquired.
    ///
    /// - IRQL: enter at APC_LEVEL.
    /// - Findings: `FAST_MUTEX` if the thread does not hold it.
    /// - Yields: when the level is lowered.
    /// - Source: WDK reference, wdm.ExReleaseFastMutex.
    pub fn ex_release_fast_mutex(&self, mutex: DriverPtr<FastMutex>) -> Ddi<()> {
        let old = self.read(at!(mutex, FastMutex, old_irql))?;
        self.ex_release_fast_mutex_unsafe(mutex)?;
        self.leave_lock_level(old as u8)
    }

    /// `VOID ExReleaseFastMutexUnsafe(PFAST_MUTEX)`
    ///
    /// Gives the mutex up at the level of the caller.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `FAST_MUTEX` if the thread does not hold it.
    /// - Source: WDK reference, wdm.ExReleaseFastMutexUnsafe.
    pub fn ex_release_fast_mutex_unsafe(&self, mutex: DriverPtr<FastMutex>) -> Ddi<()> {
        let owner = self.read(at!(mutex, FastMutex, owner))?;
        if owner != self.current_kthread() {
            let holder = if owner == 0 {
                String::from("nobody")
            } else {
                format!("thread {owner:#x}")
            };
            let message = format!(
                "the fast mutex {:#x} was released, which {holder} holds",
                mutex.address()
            );
            self.find(ids::FAST_MUTEX, message, None)?;
        }
        self.write(at!(mutex, FastMutex, owner), 0)?;
        let count = self.read(at!(mutex, FastMutex, count))?.wrapping_add(1);
        self.write(at!(mutex, FastMutex, count), count)?;
        if count <= 0 {
            self.ke_set_event(at!(mutex, FastMutex, event), 1, 0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn mutex(bench: &Bench) -> DriverPtr<FastMutex> {
        let mutex = DriverPtr::new(bench.variable(56));
        bench.kernel.write(at!(mutex, FastMutex, count), 1).unwrap();
        bench
            .kernel
            .ke_initialize_event(at!(mutex, FastMutex, event), 1, 0)
            .unwrap();
        mutex
    }

    #[test]
    fn a_mutex_is_held_at_apc_level_and_released_to_the_level_before() {
        let bench = Bench::new(Config::default());
        let mutex = mutex(&bench);
        bench.on_thread(move |kernel| {
            kernel.ex_acquire_fast_mutex(mutex)?;
            assert_eq!(kernel.irql(), Irql::APC);
            assert_eq!(kernel.ex_try_to_acquire_fast_mutex(mutex)?, 0);
            kernel.ex_release_fast_mutex(mutex)?;
            assert_eq!(kernel.irql(), Irql::PASSIVE);
            assert_eq!(kernel.ex_try_to_acquire_fast_mutex(mutex)?, 1);
            kernel.ex_release_fast_mutex(mutex)
        });
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn a_second_thread_waits_until_the_first_releases() {
        let bench = Bench::new(Config::default());
        let mutex = mutex(&bench);
        let order = DriverPtr::<u64>::new(bench.variable(8));
        let second = move |kernel: &Kernel| {
            kernel.ex_acquire_fast_mutex(mutex)?;
            assert_eq!(kernel.read(order)?, 1);
            kernel.write(order, 2)?;
            kernel.ex_release_fast_mutex(mutex)
        };
        bench.on_thread(move |kernel| {
            kernel.ex_acquire_fast_mutex(mutex)?;
            let body = crate::ke::ThreadBody::Native(alloc::boxed::Box::new(second));
            kernel.spawn_thread("second", 20, body);
            let event = kernel.new_event(1)?;
            kernel.wait_for(event.address(), Some(10_000))?;
            kernel.write(order, 1)?;
            kernel.ex_release_fast_mutex(mutex)
        });
        assert_eq!(bench.kernel.read(order), Ok(2));
        assert_eq!(bench.kernel.read(at!(mutex, FastMutex, contention)), Ok(1));
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn taking_it_twice_and_releasing_what_is_not_held_are_findings() {
        let bench = Bench::new(Config::default());
        let mutex = mutex(&bench);
        bench.on_thread(move |kernel| kernel.ex_release_fast_mutex_unsafe(mutex));
        bench.kernel.write(at!(mutex, FastMutex, count), 1).unwrap();
        bench.try_on_thread(move |kernel| {
            kernel.ex_acquire_fast_mutex(mutex)?;
            kernel.ex_acquire_fast_mutex(mutex)
        });
        assert_eq!(bench.rules(), [ids::FAST_MUTEX, ids::SELF_DEADLOCK]);
    }
}
