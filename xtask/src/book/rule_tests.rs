//! Which tests break each rule: a page of the book, and a gate for rules that none breaks.
//!
//! A test breaks a rule if it names it: by its ID (`DQ0104`), by its name (`ids::CONNECT_IRQL`), or
//! by its number in a line that looks at findings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use dirql_rules::{RULES, RuleId};

use super::pages::cell;
use crate::problem::Problem;
use crate::tree::{TextFile, Tree};

/// Tests of one rule that are shown.
const SHOWN: usize = 3;

/// Where the names of the rules are.
const TABLE: &str = "crates/dirql-rules/src/table.rs";

/// The tests that name each rule.
type Tests = BTreeMap<u16, BTreeSet<String>>;

pub(super) fn page() -> Result<String> {
    let tests = tests(&Tree::here().text_files()?);
    let mut page = String::from(
        "# Rules and their tests\n\n\
         <!-- Written by `cargo xtask pages`; it lists what names a rule in test code. -->\n\n\
         Every rule is broken by a test: a driver, or a part of one, that breaks it is reported under its ID. Up to three \
         are listed.\n\n\
         | rule | what it says | tests |\n|---|---|---|\n",
    );
    for rule in RULES {
        let own = tests.get(&rule.id.0).into_iter().flatten();
        let shown: Vec<String> = own.take(SHOWN).map(|test| format!("`{test}`")).collect();
        let anchor = rule.id.to_string().to_lowercase();
        let _ = writeln!(
            page,
            "| [{}](rules.md#{anchor}) | {} | {} |",
            rule.id,
            cell(rule.headline),
            shown.join("<br>")
        );
    }
    Ok(page)
}

/// Rules that no test breaks.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let tests = tests(files);
    RULES
        .iter()
        .filter(|rule| !tests.contains_key(&rule.id.0))
        .map(|rule| Problem::new(TABLE, None, format!("no test breaks {}", rule.id)))
        .collect()
}

fn tests(files: &[TextFile]) -> Tests {
    let names = names(files);
    let mut tests = Tests::new();
    for file in files {
        let Some(code) = test_code(file) else {
            continue;
        };
        let mut function = None;
        for line in code.lines() {
            function = function_name(line).or(function);
            for rule in named(line, &names) {
                let test = match function {
                    Some(function) => format!("{}: {function}", file.path),
                    None => file.path.clone(),
                };
                tests.entry(rule).or_default().insert(test);
            }
        }
    }
    tests
}

/// The rules' names in the program, from the table's lines `NAME = 104, Error,`.
fn names(files: &[TextFile]) -> BTreeMap<String, u16> {
    let table = files.iter().find(|file| file.path == TABLE);
    let lines = table.iter().flat_map(|file| file.text.lines());
    lines
        .filter_map(|line| {
            let (name, rest) = line.trim().split_once(" = ")?;
            let number = rest.split_once(',')?.0.parse().ok()?;
            Some((name.to_owned(), number))
        })
        .collect()
}

/// The part of a file that is tests.
fn test_code(file: &TextFile) -> Option<&str> {
    let path = file.path.as_str();
    if path.starts_with("xtask/") || path.starts_with("crates/dirql-rules/") {
        return None;
    }
    let is_code = file.is_rust() || path.ends_with(".toml") || path.ends_with(".trycmd");
    let is_test =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs");
    match (is_code, is_test) {
        (false, _) => None,
        (true, true) => Some(&file.text),
        (true, false) => file
            .text
            .find("#[cfg(test)]\nmod tests {")
            .map(|start| &file.text[start..]),
    }
}

fn function_name(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    let end = rest.find(['(', '<'])?;
    Some(&rest[..end]).filter(|name| {
        name.bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    })
}

/// The rules that a line of a test names.
fn named(line: &str, names: &BTreeMap<String, u16>) -> Vec<u16> {
    let words = |start: &'static str| line.split(start).skip(1).map(word);
    let mut found: Vec<u16> = words("ids::")
        .filter_map(|name| names.get(name).copied())
        .collect();
    found.extend(words("DQ").filter_map(|digits| digits.parse::<u16>().ok()));
    if line.contains("findings()") {
        let numbers = line.split(|letter: char| !letter.is_ascii_alphanumeric());
        found.extend(numbers.filter_map(|number| number.parse::<u16>().ok()));
    }
    found.retain(|number| dirql_rules::rule(RuleId(*number)).is_some());
    found
}

/// The name or number that a text starts with.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(u16, Vec<String>)> {
        let table = TextFile::new(TABLE, "    CONNECT_IRQL = 101, Error,\n");
        let all = tests(&[table, TextFile::new(path, text)]);
        all.into_iter()
            .map(|(rule, tests)| (rule, tests.into_iter().collect()))
            .collect()
    }

    #[test]
    fn a_rule_is_named_by_name_id_or_number() {
        for line in [
            "ids::CONNECT_IRQL",
            "\"DQ0101\"",
            "assert_eq!(rig.findings(), [101]);",
        ] {
            let text = format!("#[test]\nfn a_test() {{\n    {line}\n}}\n");
            let test = "a/tests/b.rs: a_test".to_owned();
            assert_eq!(found("a/tests/b.rs", &text), [(101, vec![test])], "{line}");
        }
        assert_eq!(found("a/tests/b.rs", "fn a_test() { 101 }\n"), []);
    }

    #[test]
    fn only_tests_count() {
        let code = "self.find(ids::CONNECT_IRQL);\n";
        assert_eq!(found("a/src/b.rs", code), []);
        let tested = format!("fn x() {{}}\n#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(found("a/src/b.rs", &tested).len(), 1);
    }
}
