//! Tables and values of TOML with their places, and complaints about them.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::near::nearest;
use super::problem::Problem;

pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Collects what is wrong while a file is read.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub(super) fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// A table of which every key has to be asked for.
pub(super) struct Table<'t> {
    entries: &'t DeTable<'t>,
    /// Where it is.
    pub(super) span: Range<usize>,
    what: &'static str,
    known: RefCell<Vec<&'static str>>,
    pub(super) problems: &'t Problems,
}

impl<'t> Table<'t> {
    /// `what` is what a message calls the table, for example "a device".
    pub(super) fn new(
        entries: &'t DeTable<'t>,
        span: Range<usize>,
        what: &'static str,
        problems: &'t Problems,
    ) -> Self {
        Self {
            entries,
            span,
            what,
            known: RefCell::default(),
            problems,
        }
    }

    /// `value` as a table.
    pub(super) fn of(
        value: &'t Value<'t>,
        what: &'static str,
        problems: &'t Problems,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(Self::new(entries, value.span(), what, problems)),
            other => {
                problems.add(wrong_kind(value, &format!("{what} is a table"), other));
                None
            }
        }
    }

    /// The entry of that key, with the key's place.
    pub(super) fn entry(
        &self,
        key: &'static str,
    ) -> Option<(&'t Spanned<DeString<'t>>, &'t Value<'t>)> {
        self.known.borrow_mut().push(key);
        self.entries.iter().find(|(name, _)| name.get_ref() == key)
    }

    pub(super) fn value(&self, key: &'static str) -> Option<&'t Value<'t>> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Whether the key is there, without asking for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.get_ref() == key)
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'t str> {
        self.value(key)
            .and_then(|value| string(value, self.problems))
    }

    /// Text that must be there.
    pub(super) fn required_text(&self, key: &'static str) -> Option<&'t str> {
        self.required(key)
            .and_then(|value| string(value, self.problems))
    }

    pub(super) fn required(&self, key: &'static str) -> Option<&'t Value<'t>> {
        let value = self.value(key);
        if value.is_none() {
            let title = format!("{} has no `{key}`", self.what);
            self.problems.add(Problem::new(
                title,
                self.span.clone(),
                format!("`{key}` is missing here"),
            ));
        }
        value
    }

    pub(super) fn number<N: TryFrom<i128> + Display + Copy + Into<i128>>(
        &self,
        key: &'static str,
        range: RangeInclusive<N>,
    ) -> Option<N> {
        self.value(key)
            .and_then(|value| number(value, range, self.problems))
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => {
                self.problems
                    .add(wrong_kind(value, "expected true or false", other));
                None
            }
        }
    }

    /// Every key that was not asked for is an error.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self
            .entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.get_ref().as_ref()))
        {
            self.problems.add(unknown_key(key, self.what, &known));
        }
    }
}

fn unknown_key(key: &Spanned<DeString<'_>>, what: &str, known: &[&'static str]) -> Problem {
    let name = key.get_ref();
    let near = nearest(name, known.iter().copied());
    let fix = near.map(|near| {
        (
            format!("a key with a similar name exists: `{near}`"),
            near.to_owned(),
        )
    });
    let mut names: Vec<&str> = known.to_vec();
    names.sort_unstable();
    names.dedup();
    Problem::new(
        format!("{what} has no key `{name}`"),
        key.span(),
        "unknown key",
    )
    .note(format!("keys here: {}", names.join(", ")))
    .perhaps(fix)
}

pub(super) fn string<'t>(value: &'t Value<'t>, problems: &Problems) -> Option<&'t str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        other => {
            let problem = wrong_kind(value, "expected a string", other);
            let fix = match other {
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                    scalar(other).map(|text| ("put it into quotes".into(), format!("\"{text}\"")))
                }
                _ => None,
            };
            problems.add(problem.perhaps(fix));
            None
        }
    }
}

/// A string, number or boolean as text.
pub(super) fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) => Some(integer.to_string()),
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Some(boolean.to_string()),
        _ => None,
    }
}

pub(super) fn number<N: TryFrom<i128> + Display + Copy + Into<i128>>(
    value: &Value<'_>,
    range: RangeInclusive<N>,
    problems: &Problems,
) -> Option<N> {
    let DeValue::Integer(integer) = value.get_ref() else {
        problems.add(wrong_kind(
            value,
            "expected a whole number",
            value.get_ref(),
        ));
        return None;
    };
    let (first, last): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
    let parsed = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
    let inside = parsed.filter(|number| (first..=last).contains(number));
    if inside.is_none() {
        let title = format!("{integer} is not in {first}..={last}");
        problems.add(Problem::new(
            title,
            value.span(),
            format!("expected {first}..={last}"),
        ));
    }
    inside.and_then(|number| N::try_from(number).ok())
}

/// A time such as `"10ms"`.
pub(super) fn duration(value: &Value<'_>, problems: &Problems) -> Option<Duration> {
    let text = string(value, problems)?;
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at(split);
    let nanoseconds: Option<u64> = match unit {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        _ => None,
    };
    let total = nanoseconds.and_then(|unit| count.parse::<u64>().ok()?.checked_mul(unit));
    if total.is_none() {
        let problem = Problem::new(
            format!("`{text}` is not a time"),
            value.span(),
            "expected a number and a unit",
        );
        let fix = (unit.is_empty() && !count.is_empty())
            .then(|| ("give it a unit".to_owned(), format!("\"{count}ms\"")));
        problems.add(problem.note("units: ns, us, ms, s").perhaps(fix));
    }
    total.map(Duration::from_nanos)
}

pub(super) fn array<'t>(value: &'t Value<'t>, problems: &Problems) -> Option<Vec<&'t Value<'t>>> {
    match value.get_ref() {
        DeValue::Array(values) => Some(values.iter().collect()),
        other => {
            problems.add(wrong_kind(value, "expected an array", other));
            None
        }
    }
}

/// One of some names, with a hint at the nearest.
pub(super) fn choice<'n>(
    value: &Value<'_>,
    what: &str,
    names: &[&'n str],
    problems: &Problems,
) -> Option<&'n str> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        // `windows = 10` is what everybody writes first.
        other => match scalar(other).filter(|text| names.contains(&text.as_str())) {
            Some(text) => {
                let problem = wrong_kind(value, "expected a string", other);
                problems.add(problem.replace("put it into quotes", format!("\"{text}\"")));
                return None;
            }
            None => {
                problems.add(wrong_kind(value, "expected a string", other).note(one_of(names)));
                return None;
            }
        },
    };
    let found = names.iter().copied().find(|name| *name == text);
    if found.is_none() {
        problems.add(not_one_of(value.span(), &text, what, names));
    }
    found
}

/// `text`, at `span`, is none of `names`.
pub(super) fn not_one_of(span: Range<usize>, text: &str, what: &str, names: &[&str]) -> Problem {
    let near = nearest(text, names.iter().copied());
    let fix = near.map(|near| {
        (
            "one with a similar name exists".into(),
            format!("\"{near}\""),
        )
    });
    Problem::new(format!("`{text}` is not {what}"), span, "unknown")
        .note(one_of(names))
        .perhaps(fix)
}

fn one_of(names: &[&str]) -> String {
    if names.is_empty() {
        "there is none".into()
    } else {
        format!("one of: {}", names.join(", "))
    }
}

pub(super) fn wrong_kind(value: &Value<'_>, title: &str, found: &DeValue<'_>) -> Problem {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Problem::new(title, value.span(), format!("this is {found}"))
}
