//! Bytes in a scenario: hexadecimal digits, text, a pattern, or a file beside it.
//!
//! Patterns are ours and frozen: a file that was written for one of them is good for ever.

use std::path::Path;

use toml::de::DeValue;

use super::decode::{Problems, Table, Value, choice, number, string, wrong_kind};
use super::problem::Problem;

/// The longest transfer of one request, in bytes.
pub(super) const LONGEST_TRANSFER: u32 = 1 << 24;

/// Reads bytes wherever a scenario has some.
#[derive(Clone, Copy)]
pub(super) struct BytesReader<'r> {
    /// Where files are that are named without a directory.
    pub(super) directory: &'r Path,
    pub(super) problems: &'r Problems,
}

impl BytesReader<'_> {
    /// A string of digits, or a table with one of `text`, `file`, `pattern`.
    pub(super) fn read(&self, value: &Value<'_>) -> Option<Vec<u8>> {
        match value.get_ref() {
            DeValue::String(digits) => self.digits(value, digits),
            DeValue::Table(entries) => {
                let table = Table::new(entries, value.span(), "a source of bytes", self.problems);
                let bytes = self.source(&table, value);
                table.finish();
                bytes
            }
            other => {
                let problem = wrong_kind(value, "expected bytes", other);
                self.problems.add(problem.note(FORMS));
                None
            }
        }
    }

    fn source(&self, table: &Table<'_>, value: &Value<'_>) -> Option<Vec<u8>> {
        let (text, file, pattern) = (
            table.value("text"),
            table.value("file"),
            table.value("pattern"),
        );
        match (text, file, pattern) {
            (Some(text), None, None) => {
                string(text, self.problems).map(|text| text.as_bytes().to_vec())
            }
            (None, Some(file), None) => self.file(file),
            (None, None, Some(pattern)) => self.pattern(table, pattern),
            _ => {
                let title = "bytes are one of `text`, `file` and `pattern`";
                let problem = Problem::new(title, value.span(), "expected one of them");
                self.problems.add(problem.note(FORMS));
                None
            }
        }
    }

    fn file(&self, value: &Value<'_>) -> Option<Vec<u8>> {
        let path = string(value, self.problems)?;
        match std::fs::read(self.directory.join(path)) {
            Ok(bytes) if bytes.len() <= LONGEST_TRANSFER as usize => Some(bytes),
            Ok(bytes) => {
                let title = format!("`{path}` has {} bytes", bytes.len());
                let label = format!("at most {LONGEST_TRANSFER}");
                self.problems.add(Problem::new(title, value.span(), label));
                None
            }
            Err(error) => {
                let title = format!("`{path}` cannot be read: {error}");
                let problem = Problem::new(title, value.span(), "no such bytes");
                self.problems
                    .add(problem.note("paths are relative to the scenario's directory"));
                None
            }
        }
    }

    fn pattern(&self, table: &Table<'_>, value: &Value<'_>) -> Option<Vec<u8>> {
        let kind = choice(
            value,
            "a pattern",
            &["count", "fill", "random"],
            self.problems,
        );
        let length = table
            .required("length")
            .and_then(|value| number(value, 0..=LONGEST_TRANSFER, self.problems));
        let skip = table.number("skip", 0..=u64::from(u32::MAX)).unwrap_or(0);
        let places = skip..skip + u64::from(length.unwrap_or(0));
        let bytes = match kind? {
            "count" => places.map(|place| place as u8).collect(),
            "fill" => {
                let byte = table.required("byte");
                let byte = byte.and_then(|value| number(value, 0..=0xFF_u8, self.problems))?;
                vec![byte; length? as usize]
            }
            _ => {
                let seed = table.number("seed", 0..=u64::from(u32::MAX)).unwrap_or(0);
                places.map(|place| random(seed, place)).collect()
            }
        };
        length.map(|_| bytes)
    }

    /// Hexadecimal digits, spaces between them as one likes.
    fn digits(&self, value: &Value<'_>, text: &str) -> Option<Vec<u8>> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if let Some(wrong) = digits.iter().find(|digit| !digit.is_ascii_hexdigit()) {
            let title = format!("`{wrong}` is not a hexadecimal digit");
            let problem =
                Problem::new(title, value.span(), "bytes are pairs of hexadecimal digits");
            self.problems
                .add(problem.note("for example \"0500 0000\"; spaces do not count"));
            return None;
        }
        if !digits.len().is_multiple_of(2) {
            let title = format!("{} hexadecimal digits are not whole bytes", digits.len());
            self.problems.add(Problem::new(
                title,
                value.span(),
                "two digits for each byte",
            ));
            return None;
        }
        let nibble = |digit: char| digit.to_digit(16).unwrap_or(0) as u8;
        Some(
            digits
                .chunks_exact(2)
                .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
                .collect(),
        )
    }
}

const FORMS: &str = "hexadecimal digits, { text = \"...\" }, { file = \"data.bin\" } or { pattern = \"count\", length = 256 }";

/// Byte `place` of the pattern "random": a byte of the output of SplitMix64 (Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", figure 10) at every eighth place.
fn random(seed: u64, place: u64) -> u8 {
    let mut z = seed.wrapping_add((place / 8 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ z >> 31) >> (8 * (place % 8))) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_those_of_the_generator() {
        // The first outputs for seed 0 of every published implementation.
        let expected = [0xE220_A839_7B1D_CDAF_u64, 0x6E78_9E6A_A1B9_65F4];
        let bytes: Vec<u8> = (0..16).map(|place| random(0, place)).collect();
        let expected: Vec<u8> = expected
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert_eq!(bytes, expected);
    }
}
