//! What a line of the table of rules becomes.

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $headline:literal, $help:literal, $source:literal, $windows:literal;)*) => {
        /// The rules' IDs by name.
        pub mod ids {
            use crate::RuleId;
            $(#[doc = $headline] pub const $name: RuleId = RuleId($id);)*
        }

        /// Every rule, in order of ID.
        pub const RULES: &[Rule] = &[
            $(Rule { id: RuleId($id), severity: $severity, headline: $headline, help: $help, source: $source, windows: $windows },)*
        ];
    };
}

pub(crate) use rules;
