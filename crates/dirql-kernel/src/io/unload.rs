//! Unloading a driver.
//!
//! Source: WDK, "Writing an Unload Routine".

use dirql_abi::device::{DriverObject, driver_flags};

use crate::{Ddi, DriverPtr, Kernel, at};

/// Why a driver was not unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnloadError {
    /// No driver object is at this address.
    #[error("{0:#x} is not a driver object")]
    NoDriver(u64),
    /// The driver has no Unload routine, so Windows never unloads it.
    #[error("the driver has no Unload routine")]
    NoRoutine,
    /// A device of the driver is open: Windows keeps the driver until the last handle is closed.
    #[error("a device of the driver is open, and Windows keeps it until the last handle is closed")]
    Open,
}

/// How often, and how long each time, in 100 ns units, an unload waits for devices that are still
/// referenced.
const PATIENCE: u32 = 100;
const MILLISECOND_100NS: u64 = 10_000;

/// How long an unload waits for requests at most, and at a time: a driver that gives up after some
/// seconds does so meanwhile.
const MOST_WAIT_100NS: u64 = 16_000 * MILLISECOND_100NS;
const LONGEST_PAUSE_100NS: u64 = 1_000 * MILLISECOND_100NS;

impl Kernel {
    /// Unloads a driver: Unload, then the search for what it left.
    ///
    /// A device that was deleted and is still referenced, as by a work item that is on its way
    /// back from the driver, is waited for: the driver object counts it as a device until then.
    ///
    /// While a request that was sent to an open file of one of the driver's devices has not come
    /// back, or its dispatch routine has not returned, Unload is not called: the file is open, and
    /// holds the device. After 16 s it is not waited for any longer. Handles are waited for as
    /// long; a driver whose device is open then is not unloaded.
    ///
    /// - Findings: devices, symbolic links, interrupts, DPCs, timers and memory left.
    /// - Source: WDK, "Writing an Unload Routine".
    ///
    /// # Errors
    /// The run's end.
    pub fn unload_driver(&self, driver: u64) -> Ddi<Result<(), UnloadError>> {
        if self.with_driver(driver, |_| ()).is_none() {
            return Ok(Err(UnloadError::NoDriver(driver)));
        }
        let object = DriverPtr::<DriverObject>::new(driver);
        let routine = self.read(at!(object, DriverObject, driver_unload))?;
        if routine == 0 {
            return Ok(Err(UnloadError::NoRoutine));
        }
        self.wait_for_requests(driver)?;
        if self.has_open_handles(driver) {
            return Ok(Err(UnloadError::Open));
        }
        let flags = self.read(at!(object, DriverObject, flags))?;
        self.write(
            at!(object, DriverObject, flags),
            flags | driver_flags::DRVO_UNLOAD_INVOKED,
        )?;
        self.wait_for_references(driver)?;
        self.call_at_same_level("DriverUnload", routine, &[driver])?;
        self.check_nothing_left(driver, "the driver was unloaded")?;
        self.forget_driver(driver)?;
        Ok(Ok(()))
    }

    /// Waits until the last references to devices of a driver that it has deleted are gone, and
    /// cancel routines have returned; not for ever, because a reference may be the driver's own.
    fn wait_for_references(&self, driver: u64) -> Ddi<()> {
        if self.current_thread().is_none() {
            return Ok(());
        }
        for _ in 0..PATIENCE {
            if !self.has_deleted_devices(driver) && !self.io.requests.cancelling.is_under_way() {
                break;
            }
            let event = self.take_event()?;
            self.wait_for(event, Some(MILLISECOND_100NS))?;
            self.give_event(event);
        }
        Ok(())
    }

    /// Waits until the requests to open files of a driver's devices have come back and no handle is
    /// left; not for ever,
    /// because the unloading thread may be the one that would have cancelled one.
    fn wait_for_requests(&self, driver: u64) -> Ddi<()> {
        if self.current_thread().is_none() {
            return Ok(());
        }
        let mut pause = MILLISECOND_100NS;
        let mut left = MOST_WAIT_100NS;
        while left != 0 && (self.has_requests_under_way(driver)? || self.has_open_handles(driver)) {
            let event = self.take_event()?;
            self.wait_for(event, Some(pause))?;
            self.give_event(event);
            left = left.saturating_sub(pause);
            pause = (2 * pause).min(LONGEST_PAUSE_100NS);
        }
        Ok(())
    }

    /// Whether a request is under way to a file whose device, or a device above that, is this
    /// driver's.
    fn has_requests_under_way(&self, driver: u64) -> Ddi<bool> {
        let files = self.files_in_use()?.into_iter();
        let mut devices = files
            .filter_map(|file| self.opened_device(file))
            .flat_map(|device| self.stack_of(device));
        Ok(devices.any(|device| self.driver_of_device(device) == Some(driver)))
    }
}
