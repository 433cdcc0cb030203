//! What a driver is not allowed to do.
//!
//! Rules are data: an ID that is never reused, a headline, a source. A [`Finding`] is one
//! report against one rule; a [`BugCheck`] is how Windows would have ended.
//!
//! Invariant: nothing here knows how a run was scheduled, or how driver code is run.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bug_check;
mod define;
mod entry_irql;
mod explain;
mod finding;
mod name;
pub mod prohibited;
mod rule;
mod table;

pub use bug_check::BugCheck;
pub use entry_irql::{ENTRY_IRQL, IrqlRule, entry_irql};
pub use explain::{Explanation, explanation};
pub use finding::{Context, Finding, Place};
pub use name::is_before;
pub use rule::{Rule, RuleId, Severity, is_outcome, rule};
pub use table::{RULES, ids};
