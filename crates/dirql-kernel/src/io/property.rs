//! Properties of devices.
//!
//! Source: wdm.IoGetDeviceProperty.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::device_property as property;
use zerocopy::IntoBytes;

use super::interface::multi_string;
use super::pnp::Node;
use crate::{Ddi, DriverPtr, Kernel};

/// `DEVICE_INSTALL_STATE`, InstallStateInstalled.
const INSTALLED: u32 = 0;

/// `DEVICE_REMOVAL_POLICY`, RemovalPolicyExpectNoRemoval.
const NO_REMOVAL: u32 = 1;

impl Kernel {
    /// `IoGetDeviceProperty(DeviceObject, DeviceProperty, BufferLength, PropertyBuffer, *ResultLength)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL with the size needed; INVALID_DEVICE_REQUEST if
    ///   the device is no physical device; OBJECT_NAME_NOT_FOUND for a property that this
    ///   device does not have; INVALID_PARAMETER_2 for one that does not exist.
    /// - Source: WDK reference, wdm.IoGetDeviceProperty.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_get_device_property(
        &self,
        device: u64,
        which: u32,
        room: u32,
        buffer: u64,
        result: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let Some(node) = self.node(device) else {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        };
        let value = match self.property_of(device, &node, which) {
            Ok(value) => value,
            Err(status) => {
                self.write(result, 0)?;
                return Ok(status);
            }
        };
        let length = value.len() as u32;
        self.write(result, length)?;
        if length > room {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.write_bytes(buffer, &value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS IoGetDeviceNumaNode(PDEVICE_OBJECT Pdo, PUSHORT NodeNumber)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: NOT_FOUND: the machine's firmware does not say which node a device is near.
    /// - Source: WDK reference, wdm.IoGetDeviceNumaNode.
    ///
    /// # Errors
    /// The bug check if the device is none.
    pub fn io_get_device_numa_node(&self, device: u64) -> Ddi<NtStatus> {
        self.expect_device(device)?;
        Ok(NtStatus::NOT_FOUND)
    }

    pub(super) fn property_of(
        &self,
        device: u64,
        node: &Node,
        which: u32,
    ) -> Result<Vec<u8>, NtStatus> {
        let absent = NtStatus::OBJECT_NAME_NOT_FOUND;
        let list = |texts: &[String]| {
            if texts.is_empty() {
                Err(absent)
            } else {
                Ok(bytes_of(&multi_string(texts)))
            }
        };
        let number = |value: u32| Ok(value.to_le_bytes().to_vec());
        match which {
            property::DevicePropertyDeviceDescription | property::DevicePropertyFriendlyName => {
                Ok(text(&node.description))
            }
            property::DevicePropertyHardwareID => list(&node.hardware_ids),
            property::DevicePropertyCompatibleIDs => list(&node.compatible_ids),
            property::DevicePropertyBootConfiguration => Err(absent),
            property::DevicePropertyBootConfigurationTranslated => Err(absent),
            property::DevicePropertyClassName | property::DevicePropertyClassGuid => Err(absent),
            property::DevicePropertyDriverKeyName => Ok(text(&node.driver_key())),
            property::DevicePropertyManufacturer => Err(absent),
            property::DevicePropertyLocationInformation => Ok(text(&node.location())),
            property::DevicePropertyPhysicalDeviceObjectName => match self.ob_name(device) {
                Some(name) => Ok(text(&name)),
                None => Err(absent),
            },
            property::DevicePropertyBusTypeGuid => Ok(node.bus_type().as_bytes().to_vec()),
            property::DevicePropertyLegacyBusType => number(node.interface_type() as u32),
            property::DevicePropertyBusNumber => number(node.bus_number()),
            property::DevicePropertyEnumeratorName => Ok(text(node.enumerator())),
            property::DevicePropertyAddress => node.address().map_or(Err(absent), number),
            property::DevicePropertyUINumber => Err(absent),
            property::DevicePropertyInstallState => number(INSTALLED),
            property::DevicePropertyRemovalPolicy => number(NO_REMOVAL),
            _ => Err(NtStatus::INVALID_PARAMETER_2),
        }
    }

    /// The device's place in the tree: `ENUMERATOR\device ID\instance`.
    pub(crate) fn instance_path(&self, physical_device: u64) -> Option<String> {
        let node = self.node(physical_device)?;
        Some(format!(r"{}\{}", node.device_id(), node.instance))
    }
}

fn text(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

fn bytes_of(units: &[u16]) -> Vec<u8> {
    units.iter().copied().flat_map(u16::to_le_bytes).collect()
}
