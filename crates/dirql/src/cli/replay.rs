//! `dirql replay`

use dirql::{Plan, ReplayError, Schedule, WindowsVersion};

use super::args::{Replay, Run};
use super::explore::supervisor;
use super::isolate::{Channel, Limit};
use super::output::Output;
use super::played::{explained, played, teller};
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
    // From here on it is a run like others.
    let like = Run {
        fail: None,
        keep_going: false,
        subject: args.subject.clone(),
        coverage: Vec::new(),
        trace: args.trace.clone(),
        pictures: args.pictures.clone(),
        format: args.format,
        output: args.output.clone(),
        time_limit: args.time_limit,
    };
    let play = |sink, channel: &mut Channel| {
        plan.replay(&schedule, Some(teller(channel)), sink)
            .map_err(|error| failure(&error, windows))
    };
    let (ending, pictures) = played(&like, &scenario, play, out)?;
    let ending = explained(ending, || {
        let deviations = &schedule.deviations;
        supervisor::recorded(
            &plan,
            &schedule.points,
            deviations,
            Limit::Real(args.time_limit),
        )
    });
    run::conclude(&like, &scenario, ending, again, &pictures, out)
}

fn failure(error: &ReplayError, windows: WindowsVersion) -> Failure {
    let help = match error {
        ReplayError::Bench(error) => return subject::failure(error, windows),
        ReplayError::Image { .. } => "give the driver that it was found in",
        _ => "give the scenario, and the options, that it was found with",
    };
    Failure::usage(error.to_string()).help(help)
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
