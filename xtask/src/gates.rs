//! `cargo xtask ci`: everything that is asked of a change, cheapest first.

#![expect(
    clippy::disallowed_types,
    reason = "says how long each gate took; nothing simulated reads it"
)]

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::book::examples;
use crate::samples::Compilers;
use crate::task::Task;
use crate::tree::Tree;
use crate::{fuzz, layers, licences, lints, no_std, problem, suite};

type Gate = (&'static str, fn(&Tree) -> Result<()>);

const GATES: &[Gate] = &[
    ("format", format),
    ("lints", lints::run),
    ("layers", |tree| problem::none(layers::check(tree))),
    ("licences", |tree| problem::none(licences::check(tree))),
    ("clippy", clippy),
    ("no-std", no_std::check),
    ("documentation", documentation),
    ("first-command", first_command),
    ("examples", |tree| {
        examples::run(tree, examples::Mode::Compare)
    }),
    ("tests", |tree| suite::run(tree, Compilers::Bundled)),
    ("fuzz", fuzz::of_change),
];

/// Runs the gate of that name, or all, and stops at the first that fails.
///
/// # Errors
/// Of the gate that failed; or there is none of that name.
pub(crate) fn run(tree: &Tree, only: Option<&str>) -> Result<()> {
    let gates: Vec<&Gate> = GATES
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name))
        .collect();
    if gates.is_empty() {
        let names: Vec<&str> = GATES.iter().map(|(name, _)| *name).collect();
        bail!("there is no such gate; there are {}", names.join(", "));
    }
    let mut times = Vec::new();
    for (name, gate) in gates {
        eprintln!("=== {name}");
        let start = Instant::now();
        gate(tree).with_context(|| format!("the gate \"{name}\" failed"))?;
        times.push(format!("{name} {} s", start.elapsed().as_secs()));
    }
    eprintln!("=== passed: {}", times.join(", "));
    Ok(())
}

fn format(tree: &Tree) -> Result<()> {
    Task::cargo(tree.root())
        .args(["fmt", "--all", "--check"])
        .run()?;
    Task::cargo(tree.root())
        .args(["fmt", "--manifest-path", "iointex/Cargo.toml", "--check"])
        .run()
}

fn clippy(tree: &Tree) -> Result<()> {
    let strict = ["--", "-D", "warnings"];
    Task::cargo(tree.root())
        .args(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(strict)
        .run()?;
    Task::cargo(tree.root())
        .args([
            "clippy",
            "--locked",
            "--manifest-path",
            "iointex/Cargo.toml",
            "--all-targets",
            "--target-dir",
        ])
        .arg(tree.target().join("iointex"))
        .args(strict)
        .run()
}

fn documentation(tree: &Tree) -> Result<()> {
    Task::cargo(tree.root())
        .args(["doc", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

/// The first command of the README, as it stands there.
fn first_command(tree: &Tree) -> Result<()> {
    let readme = tree.read("README.md")?;
    let command = readme
        .lines()
        .find_map(|line| line.trim().strip_prefix("cargo run --release "))
        .context("README.md shows no `cargo run --release …`")?;
    Task::cargo(tree.root())
        .args(["run", "--locked", "--release"])
        .args(command.split_whitespace())
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_does_not_exist_is_an_error() {
        let error = run(&Tree::here(), Some("no-such-gate")).unwrap_err();
        assert!(
            error.to_string().contains("format, lints, layers"),
            "{error}"
        );
    }
}
