//! The definition of the command line, from which help, completions and manual pages come.

mod audit;
mod device;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use dirql::scenario::DeviceSpec;
use dirql::{FailurePoint, WindowsVersion};
use dirql_rules::RuleId;

use self::device::device;

pub(crate) use self::audit::Audit;

const EXIT_CODES: &str = "\
Exit codes: 0 clean, 1 findings, 2 usage or scenario error, 3 driver could not be loaded, \
4 no verdict, 101 a defect of dirql, 130 interrupted.";

/// Runs Windows drivers as they ship, and lets their devices interrupt them.
#[derive(Debug, Parser)]
#[command(name = "dirql", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to use colour; NO_COLOR and CLICOLOR_FORCE count for `auto`
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,

    /// Say only what is wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more, such as what drivers print with DbgPrint
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a driver: load it, start its device, interrupt it
    Run(Run),
    /// Try everything that a careful reviewer would: interrupt it everywhere, break what it needs
    Audit(Audit),
    /// Try every order in which a driver's interrupts and threads can meet
    Explore(Explore),
    /// Run one order again
    Replay(Replay),
    /// Make a page of traces and results: one HTML file with timelines
    Report(Report),
    /// Join results of `explore`
    Merge(Merge),
    /// Say what drivers import and what of it is implemented
    Imports(Imports),
    /// Explain a rule, or list all of them
    Explain(Explain),
    /// List the device models with their options
    Models,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in the language of man
    Man {
        /// The page of this command
        command: Option<String>,
    },
}

const RUN_EXAMPLES: &str = "\
Examples:
  dirql run edu.sys                        play edu.toml if it is there, else the default scenario
  dirql run edu.sys --device edu           load, start, open, one interrupt, close, remove, unload
  dirql run edu.sys --scenario busy.toml --processors 2 --windows 7
  dirql run edu.sys --trace edu.json       and open edu.json in a Perfetto or Chrome trace viewer
  dirql run edu.sys --report edu.html      and open edu.html in a browser

`dirql models` lists the device models.";

/// What is run: a driver, a scenario, and what changes it.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Subject {
    /// The driver, a `.sys` file for x64; or a scenario, a `.toml` file that names one
    #[arg(value_name = "DRIVER.sys", value_hint = ValueHint::FilePath)]
    pub(crate) driver: PathBuf,

    /// What is to happen; without it, the file of the driver's name with the ending .toml, or
    /// every device once through its life
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) scenario: Option<PathBuf>,

    /// Plug a device in, in place of a scenario; may be repeated. Keys: name, interrupts (line,
    /// msi[:N], msix[:N]), line, shared, driver, and the options of the model
    #[arg(long, value_name = "MODEL[,KEY=VALUE...]", value_parser = device, conflicts_with = "scenario")]
    pub(crate) device: Vec<DeviceSpec>,

    /// Number of processors, 1 to 256
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) processors: Option<u16>,

    /// The Windows version to be: winxp64, server2003, vista, 7, 8, 8.1, 10, 11
    #[arg(long, value_name = "VERSION", value_parser = windows_parser())]
    pub(crate) windows: Option<WindowsVersion>,

    /// Steps after which a run ends without a verdict
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_steps: Option<u64>,

    /// Do not report findings against this rule; may be repeated, as the two below
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub(crate) allow: Vec<RuleId>,

    /// Report them, but do not count them
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub(crate) warn: Vec<RuleId>,

    /// Count them as errors, advice too
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub(crate) deny: Vec<RuleId>,

    /// Let the processes that run drivers keep all rights that you have: the driver's code can
    /// then do to your files and processes what you can
    #[arg(long)]
    pub(crate) no_sandbox: bool,

    /// Give every block of pool pages of its own, so that an access past its end, or after it was
    /// freed, faults
    #[arg(long)]
    pub(crate) special_pool: bool,

    /// Judge by no rules: tell only bug checks, hangs, deadlocks, storms, attacks and expectations that
    /// fail, as Windows without Driver Verifier would show them
    #[arg(long)]
    pub(crate) no_rules: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) subject: Subject,

    /// Make one thing fail, counted from 1: allocation:N, call:N or connect:N. Expectations of the scenario
    /// do not count then; the report of a run without it says how many there are (--verbose)
    #[arg(long, value_name = "KIND:N")]
    pub(crate) fail: Option<FailurePoint>,

    /// Write every event to a file: `.json` for trace viewers, `.vcd` for viewers of waveforms,
    /// `.jsonl` for programs and `dirql report`, else text; `-` is standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) pictures: Pictures,

    /// Write which basic blocks of the drivers ran: as lcov's tracefile if the name ends with .info,
    /// as a page for .html, as JSON for .json, else as text; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) coverage: Vec<PathBuf>,

    /// The form of the report on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,

    /// Write the report to a file as well, as JSON if its name ends with .json, JUnit's form for
    /// .xml, SARIF for .sarif; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Vec<PathBuf>,

    /// Go on after a bug check of a routine's own, for what else there is: the routine does nothing and
    /// says that it failed. A fault, a deadlock and what else nothing can go on after end the run
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// Seconds of real time after which the run is given up; a last resort, as it makes the
    /// result depend on the machine
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) time_limit: u32,
}

