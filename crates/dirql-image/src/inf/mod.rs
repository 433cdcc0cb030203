//! Setup information files (`.inf`): what a driver's author tells Windows about it.
//!
//! [`Inf::parse`] reads sections, [`Inf::devices`] follows them from `[Manufacturer]` to the
//! registry values and the service of each device.
//!
//! Sources: WDK, "General Syntax Rules for INF Files", "Summary of INF Sections" and the page of
//! each section and directive that is named below.
//!
//! Not followed: `Include` and `Needs` (their files come with Windows), copying of files, `Strings`
//! sections for other languages. Nothing is checked that Windows does not need for installing.

mod devices;
mod lexer;
mod registry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use crate::inf::devices::{Device, ProductType, Service, Target};
pub use crate::inf::registry::{RegistryData, RegistryValue};

/// The longest value after strings have been put in, in characters. Source: WDK, "INF Strings
/// Section".
pub const LONGEST_VALUE: usize = 4096;

/// A place in an INF, both counted from 1. Columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why an INF cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {problem}")]
pub struct InfError {
    /// Where.
    pub position: Position,
    /// What.
    pub problem: InfProblem,
}

/// What is wrong with an INF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InfProblem {
    /// UTF-16 with half a character.
    #[error("the file is UTF-16, but this is no character")]
    Encoding,
    /// A section's name without `]`.
    #[error("the section name has no closing bracket")]
    SectionName,
    /// Something before the first section.
    #[error("entry outside of a section")]
    NoSection,
    /// A quoted string goes past the end of its line.
    #[error("the quoted string has no closing quote on this line")]
    Quote,
    /// A value is too long once strings are put in.
    #[error("the value is longer than {LONGEST_VALUE} characters with its %strings%")]
    TooLong,
    /// A section that must be there is not.
    #[error("there is no section [{name}]")]
    MissingSection {
        /// Its name.
        name: String,
    },
    /// No models for x64 and this version of Windows.
    #[error(
        "no models section of [Manufacturer] is for x64 and Windows {major}.{minor}.{build}: the entry needs NTamd64"
    )]
    NoModels {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
        /// Build number.
        build: u32,
    },
    /// A value that must be there is not.
    #[error("{what} is missing")]
    Missing {
        /// Which one.
        what: &'static str,
    },
    /// A value is no number, or none that fits.
    #[error("{what} is {found:?}, must be {allowed}")]
    Number {
        /// Which value.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A value has the wrong number of fields.
    #[error("{what} has {found} fields, must have {allowed}")]
    Fields {
        /// Which value.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many it may have.
        allowed: &'static str,
    },
    /// Flags of an `AddReg` entry that stand for no type.
    #[error(
        "registry type {found:#x} in the flags, must be 0, 1, 0x10000, 0x10001, 0x20000, 0x20001 or 0xb0001"
    )]
    RegistryType {
        /// The flags that select the type.
        found: u32,
    },
}

impl InfProblem {
    fn at(self, position: Position) -> InfError {
        InfError {
            position,
            problem: self,
        }
    }
}

/// One value, key or name, with `%strings%` not yet put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Field {
    text: String,
    position: Position,
}

/// One line of a section: `key = value, value…` or `value, value…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    position: Position,
    key: Option<Field>,
    values: Vec<Field>,
}

impl Entry {
    fn value(&self, index: usize) -> Option<&Field> {
        self.values
            .get(index)
            .filter(|field| !field.text.is_empty())
    }
}

/// Every line of the sections of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Section {
    name: String,
    position: Position,
    entries: Vec<Entry>,
}

/// A setup information file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inf {
    /// By name in lower case: case does not count, and sections of one name are one section.
    sections: BTreeMap<String, Section>,
    /// By name in lower case.
    strings: BTreeMap<String, String>,
}

