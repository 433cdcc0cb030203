//! Values below the port's hardware key.
//!
//! Sources: WDK, "Connecting an Interrupt Service Routine to a Parallel Port"
//! (EnableConnectInterruptIoctl); the sample (FilterResourceMethod, PortName).

use alloc::string::String;
use alloc::vec::Vec;

use crate::Kernel;
use crate::cm::DeviceKeyKind;

/// REG_SZ and REG_DWORD.
const SZ: u32 = 1;
const DWORD: u32 = 4;

impl Kernel {
    /// Whether clients may connect to the port's interrupt. By default they may not.
    pub(super) fn port_connect_is_enabled(&self, physical_device: u64) -> bool {
        self.port_number(physical_device, "EnableConnectInterruptIoctl")
            .is_some_and(|value| value != 0)
    }

    /// How the port's requirements are filtered.
    pub(super) fn port_filter_method(&self, physical_device: u64) -> Option<u32> {
        self.port_number(physical_device, "FilterResourceMethod")
    }

    /// The name that the class installer gave the port, such as LPT1.
    pub(super) fn port_name(&self, physical_device: u64) -> Option<String> {
        let (kind, data) = self.port_value(physical_device, "PortName")?;
        let units: Vec<u16> = data
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .take_while(|unit| *unit != 0)
            .collect();
        (kind == SZ && !units.is_empty()).then(|| String::from_utf16_lossy(&units))
    }

    fn port_number(&self, physical_device: u64, name: &str) -> Option<u32> {
        let (kind, data) = self.port_value(physical_device, name)?;
        let bytes = data.first_chunk::<4>().filter(|_| kind == DWORD)?;
        Some(u32::from_le_bytes(*bytes))
    }

    fn port_value(&self, physical_device: u64, name: &str) -> Option<(u32, Vec<u8>)> {
        let key = self.device_key_path(physical_device, DeviceKeyKind::Hardware)?;
        self.registry_get(&key, name)
    }
}
