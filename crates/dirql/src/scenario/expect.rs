//! The status, the count and the data that a step expects.

use dirql_abi::NtStatus;

use super::decode::{Problems, Table, Value, string};
use super::near::nearest;
use super::problem::Problem;
use super::{Expect, Expected};

/// The keys that say how a request is to end.
pub(super) fn expected(table: &Table<'_>, data: Option<Vec<u8>>) -> Expected {
    Expected {
        status: status(table),
        information: table.number("expect_information", 0..=u64::MAX),
        data,
    }
}

/// The status that `expect` says; any success if there is none.
pub(super) fn status(table: &Table<'_>) -> Expect {
    let value = table.value("expect");
    value
        .and_then(|value| named_status(value, table.problems))
        .unwrap_or_default()
}

fn named_status(value: &Value<'_>, problems: &Problems) -> Option<Expect> {
    let text = string(value, problems)?;
    match text {
        "any" => return Some(Expect::Any),
        "success" => return Some(Expect::Success),
        _ => {}
    }
    let bits = text
        .strip_prefix("0x")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let status = bits
        .map(NtStatus::from_bits)
        .or_else(|| NtStatus::from_name(text));
    if status.is_none() {
        problems.add(no_status(value, text));
    }
    status.map(Expect::Exactly)
}

fn no_status(value: &Value<'_>, text: &str) -> Problem {
    let names = NtStatus::TABLE.iter().map(|(_, name)| *name);
    let whole = if text.starts_with("STATUS_") {
        text.to_owned()
    } else {
        format!("STATUS_{text}")
    };
    let fix = nearest(&whole, names).map(|name| {
        (
            "one with a similar name exists".to_owned(),
            format!("\"{name}\""),
        )
    });
    let note = "a name such as STATUS_SUCCESS, a number such as 0xC0000001, \"success\" or \"any\"";
    let problem = Problem::new(format!("`{text}` is not a status"), value.span(), "unknown");
    problem.note(note).perhaps(fix)
}
