//! The run-time library's routines for one value.
//!
//! Source: WDK reference, wdm.RtlWriteRegistryValue, wdm.RtlDeleteRegistryValue,
//! wdm.RtlCheckRegistryKey, wdm.RtlCreateRegistryKey.

use alloc::format;
use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::registry::relative_to as base;

use super::below_root;
use super::tree::{KeyId, ROOT, Value};
use crate::{Ddi, Kernel};

/// Where the paths of the `Rtl` routines begin.
fn prefix(relative_to: u32) -> Option<&'static str> {
    Some(match relative_to {
        base::RTL_REGISTRY_ABSOLUTE => "",
        base::RTL_REGISTRY_SERVICES => r"\Registry\Machine\System\CurrentControlSet\Services",
        base::RTL_REGISTRY_CONTROL => r"\Registry\Machine\System\CurrentControlSet\Control",
        base::RTL_REGISTRY_WINDOWS_NT => {
            r"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion"
        }
        base::RTL_REGISTRY_DEVICEMAP => r"\Registry\Machine\Hardware\DeviceMap",
        base::RTL_REGISTRY_USER => r"\Registry\User\.Default",
        _ => return None,
    })
}

impl Kernel {
    /// Text of a driver; half characters are replaced.
    pub(super) fn wide_text(&self, address: u64) -> Ddi<String> {
        if address == 0 {
            return Ok(String::new());
        }
        Ok(String::from_utf16_lossy(
            &self.read_wide_string(address, usize::MAX)?,
        ))
    }

    /// The key that `RelativeTo` and `Path` name; made if asked.
    pub(super) fn rtl_key(
        &self,
        relative_to: u32,
        path: u64,
        create: bool,
    ) -> Ddi<Result<KeyId, NtStatus>> {
        if relative_to & base::RTL_REGISTRY_HANDLE != 0 {
            return Ok(self.key_of_handle(path));
        }
        let path = match self.rtl_path(relative_to, path)? {
            Ok(path) => path,
            Err(status) => return Ok(Err(status)),
        };
        let Some(below) = below_root(&path) else {
            return Ok(Err(NtStatus::OBJECT_PATH_SYNTAX_BAD));
        };
        let now = self.time_100ns();
        let mut tree = self.cm.tree.borrow_mut();
        if create {
            return Ok(tree.create(ROOT, below, false, now).map(|(key, _)| key));
        }
        Ok(tree
            .find(ROOT, below)
            .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND))
    }

    /// The absolute path that `RelativeTo` and `Path` name.
    pub(super) fn rtl_path(&self, relative_to: u32, path: u64) -> Ddi<Result<String, NtStatus>> {
        let Some(prefix) = prefix(relative_to & !base::RTL_REGISTRY_OPTIONAL) else {
            return Ok(Err(NtStatus::INVALID_PARAMETER));
        };
        let text = self.wide_text(path)?;
        Ok(Ok(if prefix.is_empty() {
            text
        } else {
            format!(r"{prefix}\{text}")
        }))
    }

    /// `NTSTATUS RtlWriteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR Name, ULONG Type, PVOID Data, ULONG Length)`
    ///
    /// Sets a value; the last part of the path is made if it does not exist.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER; OBJECT_NAME_NOT_FOUND; those of a handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlWriteRegistryValue.
    pub fn rtl_write_registry_value(
        &self,
        relative_to: u32,
        path: u64,
        name: u64,
        value_type: u32,
        data: u64,
        length: u32,
    ) -> Ddi<NtStatus> {
        if self.has_registry_callbacks() {
            return self.by_handle(relative_to, path, name, true, |kernel, handle, name| {
                kernel.zw_set_value_key(handle, name, 0, value_type, data, length)
            });
        }
        let key = match self.rtl_key(relative_to, path, true)? {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let name = self.wide_text(name)?;
        let data = self.read_bytes(data, length as usize)?;
        let now = self.time_100ns();
        let set = self.cm.tree.borrow_mut().set_value(
            key,
            Value {
                name,
                value_type,
                data,
            },
            now,
        );
        Ok(set.err().unwrap_or(NtStatus::SUCCESS))
    }

    /// `NTSTATUS RtlDeleteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR Name)`
    ///
    /// Deletes a value.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER; OBJECT_NAME_NOT_FOUND; those of a handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlDeleteRegistryValue.
    pub fn rtl_delete_registry_value(
        &self,
        relative_to: u32,
        path: u64,
        name: u64,
    ) -> Ddi<NtStatus> {
        if self.has_registry_callbacks() {
            return self.by_handle(relative_to, path, name, false, |kernel, handle, name| {
                kernel.zw_delete_value_key(handle, name)
            });
        }
        let key = match self.rtl_key(relative_to, path, false)? {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let name = self.wide_text(name)?;
        let now = self.time_100ns();
        let deleted = self.cm.tree.borrow_mut().delete_value(key, &name, now);
        Ok(deleted.err().unwrap_or(NtStatus::SUCCESS))
    }

    /// `NTSTATUS RtlCheckRegistryKey(ULONG RelativeTo, PWSTR Path)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS if the key exists; OBJECT_NAME_NOT_FOUND.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlCheckRegistryKey.
    pub fn rtl_check_registry_key(&self, relative_to: u32, path: u64) -> Ddi<NtStatus> {
        let found = self.rtl_key(relative_to, path, false)?;
        Ok(found.err().unwrap_or(NtStatus::SUCCESS))
    }

    /// `NTSTATUS RtlCreateRegistryKey(ULONG RelativeTo, PWSTR Path)`
    ///
    /// Makes the last part of a path, if it does not exist.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND if what is before it does not exist.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlCreateRegistryKey.
    pub fn rtl_create_registry_key(&self, relative_to: u32, path: u64) -> Ddi<NtStatus> {
        let created = self.rtl_key(relative_to, path, true)?;
        Ok(created.err().unwrap_or(NtStatus::SUCCESS))
    }
}
