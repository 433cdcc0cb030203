//! What comes out of an audit.

use dirql_rules::ids;
use serde::{Deserialize, Serialize};

use crate::coverage::CoverageSummary;
use crate::report::{FindingReport, PlaceReport, Verdict};

/// The form's name and version; see [`crate::report::SCHEMA`].
pub const SCHEMA: &str = "dirql-audit/1";

/// What came out of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// What came out of it.
    pub verdict: Verdict,
    /// The driver, as it was named.
    pub driver: String,
    /// The scenario file, if there was one.
    pub scenario: Option<String>,
    /// The Windows version of most runs.
    pub windows: String,
    /// The devices, each as name and model.
    pub devices: Vec<String>,
    /// What was tried, in order.
    pub groups: Vec<GroupReport>,
    /// What was found, the worst first.
    pub findings: Vec<AuditFinding>,
    /// How much of the drivers has run, and what has not.
    #[serde(default)]
    pub coverage: Vec<CoverageSummary>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Runs in all.
    pub runs: u64,
}

/// How much of one thing was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// What.
    pub title: String,
    /// Runs that came to their end.
    pub runs: u64,
    /// Cases that were tried.
    pub tried: u64,
    /// Cases that there are; `None` if nobody knows.
    pub of: Option<u64>,
    /// Runs that ended at a limit, without a verdict.
    pub no_verdict: u64,
    /// Findings that were seen here, known ones included.
    pub findings: u64,
}

/// A finding, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFinding {
    /// What.
    pub finding: FindingReport,
    /// What was made to fail, and where, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Where the order of events differs from what happens by itself, in words.
    pub switches: Vec<String>,
    /// The group in which it was seen first.
    pub group: String,
    /// The trial that shows it.
    pub trial: String,
    /// The command that shows it.
    pub replay: String,
    /// Trials in which it was seen.
    pub seen: u64,
}

/// What a trial does to a driver, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was made to fail, and where.
    pub failed: Option<String>,
    /// Where the order of events differs from what happens by itself.
    pub switches: Vec<String>,
}

/// What one run or search gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Runs that came to their end.
    pub runs: u64,
    /// Runs that ended at a limit, without a verdict.
    pub no_verdict: u64,
    /// Everything that the search could try was tried; a run is always complete.
    pub complete: bool,
    /// Runs of the search that are known to be left.
    pub left: u64,
    /// What was found, and the trial that shows it.
    pub found: Vec<(FindingReport, String)>,
}

/// Tells findings apart: the same rule in the same functions is the same finding. An expectation
/// of the scenario is told by its line.
#[must_use]
pub fn key(finding: &FindingReport) -> [String; 4] {
    let function = |place: &PlaceReport| {
        let code = place.code.as_deref().unwrap_or_default();
        let end = code.find(['+', ' ']).unwrap_or(code.len());
        if code[..end].contains('!') {
            code[..end].to_owned()
        } else {
            // Without a name there is the place alone.
            code.split(' ').next().unwrap_or_default().to_owned()
        }
    };
    let what = if finding.rule == ids::EXPECTATION.to_string() {
        let message = finding.message.split(": expected").next();
        message.unwrap_or_default().to_owned()
    } else {
        finding.place.ddi.clone().unwrap_or_default()
    };
    let earlier = finding.earlier.as_ref();
    [
        finding.rule.clone(),
        function(&finding.place),
        earlier
            .map(|earlier| function(&earlier.place))
            .unwrap_or_default(),
        what,
    ]
}

/// How bad a finding is; what is worse is less.
#[must_use]
pub fn badness(finding: &FindingReport) -> (u8, String) {
    let class = match (&*finding.severity, &*finding.rule) {
        // What stops the system, or dirql's process, comes first.
        ("error", "DQ0001" | "DQ0450" | "DQ0301" | "DQ0302") => 0,
        ("error", "DQ0003" | "DQ0110" | "DQ0111" | "DQ0579") => 1,
        ("error", "DQ0180") => 3,
        ("error", _) => 2,
        ("warning", _) => 4,
        _ => 5,
    };
    (class, finding.rule.clone())
}

