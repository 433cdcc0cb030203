//! Open keys: key objects and the handles to them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_rules::{Place, ids};

use super::below_root;
use super::tree::{KeyId, ROOT};
use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel};

/// Bytes of a key object that a driver could look at; drivers only compare its address.
const BODY_BYTES: u64 = 64;

/// What a key object stands for.
#[derive(Clone, Debug)]
pub(super) struct OpenKey {
    key: KeyId,
    place: Place,
}

/// Nobody refers to a key object any more.
fn delete_key_object(kernel: &Kernel, body: u64) -> Ddi<()> {
    kernel.cm.open.borrow_mut().remove(&body);
    kernel.cm.free_bodies.borrow_mut().push(body);
    Ok(())
}

impl Kernel {
    /// Opens a key: a handle to a new key object.
    pub(super) fn open_key(&self, key: KeyId, access: u32) -> Ddi<u64> {
        let free = self.cm.free_bodies.borrow_mut().pop();
        let body = free.unwrap_or_else(|| self.allocate_system(BODY_BYTES));
        let place = self.here();
        self.cm
            .open
            .borrow_mut()
            .insert(body, OpenKey { key, place });
        self.ob_register(body, ObjectKind::Key, delete_key_object);
        let handle = self.ob_create_handle(body, access)?;
        // The handle holds the only reference.
        self.obf_dereference_object(body)?;
        Ok(handle)
    }

    /// The key that a key object stands for.
    pub(super) fn key_of_object(&self, body: u64) -> Option<KeyId> {
        self.cm.open.borrow().get(&body).map(|open| open.key)
    }

    /// The key behind a handle.
    ///
    /// # Errors
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `KEY_DELETED`.
    pub(super) fn key_of_handle(&self, handle: u64) -> Result<KeyId, NtStatus> {
        let body = self.ob_of_handle(handle).ok_or(NtStatus::INVALID_HANDLE)?;
        let open = self.cm.open.borrow();
        let key = open.get(&body).ok_or(NtStatus::OBJECT_TYPE_MISMATCH)?.key;
        self.cm
            .tree
            .borrow()
            .key(key)
            .map(|_| key)
            .ok_or(NtStatus::KEY_DELETED)
    }

    /// Where a name begins and what follows: the root directory's handle or `\REGISTRY`.
    pub(super) fn key_and_path(
        &self,
        attributes: DriverPtr<ObjectAttributes>,
    ) -> Ddi<Result<(KeyId, String), NtStatus>> {
        let attributes = self.read(attributes)?;
        let name = match attributes.object_name {
            0 => String::new(),
            name => self.text_of(DriverPtr::new(name))?,
        };
        if attributes.root_directory != 0 {
            return Ok(match self.key_of_handle(attributes.root_directory) {
                Ok(_) if name.starts_with('\\') => Err(NtStatus::OBJECT_PATH_SYNTAX_BAD),
                Ok(key) => Ok((key, name)),
                Err(status) => Err(status),
            });
        }
        Ok(match below_root(&name) {
            Some(below) => Ok((ROOT, String::from(below))),
            None if name.starts_with('\\') => Err(NtStatus::OBJECT_TYPE_MISMATCH),
            None => Err(NtStatus::OBJECT_PATH_SYNTAX_BAD),
        })
    }

    /// Opens the key at an absolute path.
    pub(crate) fn open_registry_path(&self, path: &str, access: u32) -> Ddi<Result<u64, NtStatus>> {
        let key = below_root(path).and_then(|below| self.cm.tree.borrow().find(ROOT, below));
        match key {
            Some(key) => self.open_key(key, access).map(Ok),
            None => Ok(Err(NtStatus::OBJECT_NAME_NOT_FOUND)),
        }
    }

    /// Opens the key at an absolute path, which is made if it does not exist, and writes its handle.
    pub(super) fn give_key(
        &self,
        path: &str,
        access: u32,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.registry_create(path);
        match self.open_registry_path(path, access)? {
            Ok(value) => {
                self.write(handle, value)?;
                Ok(NtStatus::SUCCESS)
            }
            Err(status) => Ok(status),
        }
    }

    /// Reports keys that `driver`, whose image is `image`, has left open. For the moment after
    /// its Unload routine has returned.
    ///
    /// Findings: `KEY_LEFT_OPEN`.
    pub(crate) fn find_keys_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        let left: Vec<OpenKey> = {
            let open = self.cm.open.borrow();
            open.values()
                .filter(|one| image.contains(&one.place.address))
                .cloned()
                .collect()
        };
        for one in left {
            let path = self.cm.tree.borrow().path(one.key);
            let message = format!("{driver} was unloaded and left the key {path} open");
            self.find(
                ids::KEY_LEFT_OPEN,
                message,
                Some((String::from("opened here"), one.place)),
            )?;
        }
        Ok(())
    }
}
