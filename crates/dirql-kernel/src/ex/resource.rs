//! Executive resources: locks that many threads hold shared or one exclusive.
//!
//! The structure in the driver's memory belongs to the kernel, so who holds and who waits is
//! kept here; a few members are written for those who look at them in a debugger.
//!
//! Waiters are served in the order in which they came, except that a shared owner may acquire
//! again, and that [`Kernel::ex_acquire_shared_starve_exclusive`] passes exclusive waiters.
//!
//! Source: WDK reference, "Introduction to ERESOURCE Routines" and the routines' pages; "Bug
//! Check 0xE3: RESOURCE_NOT_OWNED".

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;

use dirql_abi::dispatcher::EResource;
use dirql_abi::list::ListEntry;
use dirql_abi::{NtStatus, is_true};
use dirql_rules::{BugCheck, Place, ids};
use zerocopy::FromZeros;

use crate::{Ddi, DriverPtr, Kernel, at};

/// How a thread wants to hold a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Exclusive,
    /// After exclusive waiters that came before, unless it is held shared by the thread.
    Shared,
    /// Before exclusive waiters.
    StarveExclusive,
    /// After exclusive waiters, even if it is held shared by the thread.
    WaitForExclusive,
}

#[derive(Clone, Debug)]
struct Waiter {
    thread: u64,
    want: Want,
    /// An event in memory of our own.
    event: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    /// Thread and how often it has acquired.
    exclusive: Option<(u64, u32)>,
    /// Threads and how often each has acquired.
    shared: BTreeMap<u64, u32>,
    waiters: VecDeque<Waiter>,
    place: Place,
}

impl Resource {
    /// Whether `thread` can have it at once.
    fn is_free_for(&self, thread: u64, want: Want) -> bool {
        let exclusive_waits = self
            .waiters
            .iter()
            .any(|waiter| waiter.want == Want::Exclusive);
        match (self.exclusive, want) {
            (Some((owner, _)), _) => owner == thread,
            (None, Want::Exclusive) => self.shared.is_empty(),
            (None, Want::Shared) => !exclusive_waits || self.shared.contains_key(&thread),
            (None, Want::StarveExclusive) => true,
            (None, Want::WaitForExclusive) => !exclusive_waits,
        }
    }

    fn take(&mut self, thread: u64, want: Want) {
        match &mut self.exclusive {
            Some((_, count)) => *count += 1,
            None if want == Want::Exclusive => self.exclusive = Some((thread, 1)),
            None => *self.shared.entry(thread).or_default() += 1,
        }
    }

    /// Gives up one acquisition; whether `thread` had one.
    fn give(&mut self, thread: u64) -> bool {
        if let Some((owner, count)) = &mut self.exclusive {
            if *owner != thread {
                return false;
            }
            *count -= 1;
            if *count == 0 {
                self.exclusive = None;
            }
            return true;
        }
        let Some(count) = self.shared.get_mut(&thread) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.shared.remove(&thread);
        }
        true
    }

    /// Lets those in who can go in now; returns their events.
    fn admit(&mut self) -> alloc::vec::Vec<u64> {
        let mut events = alloc::vec::Vec::new();
        while self.exclusive.is_none() {
            let Some(first) = self.waiters.front() else {
                break;
            };
            if first.want == Want::Exclusive && !self.shared.is_empty() {
                break;
            }
            let Some(waiter) = self.waiters.pop_front() else {
                break;
            };
            self.take(waiter.thread, waiter.want);
            events.push(waiter.event);
        }
        events
    }

    fn held_by(&self, thread: u64) -> u32 {
        match self.exclusive {
            Some((owner, count)) if owner == thread => count,
            _ => self.shared.get(&thread).copied().unwrap_or(0),
        }
    }
}

impl Kernel {
    /// Gives `found` each resource in a range of memory, and where it was initialised.
    pub(crate) fn resources_in(
        &self,
        range: &core::ops::Range<u64>,
        mut found: impl FnMut(u64, &Place),
    ) {
        let all = self.ex.resources.borrow();
        for (resource, known) in all.range(range.clone()) {
            found(*resource, &known.place);
        }
    }

