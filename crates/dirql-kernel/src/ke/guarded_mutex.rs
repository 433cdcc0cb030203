//! Guarded mutexes: locks between threads that keep all APCs out instead of raising the level.
//!
//! All that there is to one is in the driver's memory. Bit 0 of `Count` is set while it is free;
//! each thread that waits adds 4, and bit 1 is set from the moment one of them is woken until it
//! has looked. The two members for APC counts belong to checked systems and are left alone.
//!
//! Source: WDK reference, "Fast Mutexes and Guarded Mutexes" and the routines' pages; the bits
//! of `Count` are those that drivers see on Windows Server 2003 and later.

use alloc::format;
use alloc::string::String;

use dirql_abi::dispatcher::{KGuardedMutex, object_type};
use dirql_rules::ids;

use crate::stop::Ddi;
use crate::{DriverPtr, Kernel, at};

/// Set while the mutex is free.
const FREE: i32 = 1;
/// A thread was woken and has not looked yet.
const WOKEN: i32 = 2;
/// One thread that waits.
const WAITER: i32 = 4;

type Mutex = DriverPtr<KGuardedMutex>;

impl Kernel {
    /// `VOID KeInitializeGuardedMutex(PKGUARDED_MUTEX)`: free.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, wdm.KeInitializeGuardedMutex.
    pub fn ke_initialize_guarded_mutex(&self, mutex: Mutex) -> Ddi<()> {
        self.write(at!(mutex, KGuardedMutex, count), FREE)?;
        self.write(at!(mutex, KGuardedMutex, owner), 0)?;
        self.write(at!(mutex, KGuardedMutex, contention), 0)?;
        let gate = at!(mutex, KGuardedMutex, gate);
        self.write_header(gate.address(), object_type::GateObject, 24, 0)
    }

    /// `VOID KeAcquireGuardedMutex(PKGUARDED_MUTEX)`: enters a guarded region and takes it.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0110 the thread holds it already.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.KeAcquireGuardedMutex.
    pub fn ke_acquire_guarded_mutex(&self, mutex: Mutex) -> Ddi<()> {
        self.ke_enter_guarded_region()?;
        self.ke_acquire_guarded_mutex_unsafe(mutex)
    }

    /// `VOID KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX)`: the caller is in a guarded region
    /// or at APC_LEVEL already. Otherwise as [`Kernel::ke_acquire_guarded_mutex`].
    pub fn ke_acquire_guarded_mutex_unsafe(&self, mutex: Mutex) -> Ddi<()> {
        let thread = self.current_kthread();
        let count = at!(mutex, KGuardedMutex, count);
        let value = self.read(count)?;
        if value & FREE == 0 {
            self.wait_for_guarded_mutex(mutex, thread)?;
        } else {
            self.write(count, value & !FREE)?;
        }
        Ok(self.write(at!(mutex, KGuardedMutex, owner), thread)?)
    }

    #[cold]
    fn wait_for_guarded_mutex(&self, mutex: Mutex, thread: u64) -> Ddi<()> {
        if self.read(at!(mutex, KGuardedMutex, owner))? == thread {
            let message = format!(
                "this thread waits for the guarded mutex {:#x}, which it holds",
                mutex.address()
            );
            return Err(self.find_fatal(ids::SELF_DEADLOCK, message, None));
        }
        let contention = at!(mutex, KGuardedMutex, contention);
        self.write(contention, self.read(contention)?.wrapping_add(1))?;
        let count = at!(mutex, KGuardedMutex, count);
        self.write(count, self.read(count)?.wrapping_add(WAITER))?;
        let gate = at!(mutex, KGuardedMutex, gate).address();
        loop {
            self.wait_for(gate, None)?;
            let value = self.read(count)? & !WOKEN;
            if value & FREE != 0 {
                return Ok(self.write(count, (value & !FREE).wrapping_sub(WAITER))?);
            }
            // Another thread came first.
            self.write(count, value)?;
        }
    }

    /// `BOOLEAN KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX)`: never waits. With FALSE the
    /// thread is in no guarded region.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, wdm.KeTryToAcquireGuardedMutex.
    pub fn ke_try_to_acquire_guarded_mutex(&self, mutex: Mutex) -> Ddi<u8> {
        let count = at!(mutex, KGuardedMutex, count);
        let value = self.read(count)?;
        if value & FREE == 0 {
            return Ok(0);
        }
        self.ke_enter_guarded_region()?;
        self.write(count, value & !FREE)?;
        self.write(at!(mutex, KGuardedMutex, owner), self.current_kthread())?;
        Ok(1)
    }

