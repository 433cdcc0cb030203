//! The registers of a device without a model, in the form that the model takes.

use std::fmt::Write as _;

use super::decode::{Table, Value, array};
use super::parse::Reader;
use super::problem::Problem;

/// Numbers of a register, with the names that they have in the model's form, too.
const NUMBERS: [&str; 7] = [
    "at",
    "width",
    "window",
    "reset",
    "read_only",
    "clear_by_one",
    "clear_by_read",
];

impl<'t> Reader<'t> {
    /// `registers`, `consequences` and `interrupt_sources` of a device, as text; `None` if there
    /// is nothing of that.
    pub(super) fn registers(&self, device: &Table<'t>) -> Option<String> {
        let mut text = String::new();
        let mut each = |key, read: &dyn Fn(&Table<'t>, &mut String)| {
            let values = device
                .value(key)
                .and_then(|value| array(value, self.problems));
            for value in values.into_iter().flatten() {
                if let Some(table) = Table::of(value, "this", self.problems) {
                    read(&table, &mut text);
                    text.push(';');
                    table.finish();
                }
            }
        };
        each("registers", &|table, text| {
            let _ = write!(text, "register {}", self.name(table, "name"));
            for key in NUMBERS {
                self.number(table, key, key, text);
            }
        });
        each("consequences", &|table, text| self.consequence(table, text));
        each("interrupt_sources", &|table, text| {
            let name = self.name(table, "register");
            let bits = table.number("bits", 0..=u64::MAX).unwrap_or(u64::MAX);
            let _ = write!(text, "interrupt {name}={bits:#x}");
            if table.has("enable") {
                let _ = write!(text, " enable={}", self.name(table, "enable"));
            }
        });
        (!text.is_empty()).then_some(text)
    }

    fn consequence(&self, table: &Table<'t>, text: &mut String) {
        let access = if table.has("read") { "read" } else { "write" };
        let _ = write!(text, "on {access} {}", self.name(table, access));
        self.number(table, "bits", "bits", text);
        self.number(table, "after_100ns", "after", text);
        let register = self.name(table, "register");
        for key in ["set", "clear"] {
            if let Some(bits) = table.number(key, 0..=u64::MAX) {
                let _ = write!(text, " {key} {register}={bits:#x}");
            }
        }
    }

    fn number(&self, table: &Table<'t>, key: &'static str, called: &str, text: &mut String) {
        if let Some(number) = table.number(key, 0..=u64::MAX) {
            let _ = write!(text, " {called}={number:#x}");
        }
    }

    /// The name of a register: a word.
    fn name(&self, table: &Table<'t>, key: &'static str) -> &'t str {
        let name = table.required_text(key).unwrap_or("?");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.chars().all(is_plain) && !name.is_empty() || name == "?" {
            return name;
        }
        let span = table.value(key).map_or(table.span.clone(), Value::span);
        self.problems.add(
            Problem::new(
                format!("`{name}` is no name of a register"),
                span,
                "not a word",
            )
            .note("letters, digits and underscores"),
        );
        "?"
    }
}
