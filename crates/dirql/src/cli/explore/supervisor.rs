//! Workers, and who starts them and survives them.

use std::collections::{BTreeMap, BTreeSet};

use dirql::report::{FindingReport, SearchEffort};
use dirql::{
    Deviation, Discovery, Limits, Piece, Pieces, Plan, Points, Schedule, Scouted, Searches,
    Strategy, WindowsVersion, meeting_points,
};

use super::super::clock::Clock;
use super::super::isolate::{
    self, Channel, Ending, Limit, Message, SharedLog, Tried, Worker, WorkerEnd,
};
use super::super::output::Output;
use super::super::{Exit, Failure, played, run, subject};
use super::journal::{Journal, PARTS};
use super::part::Part;
use super::pool::{self, Turn};

/// Seconds of CPU time that one run may take. Runs take milliseconds.
pub(super) const RUN_SECONDS: u32 = 60;

/// Runs after which a worker says how far it is.
const TELL: u64 = 64;

/// What is to be done.
pub(super) struct Job<'a> {
    pub(super) plan: &'a Plan,
    pub(super) strategy: &'a Strategy,
    pub(super) limits: &'a Limits,
    pub(super) jobs: u64,
    /// Which part of how many, counted from 0.
    pub(super) shard: (u64, u64),
    pub(super) windows: WindowsVersion,
    /// Since when the time counts.
    pub(super) clock: &'a Clock,
}

/// Where the drivers' accesses to memory meet, as a few runs show in a process of their own. A
/// driver that destroys the process is left to the search.
pub(super) fn meet(plan: &Plan, windows: WindowsVersion) -> Result<Points, Failure> {
    let worker = Worker::start(|channel| {
        isolate::limit_time(RUN_SECONDS);
        let message = match meeting_points(plan) {
            Ok(Points::Before(met)) => Message::Met(met),
            Ok(_) => Message::Met(Vec::new()),
            Err(error) => Message::Failed(subject::failure(&error, windows)),
        };
        channel.send(&message);
    });
    let mut points = Vec::new();
    let mut failed = None;
    let end = worker
        .map_err(no_worker)?
        .listen_within(RUN_SECONDS, |message| match message {
            Message::Met(met) => points = met,
            Message::Failed(failure) => failed = Some(failure),
            _ => {}
        });
    end.map_err(no_worker)?;
    failed.map_or(Ok(Points::Before(points)), Err)
}

/// Switches of the orders that are tried when nobody says how many: nearly every bug of this kind
/// that was ever described needs no more than the first; where that gives few orders, more are cheap.
const SWITCHES: [u32; 2] = [2, 3];
const FEW_ORDERS: u64 = 250;

/// How many switches the orders of this plan have at most when nobody says it. A process of its own
/// counts, which says nothing of what it finds; a driver that destroys it is left to the search.
pub(super) fn usual_switches(plan: &Plan, windows: WindowsVersion) -> Result<u32, Failure> {
    let [usual, of_few] = SWITCHES;
    let worker = Worker::start(|channel| {
        isolate::limit_time(RUN_SECONDS);
        let limits = Limits {
            runs: Some(FEW_ORDERS),
            only: Some(Vec::new()),
            ..Limits::default()
        };
        let strategy = Strategy::Bounded { switches: usual }.part(0, 1);
        let counted = dirql::explore_plan(plan, strategy, &limits, &mut |search| {
            search.coverage.runs + search.coverage.left <= FEW_ORDERS
        });
        let message = match counted {
            Ok(search) => Message::Few(search.coverage.complete),
            Err(error) => Message::Failed(subject::failure(&error, windows)),
        };
        channel.send(&message);
    });
    let (mut is_few, mut failed) = (false, None);
    let end = worker
        .map_err(no_worker)?
        .listen_within(RUN_SECONDS, |message| match message {
            Message::Few(few) => is_few = few,
            Message::Failed(failure) => failed = Some(failure),
            _ => {}
        });
    end.map_err(no_worker)?;
    failed.map_or(Ok(if is_few { of_few } else { usual }), Err)
}

/// A survey of memory that several contexts share, in a process of its own.
pub(super) struct Survey(Worker);

