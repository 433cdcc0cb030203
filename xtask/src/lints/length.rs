//! Files that are too long to be one thought.

use crate::problem::Problem;
use crate::tree::TextFile;

/// Lines of a file, tests not counted.
const MOST: usize = 600;

pub(super) fn check(file: &TextFile) -> Vec<Problem> {
    if !file.is_rust() || is_test(&file.path) || is_sample(&file.path) {
        return Vec::new();
    }
    match lines_without_tests(&file.text) {
        count if count > MOST => {
            vec![Problem::new(
                &file.path,
                None,
                format!("{count} lines without tests; split it, {MOST} is the most"),
            )]
        }
        _ => Vec::new(),
    }
}

fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// A sample is one driver in one file, as in C, to be read from top to bottom.
fn is_sample(path: &str) -> bool {
    path.starts_with("samples/")
}

/// Lines outside a `mod tests { … }` at the top level, which ends at the next `}` in column 1.
fn lines_without_tests(text: &str) -> usize {
    let mut inside = false;
    let mut count = 0;
    for line in text.lines() {
        inside |= line.starts_with("mod tests {");
        count += usize::from(!inside);
        inside &= line != "}";
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, lines: usize) -> TextFile {
        TextFile::new(path, &"// a line\n".repeat(lines))
    }

    #[test]
    fn the_last_length_that_is_allowed_and_the_first_that_is_not() {
        assert_eq!(check(&file("crates/a/src/lib.rs", 600)), []);
        assert_eq!(check(&file("crates/a/src/lib.rs", 601)).len(), 1);
    }

    #[test]
    fn tests_do_not_count() {
        let tests = "#[cfg(test)]\nmod tests {\n    // a line\n}\n";
        let long = format!("{}{}{}", "// a line\n".repeat(599), tests, "");
        assert_eq!(lines_without_tests(&long), 600);
        assert_eq!(lines_without_tests(&format!("{long}// after\n")), 601);
        assert_eq!(check(&file("crates/a/src/chip/tests.rs", 700)), []);
        assert_eq!(check(&file("crates/a/tests/whole.rs", 700)), []);
        assert_eq!(check(&file("crates/a/src/mdl_tests.rs", 700)), []);
    }

    #[test]
    fn samples_do_not_count() {
        assert_eq!(check(&file("samples/a/a.rs", 700)), []);
    }

    #[test]
    fn only_rust_is_counted() {
        assert_eq!(check(&file("README.md", 700)), []);
    }
}
