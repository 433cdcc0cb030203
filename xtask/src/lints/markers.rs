//! Marks of unfinished work.

use crate::problem::Problem;
use crate::tree::TextFile;

/// This file has to name what it looks for.
const EXEMPT: &str = "xtask/src/lints/markers.rs";

/// A mark, and what to do instead.
const MARKERS: &[(&str, &str)] = &[
    ("todo!(", "return an error that says what is not supported"),
    (
        "unimplemented!(",
        "return an error that says what is not supported",
    ),
    ("#[ignore", "assert today's wrong result and say so"),
    ("FIXME", "fix it, or open an issue and write TODO(#number)"),
    ("XXX", "fix it, or open an issue and write TODO(#number)"),
    ("<<<<<<< ", "a merge was not finished"),
    (">>>>>>> ", "a merge was not finished"),
];

pub(super) fn check(file: &TextFile) -> Vec<Problem> {
    if file.path == EXEMPT {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (number, line) in file.lines() {
        for (marker, help) in MARKERS {
            if line.contains(marker) {
                problems.push(Problem::new(
                    &file.path,
                    number,
                    format!("{marker:?}: {help}"),
                ));
            }
        }
        if line
            .match_indices("TODO")
            .any(|(at, _)| !line[at..].starts_with("TODO(#"))
        {
            problems.push(Problem::new(
                &file.path,
                number,
                "TODO without an issue: write TODO(#number)",
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&TextFile::new("crates/a/src/lib.rs", text)).len()
    }

    #[test]
    fn each_marker_is_found() {
        for (marker, _) in MARKERS {
            assert_eq!(
                count(&format!("fn f() {{\n    {marker}\n}}\n")),
                1,
                "{marker}"
            );
        }
        assert_eq!(count("// TODO: later\n"), 1);
    }

    #[test]
    fn finished_work_has_none() {
        assert_eq!(count("fn f() {} // TODO(#12): another device\n"), 0);
        assert_eq!(count("fn todo() {}\n"), 0);
    }

    #[test]
    fn the_line_is_named() {
        let problems = check(&TextFile::new("a.rs", "\n\ntodo!()\n"));
        assert_eq!(problems[0].line, Some(3));
    }
}
