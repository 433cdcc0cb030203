//! The namespace: directories, named objects and symbolic links.
//!
//! Names are compared without case. `\DosDevices`, `\GLOBAL??` and `\??` are one directory,
//! because there is one session.
//!
//! Source: WDK, "NT Device Names", "Introduction to MS-DOS Device Names", "Object
//! Directories".

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::string::UnicodeString;

use dirql_rules::Place;

use crate::{Ddi, DriverPtr, Kernel};

/// Directories that exist from the beginning.
pub(super) const DIRECTORIES: [&str; 9] = [
    r"\",
    r"\Device",
    r"\Driver",
    r"\FileSystem",
    r"\??",
    r"\BaseNamedObjects",
    r"\KernelObjects",
    r"\Callback",
    r"\ObjectTypes",
];

/// Other names of `\??`.
const DOS_DEVICES: [&str; 2] = [r"\dosdevices", r"\global??"];

/// Links that are followed before a name counts as a loop. Choice.
const MOST_LINKS: u32 = 32;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Object(u64),
    Link(String),
    /// A directory that was made later.
    Directory(u64),
}

/// A name in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) what: Named,
    /// The last part of the name, as it was given.
    pub(super) name: String,
    /// Where it was given.
    pub(super) made: Place,
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) name: String,
    /// Where it leads.
    pub(crate) target: String,
    /// Where it was made.
    pub(crate) made: Place,
}

/// What a name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The object.
    pub(crate) object: u64,
    /// What follows the object's name, with its backslash; a device's driver interprets it.
    pub(crate) rest: String,
}

/// The form in which names are compared.
pub(super) fn canonical(name: &str) -> String {
    let lower: String = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        name.chars().flat_map(char::to_lowercase).collect()
    };
    for alias in DOS_DEVICES {
        if let Some(rest) = lower.strip_prefix(alias)
            && (rest.is_empty() || rest.starts_with('\\'))
        {
            return format!(r"\??{rest}");
        }
    }
    lower
}

/// The directory part of a canonical name.
pub(super) fn parent(name: &str) -> &str {
    match name.rfind('\\') {
        Some(0) => r"\",
        Some(at) => &name[..at],
        None => "",
    }
}

impl Kernel {
    /// The text of a counted string, whose buffer is a claim. Half characters are replaced.
    ///
    /// # Errors
    /// The string or its buffer is not memory.
    pub(crate) fn text_of(&self, string: DriverPtr<UnicodeString>) -> Ddi<String> {
        let header = self.read(string)?;
        let bytes = self.read_bytes(header.buffer, usize::from(header.length & !1))?;
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        Ok(String::from_utf16_lossy(&units))
    }

    /// Gives an object a name.
    ///
    /// # Errors
    /// The status that creating an object of this name gives: OBJECT_PATH_SYNTAX_BAD,
    /// OBJECT_NAME_INVALID, OBJECT_PATH_NOT_FOUND, OBJECT_NAME_COLLISION.
    pub(crate) fn name_insert(&self, name: &str, object: u64) -> Result<(), NtStatus> {
        self.insert(name, Named::Object(object))?;
        if let Some(header) = self.io.ob.objects.borrow_mut().get_mut(&object) {
            header.name = Some(name.to_string());
        }
        Ok(())
    }

    /// Makes `name` a symbolic link to `target`, which need not exist.
    ///
    /// # Errors
    /// As [`Kernel::name_insert`].
    pub(crate) fn link_insert(&self, name: &str, target: &str) -> Result<(), NtStatus> {
        self.insert(name, Named::Link(target.to_string()))
    }

    fn insert(&self, name: &str, what: Named) -> Result<(), NtStatus> {
        let key = canonical(name);
        if !key.starts_with('\\') {
            return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
        }
        if key.ends_with('\\') || key.contains(r"\\") {
            return Err(NtStatus::OBJECT_NAME_INVALID);
        }
        if !self.is_directory(parent(&key)) {
            return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
        }
        if self.io.ob.names.borrow().contains_key(&key) || self.is_directory(&key) {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        self.hold_directory(parent(&key));
        let last = name.rsplit('\\').next().unwrap_or_default().to_string();
        let entry = Entry {
            what,
            name: last,
            made: self.here(),
        };
        self.io.ob.names.borrow_mut().insert(key, entry);
        Ok(())
    }

    /// Gives a directory its name.
    ///
    /// # Errors
    /// As [`Kernel::name_insert`].
    pub(super) fn directory_insert(&self, name: &str, body: u64) -> Result<(), NtStatus> {
        self.insert(name, Named::Directory(body))?;
        if let Some(header) = self.io.ob.objects.borrow_mut().get_mut(&body) {
            header.name = Some(name.to_string());
        }
        Ok(())
    }

    /// Whether a canonical name is that of a directory.
    fn is_directory(&self, key: &str) -> bool {
        DIRECTORIES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(key))
            || self.directory_at(key).is_some()
    }

    /// The directory of a canonical name, if it was made later.
    pub(super) fn directory_at(&self, key: &str) -> Option<u64> {
        match self.io.ob.names.borrow().get(key)?.what {
            Named::Directory(body) => Some(body),
            _ => None,
        }
    }