impl Survey {
    /// Begins to look for what is wrong with that memory, as a few recorded runs show.
    pub(super) fn begin(plan: &Plan, windows: WindowsVersion) -> Result<Self, Failure> {
        let worker = Worker::start(|channel| {
            isolate::limit_time(RUN_SECONDS);
            let mut part = Part::default();
            match dirql::survey(plan, &mut |_| true) {
                Ok(survey) => part.discoveries = survey.discoveries,
                Err(error) => part.failure = Some(subject::failure(&error, windows)),
            }
            channel.send(&Message::Searched(Box::new(part)));
        });
        worker.map(Self).map_err(no_worker)
    }

    /// What it has found. A driver that destroys the process is left to the search.
    pub(super) fn end(self) -> Result<Vec<Discovery>, Failure> {
        let mut part = Part::default();
        let end = self.0.listen_within(RUN_SECONDS, |message| {
            if let Message::Searched(done) = message {
                part = *done;
            }
        });
        end.map_err(no_worker)?;
        part.failure.map_or(Ok(part.discoveries), Err)
    }
}

fn no_worker(error: std::io::Error) -> Failure {
    Failure::usage(format!("cannot make a worker: {error}"))
}

/// What came out of a search.
pub(super) struct Searched {
    pub(super) tried: SearchEffort,
    pub(super) discoveries: Vec<Discovery>,
    /// The instructions that met others in memory.
    pub(super) met: Vec<u32>,
}

/// Searches with as many workers as were asked for.
///
/// With a journal, whose `round`th search this is, the parts that it has are not done again.
///
/// Unless all is to be found, the first part that finds something is the last one that counts, in
/// the order of parts and not of time: so it makes no difference how many workers there are.
pub(super) fn search(
    job: &Job<'_>,
    mut journal: Option<&mut Journal>,
    round: u64,
    out: &mut Output,
) -> Result<Searched, Failure> {
    let parts = parts(job, journal.is_some());
    let of = job.shard.1 * parts;
    let pieces = match job.strategy {
        Strategy::Exhaustive if of > 1 => Some(cut(job, of)?),
        _ => None,
    };
    let mut done: BTreeMap<u64, Part> = BTreeMap::new();
    for part in 0..parts {
        if let Some(known) = journal
            .as_ref()
            .and_then(|journal| journal.find(round, part))
        {
            done.insert(part, known.clone());
        }
    }
    let strategy = |part: u64| -> Box<dyn dirql_explore::Strategy> {
        match &pieces {
            Some(pieces) => {
                let pieces = Pieces::new(every(pieces, part, of));
                Box::new(Scouted::new(pieces).shard(part, of))
            }
            None => job.strategy.part(part, of),
        }
    };
    let first = job.shard.0 * parts;
    let work = |mut turn: Turn<'_>, log: &SharedLog, channel: &mut Channel| {
        let log = log.again();
        let plan = job.plan.clone().watched(move |choice| log.add(choice));
        let mut searches = Searches::new(&plan);
        while let Some(part) = turn.next() {
            channel.send(&Message::Part(part));
            let part = first + part;
            let done = work(job, &mut searches, strategy(part), (part, of), channel);
            // What a part's runs have shown is told of that part alone, whoever does it.
            let is_last = done.failure.is_some() || done.stopped;
            plan.forget_met();
            channel.send(&Message::Searched(Box::new(done)));
            if is_last {
                break;
            }
        }
    };
    let heard = |part: u64, (result, end, choices): Heard| {
        let mut result = finish(job, result, end, choices)?;
        if let Some(failure) = result.failure.take() {
            return Err(failure);
        }
        if let Some(journal) = &mut journal
            && !result.stopped
        {
            journal.add(round, part, result.clone())?;
        }
        Ok(result)
    };
    pool::run(job, parts, &mut done, &work, heard, out)?;
    let all = done.len() as u64 == parts;
    let found = pool::first_found(job, &done);
    let counted = done
        .into_iter()
        .filter(|(part, _)| found.is_none_or(|found| *part <= found));
    let mut searched = Searched {
        tried: SearchEffort::NONE,
        discoveries: Vec::new(),
        met: Vec::new(),
    };
    let mut met = BTreeSet::new();
    let mut count = 0;
    for (_, part) in counted {
        count += 1;
        searched.tried = searched.tried.and(part.effort());
        searched.discoveries.extend(part.discoveries);
        met.extend(part.met);
    }
    searched.tried.complete &= count == parts;
    searched.tried.limited |= !all && found.is_none();
    searched.met.extend(met);
    Ok(searched)
}

