//! Alerts, and waits that they and user APCs end.
//!
//! Source: WDK, "Waits and APCs"; wdm.KeWaitForSingleObject, Return value. The routines are exported
//! and have no pages.

use alloc::collections::BTreeMap;
use core::cell::RefCell;

use dirql_abi::NtStatus;

use crate::Kernel;
use crate::ke::thread::ThreadId;
use crate::stop::Ddi;

/// Priority that an alert gives the thread which it wakes (`ALERT_INCREMENT`).
const ALERT_INCREMENT: i32 = 2;

/// `KPROCESSOR_MODE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// `KernelMode`
    #[default]
    Kernel,
    /// `UserMode`
    User,
}

impl Mode {
    pub(crate) const fn of(value: u8) -> Self {
        match value {
            0 => Self::Kernel,
            _ => Self::User,
        }
    }
}

/// What may end a wait besides its objects and its time.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitMode {
    mode: Mode,
    alertable: bool,
}

impl WaitMode {
    /// Nothing does.
    pub const KERNEL: Self = Self {
        mode: Mode::Kernel,
        alertable: false,
    };

    /// As a driver says it: `KPROCESSOR_MODE WaitMode, BOOLEAN Alertable`.
    #[must_use]
    pub const fn new(mode: u8, alertable: u8) -> Self {
        Self {
            mode: Mode::of(mode),
            alertable: alertable != 0,
        }
    }

    const fn ends_by_alert(self, of: Mode) -> bool {
        self.alertable && of as u8 <= self.mode as u8
    }

    const fn ends_by_user_apc(self) -> bool {
        self.alertable && matches!(self.mode, Mode::User)
    }
}

/// What a thread was told that has not waited since.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    kernel: bool,
    user: bool,
    /// Its user APCs are to run as soon as it is back in user mode.
    user_apc: bool,
}

#[derive(Default)]
pub(crate) struct Alerts {
    told: RefCell<BTreeMap<u32, Told>>,
}

impl Kernel {
    /// What ends a wait of the current thread before it begins.
    #[inline]
    pub(super) fn interruption(&self, thread: ThreadId, wait: WaitMode) -> Option<NtStatus> {
        if wait.mode == Mode::Kernel && !wait.alertable {
            return None;
        }
        self.interruption_of(thread, wait)
    }

    fn interruption_of(&self, thread: ThreadId, wait: WaitMode) -> Option<NtStatus> {
        let has_user_apcs = wait.mode == Mode::User && self.has_user_apcs(thread);
        let mut all = self.ke.alerts.told.borrow_mut();
        let told = match all.get_mut(&thread.0) {
            Some(told) => told,
            None if has_user_apcs => all.entry(thread.0).or_default(),
            None => return None,
        };
        if !wait.alertable {
            let ends = wait.mode == Mode::User && told.user_apc;
            return ends.then_some(NtStatus::USER_APC);
        }
        let own = match wait.mode {
            Mode::Kernel => &mut told.kernel,
            Mode::User => &mut told.user,
        };
        if core::mem::take(own) {
            return Some(NtStatus::ALERTED);
        }
        if has_user_apcs {
            told.user_apc = true;
            return Some(NtStatus::USER_APC);
        }
        core::mem::take(&mut told.kernel).then_some(NtStatus::ALERTED)
    }

    /// A user APC was queued to a thread.
    pub(super) fn wake_for_user_apc(&self, thread: ThreadId, increment: i32) -> Ddi<()> {
        if self
            .wait_mode_of(thread)
            .is_some_and(WaitMode::ends_by_user_apc)
        {
            self.note_told(thread, |told| told.user_apc = true);
            self.boost(thread, increment);
            self.end_wait_and_forget(thread, NtStatus::USER_APC);
        }
        Ok(())
    }

    fn note_told<R>(&self, thread: ThreadId, change: impl FnOnce(&mut Told) -> R) -> R {
        let mut all = self.ke.alerts.told.borrow_mut();
        change(all.entry(thread.0).or_default())
    }

    /// `BOOLEAN KeAlertThread(PKTHREAD, KPROCESSOR_MODE AlertMode)`: ends an alertable wait of the
    /// thread, or the next one, with STATUS_ALERTED.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: whether it was alerted already.
    /// - Source: exported, no page.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ke_alert_thread(&self, kthread: u64, mode: u8) -> Ddi<u8> {
        let Some(thread) = self.thread_at(kthread) else {
            return Ok(0);
        };
        let mode = Mode::of(mode);
        let waits = self.wait_mode_of(thread);
        let ends = waits.is_some_and(|wait| wait.ends_by_alert(mode));
        let before = self.note_told(thread, |told| {
            let flag = match mode {
                Mode::Kernel => &mut told.kernel,
                Mode::User => &mut told.user,
            };
            let before = *flag;
            *flag |= !ends;
            before
        });
        if ends && !before {
            self.boost(thread, ALERT_INCREMENT);
            self.end_wait_and_forget(thread, NtStatus::ALERTED);
        }
        Ok(u8::from(before))
    }

    /// `BOOLEAN KeTestAlertThread(KPROCESSOR_MODE AlertMode)`: takes an alert of the calling thread
    /// back; without one, its user APCs are to run.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: whether it was alerted.
    /// - Source: exported, no page.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ke_test_alert_thread(&self, mode: u8) -> Ddi<u8> {
        let Some(thread) = self.current_thread() else {
            return Ok(0);
        };
        let mode = Mode::of(mode);
        let has_user_apcs = mode == Mode::User && self.has_user_apcs(thread);
        let was_alerted = self.note_told(thread, |told| {
            let alerted = match mode {
                Mode::Kernel => &mut told.kernel,
                Mode::User => &mut told.user,
            };
            let was_alerted = core::mem::take(alerted);
            told.user_apc |= has_user_apcs && !was_alerted;
            was_alerted
        });
        Ok(u8::from(was_alerted))
    }
}
