//! The book's pages that are written from tables of the program.

use std::fs;

use anyhow::{Context as _, Result};

use super::{contract, contract_rules, models, rule_tests, rules};
use crate::problem::Problem;
use crate::tree::Tree;

/// A page and what it has to be.
type Page = (&'static str, fn() -> Result<String>);

const PAGES: &[Page] = &[
    ("docs/src/rules.md", || Ok(rules::page())),
    ("docs/src/models.md", || Ok(models::page())),
    ("docs/src/contract.md", contract::page),
];

/// Pages that name tests. They are written with the others but not compared: who renames a test
/// need not write the book again.
const OF_TESTS: &[Page] = &[
    ("docs/src/rule-tests.md", rule_tests::page),
    ("docs/src/contract-rules.md", contract_rules::page),
];

/// # Errors
/// If a page cannot be written.
pub(crate) fn write(tree: &Tree) -> Result<()> {
    for (path, page) in PAGES.iter().chain(OF_TESTS) {
        fs::write(tree.path(path), page()?).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// # Errors
/// If a page cannot be read.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for (path, page) in PAGES {
        if tree.read(path)? != page()? {
            problems.push(Problem::new(
                *path,
                None,
                "is not what its table gives; run `cargo xtask pages`",
            ));
        }
    }
    Ok(problems)
}

/// Text for a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_does_not_end_a_cell() {
        assert_eq!(cell("a | b"), "a \\| b");
    }
}
