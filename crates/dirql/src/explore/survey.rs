//! A look at what recorded runs share in memory, before a search.

use dirql_explore::strategy::{self, Random};
use dirql_explore::{Points, Strategy};

use super::Plan;
use super::search::{Limits, Search, explore_plan};
use crate::bench::BenchError;

/// The rules that a survey is about.
const RULES: &[dirql_rules::RuleId] = &[
    dirql_rules::ids::LOST_UPDATE,
    dirql_rules::ids::CHECK_THEN_ACT,
    dirql_rules::ids::TORN_READ,
    dirql_rules::ids::LATE_WRITE,
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
pub fn survey(plan: &Plan, each: &mut dyn FnMut(&Search) -> bool) -> Result<Search, BenchError> {
    if plan.scenario().machine.no_rules {
        return Ok(Search::default());
    }
    let between_calls = plan.clone().at(Points::Before(Vec::new())).with_races();
    let mut all = Search::default();
    look(&between_calls, strategy::Default::default(), &mut all, each)?;
    look(&between_calls, Random::new(SEEDS), &mut all, each)?;
    // Requests that one lock, or one count of users, happens to have put in an order overlap
    // only if they are interrupted between calls.
    let met = between_calls.met();
    if met != Points::Before(Vec::new()) {
        let between_accesses = between_calls.at(met);
        look(&between_accesses, Random::new(SEEDS), &mut all, each)?;
    }
    Ok(all)
}

/// Adds what the runs of one strategy show.
fn look(
    plan: &Plan,
    strategy: impl Strategy + 'static,
    all: &mut Search,
    each: &mut dyn FnMut(&Search) -> bool,
) -> Result<(), BenchError> {
    let limits = Limits {
        only: Some(RULES.iter().map(ToString::to_string).collect()),
        keep_going: true,
        steps: Some(STEPS.saturating_sub(all.steps)),
        ..Limits::default()
    };
    let search = explore_plan(plan, Box::new(strategy), &limits, each)?;
    all.coverage.runs += search.coverage.runs;
    all.no_verdict += search.no_verdict;
    all.steps += search.steps;
    for mut discovery in search.discoveries {
        // The seed is not one of the search's.
        discovery.seed = None;
        let mut known = all.discoveries.iter();
        if !known.any(|other| other.is_same_pair(&discovery)) {
            all.discoveries.push(discovery);
        }
    }
    Ok(())
}
