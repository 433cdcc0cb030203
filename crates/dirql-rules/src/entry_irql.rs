//! The IRQL at which each DDI may be called.

use dirql_abi::Irql;

use crate::RuleId;
use crate::name::is_before;
use crate::table::ids;

mod a_to_i;
mod j_to_o;
mod p_to_z;

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
    IrqlRule {
        rule,
        ddi,
        lowest: Irql::PASSIVE,
        highest,
        source,
    }
}

const fn exactly(rule: RuleId, ddi: &'static str, level: Irql, source: &'static str) -> IrqlRule {
    IrqlRule {
        rule,
        ddi,
        lowest: level,
        highest: level,
        source,
    }
}

const fn at_least(rule: RuleId, ddi: &'static str, lowest: Irql, source: &'static str) -> IrqlRule {
    IrqlRule {
        rule,
        ddi,
        lowest,
        highest: Irql::HIGH,
        source,
    }
}

/// DISPATCH_LEVEL, or SYNCH_LEVEL if the lock was taken so. Which of the two is the lock's affair.
const fn lock_level(ddi: &'static str, source: &'static str) -> IrqlRule {
    IrqlRule {
        rule: ids::ENTRY_LEVEL,
        ddi,
        lowest: Irql::DISPATCH,
        highest: Irql::SYNCH,
        source,
    }
}

/// The parts of [`ENTRY_IRQL`], which follow each other by name.
const PARTS: [&[IrqlRule]; 3] = [a_to_i::ROWS, j_to_o::ROWS, p_to_z::ROWS];

static JOINED: [IrqlRule; PARTS[0].len() + PARTS[1].len() + PARTS[2].len()] = {
    let mut joined = [PARTS[0][0]; PARTS[0].len() + PARTS[1].len() + PARTS[2].len()];
    let (mut part, mut at) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            joined[at] = PARTS[part][row];
            row += 1;
            at += 1;
        }
        part += 1;
    }
    joined
};

/// DDIs with a level rule, sorted by name. A name that is missing may be called at any level.
pub const ENTRY_IRQL: &[IrqlRule] = &JOINED;

const _: () = {
    let mut row = 1;
    while row < ENTRY_IRQL.len() {
        assert!(
            is_before(ENTRY_IRQL[row - 1].ddi, ENTRY_IRQL[row].ddi),
            "ENTRY_IRQL is sorted by name"
        );
        row += 1;
    }
};

/// The level rule of a DDI, or `None` if it may be called at any level.
///
/// Constant, so that each export finds its rule when the table of exports is compiled.
#[must_use]
pub const fn entry_irql(ddi: &str) -> Option<&'static IrqlRule> {
    let (mut low, mut high) = (0, ENTRY_IRQL.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(ENTRY_IRQL[middle].ddi, ddi) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low < ENTRY_IRQL.len() && !is_before(ddi, ENTRY_IRQL[low].ddi) {
        Some(&ENTRY_IRQL[low])
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_the_whole_name_only() {
        assert_eq!(
            entry_irql("KeSetEvent").map(|rule| rule.highest),
            Some(Irql::DISPATCH)
        );
        assert_eq!(entry_irql("KeSetEven"), None);
        assert_eq!(entry_irql("KeSetEventBoost"), None);
        assert_eq!(entry_irql(""), None);
    }

    #[test]
    fn every_row_is_found() {
        for rule in ENTRY_IRQL {
            assert_eq!(entry_irql(rule.ddi), Some(rule));
        }
    }
}
