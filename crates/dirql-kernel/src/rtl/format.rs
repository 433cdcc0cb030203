//! The `printf` family: one engine for narrow and wide output.
//!
//! Behaves as the C run-time library inside the Windows kernel: `%Z` is a counted string,
//! `h`, `l` and `w` choose the width of characters, `I64`, `I32` and `I` that of integers, `l` is
//! 32 bits, `%p` is 16 upper-case digits, and floating point is not supported: `%f` and its
//! relatives print nothing and take no argument.
//!
//! Source: Microsoft, "Format specification syntax: printf and wprintf functions"; WDK
//! reference, wdm.DbgPrint, Remarks.

use alloc::vec::Vec;

use dirql_abi::string::UnicodeString;

use super::code_page;
use crate::{Ddi, DriverPtr, Kernel};

/// Most digits that a precision gives a number. Longer ones are cut, as in the original.
const MOST_DIGITS: usize = 512;

/// Most characters of one padded field; a driver's width can be 2 GiB.
const MOST_PADDING: usize = 0x1_0000;

/// Text while it is formatted: UTF-16 units, or bytes of the ANSI code page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `char`.
    Narrow,
    /// `wchar_t`.
    Wide,
}

/// What stands between the percent sign and the conversion.
#[derive(Clone, Copy, Debug, Default)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    size: Size,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Size {
    #[default]
    Default,
    /// `hh`
    Byte,
    /// `h`
    Short,
    /// `l`, `w`
    Long,
    /// `ll`, `I64`, `I`
    Long64,
}

/// The arguments: slots of eight bytes.
struct Arguments<'k> {
    kernel: &'k Kernel,
    next: u64,
}

impl Arguments<'_> {
    fn next(&mut self) -> Ddi<u64> {
        let value = self.kernel.read(DriverPtr::<u64>::new(self.next))?;
        self.next = self.next.wrapping_add(8);
        Ok(value)
    }
}

/// Reads a format from its front.
struct Format<'t> {
    rest: &'t [u16],
}

