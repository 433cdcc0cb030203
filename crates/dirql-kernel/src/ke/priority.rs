//! Priorities of threads, as drivers set and ask them.
//!
//! Source: WDK reference, ntddk.KeSetPriorityThread, ntddk.KeQueryPriorityThread.

use super::thread::HIGH_PRIORITY;
use crate::Kernel;
use crate::stop::Ddi;

impl Kernel {
    /// `KPRIORITY KeSetPriorityThread(PKTHREAD, KPRIORITY)`: returns the priority before.
    pub fn ke_set_priority_thread(&self, kthread: u64, priority: i32) -> Ddi<i32> {
        let priority = priority.clamp(0, i32::from(HIGH_PRIORITY)) as u8;
        let before = self
            .thread_at(kthread)
            .map_or(0, |thread| self.set_priority(thread, priority));
        Ok(i32::from(before))
    }

    /// `KPRIORITY KeQueryPriorityThread(PKTHREAD)`
    pub fn ke_query_priority_thread(&self, kthread: u64) -> Ddi<i32> {
        Ok(self
            .thread_at(kthread)
            .map_or(0, |thread| i32::from(self.priority_of(thread))))
    }
}