    /// `VOID KeReleaseGuardedMutex(PKGUARDED_MUTEX)`: gives it up and leaves the guarded region.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0330 the thread does not hold it; DQ0161 it is in no guarded region.
    /// - Source: WDK reference, wdm.KeReleaseGuardedMutex.
    pub fn ke_release_guarded_mutex(&self, mutex: Mutex) -> Ddi<()> {
        self.ke_release_guarded_mutex_unsafe(mutex)?;
        self.ke_leave_guarded_region()
    }

    /// `VOID KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX)`: the region stays.
    pub fn ke_release_guarded_mutex_unsafe(&self, mutex: Mutex) -> Ddi<()> {
        let owner = self.read(at!(mutex, KGuardedMutex, owner))?;
        if owner == 0 || owner != self.current_kthread() {
            let holder = match owner {
                0 => String::from("nobody"),
                _ => format!("thread {owner:#x}"),
            };
            let message = format!(
                "the guarded mutex {:#x} was released, which {holder} holds",
                mutex.address()
            );
            self.find(ids::FAST_MUTEX, message, None)?;
        }
        self.write(at!(mutex, KGuardedMutex, owner), 0)?;
        let count = at!(mutex, KGuardedMutex, count);
        let value = self.read(count)? ^ FREE;
        if value < WAITER || value & WOKEN != 0 || value & FREE == 0 {
            return Ok(self.write(count, value)?);
        }
        self.write(count, value | WOKEN)?;
        let gate = at!(mutex, KGuardedMutex, gate).address();
        self.write(Self::signal_state(gate), 1)?;
        self.signal(gate)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use super::*;
    use crate::Config;
    use crate::ke::ThreadBody;
    use crate::testing::Bench;

    fn mutex(bench: &Bench) -> Mutex {
        let mutex = DriverPtr::new(bench.variable(56));
        bench.kernel.ke_initialize_guarded_mutex(mutex).unwrap();
        mutex
    }

    #[test]
    fn holding_one_keeps_all_apcs_out_and_leaves_the_level_alone() {
        let bench = Bench::new(Config::default());
        let mutex = mutex(&bench);
        bench.on_thread(move |kernel| {
            kernel.ke_acquire_guarded_mutex(mutex)?;
            assert_eq!(kernel.irql(), dirql_abi::Irql::PASSIVE);
            assert_eq!(kernel.ke_are_all_apcs_disabled()?, 1);
            assert_eq!(kernel.read(at!(mutex, KGuardedMutex, count))?, 0);
            assert_eq!(kernel.ke_try_to_acquire_guarded_mutex(mutex)?, 0);
            kernel.ke_release_guarded_mutex(mutex)?;
            assert_eq!(kernel.ke_are_all_apcs_disabled()?, 0);
            assert_eq!(kernel.ke_try_to_acquire_guarded_mutex(mutex)?, 1);
            kernel.ke_release_guarded_mutex(mutex)
        });
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn a_thread_that_waits_is_counted_and_gets_it() {
        let bench = Bench::new(Config::default());
        let mutex = mutex(&bench);
        let count = at!(mutex, KGuardedMutex, count);
        let second = move |kernel: &Kernel| {
            kernel.ke_acquire_guarded_mutex(mutex)?;
            assert_eq!(kernel.read(count)?, 0);
            kernel.ke_release_guarded_mutex(mutex)
        };
        bench.on_thread(move |kernel| {
            kernel.ke_acquire_guarded_mutex(mutex)?;
            kernel.spawn_thread("second", 20, ThreadBody::Native(Box::new(second)));
            let event = kernel.new_event(1)?;
            kernel.wait_for(event.address(), Some(10_000))?;
            assert_eq!(kernel.read(count)?, WAITER);
            kernel.ke_release_guarded_mutex(mutex)
        });
        assert_eq!(bench.kernel.read(count), Ok(FREE));
        assert_eq!(
            bench.kernel.read(at!(mutex, KGuardedMutex, contention)),
            Ok(1)
        );
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn releasing_what_is_not_held_toggles_the_bit_and_taking_it_twice_never_ends() {
        let bench = Bench::new(Config::default());
        let mutex = mutex(&bench);
        let count = at!(mutex, KGuardedMutex, count);
        bench.on_thread(move |kernel| {
            kernel.ke_release_guarded_mutex_unsafe(mutex)?;
            assert_eq!(kernel.read(count)?, 0);
            kernel.ke_release_guarded_mutex_unsafe(mutex)?;
            assert_eq!(kernel.read(count)?, FREE);
            Ok(())
        });
        bench.try_on_thread(move |kernel| {
            kernel.ke_acquire_guarded_mutex(mutex)?;
            kernel.ke_acquire_guarded_mutex(mutex)
        });
        let rules = bench.rules();
        assert_eq!(rules.first(), Some(&ids::FAST_MUTEX));
        assert_eq!(rules.last(), Some(&ids::SELF_DEADLOCK));
    }
}
