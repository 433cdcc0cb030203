//! Tests by name, and whether they are there.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// `PACKAGE PATH::OF::MODULES::TEST`, as cargo-nextest prints it; for a test under `tests/` the
/// first module is its file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct TestName {
    /// The package that it is in.
    pub package: String,
    /// Its modules and its own name.
    pub path: Vec<String>,
}

/// A test that is not where its name says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct UnknownTest {
    /// Its name.
    pub name: String,
    /// What is missing.
    pub reason: &'static str,
}

/// The text is not the name of a test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `PACKAGE PATH::OF::MODULES::TEST`")]
pub struct NotATestName(String);

impl TryFrom<String> for TestName {
    type Error = NotATestName;

    fn try_from(text: String) -> Result<Self, NotATestName> {
        let (package, path) = match text.split_once(' ') {
            Some(parts) => parts,
            None => return Err(NotATestName(text)),
        };
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        if path.len() < 2 || package.is_empty() {
            return Err(NotATestName(text));
        }
        Ok(Self {
            package: package.to_owned(),
            path,
        })
    }
}

impl std::fmt::Display for TestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.package, self.path.join("::"))
    }
}

impl TestName {
    /// Its own name.
    #[must_use]
    pub fn function(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// The files in which it may be: that of its innermost module, or of one around it, if the
    /// module is inline.
    fn files(&self, root: &Path) -> Vec<PathBuf> {
        let package = match self.package.as_str() {
            "iointex" => root.join("iointex"),
            "xtask" => root.join("xtask"),
            "dirql-contract" => root.join("tests/contract"),
            name => root.join("crates").join(name),
        };
        let modules = &self.path[..self.path.len() - 1];
        let mut files = Vec::new();
        for depth in (1..=modules.len()).rev() {
            for base in ["src", "tests"] {
                let path = package.join(base).join(modules[..depth].join("/"));
                files.push(path.with_extension("rs"));
                files.push(path.join("mod.rs"));
                files.push(path.join("main.rs"));
            }
        }
        files.push(package.join("src/lib.rs"));
        files
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn find(
        &self,
        root: &Path,
    ) -> Result<Option<UnknownTest>, (PathBuf, std::io::Error)> {
        let unknown = |reason| {
            Some(UnknownTest {
                name: self.to_string(),
                reason,
            })
        };
        let mut reason = "there is no such module";
        for file in self.files(root).into_iter().filter(|file| file.is_file()) {
            let text = fs::read_to_string(&file).map_err(|error| (file, error))?;
            if has_test(&text, self.function()) {
                return Ok(None);
            }
            reason = "its module has no such test";
        }
        Ok(unknown(reason))
    }
}

/// Whether a source has `#[test]` before `fn name(`, with nothing but attributes between.
fn has_test(text: &str, name: &str) -> bool {
    let wanted = format!("fn {name}(");
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with(&wanted) {
            return is_test;
        }
        is_test = line == "#[test]" || is_test && line.starts_with("#[");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TestName {
        TestName::try_from(text.to_owned()).unwrap()
    }

    fn find(text: &str) -> Option<&'static str> {
        let root = crate::directory().join("../..");
        let problem = name(text).find(&root).unwrap();
        problem.map(|problem| problem.reason)
    }

    #[test]
    fn a_name_has_a_package_and_a_path() {
        assert_eq!(name("a b::c").to_string(), "a b::c");
        for bad in ["", "a", "a b", " b::c"] {
            assert!(TestName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tests_are_found_where_they_are() {
        for here in [
            "dirql-contract tests_of::tests::tests_are_found_where_they_are",
            "dirql-kernel versions::tests::the_table_is_sorted",
            "dirql-kernel io::interrupt::tests::ex::success_leaves_version_and_gives_the_object",
            "dirql bench::a_request_can_be_cancelled",
            "iointex tests::names_are_looked_up_once",
        ] {
            assert_eq!(find(here), None, "{here}");
        }
    }

    #[test]
    fn tests_that_are_not_there_are_not_found() {
        assert_eq!(
            find("dirql-contract tests_of::tests::no_such_test"),
            Some("its module has no such test")
        );
        assert_eq!(
            find("dirql-contract tests_of::tests::find"),
            Some("its module has no such test"),
            "a function that is no test"
        );
        assert_eq!(
            find("no-such-package a::b"),
            Some("there is no such module")
        );
    }

    #[test]
    fn only_a_function_that_is_a_test_counts() {
        assert!(has_test("#[test]\nfn a() {", "a"));
        assert!(has_test("#[test]\n#[should_panic]\nfn a() {", "a"));
        assert!(!has_test("fn a() {", "a"));
        assert!(!has_test("#[test]\nfn b() {}\nfn a() {", "a"));
        assert!(!has_test("#[test]\nfn ab() {", "a"));
    }
}
