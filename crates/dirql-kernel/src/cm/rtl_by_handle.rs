//! The run-time library's changes of values, made as Windows makes them: by opening the key, so that
//! those who filter calls on the registry hear of it.
//!
//! Source: WDK, "Filtering Registry Calls"; wdm.RtlWriteRegistryValue, wdm.RtlDeleteRegistryValue.

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::object::{ObjectAttributes, object_flags};
use dirql_abi::registry::relative_to as base;
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

const TAG: u32 = u32::from_le_bytes(*b"CmRt");

/// KEY_SET_VALUE.
const SET_VALUE: u32 = 2;

/// Where in the memory for a call what lies: the handle, the attributes, two counted strings, and the
/// text of both.
const ATTRIBUTES: u64 = 8;
const PATH: u64 = ATTRIBUTES + size_of::<ObjectAttributes>() as u64;
const NAME: u64 = PATH + size_of::<UnicodeString>() as u64;
const TEXT: u64 = NAME + size_of::<UnicodeString>() as u64;

impl Kernel {
    /// Opens the key, or makes it, and has `change` called with its handle and the name of a value.
    pub(super) fn by_handle(
        &self,
        relative_to: u32,
        path: u64,
        name: u64,
        create: bool,
        change: impl FnOnce(&Self, u64, DriverPtr<UnicodeString>) -> Ddi<NtStatus>,
    ) -> Ddi<NtStatus> {
        let given = relative_to & base::RTL_REGISTRY_HANDLE != 0;
        let path_text = if given {
            Vec::new()
        } else {
            match self.rtl_path(relative_to, path)? {
                Ok(path) => path.encode_utf16().collect(),
                Err(status) => return Ok(status),
            }
        };
        let name_text: Vec<u16> = self.wide_text(name)?.encode_utf16().collect();
        let bytes = TEXT + 2 * (path_text.len() + name_text.len()) as u64;
        let memory = self.allocate_zeroed(bytes, TAG)?;
        if memory == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let behind = TEXT + 2 * path_text.len() as u64;
        self.write_string(memory + PATH, memory + TEXT, &path_text)?;
        self.write_string(memory + NAME, memory + behind, &name_text)?;
        let value_name = DriverPtr::new(memory + NAME);
        let status = if given {
            change(self, path, value_name)?
        } else {
            self.with_key(memory, create, |kernel, handle| {
                change(kernel, handle, value_name)
            })?
        };
        self.pool_free(memory, Some(TAG))?;
        Ok(status)
    }

    fn with_key(
        &self,
        memory: u64,
        create: bool,
        change: impl FnOnce(&Self, u64) -> Ddi<NtStatus>,
    ) -> Ddi<NtStatus> {
        let attributes = DriverPtr::<ObjectAttributes>::new(memory + ATTRIBUTES);
        let value = ObjectAttributes {
            length: size_of::<ObjectAttributes>() as u32,
            padding4: 0,
            root_directory: 0,
            object_name: memory + PATH,
            attributes: object_flags::OBJ_CASE_INSENSITIVE | object_flags::OBJ_KERNEL_HANDLE,
            padding28: 0,
            security_descriptor: 0,
            security_quality_of_service: 0,
        };
        self.write(attributes, value)?;
        let (slot, null) = (DriverPtr::<u64>::new(memory), DriverPtr::NULL);
        let opened = if create {
            self.zw_create_key(slot, SET_VALUE, attributes, 0, DriverPtr::NULL, 0, null)?
        } else {
            self.zw_open_key(slot, SET_VALUE, attributes)?
        };
        if opened != NtStatus::SUCCESS {
            return Ok(opened);
        }
        let handle = self.read(slot)?;
        let status = change(self, handle)?;
        self.zw_close(handle)?;
        Ok(status)
    }

    /// A counted string at `at`, whose text is put to `buffer`.
    fn write_string(&self, at: u64, buffer: u64, units: &[u16]) -> Ddi<()> {
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX - 1);
        let string = UnicodeString {
            length,
            maximum_length: length,
            padding4: 0,
            buffer,
        };
        self.write(DriverPtr::new(at), string)?;
        Ok(self.write_bytes(buffer, &bytes)?)
    }
}
