//! Trying one order of events after the other.
//!
//! A [`Plan`] is a scenario with everything that a run of it depends on. A strategy of
//! [`dirql_explore`] says what happens in each run; what is found is found again with fewer
//! switches before it is told.

mod hurry;
mod lives;
#[cfg(test)]
mod lives_tests;
mod memory;
mod narrator;
mod places;
mod plan;
mod search;
mod steering;
mod survey;
mod test;

pub(crate) use narrator::Narrator;
pub(crate) use places::Places;
pub use places::Worth;
pub use plan::{Plan, ReplayError};
pub use search::{Discovery, Limits, Search, Searches, explore_plan, meeting_points, pieces};
pub use survey::survey;
pub use test::{Explorer, Failed, explore};

/// What a strategy is made of; see [`dirql_explore::strategy`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// What happens by itself, once.
    Default,
    /// At random, one run for each seed.
    Random {
        /// The seeds.
        seeds: std::ops::Range<u64>,
    },
    /// Probabilistic concurrency testing, one run for each seed.
    Pct {
        /// The seeds.
        seeds: std::ops::Range<u64>,
        /// How many orders have to hold for what is looked for.
        depth: u32,
    },
    /// Everything, one run for each class of orders with the same effect.
    Exhaustive,
    /// Everything with at most so many switches.
    Bounded {
        /// How many.
        switches: u32,
    },
    /// Everything with one switch, and with two of which the second follows soon.
    Close {
        /// At how many points after the first.
        within: u32,
    },
}

impl Strategy {
    /// The strategy itself, or one part of several that are everything together; parts are
    /// counted from 0.
    ///
    /// [`Strategy::Default`] and [`Strategy::Exhaustive`] are all in part 0; [`pieces`] cuts the
    /// latter.
    #[must_use]
    pub fn part(&self, part: u64, of: u64) -> Box<dyn dirql_explore::Strategy> {
        use dirql_explore::strategy::{self, Bounded, Exhaustive, Pct, Random, Replay, Scouted};
        let of = of.max(1);
        let cut = |seeds: &std::ops::Range<u64>| {
            let at = |part: u64| {
                let length = u128::from(seeds.end.saturating_sub(seeds.start));
                seeds.start + (length * u128::from(part) / u128::from(of)) as u64
            };
            at(part)..at(part + 1)
        };
        match self {
            Self::Random { seeds } => Box::new(Random::new(cut(seeds))),
            Self::Pct { seeds, depth } => {
                let pct = Pct::new(cut(seeds), *depth);
                Box::new(if part == 0 { pct } else { pct.not_first() })
            }
            Self::Bounded { switches } => Box::new(Bounded::new(*switches).shard(part, of)),
            Self::Close { within } => Box::new(Bounded::new(2).within(*within).shard(part, of)),
            Self::Default if part == 0 => Box::new(strategy::Default::default()),
            Self::Exhaustive if part == 0 => Box::new(Scouted::new(Exhaustive::new())),
            Self::Default | Self::Exhaustive => Box::new(Replay::nothing()),
        }
    }
}
