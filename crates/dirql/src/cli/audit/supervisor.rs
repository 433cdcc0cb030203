//! Workers that play trials, and who starts them and survives them.
//!
//! A worker is given a batch of cases and says before each one that it begins. If it is destroyed,
//! the case that it had begun did that, and another worker gets the rest of the batch. Which
//! worker does what changes nothing.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use dirql::audit::{Audit, Case, Explanation, Group, Hunt, RunFacts, Trial, TrialResult, found_by};
use dirql::report::FindingReport;
use dirql::{BenchError, Deviation, Points, WindowsVersion};
use serde::{Deserialize, Serialize};

use super::super::clock::Clock;
use super::super::isolate::{
    self, Channel, Ending, Limit, Message, SharedLog, Stream, Worker, WorkerEnd,
};
use super::super::output::Output;
use super::super::{Failure, run};

/// Seconds of CPU time that one run may take. Runs take milliseconds.
const RUN_SECONDS: u32 = 60;

/// Seconds that a run, with what is done about a finding, may go on when the time for all is over.
const GRACE_SECONDS: u32 = 2;

/// Runs after which a search says how far it is.
const TELL: u64 = 64;

/// Looks at shared memory may take one part in so many of the time: interrupts at every step are
/// to have some of it, too.
const SURVEYS: u32 = 4;

/// Runs of one batch.
const BATCH: usize = 16;

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AuditMessage {
    /// What is known from a first run.
    Facts(RunFacts),
    /// A case begins.
    Begun(usize),
    /// A search has points before these instructions.
    Points(Vec<u32>),
    /// A search has done so many more runs.
    Searching(u64),
    /// A search or a survey has brought so much, more than before.
    Found(TrialResult),
    /// A case is over.
    Ended(usize, TrialResult),
    /// What a trial does.
    Explained(usize, Explanation),
    /// A case cannot be tried with this driver.
    Impossible(usize),
}

/// How a case ended.
#[derive(Clone, Debug, Default)]
pub(super) enum Ended {
    /// There was no time for it.
    #[default]
    NotTried,
    /// With this.
    Result(TrialResult),
    /// The driver cannot be tried so.
    Impossible,
    /// Our own code gave up in this trial.
    Defect(String),
}

/// Plays trials in workers.
pub(super) struct Supervisor<'a> {
    audit: &'a Audit,
    jobs: usize,
    clock: Clock,
    /// A look at shared memory had not enough time.
    has_cut: Cell<bool>,
}

/// A worker with its batch.
struct Busy {
    stream: Stream,
    log: SharedLog,
    batch: Range<usize>,
    /// The case that has begun.
    at: usize,
    /// Where its orders can differ.
    points: Points,
    /// What a search has brought so far.
    known: TrialResult,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(audit: &'a Audit, jobs: u16, time: Option<Duration>) -> Self {
        Self {
            audit,
            jobs: jobs.into(),
            clock: Clock::start(time),
            has_cut: Cell::new(false),
        }
    }

    pub(super) const fn audit(&self) -> &Audit {
        self.audit
    }

    /// Whether there was less time than it takes to try everything.
    pub(super) fn is_over(&self) -> bool {
        self.clock.is_over() || self.has_cut.get()
    }

    /// Ends this worker if its next run takes too long, or goes on long after there is no time any
    /// more.
    fn limit_time(&self) {
        let left = self.clock.seconds_left();
        let left = left.map_or(RUN_SECONDS, |left| left + GRACE_SECONDS);
        isolate::limit_time(left.min(RUN_SECONDS));
    }

