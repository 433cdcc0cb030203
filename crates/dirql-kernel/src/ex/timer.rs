//! EX_TIMER: timers that the system allocates and that call back.
//!
//! A timer is a KTIMER, which can be waited for, with a DPC of ours behind it.
//!
//! Not modelled: high resolution (every timer is exact here), wake-up from sleep.
//!
//! Source: WDK reference, "ExXxxTimer Routines and EX_TIMER Objects", wdm.ExAllocateTimer and its
//! relatives.

use alloc::format;

use dirql_abi::dispatcher::KTimer;
use dirql_abi::dpc::KDpc;
use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel};

/// Tag of the pool that timers are in.
const TAG: u32 = u32::from_le_bytes(*b"ExTm");

/// EX_TIMER_NOTIFICATION: a notification timer, not a synchronization timer.
const NOTIFICATION: u32 = 1 << 31;

/// 100 ns units in a millisecond.
const MILLISECOND: u64 = 10_000;

/// What a driver asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExTimer {
    callback: u64,
    context: u64,
}

/// Where the DPC is, behind the timer.
const DPC: u64 = size_of::<KTimer>() as u64;

/// EXT_DELETE_PARAMETERS: version, reserved, then these.
const DELETE_CALLBACK: u64 = 8;
const DELETE_CONTEXT: u64 = 16;

impl Kernel {
    /// `PEX_TIMER ExAllocateTimer(PEXT_CALLBACK, PVOID CallbackContext, ULONG Attributes)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the timer, or NULL.
    /// - Source: WDK reference, wdm.ExAllocateTimer.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ex_allocate_timer(&self, callback: u64, context: u64, attributes: u32) -> Ddi<u64> {
        let timer = self.allocate_zeroed(DPC + size_of::<KDpc>() as u64, TAG)?;
        if timer == 0 {
            return Ok(0);
        }
        let kind = u32::from(attributes & NOTIFICATION == 0);
        self.ke_initialize_timer_ex(DriverPtr::new(timer), kind)?;
        let routine = self.kernel_routine("dirql:ExTimerDpc");
        self.ke_initialize_dpc(DriverPtr::new(timer + DPC), routine, timer)?;
        let known = ExTimer { callback, context };
        self.ex.timers.borrow_mut().insert(timer, known);
        Ok(timer)
    }

    /// `BOOLEAN ExSetTimer(PEX_TIMER, LONGLONG DueTime, LONGLONG Period, PEXT_SET_PARAMETERS)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: whether it was set already. A period is rounded up to milliseconds.
    /// - Findings: DQ0445 if it is no such timer.
    /// - Source: WDK reference, wdm.ExSetTimer.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding.
    pub fn ex_set_timer(&self, timer: u64, due: i64, period: i64) -> Ddi<u8> {
        self.expect_ex_timer(timer)?;
        let period = period.max(0).unsigned_abs().div_ceil(MILLISECOND);
        let period = i32::try_from(period).unwrap_or(i32::MAX);
        self.ke_set_timer_ex(
            DriverPtr::new(timer),
            due,
            period,
            DriverPtr::new(timer + DPC),
        )
    }

    /// `BOOLEAN ExCancelTimer(PEX_TIMER, PEXT_CANCEL_PARAMETERS)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: whether it was set.
    /// - Findings: DQ0445 if it is no such timer.
    /// - Source: WDK reference, wdm.ExCancelTimer.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding.
    pub fn ex_cancel_timer(&self, timer: u64) -> Ddi<u8> {
        self.expect_ex_timer(timer)?;
        self.ke_cancel_timer(DriverPtr::new(timer))
    }

    /// `BOOLEAN ExDeleteTimer(PEX_TIMER, BOOLEAN Cancel, BOOLEAN Wait, PEXT_DELETE_PARAMETERS)`
    ///
    /// Cancels and frees the timer; with `wait`, when its callback has come to its end. A callback
    /// of the parameters is called at the end.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL with `wait`.
    /// - Returns: whether it was set.
    /// - Findings: DQ0445 if it is no such timer.
    /// - Source: WDK reference, wdm.ExDeleteTimer.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] after the finding.
    pub fn ex_delete_timer(&self, timer: u64, wait: u8, parameters: u64) -> Ddi<u8> {
        self.expect_ex_timer(timer)?;
        let was_set = self.ke_cancel_timer(DriverPtr::new(timer))?;
        self.ke_remove_queue_dpc(DriverPtr::new(timer + DPC))?;
        if wait != 0 {
            self.ke_flush_queued_dpcs()?;
        }
        self.ex.timers.borrow_mut().remove(&timer);
        if parameters != 0 {
            let callback: u64 = self.read(DriverPtr::new(parameters + DELETE_CALLBACK))?;
            let context: u64 = self.read(DriverPtr::new(parameters + DELETE_CONTEXT))?;
            if callback != 0 {
                self.call_at_same_level("ExTimerDeleteCallback", callback, &[context])?;
            }
        }
        self.pool_free(timer, Some(TAG))?;
        Ok(was_set)
    }

    /// The DPC of every such timer.
    ///
    /// # Errors
    /// As the callback.
    pub fn ex_timer_dpc(&self, timer: u64) -> Ddi<()> {
        let known = self.ex.timers.borrow().get(&timer).copied();
        if let Some(known) = known.filter(|known| known.callback != 0) {
            let arguments = [timer, known.context];
            self.call_at_same_level("ExTimerCallback", known.callback, &arguments)?;
        }
        Ok(())
    }

    fn expect_ex_timer(&self, timer: u64) -> Ddi<()> {
        if self.ex.timers.borrow().contains_key(&timer) {
            return Ok(());
        }
        let message = format!("{timer:#x} is not from ExAllocateTimer, or was deleted");
        Err(self.refuse(ids::EX_TIMER, message, self.given_back(timer)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    use dirql_abi::Irql;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_timer_calls_back_at_dispatch_level_until_it_is_deleted() {
        let bench = Bench::new(Config::default());
        let calls = Rc::new(RefCell::new(Vec::new()));
        let log = calls.clone();
        let callback = bench.routine(move |kernel, arguments| {
            log.borrow_mut().push((kernel.irql(), arguments[1]));
            Ok(0)
        });
        bench.on_thread(move |kernel| {
            let timer = kernel.ex_allocate_timer(callback, 77, NOTIFICATION)?;
            assert_eq!(kernel.ex_set_timer(timer, -10_000, 0)?, 0);
            kernel.wait_for(timer, None)?;
            assert_eq!(kernel.ex_set_timer(timer, -10_000, 0)?, 0);
            assert_eq!(kernel.ex_delete_timer(timer, 1, 0)?, 1);
            assert!(kernel.ex_set_timer(timer, 0, 0).is_err());
            Ok(())
        });
        assert_eq!(*calls.borrow(), [(Irql::DISPATCH, 77)]);
        assert_eq!(bench.rules(), [ids::EX_TIMER]);
    }
}
