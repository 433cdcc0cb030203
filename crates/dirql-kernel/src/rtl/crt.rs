//! C strings, as the kernel exports them from its run-time library. The narrow and the wide
//! routine of a pair share their rules, so each rule is written once over units.
//!
//! Letters are those of the C locale: case and kinds of characters are known for ASCII only.
//!
//! Source: C run-time library reference, the routine's page.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::format::Width;
use crate::{Ddi, DriverPtr, Kernel};

/// Success, invalid parameter and range error of the `_s` routines (`errno_t`).
const OK: i32 = 0;
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;

const fn unit(width: Width) -> u64 {
    match width {
        Width::Narrow => 1,
        Width::Wide => 2,
    }
}

fn lower(unit: u16) -> u16 {
    if (0x41..=0x5A).contains(&unit) {
        unit + 0x20
    } else {
        unit
    }
}

fn upper(unit: u16) -> u16 {
    if (0x61..=0x7A).contains(&unit) {
        unit - 0x20
    } else {
        unit
    }
}

/// As `strcmp`: by the first units that differ; a terminator is 0.
fn compare(one: &[u16], other: &[u16], fold: fn(u16) -> u16) -> i32 {
    let longer = one.len().max(other.len());
    let at = |text: &[u16], index: usize| text.get(index).copied().map_or(0, fold);
    let difference = (0..longer).find(|index| at(one, *index) != at(other, *index));
    difference.map_or(0, |index| match at(one, index).cmp(&at(other, index)) {
        Ordering::Less => -1,
        _ => 1,
    })
}

/// A number's digits in a base of 2 to 36, lower case.
fn digits(value: u64, base: u64) -> Vec<u16> {
    let mut text = Vec::new();
    let mut left = value;
    loop {
        let digit = char::from_digit((left % base) as u32, base as u32).unwrap_or('?');
        text.push(digit as u16);
        left /= base;
        if left == 0 {
            break;
        }
    }
    text.reverse();
    text
}

/// A number in a base of 2 to 36, of which only 10 has a sign.
pub(super) fn number_text(value: i128, base: u32, bits: u32) -> Vec<u16> {
    let negative = base == 10 && value < 0;
    let mask = if bits >= 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    let magnitude = if negative {
        value.unsigned_abs() as u64
    } else {
        value as u64 & mask
    };
    let mut units = if negative {
        alloc::vec![u16::from(b'-')]
    } else {
        Vec::new()
    };
    units.extend(digits(magnitude, base.into()));
    units
}

/// Which characters `strspn` and its relatives are after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Those of the set (`strspn`).
    Of,
    /// Those that are not of the set (`strcspn`).
    Without,
}

/// How `strset` and its relatives change each character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `_strlwr`
    Lower,
    /// `_strupr`
    Upper,
    /// `_strrev`
    Reverse,
    /// `_strset`, `_strnset`: at most so many become this one.
    Set(u16, u64),
}

