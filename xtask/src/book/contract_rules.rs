//! The rules of interrupts by number: what the driver in C does that breaks each, and what is found.
//!
//! The numbers are those of the routines in `tests/contract/driver/rules.c`, of which the tests have
//! one that breaks the rule and one that keeps it: the row, and a digit for the case. Numbers from
//! [`ROWS`] on are of what belongs to no row.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use dirql_rules::{RULES, Rule};

use super::pages::cell;
use crate::tree::Tree;

/// The tests with the table.
const TESTS: &str = "tests/contract/tests/rules.rs";

/// The rows of the contract, from 1.
const ROWS: u32 = 43;

/// A pair of routines of the driver's, and what the tests say of the one that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Pair<'a> {
    number: u32,
    with: &'a str,
    rule: &'a str,
    here: &'a str,
    earlier: Option<&'a str>,
}

pub(super) fn page() -> Result<String> {
    let text = Tree::here().read(TESTS)?;
    let rows = rows(&text)?;
    let mut page = String::from(
        "# The rules of interrupts, row by row\n\n\
         <!-- Written by `cargo xtask pages` from the table of tests/contract/tests/rules.rs. -->\n\n\
         Each row is a rule of how a driver treats interrupts and what goes with them. For each there is code in C, in\n\
         `tests/contract/driver/rules.c`, that breaks it and code that keeps it, in one or more ways. The test\n\
         `what_breaks_a_rule_is_reported_with_both_functions_and_what_keeps_it_is_not` runs both: what breaks it is reported\n\
         under the rule's ID at the first function, with the second as the other half where there is one, and nothing is said\n\
         of what keeps it.\n\n\
         | row | rule | what it says | found in | other half | what is needed |\n|---|---|---|---|---|---|\n",
    );
    for (row, pairs) in rows {
        for pair in pairs {
            let rule = rule(pair.rule)?;
            let _ = writeln!(
                page,
                "| {row} | [{}](rules.md#{}) | {} | `{}` | {} | {} |",
                pair.rule,
                pair.rule.to_lowercase(),
                cell(rule.headline),
                pair.here,
                match pair.earlier {
                    None => "–".into(),
                    Some("") => "the system's own".into(),
                    Some(function) => format!("`{function}`"),
                },
                needed(pair.with),
            );
        }
    }
    Ok(page)
}

fn rule(id: &str) -> Result<&'static Rule> {
    let found = RULES.iter().find(|rule| rule.id.to_string() == id);
    found.with_context(|| format!("{TESTS} names {id}, which is no rule"))
}

/// What a run has to have for the rule to be broken.
fn needed(with: &str) -> String {
    let every = with.strip_prefix("AtEveryStep(\"");
    if let Some(trial) = every.and_then(|rest| rest.split_once(['=', '"'])) {
        return format!("an [audit](audit.md): `{}` at the right step", trial.0);
    }
    String::from(match with {
        "Nothing" => "a run",
        "OneProcessor" => "a run with one processor",
        "Messages" => "a run with two messages",
        "Watched" => "a few orders, with accesses to memory recorded",
        "TwoMessagesWatched" => "the same with two messages",
        "Restart" => "a stop and a start",
        "Power" => "a change of power",
        other => other,
    })
}

/// The pairs of each row.
///
/// # Errors
/// A row has none, or is none.
fn rows(text: &str) -> Result<BTreeMap<u32, Vec<Pair<'_>>>> {
    let mut rows: BTreeMap<u32, Vec<Pair<'_>>> = BTreeMap::new();
    for pair in text.lines().filter_map(pair) {
        let row = pair.number / 10;
        if row <= ROWS {
            rows.entry(row).or_default().push(pair);
        }
    }
    for row in 1..=ROWS {
        ensure!(rows.contains_key(&row), "{TESTS} has nothing for row {row}");
    }
    Ok(rows)
}

/// A line of the table: `(10, With::Nothing, "DQ0101", "Function", Some("Other")),`.
fn pair(line: &str) -> Option<Pair<'_>> {
    let inner = line.trim().strip_prefix('(')?.strip_suffix("),")?;
    let mut parts = inner.splitn(5, ", ");
    let number = parts.next()?.parse().ok()?;
    let with = parts.next()?.strip_prefix("With::")?;
    let mut quoted = || parts.next()?.strip_prefix('"')?.strip_suffix('"');
    let (rule, here) = (quoted()?, quoted()?);
    let earlier = parts.next()?;
    let earlier = earlier
        .strip_prefix("Some(\"")
        .and_then(|rest| rest.strip_suffix("\")"));
    Some(Pair {
        number,
        with,
        rule,
        here,
        earlier,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = r#"        (220, With::AtEveryStep("spurious="), "DQ0001", "Isr", None),"#;
        let read = Pair {
            number: 220,
            with: r#"AtEveryStep("spurious=")"#,
            rule: "DQ0001",
            here: "Isr",
            earlier: None,
        };
        assert_eq!(pair(line), Some(read));
        let line = r#"(70, With::Nothing, "DQ0137", "Break", Some("Connect")),"#;
        assert_eq!(pair(line).and_then(|pair| pair.earlier), Some("Connect"));
        for other in ["", "(1, 2),", "    let found = (10, With::Nothing);"] {
            assert_eq!(pair(other), None);
        }
    }

    #[test]
    fn every_row_has_a_pair_and_every_rule_is_one() {
        let page = page().expect("the table is whole");
        assert!(page.contains("\n| 43 | "), "{page}");
    }

    #[test]
    fn a_row_without_a_pair_is_told() {
        let line = r#"(10, With::Nothing, "DQ0101", "Break", None),"#;
        let error = rows(line).expect_err("42 are missing");
        assert!(error.to_string().ends_with("nothing for row 2"), "{error}");
    }

    #[test]
    fn what_is_needed_is_said_in_words() {
        assert_eq!(
            needed(r#"AtEveryStep("fail=call:")"#),
            "an [audit](audit.md): `fail` at the right step"
        );
        assert_eq!(needed("Power"), "a change of power");
    }
}
