//! Keys of drivers.
//!
//! Source: WDK reference, wdm.IoOpenDriverRegistryKey.

use alloc::format;

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// `DRIVER_REGKEY_TYPE`.
const PARAMETERS: u32 = 0;
const PERSISTENT_STATE: u32 = 1;

impl Kernel {
    /// `NTSTATUS IoOpenDriverRegistryKey(PDRIVER_OBJECT, DRIVER_REGKEY_TYPE, ACCESS_MASK, ULONG Flags, PHANDLE)`
    ///
    /// Opens a key for the driver's own use, which exists from the first call on.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for another key, flags other than 0, or what is no
    ///   driver.
    /// - Source: WDK reference, wdm.IoOpenDriverRegistryKey.
    ///
    /// # Errors
    /// A place for the handle that is not memory.
    pub fn io_open_driver_registry_key(
        &self,
        driver: u64,
        kind: u32,
        access: u32,
        flags: u32,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let service = self.driver_registry_path(driver)?;
        let (Some(service), 0) = (service, flags) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        let path = match kind {
            PARAMETERS => format!(r"{service}\Parameters"),
            PERSISTENT_STATE => format!(r"{service}\State"),
            _ => return Ok(NtStatus::INVALID_PARAMETER),
        };
        self.give_key(&path, access, handle)
    }
}
