//! Keys by handle.
//!
//! Source: WDK reference, wdm.ZwCreateKey, wdm.ZwOpenKey, wdm.ZwDeleteKey, wdm.ZwEnumerateKey,
//! wdm.ZwQueryKey, wdm.ZwFlushKey.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::registry::key_disposition;
use dirql_abi::string::UnicodeString;

use super::{callback, information};
use crate::ob::ObjectKind;
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
        let class_name = class.address();
        let class = if class.is_null() {
            None
        } else {
            Some(self.counted_units(class, Width::Wide)?)
        };
        let volatile = options & VOLATILE != 0;
        let told = self.told_of_path(attributes, (options, class_name), access)?;
        self.filtered(callback::CREATE_KEY, 0, &told, |kernel| {
            let now = kernel.time_100ns();
            let mut tree = kernel.cm.tree.borrow_mut();
            let (key, new) = match tree.create(from, &path, volatile, now) {
                Ok(created) => created,
                Err(status) => return Ok(status),
            };
            if let Some(class) = class.filter(|_| new) {
                tree.set_class(key, class);
            }
            drop(tree);
            let value = kernel.open_key(key, access)?;
            kernel.write(handle, value)?;
            if !disposition.is_null() {
                let what = if new {
                    key_disposition::REG_CREATED_NEW_KEY
                } else {
                    key_disposition::REG_OPENED_EXISTING_KEY
                };
                kernel.write(disposition, what)?;
            }
            Ok(NtStatus::SUCCESS)
        })
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
        let told = self.told_of_path(attributes, (0, 0), access)?;
        self.filtered(callback::OPEN_KEY, 0, &told, |kernel| {
            let found = kernel.cm.tree.borrow().find(from, &path);
            let Some(key) = found else {
                return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
            };
            let value = kernel.open_key(key, access)?;
            kernel.write(handle, value)?;
            Ok(NtStatus::SUCCESS)
        })
    }

    /// REG_CREATE_KEY_INFORMATION, which is also REG_OPEN_KEY_INFORMATION: CompleteName,
    /// RootObject, ObjectType, CreateOptions, Class, SecurityDescriptor,
    /// SecurityQualityOfService, DesiredAccess, Disposition, ResultObject.
    fn told_of_path(
        &self,
        attributes: DriverPtr<ObjectAttributes>,
        (options, class): (u32, u64),
        access: u32,
    ) -> Ddi<[u64; 10]> {
        if !self.has_registry_callbacks() {
            return Ok([0; 10]);
        }
        let given = self.read(attributes)?;
        let root = self.ob_of_handle(given.root_directory).unwrap_or(0);
        let kind = self.type_object(ObjectKind::Key);
        let (descriptor, service) = (given.security_descriptor, given.security_quality_of_service);
        let options = u64::from(options);
        let name = given.object_name;
        Ok([
            name,
            root,
            kind,
            options,
            class,
            descriptor,
            service,
            access.into(),
            0,
            0,
        ])
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
        let key = match self.key_of_handle(handle) {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let object = self.ob_of_handle(handle).unwrap_or(0);
        self.filtered(callback::DELETE_KEY, object, &[object], |kernel| {
            let now = kernel.time_100ns();
            let deleted = kernel.cm.tree.borrow_mut().delete(key, now);
            Ok(deleted.err().unwrap_or(NtStatus::SUCCESS))
        })
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
        let object = self.ob_of_handle(handle).unwrap_or(0);
        let which = u64::from(index) | u64::from(class) << 32;
        let told = [object, which, buffer, length.into(), needed.address()];
        self.filtered(callback::ENUMERATE_KEY, object, &told, |kernel| {
            let answer = {
                let tree = kernel.cm.tree.borrow();
                let child = tree
                    .key(key)
                    .and_then(|key| key.children.values().nth(index as usize).copied());
                let Some((id, child)) = child.and_then(|id| Some((id, tree.key(id)?))) else {
                    return Ok(NtStatus::NO_MORE_ENTRIES);
                };
                information::of_key(&tree, id, child, class)
            };
            kernel.give_answer(answer, buffer, length, needed)
        })
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
        let object = self.ob_of_handle(handle).unwrap_or(0);
        let told = [
            object,
            class.into(),
            buffer,
            length.into(),
            needed.address(),
        ];
        self.filtered(callback::QUERY_KEY, object, &told, |kernel| {
            let answer = {
                let tree = kernel.cm.tree.borrow();
                let Some(key) = tree.key(id) else {
                    return Ok(NtStatus::KEY_DELETED);
                };
                information::of_key(&tree, id, key, class)
            };
            kernel.give_answer(answer, buffer, length, needed)
        })
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
        if let Err(status) = self.key_of_handle(handle) {
            return Ok(status);
        }
        let object = self.ob_of_handle(handle).unwrap_or(0);
        self.filtered(callback::FLUSH_KEY, object, &[object], |_| {
            Ok(NtStatus::SUCCESS)
        })
    }
}
