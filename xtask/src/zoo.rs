//! What each strategy finds of the zoo, after how many runs and how long.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::task::Task;
use crate::tree::Tree;

/// A name, and what `dirql explore` is told.
const STRATEGIES: &[(&str, &[&str])] = &[
    ("default", &["--strategy", "default"]),
    ("random", &["--strategy", "random", "--seeds", "0..3000"]),
    ("pct", &["--strategy", "pct", "--seeds", "0..3000"]),
    ("at most 2 switches", &["--preemptions", "2"]),
    ("one of each class", &["--preemptions", "all"]),
];

/// The longest that one search may take.
const BUDGET: &str = "--budget=10s";

/// Rules that are told from recorded accesses and not by a search.
const TOLD: &[&str] = &["DQ0555", "DQ0556", "DQ0557"];

/// What a search has found.
struct Found {
    switches: u64,
    runs: u64,
    time: Duration,
}

/// Prints the table: runs, seconds and switches for each driver and strategy.
///
/// # Errors
/// The program cannot be built or run, or says something that is no result.
pub(crate) fn table(tree: &Tree) -> Result<()> {
    let root = tree.root();
    Task::cargo(root)
        .args(["build", "--locked", "--release", "--package", "dirql"])
        .run()?;
    let program = tree.target().join("release/dirql");
    let zoo = root.join("zoo");
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&zoo).context("the zoo")? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut head = String::from("| driver |");
    let mut rule = String::from("|---|");
    for (name, _) in STRATEGIES {
        write!(head, " {name} |")?;
        rule.push_str("---|");
    }
    println!("{head}\n{rule}");
    for name in names {
        let mut line = format!("| `{name}` |");
        for (_, arguments) in STRATEGIES {
            // Where nothing is found between calls, it may be between accesses to memory.
            let found = match search(&program, &zoo, &name, arguments, "ddi")? {
                Some(found) => Some((found, "")),
                None => search(&program, &zoo, &name, arguments, "access")?
                    .map(|found| (found, ", `access`")),
            };
            match found {
                Some((found, granularity)) => write!(
                    line,
                    " {} runs, {:.2} s, {} switches{granularity} |",
                    found.runs,
                    found.time.as_secs_f64(),
                    found.switches
                )?,
                None => line.push_str(" – |"),
            }
        }
        println!("{line}");
    }
    Ok(())
}

/// One search; `None` if it did not find the mistake.
fn search(
    program: &Path,
    zoo: &Path,
    name: &str,
    arguments: &[&str],
    granularity: &str,
) -> Result<Option<Found>> {
    #[expect(clippy::disallowed_types, reason = "the time is what is measured")]
    let start = std::time::Instant::now();
    let output = Command::new(program)
        .current_dir(zoo)
        .arg("explore")
        .arg(format!("{name}/{name}.sys"))
        .args(["--format", "json", "--granularity", granularity, BUDGET])
        .args(arguments)
        .output()
        .context("cannot run dirql")?;
    let time = start.elapsed();
    let code = output.status.code();
    ensure!(
        matches!(code, Some(0 | 1 | 4)),
        "{name}: exit code {code:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let discoveries = result["discoveries"].as_array().context("no discoveries")?;
    let planted = discoveries.iter().find(|discovery| {
        let rule = discovery["finding"]["rule"].as_str().unwrap_or_default();
        !TOLD.contains(&rule)
    });
    let Some(planted) = planted else {
        return Ok(None);
    };
    Ok(Some(Found {
        switches: planted["switches"].as_u64().context("no switches")?,
        runs: result["runs"].as_u64().context("no runs")?,
        time,
    }))
}
