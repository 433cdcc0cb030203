//! What has not run, in a few lines.

use std::io::{self, Write};

use anstyle::Style;
use serde::{Deserialize, Serialize};

use super::{BlockCoverage, CodeCoverage, FunctionCoverage, SourceLine, rank};

const BOLD: Style = Style::new().bold();

/// Functions that are named.
const MOST: usize = 12;

/// Places of one function that are named.
const MOST_PLACES: usize = 6;

/// How much of a driver has run, and what has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageSummary {
    /// The image's file, for example `edu.sys`.
    pub driver: String,
    /// Basic blocks.
    pub blocks: usize,
    /// Those that ran.
    pub ran: usize,
    /// What has not run; first of functions that run when others are interrupted.
    pub missing: Vec<Missing>,
}

/// What of a function has not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// As in `ISR EduIsr (edu.c:52)`.
    pub function: String,
    /// As in `1 of 3 blocks: line 60`.
    pub what: String,
}

impl CodeCoverage {
    /// A summary of each driver.
    #[must_use]
    pub fn summaries(&self) -> Vec<CoverageSummary> {
        let missed = |(function, what): (&FunctionCoverage, String)| Missing {
            function: titled(function),
            what,
        };
        let drivers = self.drivers.iter().map(|driver| CoverageSummary {
            driver: driver.name.clone(),
            blocks: driver.blocks,
            ran: driver.ran,
            missing: missing(&driver.functions).into_iter().map(missed).collect(),
        });
        drivers.collect()
    }
}

/// Says how much of each driver has run, and of which functions what has not. `all` says whether
/// none is left out.
///
/// # Errors
/// The writer's.
pub fn write_summary(
    out: &mut dyn Write,
    summaries: &[CoverageSummary],
    all: bool,
) -> io::Result<()> {
    for summary in summaries {
        writeln!(
            out,
            "{BOLD}Coverage of {}{BOLD:#}: {} of {} basic blocks ran",
            summary.driver, summary.ran, summary.blocks
        )?;
        let shown = if all { summary.missing.len() } else { MOST };
        for missing in summary.missing.iter().take(shown) {
            writeln!(out, "  never ran: {}: {}", missing.function, missing.what)?;
        }
        if summary.missing.len() > shown {
            let more = summary.missing.len() - shown;
            writeln!(out, "  and blocks of {more} more functions")?;
        }
    }
    Ok(())
}

/// The functions of which something has not run, with what that is in words; those that have run
/// as ISRs first, then by how much else they interrupt.
pub(super) fn missing(functions: &[FunctionCoverage]) -> Vec<(&FunctionCoverage, String)> {
    let mut missing: Vec<&FunctionCoverage> = functions
        .iter()
        .filter(|function| function.ran() < function.blocks.len())
        .collect();
    missing.sort_by_key(|function| {
        let roles = function.roles();
        let role = roles.first().map_or(usize::MAX, |ran| rank(&ran.role));
        // What has no source is the compiler's, or has no symbols like everything else.
        (function.source.is_none(), role, function.rva)
    });
    missing
        .into_iter()
        .map(|function| (function, what(function)))
        .collect()
}

/// As in `ISR EduIsr (edu.c:52)`.
fn titled(function: &FunctionCoverage) -> String {
    let role = match function.roles().first() {
        Some(ran) => format!("{} ", ran.role),
        None => String::new(),
    };
    let source = function.source.as_ref();
    let source = source.map(|source| format!(" ({}:{})", source.file, source.line));
    format!("{role}{}{}", function.title(), source.unwrap_or_default())
}

fn what(function: &FunctionCoverage) -> String {
    let all = function.blocks.len();
    let missed: Vec<&BlockCoverage> = function
        .blocks
        .iter()
        .filter(|block| !block.has_run())
        .collect();
    if missed.len() == all {
        return match all {
            1 => "its only block".into(),
            all => format!("all of its {all} blocks"),
        };
    }
    let mut places: Vec<(u32, String)> =
        missed.iter().map(|block| place(block, function)).collect();
    places.sort();
    places.dedup();
    let more = places.len().saturating_sub(MOST_PLACES);
    places.truncate(MOST_PLACES);
    let mut places: Vec<String> = places.into_iter().map(|(_, place)| place).collect();
    if more > 0 {
        places.push(format!("{more} more"));
    }
    format!("{} of {all} blocks: {}", missed.len(), places.join("; "))
}

/// Where a block is, where a branch leads to it, and what it calls; with a number by which places are in order.
fn place(block: &BlockCoverage, function: &FunctionCoverage) -> (u32, String) {
    let own = |line: &&SourceLine| {
        let source = function.source.as_ref();
        source.is_some_and(|source| source.file == line.file)
    };
    // What was inlined from elsewhere has its place in the function, too.
    let (order, mut text) = match block.lines.iter().find(own).or(block.lines.first()) {
        Some(line) if own(&line) => (line.line, format!("line {}", line.line)),
        Some(SourceLine { file, line }) => (u32::MAX, format!("{file}:{line}")),
        None => (block.rva, format!("{:#x}", block.rva)),
    };
    let mut more = Vec::new();
    let elsewhere = |from: &&SourceLine| own(from) && from.line != order;
    if let Some(from) = block.from.as_ref().filter(elsewhere) {
        // Compilers give what only returns the line of the function's end.
        more.push(format!("from line {}", from.line));
    }
    if !block.calls.is_empty() {
        more.push(format!("calls {}", block.calls.join(", ")));
    }
    if !more.is_empty() {
        text.push_str(&format!(" ({})", more.join("; ")));
    }
    (order, text)
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, str};

    use super::super::tests::sample;
    use super::*;

    #[test]
    fn what_an_isr_never_did_comes_first() {
        let mut text = Vec::new();
        write_summary(&mut text, &sample().summaries(), false).unwrap();
        let text = anstream::adapter::strip_bytes(&text).into_vec();
        assert_data_eq!(
            String::from_utf8(text).unwrap(),
            str![[r#"
Coverage of a.sys: 2 of 4 basic blocks ran
  never ran: ISR Isr (a.c:1): 1 of 3 blocks: line 3 (from line 2; calls IoCompleteRequest)
  never ran: 0x1010: its only block

"#]]
        );
    }

    #[test]
    fn what_has_run_whole_is_not_named() {
        let mut coverage = sample();
        coverage.drivers[0].functions.truncate(1);
        coverage.drivers[0].functions[0].blocks.remove(1);
        assert!(missing(&coverage.drivers[0].functions).is_empty());
    }

    #[test]
    fn only_so_many_functions_are_named() {
        let mut coverage = sample();
        let last = coverage.drivers[0].functions[1].clone();
        coverage.drivers[0].functions = vec![last; MOST + 3];
        let mut text = Vec::new();
        write_summary(&mut text, &coverage.summaries(), false).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.ends_with("  and blocks of 3 more functions\n"),
            "{text}"
        );
    }
}
