//! `AddReg` directives.
//!
//! Source: WDK, "INF AddReg Directive".

use crate::inf::{Entry, Field, Inf, InfError, InfProblem, Section, parse_number};

const NO_CLOBBER: u32 = 0x0002;
const DELETE_VALUE: u32 = 0x0004;
const APPEND: u32 = 0x0008;
const KEY_ONLY: u32 = 0x0010;
const OVERWRITE_ONLY: u32 = 0x0020;
const DELETE_STRING: u32 = 0x8000;
const TYPE: u32 = 0xffff_0001;

/// The data of a registry value, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryData {
    /// `REG_SZ`
    String(String),
    /// `REG_EXPAND_SZ`
    ExpandString(String),
    /// `REG_MULTI_SZ`
    MultiString(Vec<String>),
    /// `REG_DWORD`
    Dword(u32),
    /// `REG_QWORD`
    Qword(u64),
    /// `REG_BINARY`
    Binary(Vec<u8>),
    /// `REG_NONE`
    None(Vec<u8>),
}

/// One registry value under a key of its own (`HKR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryValue {
    /// The key below, with backslashes; empty for the key itself.
    pub subkey: String,
    /// The value's name; empty for the default value.
    pub name: String,
    /// Its data.
    pub data: RegistryData,
}

impl RegistryValue {
    /// Whether this is the value of that key and name. Case does not count.
    #[must_use]
    pub fn is(&self, subkey: &str, name: &str) -> bool {
        self.subkey.to_lowercase() == subkey.to_lowercase()
            && self.name.to_lowercase() == name.to_lowercase()
    }
}

/// The values that the `AddReg` directives of `section` leave under `HKR` of a new device or
/// service.
pub(super) fn values(inf: &Inf, section: &Section) -> Result<Vec<RegistryValue>, InfError> {
    let mut values = Vec::new();
    let sections = inf.with_needs(section)?;
    let directives = sections
        .iter()
        .flat_map(|section| inf.entries(section, "AddReg"));
    for directive in directives {
        for name in directive
            .values
            .iter()
            .filter(|field| !field.text.is_empty())
        {
            let section = inf.required(&inf.text(name)?, name.position)?;
            for entry in &section.entries {
                add(inf, entry, &mut values)?;
            }
        }
    }
    Ok(values)
}

/// `reg-root, [subkey], [value-name], [flags], [value], …`
fn add(inf: &Inf, entry: &Entry, values: &mut Vec<RegistryValue>) -> Result<(), InfError> {
    let root = inf.required_text(entry, 0, "the registry root")?;
    if !root.eq_ignore_ascii_case("HKR") {
        return Ok(());
    }
    let text = |index| {
        entry
            .value(index)
            .map_or(Ok(String::new()), |field| inf.text(field))
    };
    let (subkey, name) = (text(1)?, text(2)?);
    let subkey = subkey.trim_matches('\\').to_owned();
    let flags = inf.number(entry, 3, "Flags")?;
    let found = values.iter().position(|value| value.is(&subkey, &name));
    if flags & (DELETE_VALUE | DELETE_STRING) != 0 {
        if let Some(index) = found {
            values.remove(index);
        }
        return Ok(());
    }
    let no_value = name.is_empty() && entry.values.len() <= 3;
    if flags & KEY_ONLY != 0 || no_value {
        return Ok(());
    }
    let data = data(inf, entry, flags)?;
    match found.and_then(|index| values.get_mut(index)) {
        Some(_) if flags & NO_CLOBBER != 0 => {}
        Some(old) => match (&mut old.data, data) {
            (RegistryData::MultiString(old), RegistryData::MultiString(new))
                if flags & APPEND != 0 =>
            {
                old.extend(new);
            }
            (old, new) => *old = new,
        },
        None if flags & OVERWRITE_ONLY != 0 => {}
        None => values.push(RegistryValue { subkey, name, data }),
    }
    Ok(())
}

fn data(inf: &Inf, entry: &Entry, flags: u32) -> Result<RegistryData, InfError> {
    let fields = entry.values.get(4..).unwrap_or_default();
    let first = || {
        fields
            .first()
            .map_or(Ok(String::new()), |field| inf.text(field))
    };
    Ok(match flags & TYPE {
        0x0000_0000 => RegistryData::String(first()?),
        0x0002_0000 => RegistryData::ExpandString(first()?),
        0x0001_0000 => {
            let strings = fields.iter().map(|field| inf.text(field));
            let strings = strings.collect::<Result<Vec<_>, _>>()?;
            RegistryData::MultiString(strings.into_iter().filter(|s| !s.is_empty()).collect())
        }
        0x0000_0001 => RegistryData::Binary(bytes(inf, fields)?),
        0x0002_0001 => RegistryData::None(bytes(inf, fields)?),
        0x0001_0001 => {
            let number = integer(inf, entry, fields, "REG_DWORD", 4)?;
            RegistryData::Dword(u32::try_from(number).map_err(|_| {
                let (what, allowed) = ("REG_DWORD", "a number of at most 32 bits");
                InfProblem::Number {
                    what,
                    found: format!("{number:#x}"),
                    allowed,
                }
                .at(fields
                    .first()
                    .map_or(entry.position, |field| field.position))
            })?)
        }
        0x000b_0001 => RegistryData::Qword(integer(inf, entry, fields, "REG_QWORD", 8)?),
        found => return Err(InfProblem::RegistryType { found }.at(entry.position)),
    })
}

/// A number, or its bytes, lowest first.
fn integer(
    inf: &Inf,
    entry: &Entry,
    fields: &[Field],
    what: &'static str,
    size: usize,
) -> Result<u64, InfError> {
    if let [field] = fields {
        let text = inf.text(field)?;
        return parse_number(&text).ok_or_else(|| {
            let allowed = "a number, decimal or with 0x";
            InfProblem::Number {
                what,
                found: text,
                allowed,
            }
            .at(field.position)
        });
    }
    let found = fields.len();
    if found != size {
        let allowed = if size == 4 { "1 or 4" } else { "1 or 8" };
        return Err(InfProblem::Fields {
            what,
            found,
            allowed,
        }
        .at(entry.position));
    }
    let bytes = bytes(inf, fields)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Bytes as hexadecimal fields, with `0x` or without.
fn bytes(inf: &Inf, fields: &[Field]) -> Result<Vec<u8>, InfError> {
    let mut bytes = Vec::with_capacity(fields.len());
    for field in fields.iter().filter(|field| !field.text.is_empty()) {
        let text = inf.text(field)?;
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let byte = u8::from_str_radix(digits.unwrap_or(&text), 16).map_err(|_| {
            let (what, allowed) = ("a byte", "hexadecimal, 0..=ff");
            InfProblem::Number {
                what,
                found: text.clone(),
                allowed,
            }
            .at(field.position)
        })?;
        bytes.push(byte);
    }
    Ok(bytes)
}
