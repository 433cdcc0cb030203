//! The order without choices, and orders at random.

use crate::strategy::Kept;
use crate::{Alternative, Coverage, Run, Strategy};

/// What happens by itself, once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Default {
    begun: bool,
}

impl Strategy for Default {
    fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    fn choose(&mut self, _options: &[Alternative]) -> usize {
        0
    }

    fn finish(&mut self, _run: &Run) {}

    fn kept(&self) -> Kept {
        Kept::Points
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            runs: u64::from(self.begun),
            complete: self.begun,
            ..Coverage::default()
        }
    }
}

/// Each option is as likely as any other, except that what happens by itself goes on for a while:
/// a run in which everybody takes turns at every point finds little that needs a long stretch of
/// one actor.
#[derive(Clone, Debug)]
pub struct Random {
    next: u64,
    end: u64,
    random: crate::Random,
    /// One in how many points chooses; differs from run to run.
    rate: u64,
    runs: u64,
}

impl Random {
    /// One run for each seed.
    #[must_use]
    pub fn new(seeds: std::ops::Range<u64>) -> Self {
        Self {
            next: seeds.start,
            end: seeds.end,
            random: crate::Random::new(0),
            rate: 1,
            runs: 0,
        }
    }
}

impl Strategy for Random {
    fn begin(&mut self) -> bool {
        if self.next >= self.end {
            return false;
        }
        self.random = crate::Random::new(self.next);
        self.rate = 1 << self.random.below(6);
        self.next += 1;
        true
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        if options.len() == 1 || self.random.below(self.rate) != 0 {
            return 0;
        }
        self.random.below(options.len() as u64) as usize
    }

    fn finish(&mut self, _run: &Run) {
        self.runs += 1;
    }

    fn seed(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    fn kept(&self) -> Kept {
        Kept::Points
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            runs: self.runs,
            left: self.end - self.next,
            ..Coverage::default()
        }
    }
}
