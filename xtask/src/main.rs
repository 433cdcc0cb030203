//! The project's own commands: `cargo xtask COMMAND`.
//!
//! Everything that is asked of a change is asked by [`gates`], on a developer's machine and in
//! CI alike; nothing is checked in CI that cannot be run here.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output is what it is for"
)]

mod book;
mod fuzz;
mod gates;
mod layers;
mod licences;
mod lints;
mod no_std;
mod problem;
mod samples;
mod setup;
mod suite;
mod summary;
mod task;
mod tree;
mod zoo;

use std::process::ExitCode;

use anyhow::Result;

use tree::Tree;

const USAGE: &str = "\
The project's own commands.

Usage: cargo xtask COMMAND

  setup               installs what the tests need, or says what to install
  test                setup, then every test
  ci [GATE]           everything that is asked of a change, or one gate of it: format, lints,
                      layers, licences, clippy, no-std, documentation, first-command, examples, tests,
                      fuzz
  samples [--check]   builds the bundled drivers again; with --check only compares
  pages [--check]     writes the book's pages of rules, models and the contract; with --check only compares
  picture             takes the picture of a timeline that the README shows
  zoo                 measures what each strategy finds of the zoo, and prints a table
  zoo --audit         the same of audits; fails if a rule or a function is not the planted one, or a twin is not clean
  zoo --replays       has each finding of the zoo shown 100 times from its string, by a process each
  fuzz [TARGET [SECONDS]]
                      fuzzes one of the entry functions of dirql-fuzz with libFuzzer: connect for 60 s
  examples [--bless]  runs the commands that README and book show; with --bless takes their output
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["-h" | "--help" | "help"] = arguments[..] {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs a command; `None` if there is no such command.
fn run(arguments: &[&str]) -> Option<Result<()>> {
    let tree = Tree::here();
    Some(match arguments {
        ["setup"] => setup::run(&tree),
        ["test"] => suite::run(&tree, samples::Compilers::Any),
        ["ci"] => gates::run(&tree, None),
        ["ci", gate] => gates::run(&tree, Some(gate)),
        ["samples"] => samples::update(&tree),
        ["samples", "--check"] => samples::check(&tree, samples::Compilers::Bundled),
        ["pages"] => book::pages::write(&tree),
        ["pages", "--check"] => problem::none(book::pages::check(&tree)),
        ["zoo"] => zoo::table(&tree),
        ["zoo", "--audit"] => zoo::audits(&tree),
        ["zoo", "--replays"] => zoo::replays(&tree),
        ["picture"] => book::picture::take(&tree),
        ["fuzz"] => fuzz::run(&tree, fuzz::USUAL),
        ["fuzz", target] => fuzz::run(&tree, (target, fuzz::USUAL.1)),
        ["fuzz", target, seconds] => fuzz::run(&tree, (target, seconds)),
        ["examples"] => book::examples::run(&tree, book::examples::Mode::Compare),
        ["examples", "--bless"] => book::examples::run(&tree, book::examples::Mode::Bless),
        _ => return None,
    })
}
