//! What is made of the rules that a user judges otherwise.

use std::collections::BTreeMap;

use dirql_rules::{RuleId, Severity};

use crate::report::{FindingReport, Report, Verdict, severity_name};

/// What a finding against a rule is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing: it is not reported.
    Allow,
    /// Advice: it is reported and does not count.
    Warn,
    /// An error.
    Deny,
}

/// Rules that are judged otherwise than the table of rules says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels(BTreeMap<String, Level>);

impl Levels {
    /// Judges a rule otherwise; the last word counts.
    pub fn set(&mut self, rule: RuleId, level: Level) {
        self.0.insert(rule.to_string(), level);
    }

    /// The finding as it is to be reported, if it is.
    pub(crate) fn judged(&self, mut finding: FindingReport) -> Option<FindingReport> {
        let severity = match self.0.get(&finding.rule) {
            None => return Some(finding),
            Some(Level::Allow) => return None,
            Some(Level::Warn) => Severity::Advice,
            Some(Level::Deny) => Severity::Error,
        };
        finding.severity = severity_name(severity).into();
        Some(finding)
    }

    /// Judges the findings of a run, and what they come to. A run that ended early with nothing that
    /// counts has no verdict: what would have come is not known.
    pub(crate) fn judge(&self, report: &mut Report) {
        if self.0.is_empty() {
            return;
        }
        let findings = std::mem::take(&mut report.findings);
        report.findings = findings
            .into_iter()
            .filter_map(|finding| self.judged(finding))
            .collect();
        let found = report.findings.iter().any(FindingReport::is_defect);
        report.verdict = match (found, report.ended_early.is_some()) {
            (true, _) => Verdict::Findings,
            (false, true) => Verdict::NoVerdict,
            (false, false) => Verdict::Clean,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WindowsVersion;
    use dirql_rules::{Finding, Place, ids};

    fn report() -> Report {
        let mut report = Report::empty(WindowsVersion::Ten, 1);
        for rule in [ids::POOL_LEAK, ids::LONG_INTERRUPT] {
            let finding = Finding {
                rule,
                message: String::new(),
                place: Place::default(),
                earlier: None,
            };
            let finding = FindingReport::new(&finding, &crate::bench::Addresses::default());
            report.findings.push(finding);
        }
        report.verdict = Verdict::Findings;
        report
    }

    fn judged(levels: &[(RuleId, Level)], ended: bool) -> (Vec<(String, String)>, Verdict) {
        let mut all = Levels::default();
        for (rule, level) in levels {
            all.set(*rule, *level);
        }
        let mut report = report();
        report.ended_early = ended.then(|| "a reason".into());
        all.judge(&mut report);
        let of = |finding: FindingReport| (finding.rule, finding.severity);
        (
            report.findings.into_iter().map(of).collect(),
            report.verdict,
        )
    }

    #[test]
    fn what_is_allowed_is_gone_what_is_denied_counts() {
        let row = |rule: &str, severity: &str| (rule.to_owned(), severity.to_owned());
        let (leak, long) = (row("DQ0150", "error"), row("DQ0607", "advice"));
        let both = vec![leak, long.clone()];
        assert_eq!(judged(&[], false), (both, Verdict::Findings));
        let allowed = [(ids::POOL_LEAK, Level::Allow)];
        assert_eq!(
            judged(&allowed, false),
            (vec![long.clone()], Verdict::Clean)
        );
        assert_eq!(
            judged(&allowed, true),
            (vec![long.clone()], Verdict::NoVerdict)
        );
        let warned = [(ids::POOL_LEAK, Level::Warn)];
        let both = vec![row("DQ0150", "advice"), long];
        assert_eq!(judged(&warned, false), (both, Verdict::Clean));
        let denied = [
            (ids::POOL_LEAK, Level::Allow),
            (ids::LONG_INTERRUPT, Level::Deny),
        ];
        let one = vec![row("DQ0607", "error")];
        assert_eq!(judged(&denied, false), (one, Verdict::Findings));
    }
}
