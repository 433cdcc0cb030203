//! Shutdown notification.
//!
//! Source: wdm.IoRegisterShutdownNotification, ntddk.IoRegisterLastChanceShutdownNotification.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::device_flags;
use dirql_abi::irp::major;

use crate::{Ddi, Kernel};

/// Devices in order of registration; they are told last in, first out.
#[derive(Default)]
pub(super) struct Shutdown {
    first: Vec<u64>,
    last_chance: Vec<u64>,
}

impl Kernel {
    /// `NTSTATUS IoRegisterShutdownNotification(PDEVICE_OBJECT)`
    ///
    /// Has IRP_MJ_SHUTDOWN sent to the device before the system shuts down; once per
    /// registration.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Source: WDK reference, wdm.IoRegisterShutdownNotification.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_register_shutdown_notification(&self, device: u64) -> Ddi<NtStatus> {
        self.expect_device(device)?;
        self.io.shutdown.borrow_mut().first.push(device);
        self.change_device_flags(device, 0, device_flags::DO_SHUTDOWN_REGISTERED)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT)`: as
    /// [`Kernel::io_register_shutdown_notification`], after the file systems are flushed.
    ///
    /// # Errors
    /// As there.
    pub fn io_register_last_chance_shutdown_notification(&self, device: u64) -> Ddi<NtStatus> {
        self.expect_device(device)?;
        self.io.shutdown.borrow_mut().last_chance.push(device);
        self.change_device_flags(device, 0, device_flags::DO_SHUTDOWN_REGISTERED)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID IoUnregisterShutdownNotification(PDEVICE_OBJECT)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, wdm.IoUnregisterShutdownNotification.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_unregister_shutdown_notification(&self, device: u64) -> Ddi<()> {
        self.expect_device(device)?;
        {
            let mut shutdown = self.io.shutdown.borrow_mut();
            shutdown.first.retain(|known| *known != device);
            shutdown.last_chance.retain(|known| *known != device);
        }
        self.change_device_flags(device, device_flags::DO_SHUTDOWN_REGISTERED, 0)
    }

    /// Tells every registered device that the system shuts down. On a system thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn shut_down(&self) -> Ddi<()> {
        loop {
            let device = {
                let mut shutdown = self.io.shutdown.borrow_mut();
                let first = shutdown.first.pop();
                first.or_else(|| shutdown.last_chance.pop())
            };
            let Some(device) = device else { return Ok(()) };
            let top = self.top_of_stack(device);
            self.send_simple(top, major::IRP_MJ_SHUTDOWN, 0)?;
        }
    }
}
