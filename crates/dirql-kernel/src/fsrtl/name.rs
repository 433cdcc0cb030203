//! Names of files, and expressions that match them.
//!
//! Source: WDK reference, ntifs.FsRtlIsNameInExpression, Remarks; ntifs.FsRtlDissectName,
//! ntifs.FsRtlDoesNameContainWildCards, ntifs.FsRtlAreNamesEqual; \[MS-FSA\], "Algorithm for
//! Determining if a FileName Is in an Expression".

use alloc::vec;

use dirql_abi::is_true;
use dirql_abi::string::UnicodeString;
use dirql_rules::ids;

use crate::rtl::{CountedString, Width, upcase_unit};
use crate::{Ddi, DriverPtr, Kernel};

const STAR: u16 = b'*' as u16;
const QUESTION_MARK: u16 = b'?' as u16;
/// `DOS_STAR`, `DOS_QM` and `DOS_DOT`.
const DOS_STAR: u16 = b'<' as u16;
const DOS_QUESTION_MARK: u16 = b'>' as u16;
const DOS_DOT: u16 = b'"' as u16;
const DOT: u16 = b'.' as u16;
const SEPARATOR: u16 = b'\\' as u16;

fn is_wild(unit: u16) -> bool {
    matches!(
        unit,
        STAR | QUESTION_MARK | DOS_STAR | DOS_QUESTION_MARK | DOS_DOT
    )
}

/// Whether `name` is one of those that `expression` stands for. `upcase` is applied to the name alone.
///
/// From the end of the expression to its beginning: `rest[at]` says whether what follows in the
/// expression matches the name from `at` on.
fn matches(expression: &[u16], name: &[u16], upcase: bool) -> bool {
    if expression.is_empty() || name.is_empty() {
        return expression.is_empty() && name.is_empty();
    }
    let end = name.len();
    let last_dot = name.iter().rposition(|unit| *unit == DOT);
    let mut rest = vec![false; end + 1];
    rest[end] = true;
    for sign in expression.iter().rev() {
        let mut here = vec![false; end + 1];
        for at in (0..=end).rev() {
            let unit = name.get(at).copied();
            let is_dot = unit == Some(DOT);
            here[at] = match *sign {
                STAR => rest[at] || (at < end && here[at + 1]),
                DOS_STAR => {
                    let may_eat = at < end && Some(at) != last_dot;
                    rest[at] || (may_eat && here[at + 1])
                }
                QUESTION_MARK => at < end && rest[at + 1],
                DOS_QUESTION_MARK if at == end || is_dot => rest[at],
                DOS_QUESTION_MARK => rest[at + 1],
                DOS_DOT if at == end => rest[at],
                DOS_DOT => is_dot && rest[at + 1],
                sign => {
                    let same = |unit: u16| sign == if upcase { upcase_unit(unit) } else { unit };
                    unit.is_some_and(same) && rest[at + 1]
                }
            };
        }
        rest = here;
    }
    rest[0]
}

/// Whether an expression in upper case stands for a name, whatever that one's case.
pub(crate) fn is_name_in_expression(expression: &[u16], name: &[u16]) -> bool {
    matches(expression, name, true)
}

impl Kernel {
    /// `BOOLEAN FsRtlIsNameInExpression(PUNICODE_STRING Expression, PUNICODE_STRING Name, BOOLEAN IgnoreCase, PWCH UpcaseTable)`
    ///
    /// The system's own table of upper case is used; another one ends the run.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: whether the name is in the expression, which is in upper case already if the
    ///   case is ignored.
    /// - Source: WDK reference, ntifs.FsRtlIsNameInExpression.
    ///
    /// # Errors
    /// A string is not memory.
    pub fn fs_rtl_is_name_in_expression(
        &self,
        expression: DriverPtr<CountedString>,
        name: DriverPtr<CountedString>,
        ignore_case: u8,
        table: u64,
    ) -> Ddi<u8> {
        self.only_the_systems_table(table)?;
        let expression = self.counted_units(expression, Width::Wide)?;
        let name = self.counted_units(name, Width::Wide)?;
        Ok(matches(&expression, &name, is_true(ignore_case)).into())
    }

    /// `BOOLEAN FsRtlAreNamesEqual(PCUNICODE_STRING, PCUNICODE_STRING, BOOLEAN IgnoreCase, PCWCH UpcaseTable)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: whether they are.
    /// - Source: WDK reference, ntifs.FsRtlAreNamesEqual.
    ///
    /// # Errors
    /// A string is not memory.
    pub fn fs_rtl_are_names_equal(
        &self,
        one: DriverPtr<CountedString>,
        other: DriverPtr<CountedString>,
        ignore_case: u8,
        table: u64,
    ) -> Ddi<u8> {
        self.only_the_systems_table(table)?;
        self.rtl_equal_string(one, other, ignore_case, Width::Wide)
    }