impl Kernel {
    /// `size_t strnlen(const char*, size_t)`, `wcsnlen`; without limit `strlen`, `wcslen`
    ///
    /// - IRQL: any level, if the string is resident.
    /// - Returns: the characters before the terminator, at most `limit`.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strnlen.
    pub fn string_length(&self, text: u64, limit: u64, width: Width) -> Ddi<u64> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read_units(text, limit, width)?.len() as u64)
    }

    fn write_terminated(&self, to: u64, mut units: Vec<u16>, width: Width) -> Ddi<()> {
        units.push(0);
        self.write_units(to, &units, width)
    }

    /// `char *strcpy(char*, const char*)`, `wcscpy`
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: the target.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strcpy.
    pub fn string_copy(&self, to: u64, from: u64, width: Width) -> Ddi<u64> {
        let units = self.read_units(from, usize::MAX, width)?;
        self.write_terminated(to, units, width)?;
        Ok(to)
    }

    /// `char *strncpy(char*, const char*, size_t)`, `wcsncpy`
    ///
    /// Writes exactly `count` characters: the text, then zeros. A text that fills them is not
    /// terminated.
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: the target.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strncpy.
    pub fn string_copy_counted(&self, to: u64, from: u64, count: u64, width: Width) -> Ddi<u64> {
        let limit = usize::try_from(count).unwrap_or(usize::MAX);
        let units = self.read_units(from, limit, width)?;
        self.write_units(to, &units, width)?;
        let written = units.len() as u64;
        let rest = to.wrapping_add(written * unit(width));
        self.memset(rest, 0, (count - written).saturating_mul(unit(width)))?;
        Ok(to)
    }

    /// `char *strncat(char*, const char*, size_t)`, `wcsncat`; without limit `strcat`, `wcscat`
    ///
    /// Appends at most `limit` characters and a terminator.
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: the target.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strncat.
    pub fn string_append(&self, to: u64, from: u64, limit: u64, width: Width) -> Ddi<u64> {
        let length = self.string_length(to, u64::MAX, width)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let units = self.read_units(from, limit, width)?;
        self.write_terminated(to.wrapping_add(length * unit(width)), units, width)?;
        Ok(to)
    }

    /// `errno_t strcpy_s(char*, size_t, const char*)`, `wcscpy_s`; with a count `strncpy_s`,
    /// `wcsncpy_s`; appending `strcat_s`, `strncat_s` and their wide forms
    ///
    /// Copies if the text fits with its terminator; else the target becomes empty.
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: 0; 22 for a target that is none or not terminated; 34 for text that does not
    ///   fit.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strcpy_s, strncpy_s, strcat_s.
    pub fn string_copy_secure(
        &self,
        to: u64,
        size: u64,
        from: u64,
        limit: u64,
        append: bool,
        width: Width,
    ) -> Ddi<i32> {
        if to == 0 || size == 0 {
            return Ok(EINVAL);
        }
        let present = if append {
            self.string_length(to, size, width)?
        } else {
            0
        };
        if from == 0 || present == size {
            self.write_units(to, &[0], width)?;
            return Ok(EINVAL);
        }
        let room = size - present;
        let limit = usize::try_from(limit.min(room)).unwrap_or(usize::MAX);
        let units = self.read_units(from, limit, width)?;
        if units.len() as u64 >= room {
            self.write_units(to, &[0], width)?;
            return Ok(ERANGE);
        }
        self.write_terminated(to.wrapping_add(present * unit(width)), units, width)?;
        Ok(OK)
    }

    /// `int strncmp(const char*, const char*, size_t)`, `wcsncmp`, `_strnicmp`, `_wcsnicmp`;
    /// without limit `strcmp`, `wcscmp`, `_stricmp`, `_wcsicmp`
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: less than, equal to or greater than 0.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strncmp, _strnicmp.
    pub fn string_compare(
        &self,
        one: u64,
        other: u64,
        limit: u64,
        ignore_case: bool,
        width: Width,
    ) -> Ddi<i32> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let left = self.read_units(one, limit, width)?;
        // No further than it can matter: the other one may end where memory does.
        let right = self.read_units(other, limit.min(left.len() + 1), width)?;
        Ok(compare(
            &left,
            &right,
            if ignore_case {
                lower
            } else {
                core::convert::identity
            },
        ))
    }

    /// `char *strchr(const char*, int)`, `wcschr`; the last one with `strrchr`, `wcsrchr`
    ///
    /// - IRQL: any level, if the string is resident.
    /// - Returns: where the character is, or NULL; the terminator can be looked for too.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strchr, strrchr.
    pub fn string_find(&self, text: u64, character: u16, last: bool, width: Width) -> Ddi<u64> {
        let character = if width == Width::Narrow {
            character & 0xFF
        } else {
            character
        };
        let mut units = self.read_units(text, usize::MAX, width)?;
        units.push(0);
        let is = |found: &u16| *found == character;
        let index = if last {
            units.iter().rposition(is)
        } else {
            units.iter().position(is)
        };
        Ok(index.map_or(0, |index| text.wrapping_add(index as u64 * unit(width))))
    }

    /// `char *strstr(const char*, const char*)`, `wcsstr`
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: where the second text begins in the first, or NULL.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strstr.
    pub fn string_find_string(&self, text: u64, wanted: u64, width: Width) -> Ddi<u64> {
        let units = self.read_units(text, usize::MAX, width)?;
        let wanted = self.read_units(wanted, usize::MAX, width)?;
        if wanted.is_empty() {
            return Ok(text);
        }
        let index = units
            .windows(wanted.len())
            .position(|window| window == wanted);
        Ok(index.map_or(0, |index| text.wrapping_add(index as u64 * unit(width))))
    }

    /// `size_t strspn(const char*, const char*)`, `strcspn`, `wcsspn`, `wcscspn`
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: how many characters at the front are of the set, or are not.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strspn, strcspn.
    pub fn string_span(&self, text: u64, set: u64, span: Span, width: Width) -> Ddi<u64> {
        let units = self.read_units(text, usize::MAX, width)?;
        let set = self.read_units(set, usize::MAX, width)?;
        let counts = |found: &&u16| set.contains(found) == (span == Span::Of);
        Ok(units.iter().take_while(counts).count() as u64)
    }

    /// `char *_strlwr(char*)`, `_strupr`, `_strrev`, `_strset`, `_strnset`, and the wide forms
    ///
    /// Changes a string where it is.
    ///
    /// - IRQL: any level, if the string is resident.
    /// - Returns: the string.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, _strlwr, _strrev, _strnset.
    pub fn string_change(&self, text: u64, change: Change, width: Width) -> Ddi<u64> {
        let mut units = self.read_units(text, usize::MAX, width)?;
        match change {
            Change::Lower => units.iter_mut().for_each(|unit| *unit = lower(*unit)),
            Change::Upper => units.iter_mut().for_each(|unit| *unit = upper(*unit)),
            Change::Reverse => units.reverse(),
            Change::Set(character, limit) => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                units
                    .iter_mut()
                    .take(limit)
                    .for_each(|unit| *unit = character);
            }
        }
        self.write_units(text, &units, width)?;
        Ok(text)
    }

    /// `unsigned long strtoul(const char*, char**, int)`, `strtol`, `wcstoul`, `wcstol`,
    /// `atoi`, `atol`, `_wtoi`
    ///
    /// Reads a number: white space, a sign, `0x` or `0` for base 0, digits. A value that does
    /// not fit becomes the largest, or for signed ones the smallest.
    ///
    /// - IRQL: any level, if the string is resident.
    /// - Returns: the number as 32 bits; `*end`, unless NULL, is what was not read.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, strtoul, strtol.
    pub fn string_to_number(
        &self,
        text: u64,
        end: DriverPtr<u64>,
        base: u32,
        signed: bool,
        width: Width,
    ) -> Ddi<u32> {
        let units = self.read_units(text, usize::MAX, width)?;
        let (value, used) = number(&units, base, signed, u32::MAX.into());
        if !end.is_null() {
            self.write(end, text.wrapping_add(used as u64 * unit(width)))?;
        }
        Ok(value as u32)
    }

    /// `unsigned __int64 _strtoui64(const char*, char**, int)`: as
    /// [`Kernel::string_to_number`], 64 bits without a sign.
    ///
    /// # Errors
    /// As there.
    pub fn string_to_number_64(&self, text: u64, end: DriverPtr<u64>, base: u32) -> Ddi<u64> {
        let units = self.read_units(text, usize::MAX, Width::Narrow)?;
        let (value, used) = number(&units, base, false, u64::MAX);
        if !end.is_null() {
            self.write(end, text.wrapping_add(used as u64))?;
        }
        Ok(value)
    }

    /// `char *_itoa(int, char*, int)`, `_itow`; unsigned `_ultoa`, `_ultow`; 64 bits `_i64toa`
    ///
    /// Writes a number in a base of 2 to 36. Only base 10 has a sign.
    ///
    /// - IRQL: any level, if the buffer is resident.
    /// - Returns: the buffer; NULL for another base.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, _itoa.
    pub fn number_to_string(
        &self,
        value: i128,
        to: u64,
        base: u32,
        bits: u32,
        width: Width,
    ) -> Ddi<u64> {
        if !(2..=36).contains(&base) {
            return Ok(0);
        }
        let units = number_text(value, base, bits);
        self.write_terminated(to, units, width)?;
        Ok(to)
    }

    /// `int toupper(int)`, `towupper`
    ///
    /// - IRQL: any level.
    /// - Returns: the upper case of an ASCII letter, else the character.
    /// - Findings: none.
    /// - Source: C run-time library reference, toupper.
    pub fn to_upper(&self, character: u16) -> Ddi<u32> {
        Ok(upper(character).into())
    }

    /// `int tolower(int)`, `towlower`
    ///
    /// - IRQL: any level.
    /// - Returns: the lower case of an ASCII letter, else the character.
    /// - Findings: none.
    /// - Source: C run-time library reference, tolower.
    pub fn to_lower(&self, character: u16) -> Ddi<u32> {
        Ok(lower(character).into())
    }

    /// `int isdigit(int)` and its relatives
    ///
    /// - IRQL: any level.
    /// - Returns: 1 if the ASCII character is of the kind.
    /// - Findings: none.
    /// - Source: C run-time library reference, "is, isw Routines".
    pub fn is_kind(&self, character: u32, kind: fn(&u8) -> bool) -> Ddi<u32> {
        Ok(u8::try_from(character).is_ok_and(|byte| kind(&byte)).into())
    }

    /// `void srand(unsigned int)`
    ///
    /// - IRQL: any level.
    /// - Findings: none.
    /// - Source: C run-time library reference, srand.
    pub fn srand(&self, seed: u32) -> Ddi<()> {
        self.rtl.random.set(seed);
        Ok(())
    }

    /// `int rand(void)`
    ///
    /// - IRQL: any level.
    /// - Returns: a number of 0 to 32,767, from the generator of the original, whose first seed
    ///   is 1.
    /// - Findings: none.
    /// - Source: C run-time library reference, rand.
    pub fn rand(&self) -> Ddi<u32> {
        let next = self
            .rtl
            .random
            .get()
            .wrapping_mul(214_013)
            .wrapping_add(2_531_011);
        self.rtl.random.set(next);
        Ok(next >> 16 & 0x7FFF)
    }

    /// `void qsort(void*, size_t Count, size_t Size, int (*compare)(const void*, const void*))`
    ///
    /// Sorts by insertion, so that equal elements keep their order.
    ///
    /// - IRQL: any level at which the comparison can run.
    /// - Findings: none of its own.
    /// - Yields: inside the comparison.
    /// - Source: C run-time library reference, qsort.
    pub fn qsort(&self, base: u64, count: u64, size: u64, routine: u64) -> Ddi<()> {
        for sorted in 1..count {
            let mut at = sorted;
            while at > 0 {
                let [one, other] =
                    [at - 1, at].map(|index| base.wrapping_add(index.wrapping_mul(size)));
                if self.call("qsort comparison", routine, &[one, other]) as i32 <= 0 {
                    break;
                }
                self.exchange(one, other, size)?;
                at -= 1;
            }
        }
        Ok(())
    }

    fn exchange(&self, one: u64, other: u64, size: u64) -> Ddi<()> {
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let left = self.read_bytes(one, length)?;
        self.memmove(one, other, size)?;
        self.write_bytes(other, &left)?;
        Ok(())
    }
}

