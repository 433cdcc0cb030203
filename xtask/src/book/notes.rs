//! The numbered notes on the documentation: numbers in order, and none mentioned that is not
//! there.

use std::collections::BTreeSet;

use crate::problem::Problem;
use crate::tree::TextFile;

const NOTES: &str = "docs/src/notes.md";

/// This file has to name notes that do not exist.
const EXEMPT: &str = "xtask/src/book/notes.rs";

pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let Some(notes) = files.iter().find(|file| file.path == NOTES) else {
        return vec![Problem::new(NOTES, None, "is missing")];
    };
    let mut problems = Vec::new();
    let mut known = BTreeSet::new();
    for (line, text) in notes.lines() {
        let Some(heading) = text.strip_prefix("## N") else {
            continue;
        };
        let number = heading
            .get(..4)
            .and_then(|digits| digits.parse::<u16>().ok());
        match number {
            Some(number) if known.last().is_none_or(|last| *last < number) => {
                known.insert(number);
            }
            _ => problems.push(Problem::new(
                NOTES,
                line,
                "a note's heading is `## N0001: title`, numbers in order",
            )),
        }
    }
    for file in files.iter().filter(|file| file.path != EXEMPT) {
        for (line, text) in file.lines() {
            let unknown = mentions(text).filter(|number| !known.contains(number));
            problems.extend(unknown.map(|number| {
                Problem::new(
                    &file.path,
                    line,
                    format!("there is no note N{number:04} in {NOTES}"),
                )
            }));
        }
    }
    problems
}

/// The numbers of the notes (`N` and four digits) in a line.
fn mentions(line: &str) -> impl Iterator<Item = u16> {
    line.match_indices('N').filter_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        let digits = line.get(at + 1..at + 5)?;
        let after = line[at + 5..].chars().next();
        let alone = [before, after]
            .iter()
            .all(|next| next.is_none_or(|next| !next.is_alphanumeric() && next != '_'));
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        if alone && all_digits {
            digits.parse().ok()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_numbered_in_order() {
        let good = TextFile::new(NOTES, "# Notes\n## N0001: one\n## N0002: two\n");
        assert_eq!(check(&[good]), []);
        let gap = TextFile::new(NOTES, "## N0001: one\n## N0003: three\n");
        assert_eq!(check(&[gap]), []);
        let twice = TextFile::new(NOTES, "## N0002: one\n## N0002: three\n");
        assert_eq!(
            check(&[twice]).first().and_then(|problem| problem.line),
            Some(2)
        );
    }

    #[test]
    fn a_note_that_is_mentioned_exists() {
        let notes = TextFile::new(NOTES, "## N0001: one\n");
        let code = TextFile::new(
            "a.rs",
            "// note N0001\n// note N0002; not IN0003, N00041, N5\n",
        );
        assert_eq!(
            check(&[notes, code]),
            [Problem::new(
                "a.rs",
                2,
                "there is no note N0002 in docs/src/notes.md"
            )]
        );
    }
}
