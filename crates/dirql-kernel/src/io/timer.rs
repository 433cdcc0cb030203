//! I/O timers: a routine per device that is called about once a second.
//!
//! Source: WDK, "I/O Timer Routines"; the pages of the routines.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::{DeviceObject, io_type};
use dirql_rules::ids;

use crate::ke::ClockAction;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Once a second, 100 ns units.
const SECOND: u64 = 10_000_000;

/// Bytes of an IO_TIMER: Type, flag, list links, routine, context, device.
const IO_TIMER: u64 = 48;

/// A device's timer.
pub(super) struct Timer {
    body: u64,
    routine: u64,
    context: u64,
    running: bool,
}

impl Kernel {
    /// `NTSTATUS IoInitializeTimer(PDEVICE_OBJECT, PIO_TIMER_ROUTINE, PVOID Context)`
    ///
    /// Gives a device a timer that is not running.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INSUFFICIENT_RESOURCES.
    /// - Findings: DQ0217 the device has one already.
    /// - Source: WDK reference, wdm.IoInitializeTimer; Bug check 0xC9, parameter 0xA.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_initialize_timer(&self, device: u64, routine: u64, context: u64) -> Ddi<NtStatus> {
        self.expect_device(device)?;
        if self.io.timers.borrow().contains_key(&device) {
            let message = alloc::format!("{} has a timer already", self.device_text(device));
            self.find(ids::TIMER_MISUSE, message, None)?;
            self.forget_timer(device)?;
        }
        let body = self.allocate_zeroed(IO_TIMER, super::tag(b"IoTi"))?;
        if body == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(DriverPtr::new(body), io_type::IO_TYPE_TIMER)?;
        self.write(DriverPtr::new(body + 40), device)?;
        self.write(
            at!(DriverPtr::<DeviceObject>::new(device), DeviceObject, timer),
            body,
        )?;
        self.io.timers.borrow_mut().insert(
            device,
            Timer {
                body,
                routine,
                context,
                running: false,
            },
        );
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID IoStartTimer(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0217 the device has no timer.
    /// - Source: WDK reference, wdm.IoStartTimer.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn io_start_timer(&self, device: u64) -> Ddi<()> {
        if !self.set_timer_running(device, true)? {
            return Ok(());
        }
        self.cancel_alarms(ClockAction::IoTimers);
        self.set_alarm(self.time_100ns() + SECOND, ClockAction::IoTimers);
        Ok(())
    }

    /// `VOID IoStopTimer(PDEVICE_OBJECT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0217 the device has no timer.
    /// - Source: WDK reference, wdm.IoStopTimer.
    ///
    /// # Errors
    /// None but the run's end.
    pub fn io_stop_timer(&self, device: u64) -> Ddi<()> {
        self.set_timer_running(device, false)?;
        self.stop_clock_if_unused();
        Ok(())
    }

    /// Whether there is such a timer.
    fn set_timer_running(&self, device: u64, running: bool) -> Ddi<bool> {
        let known = {
            let mut timers = self.io.timers.borrow_mut();
            timers
                .get_mut(&device)
                .map(|timer| timer.running = running)
                .is_some()
        };
        if !known {
            let message = alloc::format!("{} has no timer", self.device_text(device));
            self.find(ids::TIMER_MISUSE, message, None)?;
        }
        Ok(known)
    }

    fn stop_clock_if_unused(&self) {
        if !self.io.timers.borrow().values().any(|timer| timer.running) {
            self.cancel_alarms(ClockAction::IoTimers);
        }
    }

    /// The device goes away, and its timer with it.
    pub(super) fn forget_timer(&self, device: u64) -> Ddi<()> {
        let timer = self.io.timers.borrow_mut().remove(&device);
        if let Some(timer) = timer {
            self.pool_free(timer.body, None)?;
        }
        self.stop_clock_if_unused();
        Ok(())
    }

    /// A second has passed. The routines are DPC routines: they run where DPCs run.
    pub(crate) fn io_timers_are_due(&self) {
        let any = self.io.timers.borrow().values().any(|timer| timer.running);
        if any {
            self.set_alarm(self.time_100ns() + SECOND, ClockAction::IoTimers);
            self.queue_io_timer_dpc();
        }
    }

    /// Queues the DPC that calls the routines; it lies in memory of our own.
    fn queue_io_timer_dpc(&self) {
        if self.io.timer_dpc.get() == 0 {
            let dpc = self.allocate_system(64);
            let routine = self.kernel_routine("dirql:IoTimerDpc");
            if self
                .ke_initialize_dpc(DriverPtr::new(dpc), routine, 0)
                .is_err()
            {
                return;
            }
            self.io.timer_dpc.set(dpc);
        }
        // Memory of our own: queueing it cannot fail.
        let _ = self.ke_insert_queue_dpc(DriverPtr::new(self.io.timer_dpc.get()), 0, 0);
    }

    /// Calls the routine of every timer that runs, at DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The run's end.
    pub fn io_timer_dpc(&self) -> Ddi<()> {
        let due: Vec<u64> = {
            let timers = self.io.timers.borrow();
            timers
                .iter()
                .filter(|(_, timer)| timer.running)
                .map(|(device, _)| *device)
                .collect()
        };
        for device in due {
            let timer = {
                let timers = self.io.timers.borrow();
                timers
                    .get(&device)
                    .filter(|timer| timer.running)
                    .map(|timer| (timer.routine, timer.context))
            };
            if let Some((routine, context)) = timer {
                self.call_at_same_level("IoTimer", routine, &[device, context])?;
            }
        }
        Ok(())
    }
}
