//! `dirql explore` and `dirql merge`

mod journal;
mod page;
mod part;
mod pool;
pub(super) mod supervisor;

use std::io::Write;
use std::path::Path;

use dirql::report::{SEARCH_SCHEMA, SearchResult, Verdict};
use dirql::{Limits, Plan, Points, Strategy};

use super::args::{Budget, Explore, Granularity, Merge, Preemptions, ReportFormat, StrategyName};
use super::output::Output;
use super::{Exit, Failure, coverage, pictures, run, subject};

use journal::Journal;
pub(crate) use page::page;
pub(crate) use part::Part;

pub(crate) fn explore(args: &Explore, out: &mut Output) -> Result<Exit, Failure> {
    let (scenario, used) = subject::scenario(&args.subject, out.is_styled())?;
    let windows = subject::windows(&args.subject, &scenario);
    let plan = Plan::new(
        scenario,
        args.subject.processors,
        args.subject.windows,
        args.subject.max_steps,
    )
    .map_err(|error| subject::failure(&error, windows))?
    .judged(subject::levels(&args.subject));
    let survey = coverage::wanted(&args.coverage, plan.drivers())?;
    let plan = match &survey {
        Some(survey) => plan.covered(survey.footprints()),
        None => plan,
    };
    let plan = match args.granularity {
        Granularity::Ddi => plan,
        Granularity::Access => {
            let points = supervisor::meet(&plan, windows)?;
            plan.at(points)
        }
        Granularity::Instruction => plan.at(Points::Everywhere),
    };
    let strategy = strategy(args, || supervisor::usual_switches(&plan, windows))?;
    let limits = Limits {
        runs: match args.budget {
            Some(Budget::Runs(runs)) => Some(runs),
            _ => None,
        },
        keep_going: args.keep_going,
        only: None,
        steps: None,
    };
    let time = match args.budget {
        Some(Budget::Time(time)) => Some(time),
        _ => None,
    };
    let jobs = match strategy {
        Strategy::Default => 1,
        _ => u64::from(args.jobs),
    };
    let clock = super::clock::Clock::start(time);
    let journal = open_journal(args, &plan, &strategy, &limits)?;
    let shard = args.shard.unwrap_or((0, 1));
    let begin_survey = || supervisor::Survey::begin(&plan, windows);
    // What another processor can do meanwhile; with one job it comes behind the search.
    let beside = (shard.0 == 0 && jobs > 1).then(begin_survey).transpose()?;
    let job = supervisor::Job {
        plan: &plan,
        strategy: &strategy,
        limits: &limits,
        clock: &clock,
        jobs,
        shard,
        windows,
    };
    let (mut searched, plan_at_points) = rounds(&job, journal, out)?;
    if shard.0 == 0 {
        let survey = beside.map_or_else(begin_survey, Ok)?;
        searched.discoveries.extend(survey.end()?);
    }
    let plan = plan_at_points;
    let (image, scenario) = plan.fingerprints();
    let mut result = SearchResult {
        schema: SEARCH_SCHEMA.into(),
        verdict: Verdict::NoVerdict,
        driver: args.subject.driver.display().to_string(),
        subject: format!("{image:08x}-{scenario:08x}"),
        strategy: words(&strategy),
        granularity: granularity(args.granularity).into(),
        processors: plan.scenario().machine.processors.unwrap_or(1),
        shards: (shard.1, vec![shard.0 + 1]),
        tried: searched.tried,
        discoveries: Vec::new(),
    };
    result.add_discoveries(searched.discoveries);
    for discovery in &mut result.discoveries {
        let name = ["replay", &discovery.schedule];
        discovery.replay = subject::command(&name, &args.subject, used.as_deref());
    }
    result.judge();
    write(&result, args.format, &args.output, out)?;
    if let Some(survey) = survey {
        coverage::write(&survey.report(), &args.coverage, plan.scenario(), out)?;
    }
    if let Some(file) = &args.report {
        pictures::write_page(&page::with_timelines(&result, &plan)?, file)?;
        out.note(&format!("wrote {}", file.display()));
    }
    Ok(exit(&result))
}

/// Searches, again with more points for as long as accesses to memory are seen to meet that were
/// none. Also the plan with all of them.
fn rounds(
    first: &supervisor::Job<'_>,
    mut journal: Option<Journal>,
    out: &mut Output,
) -> Result<(supervisor::Searched, Plan), Failure> {
    let mut plan = first.plan.clone();
    let mut before = 0;
    let mut round = 0;
    loop {
        let job = supervisor::Job {
            plan: &plan,
            ..*first
        };
        let mut searched = supervisor::search(&job, journal.as_mut(), round, out)?;
        searched.tried.runs += before;
        match more_points(plan.points(), &searched.met) {
            // What was not seen to meet before has not been tried in both orders.
            Some(points) if searched.discoveries.is_empty() && !searched.tried.limited => {
                before = searched.tried.runs;
                round += 1;
                plan = plan.at(points);
            }
            more => {
                searched.tried.complete &= more.is_none();
                return Ok((searched, plan));
            }
        }
    }
}

