//! Which tests break each rule: a page of the book, and a gate for rules that none breaks.
//!
//! A test breaks a rule if it names it: by its ID (`DQ0104`), by its name (`ids::CONNECT_IRQL`), or
//! by its number in a line that looks at findings. What a routine or a table names that is no test,
//! those tests of its file name that use it. Files in which findings are made up, to see how they
//! are told, do not count.

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

/// Where findings are made up, or rules are named without a driver that breaks them.
const MADE_UP: &[&str] = &[
    "xtask/",
    "fuzz/",
    "crates/dirql-rules/",
    "crates/dirql-trace/",
    "crates/dirql/src/audit/",
    "crates/dirql/src/cli/",
    "crates/dirql/src/levels.rs",
    "crates/dirql/src/report/",
];

/// The tests that name each rule.
type Tests = BTreeMap<u16, BTreeSet<String>>;

pub(super) fn page() -> Result<String> {
    let tests = tests(&Tree::here().text_files()?);
    let mut page = String::from(
        "# Rules and their tests\n\n\
         <!-- Written by `cargo xtask pages`; it lists the tests that name a rule. -->\n\n\
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
        if !file.is_rust() {
            for rule in code.lines().flat_map(|line| named(line, &names)) {
                tests.entry(rule).or_default().insert(file.path.clone());
            }
            continue;
        }
        let items = items(code);
        for item in &items {
            for rule in item.lines.iter().flat_map(|line| named(line, &names)) {
                let users = users(item, &items);
                let own = users.iter().map(|test| format!("{}: {test}", file.path));
                tests.entry(rule).or_default().extend(own);
            }
        }
    }
    tests.retain(|_, tests| !tests.is_empty());
    tests
}

/// A routine or a constant.
struct Item<'a> {
    name: &'a str,
    is_test: bool,
    lines: Vec<&'a str>,
}

impl Item<'_> {
    /// Whether it has the word `name` in it.
    fn uses(&self, name: &str) -> bool {
        let is_part = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
        let mut words = self
            .lines
            .iter()
            .flat_map(|line| line.split(|c| !is_part(c)));
        words.any(|word| word == name)
    }
}

/// The routines and constants of formatted code: each goes on to a line that closes it at the
/// indentation of its beginning. Those inside others are part of them.
fn items(code: &str) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut lines = code.lines();
    let mut is_test = false;
    while let Some(line) = lines.next() {
        let Some(name) = item_name(line) else {
            let is_attribute = line.trim_start().starts_with("#[");
            is_test = line.trim() == "#[test]" || is_test && is_attribute;
            continue;
        };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &str| {
            let rest = line.strip_prefix(indentation);
            rest.is_some_and(|rest| rest.starts_with('}') || rest.starts_with(']'))
        };
        let mut own = vec![line];
        if !line.ends_with(';') && !line.ends_with("{}") {
            for line in lines.by_ref() {
                own.push(line);
                if ends(line) || line.ends_with(';') && own.len() == 2 && !own[0].ends_with('{') {
                    break;
                }
            }
        }
        items.push(Item {
            name,
            is_test,
            lines: own,
        });
        is_test = false;
    }
    items
}

/// The tests that are an item, or use it.
fn users<'a>(item: &Item<'a>, items: &[Item<'a>]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next = vec![item];
    let mut seen = BTreeSet::new();
    while let Some(item) = next.pop() {
        if item.is_test {
            found.insert(item.name);
        } else if seen.insert(item.name) {
            next.extend(items.iter().filter(|other| other.uses(item.name)));
        }
    }
    found
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
    if MADE_UP.iter().any(|start| path.starts_with(start)) {
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

/// The name of the routine, constant or macro that begins in a line.
fn item_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for start in [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const fn ",
        "fn ",
        "const ",
        "static ",
    ] {
        let Some(after) = rest.strip_prefix(start) else {
            continue;
        };
        rest = after;
        if !start.starts_with("pub") {
            return Some(word(rest)).filter(|name| !name.is_empty());
        }
    }
    None
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
        let code = "    #[test]\n    fn a_test() {\n        found(ids::CONNECT_IRQL);\n    }\n";
        assert_eq!(found("a/src/b.rs", code), []);
        let tested = format!("fn x() {{}}\n#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(found("a/src/b.rs", &tested).len(), 1);
        assert_eq!(found("crates/dirql-trace/src/b.rs", &tested), []);
    }

    #[test]
    fn what_a_table_or_a_helper_names_counts_for_the_tests_that_use_it() {
        let text = "\
const PLANTED: &[&str] = &[
    \"DQ0101\",
];

fn look() {
    PLANTED;
}

#[test]
fn a_test() {
    look();
}

#[test]
fn another() {
    looks();
}
";
        let test = "a/tests/b.rs: a_test".to_owned();
        assert_eq!(found("a/tests/b.rs", text), [(101, vec![test])]);
        let unused = "fn look() {\n    \"DQ0101\";\n}\n";
        assert_eq!(found("a/tests/b.rs", unused), []);
    }
}
