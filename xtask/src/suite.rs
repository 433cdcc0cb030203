//! `cargo xtask test`: every test there is.

use std::io::IsTerminal as _;

use anyhow::{Result, bail};

use crate::samples::{self, Compilers};
use crate::setup;
use crate::summary::Summary;
use crate::task::Task;
use crate::tree::Tree;

/// Installs what is missing and runs every test. The last line says how many.
///
/// # Errors
/// If something cannot be installed, or a test fails.
pub(crate) fn run(tree: &Tree, compilers: Compilers) -> Result<()> {
    setup::run(tree)?;
    samples::check(tree, compilers)?;
    let mut summary = Summary::default();
    let failures = [iointex(tree), documentation(tree), workspace(tree)]
        .into_iter()
        .filter_map(|task| task.run_watched(|line| summary.watch(line)).err())
        .map(|error| eprintln!("error: {error}"))
        .count();
    println!("{summary}");
    if failures > 0 || summary.failed > 0 {
        bail!("tests failed");
    }
    if summary.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// The library for drivers has a workspace of its own.
fn iointex(tree: &Tree) -> Task {
    cargo(tree)
        .args([
            "test",
            "--quiet",
            "--locked",
            "--manifest-path",
            "iointex/Cargo.toml",
            "--target-dir",
        ])
        .arg(tree.target().join("iointex"))
}

fn documentation(tree: &Tree) -> Task {
    cargo(tree).args(["test", "--quiet", "--locked", "--workspace", "--doc"])
}

/// With nextest every test has a process, which is what tests of signal handlers like best;
/// without it they take turns, because a process simulates one computer at a time.
fn workspace(tree: &Tree) -> Task {
    if Task::cargo(tree.root())
        .args(["nextest", "--version"])
        .succeeds()
    {
        let quiet = ["--status-level", "fail", "--hide-progress-bar"];
        return cargo(tree)
            .args([
                "nextest",
                "run",
                "--locked",
                "--workspace",
                "--no-fail-fast",
            ])
            .args(quiet);
    }
    cargo(tree).args([
        "test",
        "--quiet",
        "--locked",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
        "--no-fail-fast",
    ])
}

fn cargo(tree: &Tree) -> Task {
    let colour = if std::io::stdout().is_terminal() {
        "always"
    } else {
        "never"
    };
    Task::cargo(tree.root()).env("CARGO_TERM_COLOR", colour)
}
