//! Workflow commands of GitHub Actions, which show findings at their lines in a pull request.
//!
//! Source: GitHub, "Workflow commands for GitHub Actions", Setting an error message.

use std::io::{self, Write};

use super::finding::normal_path;
use super::{Found, Results, Verdict};

/// Writes the results, one command per finding. A finding without a source line is shown at none.
///
/// # Errors
/// The writer's.
pub fn write_github(out: &mut dyn Write, results: &Results<'_>) -> io::Result<()> {
    for found in &results.found {
        write_one(out, found)?;
    }
    if results.verdict == Verdict::NoVerdict {
        let why = results.incomplete.unwrap_or("the limit was reached");
        let text = data(&format!("{}: no verdict: {why}", results.name));
        writeln!(out, "::warning title=dirql::{text}")?;
    }
    Ok(())
}

fn write_one(out: &mut dyn Write, found: &Found<'_>) -> io::Result<()> {
    let finding = found.finding;
    let command = match finding.severity.as_str() {
        "advice" => "notice",
        "warning" => "warning",
        _ => "error",
    };
    let mut properties = Vec::new();
    if let Some((file, line)) = finding.place.source_line() {
        properties.push(format!("file={}", property(&normal_path(file))));
        properties.push(format!("line={line}"));
    }
    let title = format!("{} {}", finding.rule, finding.headline);
    properties.push(format!("title={}", property(&title)));
    let mut text = finding.message.clone();
    if let Some(code) = &finding.place.code {
        text.push_str(&format!("\nat {code}"));
    }
    if let Some(earlier) = &finding.earlier {
        text.push_str(&format!("\nearlier: {}", earlier.what));
        if let Some(code) = &earlier.place.code {
            text.push_str(&format!("\nat {code}"));
        }
    }
    if !finding.help.is_empty() {
        text.push_str(&format!("\nhelp: {}", finding.help));
    }
    if !found.replay.is_empty() {
        text.push_str(&format!("\nagain: {}", found.replay));
    }
    writeln!(out, "::{command} {}::{}", properties.join(","), data(&text))
}

/// Text after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn what_ends_a_command_is_escaped() {
        assert_eq!(data("50%\r\n::error::x"), "50%25%0D%0A::error::x");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
    }
}
