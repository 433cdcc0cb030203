//! StartIo: one request of a device at a time.
//!
//! Source: WDK, "StartIo Routines in Drivers", "Using the System's Cancel Spin Lock".

use dirql_abi::Irql;
use dirql_abi::device::{DeviceObject, DriverObject};
use dirql_abi::dispatcher::KDeviceQueueEntry;
use dirql_abi::irp::Irp;

use crate::{Ddi, DriverPtr, Kernel, at};

/// Where a request's KDEVICE_QUEUE_ENTRY lies: over its `DriverContext`.
const QUEUE_ENTRY: u64 = core::mem::offset_of!(Irp, driver_context) as u64;

/// What IoSetStartIoAttributes has set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes {
    deferred: bool,
    non_cancelable: bool,
    /// StartIo runs.
    running: bool,
    /// IoStartNextPacket was called meanwhile.
    again: Option<Next>,
}

/// Which request IoStartNextPacket is to take.
#[derive(Clone, Copy, Debug)]
struct Next {
    cancelable: bool,
    key: Option<u32>,
}

fn entry_of(irp: u64) -> DriverPtr<KDeviceQueueEntry> {
    DriverPtr::new(irp.wrapping_add(QUEUE_ENTRY))
}

impl Kernel {
    /// `VOID IoStartPacket(PDEVICE_OBJECT, PIRP, PULONG Key, PDRIVER_CANCEL)`
    ///
    /// Calls StartIo with the request, or queues it if the device is busy. With a cancel
    /// routine the request can be cancelled while it is queued.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; StartIo runs at DISPATCH_LEVEL.
    /// - Findings: DQ0200 StartIo returned at another level.
    /// - Source: WDK reference, wdm.IoStartPacket.
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if device or request is none.
    pub fn io_start_packet(
        &self,
        device: u64,
        irp: u64,
        key: DriverPtr<u32>,
        cancel: u64,
    ) -> Ddi<()> {
        self.expect_device(device)?;
        self.expect_irp(irp, 3)?;
        let key = if key.is_null() {
            None
        } else {
            Some(self.read(key)?)
        };
        let level = self.raise_irql(Irql::DISPATCH);
        let pointer = DriverPtr::<Irp>::new(irp);
        let cancel_level = if cancel == 0 {
            None
        } else {
            Some(self.take_cancel_lock()?)
        };
        if cancel != 0 {
            self.write(at!(pointer, Irp, cancel_routine), cancel)?;
        }
        let object = DriverPtr::<DeviceObject>::new(device);
        let queue = at!(object, DeviceObject, device_queue);
        let queued = match key {
            Some(key) => self.ke_insert_by_key_device_queue(queue, entry_of(irp), key)?,
            None => self.ke_insert_device_queue(queue, entry_of(irp))?,
        };
        if queued == 0 {
            self.write(at!(object, DeviceObject, current_irp), irp)?;
            if let Some(cancel_level) = cancel_level {
                self.drop_cancel_routine(device, irp)?;
                self.io_release_cancel_spin_lock(cancel_level)?;
            }
            self.call_start_io(device, irp)?;
        } else if let Some(cancel_level) = cancel_level {
            self.cancel_queued(device, irp, cancel, cancel_level)?;
        }
        self.lower_irql(level)
    }

