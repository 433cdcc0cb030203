//! Runs of a plan under a strategy, and what comes out.

use dirql_explore::strategy::{self, Bounded, Piece, Random, Split};
use dirql_explore::{Coverage, Deviation, Points, Schedule, Strategy, shrink};
use serde::{Deserialize, Serialize};

use super::Plan;
use super::lives::{self, Found, Lives};
use crate::bench::BenchError;
use crate::report::{FindingReport, Report};

/// Runs that making one finding's schedule shorter may take.
const SHRINKING: usize = 500;

/// When to stop.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// After so many runs.
    pub runs: Option<u64>,
    /// Not at the first finding.
    pub keep_going: bool,
    /// What is found under other rules than these does not count.
    pub only: Option<Vec<String>>,
    /// After so many yield points in all runs together.
    pub steps: Option<u64>,
}

/// Something that was found, in the shortest run that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// What.
    pub finding: FindingReport,
    /// The run that shows it, as [`Schedule`] prints it.
    pub schedule: String,
    /// Where the run differs from what happens by itself.
    pub switches: usize,
    /// The run that showed it first, counted from 1.
    #[serde(skip)]
    pub run: u64,
    /// The seed of that run, if it had one.
    pub seed: Option<u64>,
}

/// What came out of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// What was found, each rule and place once.
    pub discoveries: Vec<Discovery>,
    /// How much was tried.
    pub coverage: Coverage,
    /// Runs that ended without a verdict.
    pub no_verdict: u64,
    /// Yield points of all runs together.
    pub steps: u64,
    /// A limit was reached. Runs that repeat others count for it, and are no part of the coverage's
    /// runs.
    pub is_at_limit: bool,
}

/// Seeds of the runs that show which instructions meet, beside the one that happens by itself.
const LEARNING: std::ops::Range<u64> = 0..24;

/// Rounds in which what was shown makes more to be shown.
const ROUNDS: usize = 4;

/// The points before instructions of the drivers that meet others in memory, as a few runs show.
///
/// # Errors
/// A run could not begin.
pub fn meeting_points(plan: &Plan) -> Result<Points, BenchError> {
    let mut points = Points::Before(Vec::new());
    for _ in 0..ROUNDS {
        let plan = plan.clone().at(points.clone());
        let mut strategies: Vec<Box<dyn Strategy>> = vec![
            Box::new(strategy::Default::default()),
            Box::new(Random::new(LEARNING)),
        ];
        for mut strategy in strategies.drain(..) {
            while strategy.begin() {
                let (report, back, _) = plan.run(strategy);
                strategy = back;
                report?;
            }
        }
        let met = plan.met();
        if met == points {
            break;
        }
        points = met;
    }
    Ok(points)
}

/// Cuts everything that a plan can do into at least so many pieces, if there are as many; see
/// [`dirql_explore::strategy::Piece`]. `each` is told of each run that this takes.
///
/// # Errors
/// A run could not begin.
pub fn pieces(plan: &Plan, least: usize, each: &mut dyn FnMut()) -> Result<Vec<Piece>, BenchError> {
    let split = Split::new(least);
    let result = split.result();
    let plan = plan.uncovered();
    let mut lives = plan.lives(Box::new(split));
    while let Some(end) = lives.next() {
        if end.is_error {
            lives.rest();
            plan.run_deviations(&lives.run().deviations)?;
        }
        each();
    }
    Ok(result.take())
}

/// Tells findings apart: the same rule at the same place is the same finding.
fn key(finding: &FindingReport) -> (String, Option<String>, Option<String>) {
    let FindingReport { rule, place, .. } = finding;
    (rule.clone(), place.code.clone(), place.ddi.clone())
}

fn defects(report: &Report) -> impl Iterator<Item = &FindingReport> {
    report.findings.iter().filter(|finding| finding.is_defect())
}

/// Runs a plan until the strategy has nothing left, something is found, or a limit is reached.
/// `each` is told after every run and says whether to go on.
///
/// # Errors
/// A run could not begin.
pub fn explore_plan(
    plan: &Plan,
    strategy: Box<dyn Strategy>,
    limits: &Limits,
    each: &mut dyn FnMut(&Search) -> bool,
) -> Result<Search, BenchError> {
    Searches::new(plan).search(strategy, limits, each)
}

/// Searches of one plan, one after the other: each goes on from where the first run of all began,
/// and what comes out is what it would be of one alone.
pub struct Searches<'a> {
    plan: &'a Plan,
    lives: Option<Lives>,
}

impl<'a> Searches<'a> {
    /// Nothing has run.
    #[must_use]
    pub const fn new(plan: &'a Plan) -> Self {
        Self { plan, lives: None }
    }

    /// What they are of.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        self.plan
    }

    /// As [`explore_plan`].
    ///
    /// # Errors
    /// A run could not begin.
    pub fn search(
        &mut self,
        strategy: Box<dyn Strategy>,
        limits: &Limits,
        each: &mut dyn FnMut(&Search) -> bool,
    ) -> Result<Search, BenchError> {
        let lives = match self.lives.take() {
            Some(mut lives) => {
                lives.change(strategy);
                lives
            }
            None => self.plan.lives(strategy),
        };
        search(self.plan, self.lives.insert(lives), limits, each)
    }
}