    /// A table of a file system's own, which nobody has brought along so far, is not made up.
    fn only_the_systems_table(&self, table: u64) -> Ddi<()> {
        if table == 0 {
            return Ok(());
        }
        let message = "a table of upper case of the driver's own is not implemented";
        Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message.into(), None))
    }

    /// `BOOLEAN FsRtlDoesNameContainWildCards(PUNICODE_STRING Name)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: whether the last part of the path has a wild card.
    /// - Source: WDK reference, ntifs.FsRtlDoesNameContainWildCards.
    ///
    /// # Errors
    /// The string is not memory.
    pub fn fs_rtl_does_name_contain_wild_cards(&self, name: DriverPtr<CountedString>) -> Ddi<u8> {
        let units = self.counted_units(name, Width::Wide)?;
        let last = units.rsplit(|unit| *unit == SEPARATOR).next();
        let wild = last.is_some_and(|part| part.iter().any(|unit| is_wild(*unit)));
        Ok(wild.into())
    }

    /// `VOID FsRtlDissectName(UNICODE_STRING Path, PUNICODE_STRING FirstName, PUNICODE_STRING RemainingName)`
    ///
    /// Gives the first part of a path and what follows it, both without a backslash in front; they
    /// lie in the path's own buffer.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.FsRtlDissectName.
    ///
    /// # Errors
    /// A string is not memory.
    pub fn fs_rtl_dissect_name(
        &self,
        path: DriverPtr<CountedString>,
        first: DriverPtr<CountedString>,
        remaining: DriverPtr<CountedString>,
    ) -> Ddi<()> {
        let units = self.counted_units(path, Width::Wide)?;
        let buffer = self.read(path)?.buffer;
        let part = |range: core::ops::Range<usize>| {
            let bytes = 2 * (range.end - range.start) as u16;
            UnicodeString {
                length: bytes,
                maximum_length: bytes,
                padding4: 0,
                buffer: if bytes == 0 {
                    0
                } else {
                    buffer.wrapping_add(2 * range.start as u64)
                },
            }
        };
        let begin = usize::from(units.first() == Some(&SEPARATOR));
        let end = units[begin..]
            .iter()
            .position(|unit| *unit == SEPARATOR)
            .map_or(units.len(), |at| begin + at);
        let rest = (end + 1).min(units.len());
        self.write(first, part(begin..end))?;
        self.write(remaining, part(rest..units.len()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn is_in(expression: &str, name: &str) -> bool {
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        matches(&units(expression), &units(name), true)
    }

    #[test]
    fn stars_and_question_marks_match_as_everywhere() {
        for (expression, name, is_one) in [
            ("*", "a", true),
            ("*", "", false),
            ("", "", true),
            ("", "a", false),
            ("A*C", "abc", true),
            ("A*C", "ac", true),
            ("A*C", "acb", false),
            ("A?C", "abc", true),
            ("A?C", "ac", false),
            ("*.SYS", "driver.sys", true),
            ("*.SYS", "driver.sy", false),
            ("**A**", "bab", true),
            ("abc", "ABC", false),
        ] {
            assert_eq!(is_in(expression, name), is_one, "{expression} {name}");
        }
    }

    #[test]
    fn the_signs_of_dos_know_dots_and_the_end() {
        for (expression, name, is_one) in [
            ("<", "foo", true),
            ("<", "foo.txt", false),
            ("<.TXT", "foo.bar.txt", true),
            ("<.TXT", "foo.txt.bar", false),
            ("A>>", "a", true),
            ("A>>", "abc", true),
            ("A>>", "abcd", false),
            (">>.TXT", "a.txt", true),
            ("FOO\"", "foo", true),
            ("FOO\"", "foo.", true),
            ("FOO\"", "foox", false),
            ("<\"*", "foo", true),
            ("<\"*", "foo.txt", true),
        ] {
            assert_eq!(is_in(expression, name), is_one, "{expression} {name}");
        }
    }

    fn text(kernel: &Kernel, string: DriverPtr<CountedString>) -> String {
        let units = kernel.counted_units(string, Width::Wide).unwrap();
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn a_path_is_taken_apart_from_the_front() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (first, rest) = (
            DriverPtr::<CountedString>::new(bench.variable(16)),
            DriverPtr::<CountedString>::new(bench.variable(16)),
        );
        for (path, one, other) in [
            ("\\a\\b\\c", "a", "b\\c"),
            ("a\\b", "a", "b"),
            ("\\a", "a", ""),
            ("a\\", "a", ""),
            ("\\", "", ""),
            ("", "", ""),
        ] {
            let path = DriverPtr::<CountedString>::new(bench.unicode(path));
            kernel.fs_rtl_dissect_name(path, first, rest).unwrap();
            assert_eq!(
                (text(kernel, first), text(kernel, rest)),
                (one.into(), other.into())
            );
        }
    }

    #[test]
    fn only_the_last_part_of_a_path_counts_for_wild_cards() {
        let bench = Bench::new(Config::default());
        for (path, wild) in [("a*", 1), ("\\a\\b>", 1), ("\\a*\\b", 0), ("a", 0), ("", 0)] {
            let name = DriverPtr::<CountedString>::new(bench.unicode(path));
            assert_eq!(
                bench.kernel.fs_rtl_does_name_contain_wild_cards(name),
                Ok(wild)
            );
        }
    }
}
