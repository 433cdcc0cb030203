//! A rule as data.

use core::fmt;

use crate::ids;

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

/// What is told of a run that judges by no rules.
const OUTCOMES: &[RuleId] = &[
    ids::BUG_CHECK,
    ids::UNIMPLEMENTED_IMPORT,
    ids::HANG,
    ids::DRIVER_BREAKPOINT,
    ids::UNSUPPORTED_INSTRUCTION,
    ids::SELF_DEADLOCK,
    ids::DEADLOCK,
    ids::INTERRUPT_STORM,
    ids::EXPECTATION,
    ids::CANCELLED_REQUEST,
    ids::LIVELOCK,
    ids::SYSTEM_CALL,
    ids::FOREIGN_CODE,
    ids::FOREIGN_MEMORY,
    ids::PROCESS_DESTROYED,
];

/// Whether the rule says how a run went wrong, not how a driver broke a rule in a run that may have
/// gone well: the system stopped or came to a standstill, the scenario was not answered, the code
/// attacked what runs it. Such rules hold in runs that judge by no others.
#[must_use]
pub fn is_outcome(id: RuleId) -> bool {
    OUTCOMES.contains(&id)
}

/// The rule with this ID.
#[must_use]
pub fn rule(id: RuleId) -> Option<&'static Rule> {
    crate::RULES.iter().find(|rule| rule.id == id)
}
