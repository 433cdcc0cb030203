//! A search of everything, and ahead of it one of what needs few switches.
//!
//! A search of everything goes into depth: what it tries last differs from the first run early. Most
//! mistakes need few switches, wherever those are. So now and then a run is one of [`Bounded`]'s,
//! which has them in order of their number. The search of everything does not know of those runs and
//! does them again: they cost their share, and it misses nothing.

use crate::strategy::{Bounded, Kept};
use crate::{Alternative, Coverage, Run, Strategy, Touch};

/// Of so many runs of the search of everything there is at most one of the scout's: the two together
/// stay below 1.1 runs for each class.
const SHARE: u64 = 16;

/// Runs of the scout that follow each other: they have more in common with each other than with what
/// comes between.
const BATCH: u64 = 8;

/// Switches of the scout's runs, at most. It remembers all its runs but those with the most.
const SWITCHES: u32 = 2;

/// A search of everything with a scout.
#[derive(Clone, Debug)]
pub struct Scouted<S> {
    everything: S,
    scout: Bounded,
    is_scouting: bool,
    /// The run before the one that has just begun was one of the other search's.
    has_turned: bool,
    /// Runs of each.
    tried: u64,
    scouted: u64,
    /// The scout has nothing left.
    is_known: bool,
}

impl<S: Strategy> Scouted<S> {
    /// Nothing has been tried; `everything` tries all orders.
    #[must_use]
    pub const fn new(everything: S) -> Self {
        Self {
            everything,
            scout: Bounded::new(SWITCHES),
            is_scouting: false,
            has_turned: false,
            tried: 0,
            scouted: 0,
            is_known: false,
        }
    }

    /// The scout has only one part of `of` to look at, counted from 0.
    #[must_use]
    pub fn shard(mut self, part: u64, of: u64) -> Self {
        self.scout = self.scout.shard(part, of);
        self
    }

    /// Whether the next run is to be one of the scout's.
    const fn is_scouts_turn(&self) -> bool {
        if self.is_known {
            return false;
        }
        let more = if self.is_scouting && !self.scouted.is_multiple_of(BATCH) {
            1
        } else {
            BATCH
        };
        (self.scouted + more) * SHARE <= self.tried
    }
}

impl<S: Strategy> Strategy for Scouted<S> {
    fn begin(&mut self) -> bool {
        let was_scouting = self.is_scouting;
        self.is_scouting = self.is_scouts_turn();
        if self.is_scouting && !self.scout.begin() {
            self.is_known = true;
            self.is_scouting = false;
        }
        self.has_turned = self.is_scouting != was_scouting;
        if self.is_scouting {
            self.scouted += 1;
            return true;
        }
        self.tried += 1;
        self.everything.begin()
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        if self.is_scouting {
            self.scout.choose(options)
        } else {
            self.everything.choose(options)
        }
    }

    fn touched(&mut self, touch: Touch) {
        if !self.is_scouting {
            self.everything.touched(touch);
        }
    }

    fn wants(&mut self, actor: u64, lock: u64) {
        if !self.is_scouting {
            self.everything.wants(actor, lock);
        }
    }

    fn finish(&mut self, run: &Run) {
        if self.is_scouting {
            self.scout.finish(run);
        } else {
            self.everything.finish(run);
        }
    }

    /// The search of everything knows what it has in common with its own latest run.
    fn kept(&self) -> Kept {
        match (self.is_scouting, self.has_turned) {
            (true, _) => self.scout.kept(),
            (false, true) => Kept::Choices(0),
            (false, false) => self.everything.kept(),
        }
    }

    fn turns_at(&self) -> Option<usize> {
        if self.is_scouting {
            self.scout.turns_at()
        } else {
            self.everything.turns_at()
        }
    }

    fn skip(&mut self, choices: usize) {
        if !self.is_scouting {
            self.everything.skip(choices);
        }
    }

    fn coverage(&self) -> Coverage {
        let mut coverage = self.everything.coverage();
        coverage.redundant += self.scouted;
        coverage
    }
}