/// Into how many parts a search, or the shard of one, is cut.
fn parts(job: &Job<'_>, has_journal: bool) -> u64 {
    match job.strategy {
        Strategy::Default => 1,
        _ if has_journal => PARTS,
        _ if job.jobs == 1 => 1,
        // Each worker has its share of the runs.
        _ if job.limits.runs.is_some() => job.jobs,
        _ => PARTS.max(job.jobs),
    }
}

/// Every `of`th piece.
fn every(pieces: &[Piece], part: u64, of: u64) -> impl Iterator<Item = Piece> {
    let pieces = pieces.iter().skip(part as usize);
    pieces.step_by(of as usize).cloned()
}

/// Pieces for each part, so that parts take about as long as each other; and of all together, which
/// take a run each.
const PIECES: u64 = 4;
const MOST_PIECES: u64 = 4096;

/// Cuts everything into pieces for so many parts, in a process of its own. A driver that destroys
/// the process is left to the search, which is then in one piece.
fn cut(job: &Job<'_>, parts: u64) -> Result<Vec<Piece>, Failure> {
    let least = (parts * PIECES).min(MOST_PIECES) as usize;
    let worker = Worker::start(|channel| {
        isolate::limit_time(RUN_SECONDS);
        let mut runs = 0;
        let mut each = || {
            runs += 1;
            if u64::is_multiple_of(runs, TELL) {
                isolate::limit_time(RUN_SECONDS);
                channel.send(&Message::Tried(Tried::default()));
            }
        };
        let message = match dirql::pieces(job.plan, least, &mut each) {
            Ok(pieces) => Message::Pieces(pieces),
            Err(error) => Message::Failed(subject::failure(&error, job.windows)),
        };
        channel.send(&message);
    });
    let mut pieces = vec![Piece::whole()];
    let mut failed = None;
    let end = worker
        .map_err(no_worker)?
        .listen_within(RUN_SECONDS, |message| match message {
            Message::Pieces(cut) => pieces = cut,
            Message::Failed(failure) => failed = Some(failure),
            _ => {}
        });
    end.map_err(no_worker)?;
    failed.map_or(Ok(pieces), Err)
}

/// One part, in a worker.
fn work(
    job: &Job<'_>,
    searches: &mut Searches<'_>,
    strategy: Box<dyn dirql_explore::Strategy>,
    (part, of): (u64, u64),
    channel: &mut Channel,
) -> Part {
    let mut result = Part::default();
    let mut stopped = false;
    isolate::limit_time(RUN_SECONDS);
    let mut limits = job.limits.clone();
    // Every worker has its share.
    limits.runs = limits
        .runs
        .map(|runs| runs / of + u64::from(part < runs % of));
    let searched = searches.search(strategy, &limits, &mut |search| {
        let runs = search.coverage.runs;
        if runs.is_multiple_of(TELL) {
            isolate::limit_time(RUN_SECONDS);
            channel.send(&Message::Tried(Tried {
                runs,
                left: search.coverage.left,
                findings: search.discoveries.len() as u64,
            }));
        }
        stopped = job.clock.is_over();
        !stopped
    });
    match searched {
        Ok(search) => {
            result.cover(search.coverage);
            result.no_verdict = search.no_verdict;
            result.stopped = stopped;
            result.limited = stopped || search.is_at_limit && !search.coverage.complete;
            result.discoveries = search.discoveries;
            if let Points::Before(met) = searches.plan().met() {
                result.met = met;
            }
        }
        Err(error) => result.failure = Some(subject::failure(&error, job.windows)),
    }
    result
}

/// What a worker said at its end, how it ended, and what it had chosen in its latest run.
pub(super) type Heard = (Option<Part>, WorkerEnd, Vec<Deviation>);