/// Pictures of a run.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Pictures {
    /// Write a page with the run's timeline, one HTML file that needs nothing else
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,

    /// Draw the run as text behind the report: of each processor its IRQL as a staircase, with
    /// lines and locks
    #[arg(long)]
    pub(crate) timeline: bool,
}

impl Pictures {
    /// Whether any is wanted.
    pub(crate) const fn is_any(&self) -> bool {
        self.timeline || self.report.is_some()
    }
}

/// Seconds of real time after which one run is given up.
const TIME_LIMIT: u32 = 300;

const EXPLORE_EXAMPLES: &str = "\
Examples:
  dirql explore edu.sys                             every order with few switches
  dirql explore edu.sys --strategy exhaustive       one run for each class of orders
  dirql explore edu.sys --strategy pct --seeds 0..10000 --keep-going
  dirql explore edu.sys --preemptions 3 --jobs 4 --budget 10m
  dirql explore edu.sys --shard 1/4 --output part1.json     then: dirql merge part*.json";

#[derive(Debug, ClapArgs)]
#[command(after_help = EXPLORE_EXAMPLES)]
pub(crate) struct Explore {
    #[command(flatten)]
    pub(crate) subject: Subject,

    /// Which order to try next
    #[arg(long, value_enum, default_value_t)]
    pub(crate) strategy: StrategyName,

    /// `bounded`, `exhaustive`: orders with at most so many switches, those with fewer first; `all`
    /// for no bound. By itself `bounded` has 2, and 3 where at most 250 orders have 2;
    /// `exhaustive` has no bound
    #[arg(long, value_name = "N|all")]
    pub(crate) preemptions: Option<Preemptions>,

    /// `random`, `pct`: the seeds, one run each
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..1000")]
    pub(crate) seeds: std::ops::Range<u64>,

    /// `random`, `pct`: only this seed
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,

    /// `pct`: how many orders have to hold for what is looked for
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) depth: u32,

    /// Where something else may happen first
    #[arg(long, value_enum, default_value_t)]
    pub(crate) granularity: Granularity,

    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,

    /// Only one part of N, which have nothing in common and are everything together
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<(u64, u64)>,

    /// Stop after so much real time (90s, 10m, 2h) or so many runs (a number)
    #[arg(long, value_name = "TIME|RUNS", value_parser = budget)]
    pub(crate) budget: Option<Budget>,

    /// Keep what is done in a file, and go on from there if the search was interrupted
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) resume: Option<PathBuf>,

    /// Go on after a finding, for others
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// Write a page with what was found and the timeline of each finding, one HTML file
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,

    /// Write which basic blocks of the drivers ran: as lcov's tracefile if the name ends with .info,
    /// as a page for .html, as JSON for .json, else as text; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) coverage: Vec<PathBuf>,

    /// The form of the result on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,

    /// Write the result to a file as well, as JSON if its name ends with .json, JUnit's form for
    /// .xml, SARIF for .sarif; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// The schedule, as `dirql explore` prints it; or a file with one
    #[arg(value_name = "SCHEDULE|FILE")]
    pub(crate) schedule: String,

    #[command(flatten)]
    pub(crate) subject: Subject,

    /// Write every event to a file: `.json` for trace viewers, `.vcd` for viewers of waveforms,
    /// `.jsonl` for programs and `dirql report`, else text; `-` is standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) pictures: Pictures,

    /// The form of the report on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,

    /// Write the report to a file as well, as JSON if its name ends with .json, JUnit's form for
    /// .xml, SARIF for .sarif; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Vec<PathBuf>,

    /// Seconds of real time after which the run is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) time_limit: u32,
}

const REPORT_EXAMPLES: &str = "\
Examples:
  dirql run edu.sys --trace run.jsonl --output run.json
  dirql report run.json run.jsonl                    writes run.html";

#[derive(Debug, ClapArgs)]
#[command(after_help = REPORT_EXAMPLES)]
pub(crate) struct Report {
    /// Traces (`--trace FILE.jsonl`), reports of runs and results of `explore` (`--output
    /// FILE.json`)
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// The page; without it the first file's name with the ending .html
    #[arg(short, long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Also draw each trace as text
    #[arg(long)]
    pub(crate) timeline: bool,

    /// A directory to look for source files in, besides those of the files; may be repeated
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub(crate) source: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Merge {
    /// Results of `dirql explore --output FILE.json`
    #[arg(value_name = "FILE.json", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// The form of the result on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
}

/// Which order to try next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyName {
    /// What happens by itself, once
    Default,
    /// At random
    Random,
    /// Probabilistic concurrency testing
    Pct,
    /// Every order with few switches, those with fewer first
    #[default]
    Bounded,
    /// Everything: one run for each class of orders that have the same effect
    Exhaustive,
}

