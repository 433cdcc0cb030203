//! The devices of a driver, as other drivers enumerate them.
//!
//! Source: WDK reference, ntifs.IoEnumerateDeviceObjectList.

use alloc::vec::Vec;

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `NTSTATUS IoEnumerateDeviceObjectList(PDRIVER_OBJECT, PDEVICE_OBJECT *List, ULONG ListSize,
    /// PULONG ActualNumber)`
    ///
    /// Gives the driver's devices, each with a reference, in order of address.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the number of devices; BUFFER_TOO_SMALL, with as many as fit, if the list has not
    ///   room for all. Its size is in bytes.
    /// - Source: WDK reference, ntifs.IoEnumerateDeviceObjectList.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_enumerate_device_object_list(
        &self,
        driver: u64,
        list: DriverPtr<u64>,
        bytes: u32,
        count: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let devices: Vec<u64> = self.devices_of_driver(driver);
        self.write(count, devices.len() as u32)?;
        let room = if list.is_null() {
            0
        } else {
            bytes as usize / 8
        };
        for (index, device) in devices.iter().take(room).enumerate() {
            self.obf_reference_object(*device)?;
            self.write(list.element(index), *device)?;
        }
        Ok(if devices.len() > room {
            NtStatus::BUFFER_TOO_SMALL
        } else {
            NtStatus::SUCCESS
        })
    }
}
