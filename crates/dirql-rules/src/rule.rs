//! A rule as data.

use core::fmt;

/// The permanent name of a rule, for example `DQ0104`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DQ{:04}", self.0)
    }
}

/// How bad it is to break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; not a defect by itself.
    Advice,
    /// A defect on some machines or schedules, or a sign of one.
    Warning,
    /// A defect.
    Error,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Permanent ID.
    pub id: RuleId,
    /// How bad it is.
    pub severity: Severity,
    /// What a driver must do, in one sentence.
    pub headline: &'static str,
    /// What to do about it, in one sentence.
    pub help: &'static str,
    /// Document and section title that says so.
    pub source: &'static str,
    /// The rule or bug check with which Windows reports it, or `""`.
    pub windows: &'static str,
}

/// The rule with this ID.
#[must_use]
pub fn rule(id: RuleId) -> Option<&'static Rule> {
    crate::RULES.iter().find(|rule| rule.id == id)
}
