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
use dirql_abi::string::UnicodeString;

use crate::{Ddi, DriverPtr, Kernel};

/// Directories that exist from the beginning, in canonical form.
const DIRECTORIES: [&str; 9] = [
    r"\",
    r"\device",
    r"\driver",
    r"\filesystem",
    r"\??",
    r"\basenamedobjects",
    r"\kernelobjects",
    r"\callback",
    r"\objecttypes",
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
fn canonical(name: &str) -> String {
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
fn parent(name: &str) -> &str {
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
        if !DIRECTORIES.contains(&parent(&key)) {
            return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
        }
        let mut names = self.io.ob.names.borrow_mut();
        if names.contains_key(&key) || DIRECTORIES.contains(&key.as_str()) {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        names.insert(key, what);
        Ok(())
    }

    /// Takes the name of an object away. Nothing happens if it is not one.
    pub(crate) fn name_remove(&self, name: &str) {
        let mut names = self.io.ob.names.borrow_mut();
        let key = canonical(name);
        if let Some(Named::Object(object)) = names.get(&key).cloned() {
            names.remove(&key);
            if let Some(header) = self.io.ob.objects.borrow_mut().get_mut(&object) {
                header.name = None;
            }
        }
    }

    /// Removes a symbolic link; whether it was one.
    pub(crate) fn link_remove(&self, name: &str) -> bool {
        let mut names = self.io.ob.names.borrow_mut();
        let key = canonical(name);
        match names.get(&key) {
            Some(Named::Link(_)) => names.remove(&key).is_some(),
            _ => false,
        }
    }

    /// The links there are, name and target, in order.
    pub(crate) fn links(&self) -> Vec<(String, String)> {
        let names = self.io.ob.names.borrow();
        let link = |(name, what): (&String, &Named)| match what {
            Named::Link(target) => Some((name.clone(), target.clone())),
            Named::Object(_) => None,
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
            match names.get(&canonical(head)) {
                Some(Named::Object(object)) => {
                    return Ok(Step::Found(Resolved {
                        object: *object,
                        rest: rest.to_string(),
                    }));
                }
                Some(Named::Link(target)) => return Ok(Step::GoOn(format!("{target}{rest}"))),
                None => {}
            }
        }
        let known = DIRECTORIES.contains(&parent(&canonical(path)));
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