    /// `NTSTATUS ExInitializeResourceLite(PERESOURCE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: `RESOURCE` if it is held.
    /// - Source: WDK reference, wdm.ExInitializeResourceLite.
    pub fn ex_initialize_resource_lite(&self, resource: DriverPtr<EResource>) -> Ddi<NtStatus> {
        self.check_resource_unused(resource, "initialised")?;
        let mut value = EResource::new_zeroed();
        let links = at!(resource, EResource, system_resources_list).address();
        value.system_resources_list = ListEntry {
            flink: links,
            blink: links,
        };
        self.write(resource, value)?;
        let place = self.here();
        let new = Resource {
            place,
            ..Resource::default()
        };
        self.ex
            .resources
            .borrow_mut()
            .insert(resource.address(), new);
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ExDeleteResourceLite(PERESOURCE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: `RESOURCE` if it is held, or was not initialised.
    /// - Source: WDK reference, wdm.ExDeleteResourceLite.
    pub fn ex_delete_resource_lite(&self, resource: DriverPtr<EResource>) -> Ddi<NtStatus> {
        self.check_resource_unused(resource, "deleted")?;
        if self
            .ex
            .resources
            .borrow_mut()
            .remove(&resource.address())
            .is_none()
        {
            self.not_a_resource(resource)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    fn check_resource_unused(&self, resource: DriverPtr<EResource>, verb: &str) -> Ddi<()> {
        let known = self.ex.resources.borrow().get(&resource.address()).cloned();
        let Some(known) = known else { return Ok(()) };
        if known.exclusive.is_none() && known.shared.is_empty() && known.waiters.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the resource at {:#x} was {verb} while it is held",
            resource.address()
        );
        self.find(
            ids::RESOURCE,
            message,
            Some(("initialised here".into(), known.place)),
        )
    }

    fn not_a_resource(&self, resource: DriverPtr<EResource>) -> Ddi<()> {
        let message = format!("{:#x} is not an initialised resource", resource.address());
        self.find(ids::RESOURCE, message, None)
    }

    fn acquire_resource(&self, resource: DriverPtr<EResource>, want: Want, wait: u8) -> Ddi<u8> {
        let thread = self.current_kthread();
        let mut all = self.ex.resources.borrow_mut();
        let Some(state) = all.get_mut(&resource.address()) else {
            drop(all);
            self.not_a_resource(resource)?;
            return Ok(0);
        };
        if state.is_free_for(thread, want) {
            state.take(thread, want);
            drop(all);
            self.show_resource(resource)?;
            return Ok(1);
        }
        if !is_true(wait) {
            return Ok(0);
        }
        let upgrades = want == Want::Exclusive && state.shared.contains_key(&thread);
        drop(all);
        if upgrades {
            let message = format!(
                "this thread waits for the resource {:#x}, which it holds shared",
                resource.address()
            );
            return Err(self.find_fatal(ids::SELF_DEADLOCK, message, None));
        }
        self.wait_for_resource(resource, thread, want)?;
        Ok(1)
    }

    fn wait_for_resource(
        &self,
        resource: DriverPtr<EResource>,
        thread: u64,
        want: Want,
    ) -> Ddi<()> {
        let free = self.ex.free_events.borrow_mut().pop();
        let event = match free {
            Some(event) => event,
            None => self.new_event(1)?.address(),
        };
        if let Some(state) = self.ex.resources.borrow_mut().get_mut(&resource.address()) {
            state.waiters.push_back(Waiter {
                thread,
                want,
                event,
            });
        }
        self.show_resource(resource)?;
        self.wait_for(event, None)?;
        self.ex.free_events.borrow_mut().push(event);
        Ok(())
    }

    /// Writes the members that people look at.
    fn show_resource(&self, resource: DriverPtr<EResource>) -> Ddi<()> {
        let state = self.ex.resources.borrow().get(&resource.address()).cloned();
        let Some(state) = state else { return Ok(()) };
        let owners = state.shared.len() + usize::from(state.exclusive.is_some());
        let waiting = |exclusive: bool| {
            state
                .waiters
                .iter()
                .filter(|waiter| (waiter.want == Want::Exclusive) == exclusive)
                .count()
        };
        self.write(
            at!(resource, EResource, active_count),
            i16::from(owners > 0),
        )?;
        self.write(at!(resource, EResource, active_entries), owners as u32)?;
        self.write(
            at!(resource, EResource, number_of_shared_waiters),
            waiting(false) as u32,
        )?;
        self.write(
            at!(resource, EResource, number_of_exclusive_waiters),
            waiting(true) as u32,
        )?;
        Ok(())
    }

    /// `BOOLEAN ExAcquireResourceExclusiveLite(PERESOURCE, BOOLEAN Wait)`
    ///
    /// Acquires for this thread alone; again if it is so already.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE if acquired.
    /// - Findings: `RESOURCE` if it was not initialised; `SELF_DEADLOCK` if the thread holds it
    ///   shared and waits.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquireResourceExclusiveLite.
    ///
    /// # Errors
    /// The run ends after `SELF_DEADLOCK`.
    pub fn ex_acquire_resource_exclusive_lite(
        &self,
        resource: DriverPtr<EResource>,
        wait: u8,
    ) -> Ddi<u8> {
        self.acquire_resource(resource, Want::Exclusive, wait)
    }

    /// `BOOLEAN ExTryToAcquireResourceExclusiveLite(PERESOURCE)`
    ///
    /// As [`Kernel::ex_acquire_resource_exclusive_lite`] without a wait.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE if acquired.
    /// - Findings: `RESOURCE` if it was not initialised.
    /// - Source: WDK reference, wdm.ExTryToAcquireResourceExclusiveLite.
    pub fn ex_try_to_acquire_resource_exclusive_lite(
        &self,
        resource: DriverPtr<EResource>,
    ) -> Ddi<u8> {
        self.acquire_resource(resource, Want::Exclusive, 0)
    }

    /// `BOOLEAN ExAcquireResourceSharedLite(PERESOURCE, BOOLEAN Wait)`
    ///
    /// Acquires together with others; behind a thread that waits for exclusive access unless
    /// this one holds it shared already.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE if acquired.
    /// - Findings: `RESOURCE` if it was not initialised.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquireResourceSharedLite.
    pub fn ex_acquire_resource_shared_lite(
        &self,
        resource: DriverPtr<EResource>,
        wait: u8,
    ) -> Ddi<u8> {
        self.acquire_resource(resource, Want::Shared, wait)
    }

    /// `BOOLEAN ExAcquireSharedStarveExclusive(PERESOURCE, BOOLEAN Wait)`
    ///
    /// As [`Kernel::ex_acquire_resource_shared_lite`], before those who wait for exclusive
    /// access.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE if acquired.
    /// - Findings: `RESOURCE` if it was not initialised.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquireSharedStarveExclusive.
    pub fn ex_acquire_shared_starve_exclusive(
        &self,
        resource: DriverPtr<EResource>,
        wait: u8,
    ) -> Ddi<u8> {
        self.acquire_resource(resource, Want::StarveExclusive, wait)
    }

    /// `BOOLEAN ExAcquireSharedWaitForExclusive(PERESOURCE, BOOLEAN Wait)`
    ///
    /// As [`Kernel::ex_acquire_resource_shared_lite`], behind those who wait for exclusive
    /// access in any case.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: TRUE if acquired.
    /// - Findings: `RESOURCE` if it was not initialised.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.ExAcquireSharedWaitForExclusive.
    pub fn ex_acquire_shared_wait_for_exclusive(
        &self,
        resource: DriverPtr<EResource>,
        wait: u8,
    ) -> Ddi<u8> {
        self.acquire_resource(resource, Want::WaitForExclusive, wait)
    }

    /// `VOID ExReleaseResourceLite(PERESOURCE)`
    ///
    /// Gives up one acquisition of this thread.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `RESOURCE` if the thread does not hold it.
    /// - Source: WDK reference, wdm.ExReleaseResourceLite; Bug Check 0xE3.
    ///
    /// # Errors
    /// Bug check 0xE3 after the finding.
    pub fn ex_release_resource_lite(&self, resource: DriverPtr<EResource>) -> Ddi<()> {
        self.ex_release_resource_for_thread_lite(resource, self.current_kthread())
    }

    /// `VOID ExReleaseResourceForThreadLite(PERESOURCE, ERESOURCE_THREAD)`
    ///
    /// Gives up one acquisition of a thread.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `RESOURCE` if the thread does not hold it.
    /// - Source: WDK reference, wdm.ExReleaseResourceForThreadLite; Bug Check 0xE3.
    ///
    /// # Errors
    /// Bug check 0xE3 after the finding.
    pub fn ex_release_resource_for_thread_lite(
        &self,
        resource: DriverPtr<EResource>,
        thread: u64,
    ) -> Ddi<()> {
        let events = {
            let mut all = self.ex.resources.borrow_mut();
            let state = all.get_mut(&resource.address());
            state.and_then(|state| state.give(thread).then(|| state.admit()))
        };
        let Some(events) = events else {
            let message = format!(
                "the resource at {:#x} was released, which thread {thread:#x} does not hold",
                resource.address()
            );
            self.find(ids::RESOURCE, message, None)?;
            return Err(BugCheck::new(0xE3, [resource.address(), thread, 0, 0]).into());
        };
        self.show_resource(resource)?;
        for event in events {
            self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        }
        Ok(())
    }

    /// `VOID ExConvertExclusiveToSharedLite(PERESOURCE)`
    ///
    /// Turns exclusive into shared access without letting anybody else in between.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `RESOURCE` if the thread does not hold it exclusive.
    /// - Source: WDK reference, wdm.ExConvertExclusiveToSharedLite.
    pub fn ex_convert_exclusive_to_shared_lite(&self, resource: DriverPtr<EResource>) -> Ddi<()> {
        let thread = self.current_kthread();
        let events = {
            let mut all = self.ex.resources.borrow_mut();
            let state = all.get_mut(&resource.address());
            let held = |state: &Resource| state.exclusive.is_some_and(|(owner, _)| owner == thread);
            state.filter(|state| held(state)).map(|state| {
                if let Some((owner, count)) = state.exclusive.take() {
                    state.shared.insert(owner, count);
                }
                state.admit_shared()
            })
        };
        let Some(events) = events else {
            let message = format!(
                "the resource at {:#x} was converted, which this thread does not hold",
                resource.address()
            );
            return self.find(ids::RESOURCE, message, None);
        };
        self.show_resource(resource)?;
        for event in events {
            self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        }
        Ok(())
    }

    /// `BOOLEAN ExIsResourceAcquiredExclusiveLite(PERESOURCE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE if this thread holds it exclusive.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExIsResourceAcquiredExclusiveLite.
    pub fn ex_is_resource_acquired_exclusive_lite(
        &self,
        resource: DriverPtr<EResource>,
    ) -> Ddi<u8> {
        let thread = self.current_kthread();
        let all = self.ex.resources.borrow();
        let exclusive = all
            .get(&resource.address())
            .and_then(|state| state.exclusive);
        Ok(u8::from(
            exclusive.is_some_and(|(owner, _)| owner == thread),
        ))
    }

    /// `ULONG ExIsResourceAcquiredSharedLite(PERESOURCE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: how often this thread has acquired it, shared or exclusive.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExIsResourceAcquiredSharedLite.
    pub fn ex_is_resource_acquired_shared_lite(&self, resource: DriverPtr<EResource>) -> Ddi<u32> {
        let thread = self.current_kthread();
        let all = self.ex.resources.borrow();
        Ok(all
            .get(&resource.address())
            .map_or(0, |state| state.held_by(thread)))
    }

    /// `ULONG ExGetExclusiveWaiterCount(PERESOURCE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: how many threads wait for exclusive access.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExGetExclusiveWaiterCount.
    pub fn ex_get_exclusive_waiter_count(&self, resource: DriverPtr<EResource>) -> Ddi<u32> {
        Ok(self.waiters(resource, true))
    }

    /// `ULONG ExGetSharedWaiterCount(PERESOURCE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: how many threads wait for shared access.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.ExGetSharedWaiterCount.
    pub fn ex_get_shared_waiter_count(&self, resource: DriverPtr<EResource>) -> Ddi<u32> {
        Ok(self.waiters(resource, false))
    }

    fn waiters(&self, resource: DriverPtr<EResource>, exclusive: bool) -> u32 {
        let all = self.ex.resources.borrow();
        all.get(&resource.address()).map_or(0, |state| {
            let waiting = state.waiters.iter();
            waiting
                .filter(|waiter| (waiter.want == Want::Exclusive) == exclusive)
                .count() as u32
        })
    }
}

impl Resource {
    /// After a conversion: lets all in who wait for shared access, also behind exclusive
    /// waiters, as the page says.
    fn admit_shared(&mut self) -> alloc::vec::Vec<u64> {
        let waiters = core::mem::take(&mut self.waiters);
        let (shared, exclusive): (VecDeque<_>, VecDeque<_>) = waiters
            .into_iter()
            .partition(|waiter| waiter.want != Want::Exclusive);
        self.waiters = exclusive;
        for waiter in &shared {
            self.take(waiter.thread, waiter.want);
        }
        shared.into_iter().map(|waiter| waiter.event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, Stop};

    fn waiter(thread: u64, want: Want) -> Waiter {
        Waiter {
            thread,
            want,
            event: thread,
        }
    }

    #[test]
    fn shared_requests_queue_behind_exclusive_ones_unless_they_may_not() {
        let mut state = Resource::default();
        state.take(1, Want::Shared);
        assert!(state.is_free_for(2, Want::Shared) && !state.is_free_for(2, Want::Exclusive));
        state.waiters.push_back(waiter(3, Want::Exclusive));
        assert!(!state.is_free_for(2, Want::Shared));
        assert!(state.is_free_for(1, Want::Shared));
        assert!(!state.is_free_for(1, Want::WaitForExclusive));
        assert!(state.is_free_for(2, Want::StarveExclusive));
    }

    #[test]
    fn waiters_go_in_by_turn_and_shared_ones_together() {
        let mut state = Resource::default();
        state.take(1, Want::Exclusive);
        for (thread, want) in [
            (2, Want::Shared),
            (3, Want::Shared),
            (4, Want::Exclusive),
            (5, Want::Shared),
        ] {
            state.waiters.push_back(waiter(thread, want));
        }
        assert!(!state.give(2));
        assert!(state.give(1));
        assert_eq!(state.admit(), [2, 3]);
        assert!(state.give(2));
        assert_eq!(state.admit(), []);
        assert!(state.give(3));
        assert_eq!(state.admit(), [4]);
        assert!(state.give(4));
        assert_eq!(state.admit(), [5]);
    }

    #[test]
    fn a_thread_acquires_again_converts_and_releases_as_often() {
        let bench = Bench::new(Config::default());
        let resource = DriverPtr::new(bench.variable(104));
        bench.on_thread(move |kernel| {
            kernel.ex_initialize_resource_lite(resource)?;
            assert_eq!(kernel.ex_acquire_resource_exclusive_lite(resource, 1)?, 1);
            assert_eq!(kernel.ex_acquire_resource_shared_lite(resource, 1)?, 1);
            assert_eq!(kernel.ex_is_resource_acquired_exclusive_lite(resource)?, 1);
            assert_eq!(kernel.ex_is_resource_acquired_shared_lite(resource)?, 2);
            kernel.ex_convert_exclusive_to_shared_lite(resource)?;
            assert_eq!(kernel.ex_is_resource_acquired_exclusive_lite(resource)?, 0);
            assert_eq!(
                kernel.ex_try_to_acquire_resource_exclusive_lite(resource)?,
                0
            );
            kernel.ex_release_resource_lite(resource)?;
            kernel.ex_release_resource_lite(resource)?;
            assert_eq!(kernel.ex_delete_resource_lite(resource)?, NtStatus::SUCCESS);
            Ok(())
        });
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn misuse_is_found() {
        let bench = Bench::new(Config::default());
        let resource = DriverPtr::new(bench.variable(104));
        bench.on_thread(move |kernel| {
            assert_eq!(kernel.ex_acquire_resource_shared_lite(resource, 1)?, 0);
            kernel.ex_initialize_resource_lite(resource)?;
            let released = kernel.ex_release_resource_lite(resource);
            assert!(matches!(released, Err(Stop::BugCheck(b)) if b.code == 0xE3));
            kernel.ex_acquire_resource_shared_lite(resource, 1)?;
            kernel.ex_delete_resource_lite(resource)?;
            kernel.ex_delete_resource_lite(resource)?;
            Ok(())
        });
        assert_eq!(bench.rules(), [ids::RESOURCE; 3]);
    }

    #[test]
    fn a_thread_that_waits_gets_it_when_it_is_released() {
        let bench = Bench::new(Config::default());
        let resource = DriverPtr::new(bench.variable(104));
        let got = DriverPtr::<u64>::new(bench.variable(8));
        bench.on_thread(move |kernel| {
            kernel.ex_initialize_resource_lite(resource)?;
            kernel.ex_acquire_resource_shared_lite(resource, 1)?;
            let second = move |kernel: &Kernel| {
                kernel.ex_acquire_resource_exclusive_lite(resource, 1)?;
                kernel.write(got, 1)?;
                kernel.ex_release_resource_lite(resource)
            };
            let body = crate::ke::ThreadBody::Native(alloc::boxed::Box::new(second));
            kernel.spawn_thread("second", 20, body);
            let event = kernel.new_event(1)?;
            kernel.wait_for(event.address(), Some(10_000))?;
            assert_eq!(kernel.read(got)?, 0);
            assert_eq!(kernel.ex_get_exclusive_waiter_count(resource)?, 1);
            kernel.ex_release_resource_lite(resource)
        });
        assert_eq!(bench.kernel.read(got), Ok(1));
    }
}
