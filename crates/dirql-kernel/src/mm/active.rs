//! Memory that is freed while the system still uses what is in it.
//!
//! A driver's timers, DPCs, locks and work items lie in its own memory. Freeing that does not take
//! them off the system's lists; the system goes on to follow links into it.
//!
//! Source: "Bug Check 0xC4", parameter 1 of 0x15 and 0x17; "Bug Check 0xC7:
//! TIMER_OR_DPC_INVALID"; "Driver Verifier", "Automatic Checks".

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::{Place, ids};

use crate::{Ddi, Kernel};

/// Something that is in use: what it is, where it is, and where that began, if it is known.
type InUse = (String, u64, Option<(&'static str, Place)>);

impl Kernel {
    /// Reports what the system still uses in memory that is about to be freed; `what` names the
    /// memory.
    ///
    /// Findings: DQ0535, one for each object; DQ0585.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub(crate) fn find_active_in(&self, range: &Range<u64>, what: &str) -> Ddi<()> {
        for (object, address, since) in self.active_in(range) {
            let message = format!("{what} was freed with {object} at {address:#x} in it");
            let earlier = since.map(|(text, place)| (String::from(text), place));
            self.find(ids::FREED_ACTIVE, message, earlier)?;
        }
        if let Some((dpc, place)) = self.dpc_taken_for_done_in(range) {
            let message = format!(
                "{what} was freed while the routine of the DPC at {dpc:#x} in it still runs"
            );
            let earlier = Some((String::from("KeRemoveQueueDpc returned FALSE here"), place));
            self.find(ids::DPC_TAKEN_FOR_DONE, message, earlier)?;
        }
        Ok(())
    }

    fn active_in(&self, range: &Range<u64>) -> Vec<InUse> {
        let mut all: Vec<InUse> = Vec::new();
        for timer in self.timers_set_in(range) {
            let object = if range.contains(&timer) {
                "a timer that is set"
            } else {
                "the DPC of a timer that is set,"
            };
            let since = self.timer_set_at(timer).map(|place| ("set here", place));
            all.push((String::from(object), timer, since));
        }
        for (dpc, queued) in self.queued_dpcs_in(range) {
            let object = String::from("a DPC that is queued");
            all.push((object, dpc, Some(("queued here", queued.place))));
        }
        // Told one by one and not in lists: nearly always nothing is found, and then this is all that
        // freeing has to wait for.
        let mut add = |object: &str, since: &'static str, (address, place): (u64, &Place)| {
            let since = Some((since, place.clone()));
            all.push((String::from(object), address, since));
        };
        let held = "a spin lock that is held";
        self.spin_locks_held_in(range, |at, place| add(held, "taken here", (at, place)));
        self.reader_writer_locks_held_in(range, |at, place| add(held, "taken here", (at, place)));
        let push = "a push lock that is held";
        self.push_locks_held_in(range, |at, place| add(push, "acquired here", (at, place)));
        let resource = "a resource that was not deleted";
        self.resources_in(range, |at, place| {
            add(resource, "initialised here", (at, place));
        });
        let list = "a lookaside list that was not deleted";
        self.lookasides_in(range, |at, place| {
            add(list, "initialised here", (at, place));
        });
        let item = "a work item that is queued";
        self.work_items_queued_in(range, |at, place| add(item, "queued here", (at, place)));
        let apc = "an APC that is queued";
        self.apcs_queued_in(range, |at, place| add(apc, "queued here", (at, place)));
        let irp = "an IRP that has not come back";
        self.irps_sent_in(range, |at, place| add(irp, "made here", (at, place)));
        for mutex in self.mutexes_owned_in(range) {
            let object = String::from("a mutex that a thread owns");
            all.push((object, mutex, None));
        }
        for object in self.objects_waited_for_in(range) {
            all.push((
                String::from("an object that a thread waits for"),
                object,
                None,
            ));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use dirql_abi::dispatcher::KTimer;
    use dirql_abi::dpc::KDpc;

    use super::*;
    use crate::testing::Bench;
    use crate::{Config, DriverPtr};

    /// What is found when 256 bytes of pool are freed in which `begin` has used something.
    fn found(begin: impl FnOnce(&Kernel, u64) -> Ddi<()> + 'static) -> Vec<String> {
        // What is followed into freed memory is another matter.
        let bench = Bench::new(Config {
            stop_at_finding: true,
            ..Config::default()
        });
        bench.try_on_thread(move |kernel| {
            let block = kernel.pool_allocate(0, 256, 1)?;
            begin(kernel, block)?;
            kernel.ex_free_pool(block)
        });
        let findings = bench.kernel.findings();
        let ours = findings
            .iter()
            .filter(|finding| finding.rule == ids::FREED_ACTIVE);
        ours.map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn a_timer_that_is_set_is_found_and_one_that_was_cancelled_is_not() {
        let set = |kernel: &Kernel, block| {
            let timer = DriverPtr::<KTimer>::new(block);
            kernel.ke_initialize_timer_ex(timer, 0)?;
            kernel.ke_set_timer_ex(timer, -10_000, 0, DriverPtr::NULL)
        };
        let messages = found(move |kernel, block| set(kernel, block).map(|_| ()));
        assert_eq!(messages.len(), 1);
        assert!(messages[0].contains("a timer that is set"), "{messages:?}");
        let messages = found(move |kernel, block| {
            set(kernel, block)?;
            kernel.ke_cancel_timer(DriverPtr::new(block)).map(|_| ())
        });
        assert_eq!(messages, [""; 0]);
    }

    #[test]
    fn a_queued_dpc_is_found() {
        let messages = found(|kernel, block| {
            kernel.ke_raise_irql(2)?;
            let dpc = DriverPtr::<KDpc>::new(block);
            kernel.ke_initialize_dpc(dpc, 1, 0)?;
            kernel.ke_insert_queue_dpc(dpc, 0, 0).map(|_| ())
        });
        assert!(messages[0].contains("a DPC that is queued"), "{messages:?}");
    }

    #[test]
    fn locks_that_are_held_are_found() {
        let push = found(|kernel, block| {
            kernel.ke_enter_critical_region()?;
            let lock = DriverPtr::new(block);
            kernel.ex_initialize_push_lock(lock)?;
            kernel.ex_acquire_push_lock(lock, crate::ex::Hold::Shared)
        });
        assert!(push[0].contains("a push lock"), "{push:?}");
        let spin = found(|kernel, block| {
            kernel.ke_initialize_spin_lock(block)?;
            kernel.ke_acquire_spin_lock_raise_to_dpc(block).map(|_| ())
        });
        assert!(spin[0].contains("a spin lock"), "{spin:?}");
        let shared = found(|kernel, block| {
            let lock = DriverPtr::<u32>::new(block);
            kernel.write(lock, 0)?;
            kernel.ex_acquire_spin_lock(lock, true).map(|_| ())
        });
        assert!(shared[0].contains("a spin lock"), "{shared:?}");
    }

    #[test]
    fn a_resource_that_was_not_deleted_is_found() {
        let messages = found(|kernel, block| {
            kernel
                .ex_initialize_resource_lite(DriverPtr::new(block))
                .map(|_| ())
        });
        assert!(messages[0].contains("a resource"), "{messages:?}");
    }

    #[test]
    fn an_object_that_a_thread_waits_for_is_found() {
        let messages = found(|kernel, block| {
            kernel.ke_initialize_event(DriverPtr::new(block), 0, 0)?;
            let body = move |kernel: &Kernel| kernel.wait_for(block, None).map(|_| ());
            let body = crate::ke::ThreadBody::Native(alloc::boxed::Box::new(body));
            kernel.spawn_thread("waits", 20, body);
            let event = kernel.new_event(1)?;
            kernel.wait_for(event.address(), Some(10_000)).map(|_| ())
        });
        assert!(messages[0].contains("a thread waits"), "{messages:?}");
    }
}
