//! Work items of the executive.
//!
//! Source: WDK reference, wdm.ExQueueWorkItem, "System Worker Threads"; "Bug Check 0xE4:
//! WORKER_INVALID".

use alloc::format;

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
}