    /// A request that starts cannot be cancelled any more if the driver asked for that.
    fn drop_cancel_routine(&self, device: u64, irp: u64) -> Ddi<()> {
        if self
            .with_device(device, |d| d.start_io.non_cancelable)
            .unwrap_or(false)
        {
            self.write(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine), 0)?;
        }
        Ok(())
    }

    /// The request was queued with the cancel lock held: cancels it if that was asked for
    /// before it had a cancel routine.
    fn cancel_queued(&self, device: u64, irp: u64, cancel: u64, level: u8) -> Ddi<()> {
        let pointer = DriverPtr::<Irp>::new(irp);
        if self.read(at!(pointer, Irp, cancel))? == 0 {
            return self.io_release_cancel_spin_lock(level);
        }
        self.write(at!(pointer, Irp, cancel_irql), Irql(level))?;
        self.write(at!(pointer, Irp, cancel_routine), 0)?;
        self.call_cancel_routine(cancel, device, irp, level)
    }

    /// `VOID IoStartNextPacket(PDEVICE_OBJECT, BOOLEAN Cancelable)`
    ///
    /// Takes the next request from the device's queue and calls StartIo with it; without one
    /// the device is not busy any more.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.IoStartNextPacket.
    ///
    /// # Errors
    /// The bug check if the device is none; bug check 0x139 for a damaged queue.
    pub fn io_start_next_packet(&self, device: u64, cancelable: u8) -> Ddi<()> {
        self.start_next(
            device,
            Next {
                cancelable: cancelable != 0,
                key: None,
            },
        )
    }

    /// `VOID IoStartNextPacketByKey(PDEVICE_OBJECT, BOOLEAN Cancelable, ULONG Key)`
    ///
    /// As [`Kernel::io_start_next_packet`], from this key on.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.IoStartNextPacketByKey.
    ///
    /// # Errors
    /// As [`Kernel::io_start_next_packet`].
    pub fn io_start_next_packet_by_key(&self, device: u64, cancelable: u8, key: u32) -> Ddi<()> {
        self.start_next(
            device,
            Next {
                cancelable: cancelable != 0,
                key: Some(key),
            },
        )
    }

    fn start_next(&self, device: u64, next: Next) -> Ddi<()> {
        self.expect_device(device)?;
        let postponed = self.with_device_mut(device, |d| {
            let postponed = d.start_io.deferred && d.start_io.running;
            if postponed {
                d.start_io.again = Some(next);
            }
            postponed
        });
        if postponed == Some(true) {
            return Ok(());
        }
        let object = DriverPtr::<DeviceObject>::new(device);
        let queue = at!(object, DeviceObject, device_queue);
        let cancel_level = if next.cancelable {
            Some(self.take_cancel_lock()?)
        } else {
            None
        };
        self.write(at!(object, DeviceObject, current_irp), 0)?;
        let entry = match next.key {
            Some(key) => self.ke_remove_by_key_device_queue(queue, key)?,
            None => self.ke_remove_device_queue(queue)?,
        };
        let irp = entry.address().wrapping_sub(QUEUE_ENTRY);
        if !entry.is_null() {
            self.write(at!(object, DeviceObject, current_irp), irp)?;
            if next.cancelable {
                self.drop_cancel_routine(device, irp)?;
            }
        }
        if let Some(level) = cancel_level {
            self.io_release_cancel_spin_lock(level)?;
        }
        if entry.is_null() {
            Ok(())
        } else {
            self.call_start_io(device, irp)
        }
    }

    /// Calls StartIo, and again for what it deferred.
    fn call_start_io(&self, device: u64, irp: u64) -> Ddi<()> {
        let driver = self.driver_of_device(device).unwrap_or(0);
        let routine = self.read(at!(
            DriverPtr::<DriverObject>::new(driver),
            DriverObject,
            driver_start_io
        ))?;
        self.with_device_mut(device, |d| d.start_io.running = true);
        self.call_at_same_level("StartIo", routine, &[device, irp])?;
        let again = self.with_device_mut(device, |d| {
            d.start_io.running = false;
            d.start_io.again.take()
        });
        match again.flatten() {
            Some(next) => self.start_next(device, next),
            None => Ok(()),
        }
    }

    /// `VOID IoSetStartIoAttributes(PDEVICE_OBJECT, BOOLEAN DeferredStartIo, BOOLEAN NonCancelable)`
    ///
    /// Whether IoStartNextPacket, called from StartIo, waits until that has returned; and
    /// whether a request loses its cancel routine before StartIo sees it.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntddk.IoSetStartIoAttributes.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_set_start_io_attributes(
        &self,
        device: u64,
        deferred: u8,
        non_cancelable: u8,
    ) -> Ddi<()> {
        self.expect_device(device)?;
        self.with_device_mut(device, |d| {
            d.start_io.deferred = deferred != 0;
            d.start_io.non_cancelable = non_cancelable != 0;
        });
        Ok(())
    }
}
