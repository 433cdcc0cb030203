//! Why each rule is one, with code that breaks it and code that does not.
//!
//! What `dirql explain` prints and the book's page of rules are made of the same texts.

mod driver;
mod interrupts;
mod levels;
mod memory;
mod requests;

use crate::RuleId;

/// A rule's explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rule.
    pub id: RuleId,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// C code that breaks it; empty where it is not about code.
    pub wrong: &'static str,
    /// The same, put right.
    pub right: &'static str,
}

/// Explanations in order of ID: `ID: why, wrong, right;`
macro_rules! explanations {
    ($($id:literal: $why:literal, $wrong:literal, $right:literal;)*) => {
        pub(super) const EXPLANATIONS: &[crate::Explanation] = &[
            $(crate::Explanation { id: crate::RuleId($id), why: $why, wrong: $wrong, right: $right },)*
        ];
    };
}
use explanations;

/// The explanation of a rule.
#[must_use]
pub fn explanation(id: RuleId) -> Option<&'static Explanation> {
    let topics = [
        levels::EXPLANATIONS,
        interrupts::EXPLANATIONS,
        requests::EXPLANATIONS,
        memory::EXPLANATIONS,
        driver::EXPLANATIONS,
    ];
    topics
        .into_iter()
        .flatten()
        .find(|explanation| explanation.id == id)
}