/// Where something else may happen first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Granularity {
    /// At calls into the kernel, changes of the level, locks, and accesses to devices
    #[default]
    Ddi,
    /// Also before each access to memory that meets another one's
    Access,
    /// Before each instruction
    Instruction,
}

/// How many switches an order may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preemptions {
    /// At most so many.
    Most(u32),
    /// Any number.
    All,
}

impl std::str::FromStr for Preemptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let most = text.parse().ok().filter(|most| *most <= 100);
        most.map(Self::Most)
            .ok_or_else(|| "a number up to 100, or `all`".into())
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// After so many runs.
    Runs(u64),
    /// After so much real time.
    Time(std::time::Duration),
}

fn budget(text: &str) -> Result<Budget, String> {
    let wrong = || "a time such as 90s, 10m or 2h, or a number of runs".to_owned();
    let (digits, factor) = match text.chars().last() {
        Some('s') => (&text[..text.len() - 1], Some(1)),
        Some('m') => (&text[..text.len() - 1], Some(60)),
        Some('h') => (&text[..text.len() - 1], Some(3600)),
        _ => (text, None),
    };
    let number: u32 = digits.parse().map_err(|_| wrong())?;
    if number == 0 {
        return Err(wrong());
    }
    Ok(match factor {
        None => Budget::Runs(u64::from(number)),
        Some(factor) => Budget::Time(std::time::Duration::from_secs(u64::from(number) * factor)),
    })
}

/// `A..B`, at least one.
fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(start, end)| {
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        (start < end).then_some(start..end)
    });
    parsed.ok_or_else(|| "two numbers such as 0..1000, the second larger".into())
}

/// `I/N`, counted from 1; the part counts from 0.
fn shard(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once('/').and_then(|(part, of)| {
        let (part, of): (u64, u64) = (part.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&part).then(|| (part - 1, of))
    });
    parsed.ok_or_else(|| "a part of a number of parts, such as 1/4".into())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Imports {
    /// The drivers
    #[arg(value_name = "DRIVER.sys", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) drivers: Vec<PathBuf>,

    /// Say also what this Windows version does not have
    #[arg(long, value_name = "VERSION", value_parser = windows_parser())]
    pub(crate) windows: Option<WindowsVersion>,

    /// The form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The rule's ID, for example DQ0104; without it, all rules are listed
    pub(crate) rule: Option<String>,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text
    #[default]
    Human,
    /// JSON with a schema version
    Json,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Text
    #[default]
    Human,
    /// JSON with a schema version
    Json,
    /// JUnit's XML, for CI services
    Junit,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands of GitHub Actions
    Github,
}

impl ReportFormat {
    /// The form that a file's name stands for.
    pub(crate) fn of_file(path: &std::path::Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Self::Json,
            Some("xml") => Self::Junit,
            Some("sarif") => Self::Sarif,
            _ => Self::Human,
        }
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Makes this the choice of everything that is written.
    pub(crate) fn write_global(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

fn windows_parser() -> impl clap::builder::TypedValueParser<Value = WindowsVersion> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(WindowsVersion::ALL.map(WindowsVersion::name))
        .try_map(|name| name.parse::<WindowsVersion>())
}

/// A rule by its ID: `DQ0104`, `dq104` or `104`.
pub(crate) fn rule(text: &str) -> Result<RuleId, String> {
    let digits = match text.get(..2) {
        Some(start) if start.eq_ignore_ascii_case("DQ") => &text[2..],
        _ => text,
    };
    // `parse` would take a plus sign.
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = is_number.then(|| digits.parse().ok()).flatten();
    number
        .map(RuleId)
        .filter(|id| dirql_rules::rule(*id).is_some())
        .ok_or_else(|| "rules are named as in DQ0104; `dirql explain` lists all of them".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn budgets_seeds_and_shards_are_read_strictly() {
        assert_eq!(budget("500"), Ok(Budget::Runs(500)));
        let minutes = std::time::Duration::from_secs(600);
        assert_eq!(budget("10m"), Ok(Budget::Time(minutes)));
        for wrong in ["0", "", "m", "-1", "10d", "0s", "1.5h"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seeds("3..4"), Ok(3..4));
        for wrong in ["3..3", "4..3", "3", "..", "a..b"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(shard("1/4"), Ok((0, 4)));
        assert_eq!(shard("4/4"), Ok((3, 4)));
        for wrong in ["0/4", "5/4", "1", "/", "0/0"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
        assert_eq!("all".parse(), Ok(Preemptions::All));
        assert_eq!("0".parse(), Ok(Preemptions::Most(0)));
        assert!("101".parse::<Preemptions>().is_err());
    }
}
