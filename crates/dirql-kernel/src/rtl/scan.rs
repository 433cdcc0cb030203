//! `sscanf_s` and its relatives.
//!
//! Not modelled: floating-point conversions, which end the scanning as input that does not fit would;
//! the kernel's library has none.
//!
//! Source: C run-time library reference, "sscanf_s, swscanf_s", "Format specification fields: scanf
//! and wscanf functions", "scanf type field characters", "scanf width specification".

use alloc::vec::Vec;

use super::format::Width;
use crate::{Ddi, DriverPtr, Kernel};

/// What is returned if the input ends before the first conversion.
const EOF: i32 = -1;

/// One conversion of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conversion {
    /// It is read and not stored.
    suppressed: bool,
    /// At most so many characters.
    most: Option<usize>,
    /// Bytes of an integer.
    size: u64,
    /// How wide the characters are that are stored.
    width: Width,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A number of this base; 0 tells by its prefix.
    Integer { base: u32 },
    /// So many characters, of any kind.
    Characters,
    /// Characters up to a space.
    Word,
    /// Characters of a set, or those that are not of it.
    Set { members: Vec<u16>, excluded: bool },
    /// How many characters were read so far.
    Count,
    /// `%%`
    Percent,
    /// None that is known.
    Unknown,
}

/// What a conversion comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Number(u64),
    Text(Vec<u16>),
}

const fn is_space(unit: u16) -> bool {
    matches!(unit, 9..=13 | 32)
}

const fn is(unit: Option<u16>, byte: u8) -> bool {
    matches!(unit, Some(found) if found == byte as u16)
}

/// Reads a format, which stands behind a percent sign.
struct FormatReader<'a> {
    format: &'a [u16],
    at: usize,
    width: Width,
}

impl FormatReader<'_> {
    fn peek(&self) -> Option<u16> {
        self.format.get(self.at).copied()
    }

    fn takes(&mut self, text: &[u8]) -> bool {
        let there = self.format[self.at..]
            .iter()
            .zip(text)
            .filter(|(unit, byte)| **unit == u16::from(**byte))
            .count();
        let all = there == text.len();
        if all {
            self.at += text.len();
        }
        all
    }

    fn conversion(&mut self) -> Conversion {
        let suppressed = self.takes(b"*");
        let most = self.number();
        let (size, width) = self.size();
        let type_ = self.peek().and_then(|unit| u8::try_from(unit).ok());
        self.at += 1;
        let other = match self.width {
            Width::Narrow => Width::Wide,
            Width::Wide => Width::Narrow,
        };
        let size = size.unwrap_or(if type_ == Some(b'p') { 8 } else { 4 });
        let (kind, default) = match type_ {
            Some(b'd' | b'u') => (Kind::Integer { base: 10 }, self.width),
            Some(b'i') => (Kind::Integer { base: 0 }, self.width),
            Some(b'o') => (Kind::Integer { base: 8 }, self.width),
            Some(b'x' | b'X' | b'p') => (Kind::Integer { base: 16 }, self.width),
            Some(b'c') => (Kind::Characters, self.width),
            Some(b'C') => (Kind::Characters, other),
            Some(b's') => (Kind::Word, self.width),
            Some(b'S') => (Kind::Word, other),
            Some(b'[') => (self.set(), self.width),
            Some(b'n') => (Kind::Count, self.width),
            Some(b'%') => (Kind::Percent, self.width),
            _ => (Kind::Unknown, self.width),
        };
        Conversion {
            suppressed,
            most,
            size,
            width: width.unwrap_or(default),
            kind,
        }
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit @ 0x30..=0x39) = self.peek() {
            let value = number.unwrap_or(0_usize).saturating_mul(10);
            number = Some(value.saturating_add(usize::from(digit - 0x30)));
            self.at += 1;
        }
        number
    }

    /// Bytes of an integer, and width of characters, as the size prefix says.
    fn size(&mut self) -> (Option<u64>, Option<Width>) {
        const PREFIXES: &[(&[u8], u64, Option<Width>)] = &[
            (b"I64", 8, None),
            (b"I32", 4, None),
            (b"I", 8, None),
            (b"ll", 8, Some(Width::Wide)),
            (b"l", 4, Some(Width::Wide)),
            (b"hh", 1, Some(Width::Narrow)),
            (b"h", 2, Some(Width::Narrow)),
            (b"w", 4, Some(Width::Wide)),
            (b"j", 8, None),
            (b"z", 8, None),
            (b"t", 8, None),
        ];
        for (prefix, size, width) in PREFIXES {
            if self.takes(prefix) {
                return (Some(*size), *width);
            }
        }
        (None, None)
    }

    /// `[abc]`, `[a-z]`, `[^...]`; a bracket that comes first is of the set.
    fn set(&mut self) -> Kind {
        let excluded = self.takes(b"^");
        let mut members = Vec::new();
        let first = self.at;
        while let Some(unit) = self.peek() {
            self.at += 1;
            if unit == u16::from(b']') && self.at > first + 1 {
                return Kind::Set { members, excluded };
            }
            let last = self.format.get(self.at + 1).copied();
            match last {
                Some(last) if is(self.peek(), b'-') && last != u16::from(b']') => {
                    members.extend(unit.min(last)..=unit.max(last));
                    self.at += 2;
                }
                _ => members.push(unit),
            }
        }
        Kind::Unknown
    }
}

