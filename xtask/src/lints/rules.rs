//! Rule IDs in prose and code: every ID that is named exists, and every rule is reported by
//! something.

use dirql_rules::{RULES, RuleId, rule};

use crate::problem::Problem;
use crate::tree::TextFile;

/// Where rules are defined; a rule that occurs nowhere else is never reported.
const TABLES: &str = "crates/dirql-rules/";

/// What tests and examples call a rule that does not exist.
const NO_RULE: u16 = 9999;

/// This file has to name rules that do not exist.
const EXEMPT: &str = "xtask/src/lints/rules.rs";

pub(super) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = files.iter().flat_map(unknown_ids).collect();
    problems.extend(unreported(files));
    problems
}

fn unknown_ids(file: &TextFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in file.lines() {
        for id in ids(line) {
            if rule(RuleId(id)).is_none() && id != NO_RULE && file.path != EXEMPT {
                problems.push(Problem::new(
                    &file.path,
                    number,
                    format!("there is no rule DQ{id:04}"),
                ));
            }
        }
    }
    problems
}

/// The numbers of the rule IDs (`DQ` and four digits) in a line.
fn ids(line: &str) -> impl Iterator<Item = u16> {
    line.match_indices("DQ").filter_map(|(at, _)| {
        let digits = line.get(at + 2..at + 6)?;
        let longer = line[at + 6..].starts_with(|next: char| next.is_ascii_alphanumeric());
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        if all_digits && !longer {
            digits.parse().ok()
        } else {
            None
        }
    })
}

fn unreported(files: &[TextFile]) -> Vec<Problem> {
    let table = files
        .iter()
        .find(|file| file.path == "crates/dirql-rules/src/table.rs");
    let Some(table) = table else {
        return Vec::new();
    };
    let code: Vec<&TextFile> = files.iter().filter(|file| file.is_rust()).collect();
    let mut problems = Vec::new();
    for (number, line) in table.lines() {
        let Some(name) = name_of_rule(line) else {
            continue;
        };
        let used = |file: &&TextFile| {
            let levels = file.path == "crates/dirql-rules/src/entry_irql.rs";
            (levels || !file.path.starts_with(TABLES))
                && has_word(&file.text, &format!("ids::{name}"))
        };
        if !code.iter().any(used) {
            problems.push(Problem::new(
                &table.path,
                number,
                format!("nothing reports ids::{name}"),
            ));
        }
    }
    problems
}

/// `NAME = 12, Error,` at the start of a rule.
fn name_of_rule(line: &str) -> Option<&str> {
    let (name, rest) = line.trim().split_once(" = ")?;
    let id: u16 = rest.split_once(',')?.0.parse().ok()?;
    RULES
        .iter()
        .any(|rule| rule.id == RuleId(id))
        .then_some(name)
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let after = text[at + word.len()..].chars().next();
        after.is_none_or(|after| !after.is_alphanumeric() && after != '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_prose() {
        assert_eq!(
            ids("DQ0101, (DQ0133) and DQ01234, DQx, DQ12").collect::<Vec<_>>(),
            [101, 133]
        );
    }

    #[test]
    fn an_id_that_does_not_exist_is_a_problem() {
        let file = TextFile::new("docs/src/a.md", "DQ0101\nDQ0999\nDQ9999\n");
        assert_eq!(
            unknown_ids(&file),
            [Problem::new("docs/src/a.md", 2, "there is no rule DQ0999")]
        );
    }

    #[test]
    fn a_rule_that_nothing_reports_is_a_problem() {
        let table = TextFile::new(
            "crates/dirql-rules/src/table.rs",
            "    CONNECT_IRQL = 101, Error,\n    REPORT_IRQL = 102, Error,\n",
        );
        let code = TextFile::new(
            "crates/dirql-kernel/src/a.rs",
            "find(ids::CONNECT_IRQL); find(ids::REPORT_IRQL_TOO)",
        );
        let problems = unreported(&[table.clone(), code]);
        assert_eq!(
            problems,
            [Problem::new(
                table.path,
                2,
                "nothing reports ids::REPORT_IRQL"
            )]
        );
    }

    #[test]
    fn every_rule_of_the_table_is_recognized() {
        let table = crate::tree::Tree::here()
            .read("crates/dirql-rules/src/table.rs")
            .unwrap();
        assert_eq!(table.lines().filter_map(name_of_rule).count(), RULES.len());
    }
}
