//! Directories of the namespace: those that exist from the beginning, and those that drivers make.
//!
//! A directory that a driver made is there while somebody has a handle to it, or something is in it,
//! or it is permanent.
//!
//! Source: WDK reference, wdm.ZwCreateDirectoryObject, ntifs.ZwOpenDirectoryObject; Win32
//! documentation, NtQueryDirectoryObject; wdm.ZwMakeTemporaryObject.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::object::{ObjectAttributes, object_flags};
use dirql_abi::string::UnicodeString;

use super::ObjectKind;
use super::name::{DIRECTORIES, Named, canonical, parent};
use crate::{Ddi, DriverPtr, Kernel};

/// Bytes and tag of a directory's body, in which nobody looks.
const BYTES: u64 = 64;
const TAG: u32 = u32::from_le_bytes(*b"ObDi");

/// Bytes of an OBJECT_DIRECTORY_INFORMATION: name and type.
const ENTRY: u64 = 2 * size_of::<UnicodeString>() as u64;

/// A directory that has a body.
pub(super) struct Directory {
    /// Its full name, if it has one.
    name: Option<String>,
    /// It has a reference of its own.
    permanent: bool,
}

/// How much of a directory is wanted.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryQuery {
    /// Where it is to be written.
    pub buffer: u64,
    /// Bytes there.
    pub length: u32,
    /// One entry and no more.
    pub single: bool,
    /// From the first entry on, wherever the last query stopped.
    pub restart: bool,
}

fn delete_directory(kernel: &Kernel, body: u64) -> Ddi<()> {
    kernel.io.ob.directories.borrow_mut().remove(&body);
    kernel.pool_free(body, Some(TAG))
}

impl Kernel {
    /// The full name of a directory; `None` for what is none, or has no name.
    pub(super) fn directory_name(&self, body: u64) -> Option<String> {
        self.io.ob.directories.borrow().get(&body)?.name.clone()
    }

