//! Keys by handle.
//!
//! Source: WDK reference, wdm.ZwCreateKey, wdm.ZwOpenKey, wdm.ZwDeleteKey, wdm.ZwEnumerateKey,
//! wdm.ZwQueryKey, wdm.ZwFlushKey.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::registry::key_disposition;
use dirql_abi::string::UnicodeString;

use super::information;
use crate::rtl::Width;
use crate::{Ddi, DriverPtr, Kernel};

/// `REG_OPTION_VOLATILE`.
const VOLATILE: u32 = 1;

impl Kernel {
    /// `NTSTATUS ZwCreateKey(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, ULONG TitleIndex, PUNICODE_STRING Class, ULONG Options, PULONG Disposition)`
    ///
    /// Opens a key, and makes the last part of its path if it does not exist.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND if what is before the last part does not
    ///   exist; OBJECT_PATH_SYNTAX_BAD and OBJECT_TYPE_MISMATCH for a name outside the
    ///   registry; INVALID_HANDLE; KEY_DELETED; CHILD_MUST_BE_VOLATILE; OBJECT_NAME_INVALID.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwCreateKey.
    #[expect(clippy::too_many_arguments, reason = "the DDI's own list")]
    pub fn zw_create_key(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
        _title_index: u32,
        class: DriverPtr<UnicodeString>,
        options: u32,
        disposition: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let (from, path) = match self.key_and_path(attributes)? {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        let class = if class.is_null() {
            None
        } else {
            Some(self.counted_units(class, Width::Wide)?)
        };
        let volatile = options & VOLATILE != 0;
        let now = self.time_100ns();
        let created = self.cm.tree.borrow_mut().create(from, &path, volatile, now);
        let (key, new) = match created {
            Ok(created) => created,
            Err(status) => return Ok(status),
        };
        if let Some(class) = class.filter(|_| new) {
            self.cm.tree.borrow_mut().set_class(key, class);
        }
        let value = self.open_key(key, access)?;
        self.write(handle, value)?;
        if !disposition.is_null() {
            let what = if new {
                key_disposition::REG_CREATED_NEW_KEY
            } else {
                key_disposition::REG_OPENED_EXISTING_KEY
            };
            self.write(disposition, what)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwOpenKey(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES)`, and `ZwOpenKeyEx`, whose
    /// options make no difference here
    ///
    /// Opens a key that exists.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND; the others of [`Kernel::zw_create_key`].
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwOpenKey.
    pub fn zw_open_key(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
    ) -> Ddi<NtStatus> {
        let (from, path) = match self.key_and_path(attributes)? {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        let found = self.cm.tree.borrow().find(from, &path);
        let Some(key) = found else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let value = self.open_key(key, access)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwDeleteKey(HANDLE)`
    ///
    /// Deletes a key; its handles stay open and are good for nothing but closing.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; CANNOT_DELETE for a key with children; KEY_DELETED; INVALID_HANDLE;
    ///   OBJECT_TYPE_MISMATCH.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwDeleteKey.
    pub fn zw_delete_key(&self, handle: u64) -> Ddi<NtStatus> {
        let now = self.time_100ns();
        let deleted = self
            .key_of_handle(handle)
            .and_then(|key| self.cm.tree.borrow_mut().delete(key, now));
        Ok(deleted.err().unwrap_or(NtStatus::SUCCESS))
    }

    /// `NTSTATUS ZwEnumerateKey(HANDLE, ULONG Index, KEY_INFORMATION_CLASS, PVOID, ULONG Length, PULONG Needed)`
    ///
    /// Tells of a key's child number `index`, in the order of their names.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; NO_MORE_ENTRIES; BUFFER_OVERFLOW (the part that fits is written);
    ///   BUFFER_TOO_SMALL; INVALID_PARAMETER for a class that is none; those of a handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwEnumerateKey.
    pub fn zw_enumerate_key(
        &self,
        handle: u64,
        index: u32,
        class: u32,
        buffer: u64,
        length: u32,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let key = match self.key_of_handle(handle) {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let answer = {
            let tree = self.cm.tree.borrow();
            let child = tree
                .key(key)
                .and_then(|key| key.children.values().nth(index as usize).copied());
            let Some((id, child)) = child.and_then(|id| Some((id, tree.key(id)?))) else {
                return Ok(NtStatus::NO_MORE_ENTRIES);
            };
            information::of_key(&tree, id, child, class)
        };
        self.give_answer(answer, buffer, length, needed)
    }

    /// `NTSTATUS ZwQueryKey(HANDLE, KEY_INFORMATION_CLASS, PVOID, ULONG Length, PULONG Needed)`
    ///
    /// Tells of a key.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::zw_enumerate_key`].
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwQueryKey.
    pub fn zw_query_key(
        &self,
        handle: u64,
        class: u32,
        buffer: u64,
        length: u32,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let id = match self.key_of_handle(handle) {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let answer = {
            let tree = self.cm.tree.borrow();
            let Some(key) = tree.key(id) else {
                return Ok(NtStatus::KEY_DELETED);
            };
            information::of_key(&tree, id, key, class)
        };
        self.give_answer(answer, buffer, length, needed)
    }

    /// `NTSTATUS ZwFlushKey(HANDLE)`
    ///
    /// There is no disk to write to.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; those of a handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwFlushKey.
    pub fn zw_flush_key(&self, handle: u64) -> Ddi<NtStatus> {
        Ok(self
            .key_of_handle(handle)
            .err()
            .unwrap_or(NtStatus::SUCCESS))
    }
}
