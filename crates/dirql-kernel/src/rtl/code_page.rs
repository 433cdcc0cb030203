//! Code page 1252, which this system has as its ANSI code page, and case.
//!
//! Source: the Unicode consortium's mapping table CP1252.TXT; WDK reference,
//! wdm.RtlAnsiStringToUnicodeString.

/// What 0x80 to 0x9F stand for; the rest is as in Unicode. The five that stand for nothing
/// stand for control characters, as Windows converts them.
const HIGH: [u16; 32] = [
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039,
    0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
    0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178,
];

/// The UTF-16 unit of a byte.
pub(super) fn to_unicode(byte: u8) -> u16 {
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        _ => byte.into(),
    }
}

/// The byte of a UTF-16 unit; a question mark for what the code page does not have.
pub(super) fn from_unicode(unit: u16) -> u8 {
    if let Some(index) = HIGH.iter().position(|high| *high == unit) {
        return 0x80 + index as u8;
    }
    match unit {
        0..=0x7F | 0xA0..=0xFF => unit as u8,
        _ => b'?',
    }
}

/// A unit's upper case, as `RtlUpcaseUnicodeChar` has it: one unit for one unit, and nothing
/// outside ASCII becomes ASCII.
pub(crate) fn upcase(unit: u16) -> u16 {
    change_case(unit, |character| {
        let mut upper = character.to_uppercase();
        (upper.next(), upper.next())
    })
}

/// A unit's lower case.
pub(super) fn downcase(unit: u16) -> u16 {
    change_case(unit, |character| {
        let mut lower = character.to_lowercase();
        (lower.next(), lower.next())
    })
}

fn change_case(unit: u16, case: impl Fn(char) -> (Option<char>, Option<char>)) -> u16 {
    let Some(character) = char::from_u32(unit.into()) else {
        return unit;
    };
    let (Some(changed), None) = case(character) else {
        return unit;
    };
    let changed = u32::from(changed);
    // U+00B5 has its upper case outside the code page and keeps it there.
    let leaves = unit >= 0x80 && changed < 0x80 || unit == 0xB5;
    if leaves {
        unit
    } else {
        u16::try_from(changed).unwrap_or(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=u8::MAX {
            assert_eq!(from_unicode(to_unicode(byte)), byte);
        }
        assert_eq!(to_unicode(0x80), 0x20AC);
        assert_eq!(from_unicode(0x03B1), b'?');
    }

    #[test]
    fn case_is_one_unit_for_one() {
        let up = |c: char| char::from_u32(upcase(c as u16).into()).unwrap();
        for (from, to) in [
            ('a', 'A'),
            ('z', 'Z'),
            ('{', '{'),
            ('\u{e9}', '\u{c9}'),
            ('\u{ff}', '\u{178}'),
        ] {
            assert_eq!(up(from), to);
        }
        for same in ['\u{df}', '\u{131}', '\u{17f}', '\u{b5}', '1'] {
            assert_eq!(up(same), same);
        }
        assert_eq!(downcase(u16::from(b'Q')), u16::from(b'q'));
        assert_eq!(upcase(0xD800), 0xD800);
    }
}
