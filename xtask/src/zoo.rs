//! What is found of the zoo, after how many runs and how long: by each strategy, and by audits.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
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
        let planted =
            Planted::of(&page, &name).with_context(|| format!("{PAGE} says nothing of {name}"))?;
        for (title, arguments) in AUDITS {
            let of = audit(&program, &zoo, &name, "", arguments)?;
            let twin = audit(&program, &zoo, &name, "-fixed", arguments)?;
            println!(
                "| `{name}` | {title} | {} | {} | {:.1} | {} | {:.1} |",
                of.rules(),
                of.runs,
                of.time.as_secs_f64(),
                twin.runs,
                twin.time.as_secs_f64(),
            );
            if of.code != Some(1) || !of.found.iter().any(|found| planted.is_told_by(found)) {
                wrong.push(format!(
                    "{name}, {title}: not {planted}, but {} and exit code {:?}",
                    of.said(),
                    of.code
                ));
            }
            if twin.verdict != "clean" {
                let found = twin.said();
                wrong.push(format!("{name}-fixed, {title}: {} {found}", twin.verdict));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What the page's table says of a driver's mistake.
#[derive(Debug, PartialEq, Eq)]
struct Planted<'page> {
    rule: &'page str,
    /// The functions that a finding of it names; none if what tells of it names none.
    functions: BTreeSet<&'page str>,
}

impl<'page> Planted<'page> {
    fn of(page: &'page str, name: &str) -> Option<Self> {
        let begin = format!("| `{name}` |");
        let row = page.lines().find(|line| line.starts_with(&begin))?;
        let (_, link) = row.split_once("| [")?;
        let (rule, rest) = link.split_once(']')?;
        let functions = rest.split('|').nth(1)?;
        Some(Self {
            rule,
            functions: functions.split('`').skip(1).step_by(2).collect(),
        })
    }

    /// Whether a finding is of this mistake. What is wrong with memory is told in two ways, and a short
    /// audit may come to one of them. A race is reported from either side.
    fn is_told_by(&self, found: &Told) -> bool {
        let is_rule = found.rule == self.rule || TOLD.contains(&found.rule.as_str());
        let named = found.functions.iter().map(String::as_str);
        is_rule && (self.functions.is_empty() || named.collect::<BTreeSet<_>>() == self.functions)
    }
}

impl fmt::Display for Planted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<&str> = self.functions.iter().copied().collect();
        write!(f, "{} in {}", self.rule, functions.join(" and "))
    }
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
            let (result, ..) = result_of(
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

/// A finding: its rule, and the functions that it names.
struct Told {
    rule: String,
    functions: BTreeSet<String>,
}

impl Told {
    fn read(finding: &serde_json::Value) -> Option<Self> {
        let places = [&finding["place"], &finding["earlier"]["place"]];
        let codes = places
            .into_iter()
            .filter_map(|place| place["code"].as_str());
        Some(Self {
            rule: finding["rule"].as_str()?.to_owned(),
            functions: codes.filter_map(function).map(str::to_owned).collect(),
        })
    }
}

/// The function in a place such as `edu.sys!EduIsr+0x12 (edu.c:52)`.
fn function(code: &str) -> Option<&str> {
    let (_, rest) = code.split_once('!')?;
    rest.split(['+', ' ']).next()
}

/// What an audit has found.
struct Audited {
    verdict: String,
    code: Option<i32>,
    found: Vec<Told>,
    runs: u64,
    time: Duration,
}

impl Audited {
    /// The rules, each once.
    fn rules(&self) -> String {
        let rules: BTreeSet<&str> = self.found.iter().map(|found| found.rule.as_str()).collect();
        rules.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// The findings with their functions.
    fn said(&self) -> String {
        let said = self.found.iter().map(|found| {
            let functions: Vec<&str> = found.functions.iter().map(String::as_str).collect();
            format!("{} in {}", found.rule, functions.join(" and "))
        });
        said.collect::<Vec<_>>().join(", ")
    }
}

fn audit(
    program: &Path,
    zoo: &Path,
    name: &str,
    twin: &str,
    arguments: &[&str],
) -> Result<Audited> {
    let (result, time, code) = result_of(
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
    let found = findings
        .iter()
        .filter_map(|found| Told::read(&found["finding"]));
    let verdict = result["verdict"].as_str().context("no verdict")?;
    Ok(Audited {
        verdict: verdict.into(),
        code,
        found: found.collect(),
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

/// What a command prints, how long it took, and its exit code.
fn result_of(
    command: &mut Command,
    name: &str,
) -> Result<(serde_json::Value, Duration, Option<i32>)> {
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
    Ok((serde_json::from_slice(&output.stdout)?, time, code))
}

/// One search; `None` if it did not find the mistake.
fn search(
    program: &Path,
    zoo: &Path,
    name: &str,
    arguments: &[&str],
    granularity: &str,
) -> Result<Option<Found>> {
    let (result, time, _) = result_of(
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
    fn a_row_says_which_rule_is_broken_and_where() {
        let page = "\
| driver | mistake | rule | functions | switches |
| `a-b` | A list | [DQ0110](rules.md#dq0110) | `Isr`, `Read` | 2 |
| `c` | A flag | [DQ0180](rules.md#dq0180) | – | 1 |
";
        let two = Planted::of(page, "a-b").expect("it is there");
        assert_eq!(two.to_string(), "DQ0110 in Isr and Read");
        let none = Planted::of(page, "c").expect("it is there");
        assert_eq!((none.rule, none.functions.len()), ("DQ0180", 0));
        assert_eq!(Planted::of(page, "a"), None);
    }

    #[test]
    fn a_finding_is_of_a_mistake_from_either_side() {
        let page = "| `a` | A list | [DQ0110](rules.md) | `Isr`, `Read` | 2 |\n";
        let planted = Planted::of(page, "a").expect("it is there");
        let told = |rule: &str, here: &str, earlier: &str| {
            let finding = serde_json::json!({
                "rule": rule,
                "place": { "code": here },
                "earlier": { "place": { "code": earlier } },
            });
            planted.is_told_by(&Told::read(&finding).expect("it is one"))
        };
        let (isr, read) = ("a.sys!Isr+0x12 (a.c:5)", "a.sys!Read (a.c:1)");
        assert!(told("DQ0110", isr, read) && told("DQ0110", read, isr));
        assert!(told("DQ0555", read, isr));
        assert!(!told("DQ0111", isr, read));
        assert!(!told("DQ0110", isr, isr));
        assert!(!told("DQ0110", isr, "a.sys+0x1234"));
    }
}