    /// Plays the first trial of its kind, and says what is known then.
    pub(super) fn first(
        &self,
        trial: &Trial,
        windows: WindowsVersion,
        out: &mut Output,
    ) -> Result<(Option<RunFacts>, Ended), Failure> {
        let body = |channel: &mut Channel| {
            let message = match self.audit.look_at(trial) {
                Ok((report, facts)) => {
                    channel.send(&Message::Audit(AuditMessage::Facts(facts)));
                    Message::Done(Box::new(report))
                }
                Err(error) => Message::Failed(super::failure(&error, windows)),
            };
            channel.send(&message);
        };
        let mut facts = None;
        let limit = Limit::Cpu(RUN_SECONDS);
        let ending = isolate::isolated_with(limit, &[], body, |message| match message {
            Message::Audit(AuditMessage::Facts(told)) => facts = Some(told),
            Message::Step(text) | Message::Note(text) => out.detail_note(&text),
            _ => {}
        });
        Ok(match ending.map_err(|error| no_worker(&error))? {
            Ending::Done(report) => (facts, Ended::Result(found_by(&report, trial))),
            Ending::Failed(failure) => return Err(failure),
            Ending::Destroyed(known) => {
                let found = destroyed(&format!("the process ended {}", known.how));
                (None, Ended::Result(bad_end(known.findings, found, trial)))
            }
            Ending::TooLong(known) => (None, Ended::Result(without_end(known.findings, trial))),
            Ending::Panicked => (None, Ended::Defect(trial.to_string())),
        })
    }

    /// Plays every case of these groups.
    pub(super) fn all(
        &self,
        groups: &[Group],
        out: &mut Output,
    ) -> Result<Vec<Vec<Ended>>, Failure> {
        let cases: Vec<&Case> = groups.iter().flat_map(|group| &group.cases).collect();
        let mut ends = vec![Ended::NotTried; cases.len()];
        let mut waiting = batches(groups);
        let mut busy: Vec<Busy> = Vec::new();
        let mut progress = out.bar(cases.len());
        loop {
            while busy.len() < self.jobs && !self.clock.is_over() {
                let Some(batch) = waiting.pop_front() else {
                    break;
                };
                busy.push(self.start(batch, &cases)?);
            }
            if busy.is_empty() {
                break;
            }
            let mut streams: Vec<&mut Stream> =
                busy.iter_mut().map(|busy| &mut busy.stream).collect();
            let (index, messages) =
                isolate::next_messages(&mut streams).map_err(|error| no_worker(&error))?;
            let Some(messages) = messages else {
                let gone = busy.swap_remove(index);
                if let Some(rest) = self.finish(gone, &cases, &mut ends)? {
                    waiting.push_front(rest);
                }
                continue;
            };
            for message in messages {
                let Message::Audit(message) = message else {
                    continue;
                };
                match message {
                    AuditMessage::Begun(at) => {
                        busy[index].at = at;
                        busy[index].known = TrialResult::default();
                    }
                    AuditMessage::Found(known) => busy[index].known = known,
                    AuditMessage::Points(points) => {
                        busy[index].points = Points::Before(points);
                    }
                    AuditMessage::Searching(runs) => progress.runs(runs),
                    AuditMessage::Ended(at, result) => {
                        // A search has told of most of its runs already.
                        progress.done(result.runs % TELL);
                        if matches!(cases[at], Case::Survey(..)) && self.clock.is_past(SURVEYS) {
                            self.has_cut.set(true);
                        }
                        set(&mut ends, at, Ended::Result(result));
                    }
                    AuditMessage::Facts(_) | AuditMessage::Explained(..) => {}
                    AuditMessage::Impossible(at) => {
                        progress.done(0);
                        set(&mut ends, at, Ended::Impossible);
                    }
                }
            }
        }
        progress.finish();
        let mut ends = ends.into_iter();
        Ok(groups
            .iter()
            .map(|group| ends.by_ref().take(group.cases.len()).collect())
            .collect())
    }

    /// What these trials do, in words; nothing is said of those that destroy their process.
    pub(super) fn explain(&self, trials: &[Trial]) -> Result<Vec<Explanation>, Failure> {
        let mut told = vec![Explanation::default(); trials.len()];
        let mut from = 0;
        while from < trials.len() {
            let mut next = from;
            let worker = Worker::start(|channel| {
                for (at, trial) in trials.iter().enumerate().skip(from) {
                    isolate::limit_time(RUN_SECONDS);
                    let explanation = self.audit.explain(trial).unwrap_or_default();
                    channel.send(&Message::Audit(AuditMessage::Explained(at, explanation)));
                }
            });
            let worker = worker.map_err(|error| no_worker(&error))?;
            let end = worker.listen_within(RUN_SECONDS, |message| {
                if let Message::Audit(AuditMessage::Explained(at, explanation)) = message
                    && let Some(slot) = told.get_mut(at)
                {
                    *slot = explanation;
                    next = at + 1;
                }
            });
            end.map_err(|error| no_worker(&error))?;
            // The one that it was at has ended it.
            from = next + 1;
        }
        Ok(told)
    }

