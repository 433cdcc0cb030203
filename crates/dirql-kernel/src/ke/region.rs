//! Critical and guarded regions: code during which APCs are held back.
//!
//! The counts are those that drivers read in the KTHREAD. What is held back runs when the last
//! region is left ([`super::apc`]).

use alloc::format;

use dirql_abi::processor::kthread;
use dirql_rules::ids;

use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

impl Kernel {
    /// `VOID KeEnterCriticalRegion(VOID)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, wdm.KeEnterCriticalRegion.
    pub fn ke_enter_critical_region(&self) -> Ddi<()> {
        self.change_apc_disable(kthread::KERNEL_APC_DISABLE, -1)
    }

    /// `VOID KeLeaveCriticalRegion(VOID)`
    ///
    /// - Yields: APCs that were held back run, below APC_LEVEL.
    /// - Findings: DQ0161 the thread is in none; the count goes above zero, as on Windows, which
    ///   stops with bug check 1 when the system call ends.
    pub fn ke_leave_critical_region(&self) -> Ddi<()> {
        self.change_apc_disable(kthread::KERNEL_APC_DISABLE, 1)
    }

    /// `VOID KeEnterGuardedRegion(VOID)`
    pub fn ke_enter_guarded_region(&self) -> Ddi<()> {
        self.change_apc_disable(kthread::SPECIAL_APC_DISABLE, -1)
    }

    /// `VOID KeLeaveGuardedRegion(VOID)`
    pub fn ke_leave_guarded_region(&self) -> Ddi<()> {
        self.change_apc_disable(kthread::SPECIAL_APC_DISABLE, 1)
    }

    /// `BOOLEAN KeAreApcsDisabled(VOID)`: in a critical or guarded region.
    pub fn ke_are_apcs_disabled(&self) -> Ddi<u8> {
        let disabled = self.apc_disable(kthread::KERNEL_APC_DISABLE)? != 0
            || self.apc_disable(kthread::SPECIAL_APC_DISABLE)? != 0;
        Ok(u8::from(disabled))
    }

    /// `BOOLEAN KeAreAllApcsDisabled(VOID)`: in a guarded region, or at APC_LEVEL or above.
    pub fn ke_are_all_apcs_disabled(&self) -> Ddi<u8> {
        let disabled = self.irql() >= dirql_abi::Irql::APC
            || self.apc_disable(kthread::SPECIAL_APC_DISABLE)? != 0;
        Ok(u8::from(disabled))
    }

    fn apc_disable(&self, offset: usize) -> Ddi<i16> {
        match self.current_kthread() {
            0 => Ok(0),
            thread => Ok(self.read(DriverPtr::new(thread + offset as u64))?),
        }
    }

    /// The counts are negative while APCs are disabled.
    fn change_apc_disable(&self, offset: usize, by: i16) -> Ddi<()> {
        let thread = self.current_kthread();
        if thread == 0 {
            return Ok(());
        }
        let count = self.apc_disable(offset)?.wrapping_add(by);
        if by > 0 && count > 0 {
            let kind = if offset == kthread::KERNEL_APC_DISABLE {
                "critical"
            } else {
                "guarded"
            };
            self.find(
                ids::REGION_NOT_ENTERED,
                format!("a thread leaves a {kind} region that it has not entered"),
                None,
            )?;
        }
        self.write(DriverPtr::new(thread + offset as u64), count)?;
        if count == 0 {
            self.apcs_are_enabled();
        }
        Ok(())
    }
}
