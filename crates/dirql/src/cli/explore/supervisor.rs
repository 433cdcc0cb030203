//! Workers, and who starts them and survives them.

use std::collections::BTreeSet;
use std::sync::mpsc;

use dirql::report::FindingReport;
use dirql::{
    Deviation, Discovery, Limits, Plan, Points, Schedule, Strategy, WindowsVersion, explore_plan,
    meeting_points,
};

use super::super::clock::Clock;
use super::super::isolate::{
    self, Channel, Ending, Limit, Message, SharedLog, Tried, Worker, WorkerEnd,
};
use super::super::output::Output;
use super::super::{Exit, Failure, played, run, subject};
use super::journal::{Journal, PARTS};
use super::result::{Part, SearchResult};

/// Seconds of CPU time that one run may take. Runs take milliseconds.
const RUN_SECONDS: u32 = 60;

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
    let wrong = |error: std::io::Error| Failure::usage(format!("cannot make a worker: {error}"));
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
        .map_err(wrong)?
        .listen_within(RUN_SECONDS, |message| match message {
            Message::Met(met) => points = met,
            Message::Failed(failure) => failed = Some(failure),
            _ => {}
        });
    end.map_err(wrong)?;
    failed.map_or(Ok(Points::Before(points)), Err)
}

/// What is wrong with memory that several contexts share, as a few recorded runs show in a process
/// of their own. A driver that destroys the process is left to the search.
pub(super) fn survey(plan: &Plan, windows: WindowsVersion) -> Result<Part, Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("cannot make a worker: {error}"));
    let worker = Worker::start(|channel| {
        isolate::limit_time(RUN_SECONDS);
        let mut part = Part::default();
        match dirql::survey(plan, &mut |_| true) {
            Ok(survey) => part.discoveries = survey.discoveries,
            Err(error) => part.failure = Some(subject::failure(&error, windows)),
        }
        channel.send(&Message::Searched(Box::new(part)));
    });
    let mut part = Part::default();
    let end = worker
        .map_err(wrong)?
        .listen_within(RUN_SECONDS, |message| {
            if let Message::Searched(done) = message {
                part = *done;
            }
        });
    end.map_err(wrong)?;
    // It says nothing about what the search covers.
    part.complete = true;
    match part.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(part),
    }
}

/// Searches with as many workers as were asked for. Also the instructions that met others in
/// memory.
///
/// With a journal, whose `round`th search this is, the parts are more than the workers, and those
/// that it has are not done again.
pub(super) fn search(
    job: &Job<'_>,
    mut journal: Option<&mut Journal>,
    round: u64,
    out: &mut Output,
) -> Result<(SearchResult, Vec<u32>), Failure> {
    let parts = match (&journal, job.strategy) {
        (None, _) => job.jobs,
        (Some(_), Strategy::Default | Strategy::Exhaustive) => 1,
        (Some(_), _) => PARTS,
    };
    let mut done: Vec<Part> = Vec::new();
    let mut left: Vec<u64> = Vec::new();
    for part in 0..parts {
        match journal
            .as_ref()
            .and_then(|journal| journal.find(round, part))
        {
            Some(known) => done.push(known.clone()),
            None => left.push(part),
        }
    }
    let mut skipped = false;
    for some in left.chunks(job.jobs as usize) {
        let found = done.iter().any(|part| !part.discoveries.is_empty());
        if journal.is_some() && (job.clock.is_over() || found && !job.limits.keep_going) {
            // Not done, and not asked for once something is found.
            skipped = true;
            done.push(Part {
                limited: job.clock.is_over() && !found,
                ..Part::default()
            });
            break;
        }
        for (part, result) in some.iter().zip(search_parts(job, some, parts, out)?) {
            if let Some(journal) = &mut journal
                && !result.stopped
            {
                journal.add(round, *part, result.clone())?;
            }
            done.push(result);
        }
    }
    let met: BTreeSet<u32> = done
        .iter()
        .flat_map(|part| part.met.iter().copied())
        .collect();
    let mut result = SearchResult::new(done);
    result.complete &= !skipped;
    Ok((result, met.into_iter().collect()))
}

/// Does some of so many parts, each with a worker of its own.
fn search_parts(
    job: &Job<'_>,
    some: &[u64],
    parts: u64,
    out: &mut Output,
) -> Result<Vec<Part>, Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("cannot make a worker: {error}"));
    let mut workers = Vec::new();
    for part in some {
        let log = SharedLog::new().map_err(wrong)?;
        let part = job.shard.0 * parts + part;
        let of = job.shard.1 * parts;
        let started = Worker::start(|channel| work(job, part, of, &log, channel));
        workers.push((started.map_err(wrong)?, log));
    }
    let mut done = Vec::new();
    for (part, end, choices) in listen(workers, out)? {
        let mut part = finish(job, part, end, choices)?;
        if let Some(failure) = part.failure.take() {
            return Err(failure);
        }
        done.push(part);
    }
    Ok(done)
}

/// The part of a worker, in the worker.
fn work(job: &Job<'_>, part: u64, of: u64, log: &SharedLog, channel: &mut Channel) {
    let log_choices = log.again();
    let plan = job
        .plan
        .clone()
        .watched(move |choice| log_choices.add(choice));
    let mut result = Part::default();
    let mut stopped = false;
    isolate::limit_time(RUN_SECONDS);
    let mut limits = job.limits.clone();
    // Every worker has its share.
    limits.runs = limits
        .runs
        .map(|runs| runs * (part + 1) / of - runs * part / of);
    let searched = explore_plan(&plan, job.strategy.part(part, of), &limits, &mut |search| {
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
            let at_limit = limits.runs.is_some_and(|most| search.coverage.runs >= most);
            result.stopped = stopped;
            result.limited = stopped || at_limit && !search.coverage.complete;
            result.discoveries = search.discoveries;
            if let Points::Before(met) = plan.met() {
                result.met = met;
            }
        }
        Err(error) => result.failure = Some(subject::failure(&error, job.windows)),
    }
    channel.send(&Message::Searched(Box::new(result)));
}

type Heard = (Option<Part>, WorkerEnd, Vec<Deviation>);

/// Hears all workers to their ends.
fn listen(workers: Vec<(Worker, SharedLog)>, out: &mut Output) -> Result<Vec<Heard>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let mut threads = Vec::new();
    for (index, (worker, log)) in workers.into_iter().enumerate() {
        let sender = sender.clone();
        threads.push(std::thread::spawn(move || {
            let mut part = None;
            let end = worker.listen_within(RUN_SECONDS, |message| match message {
                Message::Searched(done) => part = Some(*done),
                // Who listens is there as long as this thread.
                Message::Tried(tried) => drop(sender.send((index, tried))),
                _ => {}
            });
            end.map(|end| (part, end, log.choices()))
        }));
    }
    drop(sender);
    let mut progress = out.progress(threads.len());
    for (worker, tried) in receiver {
        progress.tried(worker, tried);
    }
    progress.finish();
    let mut heard = Vec::new();
    for thread in threads {
        let joined = thread.join();
        let Ok(result) = joined else {
            return Err(defect("a thread that listens gave up"));
        };
        heard.push(result.map_err(|error| Failure::usage(format!("a worker: {error}")))?);
    }
    Ok(heard)
}

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
