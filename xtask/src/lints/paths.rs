//! Places that exist on somebody's machine only, and hosts that the project has nothing to do
//! with.

use crate::problem::Problem;
use crate::tree::TextFile;

/// These have to name what they look for, or are written by cargo.
const EXEMPT: &[&str] = &[
    "xtask/src/lints/paths.rs",
    "Cargo.lock",
    "iointex/Cargo.lock",
];

/// Absolute paths of somebody's machine. Tests use cargo's `CARGO_TARGET_TMPDIR` or
/// `std::env::temp_dir`.
const PATHS: &[&str] = &["/tmp", "/work/", "/root/", "/var/tmp"];

/// Hosts that a link may lead to.
const HOSTS: &[&str] = &[
    "dirql.github.io",
    "doc.rust-lang.org",
    "github.com",
    "json-schema.org",
    "json.schemastore.org",
    "keepachangelog.com",
    "learn.microsoft.com",
    "raw.githubusercontent.com",
    "semver.org",
    "ui.perfetto.dev",
    "www.apache.org",
    "www.qemu.org",
    "www.w3.org",
];

pub(super) fn check(file: &TextFile) -> Vec<Problem> {
    if EXEMPT.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (number, line) in file.lines() {
        for path in PATHS {
            if has_path(line, path) {
                problems.push(Problem::new(
                    &file.path,
                    number,
                    format!("{path} is a place on one machine"),
                ));
            }
        }
        for host in hosts(line) {
            if !HOSTS.contains(&host) {
                let message =
                    format!("{host} is not on the list of hosts in xtask/src/lints/paths.rs");
                problems.push(Problem::new(&file.path, number, message));
            }
        }
    }
    problems
}

/// Whether `path` begins an absolute path in the line.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let begins =
            before.is_none_or(|before| !before.is_alphanumeric() && !"._-~/}".contains(before));
        let ends = path.ends_with('/') || after.is_none_or(|after| !after.is_alphanumeric());
        begins && ends
    })
}

/// The hosts of the links in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(at, separator)| {
        let scheme = &line[..at];
        if !scheme.ends_with("http") && !scheme.ends_with("https") {
            return None;
        }
        let rest = &line[at + separator.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-')
            .unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&TextFile::new("a.rs", text)).len()
    }

    #[test]
    fn places_on_one_machine_are_found() {
        for path in [
            "/tmp/x",
            "\"/tmp\"",
            "(/work/main)",
            "cd /root/project",
            "/var/tmp/y",
        ] {
            assert_eq!(count(path), 1, "{path}");
        }
    }

    #[test]
    fn relative_paths_and_other_words_are_not() {
        for path in [
            "target/tmp/x",
            "../work/main",
            "/tmpfs",
            "$root/work/x",
            "home/root/x",
        ] {
            assert_eq!(count(path), 0, "{path}");
        }
    }

    #[test]
    fn only_known_hosts_are_linked() {
        assert_eq!(
            count("see https://github.com/dirql/dirql and <https://learn.microsoft.com/en-us/>"),
            0
        );
        assert_eq!(
            count("fetch http://mirror.example/x from https://registry.example:8080"),
            2
        );
        assert_eq!(count("the scheme `https://`, and edu://nothing.example"), 0);
    }
}