fn defect(message: &str) -> Failure {
    Failure {
        exit: Exit::Defect,
        message: format!("this is a defect of dirql, not of the driver: {message}"),
        help: None,
    }
}

/// What a worker did; if a driver destroyed it, with the run that did that.
fn finish(
    job: &Job<'_>,
    part: Option<Part>,
    end: WorkerEnd,
    choices: Vec<Deviation>,
) -> Result<Part, Failure> {
    let schedule = || job.plan.schedule(choices.clone()).to_string();
    match (part, end) {
        (Some(part), WorkerEnd::Finished) => Ok(part),
        (part, WorkerEnd::Panicked) => match explained(job, &choices) {
            None => Err(defect(&format!("it happened in {}", schedule()))),
            Some(finding) => {
                let mut part = part.unwrap_or_default();
                part.discoveries.push(discovery(job, finding, choices));
                part.complete = false;
                part.limited = true;
                Ok(part)
            }
        },
        (part, WorkerEnd::Destroyed(how)) => {
            let mut part = part.unwrap_or_default();
            part.discoveries.push(destroyed(job, &how, &choices));
            part.complete = false;
            part.limited = true;
            Ok(part)
        }
        (part, WorkerEnd::TooLong) => {
            let mut part = part.unwrap_or_default();
            let text = format!("a run did not end in {RUN_SECONDS} seconds of CPU time");
            let finding = run::process_finding(text);
            part.discoveries.push(discovery(job, finding, choices));
            part.complete = false;
            part.limited = true;
            Ok(part)
        }
        (None, WorkerEnd::Finished) => Err(defect("a worker ended without a result")),
    }
}

/// A run that destroyed its process, with as few deviations as possible: each try has a process
/// of its own.
fn destroyed(job: &Job<'_>, how: &str, choices: &[Deviation]) -> Discovery {
    let mut finding = run::process_finding(format!("the process ended {how}"));
    let left = dirql::shrink(choices, 200, |candidate| {
        let body = |channel: &mut Channel| {
            if let Ok(report) = job.plan.run_deviations(candidate) {
                channel.send(&Message::Done(Box::new(report)));
            }
        };
        match isolate::isolated(Limit::Cpu(RUN_SECONDS), body, |_| {}) {
            Ok(Ending::Destroyed(known)) => {
                finding.message = format!("the process ended {}", known.how);
                true
            }
            _ => false,
        }
    });
    let finding = explained(job, &left).unwrap_or(finding);
    discovery(job, finding, left)
}

/// The finding that the driver wrote to memory of dirql in the run with these choices, if it did.
fn explained(job: &Job<'_>, choices: &[Deviation]) -> Option<FindingReport> {
    let again = || {
        recorded(
            job.plan,
            job.plan.points(),
            choices,
            Limit::Cpu(RUN_SECONDS),
        )
    };
    let findings = match played::explained(Ending::Panicked, again) {
        Ending::Done(report) => report.findings,
        Ending::Destroyed(known) => known.findings,
        _ => return None,
    };
    let foreign = dirql_rules::ids::FOREIGN_MEMORY.to_string();
    findings.into_iter().find(|finding| finding.rule == foreign)
}

/// A run, in a process of its own, in which it is noted what memory the drivers access.
pub(in super::super) fn recorded(
    plan: &Plan,
    points: &Points,
    deviations: &[Deviation],
    limit: Limit,
) -> std::io::Result<Ending> {
    let points = match points {
        Points::Usual => Points::Before(Vec::new()),
        other => other.clone(),
    };
    let plan = plan.clone().at(points);
    let body = |channel: &mut Channel| {
        if let Ok(report) = plan.run_deviations(deviations) {
            channel.send(&Message::Done(Box::new(report)));
        }
    };
    isolate::isolated(limit, body, |_| {})
}

fn discovery(job: &Job<'_>, finding: FindingReport, deviations: Vec<Deviation>) -> Discovery {
    let switches = deviations.len();
    let schedule: Schedule = job.plan.schedule(deviations);
    Discovery {
        finding,
        schedule: schedule.to_string(),
        switches,
        run: 0,
        seed: None,
    }
}
