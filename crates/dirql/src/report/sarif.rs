//! SARIF 2.1.0, which code scanning services read.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". A finding is a
//! result; its earlier half is a related location; the command that shows it again, the step, the
//! processor and the IRQL are properties. A place without a source line is in the driver's file.

use std::collections::BTreeSet;

use dirql_rules::{RULES, Rule};
use serde::Serialize;
use serde_json::{Value, json};

use super::finding::{normal_path, severity};
use super::{FindingReport, FrameReport, PlaceReport, Results, Verdict};
use crate::audit::key;

/// Where the schema of the form is.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Where the book has the rules.
const RULES_PAGE: &str = "https://github.com/dirql/dirql/blob/main/docs/src/rules.md";

/// The results as a SARIF log.
#[must_use]
pub fn sarif(results: &Results<'_>) -> Value {
    // The rules that were broken, each once, in order of ID.
    let ids: BTreeSet<&str> = results
        .found
        .iter()
        .map(|found| found.finding.rule.as_str())
        .collect();
    let known = |id: &str| RULES.iter().find(|rule| rule.id.to_string() == id);
    let broken: Vec<(&str, &Rule)> = ids
        .into_iter()
        .filter_map(|id| Some((id, known(id)?)))
        .collect();
    let rules: Vec<Value> = broken.iter().map(|(_, rule)| descriptor(rule)).collect();
    let found = results.found.iter().map(|found| {
        let mut result = result(found.finding, &results.driver);
        set(
            &mut result,
            "ruleIndex",
            broken.iter().position(|(id, _)| *id == found.finding.rule),
        );
        if !found.replay.is_empty() {
            result["properties"]["replay"] = found.replay.into();
        }
        result
    });
    let mut invocation = json!({ "executionSuccessful": results.verdict != Verdict::NoVerdict });
    if let Some(text) = results.incomplete {
        invocation["toolExecutionNotifications"] =
            json!([{ "level": "warning", "message": { "text": text } }]);
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "dirql",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "invocations": [invocation],
            "columnKind": "unicodeCodePoints",
            "results": found.collect::<Vec<_>>(),
        }],
    })
}

fn set(value: &mut Value, key: &str, to: Option<impl Serialize>) {
    if let Some(to) = to.and_then(|to| serde_json::to_value(to).ok()) {
        value[key] = to;
    }
}

fn descriptor(rule: &Rule) -> Value {
    let mut descriptor = json!({
        "id": rule.id.to_string(),
        "shortDescription": { "text": rule.headline },
        "fullDescription": { "text": format!("{} Source: {}.", sentence(rule.headline), rule.source) },
        "help": { "text": rule.help },
        "helpUri": format!("{RULES_PAGE}#{}", rule.id.to_string().to_ascii_lowercase()),
        "defaultConfiguration": { "level": level(severity(rule.severity)) },
    });
    if !rule.windows.is_empty() {
        descriptor["properties"] = json!({ "windows": rule.windows });
    }
    descriptor
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

/// A severity in SARIF's words.
fn level(severity: &str) -> &'static str {
    match severity {
        "advice" => "note",
        "warning" => "warning",
        _ => "error",
    }
}

fn result(finding: &FindingReport, driver: &str) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(&finding.severity),
        "message": { "text": format!("{}: {}", sentence(&finding.headline).trim_end_matches('.'), finding.message) },
        "locations": [location(&finding.place, driver)],
        "properties": properties(&finding.place),
        // By which a reader knows it again when lines have moved.
        "partialFingerprints": { "functions/v1": key(finding).join(" ") },
    });
    if let Some(earlier) = &finding.earlier {
        let mut related = location(&earlier.place, driver);
        related["id"] = 1.into();
        related["message"] = json!({ "text": earlier.what });
        related["properties"] = properties(&earlier.place);
        result["relatedLocations"] = json!([related]);
    }
    if !finding.stack.is_empty() {
        let frames: Vec<Value> = finding
            .stack
            .iter()
            .map(|frame| json!({ "location": frame_location(frame, driver) }))
            .collect();
        result["stacks"] = json!([{ "frames": frames }]);
    }
    result
}

fn properties(place: &PlaceReport) -> Value {
    json!({
        "step": place.step,
        "time100ns": place.time_100ns,
        "processor": place.processor,
        "irql": place.irql_name(),
        "context": place.context,
    })
}

fn location(place: &PlaceReport, driver: &str) -> Value {
    located(
        place.source_line(),
        place.code.as_deref(),
        place.image.as_deref(),
        driver,
    )
}

fn frame_location(frame: &FrameReport, driver: &str) -> Value {
    located(
        frame.source_line(),
        Some(&frame.code),
        Some(&frame.image),
        driver,
    )
}

fn located(
    source: Option<(&str, u32)>,
    code: Option<&str>,
    image: Option<&str>,
    driver: &str,
) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(source.map_or(driver, |(file, _)| file)) },
            "region": { "startLine": source.map_or(1, |(_, line)| line.max(1)) },
        },
    });
    if let Some(code) = code {
        // Without the source line, which is said above.
        let code = code.split_once(" (").map_or(code, |(code, _)| code);
        let mut logical = json!({ "fullyQualifiedName": code, "kind": "function" });
        set(
            &mut logical,
            "name",
            code.split_once('!').map(|(_, rest)| rest).or(image),
        );
        location["logicalLocations"] = json!([logical]);
    }
    location
}

/// A path as a relative reference, or as a URI of the scheme `file` if it begins at a root or a drive:
/// "C:/a.c" would be of a scheme called C, and "/a.c" is not below where a reader looks for sources.
///
/// Source: SARIF 2.1.0, "uri property" of artifactLocation; RFC 8089, "Minimal Representation" and
/// "DOS and Windows Drive Letters".
fn uri(path: &str) -> String {
    let path = normal_path(path);
    match path.as_bytes() {
        [b'/', ..] => format!("file://{}", encoded(&path)),
        [drive, b':', b'/', ..] if drive.is_ascii_alphabetic() => {
            format!("file:///{}:{}", char::from(*drive), encoded(&path[2..]))
        }
        _ => encoded(&path),
    }
}

fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_reference_that_readers_take_for_the_same_file() {
        for (path, expected) in [
            ("a.c", "a.c"),
            (r".\b\..\a b.c", "a%20b.c"),
            ("../a.c", "../a.c"),
            ("/src/a.c", "file:///src/a.c"),
            (r"C:\src\ä.c", "file:///C:/src/%C3%A4.c"),
            ("a:b.c", "a%3Ab.c"),
        ] {
            assert_eq!(uri(path), expected, "{path}");
        }
    }
}
