//! `dirql run`

use std::io::{self, Write};
use std::path::PathBuf;

use dirql::coverage::Survey;
use dirql::report::{
    FindingReport, PlaceReport, Report, Results, SCHEMA, Verdict, sarif, write_github, write_junit,
    write_report,
};
use dirql::scenario::Scenario;
use dirql::{Driver, Settings, Stops, Watch};
use dirql_rules::ids;

use super::args::{ReportFormat, Run};
use super::isolate::{self, Channel, Destroyed, Ending, Limit};
use super::output::{Output, plain};
use super::pictures::Pictures;
use super::played::{explained, played, teller, writer};
use super::{Exit, Failure, coverage, subject};

pub(crate) fn run(args: &Run, out: &mut Output) -> Result<Exit, Failure> {
    let (scenario, used) = subject::scenario(&args.subject, out.is_styled())?;
    let mut replay = subject::command(&["run"], &args.subject, used.as_deref());
    if let Some(point) = args.fail {
        replay.push_str(&format!(" --fail {point}"));
    }
    if args.keep_going {
        replay.push_str(" --keep-going");
    }
    let windows = subject::windows(&args.subject, &scenario);
    // The process that runs it may not open files.
    let drivers =
        dirql::read_drivers(&scenario).map_err(|error| subject::failure(&error, windows))?;
    let survey = coverage::wanted(&args.coverage, &drivers)?;
    let play = |watch, sink, channel: &Channel| {
        let mut settings = settings(args, drivers.clone());
        settings.footprints = survey.as_ref().map(Survey::footprints);
        settings.watch = watch;
        settings.sink = sink;
        settings.progress = Some(teller(channel));
        settings.outputs = Some(writer(channel));
        dirql::play(&scenario, settings).map_err(|error| subject::failure(&error, windows))
    };
    let (ending, pictures) = played(
        args,
        &scenario,
        |sink, channel| play(None, sink, channel),
        out,
    )?;
    let ending = explained(ending, || {
        let watched =
            |channel: &mut Channel| channel.send(&play(Some(RECORDING), None, channel).into());
        isolate::isolated(Limit::Real(args.time_limit), watched, |_| {})
    });
    let exit = conclude(args, &scenario, ending, replay, &pictures, out)?;
    if let Some(survey) = survey {
        coverage::write(&survey.report(), &args.coverage, &scenario, out)?;
    }
    Ok(exit)
}

/// Which memory the drivers' instructions access, and nothing else.
const RECORDING: Watch = Watch {
    record: true,
    stops: Stops::Nowhere,
};

/// What a run is asked to do.
fn settings(args: &Run, drivers: Vec<Driver>) -> Settings {
    let mut settings = Settings::default();
    settings.windows = args.subject.windows;
    settings.processors = args.subject.processors;
    settings.max_steps = args.subject.max_steps;
    settings.fail = args.fail;
    settings.keep_going = args.keep_going;
    settings.levels = subject::levels(&args.subject);
    settings.drivers = Some(drivers);
    settings
}

/// Reports how a run ended, `replay` being the command that does the same again.
pub(crate) fn conclude(
    args: &Run,
    scenario: &Scenario,
    ending: Ending,
    replay: String,
    pictures: &Pictures,
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
    let command = replay.split(' ').nth(1).unwrap_or("run").to_owned();
    report.replay = replay;
    write(&report, args, &command, out)?;
    pictures.show(&report, scenario, args.format, out)?;
    Ok(match report.verdict {
        Verdict::Clean => Exit::Clean,
        Verdict::Findings => Exit::Findings,
        Verdict::NoVerdict => Exit::NoVerdict,
    })
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
        bug_check: None,
        stack: Vec::new(),
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
    let windows = subject::windows(&args.subject, scenario);
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

fn write(report: &Report, args: &Run, command: &str, out: &mut Output) -> Result<(), Failure> {
    debug_assert_eq!(report.schema, SCHEMA);
    let detail = out.detail();
    let driver = args.subject.driver.display().to_string();
    let results = Results::of_report(report, command, &driver);
    let write = |format, out: &mut dyn Write| match format {
        ReportFormat::Human => write_report(out, report, detail),
        ReportFormat::Json => write_json(out, report),
        other => write_results(out, other, &results),
    };
    write(args.format, out.results())?;
    write_files(&args.output, write)
}

/// Writes results in a form that other programs read.
pub(crate) fn write_results(
    out: &mut dyn Write,
    format: ReportFormat,
    results: &Results<'_>,
) -> io::Result<()> {
    match format {
        ReportFormat::Junit => write_junit(out, results),
        ReportFormat::Github => write_github(out, results),
        _ => write_json(out, &sarif(results)),
    }
}

/// Writes a result to files, each in the form that its name stands for.
pub(crate) fn write_files(
    files: &[PathBuf],
    write: impl Fn(ReportFormat, &mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    for path in files {
        let bytes = plain(|out| write(ReportFormat::of_file(path), out));
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
