//! Timers.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::dispatcher::{DispatcherHeader, KTimer, object_type};
use dirql_abi::dpc::KDpc;
use dirql_rules::{Place, ids};

use crate::at;
use crate::ke::clock::START_SYSTEM_TIME;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel, WindowsVersion};

/// Where each timer was set last, by its address.
#[derive(Default)]
pub(super) struct Timers(RefCell<BTreeMap<u64, Place>>);

impl Kernel {
    /// `VOID KeInitializeTimer(PKTIMER)` and `KeInitializeTimerEx(PKTIMER, TIMER_TYPE)`;
    /// `kind` 0 is a notification timer, 1 a synchronization timer.
    ///
    /// - IRQL: any level, if the timer is resident.
    /// - Findings: DQ0538 it is set. Here it is taken off the list first, and never comes.
    /// - Source: WDK reference, wdm.KeInitializeTimerEx.
    ///
    /// # Errors
    /// A timer that is not memory; [`Stop::Ended`] if a finding ends the run.
    pub fn ke_initialize_timer_ex(&self, timer: DriverPtr<KTimer>, kind: u32) -> Ddi<()> {
        self.check_resident(timer.address(), "the timer")?;
        let set = self.timer_set_at(timer.address());
        if self.cancel_timer_alarm(timer.address()) {
            let message = format!(
                "the timer at {:#x} was initialised while it was set",
                timer.address()
            );
            self.find(
                ids::TIMER_INITIALISED_SET,
                message,
                set.map(|place| (String::from("set here"), place)),
            )?;
        }
        let type_ = if kind == 0 {
            object_type::TimerNotificationObject
        } else {
            object_type::TimerSynchronizationObject
        };
        self.write_header(timer.address(), type_, size_of::<KTimer>(), 0)?;
        if self.config().windows >= WindowsVersion::Vista {
            // What other objects have their size in is the timer's place in a table.
            self.write(at!(timer, KTimer, header.size), 0)?;
        }
        self.write(at!(timer, KTimer, header.inserted), 0)?;
        self.write(at!(timer, KTimer, due_time), 0)?;
        self.write(at!(timer, KTimer, dpc), 0)?;
        Ok(self.write(at!(timer, KTimer, period), 0)?)
    }

    /// `BOOLEAN KeSetTimerEx(PKTIMER, LARGE_INTEGER DueTime, LONG Period, PKDPC)`, also behind
    /// `KeSetTimer`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL. `due` is negative for relative time; `period_ms` is
    ///   in milliseconds, 0 for once.
    /// - Returns: whether it was set already.
    /// - Source: WDK reference, wdm.KeSetTimerEx.
    pub fn ke_set_timer_ex(
        &self,
        timer: DriverPtr<KTimer>,
        due: i64,
        period_ms: i32,
        dpc: DriverPtr<KDpc>,
    ) -> Ddi<u8> {
        let header = timer.cast::<DispatcherHeader>();
        let was_set = self.cancel_timer_alarm(timer.address());
        let due_100ns = self.time_100ns().saturating_add(self.relative_time(due));
        self.write(Self::signal_state(timer.address()), 0)?;
        self.write(at!(timer, KTimer, due_time), due_100ns)?;
        self.write(at!(timer, KTimer, period), period_ms as u32)?;
        self.write(at!(timer, KTimer, dpc), dpc.address())?;
        self.write(at!(header, DispatcherHeader, inserted), 1)?;
        self.set_timer_alarm(timer.address(), due_100ns);
        let mut timers = self.ke.timers.0.borrow_mut();
        timers.insert(timer.address(), self.here());
        Ok(u8::from(was_set))
    }

    /// `BOOLEAN KeCancelTimer(PKTIMER)`: whether it was set. A DPC that it has queued stays.
    pub fn ke_cancel_timer(&self, timer: DriverPtr<KTimer>) -> Ddi<u8> {
        let header = timer.cast::<DispatcherHeader>();
        let was_set = self.cancel_timer_alarm(timer.address());
        self.write(at!(header, DispatcherHeader, inserted), 0)?;
        Ok(u8::from(was_set))
    }

    /// `BOOLEAN KeReadStateTimer(PKTIMER)`
    pub fn ke_read_state_timer(&self, timer: DriverPtr<KTimer>) -> Ddi<u8> {
        Ok(u8::from(
            self.read(Self::signal_state(timer.address()))? != 0,
        ))
    }

    /// A timer's time has come.
    pub(crate) fn timer_is_due(&self, timer: u64, due_100ns: u64) {
        match self.expire(DriverPtr::new(timer), due_100ns) {
            Ok(()) | Err(Stop::Ended) => {}
            Err(Stop::BadAddress(_)) => {
                let message = format!("the memory of a timer that is set is gone: {timer:#x}");
                let set = self.timer_set_at(timer);
                let earlier = set.map(|place| (String::from("it was set here"), place));
                let _ = self.find_fatal(ids::TIMER_LEFT_SET, message, earlier);
            }
            Err(stop) => self.end_with(&stop),
        }
    }

    fn expire(&self, timer: DriverPtr<KTimer>, due_100ns: u64) -> Ddi<()> {
        let image = self.read(timer)?;
        let header = timer.cast::<DispatcherHeader>();
        let period_ms = image.period as i32;
        if period_ms > 0 {
            let next = due_100ns + period_ms as u64 * 10_000;
            self.set_timer_alarm(timer.address(), next);
        } else {
            self.write(at!(header, DispatcherHeader, inserted), 0)?;
        }
        self.write(Self::signal_state(timer.address()), 1)?;
        self.signal(timer.address())?;
        if image.dpc != 0 && self.queued_dpc(image.dpc).is_none() {
            let now = START_SYSTEM_TIME + self.time_100ns();
            self.ke_insert_queue_dpc(DriverPtr::new(image.dpc), now & 0xFFFF_FFFF, now >> 32)?;
        }
        Ok(())
    }

    /// Where a timer was set last.
    pub(crate) fn timer_set_at(&self, timer: u64) -> Option<Place> {
        self.ke.timers.0.borrow().get(&timer).cloned()
    }

    /// Timers that are set and lie in a range of addresses, or whose DPC does.
    pub(crate) fn timers_set_in(&self, range: &core::ops::Range<u64>) -> Vec<u64> {
        self.set_timers()
            .into_iter()
            .filter(|timer| {
                let dpc = self
                    .read(at!(DriverPtr::<KTimer>::new(*timer), KTimer, dpc))
                    .unwrap_or(0);
                range.contains(timer) || range.contains(&dpc)
            })
            .collect()
    }
}
