//! What one worker did.

use dirql::report::SearchEffort;
use dirql::{Coverage, Discovery};
use serde::{Deserialize, Serialize};

use super::super::Failure;

/// What one worker did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) discoveries: Vec<Discovery>,
    pub(crate) runs: u64,
    pub(crate) redundant: u64,
    pub(crate) left: u64,
    pub(crate) complete: bool,
    /// It stopped at a limit.
    pub(crate) limited: bool,
    /// That was a limit of real time, so that another time it may go further.
    pub(crate) stopped: bool,
    pub(crate) no_verdict: u64,
    /// Instructions that have met others in memory; where they are points.
    pub(crate) met: Vec<u32>,
    /// Why there was no search.
    pub(crate) failure: Option<Failure>,
}

impl Part {
    pub(crate) fn cover(&mut self, coverage: Coverage) {
        self.runs = coverage.runs;
        self.redundant = coverage.redundant;
        self.left = coverage.left;
        self.complete = coverage.complete;
    }

    /// How much it has tried.
    pub(crate) const fn effort(&self) -> SearchEffort {
        SearchEffort {
            runs: self.runs,
            redundant: self.redundant,
            no_verdict: self.no_verdict,
            left: self.left,
            complete: self.complete,
            limited: self.limited,
        }
    }
}
