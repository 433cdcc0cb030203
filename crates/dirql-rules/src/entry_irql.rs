//! The IRQL at which each DDI may be called.

use dirql_abi::Irql;

use crate::RuleId;
use crate::table::ids;

/// One row: a DDI and the levels at which it may be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqlRule {
    /// The rule that a call at another level breaks.
    pub rule: RuleId,
    /// The DDI's exported name.
    pub ddi: &'static str,
    /// Lowest level allowed on entry.
    pub lowest: Irql,
    /// Highest level allowed on entry.
    pub highest: Irql,
    /// Where this is written.
    pub source: &'static str,
}

const fn at_most(rule: RuleId, ddi: &'static str, highest: Irql, source: &'static str) -> IrqlRule {
    IrqlRule { rule, ddi, lowest: Irql::PASSIVE, highest, source }
}

const fn exactly(rule: RuleId, ddi: &'static str, level: Irql, source: &'static str) -> IrqlRule {
    IrqlRule { rule, ddi, lowest: level, highest: level, source }
}

const PAGE: &str = "WDK reference, the routine's page, IRQL row";

/// DDIs with a level rule, sorted by name. A name that is missing may be called at any level.
#[rustfmt::skip] // read as a table
pub const ENTRY_IRQL: &[IrqlRule] = &[
    //       rule                 DDI                                  level            source
    at_most(ids::CONNECT_IRQL,    "IoConnectInterrupt",                Irql::PASSIVE,   "Rule IrqlIoPassive2; wdm.IoConnectInterrupt, IRQL row"),
    at_most(ids::CONNECT_IRQL,    "IoConnectInterruptEx",              Irql::PASSIVE,   "wdm.IoConnectInterruptEx, IRQL row"),
    at_most(ids::CONNECT_IRQL,    "IoDisconnectInterrupt",             Irql::PASSIVE,   "Rule IrqlIoPassive4; wdm.IoDisconnectInterrupt, IRQL row"),
    at_most(ids::CONNECT_IRQL,    "IoDisconnectInterruptEx",           Irql::PASSIVE,   "wdm.IoDisconnectInterruptEx, IRQL row"),
    at_most(ids::REPORT_IRQL,     "IoReportInterruptActive",           Irql::DISPATCH,  PAGE),
    at_most(ids::REPORT_IRQL,     "IoReportInterruptInactive",         Irql::DISPATCH,  PAGE),
];

/// The level rule of a DDI, or `None` if it may be called at any level.
#[must_use]
pub const fn entry_irql(ddi: &str) -> Option<&'static IrqlRule> {
    let mut row = 0;
    while row < ENTRY_IRQL.len() {
        if same(ENTRY_IRQL[row].ddi, ddi) {
            return Some(&ENTRY_IRQL[row]);
        }
        row += 1;
    }
    None
}

/// Comparison that can run while the table of exports is compiled.
const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}
