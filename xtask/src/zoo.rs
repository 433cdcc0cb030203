//! What is found of the zoo, after how many runs and how long: by each strategy, and by audits.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
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
const TOLD: &[&str] = &["DQ0555", "DQ0556", "DQ0557", "DQ0584"];

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
    let program = program(tree)?;
    let zoo = tree.root().join("zoo");
    let mut head = String::from("| driver |");
    let mut rule = String::from("|---|");
    for (name, _) in STRATEGIES {
        write!(head, " {name} |")?;
        rule.push_str("---|");
    }
    println!("{head}\n{rule}");
    for name in names(&zoo)? {
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

/// A name, and what `dirql audit` is told.
///
/// The budget is one of seconds, so that the whole zoo comes to its end.
const AUDITS: &[(&str, &[&str])] = &[
    ("--quick", &["--quick"]),
    ("--budget 10s", &["--budget", "10s"]),
];

/// The page with the rule of each mistake.
const PAGE: &str = "docs/src/zoo.md";

/// Prints what audits find of each driver, and of its twin: rules, runs, seconds.
///
/// # Errors
/// The program cannot be built or run, or says something that is no result; or what it finds in a
/// driver is not what the page says, or a twin is not clean.
pub(crate) fn audits(tree: &Tree) -> Result<()> {
    let program = program(tree)?;
    let zoo = tree.root().join("zoo");
    let page = std::fs::read_to_string(tree.root().join(PAGE)).context(PAGE)?;
    let mut wrong: Vec<String> = Vec::new();
    println!("| driver | audit | found | runs | seconds | runs of the twin | seconds |");
    println!("|---|---|---|---|---|---|---|");
    for name in names(&zoo)? {
        let rule =
            rule_of(&page, &name).with_context(|| format!("{PAGE} says nothing of {name}"))?;
        for (title, arguments) in AUDITS {
            let of = audit(&program, &zoo, &name, "", arguments)?;
            let twin = audit(&program, &zoo, &name, "-fixed", arguments)?;
            println!(
                "| `{name}` | {title} | {} | {} | {:.1} | {} | {:.1} |",
                of.rules.join(", "),
                of.runs,
                of.time.as_secs_f64(),
                twin.runs,
                twin.time.as_secs_f64(),
            );
            // What is wrong with memory is told in two ways, and a short audit may come to one of them.
            let is_right = |found: &String| found == rule || TOLD.contains(&found.as_str());
            if !of.rules.iter().any(is_right) {
                let found = of.rules.join(", ");
                wrong.push(format!("{name}, {title}: not {rule}, but {found}"));
            }
            if twin.verdict != "clean" {
                let found = twin.rules.join(", ");
                wrong.push(format!("{name}-fixed, {title}: {} {found}", twin.verdict));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The rule that a page's table has beside a driver.
fn rule_of<'page>(page: &'page str, name: &str) -> Option<&'page str> {
    let begin = format!("| `{name}` |");
    let row = page.lines().find(|line| line.starts_with(&begin))?;
    let (_, link) = row.split_once("| [")?;
    Some(link.split_once(']')?.0)
}

/// How often each finding is shown again.
const REPLAYS: usize = 100;

/// Has each finding of each driver shown again by processes that know nothing but its string.
///
/// # Errors
/// The program cannot be built or run; or it finds nothing in a driver; or it does not say the same
/// of a finding every time.
pub(crate) fn replays(tree: &Tree) -> Result<()> {
    let program = program(tree)?;
    let zoo = tree.root().join("zoo");
    let mut total = 0;
    for name in names(&zoo)? {
        let mut schedules = Vec::new();
        for granularity in ["ddi", "access"] {
            let (result, _) = result_of(
                Command::new(&program)
                    .current_dir(&zoo)
                    .arg("explore")
                    .arg(format!("{name}/{name}.sys"))
                    .args(["--format", "json", "--granularity", granularity])
                    .args(["--preemptions", "2", BUDGET]),
                &name,
            )?;
            let found = result["discoveries"].as_array().context("no discoveries")?;
            let strings = found.iter().filter_map(|found| found["schedule"].as_str());
            schedules.extend(strings.map(str::to_owned));
        }
        ensure!(!schedules.is_empty(), "{name}: nothing is found");
        for schedule in &schedules {
            let again = || replay(&program, &zoo, &name, schedule);
            let first = again()?;
            for number in 1..REPLAYS {
                ensure!(again()? == first, "{name}: replay {number} of {schedule}");
            }
        }
        println!(
            "{name}: {} findings, {REPLAYS} replays each",
            schedules.len()
        );
        total += schedules.len() * REPLAYS;
    }
    println!("{total} replays, all the same as the first of their finding");
    Ok(())
}

/// What a process says that is given a schedule.
fn replay(program: &Path, zoo: &Path, name: &str, schedule: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let output = Command::new(program)
        .current_dir(zoo)
        .arg("replay")
        .arg(schedule)
        .arg(format!("{name}/{name}.sys"))
        .arg(format!("--scenario={name}/{name}.toml"))
        .output()
        .context("cannot run dirql")?;
    ensure!(
        output.status.code() == Some(1),
        "{name}: a replay of {schedule} shows nothing"
    );
    Ok((output.stdout, output.stderr))
}

/// What an audit has found.
struct Audited {
    verdict: String,
    rules: Vec<String>,
    runs: u64,
    time: Duration,
}

fn audit(
    program: &Path,
    zoo: &Path,
    name: &str,
    twin: &str,
    arguments: &[&str],
) -> Result<Audited> {
    let (result, time) = result_of(
        Command::new(program)
            .current_dir(zoo)
            .arg("audit")
            .arg(format!("{name}/{name}{twin}.sys"))
            .arg(format!("--scenario={name}/{name}.toml"))
            .args(["--format", "json"])
            .args(arguments),
        name,
    )?;
    let findings = result["findings"].as_array().context("no findings")?;
    let mut rules: Vec<String> = findings
        .iter()
        .filter_map(|found| Some(found["finding"]["rule"].as_str()?.to_owned()))
        .collect();
    rules.sort();
    rules.dedup();
    let verdict = result["verdict"].as_str().context("no verdict")?;
    Ok(Audited {
        verdict: verdict.into(),
        rules,
        runs: result["runs"].as_u64().context("no runs")?,
        time,
    })
}

/// The program, built for measuring.
fn program(tree: &Tree) -> Result<PathBuf> {
    Task::cargo(tree.root())
        .args(["build", "--locked", "--release", "--package", "dirql"])
        .run()?;
    Ok(tree.target().join("release/dirql"))
}

/// The drivers, in order.
fn names(zoo: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(zoo).context("the zoo")? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What a command prints, and how long it took.
fn result_of(command: &mut Command, name: &str) -> Result<(serde_json::Value, Duration)> {
    #[expect(clippy::disallowed_types, reason = "the time is what is measured")]
    let start = std::time::Instant::now();
    let output = command.output().context("cannot run dirql")?;
    let time = start.elapsed();
    let code = output.status.code();
    ensure!(
        matches!(code, Some(0 | 1 | 4)),
        "{name}: exit code {code:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((serde_json::from_slice(&output.stdout)?, time))
}

/// One search; `None` if it did not find the mistake.
fn search(
    program: &Path,
    zoo: &Path,
    name: &str,
    arguments: &[&str],
    granularity: &str,
) -> Result<Option<Found>> {
    let (result, time) = result_of(
        Command::new(program)
            .current_dir(zoo)
            .arg("explore")
            .arg(format!("{name}/{name}.sys"))
            .args(["--format", "json", "--granularity", granularity, BUDGET])
            .args(arguments),
        name,
    )?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_which_rule_is_broken() {
        let page =
            "| driver | mistake | rule |\n| `a-b` | A list | [DQ0110](rules.md#dq0110) | 2 |\n";
        assert_eq!(rule_of(page, "a-b"), Some("DQ0110"));
        assert_eq!(rule_of(page, "a"), None);
    }
}
