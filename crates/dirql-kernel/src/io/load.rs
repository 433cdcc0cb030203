//! Loading and unloading other drivers by the name of their service.
//!
//! The drivers of a run are those that it began with. So a service is loaded already, or there is
//! no image for it.
//!
//! Source: WDK reference, wdm.ZwLoadDriver, wdm.ZwUnloadDriver.

use dirql_abi::NtStatus;
use dirql_abi::device::DriverObject;
use dirql_abi::string::UnicodeString;
use dirql_rules::ids;

use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// `NTSTATUS ZwLoadDriver(PUNICODE_STRING DriverServiceName)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: IMAGE_ALREADY_LOADED for a driver of the run; OBJECT_NAME_NOT_FOUND for a key
    ///   that there is not, and for one whose image there is not.
    /// - Source: WDK reference, wdm.ZwLoadDriver.
    ///
    /// # Errors
    /// The name is not memory.
    pub fn zw_load_driver(&self, name: DriverPtr<UnicodeString>) -> Ddi<NtStatus> {
        let path = self.text_of(name)?;
        Ok(match self.driver_of_service_key(&path)? {
            Some(_) => NtStatus::IMAGE_ALREADY_LOADED,
            None => NtStatus::OBJECT_NAME_NOT_FOUND,
        })
    }

    /// `NTSTATUS ZwUnloadDriver(PUNICODE_STRING DriverServiceName)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_NAME_NOT_FOUND for a service that is not loaded, INVALID_DEVICE_REQUEST
    ///   for a driver without Unload.
    /// - Findings: DQ0002 for a driver that would be unloaded.
    /// - Source: WDK reference, wdm.ZwUnloadDriver.
    ///
    /// # Errors
    /// The name is not memory; the end of the run.
    pub fn zw_unload_driver(&self, name: DriverPtr<UnicodeString>) -> Ddi<NtStatus> {
        let path = self.text_of(name)?;
        let Some(driver) = self.driver_of_service_key(&path)? else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let object = DriverPtr::<DriverObject>::new(driver);
        if self.read(at!(object, DriverObject, driver_unload))? == 0 {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let message = "a driver was unloaded by another one, which is not implemented";
        Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message.into(), None))
    }

    /// The driver that was started from a service's key.
    fn driver_of_service_key(&self, path: &str) -> Ddi<Option<u64>> {
        for driver in self.started_drivers() {
            let own = self.driver_registry_path(driver)?;
            if own.is_some_and(|own| own.eq_ignore_ascii_case(path)) {
                return Ok(Some(driver));
            }
        }
        Ok(None)
    }
}