impl Format<'_> {
    fn next(&mut self) -> Option<u16> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, text: &str) -> bool {
        let starts = text.len() <= self.rest.len()
            && text
                .bytes()
                .zip(self.rest)
                .all(|(byte, unit)| u16::from(byte) == *unit);
        if starts {
            self.rest = &self.rest[text.len()..];
        }
        starts
    }

    fn digits(&mut self) -> usize {
        let mut value = 0usize;
        while let Some(unit @ 0x30..=0x39) = self.rest.first().copied() {
            value = value
                .saturating_mul(10)
                .saturating_add(usize::from(unit - 0x30));
            self.rest = &self.rest[1..];
        }
        value
    }

    /// Flags, width, precision and size.
    fn spec(&mut self, arguments: &mut Arguments<'_>) -> Ddi<Spec> {
        let mut spec = Spec::default();
        loop {
            match self
                .rest
                .first()
                .copied()
                .map(u32::from)
                .and_then(char::from_u32)
            {
                Some('-') => spec.left = true,
                Some('+') => spec.plus = true,
                Some(' ') => spec.space = true,
                Some('#') => spec.alternate = true,
                Some('0') => spec.zero = true,
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        if self.take("*") {
            let width = arguments.next()? as i32;
            spec.left |= width < 0;
            spec.width = width.unsigned_abs() as usize;
        } else {
            spec.width = self.digits();
        }
        spec.width = spec.width.min(MOST_PADDING);
        if self.take(".") {
            spec.precision = if self.take("*") {
                usize::try_from(arguments.next()? as i32).ok()
            } else {
                Some(self.digits())
            };
        }
        spec.size = self.size();
        Ok(spec)
    }

    fn size(&mut self) -> Size {
        const SIZES: [(&str, Size); 11] = [
            ("I64", Size::Long64),
            ("I32", Size::Default),
            ("hh", Size::Byte),
            ("h", Size::Short),
            ("ll", Size::Long64),
            ("l", Size::Long),
            ("w", Size::Long),
            ("j", Size::Long64),
            ("z", Size::Long64),
            ("t", Size::Long64),
            ("L", Size::Default),
        ];
        if let Some((_, size)) = SIZES.into_iter().find(|(text, _)| self.take(text)) {
            return size;
        }
        let before_integer = self.rest.first() == Some(&u16::from(b'I'))
            && self
                .rest
                .get(1)
                .is_some_and(|unit| b"diouxX".iter().any(|byte| u16::from(*byte) == *unit));
        if before_integer {
            self.rest = &self.rest[1..];
            return Size::Long64;
        }
        Size::Default
    }
}

/// One number or string, to be padded.
#[derive(Default)]
struct Field {
    prefix: Vec<u16>,
    text: Vec<u16>,
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

impl Spec {
    fn pad(&self, field: Field, out: &mut Vec<u16>) {
        let padding = self
            .width
            .saturating_sub(field.prefix.len() + field.text.len());
        let fill = |out: &mut Vec<u16>, byte: u8| {
            out.extend(core::iter::repeat_n(u16::from(byte), padding));
        };
        if !self.left && !self.zero {
            fill(out, b' ');
        }
        out.extend(field.prefix);
        if !self.left && self.zero {
            fill(out, b'0');
        }
        out.extend(field.text);
        if self.left {
            fill(out, b' ');
        }
    }

    /// Cuts an argument to its size; the sign bit comes along for signed ones.
    fn cut(&self, slot: u64, signed: bool) -> (bool, u64) {
        let value = match (self.size, signed) {
            (Size::Long64, _) => slot as i64,
            (Size::Byte, true) => i64::from(slot as i8),
            (Size::Short, true) => i64::from(slot as i16),
            (_, true) => i64::from(slot as i32),
            (Size::Byte, false) => i64::from(slot as u8),
            (Size::Short, false) => i64::from(slot as u16),
            (_, false) => i64::from(slot as u32),
        };
        if signed {
            (value < 0, value.unsigned_abs())
        } else {
            (false, value as u64)
        }
    }

    fn number(&mut self, slot: u64, conversion: char) -> Field {
        let signed = matches!(conversion, 'd' | 'i');
        let (negative, value) = self.cut(slot, signed);
        let radix = match conversion {
            'o' => 8,
            'x' | 'X' | 'p' => 16,
            _ => 10,
        };
        let upper = conversion != 'x';
        let digits = match self.precision {
            Some(precision) => {
                self.zero = false;
                precision.min(MOST_DIGITS)
            }
            None => 1,
        };
        let mut text = digits_of(value, radix, upper);
        while text.len() < digits {
            text.insert(0, u16::from(b'0'));
        }
        let mut prefix = Vec::new();
        if signed {
            match (negative, self.plus, self.space) {
                (true, ..) => prefix = units("-"),
                (_, true, _) => prefix = units("+"),
                (_, _, true) => prefix = units(" "),
                _ => {}
            }
        } else if self.alternate && radix == 16 && value != 0 {
            prefix = units(if upper { "0X" } else { "0x" });
        } else if self.alternate && radix == 8 && text.first() != Some(&u16::from(b'0')) {
            text.insert(0, u16::from(b'0'));
        }
        Field { prefix, text }
    }
}

/// The digits of a number, none for 0.
fn digits_of(value: u64, radix: u64, upper: bool) -> Vec<u16> {
    let mut digits = Vec::new();
    let mut left = value;
    while left > 0 {
        let digit = char::from_digit((left % radix) as u32, radix as u32).unwrap_or('?');
        digits.push(if upper {
            digit.to_ascii_uppercase()
        } else {
            digit
        } as u16);
        left /= radix;
    }
    digits.reverse();
    digits
}

impl Kernel {
    /// Formats as `printf` does. `format` is the format's characters; `arguments` the address
    /// of the first of the slots, eight bytes each, that hold what is to be formatted. The
    /// result is in the same width as the format: bytes of the ANSI code page widened to
    /// units, or UTF-16.
    ///
    /// # Errors
    /// A slot, or a string that one points at, is not memory.
    pub(crate) fn format(&self, format: &[u16], width: Width, arguments: u64) -> Ddi<Vec<u16>> {
        let mut out = Vec::new();
        let mut format = Format { rest: format };
        let mut arguments = Arguments {
            kernel: self,
            next: arguments,
        };
        while let Some(unit) = format.next() {
            if unit != u16::from(b'%') {
                out.push(unit);
                continue;
            }
            let mut spec = format.spec(&mut arguments)?;
            let Some(conversion) = format.next() else {
                break;
            };
            let known = char::from_u32(conversion.into()).unwrap_or('\0');
            let field = match known {
                'd' | 'i' | 'u' | 'o' | 'x' | 'X' => spec.number(arguments.next()?, known),
                'p' => {
                    spec.size = Size::Long64;
                    spec.precision = Some(16);
                    spec.number(arguments.next()?, 'p')
                }
                'c' | 'C' => character(&spec, known, width, arguments.next()?),
                's' | 'S' => self.format_string(&spec, known, width, arguments.next()?)?,
                'Z' => self.format_counted(&spec, width, arguments.next()?)?,
                // Writing through an argument is switched off, as in the original.
                'n' => {
                    arguments.next()?;
                    continue;
                }
                'a' | 'A' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => Field::default(),
                // A conversion that does not exist prints itself; so does the percent sign.
                _ => {
                    out.push(conversion);
                    continue;
                }
            };
            spec.pad(field, &mut out);
        }
        Ok(out)
    }

    fn format_string(
        &self,
        spec: &Spec,
        conversion: char,
        width: Width,
        address: u64,
    ) -> Ddi<Field> {
        if address == 0 {
            return Ok(Field {
                prefix: Vec::new(),
                text: shorten(units("(null)"), spec.precision),
            });
        }
        let limit = spec.precision.unwrap_or(usize::MAX);
        let text = match character_width(spec, conversion, width) {
            Width::Wide => in_width(self.read_wide_string(address, limit)?, Width::Wide, width),
            Width::Narrow => in_width(
                widen(&self.read_string(address, limit)?),
                Width::Narrow,
                width,
            ),
        };
        Ok(Field {
            prefix: Vec::new(),
            text: shorten(text, spec.precision),
        })
    }

    /// `%Z`: a STRING, or a UNICODE_STRING with `w` or `l`.
    fn format_counted(&self, spec: &Spec, width: Width, address: u64) -> Ddi<Field> {
        if address == 0 {
            return Ok(Field {
                prefix: Vec::new(),
                text: units("(null)"),
            });
        }
        let string = self.read(DriverPtr::<UnicodeString>::new(address))?;
        if string.buffer == 0 {
            return Ok(Field {
                prefix: Vec::new(),
                text: units("(null)"),
            });
        }
        let bytes = self.read_bytes(string.buffer, string.length.into())?;
        let text = if spec.size == Size::Long {
            let pairs = bytes
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            in_width(pairs.collect(), Width::Wide, width)
        } else {
            in_width(widen(&bytes), Width::Narrow, width)
        };
        Ok(Field {
            prefix: Vec::new(),
            text,
        })
    }
}

fn widen(bytes: &[u8]) -> Vec<u16> {
    bytes.iter().map(|byte| u16::from(*byte)).collect()
}

/// The width that an argument has: `h` is narrow, `l` and `w` are wide, else a lower-case
/// conversion is as wide as the format and an upper-case one the other.
fn character_width(spec: &Spec, conversion: char, width: Width) -> Width {
    let other = match width {
        Width::Narrow => Width::Wide,
        Width::Wide => Width::Narrow,
    };
    match spec.size {
        Size::Short | Size::Byte => Width::Narrow,
        Size::Long => Width::Wide,
        _ if conversion.is_ascii_lowercase() => width,
        _ => other,
    }
}

/// Converts between the code page and UTF-16 if `from` and `to` differ.
fn in_width(text: Vec<u16>, from: Width, to: Width) -> Vec<u16> {
    match (from, to) {
        (Width::Narrow, Width::Wide) => text
            .into_iter()
            .map(|unit| code_page::to_unicode(unit as u8))
            .collect(),
        (Width::Wide, Width::Narrow) => text
            .into_iter()
            .map(|unit| code_page::from_unicode(unit).into())
            .collect(),
        _ => text,
    }
}

fn character(spec: &Spec, conversion: char, width: Width, slot: u64) -> Field {
    let from = character_width(spec, conversion, width);
    let unit = if from == Width::Wide {
        slot as u16
    } else {
        u16::from(slot as u8)
    };
    Field {
        prefix: Vec::new(),
        text: in_width(alloc::vec![unit], from, width),
    }
}

fn shorten(mut text: Vec<u16>, precision: Option<usize>) -> Vec<u16> {
    text.truncate(precision.unwrap_or(usize::MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;
    use alloc::string::String;

    fn text(width: Width, format: &str, arguments: &[u64]) -> String {
        let bench = Bench::new(Config::default());
        text_on(&bench, width, format, arguments)
    }

    fn text_on(bench: &Bench, width: Width, format: &str, arguments: &[u64]) -> String {
        let slots = bench.variable(8 * arguments.len() as u64);
        for (index, argument) in arguments.iter().enumerate() {
            bench
                .kernel
                .write(DriverPtr::<u64>::new(slots).element(index), *argument)
                .unwrap();
        }
        String::from_utf16_lossy(&bench.kernel.format(&units(format), width, slots).unwrap())
    }

    fn narrow(format: &str, argument: u64) -> String {
        text(Width::Narrow, format, &[argument])
    }

    #[test]
    fn integers_are_cut_to_their_size() {
        let all = u64::MAX;
        for (format, expected) in [
            ("%d", "-1"),
            ("%i", "-1"),
            ("%u", "4294967295"),
            ("%lu", "4294967295"),
            ("%hu", "65535"),
            ("%hd", "-1"),
            ("%hhx", "ff"),
            ("%x", "ffffffff"),
            ("%lX", "FFFFFFFF"),
            ("%I64x", "ffffffffffffffff"),
            ("%I64d", "-1"),
            ("%llu", "18446744073709551615"),
            ("%Ix", "ffffffffffffffff"),
            ("%I32u", "4294967295"),
            ("%o", "37777777777"),
            ("%zu", "18446744073709551615"),
        ] {
            assert_eq!(narrow(format, all), expected, "{format}");
        }
        assert_eq!(narrow("%I64d", i64::MIN as u64), "-9223372036854775808");
        assert_eq!(narrow("%d", 0x8000_0000), "-2147483648");
    }

    #[test]
    fn flags_width_and_precision_of_numbers() {
        for (format, argument, expected) in [
            ("[%5d]", 42, "[   42]"),
            ("[%-5d]", 42, "[42   ]"),
            ("[%05d]", 42, "[00042]"),
            ("[%+d]", 42, "[+42]"),
            ("[% d]", 42, "[ 42]"),
            ("[%.4d]", 42, "[0042]"),
            ("[%6.4d]", 42, "[  0042]"),
            ("[%06.4d]", 42, "[  0042]"),
            ("[%05d]", -42i64 as u64, "[-0042]"),
            ("[%#x]", 42, "[0x2a]"),
            ("[%#X]", 42, "[0X2A]"),
            ("[%#x]", 0, "[0]"),
            ("[%#o]", 8, "[010]"),
            ("[%#o]", 0, "[0]"),
            ("[%#08x]", 42, "[0x00002a]"),
            ("[%08X]", 0xBEEF, "[0000BEEF]"),
            ("[%.0d]", 0, "[]"),
            ("[%-05d]", 42, "[42   ]"),
        ] {
            assert_eq!(narrow(format, argument), expected, "{format}");
        }
    }

    #[test]
    fn pointers_have_16_upper_case_digits() {
        assert_eq!(narrow("%p", 0xFFFF_F780_0000_ABCD), "FFFFF7800000ABCD");
        assert_eq!(narrow("%p", 0), "0000000000000000");
        assert_eq!(narrow("[%20p]", 1), "[    0000000000000001]");
    }

    #[test]
    fn a_star_takes_width_or_precision_from_the_arguments() {
        assert_eq!(text(Width::Narrow, "[%*d]", &[4, 1]), "[   1]");
        assert_eq!(text(Width::Narrow, "[%*d]", &[-4i64 as u64, 1]), "[1   ]");
        assert_eq!(text(Width::Narrow, "[%.*d]", &[3, 1]), "[001]");
        assert_eq!(text(Width::Narrow, "[%.*d]", &[u64::MAX, 1]), "[1]");
        assert_eq!(
            text(Width::Narrow, "%*d", &[i32::MIN as u32 as u64, 1]).len(),
            MOST_PADDING
        );
    }

    #[test]
    fn what_is_no_conversion_prints_itself() {
        assert_eq!(text(Width::Narrow, "100%% %y %", &[]), "100% y ");
        assert_eq!(text(Width::Narrow, "%Iq %", &[]), "Iq ");
    }

    #[test]
    fn floating_point_prints_nothing_and_takes_nothing() {
        assert_eq!(text(Width::Narrow, "[%f][%5.2g]%d", &[7]), "[][     ]7");
    }

    #[test]
    fn strings_are_narrow_wide_or_the_other_as_asked() {
        let bench = Bench::new(Config::default());
        let narrow = bench.variable(8);
        bench.kernel.write_bytes(narrow, b"caf\xE9\0").unwrap();
        let wide = bench.variable(16);
        bench
            .kernel
            .write_bytes(
                wide,
                &units("g\u{e9}\u{3b1}\0")
                    .iter()
                    .flat_map(|u| u.to_le_bytes())
                    .collect::<Vec<_>>(),
            )
            .unwrap();
        let n = |format: &str, argument| text_on(&bench, Width::Narrow, format, &[argument]);
        let w = |format: &str, argument| text_on(&bench, Width::Wide, format, &[argument]);
        // Narrow output is bytes of code page 1252, which is Latin-1 here.
        assert_eq!(n("%s|", narrow), "caf\u{e9}|");
        assert_eq!(n("%hs|", narrow), "caf\u{e9}|");
        for format in ["%S|", "%ws|", "%ls|"] {
            assert_eq!(n(format, wide), "g\u{e9}?|", "{format}");
        }
        for format in ["%s|", "%ws|", "%ls|"] {
            assert_eq!(w(format, wide), "g\u{e9}\u{3b1}|", "{format}");
        }
        for format in ["%S|", "%hs|"] {
            assert_eq!(w(format, narrow), "caf\u{e9}|", "{format}");
        }
        assert_eq!(n("[%.2s]", narrow), "[ca]");
        assert_eq!(n("[%6.2s]", narrow), "[    ca]");
        assert_eq!(n("[%-6.2s]", narrow), "[ca    ]");
        assert_eq!(n("%s", 0), "(null)");
        assert_eq!(n("%.3ws", 0), "(nu");
    }

    #[test]
    fn a_precision_keeps_a_string_from_being_read_to_its_end() {
        let bench = Bench::new(Config::default());
        // The last bytes before memory that is not there.
        let page = bench.kernel.pool_allocate(0, 4096, 1).unwrap();
        bench.kernel.write_bytes(page + 4094, b"ab").unwrap();
        assert_eq!(text_on(&bench, Width::Narrow, "%.2s", &[page + 4094]), "ab");
        let slots = bench.variable(8);
        bench
            .kernel
            .write(DriverPtr::<u64>::new(slots), page + 4094)
            .unwrap();
        assert!(
            bench
                .kernel
                .format(&units("%s"), Width::Narrow, slots)
                .is_err()
        );
    }

    #[test]
    fn counted_strings_end_at_their_length() {
        let bench = Bench::new(Config::default());
        let unicode = bench.unicode("counted");
        assert_eq!(
            text_on(&bench, Width::Narrow, "[%wZ]", &[unicode]),
            "[counted]"
        );
        assert_eq!(
            text_on(&bench, Width::Wide, "[%9wZ]", &[unicode]),
            "[  counted]"
        );
        let ansi = bench.variable(16);
        let buffer = bench.variable(8);
        bench.kernel.write_bytes(buffer, b"ansi!").unwrap();
        let header = UnicodeString {
            length: 4,
            maximum_length: 8,
            padding4: 0,
            buffer,
        };
        bench.kernel.write(DriverPtr::new(ansi), header).unwrap();
        assert_eq!(text_on(&bench, Width::Narrow, "%Z", &[ansi]), "ansi");
        assert_eq!(text_on(&bench, Width::Wide, "%Z", &[ansi]), "ansi");
        assert_eq!(text_on(&bench, Width::Narrow, "%wZ", &[0]), "(null)");
    }

    #[test]
    fn characters_have_the_width_of_the_format_or_the_one_asked_for() {
        assert_eq!(narrow("[%c]", 0x141), "[A]");
        assert_eq!(narrow("[%3c]", 0x41), "[  A]");
        assert_eq!(narrow("[%wc]", 0x3B1), "[?]");
        assert_eq!(narrow("[%C]", 0x41), "[A]");
        assert_eq!(text(Width::Wide, "[%c]", &[0x3B1]), "[\u{3b1}]");
        assert_eq!(text(Width::Wide, "[%C]", &[0x141]), "[A]");
    }
}
