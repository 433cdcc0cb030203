//! Commands, each in its file.

mod addresses;
mod args;
mod audit;
mod clock;
mod coverage;
mod explain;
mod explore;
mod imports;
mod isolate;
mod models;
mod output;
mod pictures;
mod played;
mod replay;
mod report;
mod run;
mod shell;
mod subject;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use output::Output;

/// How a command ended, as style and documentation number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Exit {
    /// Nothing is wrong.
    Clean = 0,
    /// Something was found.
    Findings = 1,
    /// A usage or scenario error.
    Usage = 2,
    /// A driver could not be loaded.
    Load = 3,
    /// A limit was reached.
    NoVerdict = 4,
    /// A defect of dirql.
    Defect = 101,
}

/// Why a command did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What, where. May be styled and have several lines.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// An error of standard output or of a file that is written. A closed pipe is nobody's fault.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self {
                exit: Exit::Clean,
                message: String::new(),
                help: None,
            };
        }
        Self::usage(format!("cannot write: {error}"))
    }
}

pub(crate) fn main() -> ExitCode {
    addresses::fix();
    let args = Args::parse();
    args.color.write_global();
    let mut out = Output::new(args.quiet, args.verbose);
    let result = match args.command {
        Command::Run(run) => run::run(&run, &mut out),
        Command::Audit(audit) => audit::audit(&audit, &mut out),
        Command::Explore(explore) => explore::explore(&explore, &mut out),
        Command::Replay(replay) => replay::replay(&replay, &mut out),
        Command::Report(report) => report::report(&report, &mut out),
        Command::Merge(merge) => explore::merge(&merge, &mut out),
        Command::Imports(imports) => imports::imports(&imports, &mut out),
        Command::Explain(explain) => explain::explain(&explain, &mut out),
        Command::Models => models::models(&mut out),
        Command::Completions { shell } => shell::completions(shell, &mut out),
        Command::Man { command } => shell::man(command.as_deref(), &mut out),
    };
    let result = result.and_then(|exit| out.flush().map(|()| exit).map_err(Into::into));
    let exit = result.unwrap_or_else(|failure| {
        out.fail(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}