fn search(
    plan: &Plan,
    lives: &mut Lives,
    limits: &Limits,
    each: &mut dyn FnMut(&Search) -> bool,
) -> Result<Search, BenchError> {
    let mut search = Search::default();
    let mut runs = 0;
    loop {
        let at_limit = limits.runs.is_some_and(|most| runs >= most)
            || limits.steps.is_some_and(|most| search.steps >= most);
        if at_limit {
            search.is_at_limit = true;
            break;
        }
        let Some(end) = lives.next() else { break };
        runs += 1;
        if end.is_error {
            lives.rest();
            plan.run_deviations(&lives.run().deviations)?;
        }
        search.steps = search.steps.saturating_add(end.steps);
        search.no_verdict += u64::from(end.no_verdict);
        let findings = match end.found {
            Found::Findings(findings) => findings,
            _ => Vec::new(),
        };
        let matters = |finding: &&FindingReport| {
            let only = limits.only.as_ref();
            only.is_none_or(|only| only.contains(&finding.rule))
                && !finding.follows_from_one_of(&findings)
                && !search
                    .discoveries
                    .iter()
                    .any(|discovery| key(&discovery.finding) == key(finding))
        };
        let new: Vec<FindingReport> = findings.iter().filter(matters).cloned().collect();
        if !findings.is_empty() {
            // Symbols were read, which would be copied from now on; and what is new is tried from
            // nothing.
            lives.rest();
        }
        for finding in new {
            let mut discovery = discover(plan, finding, &lives.run().deviations, runs);
            discovery.seed = lives.ask(|strategy| strategy.seed());
            search.discoveries.push(discovery);
            if !limits.keep_going {
                break;
            }
        }
        search.coverage = lives.ask(|strategy| strategy_coverage(strategy, runs));
        let found = !search.discoveries.is_empty() && !limits.keep_going;
        if !each(&search) || found {
            break;
        }
    }
    search.coverage = lives.ask(|strategy| strategy.coverage());
    Ok(search)
}

/// Coverage while a search goes on; what is left takes a while to count.
fn strategy_coverage(strategy: &dyn Strategy, runs: u64) -> Coverage {
    if runs.is_multiple_of(64) {
        strategy.coverage()
    } else {
        Coverage {
            runs,
            ..Coverage::default()
        }
    }
}

/// The finding again, with as few deviations as possible.
fn discover(plan: &Plan, finding: FindingReport, deviations: &[Deviation], run: u64) -> Discovery {
    let mut finding = finding;
    let wanted = key(&finding);
    let plan = &plan.uncovered();
    let again = |candidate: &[Deviation]| {
        let (report, run) = plan.try_deviations(candidate);
        let report = report.ok()?;
        let found = defects(&report).find(|other| key(other) == wanted)?;
        (run.deviations == candidate).then(|| found.clone())
    };
    match again(deviations) {
        Some(found) => finding = found,
        None => lives::differ(&plan.schedule(deviations.to_vec())),
    }
    let deviations = shrink(deviations, SHRINKING.min(plan.shrinking), |candidate| {
        let found = again(candidate);
        let is_found = found.is_some();
        if let Some(found) = found {
            finding = found;
        }
        is_found
    });
    let (finding, deviations) = with_fewer(plan, &wanted, finding, deviations);
    let switches = deviations.len();
    Discovery {
        finding,
        schedule: plan.schedule(deviations).to_string(),
        switches,
        run,
        seed: None,
    }
}

/// What a search with few deviations has to find: nothing shorter is found by leaving out, as what
/// a deviation means depends on those before it.
const FEW: u32 = 2;

/// Runs of such a search.
const FEW_RUNS: usize = 300;

/// The finding with at most [`FEW`] deviations if it has more and a search finds it so; as it is
/// else.
fn with_fewer(
    plan: &Plan,
    wanted: &(String, Option<String>, Option<String>),
    finding: FindingReport,
    deviations: Vec<Deviation>,
) -> (FindingReport, Vec<Deviation>) {
    let most = FEW.min((deviations.len() as u32).saturating_sub(1));
    if most == 0 {
        return (finding, deviations);
    }
    let mut strategy: Box<dyn Strategy> = Box::new(Bounded::new(most));
    for _ in 0..FEW_RUNS.min(plan.shrinking) {
        if !strategy.begin() {
            break;
        }
        let (report, back, run) = plan.run(strategy);
        strategy = back;
        let Ok(report) = report else { break };
        if let Some(found) = defects(&report).find(|other| key(other) == *wanted) {
            return (found.clone(), run.deviations);
        }
    }
    (finding, deviations)
}

impl Discovery {
    /// Whether both are of the same rule and the same two places, whichever comes first.
    pub(super) fn is_same_pair(&self, other: &Self) -> bool {
        let places = |discovery: &Self| {
            let finding = &discovery.finding;
            let earlier = finding.earlier.as_ref();
            let mut places = [
                finding.place.code.clone(),
                earlier.and_then(|earlier| earlier.place.code.clone()),
            ];
            places.sort();
            (finding.rule.clone(), places)
        };
        places(self) == places(other)
    }

    /// The schedule.
    #[must_use]
    pub fn parsed(&self) -> Option<Schedule> {
        self.schedule.parse().ok()
    }
}
