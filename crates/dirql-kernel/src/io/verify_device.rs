//! The device whose medium a thread's request has found changed, for whoever handles the
//! error.
//!
//! Source: wdm.IoSetHardErrorOrVerifyDevice, ntifs.IoGetDeviceToVerify.

use dirql_abi::irp::Irp;

use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// `VOID IoSetHardErrorOrVerifyDevice(PIRP Irp, PDEVICE_OBJECT DeviceObject)`
    ///
    /// Remembers the device for the thread that made the request.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.IoSetHardErrorOrVerifyDevice.
    ///
    /// # Errors
    /// The bug check if request or device is none.
    pub fn io_set_hard_error_or_verify_device(&self, irp: u64, device: u64) -> Ddi<()> {
        self.expect_irp(irp, 3)?;
        self.expect_device(device)?;
        let thread = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, thread))?;
        self.io_set_device_to_verify(thread, device)
    }

    /// `VOID IoSetDeviceToVerify(PETHREAD Thread, PDEVICE_OBJECT DeviceObject)`: NULL forgets.
    ///
    /// # Errors
    /// None.
    pub fn io_set_device_to_verify(&self, thread: u64, device: u64) -> Ddi<()> {
        let mut devices = self.io.to_verify.borrow_mut();
        if device == 0 {
            devices.remove(&thread);
        } else {
            devices.insert(thread, device);
        }
        Ok(())
    }

    /// `PDEVICE_OBJECT IoGetDeviceToVerify(PETHREAD Thread)`: the device, or NULL.
    ///
    /// # Errors
    /// None.
    pub fn io_get_device_to_verify(&self, thread: u64) -> Ddi<u64> {
        Ok(self
            .io
            .to_verify
            .borrow()
            .get(&thread)
            .copied()
            .unwrap_or(0))
    }
}
