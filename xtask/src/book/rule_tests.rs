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

/// Tables of drivers in C that break a rule beside others that do the same right. Each of their lines
/// names a rule, and what breaks it is reported with both places.
const PAIRS: &[Pairs] = &[
    Pairs {
        table: "tests/contract/tests/rules.rs",
        drivers: "tests/contract/driver/rules.c",
        rule: |line| {
            let (number, rest) = line.strip_prefix('(')?.split_once(", With::")?;
            let rule = word(rest.split_once("\"DQ")?.1).parse().ok()?;
            Some((rule, number.into()))
        },
    },
    Pairs {
        table: "crates/dirql/tests/rules.rs",
        drivers: "crates/dirql/tests/rules",
        rule: |line| {
            let (driver, rest) = line.strip_prefix("(\"")?.split_once("\", ")?;
            let number: u16 = rest.split_once(',')?.0.parse().ok()?;
            Some((number / 10, format!("{driver}.c {number}")))
        },
    },
    Pairs {
        table: "crates/dirql/tests/zoo.rs",
        drivers: "zoo",
        rule: |line| {
            let mut words = line
                .strip_suffix("\"ddi\";")
                .or(line.strip_suffix("\"access\";"))?
                .split('"');
            let name = words.nth(1)?;
            Some((words.nth(1)?.strip_prefix("DQ")?.parse().ok()?, name.into()))
        },
    },
    Pairs {
        table: "crates/dirql/tests/zoo.rs",
        drivers: "zoo",
        rule: |line| {
            let mut words = line.strip_prefix("told_by_itself(")?.split('"');
            let name = words.nth(1)?;
            Some((words.nth(1)?.strip_prefix("DQ")?.parse().ok()?, name.into()))
        },
    },
];

/// A rule that is broken otherwise.
struct Elsewhere {
    rule: u16,
    /// The file of both tests.
    file: &'static str,
    /// The test of what breaks the rule.
    broken: &'static str,
    /// The test of the same done right, in which nothing is found.
    kept: &'static str,
}

/// Rules that no line of those tables can break.
const ELSEWHERE: &[Elsewhere] = &[
    // Exceptions take another compiler.
    Elsewhere {
        rule: 443,
        file: "crates/dirql-host/tests/exceptions.rs",
        broken: "nothing_is_undone_when_an_exception_leaves_a_critical_section",
        kept: "an_exception_is_handled_inside_a_critical_section",
    },
    // Attacks end the process of the run.
    Elsewhere {
        rule: 450,
        file: "crates/dirql/tests/hostile.rs",
        broken: "a_smashed_worker_is_reported_by_its_parent",
        kept: "as_much_memory_is_written_that_is_the_drivers",
    },
    Elsewhere {
        rule: 600,
        file: "crates/dirql/tests/hostile.rs",
        broken: "a_system_call_is_not_carried_out_but_found",
        kept: "what_a_system_call_would_do_is_asked_of_the_kernel",
    },
    Elsewhere {
        rule: 601,
        file: "crates/dirql/tests/hostile.rs",
        broken: "an_instruction_of_ours_makes_no_system_call_for_a_driver",
        kept: "a_routine_of_the_kernel_is_called_through_a_pointer",
    },
    Elsewhere {
        rule: 602,
        file: "crates/dirql/tests/hostile.rs",
        broken: "a_store_outside_the_computer_is_found_where_accesses_are_recorded",
        kept: "a_store_to_a_variable_of_its_own_is_right_where_accesses_are_recorded",
    },
];

/// A table of drivers that break rules.
struct Pairs {
    /// The file that it is in.
    table: &'static str,
    /// Where the drivers are.
    drivers: &'static str,
    /// The rule of a line, and what the driver or the routine is called.
    rule: fn(&str) -> Option<(u16, String)>,
}

/// What breaks each rule in C, and has a twin that does not.
fn twins(files: &[TextFile]) -> Tests {
    let mut twins = Tests::new();
    for pairs in PAIRS {
        let table = files.iter().find(|file| file.path == pairs.table);
        for line in table.iter().flat_map(|file| file.text.lines()) {
            if let Some((rule, name)) = (pairs.rule)(line.trim()) {
                let name = format!("{} {name}", pairs.drivers);
                twins.entry(rule).or_default().insert(name);
            }
        }
    }
    for one in ELSEWHERE
        .iter()
        .filter(|one| missing(one, files).is_empty())
    {
        let names = twins.entry(one.rule).or_default();
        for test in [one.broken, one.kept] {
            names.insert(format!("{}: {test}", one.file));
        }
    }
    twins
}

