//! Virtual time, in 100 ns units since the start of the run.
//!
//! It moves when all processors are idle, and by what a routine says that it takes.

use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;

use crate::Kernel;
use crate::ke::thread::ThreadId;

/// What happens when a delay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockAction {
    /// A wait's time is over.
    WaitTimeout(ThreadId),
    /// A KTIMER at this address is due.
    Timer(u64),
    /// A device asked for it.
    Device {
        /// Which device of the machine.
        device: u32,
        /// Its token.
        token: u32,
    },
    /// One second has passed for devices with an IO timer.
    IoTimers,
}

/// A delay that is running: when it is due, and a number that makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    pub(crate) due_100ns: u64,
    number: u64,
}

#[derive(Default)]
pub(crate) struct Clock {
    now: Cell<u64>,
    numbers: Cell<u64>,
    alarms: RefCell<BTreeMap<Alarm, ClockAction>>,
}

/// System time at the start of every run: 2024-01-01 00:00 UTC, 100 ns units since 1601.
pub(crate) const START_SYSTEM_TIME: u64 = 133_485_408_000_000_000;

/// Length of a clock tick, 100 ns units: 15.625 ms.
pub(crate) const TICK: u64 = 156_250;

impl Kernel {
    /// Virtual time since the start of the run, 100 ns units.
    #[inline]
    #[must_use]
    pub fn time_100ns(&self) -> u64 {
        self.ke.clock.now.get()
    }

    /// Arranges for `action` to happen at `due_100ns`; a time that has passed means at the
    /// next opportunity.
    pub(crate) fn set_alarm(&self, due_100ns: u64, action: ClockAction) -> Alarm {
        let number = self.ke.clock.numbers.get() + 1;
        self.ke.clock.numbers.set(number);
        let alarm = Alarm { due_100ns, number };
        self.ke.clock.alarms.borrow_mut().insert(alarm, action);
        alarm
    }

    /// Whether the alarm was still running.
    pub(crate) fn cancel_alarm(&self, alarm: Alarm) -> bool {
        self.ke.clock.alarms.borrow_mut().remove(&alarm).is_some()
    }

    /// Cancels every alarm with this action.
    pub(crate) fn cancel_alarms(&self, action: ClockAction) {
        self.ke.clock.alarms.borrow_mut().retain(|_, other| *other != action);
    }

    /// Addresses of the KTIMERs that are set, in order of their due time.
    pub(crate) fn set_timers(&self) -> alloc::vec::Vec<u64> {
        let alarms = self.ke.clock.alarms.borrow();
        alarms
            .values()
            .filter_map(|action| match action {
                ClockAction::Timer(timer) => Some(*timer),
                _ => None,
            })
            .collect()
    }

    /// Lets time pass by `by_100ns`; what becomes due happens in order.
    pub(crate) fn pass_time(&self, by_100ns: u64) {
        let until = self.time_100ns().saturating_add(by_100ns);
        while self.ring_next(until) {}
        self.ke.clock.now.set(until.max(self.time_100ns()));
    }

    /// Lets time pass to the next alarm, which rings. `false` if there is none.
    pub(crate) fn pass_time_to_next_event(&self) -> bool {
        self.ring_next(u64::MAX)
    }

    fn ring_next(&self, until: u64) -> bool {
        let next = {
            let mut alarms = self.ke.clock.alarms.borrow_mut();
            match alarms.first_entry() {
                Some(entry) if entry.key().due_100ns <= until => Some(entry.remove_entry()),
                _ => None,
            }
        };
        let Some((alarm, action)) = next else { return false };
        self.ke.clock.now.set(alarm.due_100ns.max(self.time_100ns()));
        match action {
            ClockAction::WaitTimeout(thread) => self.end_wait_and_forget(thread, NtStatus::TIMEOUT),
            ClockAction::Timer(timer) => self.timer_is_due(timer, alarm.due_100ns),
            ClockAction::Device { device, token } => self.device_timer(device, token),
            ClockAction::IoTimers => self.io_timers_are_due(),
        }
        true
    }
}
