//! What ARCHITECTURE.md promises of the crates: where unsafe code may be, and which do without
//! `std`.

use crate::problem::Problem;
use crate::tree::TextFile;

/// Where unsafe code may be, as the beginnings of paths.
const UNSAFE: &[&str] = &[
    "crates/dirql-host/",
    "crates/dirql/src/cli/addresses.rs",
    "crates/dirql/src/cli/isolate.rs",
    "crates/dirql/src/cli/isolate/",
    "benches/",
    "iointex/",
];

/// Roots that cannot forbid unsafe code, because something below them may have it. All others
/// do: what is forbidden cannot be allowed again further down.
const NOT_FORBIDDEN: &[&str] = &["crates/dirql-host/src/lib.rs", "crates/dirql/src/main.rs"];

/// Packages that need no operating system.
const NO_STD: &[&str] = &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel"];

/// This file has to name what it looks for.
const EXEMPT: &str = "xtask/src/lints/attributes.rs";

pub(super) fn check(files: &[TextFile]) -> Vec<Problem> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(|file| [check_root(file), check_unsafe(file)].concat())
        .collect()
}

fn check_root(file: &TextFile) -> Vec<Problem> {
    let Some(package) = package_of_root(&file.path) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    let mut need = |attribute: &str| {
        if !file.text.lines().any(|line| line == attribute) {
            problems.push(Problem::new(
                &file.path,
                None,
                format!("{attribute} is missing"),
            ));
        }
    };
    if !NOT_FORBIDDEN.contains(&file.path.as_str()) {
        need("#![forbid(unsafe_code)]");
    }
    if NO_STD.contains(&package) {
        need("#![no_std]");
    }
    problems
}

/// The package whose library or program starts in this file.
fn package_of_root(path: &str) -> Option<&str> {
    let (package, root) = match path.strip_prefix("crates/") {
        Some(inside) => inside.split_once('/')?,
        None => path
            .split_once('/')
            .filter(|(package, _)| *package == "xtask")?,
    };
    matches!(root, "src/lib.rs" | "src/main.rs").then_some(package)
}

/// The workspace denies unsafe code, so whoever has some says `unsafe_code` in an exception.
fn check_unsafe(file: &TextFile) -> Vec<Problem> {
    if file.path == EXEMPT || UNSAFE.iter().any(|path| file.path.starts_with(path)) {
        return Vec::new();
    }
    // Alone on a line is how a long exception is wrapped.
    // Alone on a line is how a long exception is wrapped.
    let excepts = |line: &str| {
        line.contains("(unsafe_code") && !line.contains("forbid(unsafe_code")
            || line.trim() == "unsafe_code,"
    };
    let lines = file.lines().filter(|(_, line)| excepts(line));
    let message = "unsafe code has its places; see ARCHITECTURE.md";
    lines
        .map(|(number, _)| Problem::new(&file.path, number, message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&[TextFile::new(path, text)])
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    #[test]
    fn a_root_forbids_unsafe_code() {
        assert_eq!(
            messages("crates/dirql/src/lib.rs", "//! Text."),
            ["#![forbid(unsafe_code)] is missing"]
        );
        assert_eq!(
            messages("xtask/src/main.rs", "// #![forbid(unsafe_code)]").len(),
            1
        );
        assert_eq!(
            messages(
                "crates/dirql-image/src/lib.rs",
                "//! Text.\n#![forbid(unsafe_code)]\n"
            )
            .len(),
            0
        );
        assert_eq!(
            messages("crates/dirql-host/src/lib.rs", "//! Text.").len(),
            0
        );
    }

    #[test]
    fn low_layers_do_without_std() {
        assert_eq!(
            messages("crates/dirql-kernel/src/lib.rs", "#![forbid(unsafe_code)]"),
            ["#![no_std] is missing"]
        );
    }

    #[test]
    fn only_roots_are_looked_at() {
        assert_eq!(messages("crates/dirql-kernel/src/kernel.rs", "").len(), 0);
        assert_eq!(messages("iointex/src/lib.rs", "").len(), 0);
    }

    #[test]
    fn unsafe_code_has_its_places() {
        let exception = "#![expect(unsafe_code, reason = \"fork\")]";
        assert_eq!(
            messages("crates/dirql/src/cli/isolate.rs", exception).len(),
            0
        );
        assert_eq!(messages("crates/dirql-host/src/run.rs", exception).len(), 0);
        assert_eq!(messages("crates/dirql/src/cli/run.rs", exception).len(), 1);
        assert_eq!(
            messages("crates/dirql/tests/run.rs", "    #[allow(unsafe_code)]").len(),
            1
        );
    }
}
