//! The schema that editors are given says what the reader takes.
//!
//! A small judge of the part of JSON Schema that the schema uses; a keyword that it does not know
//! fails the test.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Scenario;
use super::step::ALL_ACTIONS;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../schemas/scenario.schema.json")).unwrap()
}

/// A scenario as a JSON value.
fn value(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap();
    serde_json::to_value(table).unwrap()
}

fn judge(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let rules = schema.as_object().ok_or("a schema is an object")?;
    for (keyword, rule) in rules {
        let holds = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" => true,
            "required" | "properties" | "additionalProperties" => {
                return judge_object(root, rules, value);
            }
            "$ref" => {
                let pointer = rule.as_str().ok_or("a reference")?.trim_start_matches('#');
                judge(
                    root,
                    root.pointer(pointer).ok_or(format!("no {pointer}"))?,
                    value,
                )?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "oneOf" => {
                let all = rule.as_array().ok_or("alternatives")?;
                all.iter()
                    .filter(|one| judge(root, one, value).is_ok())
                    .count()
                    == 1
            }
            "items" => match value {
                Value::Array(values) => {
                    values
                        .iter()
                        .try_for_each(|value| judge(root, rule, value))?;
                    true
                }
                _ => true,
            },
            "maxItems" => value
                .as_array()
                .is_none_or(|values| values.len() as u64 <= rule.as_u64().unwrap()),
            "minimum" => value
                .as_i64()
                .is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value
                .as_i64()
                .is_none_or(|number| number <= rule.as_i64().unwrap()),
            "enum" => rule.as_array().ok_or("an enum")?.contains(value),
            "const" => rule == value,
            "pattern" if rule == r"^[Cc]:\\[^\\]" => {
                let text = value.as_str().unwrap_or_default().to_lowercase();
                let rest = text.strip_prefix(r"c:\").unwrap_or_default();
                !rest.is_empty() && !rest.starts_with('\\')
            }
            "pattern" => {
                assert_eq!(
                    rule, "^[0-9]+(ns|us|ms|s)$",
                    "the patterns that are known here"
                );
                let text = value.as_str().unwrap_or_default();
                let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
                unit.len() < text.len() && ["ns", "us", "ms", "s"].contains(&unit)
            }
            other => return Err(format!("the judge does not know `{other}`")),
        };
        if !holds {
            return Err(format!("{value} breaks `{keyword}`: {rule}"));
        }
    }
    Ok(())
}

fn judge_object(root: &Value, rules: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let object = value
        .as_object()
        .ok_or(format!("{value} is not an object"))?;
    let none = Map::new();
    let properties = rules
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    for key in rules
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !object.contains_key(key.as_str().unwrap()) {
            return Err(format!("{value} has no {key}"));
        }
    }
    for (key, value) in object {
        match (properties.get(key), rules.get("additionalProperties")) {
            (Some(schema), _) => judge(root, schema, value)?,
            (None, Some(Value::Bool(false))) => return Err(format!("unknown key {key}")),
            (None, Some(schema)) => judge(root, schema, value)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        other => panic!("the judge does not know the type {other}"),
    }
}

fn is_valid(text: &str) -> Result<(), String> {
    let schema = schema();
    judge(&schema, &schema, &value(text))
}

fn samples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.join(path.file_name().unwrap()).with_extension("toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_sample_is_valid_and_read() {
    let files = samples();
    assert!(files.len() >= 5);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        is_valid(&text).unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
        Scenario::parse("sample", &text).unwrap();
    }
}

#[test]
fn the_schema_has_every_action_with_the_keys_that_the_reader_knows() {
    let schema = schema();
    let steps = schema["$defs"]["step"]["oneOf"].as_array().unwrap();
    let mut actions: Vec<&str> = steps
        .iter()
        .map(|step| step["required"][0].as_str().unwrap())
        .collect();
    let mut known = ALL_ACTIONS.to_vec();
    actions.sort_unstable();
    known.sort_unstable();
    assert_eq!(actions, known);
    for step in steps {
        let action = step["required"][0].as_str().unwrap();
        let mut keys: Vec<&str> = step["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, keys_of(action), "{action}");
    }
}

/// The keys that the reader lists when it finds one that it does not know.
fn keys_of(action: &str) -> Vec<String> {
    let values = [
        ("power", "'e', state = 'D0'"),
        ("query_power", "'e', state = 'D0'"),
        ("serial", "'e', event = 'parity_error', byte = 1"),
        ("read", "'e', length = 1"),
        ("write", "'e', data = ''"),
        ("ioctl", "'e', code = 1"),
        ("receive", "'e', data = ''"),
        ("expect_sent", "'e', data = ''"),
        ("sleep", "'1s'"),
        ("wait_idle", "true"),
        ("explore", "'from_here'"),
        ("unload", "true"),
    ];
    let value = values
        .iter()
        .find(|(name, _)| *name == action)
        .map_or("'e'", |(_, value)| value);
    let text = format!(
        "device = [{{ name = 'e', model = 'edu' }}]\nthread = [{{ steps = [{{ {action} = {value}, zzzzzz = 1 }}] }}, \
         {{ steps = [{{ flush = 'e', async = 'e' }}, {{ signal = 'e' }}] }}]"
    );
    let error = Scenario::parse("t", &text).unwrap_err();
    let [problem] = error.problems() else {
        panic!("{error}")
    };
    let list = problem
        .note
        .as_ref()
        .unwrap()
        .strip_prefix("keys here: ")
        .unwrap();
    let mut keys: Vec<String> = list.split(", ").map(Into::into).collect();
    // Bytes may be given as text, which the reader looks for only if it is there.
    if ["write", "receive", "expect_sent"].contains(&action) {
        keys.push("text".into());
    }
    // Read for the one event that has it.
    if action == "serial" {
        keys.push("asserted".into());
    }
    keys.sort();
    keys
}

#[test]
fn what_the_reader_refuses_the_schema_refuses() {
    for text in [
        "x = 1",
        "[machine]\nprocessors = 0",
        "[machine]\nprocessors = 257",
        "[machine]\nwindows = \"12\"",
        "[machine]\nlate = \"1h\"",
        "[machine]\nreadings = [\"dpc-to-nobody\"]",
        "[machine]\nspecial_pool = 1",
        "[machine]\nno_rules = \"yes\"",
        "[[machine.file]]\npath = 'D:\\x'",
        "[[machine.file]]\ndata = ''",
        "[driver]\n",
        "[[device]]\nname = 'e'",
        "[[thread]]\nsteps = [{ }]",
        "[[thread]]\nsteps = [{ sleep = \"10\" }]",
        "[[thread]]\nsteps = [{ wait_idle = false }]",
        "[[thread]]\nsteps = []\npriority = 32",
    ] {
        assert!(is_valid(text).is_err(), "the schema takes {text}");
        assert!(
            Scenario::parse("t", text).is_err(),
            "the reader takes {text}"
        );
    }
    assert_eq!(is_valid(""), Ok(()));
    assert_eq!(
        value("a = 1"),
        json!({ "a": 1 }),
        "the judge sees what the reader sees"
    );
}
