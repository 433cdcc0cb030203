//! Probabilistic concurrency testing.

use std::collections::BTreeMap;

use crate::strategy::Kept;
use crate::{Alternative, Coverage, Random, Run, Strategy};

/// Who acts has a random priority; at `depth - 1` random points the one that would act falls
/// below all others.
///
/// Source: S. Burckhardt, P. Kothari, M. Musuvathi and S. Nagarakatte, "A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs", ASPLOS 2010, figure 4. With n actors and k points a
/// bug that needs `depth` orders to hold is found with a probability of at least 1 / (n k^(d-1)).
///
/// Deviations: actors are devices, delays and messages as well as processors. The number of points
/// is the highest of some runs that come first, one in which nothing is chosen and some with random
/// priorities that do not change: the same ones for all seeds, so that what a seed's run is does not
/// depend on those before it. An actor that has acted 1,000 times in a row while others could have falls below them, so that a
/// driver that polls comes to an end; what follows then has no guarantee.
#[derive(Clone, Debug)]
pub struct Pct {
    next: u64,
    end: u64,
    depth: u32,
    /// How many points a run has at most, as far as is known.
    points: u64,
    /// Runs that have shown that.
    learned: u64,
    /// Whether those are counted.
    is_first: bool,
    /// The run is one of those.
    learns: bool,
    random: Random,
    priorities: BTreeMap<Alternative, u64>,
    /// Points at which priorities change.
    changes: Vec<u64>,
    point: u64,
    /// The next one that falls gets this.
    lowest: u64,
    latest: Option<Alternative>,
    in_a_row: u32,
    runs: u64,
}

/// How often one actor acts while others could.
const PATIENCE: u32 = 1000;

/// Runs that show how many points a run has: the first without a choice.
const LEARNING: u64 = 6;

/// Priorities at the start are above this; those of who fell are below.
const HIGH: u64 = 1 << 32;

impl Pct {
    /// One run for each seed.
    #[must_use]
    pub fn new(seeds: std::ops::Range<u64>, depth: u32) -> Self {
        Self {
            next: seeds.start,
            end: seeds.end,
            depth: depth.max(1),
            points: 0,
            learned: 0,
            is_first: true,
            learns: false,
            random: Random::new(0),
            priorities: BTreeMap::new(),
            changes: Vec::new(),
            point: 0,
            lowest: 0,
            latest: None,
            in_a_row: 0,
            runs: 0,
        }
    }

    /// Does not count the runs that come before those of the seeds: another part does.
    #[must_use]
    pub const fn not_first(mut self) -> Self {
        self.is_first = false;
        self
    }

    fn priority(&mut self, option: Alternative) -> u64 {
        let random = &mut self.random;
        *self
            .priorities
            .entry(option)
            .or_insert_with(|| HIGH + (random.next() >> 32))
    }

    fn highest(&mut self, options: &[Alternative]) -> usize {
        let mut best = (0, 0);
        for (index, option) in options.iter().enumerate() {
            let priority = self.priority(*option);
            if index == 0 || priority > best.1 {
                best = (index, priority);
            }
        }
        best.0
    }

    fn lower(&mut self, option: Alternative) {
        self.priorities.insert(option, self.lowest);
        self.lowest = self.lowest.wrapping_sub(1);
    }
}

impl Strategy for Pct {
    fn begin(&mut self) -> bool {
        let is_over = self.next >= self.end;
        self.learns = self.learned < LEARNING && (self.is_first || !is_over);
        if is_over && !self.learns {
            return false;
        }
        if self.learns {
            self.random = Random::new(u64::MAX - self.learned);
        } else {
            self.random = Random::new(self.next);
            self.next += 1;
        }
        self.priorities.clear();
        self.point = 0;
        self.lowest = HIGH - 1;
        self.latest = None;
        self.in_a_row = 0;
        let changes = if self.learns { 0 } else { self.depth - 1 };
        self.changes = (0..changes)
            .map(|_| self.random.below(self.points.max(1)))
            .collect();
        true
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        if options.len() == 1 || self.learns && self.learned == 0 {
            return 0;
        }
        let point = self.point;
        self.point += 1;
        let mut best = self.highest(options);
        if self.changes.contains(&point) {
            self.lower(options[best]);
            best = self.highest(options);
        }
        let chosen = options[best];
        if self.latest == Some(chosen) {
            self.in_a_row += 1;
            if self.in_a_row > PATIENCE {
                self.in_a_row = 0;
                self.lower(chosen);
                best = self.highest(options);
            }
        } else {
            self.in_a_row = 0;
        }
        self.latest = Some(options[best]);
        best
    }

    fn finish(&mut self, run: &Run) {
        if self.learns {
            self.learned += 1;
            self.points = self.points.max(run.options.len() as u64);
            self.runs += u64::from(self.is_first);
        } else {
            self.runs += 1;
        }
    }

    fn seed(&self) -> Option<u64> {
        self.next.checked_sub(1).filter(|_| !self.learns)
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
