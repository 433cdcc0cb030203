//! Values by their key's handle.
//!
//! Source: WDK reference, wdm.ZwQueryValueKey, wdm.ZwSetValueKey, wdm.ZwDeleteValueKey,
//! wdm.ZwEnumerateValueKey.

use dirql_abi::NtStatus;
use dirql_abi::string::UnicodeString;

use super::tree::{KeyId, Value};
use super::{callback, information};
use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `NTSTATUS ZwQueryValueKey(HANDLE, PUNICODE_STRING Name, KEY_VALUE_INFORMATION_CLASS, PVOID, ULONG Length, PULONG Needed)`
    ///
    /// Tells of a value.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND; BUFFER_OVERFLOW (the part that fits is
    ///   written); BUFFER_TOO_SMALL; INVALID_PARAMETER for a class that is none; those of a
    ///   handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwQueryValueKey.
    pub fn zw_query_value_key(
        &self,
        handle: u64,
        name: DriverPtr<UnicodeString>,
        class: u32,
        buffer: u64,
        length: u32,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let key = match self.key_of_handle(handle) {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let object = self.ob_of_handle(handle).unwrap_or(0);
        let (class_word, length_word) = (class.into(), length.into());
        let told = [
            object,
            name.address(),
            class_word,
            buffer,
            length_word,
            needed.address(),
        ];
        self.filtered(callback::QUERY_VALUE, object, &told, |kernel| {
            let name = kernel.text_of(name)?;
            let answer = {
                let tree = kernel.cm.tree.borrow();
                let Some(value) = tree.key(key).and_then(|key| key.value(&name)) else {
                    return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
                };
                information::of_value(value, class)
            };
            kernel.give_answer(answer, buffer, length, needed)
        })
    }

    /// `NTSTATUS ZwEnumerateValueKey(HANDLE, ULONG Index, KEY_VALUE_INFORMATION_CLASS, PVOID, ULONG Length, PULONG Needed)`
    ///
    /// Tells of a key's value number `index`, in the order in which they were made.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: NO_MORE_ENTRIES; the others of [`Kernel::zw_query_value_key`].
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwEnumerateValueKey.
    pub fn zw_enumerate_value_key(
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
        let object = self.ob_of_handle(handle).unwrap_or(0);
        let which = u64::from(index) | u64::from(class) << 32;
        let told = [object, which, buffer, length.into(), needed.address()];
        self.filtered(callback::ENUMERATE_VALUE, object, &told, |kernel| {
            let answer = {
                let tree = kernel.cm.tree.borrow();
                let value = tree.key(key).and_then(|key| key.values.get(index as usize));
                let Some(value) = value else {
                    return Ok(NtStatus::NO_MORE_ENTRIES);
                };
                information::of_value(value, class)
            };
            kernel.give_answer(answer, buffer, length, needed)
        })
    }

    /// `NTSTATUS ZwSetValueKey(HANDLE, PUNICODE_STRING Name, ULONG TitleIndex, ULONG Type, PVOID Data, ULONG Size)`
    ///
    /// Sets or replaces a value.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a name that is too long; those of a handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwSetValueKey.
    pub fn zw_set_value_key(
        &self,
        handle: u64,
        name: DriverPtr<UnicodeString>,
        _title_index: u32,
        value_type: u32,
        data: u64,
        size: u32,
    ) -> Ddi<NtStatus> {
        let key = match self.key_of_handle(handle) {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let object = self.ob_of_handle(handle).unwrap_or(0);
        let kind = u64::from(value_type) << 32;
        let told = [object, name.address(), kind, data, size.into()];
        self.filtered(callback::SET_VALUE, object, &told, |kernel| {
            kernel.set_value_of(key, name, value_type, (data, size))
        })
    }

    fn set_value_of(
        &self,
        key: KeyId,
        name: DriverPtr<UnicodeString>,
        value_type: u32,
        (data, size): (u64, u32),
    ) -> Ddi<NtStatus> {
        let name = self.text_of(name)?;
        let data = self.read_bytes(data, size as usize)?;
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

    /// `NTSTATUS ZwDeleteValueKey(HANDLE, PUNICODE_STRING Name)`
    ///
    /// Deletes a value.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND; those of a handle.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.ZwDeleteValueKey.
    pub fn zw_delete_value_key(
        &self,
        handle: u64,
        name: DriverPtr<UnicodeString>,
    ) -> Ddi<NtStatus> {
        let key = match self.key_of_handle(handle) {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let object = self.ob_of_handle(handle).unwrap_or(0);
        let told = [object, name.address()];
        self.filtered(callback::DELETE_VALUE, object, &told, |kernel| {
            let name = kernel.text_of(name)?;
            let now = kernel.time_100ns();
            let deleted = kernel.cm.tree.borrow_mut().delete_value(key, &name, now);
            Ok(deleted.err().unwrap_or(NtStatus::SUCCESS))
        })
    }
}