    fn start(&self, batch: Range<usize>, cases: &[&Case]) -> Result<Busy, Failure> {
        let log = SharedLog::new().map_err(|error| no_worker(&error))?;
        let (range, shared) = (batch.clone(), log.again());
        let stream = Stream::start(RUN_SECONDS, |channel| {
            self.work(range, cases, &shared, channel)
        })
        .map_err(|error| no_worker(&error))?;
        Ok(Busy {
            stream,
            log,
            at: batch.start,
            batch,
            points: Points::Usual,
            known: TrialResult::default(),
        })
    }

    /// Plays a batch, in a worker.
    fn work(&self, batch: Range<usize>, cases: &[&Case], log: &SharedLog, channel: &mut Channel) {
        for at in batch {
            if self.clock.is_over() {
                break;
            }
            self.limit_time();
            log.add(None);
            let mut tell = |message| channel.send(&Message::Audit(message));
            tell(AuditMessage::Begun(at));
            let ended = match cases[at] {
                Case::Run(trial) => self.audit.try_out(trial),
                Case::Survey(trial, cut) => {
                    self.survey(trial, *cut, log, &mut tell).map_err(Into::into)
                }
                Case::Hunt(hunt) => self.hunt(hunt, log, &mut tell).map_err(Into::into),
            };
            tell(match ended {
                Ok(result) => AuditMessage::Ended(at, result),
                // What cannot begin works with the scenario as it is.
                Err(_) => AuditMessage::Impossible(at),
            });
        }
    }

    fn survey(
        &self,
        trial: &Trial,
        cut: Option<u64>,
        log: &SharedLog,
        tell: &mut dyn FnMut(AuditMessage),
    ) -> Result<TrialResult, BenchError> {
        tell(AuditMessage::Points(Vec::new()));
        let log = log.again();
        let watch = move |choice| log.add(choice);
        let mut found = 0;
        self.audit.survey(trial, cut, watch, &mut |known| {
            tell_found(&mut found, known, tell);
            self.limit_time();
            !self.clock.is_past(SURVEYS)
        })
    }

    fn hunt(
        &self,
        hunt: &Hunt,
        log: &SharedLog,
        tell: &mut dyn FnMut(AuditMessage),
    ) -> Result<TrialResult, BenchError> {
        let log = log.again();
        let points = self.audit.points(hunt)?;
        if let Points::Before(instructions) = &points {
            tell(AuditMessage::Points(instructions.clone()));
        }
        let mut found = 0;
        self.audit
            .hunt(hunt, points, move |choice| log.add(choice), &mut |known| {
                tell_found(&mut found, known, tell);
                if known.runs.is_multiple_of(TELL) {
                    self.limit_time();
                    tell(AuditMessage::Searching(TELL));
                }
                !self.clock.is_over()
            })
    }

    /// What of a batch is left when its worker has ended.
    fn finish(
        &self,
        busy: Busy,
        cases: &[&Case],
        ends: &mut [Ended],
    ) -> Result<Option<Range<usize>>, Failure> {
        let choices = busy.log.choices();
        let ended = busy.stream.end().map_err(|error| no_worker(&error))?;
        let trial = self.trial_of(cases[busy.at], busy.points, choices);
        let result = match ended {
            WorkerEnd::Finished => return Ok(None),
            WorkerEnd::Destroyed(how) => {
                let last = destroyed(&format!("the process ended {how}"));
                Ended::Result(added(busy.known, bad_end(Vec::new(), last, &trial)))
            }
            WorkerEnd::TooLong if self.clock.is_over() && busy.known.found.is_empty() => {
                Ended::NotTried
            }
            WorkerEnd::TooLong if self.clock.is_over() => Ended::Result(busy.known),
            // How fast this computer is says nothing about the driver.
            WorkerEnd::TooLong => Ended::Result(added(busy.known, without_end(Vec::new(), &trial))),
            WorkerEnd::Panicked => Ended::Defect(trial.to_string()),
        };
        set(ends, busy.at, result);
        let rest = busy.at + 1..busy.batch.end;
        Ok((!rest.is_empty()).then_some(rest))
    }

