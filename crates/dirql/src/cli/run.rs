//! `dirql run`

use std::ffi::OsStr;
use std::io::{self, Write};

use dirql::report::{FindingReport, PlaceReport, Report, SCHEMA, Verdict, write_report};
use dirql::scenario::Scenario;
use dirql::{Progress, Settings, WindowsVersion};
use dirql_rules::ids;

use super::args::{Format, Run};
use super::isolate::{self, Channel, Destroyed, Ending, Message};
use super::output::{Output, plain};
use super::{Exit, Failure, subject, trace};

pub(crate) fn run(args: &Run, out: &mut Output) -> Result<Exit, Failure> {
    let (scenario, used) = subject::scenario(&args.subject, out.is_styled())?;
    let mut replay = subject::command(&["run"], &args.subject, used.as_deref());
    if let Some(point) = args.fail {
        replay.push_str(&format!(" --fail {point}"));
    }
    let ending = isolate::isolated(
        args.time_limit,
        |channel| play(args, &scenario, channel),
        |step| out.detail_note(step),
    );
    let ending = ending
        .map_err(|error| Failure::usage(format!("cannot make a process for the run: {error}")))?;
    conclude(args, &scenario, ending, replay, out)
}

/// Reports how a run ended, `replay` being the command that does the same again.
pub(crate) fn conclude(
    args: &Run,
    scenario: &Scenario,
    ending: Ending,
    replay: String,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let mut report = match ending {
        Ending::Done(report) => *report,
        Ending::Failed(failure) => return Err(failure),
        Ending::Destroyed(known) => destroyed(args, scenario, known),
        Ending::TooLong(known) => too_long(args, scenario, known),
        Ending::Panicked => {
            return Err(Failure {
                exit: Exit::Defect,
                message: "this is a defect of dirql, not of the driver".into(),
                help: Some(format!(
                    "please report it, with the driver if you can; it happened in\n  {replay}"
                )),
            });
        }
    };
    report.replay = replay;
    write(&report, args, out)?;
    Ok(match report.verdict {
        Verdict::Clean => Exit::Clean,
        Verdict::Findings => Exit::Findings,
        Verdict::NoVerdict => Exit::NoVerdict,
    })
}

/// Plays the scenario in the child.
fn play(args: &Run, scenario: &Scenario, channel: &mut Channel) {
    let message = match try_play(args, scenario, channel) {
        Ok(report) => Message::Done(Box::new(report)),
        Err(failure) => Message::Failed(failure),
    };
    channel.send(&message);
}

fn try_play(args: &Run, scenario: &Scenario, channel: &Channel) -> Result<Report, Failure> {
    let mut settings = Settings::default();
    settings.windows = args.subject.windows;
    settings.processors = args.subject.processors;
    settings.max_steps = args.subject.max_steps;
    settings.fail = args.fail;
    settings.progress = Some(teller(channel)?);
    let mut trace_error = None;
    if let Some(path) = &args.trace {
        let wrong = |error: io::Error| Failure::usage(format!("{}: {error}", path.display()));
        let (sink, error) = trace::sink(path).map_err(wrong)?;
        settings.sink = Some(sink);
        trace_error = Some((path, error));
    }
    let windows = args
        .subject
        .windows
        .or(scenario.machine.windows)
        .unwrap_or(WindowsVersion::Ten);
    let report =
        dirql::play(scenario, settings).map_err(|error| subject::failure(&error, windows))?;
    if let Some((path, error)) = trace_error
        && let Some(error) = error.take()
    {
        return Err(Failure::usage(format!("{}: {error}", path.display())));
    }
    Ok(report)
}

/// Says in the channel what happens.
pub(crate) fn teller(channel: &Channel) -> Result<Box<dyn FnMut(Progress)>, Failure> {
    let mut teller = channel
        .try_clone()
        .map_err(|error| Failure::usage(format!("no pipe: {error}")))?;
    Ok(Box::new(move |progress| match progress {
        Progress::Step(step) => teller.send(&Message::Step(step)),
        Progress::Finding(finding) => teller.send(&Message::Finding(finding)),
    }))
}

/// The report of a run whose process the driver destroyed.
fn destroyed(args: &Run, scenario: &Scenario, known: Destroyed) -> Report {
    let step = known
        .step
        .as_ref()
        .map(|step| format!("; it happened in the step: {step}"));
    let message = format!(
        "the process ended {}{}",
        known.how,
        step.unwrap_or_default()
    );
    let mut report = without_end(args, scenario, known, Verdict::Findings);
    report.ended_early = Some("the driver destroyed its process".into());
    report.findings.push(process_finding(message));
    report
}

/// The finding that the driver's code destroyed the process.
pub(crate) fn process_finding(message: String) -> FindingReport {
    let rule = dirql_rules::rule(ids::PROCESS_DESTROYED);
    let text = |text: Option<&'static str>| text.unwrap_or_default().to_owned();
    FindingReport {
        rule: ids::PROCESS_DESTROYED.to_string(),
        severity: "error".into(),
        headline: text(rule.map(|rule| rule.headline)),
        message,
        place: PlaceReport::default(),
        earlier: None,
        help: text(rule.map(|rule| rule.help)),
        source: text(rule.map(|rule| rule.source)),
        windows: text(rule.map(|rule| rule.windows)),
    }
}

fn too_long(args: &Run, scenario: &Scenario, known: Destroyed) -> Report {
    let found = known.findings.iter().any(FindingReport::is_defect);
    let step = known
        .step
        .as_ref()
        .map(|step| format!(", in the step: {step}"));
    let why = format!(
        "{} seconds of real time are over{}",
        args.time_limit,
        step.unwrap_or_default()
    );
    let verdict = if found {
        Verdict::Findings
    } else {
        Verdict::NoVerdict
    };
    let mut report = without_end(args, scenario, known, verdict);
    report.ended_early = Some(why);
    report
}

fn without_end(args: &Run, scenario: &Scenario, known: Destroyed, verdict: Verdict) -> Report {
    let windows = args
        .subject
        .windows
        .or(scenario.machine.windows)
        .unwrap_or(WindowsVersion::Ten);
    let mut report = Report::empty(
        windows,
        args.subject
            .processors
            .or(scenario.machine.processors)
            .unwrap_or(1),
    );
    report.verdict = verdict;
    report.findings = known.findings;
    report
}

fn write(report: &Report, args: &Run, out: &mut Output) -> Result<(), Failure> {
    debug_assert_eq!(report.schema, SCHEMA);
    let detail = out.detail();
    match args.format {
        Format::Human => write_report(out.results(), report, detail)?,
        Format::Json => write_json(out.results(), report)?,
    }
    for path in &args.output {
        let bytes = if path.extension() == Some(OsStr::new("json")) {
            plain(|out| write_json(out, report))
        } else {
            plain(|out| write_report(out, report, detail))
        };
        let written = bytes.and_then(|bytes| std::fs::write(path, bytes));
        written.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Writes a result as JSON.
pub(crate) fn write_json(out: &mut dyn Write, report: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
