//! A line that several devices share.
//!
//! PCI interrupt lines are open drain: each device may pull the line, none can push it back
//! while another pulls. The line is asserted while at least one source asserts it.
//! Source: PCI Local Bus Specification 3.0, "Interrupt Pins".
//!
//! Invariant: a source that asserts twice counts once.

use alloc::vec::Vec;

use crate::wire::{Level, Polarity};

/// Something that drives a shared line. The machine gives the numbers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineSource(pub u32);

/// A wired-OR line: the sources that assert it now, and its electrical level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WiredOr {
    polarity: Polarity,
    /// Ascending, each once. A vector, which keeps its memory.
    asserting: Vec<LineSource>,
}

impl WiredOr {
    /// A line at rest.
    #[must_use]
    pub const fn new(polarity: Polarity) -> Self {
        Self {
            polarity,
            asserting: Vec::new(),
        }
    }

    /// Lets `source` assert or release the line.
    ///
    /// Returns the new electrical level if the line changed.
    #[must_use = "the new level is to be driven into a controller's pin"]
    pub fn drive(&mut self, source: LineSource, asserted: bool) -> Option<Level> {
        let before = self.is_asserted();
        match (self.asserting.binary_search(&source), asserted) {
            // Mostly the line has one source, which comes and goes at the end.
            (Err(place), true) if place == self.asserting.len() => self.asserting.push(source),
            (Err(place), true) => self.asserting.insert(place, source),
            (Ok(place), false) if place + 1 == self.asserting.len() => {
                self.asserting.truncate(place);
            }
            (Ok(place), false) => {
                self.asserting.remove(place);
            }
            (Ok(_), true) | (Err(_), false) => {}
        }
        (before != self.is_asserted()).then(|| self.level())
    }

    /// Whether any source asserts the line.
    #[must_use]
    pub fn is_asserted(&self) -> bool {
        !self.asserting.is_empty()
    }

    /// The electrical level now.
    #[must_use]
    pub fn level(&self) -> Level {
        if self.is_asserted() {
            self.polarity.asserted()
        } else {
            self.polarity.idle()
        }
    }

    /// The level at which this line is asserted.
    #[must_use]
    pub const fn polarity(&self) -> Polarity {
        self.polarity
    }

    /// The sources that assert the line, in ascending order.
    pub fn sources(&self) -> impl Iterator<Item = LineSource> + '_ {
        self.asserting.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_changes_with_the_first_and_the_last_source_only() {
        let mut line = WiredOr::new(Polarity::ActiveHigh);
        assert_eq!(line.drive(LineSource(1), true), Some(Level::High));
        assert_eq!(line.drive(LineSource(2), true), None);
        assert_eq!(line.drive(LineSource(1), false), None);
        assert!(line.sources().eq([LineSource(2)]));
        assert_eq!(line.drive(LineSource(2), false), Some(Level::Low));
    }

    #[test]
    fn a_source_that_asserts_twice_counts_once() {
        let mut line = WiredOr::new(Polarity::ActiveHigh);
        assert_eq!(line.drive(LineSource(1), true), Some(Level::High));
        assert_eq!(line.drive(LineSource(1), true), None);
        assert_eq!(line.drive(LineSource(1), false), Some(Level::Low));
        assert_eq!(line.drive(LineSource(1), false), None);
    }

    #[test]
    fn an_active_low_line_rests_high() {
        let mut line = WiredOr::new(Polarity::ActiveLow);
        assert_eq!(line.level(), Level::High);
        assert_eq!(line.drive(LineSource(0), true), Some(Level::Low));
    }
}
