//! What ARCHITECTURE.md promises of each crate's root: no unsafe code, no `std`.

use crate::problem::Problem;
use crate::tree::TextFile;

/// The packages that may have unsafe code, each with its reason in its root. For all others
/// it is forbidden, not denied, so that no module can opt in.
const UNSAFE: &[&str] = &["dirql-host"];

/// Packages that need no operating system.
const NO_STD: &[&str] = &["dirql-abi", "dirql-chips", "dirql-rules", "dirql-kernel"];

pub(super) fn check(files: &[TextFile]) -> Vec<Problem> {
    files.iter().flat_map(check_root).collect()
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
    if !UNSAFE.contains(&package) {
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
            messages("crates/dirql/src/main.rs", "//! Text."),
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
}
