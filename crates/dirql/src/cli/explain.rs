//! `dirql explain`

use std::io::{self, Write};

use anstyle::Style;
use dirql_rules::{RULES, Rule, Severity, explanation, rule};

use super::args::{self, Explain};
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
    let found = args::rule(text).ok().and_then(rule);
    let Some(found) = found else {
        return Err(Failure::usage(format!("there is no rule `{text}`"))
            .help("rules are named as in DQ0104; `dirql explain` lists all of them"));
    };
    write(out.results(), found)?;
    Ok(Exit::Clean)
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
    let Some(explanation) = explanation(rule.id) else {
        return Ok(());
    };
    writeln!(out, "\n{}", textwrap(explanation.why))?;
    write_code(out, "wrong", explanation.wrong)?;
    write_code(out, "right", explanation.right)
}

fn write_code(out: &mut dyn Write, head: &str, code: &str) -> io::Result<()> {
    if code.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}{head}{BOLD:#}")?;
    code.lines().try_for_each(|line| writeln!(out, "  {line}"))
}

/// A paragraph in lines of at most 100 characters.
fn textwrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if !line.is_empty() && line.len() + word.len() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if line.is_empty() => line.push_str(word),
            _ => lines.push(word.into()),
        }
    }
    lines.join("\n")
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
    use super::args::rule;

    #[test]
    fn an_id_is_found_however_it_is_written() {
        for text in ["DQ0104", "dq0104", "Dq104", "104", "0104"] {
            assert_eq!(rule(text).map(|id| id.0), Ok(104), "{text}");
        }
        for text in ["", "DQ", "DQx", "+104", "DQ-1", "DQ99999", "ä1", "9999"] {
            assert!(rule(text).is_err(), "{text}");
        }
    }
}
