//! The drivers of a device's stack: lower filters, the function driver, upper filters.
//!
//! Source: WDK, "Device Node", "Installing a Filter Driver": the filters of a device are values of
//! its hardware key. Not modelled: filters of a device setup class.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::registry::value_type;

use super::PnpError;
use super::control::Answer;
use crate::Kernel;
use crate::cm::DeviceKeyKind;

impl Kernel {
    /// Calls AddDevice of every driver of a device, from the bottom up. After one that fails the
    /// devices of those before it are removed. A device that may be raw needs no function driver.
    ///
    /// # Errors
    /// The run's end. The inner error says who is missing or failed.
    pub(super) fn build_stack(&self, physical_device: u64, function: Option<u64>) -> Answer {
        if function.is_none() && !self.may_be_raw(physical_device)? {
            return Ok(Err(PnpError::NoDriver));
        }
        let mut drivers = Vec::new();
        for name in self.filters_of(physical_device, "LowerFilters") {
            match self.driver_of_service(&name) {
                Some(driver) => drivers.push(driver),
                None => return Ok(Err(PnpError::NoFilter(name))),
            }
        }
        drivers.extend(function);
        for name in self.filters_of(physical_device, "UpperFilters") {
            match self.driver_of_service(&name) {
                Some(driver) => drivers.push(driver),
                None => return Ok(Err(PnpError::NoFilter(name))),
            }
        }
        for driver in drivers {
            let status = self.add_device(driver, physical_device)?;
            if !status.is_success() {
                if self.top_of_stack(physical_device) != physical_device {
                    self.send_remove(physical_device)?;
                }
                return Ok(Err(PnpError::AddDevice(status)));
            }
        }
        Ok(Ok(()))
    }

    /// The services that a value of the hardware key names, or one of the key above it.
    fn filters_of(&self, physical_device: u64, value: &str) -> Vec<String> {
        let Some(key) = self.device_key_path(physical_device, DeviceKeyKind::Hardware) else {
            return Vec::new();
        };
        let above = key.rsplit_once('\\').map_or("", |(above, _)| above);
        let found = self
            .registry_get(&key, value)
            .or_else(|| self.registry_get(above, value));
        match found {
            Some((value_type::REG_MULTI_SZ | value_type::REG_SZ, data)) => texts(&data),
            _ => Vec::new(),
        }
    }

    /// The driver object of a service that has been started.
    #[must_use]
    pub fn driver_of_service(&self, service: &str) -> Option<u64> {
        let is_called = |driver: &u64| {
            let name = self.driver_name(*driver);
            name.is_some_and(|name| name.eq_ignore_ascii_case(service))
        };
        self.started_drivers().into_iter().find(is_called)
    }
}

/// The strings of a REG_MULTI_SZ.
fn texts(data: &[u8]) -> Vec<String> {
    let (units, _) = data.as_chunks::<2>();
    let units: Vec<u16> = units.iter().copied().map(u16::from_le_bytes).collect();
    let texts = units
        .split(|unit| *unit == 0)
        .filter(|text| !text.is_empty());
    texts.map(String::from_utf16_lossy).collect()
}
