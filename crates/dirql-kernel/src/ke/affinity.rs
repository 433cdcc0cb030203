//! Where the calling thread may run.
//!
//! Source: WDK reference, wdm.KeSetSystemAffinityThread(Ex), wdm.KeRevertToUserAffinityThread(Ex),
//! wdm.KeSetSystemGroupAffinityThread, wdm.KeRevertToUserGroupAffinityThread.

use dirql_abi::processor::GroupAffinity;

use crate::ke::Affinity;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

impl Kernel {
    /// `VOID KeSetSystemAffinityThread(KAFFINITY)`
    ///
    /// From now on the calling thread runs on these processors of group 0 only. Those that
    /// do not exist do not count; if none is left nothing changes.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at DISPATCH_LEVEL the thread moves when the level is
    ///   lowered.
    /// - Yields: at its end; the thread may go on on another processor.
    pub fn ke_set_system_affinity_thread(&self, mask: u64) -> Ddi<()> {
        self.ke_set_system_affinity_thread_ex(mask).map(|_| ())
    }

    /// `KAFFINITY KeSetSystemAffinityThreadEx(KAFFINITY)`: as above.
    ///
    /// - Returns: what was set before, for [`Kernel::ke_revert_to_user_affinity_thread_ex`]; 0 if
    ///   nothing was, or if nothing changes.
    pub fn ke_set_system_affinity_thread_ex(&self, mask: u64) -> Ddi<u64> {
        let before = self.current_affinity();
        let is_bound = self.bind_current_thread(Affinity { group: 0, mask })?;
        Ok(before
            .filter(|before| is_bound && before.group == 0)
            .map_or(0, |before| before.mask))
    }

    /// `VOID KeRevertToUserAffinityThread(VOID)`: the calling thread may run anywhere again.
    pub fn ke_revert_to_user_affinity_thread(&self) -> Ddi<()> {
        self.ke_revert_to_user_affinity_thread_ex(0)
    }

    /// `VOID KeRevertToUserAffinityThreadEx(KAFFINITY)`: back to what was set before; 0 is
    /// anywhere.
    pub fn ke_revert_to_user_affinity_thread_ex(&self, mask: u64) -> Ddi<()> {
        self.revert_current_thread(Affinity { group: 0, mask })
    }

    /// `VOID KeSetSystemGroupAffinityThread(PGROUP_AFFINITY, PGROUP_AFFINITY Previous)`
    ///
    /// As [`Kernel::ke_set_system_affinity_thread`], in any group. `previous` is optional and is
    /// zero if nothing was set before, or if nothing changes because the group does not
    /// exist or the mask names none of its processors.
    pub fn ke_set_system_group_affinity_thread(
        &self,
        affinity: DriverPtr<GroupAffinity>,
        previous: DriverPtr<GroupAffinity>,
    ) -> Ddi<()> {
        let GroupAffinity { mask, group, .. } = self.read(affinity)?;
        let before = self.current_affinity();
        let is_bound = self.bind_current_thread(Affinity { group, mask })?;
        if !previous.is_null() {
            let before = before
                .filter(|_| is_bound)
                .unwrap_or(Affinity { group: 0, mask: 0 });
            let Affinity { group, mask } = before;
            self.write(
                previous,
                GroupAffinity {
                    mask,
                    group,
                    reserved: [0; 3],
                },
            )?;
        }
        Ok(())
    }

    /// `VOID KeRevertToUserGroupAffinityThread(PGROUP_AFFINITY)`: back to what
    /// [`Kernel::ke_set_system_group_affinity_thread`] stored.
    pub fn ke_revert_to_user_group_affinity_thread(
        &self,
        previous: DriverPtr<GroupAffinity>,
    ) -> Ddi<()> {
        let GroupAffinity { mask, group, .. } = self.read(previous)?;
        self.revert_current_thread(Affinity { group, mask })
    }

    /// `KAFFINITY KeSetAffinityThread(PKTHREAD, KAFFINITY)`: from now on the thread runs on these
    /// processors of group 0 only.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: where it could run before; 0, and nothing changes, if none of them exists.
    /// - Source: exported, no page.
    pub fn ke_set_affinity_thread(&self, kthread: u64, mask: u64) -> Ddi<u64> {
        let all = self.active_mask(0);
        let Some(thread) = self.thread_at(kthread).filter(|_| mask & all != 0) else {
            return Ok(0);
        };
        let before = self.affinity_of(thread).map_or(all, |before| before.mask);
        let mask = mask & all;
        self.set_affinity(thread, Some(Affinity { group: 0, mask }));
        self.take_pending()?;
        Ok(before)
    }

    fn current_affinity(&self) -> Option<Affinity> {
        self.affinity_of(self.current_thread()?)
    }

    /// Returns whether any of the processors exists.
    fn bind_current_thread(&self, affinity: Affinity) -> Ddi<bool> {
        let Affinity { group, mask } = affinity;
        let mask = mask & self.active_mask(group);
        let Some(thread) = self.current_thread().filter(|_| mask != 0) else {
            return Ok(false);
        };
        self.set_affinity(thread, Some(Affinity { group, mask }));
        self.take_pending()?;
        Ok(true)
    }

    fn revert_current_thread(&self, affinity: Affinity) -> Ddi<()> {
        if self.bind_current_thread(affinity)? {
            return Ok(());
        }
        if let Some(thread) = self.current_thread() {
            self.set_affinity(thread, None);
        }
        self.take_pending()
    }
}
