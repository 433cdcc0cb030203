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
/// is that of a run in which nothing is chosen, which comes first and is counted. An actor that has acted 1,000 times in a row while others
/// could have falls below them, so that a driver that polls comes to an end; what follows then has
/// no guarantee.
#[derive(Clone, Debug)]
pub struct Pct {
    next: u64,
    end: u64,
    depth: u32,
    /// How many points a run has; `None` before the first.
    points: Option<u64>,
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
            points: None,
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
        if self.next >= self.end {
            return false;
        }
        let Some(points) = self.points else {
            return true;
        };
        self.random = Random::new(self.next);
        self.next += 1;
        self.priorities.clear();
        self.point = 0;
        self.lowest = HIGH - 1;
        self.latest = None;
        self.in_a_row = 0;
        self.changes = (1..self.depth)
            .map(|_| self.random.below(points.max(1)))
            .collect();
        true
    }

    fn choose(&mut self, options: &[Alternative]) -> usize {
        if options.len() == 1 || self.points.is_none() {
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
        self.runs += 1;
        self.points.get_or_insert(run.options.len() as u64);
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
