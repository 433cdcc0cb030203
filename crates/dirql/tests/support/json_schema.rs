//! A judge of as much of JSON Schema as the schemas in `schemas/` use. What it does not know fails.

use serde_json::{Map, Value};

/// Whether `value` is as `schema` says.
pub(crate) fn judge(schema: &Value, value: &Value) -> Result<(), String> {
    one(schema, schema, value, "")
}

fn one(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let rules = match schema {
        Value::Object(rules) => rules,
        Value::Bool(true) => return Ok(()),
        _ => return Err(format!("{at}: nothing may be here")),
    };
    for (keyword, rule) in rules {
        keyword_holds(root, rules, keyword, rule, value, at)?;
    }
    Ok(())
}

fn keyword_holds(
    root: &Value,
    rules: &Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
    let alternatives = || rule.as_array().into_iter().flatten();
    match keyword {
        "$schema" | "$id" | "title" | "description" | "default" | "definitions" | "$defs"
        | "format" => Ok(()),
        "$ref" => {
            let pointer = rule.as_str().unwrap_or_default().trim_start_matches('#');
            let target = root.pointer(pointer).ok_or(format!("no {pointer}"))?;
            one(root, target, value, at)
        }
        "type" => {
            let is = |name: &Value| match name.as_str() {
                Some("object") => value.is_object(),
                Some("array") => value.is_array(),
                Some("string") => value.is_string(),
                Some("boolean") => value.is_boolean(),
                Some("null") => value.is_null(),
                Some("integer") => value.is_i64() || value.is_u64(),
                Some("number") => value.is_number(),
                _ => false,
            };
            let holds = rule
                .as_array()
                .map_or_else(|| is(rule), |all| all.iter().any(is));
            if holds {
                Ok(())
            } else {
                fail(&format!("not {rule}"))
            }
        }
        "enum" if alternatives().any(|one| one == value) => Ok(()),
        "enum" => fail(&format!("none of {rule}")),
        "anyOf" | "oneOf" => {
            let holding = alternatives().filter(|schema| one(root, schema, value, at).is_ok());
            match holding.count() {
                0 => fail("no alternative holds"),
                1 => Ok(()),
                _ if keyword == "anyOf" => Ok(()),
                _ => fail("several alternatives hold"),
            }
        }
        "minimum" | "maximum" => {
            let (Some(number), Some(bound)) = (value.as_f64(), rule.as_f64()) else {
                return Ok(());
            };
            let holds = if keyword == "minimum" {
                number >= bound
            } else {
                number <= bound
            };
            if holds { Ok(()) } else { fail(keyword) }
        }
        "items" | "minItems" | "uniqueItems" => elements(root, keyword, rule, value, at),
        "properties" | "required" | "additionalProperties" => {
            members(root, rules, keyword, rule, value, at)
        }
        // Patterns are of strings; where there is one there must be no string to be judged.
        "pattern" if !value.is_string() => Ok(()),
        "pattern" => pattern(rule.as_str().unwrap_or_default(), value, at),
        unknown => Err(format!("{at}: the judge does not know {unknown}")),
    }
}

/// The one pattern that reports come to.
fn pattern(pattern: &str, value: &Value, at: &str) -> Result<(), String> {
    Err(format!(
        "{at}: the judge does not know {pattern} for {value}"
    ))
}

fn elements(
    root: &Value,
    keyword: &str,
    rule: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let Some(array) = value.as_array() else {
        return Ok(());
    };
    match keyword {
        "minItems" if (array.len() as u64) < rule.as_u64().unwrap_or(0) => {
            Err(format!("{at}: fewer than {rule} elements"))
        }
        "uniqueItems" if rule == true => {
            let twice = array
                .iter()
                .enumerate()
                .find(|(index, one)| array[..*index].contains(one));
            twice.map_or(Ok(()), |(_, one)| Err(format!("{at}: twice {one}")))
        }
        "items" => {
            let mut all = array.iter().enumerate();
            all.try_for_each(|(index, element)| one(root, rule, element, &format!("{at}/{index}")))
        }
        _ => Ok(()),
    }
}

fn members(
    root: &Value,
    rules: &Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    match keyword {
        "required" => {
            let names = rule
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let missing = names.into_iter().find(|name| !object.contains_key(*name));
            missing.map_or(Ok(()), |name| Err(format!("{at}: {name} is missing")))
        }
        "properties" => object.iter().try_for_each(|(name, member)| {
            rule.get(name).map_or(Ok(()), |schema| {
                one(root, schema, member, &format!("{at}/{name}"))
            })
        }),
        _ => object.iter().try_for_each(|(name, member)| {
            let known = rules
                .get("properties")
                .is_some_and(|all| all.get(name).is_some());
            if known {
                Ok(())
            } else {
                one(root, rule, member, &format!("{at}/{name}"))
            }
        }),
    }
}

#[test]
fn the_judge_sees_what_is_wrong() {
    use serde_json::json;
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": { "type": "integer", "minimum": 1 }, "b": { "items": { "enum": ["x"] }, "uniqueItems": true } },
    });
    assert_eq!(judge(&schema, &json!({ "a": 1, "b": ["x"] })), Ok(()));
    let wrong = [
        json!([]),
        json!({}),
        json!({ "a": 0 }),
        json!({ "a": 1, "c": 0 }),
        json!({ "a": 1, "b": ["y"] }),
        json!({ "a": 1, "b": ["x", "x"] }),
    ];
    for value in wrong {
        assert!(judge(&schema, &value).is_err(), "{value}");
    }
}