/// Those of the two tests that are not there.
fn missing(one: &Elsewhere, files: &[TextFile]) -> Vec<&'static str> {
    let file = files.iter().find(|file| file.path == one.file);
    let is_there = |test: &&str| {
        let text = format!("#[test]\nfn {test}()");
        file.is_some_and(|file| file.text.contains(&text))
    };
    let tests = [one.broken, one.kept].into_iter();
    tests.filter(|test| !is_there(test)).collect()
}

/// The tests that name each rule.
type Tests = BTreeMap<u16, BTreeSet<String>>;

pub(super) fn page() -> Result<String> {
    let files = Tree::here().text_files()?;
    let (tests, twins) = (tests(&files), twins(&files));
    let mut page = String::from(
        "# Rules and their tests\n\n\
         <!-- Written by `cargo xtask pages`; it lists the tests that name a rule. -->\n\n\
         Every rule is broken by a driver that is compiled from C and reported under the rule's ID, in the function that \
         breaks it and with the other half where there is one, and has a twin that does the same right, in which nothing is \
         found; a few are broken by one test and kept by another, both of which are named. Up to three are listed, and up to three tests of \
         the details.\n\n\
         | rule | what it says | broken and kept | more tests |\n|---|---|---|---|\n",
    );
    for rule in RULES {
        let shown = |tests: &Tests| {
            let own = tests.get(&rule.id.0).into_iter().flatten();
            let shown: Vec<String> = own.take(SHOWN).map(|test| format!("`{test}`")).collect();
            shown.join("<br>")
        };
        let anchor = rule.id.to_string().to_lowercase();
        let _ = writeln!(
            page,
            "| [{}](rules.md#{anchor}) | {} | {} | {} |",
            rule.id,
            cell(rule.headline),
            shown(&twins),
            shown(&tests)
        );
    }
    Ok(page)
}

/// Rules without a driver that breaks them and one that does not.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let twins = twins(files);
    let rules = RULES.iter().filter(|rule| !twins.contains_key(&rule.id.0));
    let problem = |rule: &dirql_rules::Rule| {
        let what = format!("no driver with a twin that is right breaks {}", rule.id);
        Problem::new(TABLE, None, what)
    };
    let untested = ELSEWHERE.iter().flat_map(|one| {
        let rule = RuleId(one.rule);
        missing(one, files).into_iter().map(move |test| {
            let what = format!("the test `{test}` of {rule} and its twin is not there");
            Problem::new(one.file, None, what)
        })
    });
    rules.map(problem).chain(untested).collect()
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
    fn a_line_of_a_table_of_pairs_names_its_rule() {
        let file = |path: &str, line: &str| twins(&[TextFile::new(path, &format!("    {line}\n"))]);
        for (path, line, rule, name) in [
            (
                "tests/contract/tests/rules.rs",
                "(10, With::AtEveryStep(\"foreign=\"), \"DQ0101\", \"Break\", None),",
                101,
                "tests/contract/driver/rules.c 10",
            ),
            (
                "crates/dirql/tests/rules.rs",
                "(\"levels\", 1131, \"Break\", None),",
                113,
                "crates/dirql/tests/rules levels.c 1131",
            ),
            (
                "crates/dirql/tests/zoo.rs",
                "busy_flag: \"busy-flag\", \"DQ0180\", 2, \"ddi\";",
                180,
                "zoo busy-flag",
            ),
            (
                "crates/dirql/tests/zoo.rs",
                "told_by_itself(\"torn-read\", \"DQ0557\");",
                557,
                "zoo torn-read",
            ),
        ] {
            let expected = Tests::from([(rule, BTreeSet::from([name.to_owned()]))]);
            assert_eq!(file(path, line), expected, "{line}");
            assert_eq!(file("another.rs", line), Tests::new());
        }
    }

    #[test]
    fn a_rule_that_is_broken_elsewhere_needs_both_tests() {
        let one = &ELSEWHERE[0];
        let test = |name: &str| format!("#[test]\nfn {name}() {{}}\n");
        let both = test(one.broken) + &test(one.kept);
        for (text, wrong) in [
            (test(one.broken), vec![one.kept]),
            (test(one.kept), vec![one.broken]),
            (both.clone(), vec![]),
            (both.replace("#[test]\n", ""), vec![one.broken, one.kept]),
        ] {
            let files = [TextFile::new(one.file, &text)];
            assert_eq!(missing(one, &files), wrong, "{text}");
            assert_eq!(twins(&files).contains_key(&one.rule), wrong.is_empty());
            let problems = check(&files).into_iter().map(|problem| problem.to_string());
            let told = problems.filter(|problem| problem.starts_with(one.file));
            assert_eq!(told.count(), wrong.len(), "{text}");
        }
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
