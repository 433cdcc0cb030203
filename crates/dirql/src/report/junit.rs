//! The form of JUnit's reports, which every CI service reads.
//!
//! There is no standard; this keeps to what the schemas of Ant and of Jenkins (`junit-10.xsd`) have
//! in common. Each finding is a test that failed; what is clean is one test that passed; what came to
//! no verdict is one test with an error.

use std::io::{self, Write};

use super::{Detail, Found, Results, Verdict, write_finding};

/// Writes the results.
///
/// # Errors
/// The writer's.
pub fn write_junit(out: &mut dyn Write, results: &Results<'_>) -> io::Result<()> {
    let defects: Vec<&Found<'_>> = results
        .found
        .iter()
        .filter(|found| found.finding.is_defect())
        .collect();
    let errors = usize::from(results.verdict == Verdict::NoVerdict);
    let tests = (defects.len() + errors).max(1);
    let counts = format!(
        r#"tests="{tests}" failures="{}" errors="{errors}" time="0""#,
        defects.len()
    );
    let name = escaped(&results.name);
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<testsuites name="dirql" {counts}>"#)?;
    writeln!(out, r#"  <testsuite name="{name}" {counts}>"#)?;
    for found in &defects {
        write_failure(out, results, found)?;
    }
    let class = escaped(&results.driver);
    let text = escaped(results.incomplete.unwrap_or("the limit was reached"));
    match (results.verdict, defects.is_empty()) {
        (Verdict::NoVerdict, _) => {
            writeln!(
                out,
                r#"    <testcase classname="{class}" name="verdict" time="0">"#
            )?;
            writeln!(out, r#"      <error type="no verdict" message="{text}"/>"#)?;
            writeln!(out, "    </testcase>")?;
        }
        (_, true) => {
            writeln!(
                out,
                r#"    <testcase classname="{class}" name="{name}" time="0"/>"#
            )?;
        }
        (_, false) => {}
    }
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")
}

fn write_failure(out: &mut dyn Write, results: &Results<'_>, found: &Found<'_>) -> io::Result<()> {
    let finding = found.finding;
    let mut styled = Vec::new();
    write_finding(&mut styled, finding, Detail::Summary)?;
    let mut text = anstream::adapter::strip_bytes(&styled).into_vec();
    if !found.replay.is_empty() {
        writeln!(text, "again: {}", found.replay)?;
    }
    let text = escaped(&String::from_utf8_lossy(&text));
    let (class, rule) = (escaped(&results.driver), escaped(&finding.rule));
    // The schemas do not know a file of a test; where it is said is in its name and text.
    let at = finding
        .place
        .code
        .as_deref()
        .or(finding.place.ddi.as_deref());
    let name = escaped(&match at {
        Some(at) => format!("{} at {at}", finding.rule),
        None => finding.rule.clone(),
    });
    writeln!(
        out,
        r#"    <testcase classname="{class}" name="{name}" time="0">"#
    )?;
    let message = escaped(&format!("{}: {}", finding.headline, finding.message));
    writeln!(
        out,
        r#"      <failure type="{rule}" message="{message}">{text}</failure>"#
    )?;
    writeln!(out, "    </testcase>")
}

/// Text for an attribute or an element. Characters that XML does not have are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            character if character.is_control() => escaped.push('\u{FFFD}'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_xml_does_not_have_is_replaced() {
        assert_eq!(
            escaped("a<b> & \"c\"\u{0}\u{1b}\n"),
            "a&lt;b&gt; &amp; &quot;c&quot;\u{FFFD}\u{FFFD}\n"
        );
    }
}
