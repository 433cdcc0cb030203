//! Virtual time, in 100 ns units since the start of the run.
//!
//! It moves when all processors are idle, by what a routine says that it takes, and a little
//! with each access to a device, each look at a clock and each turn of a processor, so that a
//! driver that polls for something that time brings comes to an end. Whoever chooses what happens
//! may let code take longer, within a bound.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;

use crate::ke::thread::ThreadId;
use crate::{Event, Kernel};

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

pub(crate) struct Clock {
    now: Cell<u64>,
    numbers: Cell<u64>,
    /// Time that was skipped because somebody chose so, or that no code has spent.
    skipped: Cell<u64>,
    /// Of that, what was skipped since all processors had nothing to do.
    late: Cell<u64>,
    pub(super) alarms: RefCell<BTreeMap<Alarm, ClockAction>>,
    /// When the first alarm is due; the end of time without one.
    next_due: Cell<u64>,
    /// The alarm of each KTIMER that is set, by its address.
    timers: RefCell<BTreeMap<u64, Alarm>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: Cell::new(0),
            numbers: Cell::new(0),
            skipped: Cell::new(0),
            late: Cell::new(0),
            alarms: RefCell::default(),
            next_due: Cell::new(u64::MAX),
            timers: RefCell::default(),
        }
    }
}

impl Clock {
    fn look_ahead(&self) {
        let first = self
            .alarms
            .borrow()
            .first_key_value()
            .map(|(alarm, _)| alarm.due_100ns);
        self.next_due.set(first.unwrap_or(u64::MAX));
    }

    /// Time has passed that no code has spent, in 100 ns.
    pub(super) fn is_not_spent(&self, by: u64) {
        self.skipped.set(self.skipped.get() + by);
    }

    /// All processors have nothing to do.
    pub(super) fn nobody_is_late(&self) {
        self.late.set(0);
    }
}

/// System time at the start of every run: 2024-01-01 00:00 UTC, 100 ns units since 1601.
pub(crate) const START_SYSTEM_TIME: u64 = 133_485_408_000_000_000;

/// Virtual time that looking at the clock takes, 100 ns units. 1 microsecond is of the order of
/// the real thing with the loop around it.
pub(crate) const LOOK_AT_CLOCK: u64 = 10;

