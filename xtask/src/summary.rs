//! How many tests ran, read off the runners' closing lines.

use std::fmt;

/// A count of tests over several runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Summary {
    /// Takes in a line of a runner's output: a closing line counts, others do nothing.
    pub(crate) fn watch(&mut self, line: &str) {
        let line = without_escapes(line);
        let line = line.trim();
        // `cargo test`: "test result: ok. 12 passed; 0 failed; 1 ignored; …"
        // nextest: "Summary [   0.1s] 34 tests run: 33 passed (1 slow), 1 failed, 0 skipped"
        let counts = if let Some((_, counts)) = line
            .split_once("test result: ")
            .and_then(|(_, rest)| rest.split_once(". "))
        {
            counts
        } else if let Some((_, counts)) = line
            .strip_prefix("Summary [")
            .and_then(|rest| rest.split_once(": "))
        {
            counts
        } else {
            return;
        };
        for part in counts.split([';', ',']) {
            let mut words = part.split_whitespace();
            let Some(Ok(count)) = words.next().map(str::parse::<u64>) else {
                continue;
            };
            match words.next() {
                Some("passed") => self.passed += count,
                Some("failed" | "timed") => self.failed += count,
                Some("ignored" | "skipped") => self.skipped += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The text without colours.
fn without_escapes(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Summary {
        let mut summary = Summary::default();
        lines.iter().for_each(|line| summary.watch(line));
        summary
    }

    #[test]
    fn the_closing_lines_of_both_runners_add_up() {
        let summary = of(&[
            "running 2 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s",
            "     Summary [   0.114s] 36 tests run: 33 passed (2 slow), 2 failed, 1 timed out, 4 skipped",
        ]);
        assert_eq!(
            summary,
            Summary {
                passed: 45,
                failed: 3,
                skipped: 5
            }
        );
        assert_eq!(summary.to_string(), "45 passed, 3 failed, 5 skipped");
    }

    #[test]
    fn colours_do_not_hide_a_closing_line() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m7\u{1b}[0m tests run: \u{1b}[1m7\u{1b}[0m passed, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(
            of(&[line]),
            Summary {
                passed: 7,
                failed: 0,
                skipped: 0
            }
        );
    }

    #[test]
    fn what_tests_print_does_not_count() {
        assert_eq!(
            of(&[
                "5 passed",
                "test summary: 3 passed",
                "note: 1 failed, 2 passed"
            ]),
            Summary::default()
        );
    }
}
