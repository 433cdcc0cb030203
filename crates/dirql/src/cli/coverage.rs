//! `--coverage`: which basic blocks of the drivers ran.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dirql::Driver;
use dirql::coverage::{self, CodeCoverage, Survey};
use dirql::scenario::Scenario;

use super::Failure;
use super::output::{Output, plain};
use super::pictures::{directories, find_source};
use super::run;

/// The blocks of drivers, before a process runs them.
///
/// # Errors
/// There is no memory.
pub(crate) fn survey(drivers: &[Driver]) -> Result<Survey, Failure> {
    Survey::new(drivers)
        .map_err(|error| Failure::usage(format!("no memory for the coverage: {error}")))
}

/// The same, if somebody wants it written to files.
///
/// # Errors
/// There is no memory.
pub(crate) fn wanted(files: &[PathBuf], drivers: &[Driver]) -> Result<Option<Survey>, Failure> {
    (!files.is_empty()).then(|| survey(drivers)).transpose()
}

/// Writes files, each in the form that its name stands for.
///
/// # Errors
/// The files'.
pub(crate) fn write(
    coverage: &CodeCoverage,
    files: &[PathBuf],
    scenario: &Scenario,
    out: &mut Output,
) -> Result<(), Failure> {
    let directories = directories(scenario);
    for file in files {
        let bytes = plain(|out| write_one(out, file, coverage, &directories));
        let written = bytes.and_then(|bytes| std::fs::write(file, bytes));
        written.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let (blocks, ran) = coverage.total();
        let file = file.display();
        out.note(&format!("wrote {file}: {ran} of {blocks} basic blocks ran"));
    }
    Ok(())
}

fn write_one(
    out: &mut dyn Write,
    file: &Path,
    coverage: &CodeCoverage,
    directories: &[PathBuf],
) -> io::Result<()> {
    let find = |name: &str| find_source(name, directories);
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("info") => coverage::write_lcov(out, coverage, &mut |name| {
            Some(find(name)?.0.display().to_string())
        }),
        Some("html" | "htm") => {
            coverage::write_page(out, coverage, &mut |name| Some(find(name)?.1))
        }
        Some("json") => run::write_json(out, coverage),
        _ => coverage::write_summary(out, &coverage.summaries(), true),
    }
}
