//! `dirql replay`

use dirql::report::Report;
use dirql::{Plan, ReplayError, Schedule, WindowsVersion};

use super::args::{Replay, Run};
use super::explore::supervisor;
use super::isolate::{Channel, Limit, Message};
use super::output::Output;
use super::pictures::Pictures;
use super::trace::{self, Target};
use super::{Exit, Failure, run, subject};

pub(crate) fn replay(args: &Replay, out: &mut Output) -> Result<Exit, Failure> {
    let schedule = schedule(&args.schedule)?;
    let (scenario, used) = subject::scenario(&args.subject, out.is_styled())?;
    let again = subject::command(
        &["replay", &schedule.to_string()],
        &args.subject,
        used.as_deref(),
    );
    let windows = subject::windows(&args.subject, &scenario);
    // The process that runs it may not open files.
    let plan = Plan::new(
        scenario.clone(),
        args.subject.processors,
        args.subject.windows,
        args.subject.max_steps,
    )
    .map_err(|error| subject::failure(&error, windows))?
    .judged(subject::levels(&args.subject));
    let trace = args.trace.as_deref().map(Target::open).transpose()?;
    let pictures = Pictures::new(&args.pictures)?;
    let keeps: Vec<_> = trace
        .iter()
        .map(Target::number)
        .chain(pictures.number())
        .collect();
    let body = |channel: &mut Channel| {
        let message = match try_replay(args, &plan, &schedule, (trace, &pictures), channel) {
            Ok(report) => Message::Done(Box::new(report)),
            Err(failure) => Message::Failed(failure),
        };
        channel.send(&message);
    };
    let ending = run::heard(args.time_limit, &keeps, &scenario, body, out)?;
    let ending = run::explained(ending, || {
        let deviations = &schedule.deviations;
        supervisor::recorded(
            &plan,
            &schedule.points,
            deviations,
            Limit::Real(args.time_limit),
        )
    });
    pictures.again(&ending, args.time_limit, |sink, _| {
        let _ = plan.replay(&schedule, None, Some(sink));
    })?;
    // From here on it is a run like others.
    let like = Run {
        fail: None,
        subject: args.subject.clone(),
        coverage: Vec::new(),
        trace: None,
        pictures: args.pictures.clone(),
        format: args.format,
        output: args.output.clone(),
        time_limit: args.time_limit,
    };
    run::conclude(&like, &scenario, ending, again, &pictures, out)
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
    plan: &Plan,
    schedule: &Schedule,
    (trace, pictures): (Option<Target>, &Pictures),
    channel: &Channel,
) -> Result<Report, Failure> {
    let teller = run::teller(channel);
    let (sink, error) = trace.map(trace::sink).unzip();
    let (film, sink) = pictures.film(sink);
    let windows = plan
        .scenario()
        .machine
        .windows
        .unwrap_or(WindowsVersion::Ten);
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
    pictures.keep(film.as_ref())?;
    Ok(report)
}
