//! Schedules as strings.

use std::fmt;
use std::str::FromStr;

use crate::random::mix;

/// A place where something else happened than what happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deviation {
    /// Number of the point, counting from 0 those with at least two options.
    pub point: u32,
    /// Index of the option, at least 1.
    pub option: u16,
}

/// Where a run has points beside those that every run has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Points {
    /// Nowhere.
    #[default]
    Usual,
    /// Before these instructions, in ascending order, by numbers that whoever runs them knows.
    Before(Vec<u32>),
    /// Before every instruction.
    Everywhere,
}

/// What a run chose, and what it was a run of.
///
/// `d1-IMAGE-SCENARIO-POINTS-POINT.OPTION-…-CHECK`: the version of this form and of what the
/// options mean; the fingerprints of driver and scenario, 8 hexadecimal digits each; where there
/// are more points than usual, `i` for everywhere or `a` and instructions in hexadecimal,
/// separated by dots; each deviation, in order; the last four digits are a checksum of all
/// before.
///
/// ```
/// use dirql_explore::{Deviation, Points, Schedule};
///
/// let deviations = vec![Deviation { point: 12, option: 1 }];
/// let points = Points::Usual;
/// let schedule = Schedule { image: 0x0123_4567, scenario: 0x89AB_CDEF, points, deviations };
/// let text = schedule.to_string();
/// assert!(text.starts_with("d1-01234567-89abcdef-12.1-"));
/// assert_eq!(text.parse(), Ok(schedule));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Fingerprint of the driver's image.
    pub image: u32,
    /// Fingerprint of the scenario and the settings.
    pub scenario: u32,
    /// Where it has points.
    pub points: Points,
    /// Where it differs from what happens by itself, in order.
    pub deviations: Vec<Deviation>,
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The text has another form.
    #[error("this is no schedule; one looks like d1-0a1b2c3d-4e5f6071-12.1-30.2-89ab")]
    Form,
    /// It is of another version of dirql.
    #[error("the schedule has format version {found}, and this dirql reads version {VERSION}")]
    Version {
        /// The version.
        found: u32,
    },
    /// Something in it was changed.
    #[error(
        "the schedule is damaged: its checksum is {expected:04x}, and it ends with {found:04x}"
    )]
    Check {
        /// What the rest gives.
        expected: u16,
        /// What it says.
        found: u16,
    },
}

/// The version of the form, and of what the numbers of points and options mean: it changes with
/// each change of scheduling decisions.
const VERSION: u32 = 1;

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("d{VERSION}-{:08x}-{:08x}", self.image, self.scenario);
        match &self.points {
            Points::Usual => {}
            Points::Everywhere => text.push_str("-i"),
            Points::Before(instructions) => {
                let words: Vec<String> = instructions
                    .iter()
                    .map(|number| format!("{number:x}"))
                    .collect();
                text.push_str(&format!("-a{}", words.join(".")));
            }
        }
        for Deviation { point, option } in &self.deviations {
            text.push_str(&format!("-{point}.{option}"));
        }
        write!(f, "{text}-{:04x}", check(&text))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let rest = text.strip_prefix('d').ok_or(ScheduleError::Form)?;
        let (version, _) = rest.split_once('-').ok_or(ScheduleError::Form)?;
        let version = number(version)?;
        if version != VERSION {
            return Err(ScheduleError::Version { found: version });
        }
        let (body, last) = text.rsplit_once('-').ok_or(ScheduleError::Form)?;
        let found = hex(last, 4)? as u16;
        let mut words = body.split('-').skip(1);
        let mut fingerprint = || hex(words.next().ok_or(ScheduleError::Form)?, 8);
        let (image, scenario) = (fingerprint()?, fingerprint()?);
        let mut words = words.peekable();
        let points = match words.peek().and_then(|word| points(word)) {
            Some(points) => {
                words.next();
                points?
            }
            None => Points::Usual,
        };
        let deviations = words.map(deviation).collect::<Result<Vec<_>, _>>()?;
        if !deviations.is_sorted_by(|one, next| one.point < next.point) {
            return Err(ScheduleError::Form);
        }
        let expected = check(body);
        if found != expected {
            return Err(ScheduleError::Check { expected, found });
        }
        Ok(Self {
            image,
            scenario,
            points,
            deviations,
        })
    }
}

/// What a word says of points; `None` if it is about something else.
fn points(word: &str) -> Option<Result<Points, ScheduleError>> {
    if word == "i" {
        return Some(Ok(Points::Everywhere));
    }
    let list = word.strip_prefix('a')?;
    let instructions: Result<Vec<u32>, _> = match list {
        "" => Ok(Vec::new()),
        list => list.split('.').map(plain_hex).collect(),
    };
    Some(instructions.and_then(|instructions| {
        if instructions.is_sorted_by(|one, next| one < next) {
            Ok(Points::Before(instructions))
        } else {
            Err(ScheduleError::Form)
        }
    }))
}

/// Hexadecimal digits without leading zeros.
fn plain_hex(word: &str) -> Result<u32, ScheduleError> {
    if word.len() > 1 && word.starts_with('0') {
        return Err(ScheduleError::Form);
    }
    match word.len() {
        1..=8 => hex(word, word.len()),
        _ => Err(ScheduleError::Form),
    }
}

fn deviation(word: &str) -> Result<Deviation, ScheduleError> {
    let (point, option) = word.split_once('.').ok_or(ScheduleError::Form)?;
    let option = u16::try_from(number(option)?).map_err(|_| ScheduleError::Form)?;
    if option == 0 {
        return Err(ScheduleError::Form);
    }
    let point = number(point)?;
    Ok(Deviation { point, option })
}

/// Digits without a sign or leading zeros, so that a schedule has one spelling.
fn number(word: &str) -> Result<u32, ScheduleError> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || word.len() > 1 && word.starts_with('0') {
        return Err(ScheduleError::Form);
    }
    word.parse().map_err(|_| ScheduleError::Form)
}

fn hex(word: &str, digits: usize) -> Result<u32, ScheduleError> {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if word.len() != digits || !word.bytes().all(plain) {
        return Err(ScheduleError::Form);
    }
    u32::from_str_radix(word, 16).map_err(|_| ScheduleError::Form)
}

fn check(text: &str) -> u16 {
    fingerprint(&[text.as_bytes()]) as u16
}

/// A number for contents, the same on every computer and in every version. Parts are told apart.
/// It is no protection against somebody who looks for two contents with the same number.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> u32 {
    let mut state = 0x6469_7271_6C00_0001_u64;
    for part in parts {
        state = mix(state ^ part.len() as u64);
        for bytes in part.chunks(8) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            state = mix(state.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from_le_bytes(word));
        }
    }
    (state >> 32) as u32
}