impl AuditReport {
    /// Adds what a trial of a group has found.
    pub fn add(&mut self, group: usize, finding: FindingReport, trial: &str) {
        let Some(of) = self.groups.get_mut(group) else {
            return;
        };
        of.findings += 1;
        let wanted = key(&finding);
        let known = self
            .findings
            .iter_mut()
            .find(|known| key(&known.finding) == wanted);
        match known {
            Some(known) => known.seen += 1,
            None => self.findings.push(AuditFinding {
                finding,
                failed: None,
                switches: Vec::new(),
                group: of.title.clone(),
                trial: trial.into(),
                replay: String::new(),
                seen: 1,
            }),
        }
    }

    /// Puts the worst first, and says what all this means.
    pub fn judge(&mut self) {
        self.findings.sort_by_key(|found| badness(&found.finding));
        self.runs = self.groups.iter().map(|group| group.runs).sum();
        let found = self.findings.iter().any(|found| found.finding.is_defect());
        let no_verdict = self.groups.iter().any(|group| group.no_verdict > 0);
        self.verdict = match (found, no_verdict || self.runs == 0) {
            (true, _) => Verdict::Findings,
            (false, true) => Verdict::NoVerdict,
            (false, false) => Verdict::Clean,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &str, message: &str, code: Option<&str>) -> FindingReport {
        let mut finding: FindingReport = serde_json::from_str(
            r#"{"rule":"","severity":"error","headline":"","message":"","place":
            {"step":1,"time_100ns":0,"processor":0,"irql":0,"context":"","ddi":null,"code":null,"image":null,"source":null},
            "earlier":null,"help":"","source":"","windows":""}"#,
        )
        .unwrap();
        finding.rule = rule.into();
        finding.message = message.into();
        finding.place.code = code.map(Into::into);
        finding
    }

    fn report() -> AuditReport {
        AuditReport {
            schema: SCHEMA.into(),
            verdict: Verdict::NoVerdict,
            driver: "a.sys".into(),
            scenario: None,
            windows: "10".into(),
            devices: Vec::new(),
            groups: vec![GroupReport {
                title: "one".into(),
                runs: 3,
                ..GroupReport::default()
            }],
            findings: Vec::new(),
            coverage: Vec::new(),
            notes: Vec::new(),
            runs: 0,
        }
    }

    #[test]
    fn the_same_rule_in_the_same_function_is_one_finding() {
        let mut report = report();
        for code in [
            "a.sys!Isr+0x12 (a.c:5)",
            "a.sys!Isr+0x40 (a.c:9)",
            "a.sys!Dpc",
        ] {
            report.add(0, finding("DQ0110", "m", Some(code)), "life");
        }
        // Addresses in messages make no difference.
        for message in ["left 16 bytes at 0x10", "left 16 bytes at 0x20"] {
            report.add(0, finding("DQ0150", message, None), "life");
        }
        let seen: Vec<u64> = report.findings.iter().map(|found| found.seen).collect();
        assert_eq!(seen, [2, 1, 2]);
    }

    #[test]
    fn expectations_are_told_apart_by_their_lines() {
        let mut report = report();
        for message in [
            "a.toml:1: read: expected 1, was: 2",
            "a.toml:1: read: expected 1, was: 3",
            "a.toml:2: read: expected 1, was: 3",
        ] {
            report.add(0, finding("DQ0180", message, None), "as-it-is");
        }
        assert_eq!(report.findings.len(), 2);
    }

    #[test]
    fn what_stops_the_system_comes_first() {
        let mut report = report();
        for rule in ["DQ0180", "DQ0150", "DQ0001"] {
            report.add(0, finding(rule, rule, None), "life");
        }
        report.judge();
        let rules: Vec<&str> = report
            .findings
            .iter()
            .map(|found| &*found.finding.rule)
            .collect();
        assert_eq!(rules, ["DQ0001", "DQ0150", "DQ0180"]);
        assert_eq!((report.verdict, report.runs), (Verdict::Findings, 3));
    }

    #[test]
    fn runs_that_were_not_long_enough_leave_no_verdict() {
        let mut report = report();
        report.judge();
        assert_eq!(report.verdict, Verdict::Clean);
        report.groups[0].no_verdict = 1;
        report.judge();
        assert_eq!(report.verdict, Verdict::NoVerdict);
    }
}