/// The number at the front of a text, and how many units it has. `most` is the greatest of its kind
/// without a sign; a signed one has 32 bits.
fn number(units: &[u16], base: u32, signed: bool, most: u64) -> (u64, usize) {
    let is = |at: usize, byte: u8| units.get(at) == Some(&u16::from(byte));
    let white = |unit: &u16| matches!(*unit, 0x09..=0x0D | 0x20);
    let mut at = units.iter().take_while(|unit| white(unit)).count();
    let negative = is(at, b'-');
    if negative || is(at, b'+') {
        at += 1;
    }
    let digit = |at: usize, base| {
        units
            .get(at)
            .and_then(|unit| char::from_u32((*unit).into())?.to_digit(base))
    };
    let hexadecimal =
        is(at, b'0') && (is(at + 1, b'x') || is(at + 1, b'X')) && digit(at + 2, 16).is_some();
    let base = match base {
        0 if hexadecimal => 16,
        0 if is(at, b'0') => 8,
        0 => 10,
        2..=36 => base,
        _ => return (0, 0),
    };
    if base == 16 && hexadecimal {
        at += 2;
    }
    let first = at;
    let mut value = 0u64;
    while let Some(digit) = digit(at, base) {
        value = value
            .saturating_mul(base.into())
            .saturating_add(digit.into());
        at += 1;
    }
    if at == first {
        return (0, 0);
    }
    let value = if signed {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let value = if negative { -value } else { value };
        value.clamp(i32::MIN.into(), i32::MAX.into()) as u64 & most
    } else if value > most {
        most
    } else if negative {
        value.wrapping_neg() & most
    } else {
        value
    };
    (value, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    const WIDTHS: [Width; 2] = [Width::Narrow, Width::Wide];

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    /// A terminated string with room for more.
    fn text(bench: &Bench, text: &str, width: Width) -> u64 {
        let at = bench.variable(64);
        let mut all = units(text);
        all.push(0);
        bench.kernel.write_units(at, &all, width).unwrap();
        at
    }

    fn is(bench: &Bench, at: u64, expected: &str, width: Width) {
        assert_eq!(
            bench.kernel.read_units(at, usize::MAX, width).unwrap(),
            units(expected),
            "{width:?}"
        );
    }

    #[test]
    fn strings_are_copied_counted_appended_and_measured() {
        for width in WIDTHS {
            let bench = Bench::new(Config::default());
            let kernel = &bench.kernel;
            let (from, to) = (
                text(&bench, "abcd", width),
                text(&bench, "#########", width),
            );
            assert_eq!(kernel.string_length(from, u64::MAX, width), Ok(4));
            assert_eq!(kernel.string_length(from, 3, width), Ok(3));
            assert_eq!(kernel.string_copy_counted(to, from, 2, width), Ok(to));
            is(&bench, to, "ab#######", width);
            kernel.string_copy_counted(to, from, 6, width).unwrap();
            assert_eq!(
                kernel.read_units(to + 6 * unit(width), 3, width).unwrap(),
                units("###")
            );
            kernel.string_copy(to, from, width).unwrap();
            kernel.string_append(to, from, 3, width).unwrap();
            is(&bench, to, "abcdabc", width);
        }
    }

    #[test]
    fn secure_copies_fit_or_empty_the_target() {
        for width in WIDTHS {
            let bench = Bench::new(Config::default());
            let kernel = &bench.kernel;
            let from = text(&bench, "abcd", width);
            let copy = |size, limit, append| {
                let to = text(&bench, "xy", width);
                let result = kernel
                    .string_copy_secure(to, size, from, limit, append, width)
                    .unwrap();
                (result, to)
            };
            for (size, limit, append, result, expected) in [
                (5, u64::MAX, false, OK, "abcd"),
                (4, u64::MAX, false, ERANGE, ""),
                (4, 3, false, OK, "abc"),
                (7, u64::MAX, true, OK, "xyabcd"),
                (6, u64::MAX, true, ERANGE, ""),
                (2, u64::MAX, true, EINVAL, ""),
                (0, u64::MAX, false, EINVAL, "xy"),
            ] {
                let (found, to) = copy(size, limit, append);
                assert_eq!(found, result, "{size} {limit}");
                is(&bench, to, expected, width);
            }
            assert_eq!(
                kernel.string_copy_secure(0, 5, from, 5, false, width),
                Ok(EINVAL)
            );
        }
    }

    #[test]
    fn comparisons_stop_at_a_difference_a_limit_or_the_end() {
        for width in WIDTHS {
            let bench = Bench::new(Config::default());
            let compare = |one: &str, other: &str, limit, ignore| {
                let (one, other) = (text(&bench, one, width), text(&bench, other, width));
                bench
                    .kernel
                    .string_compare(one, other, limit, ignore, width)
                    .unwrap()
            };
            assert_eq!(compare("abc", "abd", u64::MAX, false), -1);
            assert_eq!(compare("abc", "abd", 2, false), 0);
            assert_eq!(compare("abc", "ab", u64::MAX, false), 1);
            assert_eq!(compare("ab", "abc", u64::MAX, false), -1);
            assert_eq!(compare("aBc", "AbC", u64::MAX, true), 0);
            assert_eq!(compare("aBc", "AbC", u64::MAX, false), 1);
            assert_eq!(compare("_", "A", u64::MAX, true), -1);
        }
    }

    #[test]
    fn characters_strings_and_sets_are_found() {
        for width in WIDTHS {
            let bench = Bench::new(Config::default());
            let kernel = &bench.kernel;
            let at = text(&bench, "abcabc", width);
            let offset = |index: u64| at + index * unit(width);
            assert_eq!(
                kernel.string_find(at, b'c'.into(), false, width),
                Ok(offset(2))
            );
            assert_eq!(
                kernel.string_find(at, b'c'.into(), true, width),
                Ok(offset(5))
            );
            assert_eq!(kernel.string_find(at, 0, false, width), Ok(offset(6)));
            assert_eq!(kernel.string_find(at, b'z'.into(), false, width), Ok(0));
            assert_eq!(
                kernel.string_find_string(at, text(&bench, "ca", width), width),
                Ok(offset(2))
            );
            assert_eq!(
                kernel.string_find_string(at, text(&bench, "cb", width), width),
                Ok(0)
            );
            assert_eq!(
                kernel.string_find_string(at, text(&bench, "", width), width),
                Ok(at)
            );
            let set = text(&bench, "ba", width);
            assert_eq!(kernel.string_span(at, set, Span::Of, width), Ok(2));
            let set = text(&bench, "c", width);
            assert_eq!(kernel.string_span(at, set, Span::Without, width), Ok(2));
        }
    }

    #[test]
    fn strings_are_changed_in_place() {
        for width in WIDTHS {
            for (change, expected) in [
                (Change::Lower, "az[1"),
                (Change::Upper, "AZ[1"),
                (Change::Reverse, "1[za"),
                (Change::Set(0x78, 2), "xx[1"),
                (Change::Set(0x78, u64::MAX), "xxxx"),
            ] {
                let bench = Bench::new(Config::default());
                let at = text(&bench, "az[1", width);
                assert_eq!(bench.kernel.string_change(at, change, width), Ok(at));
                is(&bench, at, expected, width);
            }
        }
    }

    #[test]
    fn numbers_are_read_with_their_limits() {
        for (text, base, signed, expected) in [
            ("42x", 10, true, (42, 2)),
            (" -42", 10, true, (-42i32 as u32, 4)),
            ("-1", 10, false, (u32::MAX, 2)),
            ("0x1F", 0, false, (31, 4)),
            ("0x1F", 16, false, (31, 4)),
            ("0x", 0, false, (0, 1)),
            ("010", 0, false, (8, 3)),
            ("zz", 36, false, (35 * 37, 2)),
            ("4294967296", 10, false, (u32::MAX, 10)),
            ("2147483648", 10, true, (i32::MAX as u32, 10)),
            ("-2147483649", 10, true, (i32::MIN as u32, 11)),
            ("", 10, true, (0, 0)),
            ("+", 10, true, (0, 0)),
            ("12", 1, true, (0, 0)),
        ] {
            let (value, used) = number(&units(text), base, signed, u32::MAX.into());
            assert_eq!((value as u32, used), expected, "{text}");
        }
        for (text, expected) in [
            ("18446744073709551615", (u64::MAX, 20)),
            ("99999999999999999999", (u64::MAX, 20)),
            ("-1", (u64::MAX, 2)),
            ("4294967296", (1 << 32, 10)),
        ] {
            assert_eq!(
                number(&units(text), 10, false, u64::MAX),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_are_written_with_a_sign_in_base_10_only() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        for (value, base, bits, expected) in [
            (-12, 10, 32, "-12"),
            (-1, 16, 32, "ffffffff"),
            (-1, 16, 64, "ffffffffffffffff"),
            (u64::MAX.into(), 10, 64, "18446744073709551615"),
            (35, 36, 32, "z"),
            (0, 2, 32, "0"),
        ] {
            let at = bench.variable(64);
            assert_eq!(
                kernel.number_to_string(value, at, base, bits, Width::Narrow),
                Ok(at)
            );
            is(&bench, at, expected, Width::Narrow);
        }
        assert_eq!(kernel.number_to_string(1, 0, 37, 32, Width::Narrow), Ok(0));
    }

    #[test]
    fn random_numbers_are_those_of_the_original() {
        let kernel = Bench::new(Config::default()).kernel;
        assert_eq!([0; 3].map(|_| kernel.rand().unwrap()), [41, 18467, 6334]);
        kernel.srand(1).unwrap();
        assert_eq!(kernel.rand(), Ok(41));
    }

    #[test]
    fn sorting_asks_the_driver_and_keeps_equal_elements_in_order() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let base = bench.variable(16);
        kernel
            .write_bytes(base, &[3, b'a', 1, b'b', 3, b'c', 2, b'd'])
            .unwrap();
        let routine = bench.routine(|kernel, arguments| {
            let key = |at: u64| kernel.read(DriverPtr::<u8>::new(at));
            Ok((i32::from(key(arguments[0])?) - i32::from(key(arguments[1])?)) as u64)
        });
        kernel.qsort(base, 4, 2, routine).unwrap();
        assert_eq!(
            kernel.read_bytes(base, 8).unwrap(),
            [1, b'b', 2, b'd', 3, b'a', 3, b'c']
        );
    }
}
