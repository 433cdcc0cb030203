//! Device interfaces.
//!
//! An interface is a symbolic link to its physical device, there while the interface is
//! enabled.
//!
//! Source: WDK, "Overview of Device Interface Classes"; the pages of the routines.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

/// `DEVICE_INTERFACE_INCLUDE_NONACTIVE`.
const INCLUDE_INACTIVE: u32 = 1;

/// A registered interface, by its symbolic link name.
pub(super) struct Interface {
    class: Guid,
    physical_device: u64,
    enabled: bool,
}

impl Kernel {
    /// `IoRegisterDeviceInterface(PhysicalDeviceObject, *InterfaceClassGuid, ReferenceString, SymbolicLinkName)`
    ///
    /// Registers an interface, not enabled, or finds the one registered before.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS, with the link's name in a new string that the caller frees with
    ///   RtlFreeUnicodeString; INVALID_DEVICE_REQUEST if the device is not a physical one or
    ///   the reference string has a backslash or slash; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.IoRegisterDeviceInterface.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_register_device_interface(
        &self,
        physical_device: u64,
        class: DriverPtr<Guid>,
        reference: DriverPtr<UnicodeString>,
        link: DriverPtr<UnicodeString>,
    ) -> Ddi<NtStatus> {
        let class = self.read(class)?;
        let reference = if reference.is_null() {
            String::new()
        } else {
            self.text_of(reference)?
        };
        let Some(instance) = self.instance_path(physical_device) else {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        };
        if reference.contains(['\\', '/']) {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        // The identifier of the class is in lower case here, the instance as it was reported.
        let class_text = format!("{class}").to_ascii_lowercase();
        let mut name = format!(r"\??\{}#{class_text}", instance.replace('\\', "#"));
        if !reference.is_empty() {
            name = format!(r"{name}\{reference}");
        }
        let text = name.to_ascii_lowercase();
        if !self.give_string(&name, link)? {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let mut interfaces = self.io.interfaces.borrow_mut();
        let known = interfaces.entry(text).or_insert(Interface {
            class,
            physical_device,
            enabled: false,
        });
        // The device may have been away and have come back as another object.
        known.physical_device = physical_device;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS IoSetDeviceInterfaceState(PUNICODE_STRING SymbolicLinkName, BOOLEAN Enable)`
    ///
    /// Makes the interface's link, or takes it away, and tells whoever asked to be told.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_EXISTS, a success, if it is enabled already;
    ///   OBJECT_NAME_NOT_FOUND if there is no such interface or it is not enabled.
    /// - Source: WDK reference, wdm.IoSetDeviceInterfaceState.
    ///
    /// # Errors
    /// A string that is not memory.
    pub fn io_set_device_interface_state(
        &self,
        link: DriverPtr<UnicodeString>,
        enable: u8,
    ) -> Ddi<NtStatus> {
        let name = self.text_of(link)?;
        self.set_interface(&name, enable != 0)
    }

    fn set_interface(&self, name: &str, enable: bool) -> Ddi<NtStatus> {
        let key = name.to_ascii_lowercase();
        let known = {
            let interfaces = self.io.interfaces.borrow();
            interfaces
                .get(&key)
                .map(|known| (known.class, known.physical_device, known.enabled))
        };
        let Some((class, physical_device, enabled)) = known else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        match (enabled, enable) {
            (true, true) => return Ok(NtStatus::OBJECT_NAME_EXISTS),
            (false, false) => return Ok(NtStatus::OBJECT_NAME_NOT_FOUND),
            (false, true) => {
                let Some(target) = self.ob_name(physical_device) else {
                    return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
                };
                if !self.shares_link(&key)
                    && let Err(status) = self.link_insert(plain(name), &target)
                {
                    return Ok(status);
                }
            }
            (true, false) => {
                if !self.shares_link(&key) {
                    self.link_remove(plain(name));
                }
            }
        }
        if let Some(known) = self.io.interfaces.borrow_mut().get_mut(&key) {
            known.enabled = enable;
        }
        self.interface_changed(class, enable, name)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Whether another enabled interface, with another reference string, has the same link.
    fn shares_link(&self, key: &str) -> bool {
        let interfaces = self.io.interfaces.borrow();
        interfaces
            .iter()
            .any(|(name, known)| known.enabled && name != key && plain(name) == plain(key))
    }

    /// The links of interfaces of a class, of one device or of all.
    pub(super) fn enabled_interfaces(
        &self,
        class: &Guid,
        physical_device: Option<u64>,
    ) -> Vec<String> {
        self.interface_names(class, physical_device, false)
    }

    fn interface_names(
        &self,
        class: &Guid,
        physical_device: Option<u64>,
        inactive: bool,
    ) -> Vec<String> {
        let interfaces = self.io.interfaces.borrow();
        let wanted = |known: &Interface| {
            known.class == *class
                && (known.enabled || inactive)
                && physical_device.is_none_or(|device| device == known.physical_device)
        };
        interfaces
            .iter()
            .filter(|(_, known)| wanted(known))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The names of the enabled interfaces of a device, for the bench to open.
    #[must_use]
    pub fn interfaces_of(&self, physical_device: u64) -> Vec<String> {
        let interfaces = self.io.interfaces.borrow();
        let own = interfaces
            .iter()
            .filter(|(_, known)| known.enabled && known.physical_device == physical_device);
        own.map(|(name, _)| name.clone()).collect()
    }

    /// Disables the interfaces of a device that was removed, as Windows does for a driver
    /// that did not.
    pub(super) fn disable_interfaces(&self, physical_device: u64) -> Ddi<()> {
        for name in self.interfaces_of(physical_device) {
            self.set_interface(&name, false)?;
        }
        Ok(())
    }

    /// `IoGetDeviceInterfaces(*InterfaceClassGuid, PhysicalDeviceObject, Flags, *SymbolicLinkList)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS, with a list of strings that an empty one ends, in paged pool;
    ///   INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.IoGetDeviceInterfaces.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_get_device_interfaces(
        &self,
        class: DriverPtr<Guid>,
        physical_device: u64,
        flags: u32,
        list: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let class = self.read(class)?;
        let device = (physical_device != 0).then_some(physical_device);
        let names = self.interface_names(&class, device, flags & INCLUDE_INACTIVE != 0);
        let memory = self.pool_text(&multi_string(&names))?;
        self.write(list, memory)?;
        Ok(if memory == 0 {
            NtStatus::INSUFFICIENT_RESOURCES
        } else {
            NtStatus::SUCCESS
        })
    }

    /// `IoGetDeviceInterfaceAlias(SymbolicLinkName, *AliasInterfaceClassGuid, AliasSymbolicLinkName)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS and the link of the same device and reference string in the other
    ///   class; OBJECT_NAME_NOT_FOUND; INVALID_HANDLE for a link that is no interface.
    /// - Source: WDK reference, wdm.IoGetDeviceInterfaceAlias.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_get_device_interface_alias(
        &self,
        link: DriverPtr<UnicodeString>,
        class: DriverPtr<Guid>,
        alias: DriverPtr<UnicodeString>,
    ) -> Ddi<NtStatus> {
        let name = self.text_of(link)?.to_ascii_lowercase();
        let class = self.read(class)?;
        let own = self
            .io
            .interfaces
            .borrow()
            .get(&name)
            .map(|known| known.class);
        let Some(own) = own else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        let other = name.replace(
            &format!("{own}").to_ascii_lowercase(),
            &format!("{class}").to_ascii_lowercase(),
        );
        if !self.io.interfaces.borrow().contains_key(&other) {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        let given = self.give_string(&other, alias)?;
        Ok(if given {
            NtStatus::SUCCESS
        } else {
            NtStatus::INSUFFICIENT_RESOURCES
        })
    }

    /// Writes a new string, with its buffer in paged pool, to a caller's UNICODE_STRING.
    /// Whether there was memory.
    fn give_string(&self, text: &str, to: DriverPtr<UnicodeString>) -> Ddi<bool> {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let buffer = self.pool_text(&units)?;
        if buffer == 0 {
            return Ok(false);
        }
        let length = (units.len() * 2) as u16;
        self.write(
            to,
            UnicodeString {
                length: length - 2,
                maximum_length: length,
                padding4: 0,
                buffer,
            },
        )?;
        Ok(true)
    }

    /// Characters in paged pool; 0 without memory.
    pub(super) fn pool_text(&self, units: &[u16]) -> Ddi<u64> {
        let bytes: Vec<u8> = units.iter().copied().flat_map(u16::to_le_bytes).collect();
        let memory = self.pool_allocate(super::PAGED, bytes.len() as u64, super::tag(b"IoTx"))?;
        if memory != 0 {
            self.write_bytes(memory, &bytes)?;
        }
        Ok(memory)
    }
}

/// A link's name without the reference string's backslash, which is not a directory.
fn plain(name: &str) -> &str {
    match name.get(4..).and_then(|rest| rest.find('\\')) {
        Some(at) => &name[..at + 4],
        None => name,
    }
}

/// Strings one after the other, each terminated, and an empty one at the end.
pub(super) fn multi_string(texts: &[String]) -> Vec<u16> {
    let mut units: Vec<u16> = texts
        .iter()
        .flat_map(|text| text.encode_utf16().chain([0]))
        .collect();
    units.push(0);
    if texts.is_empty() {
        units.push(0);
    }
    units
}
