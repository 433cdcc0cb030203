//! A look at what recorded runs share in memory, before a search.

use dirql_explore::strategy::{self, Random};
use dirql_explore::{Points, Strategy};

use super::search::{Limits, Search, explore_plan};
use super::{Discovery, Plan};
use crate::bench::BenchError;

/// The rules that a survey is about.
const RULES: &[dirql_rules::RuleId] = &[
    dirql_rules::ids::LOST_UPDATE,
    dirql_rules::ids::CHECK_THEN_ACT,
    dirql_rules::ids::TORN_READ,
];

/// Seeds of the runs beside the one that happens by itself.
const SEEDS: std::ops::Range<u64> = 0..8;

/// Yield points of all runs together after which a survey begins no other one.
const STEPS: u64 = 20_000;

/// What is wrong with memory that several contexts share, told from a few runs whether or not it
/// went wrong in them. `each` is told after every run and says whether to go on.
///
/// # Errors
/// A run could not begin.
pub fn survey(
    plan: &Plan,
    each: &mut dyn FnMut(&Search) -> bool,
) -> Result<Vec<Discovery>, BenchError> {
    let plan = plan.clone().at(Points::Before(Vec::new())).with_races();
    let strategies: [Box<dyn Strategy>; 2] = [
        Box::new(strategy::Default::default()),
        Box::new(Random::new(SEEDS)),
    ];
    let limits = Limits {
        only: Some(RULES.iter().map(ToString::to_string).collect()),
        keep_going: true,
        steps: Some(STEPS),
        ..Limits::default()
    };
    let mut known = Vec::new();
    for strategy in strategies {
        let search = explore_plan(&plan, strategy, &limits, &mut *each)?;
        for mut discovery in search.discoveries {
            // The seed is not one of the search's.
            discovery.seed = None;
            if !known
                .iter()
                .any(|other: &Discovery| other.is_same_pair(&discovery))
            {
                known.push(discovery);
            }
        }
    }
    Ok(known)
}