/// The file that the search goes on from, if one was given.
fn open_journal(
    args: &Explore,
    plan: &Plan,
    strategy: &Strategy,
    limits: &Limits,
) -> Result<Option<Journal>, Failure> {
    let Some(path) = &args.resume else {
        return Ok(None);
    };
    let (image, scenario) = plan.fingerprints();
    let subject = format!("{image:08x}-{scenario:08x}");
    let granularity = granularity(args.granularity);
    let (part, of) = args.shard.unwrap_or((0, 1));
    let mut search = journal::Search::new(subject, words(strategy), granularity.into());
    search.shard = (part + 1, of);
    search.runs = limits.runs;
    search.keep_going = limits.keep_going;
    Journal::open(path, &search).map(Some)
}

const fn granularity(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Ddi => "ddi",
        Granularity::Access => "access",
        Granularity::Instruction => "instruction",
    }
}

/// The points with those that a search has added, if it has.
fn more_points(points: &Points, met: &[u32]) -> Option<Points> {
    let Points::Before(known) = points else {
        return None;
    };
    let mut all = known.clone();
    all.extend(met.iter().filter(|met| !known.contains(met)));
    all.sort_unstable();
    (all.len() > known.len()).then_some(Points::Before(all))
}

/// The strategy that was asked for; `usual` counts switches if it was not said how many.
fn strategy(
    args: &Explore,
    usual: impl FnOnce() -> Result<u32, Failure>,
) -> Result<Strategy, Failure> {
    let seeds = match args.seed {
        Some(u64::MAX) => return Err(Failure::usage("the seed is too large")),
        Some(seed) => seed..seed + 1,
        None => args.seeds.clone(),
    };
    Ok(match (args.strategy, args.preemptions) {
        (StrategyName::Default, _) => Strategy::Default,
        (StrategyName::Random, _) => Strategy::Random { seeds },
        (StrategyName::Pct, _) => Strategy::Pct {
            seeds,
            depth: args.depth,
        },
        (_, Some(Preemptions::All)) | (StrategyName::Exhaustive, None) => Strategy::Exhaustive,
        (_, Some(Preemptions::Most(switches))) => Strategy::Bounded { switches },
        (StrategyName::Bounded, None) => Strategy::Bounded { switches: usual()? },
    })
}

/// A strategy in words.
fn words(strategy: &Strategy) -> String {
    match strategy {
        Strategy::Random { seeds } => format!("random, seeds {}..{}", seeds.start, seeds.end),
        Strategy::Pct { seeds, depth } => {
            format!("pct, depth {depth}, seeds {}..{}", seeds.start, seeds.end)
        }
        Strategy::Exhaustive => "exhaustive".into(),
        Strategy::Bounded { switches: 1 } => "exhaustive, at most 1 switch".into(),
        Strategy::Bounded { switches } => format!("exhaustive, at most {switches} switches"),
        _ => "default".into(),
    }
}

fn exit(result: &SearchResult) -> Exit {
    match result.verdict {
        Verdict::Clean => Exit::Clean,
        Verdict::Findings => Exit::Findings,
        Verdict::NoVerdict => Exit::NoVerdict,
    }
}

fn write(
    result: &SearchResult,
    format: ReportFormat,
    files: &[std::path::PathBuf],
    out: &mut Output,
) -> Result<(), Failure> {
    let detail = out.detail();
    let write = |format, out: &mut dyn Write| match format {
        ReportFormat::Human => result.write(out, detail),
        ReportFormat::Json => run::write_json(out, result),
        other => run::write_results(out, other, &result.results()),
    };
    write(format, out.results())?;
    run::write_files(files, write)
}

pub(crate) fn merge(args: &Merge, out: &mut Output) -> Result<Exit, Failure> {
    let mut merged: Option<SearchResult> = None;
    for file in &args.files {
        let part = read(file)?;
        let name = file.display();
        merged = Some(match merged {
            None => part,
            Some(before) => before
                .join(part)
                .map_err(|error| Failure::usage(format!("{name}: {error}")))?,
        });
    }
    let Some(mut result) = merged else {
        return Err(Failure::usage("no file"));
    };
    result.judge();
    write(&result, args.format, &[], out)?;
    Ok(exit(&result))
}

pub(crate) fn read(file: &Path) -> Result<SearchResult, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {error}", file.display()))
            .help("give files that `dirql explore --output FILE.json` has written")
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    SearchResult::from_json(&text).map_err(|error| wrong(&error))
}
