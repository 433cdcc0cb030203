//! `dirql replay`

use dirql::report::Report;
use dirql::{Plan, ReplayError, Schedule};

use super::args::{Replay, Run};
use super::isolate::{self, Channel, Message};
use super::output::Output;
use super::{Exit, Failure, run, subject, trace};

pub(crate) fn replay(args: &Replay, out: &mut Output) -> Result<Exit, Failure> {
    let schedule = schedule(&args.schedule)?;
    let (scenario, used) = subject::scenario(&args.subject, out.is_styled())?;
    let again = subject::command(
        &["replay", &schedule.to_string()],
        &args.subject,
        used.as_deref(),
    );
    let ending = isolate::isolated(
        args.time_limit,
        |channel| {
            let message = match try_replay(args, scenario.clone(), &schedule, channel) {
                Ok(report) => Message::Done(Box::new(report)),
                Err(failure) => Message::Failed(failure),
            };
            channel.send(&message);
        },
        |step| out.detail_note(step),
    );
    let ending = ending
        .map_err(|error| Failure::usage(format!("cannot make a process for the run: {error}")))?;
    // From here on it is a run like others.
    let like = Run {
        fail: None,
        subject: args.subject.clone(),
        trace: None,
        format: args.format,
        output: args.output.clone(),
        time_limit: args.time_limit,
    };
    run::conclude(&like, &scenario, ending, again, out)
}

/// The schedule in an argument, or in the file that it names.
fn schedule(text: &str) -> Result<Schedule, Failure> {
    let wrong = match text.parse() {
        Ok(schedule) => return Ok(schedule),
        Err(error) => error,
    };
    let Ok(file) = std::fs::read_to_string(text) else {
        return Err(Failure::usage(format!("{text}: {wrong}")));
    };
    let word = file
        .split(|c: char| c.is_whitespace() || c == '"')
        .find(|word| word.parse::<Schedule>().is_ok());
    match word {
        Some(word) => word
            .parse()
            .map_err(|error| Failure::usage(format!("{text}: {error}"))),
        None => {
            let first = file.split_whitespace().next().unwrap_or_default();
            let wrong = first
                .parse::<Schedule>()
                .map_or_else(|error| error, |_| wrong);
            Err(Failure::usage(format!("{text}: {wrong}")))
        }
    }
}

fn try_replay(
    args: &Replay,
    scenario: dirql::scenario::Scenario,
    schedule: &Schedule,
    channel: &Channel,
) -> Result<Report, Failure> {
    let subject = &args.subject;
    let windows = subject
        .windows
        .or(scenario.machine.windows)
        .unwrap_or(dirql::WindowsVersion::Ten);
    let plan = Plan::new(
        scenario,
        subject.processors,
        subject.windows,
        subject.max_steps,
    )
    .map_err(|error| subject::failure(&error, windows))?;
    let teller = run::teller(channel)?;
    let (sink, error) = match &args.trace {
        Some(path) => {
            let wrong =
                |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
            let (sink, error) = trace::sink(path).map_err(wrong)?;
            (Some(sink), Some(error))
        }
        None => (None, None),
    };
    let report = plan
        .replay(schedule, Some(teller), sink)
        .map_err(|error| match error {
            ReplayError::Bench(error) => subject::failure(&error, windows),
            error => {
                let help = match &error {
                    ReplayError::Image { .. } => "give the driver that it was found in",
                    _ => "give the scenario, and the options, that it was found with",
                };
                Failure::usage(error.to_string()).help(help)
            }
        })?;
    if let (Some(path), Some(error)) = (&args.trace, error.and_then(|error| error.take())) {
        return Err(Failure::usage(format!("{}: {error}", path.display())));
    }
    Ok(report)
}