/// The input of a scan.
struct Input {
    units: Vec<u16>,
    at: usize,
}

impl Input {
    fn peek(&self) -> Option<u16> {
        self.units.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn take_while(&mut self, most: usize, belongs: impl Fn(u16) -> bool) -> Vec<u16> {
        let left = &self.units[self.at.min(self.units.len())..];
        let found = left.iter().take(most).take_while(|unit| belongs(**unit));
        let found: Vec<u16> = found.copied().collect();
        self.at += found.len();
        found
    }

    /// `None` if the input is not of that kind.
    fn convert(&mut self, conversion: &Conversion) -> Option<Found> {
        let most = conversion.most;
        let all = most.unwrap_or(usize::MAX);
        let text = match &conversion.kind {
            Kind::Integer { base } => return self.integer(*base, all).map(Found::Number),
            Kind::Characters => {
                let wanted = most.unwrap_or(1);
                let found = self.take_while(wanted, |_| true);
                return (found.len() == wanted).then_some(Found::Text(found));
            }
            Kind::Word => self.take_while(all, |unit| !is_space(unit)),
            Kind::Set { members, excluded } => {
                self.take_while(all, |unit| members.contains(&unit) != *excluded)
            }
            Kind::Count | Kind::Percent | Kind::Unknown => return None,
        };
        (!text.is_empty()).then_some(Found::Text(text))
    }

    fn integer(&mut self, base: u32, most: usize) -> Option<u64> {
        let end = self.at.saturating_add(most).min(self.units.len());
        let mut at = self.at;
        let look = |at: usize| self.units[..end].get(at).copied();
        let negative = is(look(at), b'-');
        if negative || is(look(at), b'+') {
            at += 1;
        }
        let mut base = base;
        let prefixed = is(look(at), b'0') && (is(look(at + 1), b'x') || is(look(at + 1), b'X'));
        if prefixed && (base == 0 || base == 16) {
            base = 16;
            at += 2;
        } else if base == 0 {
            base = if is(look(at), b'0') { 8 } else { 10 };
        }
        let first = at;
        let mut value = 0_u64;
        while let Some(digit) = look(at)
            .and_then(|unit| char::from_u32(unit.into()))
            .and_then(|character| character.to_digit(base))
        {
            value = value.wrapping_mul(base.into()).wrapping_add(digit.into());
            at += 1;
        }
        if at == first && !prefixed {
            return None;
        }
        self.at = at;
        Some(if negative {
            value.wrapping_neg()
        } else {
            value
        })
    }
}

/// What of a format a scan has come through.
struct Scan {
    arguments: DriverPtr<u64>,
    next: usize,
    secure: bool,
}

impl Kernel {
    /// `int sscanf_s(const char*, const char*, ...)`, `swscanf_s`; with a limit `_snscanf_s`,
    /// `_snwscanf_s`; not secure `sscanf`, `swscanf`
    ///
    /// `arguments` is the address of the first of the slots that hold the arguments. The secure
    /// forms have the room of a text, in characters, behind its address.
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: the fields that were stored; -1 if the input ended before the first conversion.
    ///   A text for which there is no room is emptied and ends the scan.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, sscanf_s.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn scan(
        &self,
        input: u64,
        limit: u64,
        format: u64,
        arguments: u64,
        (width, secure): (Width, bool),
    ) -> Ddi<i32> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut input = Input {
            units: self.read_units(input, limit, width)?,
            at: 0,
        };
        let format = self.read_units(format, usize::MAX, width)?;
        let mut reader = FormatReader {
            format: &format,
            at: 0,
            width,
        };
        let mut scan = Scan {
            arguments: DriverPtr::new(arguments),
            next: 0,
            secure,
        };
        let (mut stored, mut converted) = (0, false);
        while let Some(unit) = reader.peek() {
            reader.at += 1;
            if is_space(unit) {
                input.skip_space();
                continue;
            }
            let conversion = (unit == u16::from(b'%')).then(|| reader.conversion());
            let literal = match &conversion {
                None => Some(unit),
                Some(conversion) => (conversion.kind == Kind::Percent).then_some(unit),
            };
            if let Some(literal) = literal {
                if input.peek() != Some(literal) {
                    let ended = input.peek().is_none() && !converted;
                    return Ok(if ended { EOF } else { stored });
                }
                input.at += 1;
                continue;
            }
            let Some(conversion) = conversion else {
                continue;
            };
            if conversion.kind == Kind::Count {
                self.store_number(&mut scan, &conversion, input.at as u64)?;
                continue;
            }
            if !matches!(conversion.kind, Kind::Characters | Kind::Set { .. }) {
                input.skip_space();
            }
            if input.peek().is_none() {
                return Ok(if converted { stored } else { EOF });
            }
            let Some(found) = input.convert(&conversion) else {
                return Ok(stored);
            };
            converted = true;
            if !self.store_found(&mut scan, &conversion, found)? {
                return Ok(stored);
            }
            stored += i32::from(!conversion.suppressed);
        }
        Ok(stored)
    }

    fn next_argument(&self, scan: &mut Scan) -> Ddi<u64> {
        let value = self.read(scan.arguments.element(scan.next))?;
        scan.next += 1;
        Ok(value)
    }

    /// Whether there was room for what was found.
    fn store_found(&self, scan: &mut Scan, conversion: &Conversion, found: Found) -> Ddi<bool> {
        let mut text = match found {
            Found::Number(number) => {
                self.store_number(scan, conversion, number)?;
                return Ok(true);
            }
            Found::Text(text) => text,
        };
        if conversion.suppressed {
            return Ok(true);
        }
        let to = self.next_argument(scan)?;
        let is_terminated = conversion.kind != Kind::Characters;
        if scan.secure {
            let room = u64::from(self.next_argument(scan)? as u32);
            if text.len() as u64 + u64::from(is_terminated) > room {
                if room > 0 {
                    self.write_units(to, &[0], conversion.width)?;
                }
                return Ok(false);
            }
        }
        if is_terminated {
            text.push(0);
        }
        self.write_units(to, &text, conversion.width)?;
        Ok(true)
    }

    fn store_number(&self, scan: &mut Scan, conversion: &Conversion, number: u64) -> Ddi<()> {
        if conversion.suppressed {
            return Ok(());
        }
        let to = self.next_argument(scan)?;
        match conversion.size {
            1 => self.write(DriverPtr::new(to), number as u8)?,
            2 => self.write(DriverPtr::new(to), number as u16)?,
            4 => self.write(DriverPtr::new(to), number as u32)?,
            _ => self.write(DriverPtr::new(to), number)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    /// Where arguments point, 64 bytes each.
    const PLACES: usize = 4;

    /// What scanning `input` gives: the result, and the words at the places.
    fn scan(input: &str, format: &str, width: Width, secure: Option<u64>) -> (i32, [u64; PLACES]) {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let text = |text: &str| {
            let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
            let at = bench.variable(2 * units.len() as u64);
            kernel.write_units(at, &units, width).unwrap();
            at
        };
        let (input, format) = (text(input), text(format));
        let places: [u64; PLACES] = core::array::from_fn(|_| {
            let place = bench.variable(64);
            kernel.write(DriverPtr::new(place), [0xCC_u8; 64]).unwrap();
            place
        });
        let arguments = DriverPtr::<u64>::new(bench.variable(64));
        let slots = places.iter().flat_map(|place| match secure {
            Some(room) => alloc::vec![*place, room],
            None => alloc::vec![*place],
        });
        for (index, slot) in slots.enumerate() {
            kernel.write(arguments.element(index), slot).unwrap();
        }
        let scanned = kernel.scan(
            input,
            u64::MAX,
            format,
            arguments.address(),
            (width, secure.is_some()),
        );
        let words = places.map(|place| kernel.read(DriverPtr::<u64>::new(place)).unwrap());
        (scanned.unwrap(), words)
    }

    fn plain(input: &str, format: &str) -> String {
        let (result, words) = scan(input, format, Width::Narrow, None);
        let used = words.map(|word| format!("{word:x}"));
        let used = used.iter().filter(|word| *word != "cccccccccccccccc");
        let used: Vec<&str> = used.map(String::as_str).collect();
        format!("{result}: {}", used.join(" "))
    }

    #[test]
    fn integers_have_signs_prefixes_widths_and_sizes() {
        for (input, format, expected) in [
            ("12 -3", "%d%d", "2: cccccccc0000000c ccccccccfffffffd"),
            ("  0x1F", "%x", "1: cccccccc0000001f"),
            (
                "0x1F 017 9",
                "%i%i%i",
                "3: cccccccc0000001f cccccccc0000000f cccccccc00000009",
            ),
            ("+7,8", "%u,%u", "2: cccccccc00000007 cccccccc00000008"),
            ("12345", "%2d%hd", "2: cccccccc0000000c cccccccccccc0159"),
            ("300", "%hhu", "1: cccccccccccccc2c"),
            ("123456789abcdef0", "%I64x", "1: 123456789abcdef0"),
            ("123456789abcdef0", "%p", "1: 123456789abcdef0"),
            ("-1", "%lld", "1: ffffffffffffffff"),
            ("5 6", "%*d%d%n", "1: cccccccc00000006 cccccccc00000003"),
            ("777", "%o", "1: cccccccc000001ff"),
        ] {
            assert_eq!(plain(input, format), expected, "{input} {format}");
        }
    }

    #[test]
    fn scanning_stops_at_what_does_not_fit() {
        for (input, format, expected) in [
            ("", "%d", "-1: "),
            ("   ", "%d", "-1: "),
            ("x", "%d", "0: "),
            ("1 x", "%d %d", "1: cccccccc00000001"),
            ("1", "%d %d", "1: cccccccc00000001"),
            ("1:2", "%d;%d", "1: cccccccc00000001"),
            ("50%", "%d%%%n", "1: cccccccc00000032 cccccccc00000003"),
            ("1.5", "%f", "0: "),
            ("ab", "a%c", "1: cccccccccccccc62"),
        ] {
            assert_eq!(plain(input, format), expected, "{input} {format}");
        }
    }

    #[test]
    fn texts_are_words_sets_or_so_many_characters() {
        for (input, format, expected) in [
            (" ab cd", "%s", "1: cccccccccc006261"),
            ("abcd", "%2s%s", "2: cccccccccc006261 cccccccccc006463"),
            (" ab", "%2c", "1: cccccccccccc6120"),
            (
                "ab12",
                "%[a-z]%[0-9]",
                "2: cccccccccc006261 cccccccccc003231",
            ),
            ("k=v", "%[^=]=%s", "2: cccccccccccc006b cccccccccccc0076"),
            ("]-", "%[]-]", "1: cccccccccc002d5d"),
            ("ab", "%S", "1: cccc000000620061"),
            ("ab", "%ls", "1: cccc000000620061"),
            ("ab", "%[0-9]", "0: "),
        ] {
            assert_eq!(plain(input, format), expected, "{input} {format}");
        }
        let (result, words) = scan("ab", "%s", Width::Wide, None);
        assert_eq!((result, words[0]), (1, 0xCCCC_0000_0062_0061));
        let (result, words) = scan("ab", "%hs", Width::Wide, None);
        assert_eq!((result, words[0]), (1, 0xCCCC_CCCC_CC00_6261));
    }

    #[test]
    fn the_secure_forms_know_the_room() {
        let fits = scan("abc", "%s", Width::Narrow, Some(4));
        assert_eq!((fits.0, fits.1[0]), (1, 0xCCCC_CCCC_0063_6261));
        let too_long = scan("abcd", "%s", Width::Narrow, Some(4));
        assert_eq!((too_long.0, too_long.1[0] & 0xFF), (0, 0));
        let characters = scan("abcd", "%4c", Width::Narrow, Some(4));
        assert_eq!((characters.0, characters.1[0]), (1, 0xCCCC_CCCC_6463_6261));
    }
}
