//! Controller objects: devices that take turns on one controller.
//!
//! Source: WDK, "Controller Objects"; the pages of the routines.

use dirql_abi::device::{ControllerObject, DeviceObject, io_type};
use dirql_abi::dispatcher::KDeviceQueueEntry;
use dirql_abi::io::allocation_action;

use super::driver::zeroed;
use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Bytes of a controller object; the driver's extension follows.
const CONTROLLER: u64 = size_of::<ControllerObject>() as u64;

impl Kernel {
    /// `PCONTROLLER_OBJECT IoCreateController(ULONG Size)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the object with a zeroed extension of `Size` bytes, or NULL.
    /// - Source: WDK reference, ntddk.IoCreateController.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_create_controller(&self, extension_size: u32) -> Ddi<u64> {
        // The extension begins at a multiple of 16.
        let offset = CONTROLLER.next_multiple_of(16);
        let controller =
            self.allocate_zeroed(offset + u64::from(extension_size), super::tag(b"Cont"))?;
        if controller == 0 {
            return Ok(0);
        }
        let body = ControllerObject {
            type_: io_type::IO_TYPE_CONTROLLER,
            size: (CONTROLLER as u32)
                .saturating_add(extension_size)
                .min(0x7FFF) as i16,
            controller_extension: if extension_size == 0 {
                0
            } else {
                controller + offset
            },
            ..zeroed()
        };
        let object = DriverPtr::<ControllerObject>::new(controller);
        self.write(object, body)?;
        self.ke_initialize_device_queue(at!(object, ControllerObject, device_wait_queue))?;
        self.ob_register(controller, ObjectKind::Controller, |kernel, body| {
            kernel.pool_free(body, None)
        });
        Ok(controller)
    }

    /// `VOID IoDeleteController(PCONTROLLER_OBJECT)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntddk.IoDeleteController.
    ///
    /// # Errors
    /// The bug check if it is none.
    pub fn io_delete_controller(&self, controller: u64) -> Ddi<()> {
        self.expect_controller(controller)?;
        self.obf_dereference_object(controller)?;
        Ok(())
    }

    /// `VOID IoAllocateController(PCONTROLLER_OBJECT, PDEVICE_OBJECT, PDRIVER_CONTROL, PVOID Context)`
    ///
    /// Calls the routine when the controller is free, at once if it is now.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Source: WDK reference, ntddk.IoAllocateController.
    ///
    /// # Errors
    /// The bug check if controller or device is none.
    pub fn io_allocate_controller(
        &self,
        controller: u64,
        device: u64,
        routine: u64,
        context: u64,
    ) -> Ddi<()> {
        self.expect_controller(controller)?;
        self.expect_device(device)?;
        let object = DriverPtr::<DeviceObject>::new(device);
        self.write(at!(object, DeviceObject, queue.device_routine), routine)?;
        self.write(at!(object, DeviceObject, queue.device_context), context)?;
        let queue = at!(
            DriverPtr::<ControllerObject>::new(controller),
            ControllerObject,
            device_wait_queue
        );
        if self.ke_insert_device_queue(queue, at!(object, DeviceObject, queue.wait_queue_entry))?
            == 0
        {
            self.run_controller_routine(controller, device)?;
        }
        Ok(())
    }

    /// `VOID IoFreeController(PCONTROLLER_OBJECT)`
    ///
    /// Lets the next device that waits have the controller.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Source: WDK reference, ntddk.IoFreeController.
    ///
    /// # Errors
    /// The bug check if it is none.
    pub fn io_free_controller(&self, controller: u64) -> Ddi<()> {
        self.expect_controller(controller)?;
        let queue = at!(
            DriverPtr::<ControllerObject>::new(controller),
            ControllerObject,
            device_wait_queue
        );
        let entry = self.ke_remove_device_queue(queue)?;
        if entry.is_null() {
            return Ok(());
        }
        self.run_controller_routine(controller, device_of_entry(entry))
    }

    fn run_controller_routine(&self, controller: u64, device: u64) -> Ddi<()> {
        let object = DriverPtr::<DeviceObject>::new(device);
        let block = self.read(at!(object, DeviceObject, queue))?;
        let irp = self.read(at!(object, DeviceObject, current_irp))?;
        let arguments = [device, irp, 0, block.device_context];
        let action =
            self.call_at_same_level("ControllerControl", block.device_routine, &arguments)?;
        if action as u32 == allocation_action::DeallocateObject {
            self.io_free_controller(controller)?;
        }
        Ok(())
    }

    fn expect_controller(&self, controller: u64) -> Ddi<()> {
        match self.ob_kind(controller) {
            Some(ObjectKind::Controller) => Ok(()),
            _ => Err(self.not_io_object(controller, "controller object")),
        }
    }
}

/// The device whose wait block's queue entry this is.
fn device_of_entry(entry: DriverPtr<KDeviceQueueEntry>) -> u64 {
    let offset = core::mem::offset_of!(DeviceObject, queue.wait_queue_entry) as u64;
    entry.address().wrapping_sub(offset)
}