impl Inf {
    /// Reads a file: UTF-16 with a byte order mark, or UTF-8 with or without one. Bytes that are
    /// not UTF-8 are taken for Latin-1, which is what most files in an old code page are.
    ///
    /// # Errors
    /// A section name or a quoted string does not end; something stands before the first section.
    pub fn parse(bytes: &[u8]) -> Result<Self, InfError> {
        let mut inf = Self {
            sections: lexer::sections(bytes)?,
            strings: BTreeMap::new(),
        };
        let strings = inf
            .section("Strings")
            .map(|section| section.entries.as_slice());
        let strings: BTreeMap<_, _> = strings
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| {
                let value = entry.values.first().map(|field| field.text.clone());
                Some((
                    entry.key.as_ref()?.text.to_lowercase(),
                    value.unwrap_or_default(),
                ))
            })
            .collect();
        inf.strings = strings;
        Ok(inf)
    }

    /// The names of all sections in alphabetical order, as first spelled.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.values().map(|section| section.name.as_str())
    }

    /// The first value of a key, with `%strings%` put in; `None` if the section or the key is
    /// not there.
    ///
    /// # Errors
    /// The value is too long.
    pub fn value(&self, section: &str, key: &str) -> Result<Option<String>, InfError> {
        let entry = self
            .section(section)
            .and_then(|section| self.entries(section, key).next());
        match entry.and_then(|entry| entry.value(0)) {
            Some(field) => self.text(field).map(Some),
            None => Ok(None),
        }
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(&name.to_lowercase())
    }

    fn required(&self, name: &str, position: Position) -> Result<&Section, InfError> {
        let missing = || {
            InfProblem::MissingSection {
                name: name.to_owned(),
            }
            .at(position)
        };
        self.section(name).ok_or_else(missing)
    }

    /// A section and those that its `Needs` directives name, itself first.
    ///
    /// A section that is not there is part of an INF that `Include` names: those are Windows'
    /// own, and not at hand.
    fn with_needs<'a>(&'a self, section: &'a Section) -> Result<Vec<&'a Section>, InfError> {
        let mut sections = vec![section];
        let mut next = 0;
        while let Some(section) = sections.get(next).copied() {
            next += 1;
            let includes = self.entries(section, "Include").next().is_some();
            for entry in self.entries(section, "Needs") {
                for field in entry.values.iter().filter(|field| !field.text.is_empty()) {
                    let name = self.text(field)?;
                    match self.section(&name) {
                        // Two that need each other are each taken once.
                        Some(found) if sections.iter().any(|known| known.name == found.name) => {}
                        Some(found) => sections.push(found),
                        None if includes => {}
                        None => {
                            self.required(&name, field.position)?;
                        }
                    }
                }
            }
        }
        Ok(sections)
    }

    /// The entries of a section that have this key.
    fn entries<'a>(
        &self,
        section: &'a Section,
        key: &str,
    ) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let key = key.to_lowercase();
        section.entries.iter().filter(move |entry| {
            entry
                .key
                .as_ref()
                .is_some_and(|field| field.text.to_lowercase() == key)
        })
    }

    /// A field's text with `%strings%` put in.
    ///
    /// `%%` is a percent sign. What is no known string stays as it is: it may be a directory
    /// number (`%12%`) or an environment variable.
    fn text(&self, field: &Field) -> Result<String, InfError> {
        let mut text = String::new();
        let mut rest = field.text.as_str();
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            let Some((name, after)) = after.split_once('%') else {
                text.push('%');
                rest = after;
                break;
            };
            match self.strings.get(&name.to_lowercase()) {
                _ if name.is_empty() => text.push('%'),
                Some(string) => text.push_str(string),
                None => {
                    text.push('%');
                    text.push_str(name);
                    text.push('%');
                }
            }
            // Bounded here too: the same long string may be named any number of times.
            self.check_length(&text, field)?;
            rest = after;
        }
        text.push_str(rest);
        self.check_length(&text, field)?;
        Ok(text)
    }

    fn check_length(&self, text: &str, field: &Field) -> Result<(), InfError> {
        // Bytes are counted first because that takes no time.
        if text.len() > LONGEST_VALUE && text.chars().count() > LONGEST_VALUE {
            return Err(InfProblem::TooLong.at(field.position));
        }
        Ok(())
    }

    /// The text of a field that must be there.
    fn required_text(
        &self,
        entry: &Entry,
        index: usize,
        what: &'static str,
    ) -> Result<String, InfError> {
        let field = entry
            .value(index)
            .ok_or_else(|| InfProblem::Missing { what }.at(entry.position))?;
        self.text(field)
    }

    /// A number, decimal or hexadecimal; 0 if it is not there.
    fn number(&self, entry: &Entry, index: usize, what: &'static str) -> Result<u32, InfError> {
        let Some(field) = entry.value(index) else {
            return Ok(0);
        };
        let text = self.text(field)?;
        parse_number(&text)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| {
                let allowed = "a number of at most 32 bits";
                InfProblem::Number {
                    what,
                    found: text,
                    allowed,
                }
                .at(field.position)
            })
    }
}

/// `12`, `0x12`; the sign is allowed for 32-bit values, as `-1`.
fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    if text.starts_with('-') {
        let number = text.parse::<i32>().ok()?;
        return Some(u64::from(u32::from_ne_bytes(number.to_ne_bytes())));
    }
    text.parse().ok()
}
