//! Descriptions of registers as text.
//!
//! ```text
//! register status at=0x0 width=4 reset=0x0 read_only=0x80 clear_by_one=0xf clear_by_read=0x10;
//! on write command bits=0x1 after=100 set status=0x1;
//! on read data clear status=0x1;
//! interrupt status=0xf enable=mask
//! ```
//!
//! Statements end with semicolons. Numbers are decimal, or hexadecimal after `0x`; `after` counts
//! units of 100 ns. The n-th `interrupt` is the n-th source.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{Consequence, Layout, Register, Source, Trigger};
use crate::device::{Region, Width};

/// Registers, consequences and sources at most, each.
const MOST: usize = 1024;

/// Why a text describes no device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// A statement begins with something else than `register`, `on` or `interrupt`.
    Statement(Box<str>),
    /// A word of a statement means nothing there.
    Word(Box<str>),
    /// A statement ends too early.
    Short(Box<str>),
    /// No register has this name.
    NoRegister(Box<str>),
    /// Two registers have this name, or are at one place.
    Twice(Box<str>),
    /// There are too many statements.
    TooMany,
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement(text) => write!(
                f,
                "`{text}` is no statement about registers; one begins with register, on or interrupt"
            ),
            Self::Word(text) => write!(f, "`{text}` means nothing here, or its value is none"),
            Self::Short(text) => write!(f, "`{text}` ends too early"),
            Self::NoRegister(name) => write!(f, "no register is called `{name}`"),
            Self::Twice(name) => {
                write!(
                    f,
                    "the register `{name}` is there twice, or where another one is"
                )
            }
            Self::TooMany => write!(f, "there are more than {MOST} statements"),
        }
    }
}

impl core::error::Error for DescriptionError {}

impl FromStr for Layout {
    type Err = DescriptionError;

    fn from_str(text: &str) -> Result<Self, DescriptionError> {
        let statements: Vec<&str> = text
            .split(';')
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .collect();
        if statements.len() > MOST {
            return Err(DescriptionError::TooMany);
        }
        let mut reader = Reader::default();
        // A statement may be about a register that is described after it.
        for is_register in [true, false] {
            for statement in &statements {
                if (statement.split(' ').next() == Some("register")) == is_register {
                    reader.statement(statement)?;
                }
            }
        }
        Ok(reader.layout)
    }
}

#[derive(Default)]
struct Reader<'t> {
    layout: Layout,
    names: Vec<&'t str>,
}

impl<'t> Reader<'t> {
    fn statement(&mut self, text: &'t str) -> Result<(), DescriptionError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["register", name, ref rest @ ..] => self.register(name, rest),
            ["on", "read", name, ref rest @ ..] => self.on(text, name, None, rest),
            ["on", "write", name, ref rest @ ..] => self.on(text, name, Some(0), rest),
            ["interrupt", condition, ref rest @ ..] => self.interrupt(condition, rest),
            ["register" | "on" | "interrupt", ..] => Err(DescriptionError::Short(text.into())),
            _ => Err(DescriptionError::Statement(text.into())),
        }
    }

    fn register(&mut self, name: &'t str, words: &[&str]) -> Result<(), DescriptionError> {
        let mut register = Register {
            region: Region(0),
            offset: 0,
            width: Width::U32,
            reset: 0,
            read_only: 0,
            clear_by_one: 0,
            clear_by_read: 0,
        };
        for word in words {
            let (key, value) = pair(word)?;
            match key {
                "at" => register.offset = value,
                "width" => register.width = Width::from_bytes(value).ok_or_else(|| wrong(word))?,
                "window" if value < 6 => register.region = Region(value as u8),
                "reset" => register.reset = value,
                "read_only" => register.read_only = value,
                "clear_by_one" => register.clear_by_one = value,
                "clear_by_read" => register.clear_by_read = value,
                _ => return Err(wrong(word)),
            }
        }
        let there = |other: &Register| {
            other.region == register.region
                && other.offset < register.offset.saturating_add(register.width.bytes())
                && register.offset < other.offset.saturating_add(other.width.bytes())
        };
        if self.names.contains(&name) || self.layout.registers.iter().any(there) {
            return Err(DescriptionError::Twice(name.into()));
        }
        register.reset &= register.width.ones();
        self.names.push(name);
        self.layout.registers.push(register);
        Ok(())
    }

    fn on(
        &mut self,
        text: &str,
        name: &str,
        written: Option<u64>,
        words: &[&str],
    ) -> Result<(), DescriptionError> {
        let mut consequence = Consequence {
            of: self.find(name)?,
            trigger: written.map_or(Trigger::Read, Trigger::Write),
            after_100ns: 0,
            changes: usize::MAX,
            set: 0,
            clear: 0,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "set" | "clear" => {
                    let change = words
                        .next()
                        .ok_or_else(|| DescriptionError::Short(text.into()))?;
                    let (name, bits) = pair(change)?;
                    let changes = self.find(name)?;
                    if consequence.changes != usize::MAX && consequence.changes != changes {
                        return Err(wrong(change));
                    }
                    consequence.changes = changes;
                    if *word == "set" {
                        consequence.set |= bits;
                    } else {
                        consequence.clear |= bits;
                    }
                }
                word => match (pair(word)?, &mut consequence.trigger) {
                    (("after", value), _) => consequence.after_100ns = value,
                    (("bits", value), Trigger::Write(bits)) => *bits = value,
                    _ => return Err(wrong(word)),
                },
            }
        }
        if consequence.changes == usize::MAX {
            return Err(DescriptionError::Short(text.into()));
        }
        self.layout.consequences.push(consequence);
        Ok(())
    }

    fn interrupt(&mut self, condition: &str, words: &[&str]) -> Result<(), DescriptionError> {
        let (name, bits) = pair(condition)?;
        let register = self.find(name)?;
        let enable = match words {
            [] => None,
            [word] => {
                let name = word.strip_prefix("enable=").ok_or_else(|| wrong(word))?;
                Some(self.find(name)?)
            }
            [_, word, ..] => return Err(wrong(word)),
        };
        self.layout.sources.push(Source {
            register,
            bits,
            enable,
        });
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, DescriptionError> {
        let found = self.names.iter().position(|other| *other == name);
        found.ok_or_else(|| DescriptionError::NoRegister(name.into()))
    }
}

fn wrong(word: &str) -> DescriptionError {
    DescriptionError::Word(word.into())
}

/// `name=NUMBER`
fn pair(word: &str) -> Result<(&str, u64), DescriptionError> {
    let (key, value) = word.split_once('=').ok_or_else(|| wrong(word))?;
    let number = crate::models::parse_number(value);
    Ok((key, number.ok_or_else(|| wrong(word))?))
}