/// Virtual time that an access to a device register or a port takes, 100 ns units.
pub(crate) const DEVICE_ACCESS: u64 = 1;

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
        self.touch_time();
        let clock = &self.ke.clock;
        let number = clock.numbers.get() + 1;
        clock.numbers.set(number);
        let alarm = Alarm { due_100ns, number };
        clock.alarms.borrow_mut().insert(alarm, action);
        clock.next_due.set(clock.next_due.get().min(due_100ns));
        alarm
    }

    /// Whether the alarm was still running.
    pub(crate) fn cancel_alarm(&self, alarm: Alarm) -> bool {
        let was_running = self.ke.clock.alarms.borrow_mut().remove(&alarm).is_some();
        self.ke.clock.look_ahead();
        was_running
    }

    /// Cancels every alarm with this action.
    pub(crate) fn cancel_alarms(&self, action: ClockAction) {
        self.ke
            .clock
            .alarms
            .borrow_mut()
            .retain(|_, other| *other != action);
        self.ke.clock.look_ahead();
    }

    /// Sets a KTIMER, instead of what it was set to.
    pub(crate) fn set_timer_alarm(&self, timer: u64, due_100ns: u64) {
        self.cancel_timer_alarm(timer);
        let alarm = self.set_alarm(due_100ns, ClockAction::Timer(timer));
        self.ke.clock.timers.borrow_mut().insert(timer, alarm);
    }

    /// Whether the KTIMER was set.
    pub(crate) fn cancel_timer_alarm(&self, timer: u64) -> bool {
        let alarm = self.ke.clock.timers.borrow_mut().remove(&timer);
        alarm.is_some_and(|alarm| self.cancel_alarm(alarm))
    }

    /// Addresses of the KTIMERs that are set, in order of their due time.
    pub(crate) fn set_timers(&self) -> Vec<u64> {
        if self.ke.clock.timers.borrow().is_empty() {
            return Vec::new();
        }
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
    #[inline]
    pub(crate) fn pass_time(&self, by_100ns: u64) {
        let until = self.time_100ns().saturating_add(by_100ns);
        if until >= self.ke.clock.next_due.get() {
            while self.ring_next(until) {}
        }
        self.ke.clock.now.set(until.max(self.time_100ns()));
    }

    /// Lets time pass to the next alarm, which rings. `false` if there is none.
    pub(crate) fn pass_time_to_next_event(&self) -> bool {
        self.ring_next(u64::MAX)
    }

    /// Whether time can bring anything.
    pub(crate) fn has_alarms(&self) -> bool {
        !self.ke.clock.alarms.borrow().is_empty()
    }

    fn ring_next(&self, until: u64) -> bool {
        let clock = &self.ke.clock;
        let next = {
            let mut alarms = clock.alarms.borrow_mut();
            match alarms.first_entry() {
                Some(entry) if entry.key().due_100ns <= until => Some(entry.remove_entry()),
                _ => None,
            }
        };
        clock.look_ahead();
        let Some((alarm, action)) = next else {
            return false;
        };
        clock.now.set(alarm.due_100ns.max(self.time_100ns()));
        self.ring(alarm, action);
        true
    }

    /// A delay ends now, whenever it is due. A device that is faster than its model takes no
    /// time along; for everything else, time has passed until it is due, which is no processor's
    /// own doing.
    pub(crate) fn end_delay(&self, alarm: Alarm) {
        let clock = &self.ke.clock;
        let Some(action) = clock.alarms.borrow_mut().remove(&alarm) else {
            return;
        };
        clock.look_ahead();
        let passes = alarm.due_100ns.saturating_sub(self.time_100ns());
        if !matches!(action, ClockAction::Device { .. }) {
            clock.now.set(self.time_100ns() + passes);
            clock.skipped.set(clock.skipped.get() + passes);
            clock.late.set(clock.late.get() + passes);
            self.ke.patience.does_not_count(passes);
        }
        self.ring(alarm, action);
    }

    /// Time has passed that no processor has spent, `by_100ns`.
    pub(super) fn is_no_processors_time(&self, by_100ns: u64) {
        let clock = &self.ke.clock;
        clock.skipped.set(clock.skipped.get() + by_100ns);
        self.ke.patience.does_not_count(by_100ns);
    }

    /// Whether the code that runs may take until this alarm: at most so much longer than it says,
    /// counted since all processors had nothing to do.
    pub(super) fn code_may_take_until(&self, alarm: Alarm) -> bool {
        let passes = alarm.due_100ns.saturating_sub(self.time_100ns());
        passes.saturating_add(self.ke.clock.late.get()) <= self.config().late_100ns
    }

    /// Time that has passed for processors that run, 100 ns units.
    pub(crate) fn busy_time_100ns(&self) -> u64 {
        self.time_100ns() - self.ke.clock.skipped.get()
    }

    fn ring(&self, alarm: Alarm, action: ClockAction) {
        self.touch_kernel();
        self.touch_time();
        if self.report.is_recording() {
            self.event(Event::DelayOver(action));
        }
        match action {
            ClockAction::WaitTimeout(thread) => self.end_wait_and_forget(thread, NtStatus::TIMEOUT),
            ClockAction::Timer(timer) => {
                self.ke.clock.timers.borrow_mut().remove(&timer);
                self.timer_is_due(timer, alarm.due_100ns);
            }
            ClockAction::Device { device, token } => {
                self.ke.patience.device_acts(self.time_100ns());
                self.ke.polls.something_happens();
                self.device_timer(device, token);
            }
            ClockAction::IoTimers => self.io_timers_are_due(),
        }
    }
}
