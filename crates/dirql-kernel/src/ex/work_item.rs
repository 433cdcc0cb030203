//! Work items of the executive.
//!
//! Source: WDK reference, wdm.ExQueueWorkItem, "System Worker Threads"; "Bug Check 0xE4:
//! WORKER_INVALID".

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::dispatcher::WorkQueueItem;
use dirql_rules::{BugCheck, ids};

use crate::io::Job;
use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `VOID ExQueueWorkItem(PWORK_QUEUE_ITEM, WORK_QUEUE_TYPE)`
    ///
    /// Has a system thread call the item's routine with its parameter. The item is the
    /// driver's again when the routine begins.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `WORK_ITEM` if the item is queued already.
    /// - Source: WDK reference, wdm.ExQueueWorkItem.
    ///
    /// # Errors
    /// Bug check 0xE4 with 1 after the finding.
    pub fn ex_queue_work_item(&self, item: DriverPtr<WorkQueueItem>, queue_type: u32) -> Ddi<()> {
        let place = self.ex.work_items.borrow().get(&item.address()).cloned();
        if let Some(place) = place {
            let message = format!("the work item at {:#x} was queued again", item.address());
            self.find(ids::WORK_ITEM, message, Some(("queued here".into(), place)))?;
            return Err(BugCheck::new(0xE4, [1, item.address(), queue_type.into(), 0]).into());
        }
        self.ex
            .work_items
            .borrow_mut()
            .insert(item.address(), self.here());
        let body = move |kernel: &Kernel| {
            kernel.ex.work_items.borrow_mut().remove(&item.address());
            let value = kernel.read(item)?;
            kernel.call_at_same_level("WorkerRoutine", value.worker_routine, &[value.parameter])?;
            Ok(())
        };
        self.queue_job(queue_type, Job::Native(alloc::boxed::Box::new(body)))
    }

    /// Gives `found` each work item in a range of memory that is queued, and where it was queued.
    pub(crate) fn work_items_queued_in(
        &self,
        range: &Range<u64>,
        mut found: impl FnMut(u64, &dirql_rules::Place),
    ) {
        let all = self.ex.work_items.borrow();
        for (item, place) in all.range(range.clone()) {
            found(*item, place);
        }
    }

    /// Reports work items that `driver`, whose image is `image`, has queued and that have not
    /// run. For the moment after its Unload routine has returned.
    ///
    /// Findings: `WORK_ITEM`.
    pub(crate) fn find_work_items_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<_> = {
            let all = self.ex.work_items.borrow();
            let left = all
                .iter()
                .filter(|(_, place)| image.contains(&place.address));
            left.map(|(item, place)| (*item, place.clone())).collect()
        };
        for (item, place) in left {
            let message = format!("{driver} was unloaded while its work item {item:#x} is queued");
            self.find(ids::WORK_ITEM, message, Some(("queued here".into(), place)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, Stop, at};

    fn item(bench: &Bench, routine: u64) -> DriverPtr<WorkQueueItem> {
        let item = DriverPtr::new(bench.variable(32));
        bench
            .kernel
            .write(at!(item, WorkQueueItem, worker_routine), routine)
            .unwrap();
        bench
            .kernel
            .write(at!(item, WorkQueueItem, parameter), 7)
            .unwrap();
        item
    }

    #[test]
    fn a_system_thread_calls_the_routine_with_its_parameter() {
        let bench = Bench::new(Config::default());
        let seen = DriverPtr::<u64>::new(bench.variable(8));
        let routine = bench.routine(move |kernel, arguments| {
            kernel.write(seen, arguments[0])?;
            Ok(0)
        });
        let item = item(&bench, routine);
        bench.on_thread(move |kernel| kernel.ex_queue_work_item(item, 1));
        assert_eq!(bench.kernel.read(seen), Ok(7));
        bench.on_thread(move |kernel| kernel.ex_queue_work_item(item, 1));
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn an_item_is_queued_once_and_not_left_behind() {
        let bench = Bench::new(Config::default());
        let item = item(&bench, 0);
        bench.kernel.ex_queue_work_item(item, 1).unwrap();
        bench
            .kernel
            .find_work_items_left("sample", &(0..1))
            .unwrap();
        let again = bench.kernel.ex_queue_work_item(item, 1);
        assert!(matches!(again, Err(Stop::BugCheck(b)) if b.code == 0xE4));
        assert_eq!(bench.rules(), [ids::WORK_ITEM; 2]);
    }
}
