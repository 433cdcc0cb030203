//! Options as text, and what is wrong with them.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use crate::registers::DescriptionError;

use super::{HOSTILE, MODELS, Model};

/// Why a model could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelError {
    /// There is no such model.
    UnknownModel {
        /// What was asked for.
        name: Box<str>,
        /// What may have been meant.
        hint: Option<&'static str>,
    },
    /// The model has no such option.
    UnknownOption {
        /// The model.
        model: &'static Model,
        /// What was asked for.
        option: Box<str>,
        /// What may have been meant.
        hint: Option<&'static str>,
    },
    /// An option was given twice.
    Repeated {
        /// The option.
        option: Box<str>,
    },
    /// A value is not a number.
    NotANumber {
        /// The option.
        option: &'static str,
        /// The value.
        value: Box<str>,
    },
    /// A number is too small or too large.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The value.
        value: u64,
        /// What the option takes.
        range: RangeInclusive<u64>,
        /// It was written in hexadecimal, so the message is, too.
        hexadecimal: bool,
    },
    /// Registers are not described as they should be.
    Registers(DescriptionError),
    /// A value is none of those that the option takes.
    NotAChoice {
        /// The option.
        option: &'static str,
        /// The value.
        value: Box<str>,
        /// What the option takes.
        choices: Box<[&'static str]>,
        /// What may have been meant.
        hint: Option<&'static str>,
    },
}

impl ModelError {
    pub(super) fn unknown_model(name: &str) -> Self {
        let hint = nearest(name, MODELS.iter().map(|model| model.name));
        Self::UnknownModel {
            name: name.into(),
            hint,
        }
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel { name, hint } => {
                write!(f, "no model `{name}`")?;
                write_hint(f, *hint)?;
                write_list(f, "; models: ", MODELS.iter().map(|model| model.name))
            }
            Self::UnknownOption {
                model,
                option,
                hint,
            } => {
                write!(f, "model `{}` has no option `{option}`", model.name)?;
                write_hint(f, *hint)?;
                write_list(
                    f,
                    "; options: ",
                    model.options.iter().map(|option| option.name),
                )
            }
            Self::Repeated { option } => write!(f, "option `{option}` is given twice"),
            Self::NotANumber { option, value } => write!(
                f,
                "option `{option}` is `{value}`, not a number (decimal, or hexadecimal after 0x)"
            ),
            Self::OutOfRange {
                option,
                value,
                range,
                hexadecimal,
            } => {
                let (first, last) = (range.start(), range.end());
                if *hexadecimal {
                    write!(
                        f,
                        "option `{option}` is {value:#x}, not in {first:#x}..={last:#x}"
                    )
                } else {
                    write!(f, "option `{option}` is {value}, not in {first}..={last}")
                }
            }
            Self::Registers(error) => error.fmt(f),
            Self::NotAChoice {
                option,
                value,
                choices,
                hint,
            } => {
                write!(f, "option `{option}` is `{value}`")?;
                write_hint(f, *hint)?;
                write_list(f, "; it takes: ", choices.iter().copied())
            }
        }
    }
}

impl core::error::Error for ModelError {}

fn write_hint(f: &mut fmt::Formatter<'_>, hint: Option<&str>) -> fmt::Result {
    hint.map_or(Ok(()), |hint| write!(f, ", did you mean `{hint}`?"))
}

fn write_list<'a>(
    f: &mut fmt::Formatter<'_>,
    intro: &str,
    names: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    f.write_str(intro)?;
    for (index, name) in names.enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        f.write_str(name)?;
    }
    Ok(())
}

/// Options that the model has, each at most once.
pub(super) struct Options<'a> {
    given: &'a [(&'a str, &'a str)],
}

impl<'a> Options<'a> {
    pub(super) fn new(
        model: &'static Model,
        given: &'a [(&'a str, &'a str)],
    ) -> Result<Self, ModelError> {
        for (index, &(option, _)) in given.iter().enumerate() {
            let own = || model.options.iter().chain([&HOSTILE]);
            let names = || own().map(|option| option.name);
            if !names().any(|name| name == option) {
                let hint = nearest(option, names());
                return Err(ModelError::UnknownOption {
                    model,
                    option: option.into(),
                    hint,
                });
            }
            if given[..index].iter().any(|&(before, _)| before == option) {
                return Err(ModelError::Repeated {
                    option: option.into(),
                });
            }
        }
        Ok(Self { given })
    }

    pub(super) fn number(
        &self,
        option: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ModelError> {
        let Some(text) = self.get(option) else {
            return Ok(default);
        };
        let Some(value) = parse_number(text) else {
            return Err(ModelError::NotANumber {
                option,
                value: text.into(),
            });
        };
        if !range.contains(&value) {
            let hexadecimal = text.starts_with("0x");
            return Err(ModelError::OutOfRange {
                option,
                value,
                range,
                hexadecimal,
            });
        }
        Ok(value)
    }

    pub(super) fn choice<T: Copy>(
        &self,
        option: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> Result<T, ModelError> {
        let Some(text) = self.get(option) else {
            return Ok(default);
        };
        let names = || choices.iter().map(|&(name, _)| name);
        let found = choices.iter().find(|&&(name, _)| name == text);
        found
            .map(|&(_, value)| value)
            .ok_or_else(|| ModelError::NotAChoice {
                option,
                value: text.into(),
                choices: names().collect(),
                hint: nearest(text, names()),
            })
    }

    pub(super) fn is_given(&self, option: &str) -> bool {
        self.get(option).is_some()
    }

    /// A value as it was given.
    pub(super) fn text(&self, option: &str) -> Option<&'a str> {
        self.get(option)
    }

    fn get(&self, option: &str) -> Option<&'a str> {
        self.given
            .iter()
            .find(|&&(name, _)| name == option)
            .map(|&(_, value)| value)
    }
}

/// Digits only: no sign, no spaces, no underscores.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` would take a plus sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// The nearest name that is at most two edits and less than half its length away, the first of
/// equals.
fn nearest(text: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let near = names.map(|name| (distance(text, name), name));
    let near = near.filter(|&(distance, name)| distance <= 2 && 2 * distance < name.len());
    near.min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance, letter case ignored.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1; row.len()];
        for (j, b) in other.iter().enumerate() {
            let replace = row[j] + usize::from(!a.eq_ignore_ascii_case(b));
            next[j + 1] = replace.min(row[j + 1] + 1).min(next[j] + 1);
        }
        row = next;
    }
    row[other.len()]
}
