//! `dirql completions` and `dirql man`

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Args;
use super::output::Output;
use super::{Exit, Failure};

pub(crate) fn completions(shell: Shell, out: &mut Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "dirql", &mut script);
    out.results().write_all(&script)?;
    Ok(Exit::Clean)
}

pub(crate) fn man(command: Option<&str>, out: &mut Output) -> Result<Exit, Failure> {
    let mut whole = Args::command();
    whole.build();
    let page = match command {
        None => whole,
        Some(name) => match whole.find_subcommand(name) {
            Some(command) => command.clone(),
            None => {
                let names: Vec<&str> = whole
                    .get_subcommands()
                    .map(clap::Command::get_name)
                    .collect();
                return Err(Failure::usage(format!("there is no command `{name}`"))
                    .help(format!("commands: {}", names.join(", "))));
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    out.results().write_all(&text)?;
    Ok(Exit::Clean)
}