    /// The trial that a case was at.
    fn trial_of(&self, case: &Case, points: Points, choices: Vec<Deviation>) -> Trial {
        match case {
            Case::Run(trial) => trial.clone(),
            Case::Survey(trial, _) => self.audit.trial_of(trial, points, choices),
            Case::Hunt(hunt) => self.audit.trial_of(&hunt.trial, points, choices),
        }
    }
}

/// Tells what a search has brought if it has found something since. It may not come to its end.
fn tell_found(told: &mut usize, known: &TrialResult, tell: &mut dyn FnMut(AuditMessage)) {
    if known.found.len() > *told {
        *told = known.found.len();
        tell(AuditMessage::Found(TrialResult {
            complete: false,
            ..known.clone()
        }));
    }
}

/// What a search had brought, and the run that has ended it.
fn added(known: TrialResult, last: TrialResult) -> TrialResult {
    TrialResult {
        runs: known.runs + last.runs,
        no_verdict: known.no_verdict + last.no_verdict,
        found: [known.found, last.found].concat(),
        complete: last.complete,
        ..known
    }
}

fn set(ends: &mut [Ended], at: usize, ended: Ended) {
    if let Some(slot) = ends.get_mut(at) {
        *slot = ended;
    }
}

/// Runs in batches, each search and each survey for itself. First the first batch of every group,
/// then the second ones: if there is not time for all, every group has had some of it.
fn batches(groups: &[Group]) -> VecDeque<Range<usize>> {
    let mut batches = Vec::new();
    let mut start = 0;
    for group in groups {
        let mut number = 0;
        let mut of_group = group.cases.as_slice();
        while let Some(first) = of_group.first() {
            let runs = of_group.iter().take(BATCH);
            let runs = runs.take_while(|case| matches!(case, Case::Run(_))).count();
            // What is no run is a batch of its own.
            let length = if matches!(first, Case::Run(_)) {
                runs
            } else {
                1
            };
            batches.push((number, start..start + length));
            (start, number) = (start + length, number + 1);
            of_group = &of_group[length..];
        }
    }
    batches.sort_by_key(|(number, _)| *number);
    batches.into_iter().map(|(_, batch)| batch).collect()
}

fn destroyed(message: &str) -> FindingReport {
    run::process_finding(message.into())
}

/// The result of a run that took too long.
fn without_end(known: Vec<FindingReport>, trial: &Trial) -> TrialResult {
    let trial = trial.to_string();
    TrialResult {
        runs: 1,
        no_verdict: 1,
        found: known
            .into_iter()
            .map(|finding| (finding, trial.clone()))
            .collect(),
        ..TrialResult::default()
    }
}

/// The result of a run that did not come to its end.
fn bad_end(mut known: Vec<FindingReport>, last: FindingReport, trial: &Trial) -> TrialResult {
    known.push(last);
    let trial = trial.to_string();
    TrialResult {
        runs: 1,
        complete: true,
        found: known
            .into_iter()
            .map(|finding| (finding, trial.clone()))
            .collect(),
        ..TrialResult::default()
    }
}

fn no_worker(error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot make a worker: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(found: usize) -> TrialResult {
        TrialResult {
            runs: 7,
            complete: true,
            found: vec![(destroyed("something"), "life".into()); found],
            ..TrialResult::default()
        }
    }

    #[test]
    fn a_search_tells_of_what_is_new_before_its_end() {
        let mut told = 0;
        let mut messages = Vec::new();
        for found in [0, 1, 1, 3] {
            tell_found(&mut told, &known(found), &mut |message| {
                messages.push(message)
            });
        }
        let counts: Vec<(usize, bool)> = messages
            .iter()
            .map(|message| match message {
                AuditMessage::Found(known) => (known.found.len(), known.complete),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(1, false), (3, false)]);
    }

    #[test]
    fn what_was_found_before_the_process_ended_is_kept() {
        let last = bad_end(Vec::new(), destroyed("it ended"), &Trial::life());
        let all = added(known(2), last);
        assert_eq!((all.runs, all.found.len()), (8, 3));
    }
}
