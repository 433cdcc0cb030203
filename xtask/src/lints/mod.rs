//! The house lints: what neither the compiler nor clippy can be asked.

mod attributes;
mod length;
mod markers;
mod paths;
mod rules;

use anyhow::Result;

use crate::book;
use crate::problem::{self, Problem};
use crate::tree::{TextFile, Tree};

/// # Errors
/// If there are problems, or files cannot be read.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    problem::none(check(tree))
}

fn check(tree: &Tree) -> Result<Vec<Problem>> {
    let files = tree.text_files()?;
    let per_file: [fn(&TextFile) -> Vec<Problem>; 3] =
        [length::check, markers::check, paths::check];
    let mut problems: Vec<Problem> = files
        .iter()
        .flat_map(|file| per_file.iter().flat_map(|lint| lint(file)))
        .collect();
    problems.extend(attributes::check(&files));
    problems.extend(rules::check(&files));
    problems.extend(book::links::check(&files, &|path| tree.path(path).exists()));
    problems.extend(book::contents::check(&files));
    problems.extend(book::rule_tests::check(&files));
    problems.extend(book::notes::check(&files));
    problems.extend(book::pages::check(tree)?);
    Ok(problems)
}
