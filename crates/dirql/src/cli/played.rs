//! One run in a process of its own, and what is written down of it.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use dirql::report::{FindingReport, Report};
use dirql::scenario::Scenario;
use dirql::{MakeSink, Progress, WriteOutput};
use dirql_rules::ids;

use super::Failure;
use super::args::Run;
use super::isolate::{self, Channel, Ending, Limit, Message};
use super::output::Output;
use super::pictures::Pictures;
use super::trace::{self, Target};

/// Has `play` play a run, with what `--trace`, `--report` and `--timeline` ask for; how that
/// ended, and the pictures.
///
/// `play` is called in the process that the driver runs in, and once more in another if the first
/// is destroyed before its pictures are kept.
///
/// # Errors
/// What the usage is at fault for: a file that cannot be written, a run that cannot begin.
pub(crate) fn played(
    args: &Run,
    scenario: &Scenario,
    play: impl Fn(Option<MakeSink>, &mut Channel) -> Result<Report, Failure>,
    out: &mut Output,
) -> Result<(Ending, Pictures), Failure> {
    let trace = args.trace.as_deref().map(Target::open).transpose()?;
    let pictures = Pictures::new(&args.pictures)?;
    let keeps: Vec<_> = trace
        .iter()
        .map(Target::number)
        .chain(pictures.number())
        .collect();
    let body = |channel: &mut Channel| {
        let (sink, error) = trace.map(trace::sink).unzip();
        let (film, sink) = pictures.film(sink);
        let played = play(sink, channel).and_then(|report| {
            if let (Some(path), Some(error)) = (&args.trace, error.and_then(|error| error.take())) {
                return Err(Failure::usage(format!("{}: {error}", path.display())));
            }
            pictures.keep(film.as_ref())?;
            Ok(report)
        });
        channel.send(&played.into());
    };
    let ending = heard(args.time_limit, &keeps, scenario, body, out)?;
    pictures.again(&ending, args.time_limit, |sink, channel| {
        // It ends as the first one did.
        let _ = play(Some(sink), channel);
    })?;
    Ok((ending, pictures))
}

/// Runs `body` in a process of its own, and says and writes what it asks for.
fn heard(
    seconds: u32,
    keeps: &[RawFd],
    scenario: &Scenario,
    body: impl FnOnce(&mut Channel),
    out: &mut Output,
) -> Result<Ending, Failure> {
    let mut failed = None;
    let ending =
        isolate::isolated_with(Limit::Real(seconds), keeps, body, |message| match message {
            Message::Step(text) | Message::Note(text) => out.detail_note(&text),
            Message::Output(path, bytes) => {
                if let Err(failure) = write_output(scenario, &path, &bytes) {
                    failed.get_or_insert(failure);
                }
            }
            _ => {}
        });
    match (ending, failed) {
        (_, Some(failure)) => Err(failure),
        (Ok(ending), None) => Ok(ending),
        (Err(error), None) => Err(Failure::usage(format!(
            "cannot make a process for the run: {error}"
        ))),
    }
}

/// Writes a file that the scenario names. That it does is looked up: who asks may be a driver.
fn write_output(scenario: &Scenario, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let devices = scenario.devices.iter().map(|device| &device.output);
    let files = scenario.machine.files.iter().map(|file| &file.output);
    if !devices
        .chain(files)
        .any(|output| output.as_deref() == Some(path))
    {
        return Ok(());
    }
    std::fs::write(path, bytes)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// If a run destroyed its process, or our own code gave up in it: the ending of the same run
/// again, with an eye on what the driver writes to, if that shows a driver that wrote to memory
/// of dirql. What such a driver leads to says nothing about dirql.
pub(crate) fn explained(ending: Ending, again: impl FnOnce() -> io::Result<Ending>) -> Ending {
    if !matches!(ending, Ending::Destroyed(_) | Ending::Panicked) {
        return ending;
    }
    let foreign = |finding: &FindingReport| finding.rule == ids::FOREIGN_MEMORY.to_string();
    match again() {
        Ok(Ending::Done(report)) if report.findings.iter().any(foreign) => Ending::Done(report),
        Ok(Ending::Destroyed(known)) if known.findings.iter().any(foreign) => {
            Ending::Destroyed(known)
        }
        _ => ending,
    }
}

/// Says in the channel what happens.
pub(crate) fn teller(channel: &Channel) -> Box<dyn FnMut(Progress)> {
    let mut teller = channel.clone();
    Box::new(move |progress| match progress {
        Progress::Step(step) => teller.send(&Message::Step(step)),
        Progress::Finding(finding) => teller.send(&Message::Finding(finding)),
    })
}

/// Has the other end of the channel write files.
pub(crate) fn writer(channel: &Channel) -> WriteOutput {
    let mut writer = channel.clone();
    Box::new(move |path, bytes| {
        writer.send(&Message::Output(path.to_owned(), bytes.to_vec()));
        Ok(())
    })
}
