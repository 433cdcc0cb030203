//! Properties of devices and device interfaces by key: the unified property model.
//!
//! A driver can set any property; those that plug and play knows of a device are there from the
//! start and cannot be set. Values are kept for the run, per language.
//!
//! Source: WDK reference, wdm.IoGetDevicePropertyData, wdm.IoSetDevicePropertyData,
//! wdm.IoGetDeviceInterfacePropertyData; "Unified Device Property Model"; devpkey.h, devpropdef.h.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::device_property as old;
use dirql_abi::guid::Guid;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

/// `DEVPROP_TYPE_`.
const EMPTY: u32 = 0;
const UINT32: u32 = 7;
const GUID: u32 = 0xD;
const STRING: u32 = 0x12;
const STRING_LIST: u32 = 0x2012;

/// The category of `DEVPKEY_Device_` keys that have an older property, by its identifier.
const DEVICE: Guid = Guid::new(
    0xA45C_254E,
    0xDF1C,
    0x4EFD,
    [0x80, 0x20, 0x67, 0xD1, 0x46, 0xA8, 0x50, 0xE0],
);

/// The category of `DEVPKEY_Device_InstanceId`, and its identifier.
const INSTANCE: Guid = Guid::new(
    0x78C3_4FC8,
    0x104A,
    0x4ACA,
    [0x9E, 0xA4, 0x52, 0x4D, 0x52, 0x99, 0x6E, 0x57],
);
const INSTANCE_ID: u32 = 256;

/// The identifier of each key that plug and play knows, its type, and the older property.
const KNOWN: &[(u32, u32, u32)] = &[
    (2, STRING, old::DevicePropertyDeviceDescription),
    (3, STRING_LIST, old::DevicePropertyHardwareID),
    (4, STRING_LIST, old::DevicePropertyCompatibleIDs),
    (11, STRING, old::DevicePropertyDriverKeyName),
    (15, STRING, old::DevicePropertyLocationInformation),
    (16, STRING, old::DevicePropertyPhysicalDeviceObjectName),
    (21, GUID, old::DevicePropertyBusTypeGuid),
    (22, UINT32, old::DevicePropertyLegacyBusType),
    (23, UINT32, old::DevicePropertyBusNumber),
    (24, STRING, old::DevicePropertyEnumeratorName),
    (30, UINT32, old::DevicePropertyAddress),
];

/// A `DEVPROPKEY` as it lies in memory: a GUID and an identifier.
type Key = [u8; 20];

/// Whose property it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Device(u64),
    Interface(String),
}

/// Values that were set: type and data, by owner, key and language.
pub(super) type Properties = BTreeMap<(Owner, Key, u32), (u32, Vec<u8>)>;

/// The buffer of a caller who asks.
#[derive(Clone, Copy, Debug)]
pub struct PropertyRoom {
    /// Its bytes.
    pub bytes: u32,
    /// Its address.
    pub address: u64,
    /// Where the bytes needed go. Windows accepts NULL, of which the pages say nothing.
    pub needed: DriverPtr<u32>,
    /// Where the type goes.
    pub kind: DriverPtr<u32>,
}

