//! Keys of devices.
//!
//! Source: WDK reference, wdm.IoOpenDeviceRegistryKey, "Registry Trees and Keys for Devices and
//! Drivers".

use alloc::format;
use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::registry::device_key;
use dirql_rules::BugCheck;

use crate::{Ddi, DriverPtr, Kernel};

const CONTROL_SET: &str = r"\Registry\Machine\System\CurrentControlSet";

/// Which key of a device is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKeyKind {
    /// Of this very device: `Enum\…\Device Parameters`, the hardware key.
    Hardware,
    /// Of its driver: `Control\Class\…`, the software key.
    Software,
}

impl Kernel {
    /// The path of a device's key; `None` if this is no physical device object.
    #[must_use]
    pub fn device_key_path(&self, physical_device: u64, kind: DeviceKeyKind) -> Option<String> {
        let node = self.node(physical_device)?;
        Some(match kind {
            DeviceKeyKind::Hardware => {
                let instance = self.instance_path(physical_device)?;
                format!(r"{CONTROL_SET}\Enum\{instance}\Device Parameters")
            }
            DeviceKeyKind::Software => {
                format!(r"{CONTROL_SET}\Control\Class\{}", node.driver_key())
            }
        })
    }

    /// `NTSTATUS IoOpenDeviceRegistryKey(PDEVICE_OBJECT, ULONG Kind, ACCESS_MASK, PHANDLE)`
    ///
    /// Opens a device's hardware or software key, which exists from the first call on.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a kind that is none.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.IoOpenDeviceRegistryKey; Bug Check 0xCA, parameter 1 of
    ///   0x2.
    ///
    /// # Errors
    /// Bug check 0xCA if this is not a physical device object.
    pub fn io_open_device_registry_key(
        &self,
        physical_device: u64,
        kind: u32,
        access: u32,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let kind = match kind & !device_key::PLUGPLAY_REGKEY_CURRENT_HWPROFILE {
            device_key::PLUGPLAY_REGKEY_DEVICE => DeviceKeyKind::Hardware,
            device_key::PLUGPLAY_REGKEY_DRIVER => DeviceKeyKind::Software,
            _ => return Ok(NtStatus::INVALID_PARAMETER),
        };
        let Some(path) = self.device_key_path(physical_device, kind) else {
            return Err(BugCheck::new(0xCA, [2, physical_device, 0, 0]).into());
        };
        self.give_key(&path, access, handle)
    }

    /// `NTSTATUS IoOpenDeviceInterfaceRegistryKey(PUNICODE_STRING, ACCESS_MASK, PHANDLE)`
    ///
    /// Opens the key of a device interface, named by its symbolic link.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND for a link that is none of an interface.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.IoOpenDeviceInterfaceRegistryKey.
    pub fn io_open_device_interface_registry_key(
        &self,
        link: DriverPtr<dirql_abi::string::UnicodeString>,
        access: u32,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let link = self.text_of(link)?;
        let inner = link
            .strip_prefix(r"\??\")
            .or_else(|| link.strip_prefix(r"\DosDevices\"));
        let class = inner.and_then(|inner| inner.rsplit_once('#'));
        let Some((inner, (_, class))) = inner.zip(class) else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let path = format!(
            r"{CONTROL_SET}\Control\DeviceClasses\{class}\##?#{}\#\Device Parameters",
            inner.replace('\\', "#")
        );
        self.give_key(&path, access, handle)
    }
}
