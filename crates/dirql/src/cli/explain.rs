//! `dirql explain`

use std::io::{self, Write};

use anstyle::Style;
use dirql_rules::{RULES, Rule, RuleId, Severity, rule};

use super::args::Explain;
use super::output::Output;
use super::{Exit, Failure};

const BOLD: Style = Style::new().bold();

pub(crate) fn explain(args: &Explain, out: &mut Output) -> Result<Exit, Failure> {
    let Some(text) = &args.rule else {
        for rule in RULES {
            writeln!(
                out.results(),
                "{}  {:7}  {}",
                rule.id,
                severity(rule.severity),
                rule.headline
            )?;
        }
        return Ok(Exit::Clean);
    };
    let found = number(text).and_then(|number| rule(RuleId(number)));
    let Some(found) = found else {
        return Err(Failure::usage(format!("there is no rule `{text}`"))
            .help("rules are named as in DQ0104; `dirql explain` lists all of them"));
    };
    write(out.results(), found)?;
    Ok(Exit::Clean)
}

/// The number of an ID: `DQ0104`, `dq104` or `104`.
fn number(text: &str) -> Option<u16> {
    let digits = match text.get(..2) {
        Some(start) if start.eq_ignore_ascii_case("DQ") => &text[2..],
        _ => text,
    };
    // `parse` would take a plus sign.
    digits
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn write(out: &mut dyn Write, rule: &Rule) -> io::Result<()> {
    writeln!(
        out,
        "{BOLD}{} ({}): {}{BOLD:#}\n",
        rule.id,
        severity(rule.severity),
        rule.headline
    )?;
    writeln!(out, "  help: {}", rule.help)?;
    writeln!(out, "  source: {}", rule.source)?;
    if !rule.windows.is_empty() {
        writeln!(out, "  on Windows: {}", rule.windows)?;
    }
    Ok(())
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Advice => "advice",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn an_id_is_found_however_it_is_written() {
        for text in ["DQ0104", "dq0104", "Dq104", "104", "0104"] {
            assert_eq!(number(text), Some(104), "{text}");
        }
        for text in ["", "DQ", "DQx", "+104", "DQ-1", "DQ99999", "ä1"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