    /// `NTSTATUS ZwCreateDirectoryObject(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_NAME_COLLISION, or with OBJ_OPENIF the handle of what there is and
    ///   OBJECT_NAME_EXISTS; the statuses of naming.
    /// - Source: WDK reference, wdm.ZwCreateDirectoryObject.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_create_directory_object(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
    ) -> Ddi<NtStatus> {
        let (mut name, mut flags) = (None, 0);
        if !attributes.is_null() {
            let given = self.read(attributes)?;
            flags = given.attributes;
            if given.object_name != 0 {
                match self.name_in(&given)? {
                    Ok(full) => name = Some(full),
                    Err(status) => return Ok(status),
                }
            }
        }
        if flags & object_flags::OBJ_OPENIF != 0
            && let Some(name) = &name
            && let Some(body) = self.directory(name)?
        {
            self.give_handle(handle, body, access)?;
            return Ok(NtStatus::OBJECT_NAME_EXISTS);
        }
        let permanent = flags & object_flags::OBJ_PERMANENT != 0;
        let body = self.new_directory(name.clone(), permanent)?;
        if body == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        if let Some(name) = &name
            && let Err(status) = self.directory_insert(name, body)
        {
            self.obf_dereference_object(body)?;
            return Ok(status);
        }
        self.give_handle(handle, body, access)?;
        if !permanent {
            self.obf_dereference_object(body)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    fn give_handle(&self, handle: DriverPtr<u64>, body: u64, access: u32) -> Ddi<()> {
        let value = self.ob_create_handle(body, access)?;
        Ok(self.write(handle, value)?)
    }

    /// A directory with one reference; 0 without memory.
    fn new_directory(&self, name: Option<String>, permanent: bool) -> Ddi<u64> {
        let body = self.allocate_zeroed(BYTES, TAG)?;
        if body != 0 {
            self.ob_register(body, ObjectKind::Directory, delete_directory);
            let directory = Directory { name, permanent };
            self.io.ob.directories.borrow_mut().insert(body, directory);
        }
        Ok(body)
    }

    /// The directory of this name. One that exists from the beginning gets its body when it is
    /// first opened.
    fn directory(&self, name: &str) -> Ddi<Option<u64>> {
        let key = canonical(name);
        if let Some(body) = self.directory_at(&key) {
            return Ok(Some(body));
        }
        let Some(known) = DIRECTORIES
            .iter()
            .find(|known| known.eq_ignore_ascii_case(&key))
        else {
            return Ok(None);
        };
        let opened = {
            let all = self.io.ob.directories.borrow();
            let mut found = all
                .iter()
                .filter(|(_, directory)| directory.name.as_deref() == Some(known));
            found.next().map(|(body, _)| *body)
        };
        if opened.is_some() {
            return Ok(opened);
        }
        let body = self.new_directory(Some((*known).to_string()), true)?;
        Ok((body != 0).then_some(body))
    }

    /// `NTSTATUS ZwOpenDirectoryObject(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_TYPE_MISMATCH for what is no directory; the statuses of naming.
    /// - Source: WDK reference, ntifs.ZwOpenDirectoryObject.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_open_directory_object(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
    ) -> Ddi<NtStatus> {
        let name = match self.name_in(&self.read(attributes)?)? {
            Ok(name) => name,
            Err(status) => return Ok(status),
        };
        if let Some(body) = self.directory(&name)? {
            self.give_handle(handle, body, access)?;
            return Ok(NtStatus::SUCCESS);
        }
        Ok(match self.name_resolve(&name) {
            Ok(_) => NtStatus::OBJECT_TYPE_MISMATCH,
            Err(status) => status,
        })
    }

    /// `NTSTATUS ZwMakeTemporaryObject(HANDLE)`: the object goes with its last handle.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE. Objects other than directories and links are temporary anyway.
    /// - Source: WDK reference, wdm.ZwMakeTemporaryObject.
    ///
    /// # Errors
    /// As [`Kernel::obf_dereference_object`].
    pub fn zw_make_temporary_object(&self, handle: u64) -> Ddi<NtStatus> {
        let Some(body) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        self.make_link_temporary(body);
        let was_permanent = match self.io.ob.directories.borrow_mut().get_mut(&body) {
            Some(directory) => core::mem::take(&mut directory.permanent),
            None => false,
        };
        if was_permanent {
            self.obf_dereference_object(body)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwQueryDirectoryObject(HANDLE, PVOID Buffer, ULONG Length, BOOLEAN ReturnSingleEntry,
    /// BOOLEAN RestartScan, PULONG Context, PULONG ReturnLength)`
    ///
    /// Writes names and types of what is in a directory, with an empty entry behind the last.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: MORE_ENTRIES if not all was written; NO_MORE_ENTRIES; BUFFER_TOO_SMALL if there is no
    ///   room for one, with the length that it needs.
    /// - Source: Win32 documentation, NtQueryDirectoryObject.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_query_directory_object(
        &self,
        handle: u64,
        query: DirectoryQuery,
        context: DriverPtr<u32>,
        needed: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let Some(body) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        if self.ob_kind(body) != Some(ObjectKind::Directory) {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        let all = self.directory_entries(body);
        let first = match query.restart {
            true => 0,
            false => self.read(context)? as usize,
        };
        let left = all.get(first..).unwrap_or_default();
        let Some(next) = left.first() else {
            return Ok(NtStatus::NO_MORE_ENTRIES);
        };
        let most = if query.single { 1 } else { left.len() };
        let mut used = ENTRY;
        let fits = left.iter().take(most).take_while(|entry| {
            used += size_of_entry(entry);
            used <= u64::from(query.length)
        });
        let written = &left[..fits.count()];
        if written.is_empty() {
            self.write_optional(needed, (ENTRY + size_of_entry(next)) as u32)?;
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        let length = self.write_entries(query.buffer, written)?;
        self.write_optional(needed, length)?;
        self.write(context, (first + written.len()) as u32)?;
        let is_all = query.single || written.len() == left.len();
        Ok(if is_all {
            NtStatus::SUCCESS
        } else {
            NtStatus::MORE_ENTRIES
        })
    }

    fn write_optional(&self, to: DriverPtr<u32>, value: u32) -> Ddi<()> {
        if !to.is_null() {
            self.write(to, value)?;
        }
        Ok(())
    }

    /// Names and types of what is in a directory, in the order of their names.
    fn directory_entries(&self, body: u64) -> Vec<[String; 2]> {
        let Some(directory) = self.directory_name(body) else {
            return Vec::new();
        };
        let directory = canonical(&directory);
        let is_inside = |key: &str| parent(key) == directory && key != directory;
        let mut all: Vec<[String; 2]> = DIRECTORIES
            .iter()
            .filter(|known| is_inside(&canonical(known)))
            .map(|known| {
                [
                    known.replace('\\', ""),
                    String::from(ObjectKind::Directory.type_name()),
                ]
            })
            .collect();
        let names = self.io.ob.names.borrow();
        for (_, entry) in names.iter().filter(|(key, _)| is_inside(key)) {
            let kind = match entry.what {
                Named::Object(object) => self.ob_kind(object).unwrap_or(ObjectKind::Device),
                Named::Directory(_) => ObjectKind::Directory,
                Named::Link(_) => ObjectKind::SymbolicLink,
            };
            all.push([entry.name.clone(), String::from(kind.type_name())]);
        }
        all.sort_by_key(|[name, _]| name.to_lowercase());
        all
    }

    /// The entries, an empty one, and the texts of all. Returns the bytes.
    fn write_entries(&self, buffer: u64, entries: &[[String; 2]]) -> Ddi<u32> {
        let mut text = buffer + ENTRY * (entries.len() as u64 + 1);
        let mut header = buffer;
        for part in entries.iter().flatten() {
            let units: Vec<u8> = units(part).flat_map(u16::to_le_bytes).collect();
            let string = UnicodeString {
                length: units.len() as u16 - 2,
                maximum_length: units.len() as u16,
                padding4: 0,
                buffer: text,
            };
            self.write(DriverPtr::new(header), string)?;
            self.write_bytes(text, &units)?;
            header += size_of::<UnicodeString>() as u64;
            text += units.len() as u64;
        }
        self.write(DriverPtr::new(header), [0_u8; ENTRY as usize])?;
        Ok((text - buffer) as u32)
    }
}

fn units(text: &str) -> impl Iterator<Item = u16> {
    text.encode_utf16().chain([0])
}

fn size_of_entry(entry: &[String; 2]) -> u64 {
    let texts = entry.iter().map(|part| 2 * units(part).count() as u64);
    ENTRY + texts.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    struct Directories {
        bench: Bench,
        handle: DriverPtr<u64>,
    }

    impl Directories {
        fn new() -> Self {
            let bench = Bench::new(Config::default());
            let handle = DriverPtr::new(bench.variable(8));
            Self { bench, handle }
        }

        fn attributes(&self, name: &str, root: u64, flags: u32) -> DriverPtr<ObjectAttributes> {
            let attributes = self.bench.object_attributes(name);
            let kernel = &self.bench.kernel;
            let mut value = kernel.read(attributes).unwrap();
            (value.root_directory, value.attributes) = (root, flags);
            kernel.write(attributes, value).unwrap();
            attributes
        }

        fn create(&self, name: &str, root: u64, flags: u32) -> (NtStatus, u64) {
            let attributes = self.attributes(name, root, flags);
            let kernel = &self.bench.kernel;
            let status = kernel.zw_create_directory_object(self.handle, 0, attributes);
            (status.unwrap(), kernel.read(self.handle).unwrap())
        }

        fn open(&self, name: &str) -> (NtStatus, u64) {
            let attributes = self.attributes(name, 0, 0);
            let kernel = &self.bench.kernel;
            let status = kernel.zw_open_directory_object(self.handle, 0, attributes);
            (status.unwrap(), kernel.read(self.handle).unwrap())
        }

        /// Status and names of a query, from where the last one stopped.
        fn query(
            &self,
            handle: u64,
            length: u32,
            single: bool,
            context: DriverPtr<u32>,
        ) -> (NtStatus, Vec<String>) {
            let kernel = &self.bench.kernel;
            let buffer = self.bench.variable(1024);
            let query = DirectoryQuery {
                buffer,
                length,
                single,
                restart: false,
            };
            let status = kernel.zw_query_directory_object(handle, query, context, DriverPtr::NULL);
            let mut names = Vec::new();
            let mut at = DriverPtr::<UnicodeString>::new(buffer);
            while kernel.read(at).unwrap().buffer != 0 {
                let text = |at| kernel.text_of(at).unwrap();
                names.push(alloc::format!("{} {}", text(at), text(at.element(1))));
                at = at.element(2);
            }
            (status.unwrap(), names)
        }
    }

    #[test]
    fn a_directory_is_there_while_it_is_used_and_names_go_into_it() {
        let all = Directories::new();
        let kernel = &all.bench.kernel;
        let (status, outer) = all.create(r"\Device\Mine", 0, 0);
        assert_eq!(status, NtStatus::SUCCESS);
        let (status, inner) = all.create("Inner", outer, 0);
        assert_eq!(status, NtStatus::SUCCESS);
        assert_eq!(
            all.create(r"\device\MINE", 0, 0).0,
            NtStatus::OBJECT_NAME_COLLISION
        );
        let again = all.create(r"\device\MINE", 0, object_flags::OBJ_OPENIF);
        assert_eq!(again.0, NtStatus::OBJECT_NAME_EXISTS);
        kernel
            .link_insert(r"\Device\Mine\Inner\Link", r"\Device\X")
            .unwrap();
        for handle in [outer, inner, again.1] {
            kernel.zw_close(handle).unwrap();
        }
        // What is in it keeps it.
        let (status, handle) = all.open(r"\Device\Mine\Inner");
        assert_eq!(status, NtStatus::SUCCESS);
        kernel.zw_close(handle).unwrap();
        assert!(kernel.link_remove(r"\Device\Mine\Inner\Link"));
        assert_eq!(all.open(r"\Device\Mine").0, NtStatus::OBJECT_NAME_NOT_FOUND);
        let lost = kernel.link_insert(r"\Device\Mine\Link", r"\Device\X");
        assert_eq!(lost, Err(NtStatus::OBJECT_PATH_NOT_FOUND));
    }

    #[test]
    fn a_permanent_directory_stays_until_it_is_made_temporary() {
        let all = Directories::new();
        let kernel = &all.bench.kernel;
        let (_, handle) = all.create(r"\Mine", 0, object_flags::OBJ_PERMANENT);
        kernel.zw_close(handle).unwrap();
        let (status, handle) = all.open(r"\mine");
        assert_eq!(status, NtStatus::SUCCESS);
        assert_eq!(
            kernel.zw_make_temporary_object(handle),
            Ok(NtStatus::SUCCESS)
        );
        kernel.zw_close(handle).unwrap();
        assert_eq!(all.open(r"\mine").0, NtStatus::OBJECT_NAME_NOT_FOUND);
        assert_eq!(
            kernel.zw_make_temporary_object(handle),
            Ok(NtStatus::INVALID_HANDLE)
        );
    }

    #[test]
    fn a_directory_says_what_is_in_it() {
        let all = Directories::new();
        let kernel = &all.bench.kernel;
        let (_, handle) = all.create(r"\Device\Mine", 0, 0);
        for (link, target) in [("Beta", "x"), ("alpha", "y")] {
            kernel
                .link_insert(&alloc::format!(r"\Device\Mine\{link}"), target)
                .unwrap();
        }
        let context = DriverPtr::<u32>::new(all.bench.variable(4));
        let (status, names) = all.query(handle, 1024, false, context);
        assert_eq!(status, NtStatus::SUCCESS);
        assert_eq!(names, ["alpha SymbolicLink", "Beta SymbolicLink"]);
        let (status, _) = all.query(handle, 1024, false, context);
        assert_eq!(status, NtStatus::NO_MORE_ENTRIES);
        kernel.write(context, 0).unwrap();
        let (status, names) = all.query(handle, 150, false, context);
        assert_eq!((status, names.len()), (NtStatus::MORE_ENTRIES, 1));
        let (status, names) = all.query(handle, 1024, true, context);
        assert_eq!(
            (status, names),
            (
                NtStatus::SUCCESS,
                alloc::vec![String::from("Beta SymbolicLink")]
            )
        );
        kernel.write(context, 0).unwrap();
        let (status, _) = all.query(handle, 64, true, context);
        assert_eq!(status, NtStatus::BUFFER_TOO_SMALL);
        let (_, root) = all.open(r"\");
        kernel.write(context, 0).unwrap();
        let (_, names) = all.query(root, 1024, false, context);
        assert_eq!(names[0], "?? Directory");
        assert!(names.contains(&String::from("Device Directory")));
    }

    #[test]
    fn what_is_no_directory_is_not_opened_as_one() {
        let all = Directories::new();
        all.bench
            .kernel
            .link_insert(r"\??\Link", r"\Device\Nothing")
            .unwrap();
        assert_eq!(all.open(r"\??\Nothing").0, NtStatus::OBJECT_NAME_NOT_FOUND);
        assert_eq!(all.open("Device").0, NtStatus::OBJECT_PATH_SYNTAX_BAD);
        let (_, device) = all.open(r"\Device");
        let (status, _) = all.create("Sub", device + 4, 0);
        assert_eq!(status, NtStatus::INVALID_HANDLE);
    }
}
