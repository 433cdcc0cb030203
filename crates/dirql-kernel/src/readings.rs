//! Where the documentation can be read in two ways: the other one.
//!
//! Each has a note in the book with what the sources say. What dirql does by default has no name
//! here.

use core::fmt;
use core::str::FromStr;

/// A reading of the documentation that is not the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// A SynchronizeIrql in versions 2 and 3 that is below the interrupts' highest level, and
    /// not 0, is invalid (note N0007).
    LowSynchronizeIrqlIsInvalid,
    /// A message that arrives while its ISR is inactive waits until it is active (note N0011).
    InactiveMessagesWait,
    /// A DPC without a target goes to the first processor that is free (note N0015).
    DpcToFirstFree,
    /// Threaded DPCs are run as ordinary ones, as if `ThreadDpcEnable` were 0 (note N0124).
    NoThreadedDpcs,
}

impl Reading {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::LowSynchronizeIrqlIsInvalid,
        Self::InactiveMessagesWait,
        Self::DpcToFirstFree,
        Self::NoThreadedDpcs,
    ];

    /// The name used in scenario files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowSynchronizeIrqlIsInvalid => "low-synchronize-irql-is-invalid",
            Self::InactiveMessagesWait => "inactive-messages-wait",
            Self::DpcToFirstFree => "dpc-to-first-free",
            Self::NoThreadedDpcs => "no-threaded-dpcs",
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reading of the documentation")]
pub struct UnknownReading;

impl FromStr for Reading {
    type Err = UnknownReading;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|reading| reading.name() == text)
            .ok_or(UnknownReading)
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings(u8);

impl Readings {
    /// The set with one more.
    #[must_use]
    pub const fn with(self, reading: Reading) -> Self {
        Self(self.0 | 1 << reading as u8)
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, reading: Reading) -> bool {
        self.0 & 1 << reading as u8 != 0
    }
}

impl FromIterator<Reading> for Readings {
    fn from_iter<I: IntoIterator<Item = Reading>>(readings: I) -> Self {
        readings.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        for one in Reading::ALL {
            let set = Readings::default().with(one);
            for other in Reading::ALL {
                assert_eq!(set.has(other), one == other, "{one} {other}");
            }
        }
        assert!(
            Reading::ALL
                .into_iter()
                .all(|one| { Reading::ALL.into_iter().collect::<Readings>().has(one) })
        );
    }

    #[test]
    fn every_reading_has_a_name_of_its_own() {
        for reading in Reading::ALL {
            assert_eq!(reading.name().parse(), Ok(reading));
        }
        assert_eq!("".parse::<Reading>(), Err(UnknownReading));
    }
}