    /// What is in a directory keeps it.
    fn hold_directory(&self, key: &str) {
        if let Some(body) = self.directory_at(key)
            && let Some(header) = self.io.ob.objects.borrow_mut().get_mut(&body)
        {
            header.pointers += 1;
        }
    }

    /// A name has gone out of its directory.
    fn let_directory_go(&self, key: &str) {
        if let Some(body) = self.directory_at(key) {
            // The reference is that of the name, so that there is one.
            let _ = self.obf_dereference_object(body);
        }
    }

    /// The full name in object attributes, which may be relative to a directory that was opened.
    ///
    /// # Errors
    /// The attributes or the name are not memory. The status is OBJECT_PATH_SYNTAX_BAD without a
    /// name, and INVALID_HANDLE or OBJECT_TYPE_MISMATCH for a root that is no directory.
    pub(super) fn name_in(&self, attributes: &ObjectAttributes) -> Ddi<Result<String, NtStatus>> {
        if attributes.object_name == 0 {
            return Ok(Err(NtStatus::OBJECT_PATH_SYNTAX_BAD));
        }
        let name = self.text_of(DriverPtr::new(attributes.object_name))?;
        if attributes.root_directory == 0 {
            return Ok(Ok(name));
        }
        let Some(body) = self.ob_of_handle(attributes.root_directory) else {
            return Ok(Err(NtStatus::INVALID_HANDLE));
        };
        let Some(directory) = self.directory_name(body) else {
            return Ok(Err(NtStatus::OBJECT_TYPE_MISMATCH));
        };
        Ok(Ok(match directory.as_str() {
            r"\" => format!(r"\{name}"),
            directory => format!(r"{directory}\{name}"),
        }))
    }

    /// Takes the name of an object away. Nothing happens if it is not one.
    pub(crate) fn name_remove(&self, name: &str) {
        let key = canonical(name);
        let what = self
            .io
            .ob
            .names
            .borrow()
            .get(&key)
            .map(|entry| entry.what.clone());
        let Some(Named::Object(object) | Named::Directory(object)) = what else {
            return;
        };
        self.io.ob.names.borrow_mut().remove(&key);
        if let Some(header) = self.io.ob.objects.borrow_mut().get_mut(&object) {
            header.name = None;
        }
        self.let_directory_go(parent(&key));
    }

    /// Removes a symbolic link; whether it was one.
    pub(crate) fn link_remove(&self, name: &str) -> bool {
        let key = canonical(name);
        if self.link_target(&key).is_none() {
            return false;
        }
        self.io.ob.names.borrow_mut().remove(&key);
        self.let_directory_go(parent(&key));
        true
    }

    /// Where the link of a canonical name leads.
    pub(super) fn link_target(&self, key: &str) -> Option<String> {
        match &self.io.ob.names.borrow().get(key)?.what {
            Named::Link(target) => Some(target.clone()),
            _ => None,
        }
    }

    /// The links there are, in order.
    pub(crate) fn links(&self) -> Vec<Link> {
        let names = self.io.ob.names.borrow();
        let link = |(key, entry): (&String, &Entry)| match &entry.what {
            Named::Link(target) => Some(Link {
                name: format!(r"{}\{}", parent(key).trim_end_matches('\\'), entry.name),
                target: target.clone(),
                made: entry.made.clone(),
            }),
            Named::Object(_) | Named::Directory(_) => None,
        };
        names.iter().filter_map(link).collect()
    }

    /// Follows a name to an object: the longest part of it that names one.
    ///
    /// # Errors
    /// OBJECT_PATH_SYNTAX_BAD, OBJECT_PATH_NOT_FOUND, OBJECT_NAME_NOT_FOUND.
    pub(crate) fn name_resolve(&self, name: &str) -> Result<Resolved, NtStatus> {
        let mut path = name.to_string();
        for _ in 0..MOST_LINKS {
            match self.follow(&path)? {
                Step::Found(resolved) => return Ok(resolved),
                Step::GoOn(next) => path = next,
            }
        }
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    fn follow(&self, path: &str) -> Result<Step, NtStatus> {
        if !path.starts_with('\\') {
            return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD);
        }
        let names = self.io.ob.names.borrow();
        let ends = path
            .char_indices()
            .skip(1)
            .filter(|(_, c)| *c == '\\')
            .map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (head, rest) = path.split_at(end);
            match names.get(&canonical(head)).map(|entry| &entry.what) {
                Some(Named::Directory(object)) if rest.is_empty() => {
                    return Ok(Step::Found(Resolved {
                        object: *object,
                        rest: String::new(),
                    }));
                }
                Some(Named::Object(object)) => {
                    return Ok(Step::Found(Resolved {
                        object: *object,
                        rest: rest.to_string(),
                    }));
                }
                Some(Named::Link(target)) => return Ok(Step::GoOn(format!("{target}{rest}"))),
                Some(Named::Directory(_)) | None => {}
            }
        }
        drop(names);
        let known = self.is_directory(parent(&canonical(path)));
        Err(if known {
            NtStatus::OBJECT_NAME_NOT_FOUND
        } else {
            NtStatus::OBJECT_PATH_NOT_FOUND
        })
    }
}

enum Step {
    Found(Resolved),
    GoOn(String),
}
