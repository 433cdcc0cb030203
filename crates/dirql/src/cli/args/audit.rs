//! The command line of `dirql audit`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use dirql::audit::Trial;

use super::{Budget, Pictures, ReportFormat, Run, Subject, TIME_LIMIT, budget};

const AUDIT_EXAMPLES: &str = "\
Examples:
  dirql audit edu.sys                      about a minute; edu.toml and edu.inf are used if there
  dirql audit edu.sys --quick              a few seconds
  dirql audit edu.sys --deep --budget 8h --jobs 8
  dirql audit edu.sys --report edu.html    and open edu.html in a browser
  dirql audit edu.sys --trial life,spurious=120     one trial again, as its finding said";

#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = AUDIT_EXAMPLES)]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) subject: Subject,

    /// Less of everything: a few seconds
    #[arg(long, conflicts_with_all = ["deep", "budget"])]
    pub(crate) quick: bool,

    /// Everything that there is to try, and orders with up to three switches; takes as long as it
    /// takes, or as `--budget` says
    #[arg(long)]
    pub(crate) deep: bool,

    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,

    /// Stop after so much real time (90s, 10m, 2h), or try about so many runs (a number)
    #[arg(long, value_name = "TIME|RUNS", value_parser = budget)]
    pub(crate) budget: Option<Budget>,

    /// The first seed of devices that lie
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Play one trial only, as a finding names it, and report it as `run` does
    #[arg(long, value_name = "TRIAL", conflicts_with_all = ["quick", "deep", "budget"])]
    pub(crate) trial: Option<Trial>,

    /// With `--trial`: write every event of the run to a file, as `dirql run` does; `-` is standard
    /// output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "trial")]
    pub(crate) trace: Option<PathBuf>,

    /// With `--trial`: draw the run as text behind the report
    #[arg(long, requires = "trial")]
    pub(crate) timeline: bool,

    /// Write a page with what was tried and found and the timeline of each finding, one HTML file
    /// that needs nothing else; with `--trial`, of that run
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,

    /// Write which basic blocks of the drivers ran: as lcov's tracefile if the name ends with .info,
    /// as a page for .html, as JSON for .json, else as text; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) coverage: Vec<PathBuf>,

    /// Do not note which code ran; an audit takes less time then
    #[arg(long, conflicts_with = "coverage")]
    pub(crate) no_coverage: bool,

    /// The form of the page on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,

    /// Write the page to a file as well, as JSON if its name ends with .json, JUnit's form for
    /// .xml, SARIF for .sarif; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Vec<PathBuf>,
}

impl Run {
    /// What reports one trial of an audit.
    pub(crate) fn of_audit(audit: &Audit) -> Self {
        Self {
            subject: audit.subject.clone(),
            fail: None,
            keep_going: false,
            trace: audit.trace.clone(),
            pictures: Pictures {
                report: audit.report.clone(),
                timeline: audit.timeline,
            },
            coverage: audit.coverage.clone(),
            format: audit.format,
            output: audit.output.clone(),
            time_limit: TIME_LIMIT,
        }
    }
}
