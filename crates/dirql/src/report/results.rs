//! What a command found, in the forms that other programs read.
//!
//! A command that runs drivers ends with a verdict and findings, each with the command that shows
//! it again. That is all that the forms for code scanning and for test reports need, so every such
//! command makes [`Results`] of what it has, and no form knows where they come from.

use super::{FindingReport, Report, Verdict};

/// What a command found.
#[derive(Clone, Debug)]
pub struct Results<'a> {
    /// What was done, for example `run edu.sys`.
    pub name: String,
    /// The driver, as it was named.
    pub driver: String,
    /// What came out of it.
    pub verdict: Verdict,
    /// Why it ended early, or what is missing of it, in words.
    pub incomplete: Option<&'a str>,
    /// What was found.
    pub found: Vec<Found<'a>>,
}

/// A finding, and the command that shows it again; may be empty.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// What was found.
    pub finding: &'a FindingReport,
    /// The command.
    pub replay: &'a str,
}

impl<'a> Results<'a> {
    /// Those of one run of `driver`, which `command` names, for example `run`.
    #[must_use]
    pub fn of_report(report: &'a Report, command: &str, driver: &str) -> Self {
        let found = report.findings.iter().map(|finding| Found {
            finding,
            replay: &report.replay,
        });
        Self {
            name: format!("{command} {driver}"),
            driver: driver.into(),
            verdict: report.verdict,
            incomplete: report.ended_early.as_deref(),
            found: found.collect(),
        }
    }
}
