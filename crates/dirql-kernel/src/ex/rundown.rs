//! Run-down protection: users of something that may go away, and whoever waits for the last.
//!
//! An EX_RUNDOWN_REF is a word in the driver's memory: bit 0 says that run-down has begun, the
//! rest counts the users.
//!
//! Source: WDK reference, "Run-Down Protection", wdm.ExAcquireRundownProtection and its relatives.

use alloc::format;
use alloc::string::String;

use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel};

/// Run-down has begun.
const BEGUN: u64 = 1;

/// Bytes of a reference whose count is spread: a line of a cache.
const CACHE_AWARE_BYTES: u64 = 64;

/// One user.
const USER: u64 = 2;

impl Kernel {
    /// `VOID ExInitializeRundownProtection(PEX_RUNDOWN_REF)`, also `ExReInitializeRundownProtection`
    ///
    /// - IRQL: any level.
    /// - Source: WDK reference, wdm.ExInitializeRundownProtection.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_initialize_rundown_protection(&self, reference: DriverPtr<u64>) -> Ddi<()> {
        Ok(self.write(reference, 0)?)
    }

    /// `PEX_RUNDOWN_REF_CACHE_AWARE ExAllocateCacheAwareRundownProtection(POOL_TYPE, ULONG Tag)`
    ///
    /// Makes a reference whose count is spread over processors on Windows. Here it is one word, as
    /// one processor runs at a time; drivers see its address only.
    ///
    /// - IRQL: at or below APC_LEVEL for paged pool, else at or below DISPATCH_LEVEL.
    /// - Returns: NULL without memory.
    /// - Source: WDK reference, wdm.ExAllocateCacheAwareRundownProtection.
    ///
    /// # Errors
    /// As ExAllocatePoolWithTag.
    pub fn ex_allocate_cache_aware_rundown_protection(&self, pool: u32, tag: u32) -> Ddi<u64> {
        let reference = self.pool_allocate(pool, CACHE_AWARE_BYTES, tag)?;
        if reference != 0 {
            self.ex_initialize_rundown_protection(DriverPtr::new(reference))?;
        }
        Ok(reference)
    }

    /// `SIZE_T ExSizeOfRundownProtectionCacheAware(VOID)`: bytes that
    /// `ExInitializeRundownProtectionCacheAware` wants. Source: WDK reference,
    /// wdm.ExSizeOfRundownProtectionCacheAware.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ex_size_of_rundown_protection_cache_aware(&self) -> Ddi<u64> {
        Ok(CACHE_AWARE_BYTES)
    }

    /// `BOOLEAN ExAcquireRundownProtectionEx(PEX_RUNDOWN_REF, ULONG Count)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: FALSE once run-down has begun.
    /// - Source: WDK reference, wdm.ExAcquireRundownProtectionEx.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_acquire_rundown_protection(&self, reference: DriverPtr<u64>, count: u32) -> Ddi<u8> {
        let word = self.read(reference)?;
        if word & BEGUN != 0 {
            return Ok(0);
        }
        self.write(reference, word.wrapping_add(USER * u64::from(count)))?;
        Ok(1)
    }

    /// `VOID ExReleaseRundownProtectionEx(PEX_RUNDOWN_REF, ULONG Count)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0444 released more often than acquired.
    /// - Source: WDK reference, wdm.ExReleaseRundownProtectionEx.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_release_rundown_protection(&self, reference: DriverPtr<u64>, count: u32) -> Ddi<()> {
        let word = self.read(reference)?;
        let users = word / USER;
        let Some(left) = users.checked_sub(count.into()) else {
            let message = format!("run-down protection of {users} users was released by {count}");
            return self.find(ids::RUNDOWN, message, None);
        };
        self.write(reference, (left * USER) | (word & BEGUN))?;
        let waits = self.ex.rundowns.borrow().get(&reference.address()).copied();
        if left == 0
            && let Some(event) = waits
        {
            self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        }
        Ok(())
    }

    /// `VOID ExWaitForRundownProtectionRelease(PEX_RUNDOWN_REF)`
    ///
    /// Lets nobody in any more and waits for those who are.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0444 if somebody waits already.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExWaitForRundownProtectionRelease.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_wait_for_rundown_protection_release(&self, reference: DriverPtr<u64>) -> Ddi<()> {
        let word = self.read(reference)?;
        self.write(reference, word | BEGUN)?;
        if word / USER == 0 {
            return Ok(());
        }
        let event = self.take_event()?;
        let earlier = self
            .ex
            .rundowns
            .borrow_mut()
            .insert(reference.address(), event);
        if earlier.is_some() {
            let message = String::from("two threads wait for one run-down");
            return Err(self.refuse(ids::RUNDOWN, message, None));
        }
        self.wait_for(event, None)?;
        self.ex.rundowns.borrow_mut().remove(&reference.address());
        self.give_event(event);
        Ok(())
    }

    /// `VOID ExRundownCompleted(PEX_RUNDOWN_REF)`: from now on every acquisition fails at once.
    ///
    /// - IRQL: any level.
    /// - Source: WDK reference, wdm.ExRundownCompleted.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ex_rundown_completed(&self, reference: DriverPtr<u64>) -> Ddi<()> {
        Ok(self.write(reference, BEGUN)?)
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use core::cell::Cell;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn whoever_waits_goes_on_when_the_last_user_leaves_and_nobody_comes_in() {
        let bench = Bench::new(Config::default());
        let reference = DriverPtr::<u64>::new(bench.variable(8));
        let kernel = &bench.kernel;
        kernel.ex_initialize_rundown_protection(reference).unwrap();
        assert_eq!(kernel.ex_acquire_rundown_protection(reference, 2), Ok(1));
        let done = Rc::new(Cell::new(false));
        let flag = done.clone();
        let waits = bench.try_on_thread(move |kernel| {
            kernel.ex_wait_for_rundown_protection_release(reference)?;
            flag.set(true);
            Ok(())
        });
        assert!(waits.is_none() && !done.get());
        assert_eq!(kernel.ex_acquire_rundown_protection(reference, 1), Ok(0));
        bench.on_thread(move |kernel| {
            kernel.ex_release_rundown_protection(reference, 1)?;
            kernel.ex_release_rundown_protection(reference, 1)
        });
        assert!(done.get());
        kernel.ex_release_rundown_protection(reference, 1).unwrap();
        assert_eq!(bench.rules(), [ids::RUNDOWN]);
    }

    #[test]
    fn a_reference_that_is_spread_is_made_from_pool() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let address = kernel
            .ex_allocate_cache_aware_rundown_protection(0x200, 1)
            .unwrap();
        let reference = DriverPtr::new(address);
        assert_eq!(kernel.ex_acquire_rundown_protection(reference, 1), Ok(1));
        kernel.ex_release_rundown_protection(reference, 1).unwrap();
        kernel.ex_rundown_completed(reference).unwrap();
        assert_eq!(kernel.ex_acquire_rundown_protection(reference, 1), Ok(0));
        assert!(kernel.ex_size_of_rundown_protection_cache_aware().unwrap() >= 8);
        kernel.ex_free_pool(address).unwrap();
        assert!(bench.rules().is_empty());
    }
}
