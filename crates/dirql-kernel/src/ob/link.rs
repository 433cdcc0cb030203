//! Symbolic links by handle.
//!
//! Source: WDK reference, wdm.ZwOpenSymbolicLinkObject, wdm.ZwQuerySymbolicLinkObject; "Object
//! Directories". ZwCreateSymbolicLinkObject is exported and has no page.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::object::{ObjectAttributes, object_flags};
use dirql_abi::string::UnicodeString;

use super::ObjectKind;
use super::name::canonical;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Bytes and tag of a link's body, in which nobody looks.
const BYTES: u64 = 64;
const TAG: u32 = u32::from_le_bytes(*b"ObSl");

/// A link that was opened or made by handle.
pub(super) struct Link {
    /// Its canonical name.
    key: String,
    /// It goes with its last handle.
    temporary: bool,
}

fn delete_link(kernel: &Kernel, body: u64) -> Ddi<()> {
    let link = kernel.io.ob.links.borrow_mut().remove(&body);
    if let Some(link) = link.filter(|link| link.temporary) {
        kernel.link_remove(&link.key);
    }
    kernel.pool_free(body, Some(TAG))
}

impl Kernel {
    /// `NTSTATUS ZwCreateSymbolicLinkObject(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PUNICODE_STRING
    /// LinkTarget)`
    ///
    /// Makes a link that goes with its last handle, unless OBJ_PERMANENT is given.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the statuses of naming.
    /// - Source: exported, no page.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_create_symbolic_link_object(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
        target: DriverPtr<UnicodeString>,
    ) -> Ddi<NtStatus> {
        let given = self.read(attributes)?;
        let target = self.text_of(target)?;
        let name = match self.name_in(&given)? {
            Ok(name) => name,
            Err(status) => return Ok(status),
        };
        if let Err(status) = self.link_insert(&name, &target) {
            return Ok(status);
        }
        let temporary = given.attributes & object_flags::OBJ_PERMANENT == 0;
        let status = self.open_link(handle, access, &canonical(&name), temporary)?;
        if status != NtStatus::SUCCESS {
            self.link_remove(&name);
        }
        Ok(status)
    }

    /// `NTSTATUS ZwOpenSymbolicLinkObject(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_TYPE_MISMATCH for what is no link; the statuses of naming.
    /// - Source: WDK reference, wdm.ZwOpenSymbolicLinkObject.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_open_symbolic_link_object(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
    ) -> Ddi<NtStatus> {
        let name = match self.name_in(&self.read(attributes)?)? {
            Ok(name) => name,
            Err(status) => return Ok(status),
        };
        let key = canonical(&name);
        if self.link_target(&key).is_some() {
            return self.open_link(handle, access, &key, false);
        }
        Ok(match self.name_resolve(&name) {
            Ok(_) => NtStatus::OBJECT_TYPE_MISMATCH,
            Err(status) => status,
        })
    }

    /// Makes a handle to a link, which has one body however often it is opened.
    fn open_link(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        key: &str,
        temporary: bool,
    ) -> Ddi<NtStatus> {
        let known = {
            let links = self.io.ob.links.borrow();
            let mut found = links.iter().filter(|(_, link)| link.key == key);
            found.next().map(|(body, _)| *body)
        };
        if let Some(body) = known {
            let value = self.ob_create_handle(body, access)?;
            self.write(handle, value)?;
            return Ok(NtStatus::SUCCESS);
        }
        let body = self.allocate_zeroed(BYTES, TAG)?;
        if body == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.ob_register(body, ObjectKind::SymbolicLink, delete_link);
        let link = Link {
            key: String::from(key),
            temporary,
        };
        self.io.ob.links.borrow_mut().insert(body, link);
        let value = self.ob_create_handle(body, access)?;
        self.obf_dereference_object(body)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// If `body` is a link it goes with its last handle.
    pub(super) fn make_link_temporary(&self, body: u64) {
        if let Some(link) = self.io.ob.links.borrow_mut().get_mut(&body) {
            link.temporary = true;
        }
    }

    /// `NTSTATUS ZwQuerySymbolicLinkObject(HANDLE, PUNICODE_STRING LinkTarget, PULONG ReturnedLength)`
    ///
    /// Writes the target into the string's buffer, with a terminator if the length is wanted.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH; BUFFER_TOO_SMALL, with the bytes that the
    ///   target has. A link that was deleted has none any more: OBJECT_NAME_NOT_FOUND.
    /// - Source: WDK reference, wdm.ZwQuerySymbolicLinkObject.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_query_symbolic_link_object(
        &self,
        handle: u64,
        target: DriverPtr<UnicodeString>,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let Some(body) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        let key = self
            .io
            .ob
            .links
            .borrow()
            .get(&body)
            .map(|link| link.key.clone());
        let Some(key) = key else {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        let Some(text) = self.link_target(&key) else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = bytes.len() as u16;
        if !needed.is_null() {
            bytes.extend([0, 0]);
            self.write(needed, bytes.len() as u32)?;
        }
        let string = self.read(target)?;
        if bytes.len() > usize::from(string.maximum_length) {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.write_bytes(string.buffer, &bytes)?;
        self.write(at!(target, UnicodeString, length), length)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    struct Links {
        bench: Bench,
        handle: DriverPtr<u64>,
    }

    impl Links {
        fn new() -> Self {
            let bench = Bench::new(Config::default());
            let handle = DriverPtr::new(bench.variable(8));
            Self { bench, handle }
        }

        fn open(&self, name: &str) -> (NtStatus, u64) {
            let attributes = self.bench.object_attributes(name);
            let kernel = &self.bench.kernel;
            let status = kernel.zw_open_symbolic_link_object(self.handle, 0, attributes);
            (status.unwrap(), kernel.read(self.handle).unwrap())
        }

        fn create(&self, name: &str, flags: u32) -> (NtStatus, u64) {
            let attributes = self.bench.object_attributes(name);
            let kernel = &self.bench.kernel;
            kernel
                .write(at!(attributes, ObjectAttributes, attributes), flags)
                .unwrap();
            let target = DriverPtr::new(self.bench.unicode(r"\Device\Target"));
            let status = kernel.zw_create_symbolic_link_object(self.handle, 0, attributes, target);
            (status.unwrap(), kernel.read(self.handle).unwrap())
        }

        fn query(&self, handle: u64, room: u16, wants_length: bool) -> (NtStatus, String, u32) {
            let kernel = &self.bench.kernel;
            let target = DriverPtr::new(self.bench.variable(16));
            let string = UnicodeString {
                length: 0,
                maximum_length: room,
                padding4: 0,
                buffer: self.bench.variable(64),
            };
            kernel.write(target, string).unwrap();
            let needed = DriverPtr::new(self.bench.variable(4));
            let wanted = if wants_length {
                needed
            } else {
                DriverPtr::NULL
            };
            let status = kernel.zw_query_symbolic_link_object(handle, target, wanted);
            let text = kernel.text_of(target).unwrap();
            (status.unwrap(), text, kernel.read(needed).unwrap())
        }
    }

    #[test]
    fn a_link_says_where_it_leads() {
        let links = Links::new();
        let kernel = &links.bench.kernel;
        kernel.link_insert(r"\??\Mine", r"\Device\Target").unwrap();
        let (status, handle) = links.open(r"\DosDevices\mine");
        assert_eq!(status, NtStatus::SUCCESS);
        let target = String::from(r"\Device\Target");
        assert_eq!(
            links.query(handle, 28, false),
            (NtStatus::SUCCESS, target.clone(), 0)
        );
        assert_eq!(
            links.query(handle, 30, true),
            (NtStatus::SUCCESS, target, 30)
        );
        let (status, text, needed) = links.query(handle, 28, true);
        assert_eq!(
            (status, text.as_str(), needed),
            (NtStatus::BUFFER_TOO_SMALL, "", 30)
        );
        kernel.zw_close(handle).unwrap();
        assert_eq!(
            links.open(r"\??\Mine").0,
            NtStatus::SUCCESS,
            "a handle is not the link"
        );
        assert_eq!(links.open(r"\??\Other").0, NtStatus::OBJECT_NAME_NOT_FOUND);
        assert_eq!(links.query(0x44, 30, true).0, NtStatus::INVALID_HANDLE);
    }

    #[test]
    fn a_link_made_by_handle_goes_with_it_unless_it_is_permanent() {
        let links = Links::new();
        let kernel = &links.bench.kernel;
        let (status, handle) = links.create(r"\??\Mine", 0);
        assert_eq!(status, NtStatus::SUCCESS);
        assert_eq!(
            links.create(r"\??\Mine", 0).0,
            NtStatus::OBJECT_NAME_COLLISION
        );
        let (_, second) = links.open(r"\??\Mine");
        kernel.zw_close(handle).unwrap();
        assert_eq!(links.query(second, 30, true).0, NtStatus::SUCCESS);
        kernel.zw_close(second).unwrap();
        assert_eq!(links.open(r"\??\Mine").0, NtStatus::OBJECT_NAME_NOT_FOUND);

        let (_, handle) = links.create(r"\??\Mine", object_flags::OBJ_PERMANENT);
        kernel.zw_close(handle).unwrap();
        let (status, handle) = links.open(r"\??\Mine");
        assert_eq!(status, NtStatus::SUCCESS);
        kernel.zw_make_temporary_object(handle).unwrap();
        kernel.zw_close(handle).unwrap();
        assert_eq!(links.open(r"\??\Mine").0, NtStatus::OBJECT_NAME_NOT_FOUND);
    }

    #[test]
    fn a_link_that_was_deleted_leads_nowhere() {
        let links = Links::new();
        let kernel = &links.bench.kernel;
        let (_, handle) = links.create(r"\??\Mine", 0);
        assert!(kernel.link_remove(r"\??\Mine"));
        assert_eq!(
            links.query(handle, 30, true).0,
            NtStatus::OBJECT_NAME_NOT_FOUND
        );
        assert_eq!(kernel.zw_close(handle), Ok(NtStatus::SUCCESS));
    }
}