impl Kernel {
    /// `NTSTATUS IoGetDevicePropertyData(PDEVICE_OBJECT Pdo, const DEVPROPKEY*, LCID, ULONG Flags, ULONG Size, PVOID Data, PULONG RequiredSize, PDEVPROPTYPE Type)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL with the size needed; OBJECT_NAME_NOT_FOUND;
    ///   INVALID_PARAMETER for flags; INVALID_DEVICE_REQUEST if the device is no physical one.
    /// - Source: WDK reference, wdm.IoGetDevicePropertyData.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_get_device_property_data(
        &self,
        device: u64,
        key: DriverPtr<Key>,
        language: u32,
        flags: u32,
        room: PropertyRoom,
    ) -> Ddi<NtStatus> {
        if self.node(device).is_none() {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        if flags != 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let key = self.read(key)?;
        if let Some(value) = self.known_property(device, &key) {
            return self.give_property(Some(value), room);
        }
        self.give_set_property(Owner::Device(device), key, language, room)
    }

    /// `NTSTATUS IoSetDevicePropertyData(PDEVICE_OBJECT Pdo, const DEVPROPKEY*, LCID, ULONG Flags, DEVPROPTYPE, ULONG Size, PVOID Data)`
    ///
    /// Sets a property, or without data removes it.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS; ACCESS_DENIED for what plug and play keeps; INVALID_DEVICE_REQUEST if
    ///   the device is no physical one.
    /// - Source: WDK reference, wdm.IoSetDevicePropertyData.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_set_device_property_data(
        &self,
        device: u64,
        key: DriverPtr<Key>,
        language: u32,
        kind: u32,
        data: (u64, u32),
    ) -> Ddi<NtStatus> {
        if self.node(device).is_none() {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let key = self.read(key)?;
        if self.known_property(device, &key).is_some() {
            return Ok(NtStatus::ACCESS_DENIED);
        }
        self.set_property(Owner::Device(device), key, language, kind, data)
    }

    /// `NTSTATUS IoGetDeviceInterfacePropertyData(PUNICODE_STRING Link, const DEVPROPKEY*, LCID, ULONG Flags, ULONG Size, PVOID Data, PULONG RequiredSize, PDEVPROPTYPE Type)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::io_get_device_property_data`].
    /// - Source: WDK reference, wdm.IoGetDeviceInterfacePropertyData.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_get_device_interface_property_data(
        &self,
        link: DriverPtr<UnicodeString>,
        key: DriverPtr<Key>,
        language: u32,
        room: PropertyRoom,
    ) -> Ddi<NtStatus> {
        let owner = Owner::Interface(self.text_of(link)?.to_uppercase());
        let key = self.read(key)?;
        self.give_set_property(owner, key, language, room)
    }

    /// `NTSTATUS IoSetDeviceInterfacePropertyData(PUNICODE_STRING Link, const DEVPROPKEY*, LCID, ULONG Flags, DEVPROPTYPE, ULONG Size, PVOID Data)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Source: WDK reference, wdm.IoSetDeviceInterfacePropertyData.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_set_device_interface_property_data(
        &self,
        link: DriverPtr<UnicodeString>,
        key: DriverPtr<Key>,
        language: u32,
        kind: u32,
        data: (u64, u32),
    ) -> Ddi<NtStatus> {
        let owner = Owner::Interface(self.text_of(link)?.to_uppercase());
        let key = self.read(key)?;
        self.set_property(owner, key, language, kind, data)
    }

    fn known_property(&self, device: u64, key: &Key) -> Option<(u32, Vec<u8>)> {
        let (category, identifier) = parts(key);
        if category == INSTANCE && identifier == INSTANCE_ID {
            let path = self.instance_path(device)?;
            let units = path.encode_utf16().chain([0]);
            return Some((STRING, units.flat_map(u16::to_le_bytes).collect()));
        }
        let (_, kind, property) = KNOWN
            .iter()
            .find(|(known, _, _)| category == DEVICE && *known == identifier)?;
        let node = self.node(device)?;
        let value = self.property_of(device, &node, *property).ok()?;
        Some((*kind, value))
    }

    fn give_set_property(
        &self,
        owner: Owner,
        key: Key,
        language: u32,
        room: PropertyRoom,
    ) -> Ddi<NtStatus> {
        let value = {
            let all = self.io.properties.borrow();
            all.get(&(owner, key, language)).cloned()
        };
        self.give_property(value, room)
    }

    fn give_property(&self, value: Option<(u32, Vec<u8>)>, room: PropertyRoom) -> Ddi<NtStatus> {
        let found = value.is_some();
        let (kind, data) = value.unwrap_or((EMPTY, Vec::new()));
        self.write(room.kind, kind)?;
        if !room.needed.is_null() {
            self.write(room.needed, data.len() as u32)?;
        }
        if !found {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        if data.len() > room.bytes as usize {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.write_bytes(room.address, &data)?;
        Ok(NtStatus::SUCCESS)
    }

    fn set_property(
        &self,
        owner: Owner,
        key: Key,
        language: u32,
        kind: u32,
        (data, bytes): (u64, u32),
    ) -> Ddi<NtStatus> {
        let data = self.read_bytes(data, bytes as usize)?;
        let mut all = self.io.properties.borrow_mut();
        let key = (owner, key, language);
        if kind == EMPTY {
            all.remove(&key);
        } else {
            all.insert(key, (kind, data));
        }
        Ok(NtStatus::SUCCESS)
    }
}

/// A key's category and identifier.
fn parts(key: &Key) -> (Guid, u32) {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *key;
    let [i, j, k, l, m, n, o, p, id @ ..] = rest;
    let guid = Guid::new(
        u32::from_le_bytes([a, b, c, d]),
        u16::from_le_bytes([e, f]),
        u16::from_le_bytes([g, h]),
        [i, j, k, l, m, n, o, p],
    );
    (guid, u32::from_le_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn an_interfaces_property_is_what_was_set() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let link = DriverPtr::new(bench.unicode(r"\??\ROOT#one"));
        let same = DriverPtr::new(bench.unicode(r"\??\root#ONE"));
        let key = DriverPtr::<Key>::new(bench.variable(20));
        let (data, out) = (bench.variable(4), bench.variable(4));
        kernel.write(DriverPtr::new(data), 77u32).unwrap();
        let room = PropertyRoom {
            bytes: 4,
            address: out,
            needed: DriverPtr::new(bench.variable(4)),
            kind: DriverPtr::new(bench.variable(4)),
        };
        let get = |room| {
            kernel
                .io_get_device_interface_property_data(same, key, 0, room)
                .unwrap()
        };
        let set = |kind| {
            kernel
                .io_set_device_interface_property_data(link, key, 0, kind, (data, 4))
                .unwrap()
        };
        assert_eq!(get(room), NtStatus::OBJECT_NAME_NOT_FOUND);
        assert_eq!(set(UINT32), NtStatus::SUCCESS);
        assert_eq!(get(room), NtStatus::SUCCESS);
        assert_eq!(kernel.read(DriverPtr::<u32>::new(out)), Ok(77));
        assert_eq!(kernel.read(room.kind), Ok(UINT32));
        let unasked = PropertyRoom {
            needed: DriverPtr::NULL,
            ..room
        };
        assert_eq!(get(unasked), NtStatus::SUCCESS);
        let small = PropertyRoom { bytes: 3, ..room };
        assert_eq!(get(small), NtStatus::BUFFER_TOO_SMALL);
        assert_eq!(kernel.read(room.needed), Ok(4));
        set(EMPTY);
        assert_eq!(get(room), NtStatus::OBJECT_NAME_NOT_FOUND);
    }

    #[test]
    fn a_device_that_is_no_physical_one_has_no_properties() {
        let bench = Bench::new(Config::default());
        let key = DriverPtr::<Key>::new(bench.variable(20));
        let room = PropertyRoom {
            bytes: 0,
            address: 0,
            needed: DriverPtr::NULL,
            kind: DriverPtr::NULL,
        };
        let status = bench.kernel.io_get_device_property_data(1, key, 0, 0, room);
        assert_eq!(status, Ok(NtStatus::INVALID_DEVICE_REQUEST));
    }
}
