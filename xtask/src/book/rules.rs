//! The book's page of rules, written from the table that the program has.

use std::fmt::Write as _;

use dirql_rules::{ENTRY_IRQL, IrqlRule, RULES, Rule, Severity, explanation};

use super::pages::cell;

pub(super) fn page() -> String {
    let mut page = String::from(
        "# Rules\n\n\
         <!-- Written by `cargo xtask pages`; change crates/dirql-rules/src/table.rs instead. -->\n\n\
         A finding names the rule that was broken. IDs are permanent: a rule that goes away leaves its number behind.\n\n\
         | rule | severity | what it says |\n|---|---|---|\n",
    );
    for rule in RULES {
        let anchor = rule.id.to_string().to_lowercase();
        let _ = writeln!(
            page,
            "| [{}](#{anchor}) | {} | {} |",
            rule.id,
            severity(rule.severity),
            cell(rule.headline)
        );
    }
    RULES.iter().for_each(|rule| section(&mut page, rule));
    levels(&mut page);
    page
}

fn section(page: &mut String, rule: &Rule) {
    let _ = write!(page, "\n## {}\n\n", rule.id);
    let _ = write!(page, "{}.\n\n", sentence(rule.headline));
    let _ = writeln!(page, "- Severity: {}", severity(rule.severity));
    let _ = writeln!(page, "- Help: {}", rule.help);
    let _ = writeln!(page, "- Source: {}", rule.source);
    if !rule.windows.is_empty() {
        let _ = writeln!(page, "- On Windows: {}", rule.windows);
    }
    let Some(explanation) = explanation(rule.id) else {
        return;
    };
    let _ = writeln!(page, "\n{}", explanation.why);
    for (head, code) in [("Wrong", explanation.wrong), ("Right", explanation.right)] {
        if !code.is_empty() {
            let _ = write!(page, "\n{head}:\n\n```c\n{code}\n```\n");
        }
    }
}

fn levels(page: &mut String) {
    page.push_str(
        "\n## Levels of entry\n\n\
         The IRQL at which each routine may be called. A routine that is not listed may be called at any level.\n\n\
         | routine | allowed | rule | source |\n|---|---|---|---|\n",
    );
    for rule in ENTRY_IRQL {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            rule.ddi,
            allowed(rule),
            rule.rule,
            cell(rule.source)
        );
    }
}

fn allowed(rule: &IrqlRule) -> String {
    if rule.lowest == rule.highest {
        return rule.lowest.to_string();
    }
    match rule.lowest.0 {
        0 => format!("at or below {}", rule.highest),
        _ => format!("{} to {}", rule.lowest, rule.highest),
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Advice => "advice",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// The first letter in upper case, except of a routine's name.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_section_and_a_row() {
        let page = page();
        for rule in RULES {
            assert!(page.contains(&format!("\n## {}\n", rule.id)), "{}", rule.id);
            assert!(page.contains(&format!("| [{}](#", rule.id)), "{}", rule.id);
        }
        for rule in ENTRY_IRQL {
            assert!(
                page.contains(&format!("| `{}` |", rule.ddi)),
                "{}",
                rule.ddi
            );
        }
    }
}
