//! Conversions between strings of different widths, numbers and GUIDs.
//!
//! Source: WDK reference, wdm.RtlAnsiStringToUnicodeString, wdm.RtlUnicodeStringToAnsiString,
//! ntifs.RtlMultiByteToUnicodeN, wdm.RtlIntegerToUnicodeString,
//! wdm.RtlUnicodeStringToInteger, wdm.RtlStringFromGUID, wdm.RtlGUIDFromString.

use alloc::format;
use alloc::vec::Vec;

use dirql_abi::guid::Guid;
use dirql_abi::{NtStatus, is_true};

use super::code_page;
use super::format::Width;
use super::string::{CountedString, TAG};
use crate::{Ddi, DriverPtr, Kernel};

/// Longest that a counted string can be.
const MOST_BYTES: u64 = 0xFFFF;

/// A digit's value in a base up to 16.
fn digit(unit: u16, base: u32) -> Option<u32> {
    char::from_u32(unit.into()).and_then(|character| character.to_digit(base))
}

/// The number at the front of a text, as `RtlUnicodeStringToInteger` reads it; `None` for a
/// base that is none. Digits beyond 32 bits are lost at the top.
fn parse(units: &[u16], base: u32) -> Option<u32> {
    let is = |unit: Option<&u16>, byte: u8| unit == Some(&u16::from(byte));
    let start = units
        .iter()
        .position(|unit| *unit > u16::from(b' '))
        .unwrap_or(units.len());
    let mut rest = &units[start..];
    let negative = is(rest.first(), b'-');
    if negative || is(rest.first(), b'+') {
        rest = &rest[1..];
    }
    let base = match base {
        0 => {
            let prefix = |byte| is(rest.first(), b'0') && is(rest.get(1), byte);
            let found = [(b'x', 16), (b'o', 8), (b'b', 2)]
                .into_iter()
                .find(|(byte, _)| prefix(*byte));
            found.map_or(10, |(_, base)| {
                rest = &rest[2..];
                base
            })
        }
        2 | 8 | 10 | 16 => base,
        _ => return None,
    };
    let digits = rest.iter().map_while(|unit| digit(*unit, base));
    let value = digits.fold(0u32, |value, digit| {
        value.wrapping_mul(base).wrapping_add(digit)
    });
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// The digits of a number, upper case, without prefix; `None` for a base that is none.
fn digits(value: u64, base: u32) -> Option<Vec<u16>> {
    let text = match base {
        0 | 10 => format!("{value}"),
        2 => format!("{value:b}"),
        8 => format!("{value:o}"),
        16 => format!("{value:X}"),
        _ => return None,
    };
    Some(text.encode_utf16().collect())
}

/// The GUID that a text in braces stands for.
fn guid(units: &[u16]) -> Option<Guid> {
    let text: Vec<u8> = units
        .iter()
        .map(|unit| u8::try_from(*unit).unwrap_or(b'?'))
        .collect();
    let inner = text.strip_prefix(b"{")?.get(..37)?.strip_suffix(b"}")?;
    let hyphens = [8, 13, 18, 23];
    let mut value = 0u128;
    for (index, byte) in inner.iter().enumerate() {
        if hyphens.contains(&index) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        value = value << 4 | u128::from(char::from(*byte).to_digit(16)?);
    }
    let last = (value as u64).to_be_bytes();
    Some(Guid::new(
        (value >> 96) as u32,
        (value >> 80) as u16,
        (value >> 64) as u16,
        last,
    ))
}

impl Kernel {
    /// Puts text into a counted string: in a new buffer if asked, else in its own. `needed` is
    /// the bytes with a terminator.
    pub(super) fn give_text(
        &self,
        to: DriverPtr<CountedString>,
        units: &[u16],
        width: Width,
        allocate: bool,
    ) -> Ddi<NtStatus> {
        let unit = if width == Width::Wide { 2 } else { 1 };
        let length = unit * units.len() as u64;
        if length + unit > MOST_BYTES {
            return Ok(NtStatus::INVALID_PARAMETER_2);
        }
        let header = self.read(to)?;
        let (buffer, maximum_length) = if allocate {
            let buffer = self.pool_allocate(1, length + unit, TAG)?;
            if buffer == 0 {
                return Ok(NtStatus::NO_MEMORY);
            }
            (buffer, (length + unit) as u16)
        } else if length >= u64::from(header.maximum_length) {
            return Ok(NtStatus::BUFFER_OVERFLOW);
        } else {
            (header.buffer, header.maximum_length)
        };
        self.write_units(buffer, units, width)?;
        if length + unit <= u64::from(maximum_length) {
            self.write_units(buffer.wrapping_add(length), &[0], width)?;
        }
        self.write_counted(to, length as u16, maximum_length, buffer)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlAnsiStringToUnicodeString(PUNICODE_STRING To, PCANSI_STRING From, BOOLEAN Allocate)`
    ///
    /// Converts from code page 1252, in a new buffer if asked, with a terminator.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW if the target is too small; INVALID_PARAMETER_2 if
    ///   the text is too long for a counted string; NO_MEMORY.
    /// - Findings: none of its own; a new buffer counts as the driver's pool.
    /// - Source: WDK reference, wdm.RtlAnsiStringToUnicodeString.
    pub fn rtl_ansi_string_to_unicode_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let bytes = self.counted_units(from, Width::Narrow)?;
        let units: Vec<u16> = bytes
            .into_iter()
            .map(|byte| code_page::to_unicode(byte as u8))
            .collect();
        self.give_text(to, &units, Width::Wide, is_true(allocate))
    }

    /// `NTSTATUS RtlUnicodeStringToAnsiString(PANSI_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)`
    ///
    /// Converts to code page 1252, in a new buffer if asked, with a terminator. What is too
    /// long for the target is cut off, and told by the status.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW; NO_MEMORY.
    /// - Findings: none of its own; a new buffer counts as the driver's pool.
    /// - Source: WDK reference, wdm.RtlUnicodeStringToAnsiString.
    pub fn rtl_unicode_string_to_ansi_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let units = self.counted_units(from, Width::Wide)?;
        let mut bytes: Vec<u16> = units
            .into_iter()
            .map(|unit| code_page::from_unicode(unit).into())
            .collect();
        let maximum = usize::from(self.read(to)?.maximum_length);
        let cut = !is_true(allocate) && bytes.len() >= maximum;
        if cut {
            if maximum == 0 {
                return Ok(NtStatus::BUFFER_OVERFLOW);
            }
            bytes.truncate(maximum - 1);
        }
        let status = self.give_text(to, &bytes, Width::Narrow, is_true(allocate))?;
        Ok(if cut && status == NtStatus::SUCCESS {
            NtStatus::BUFFER_OVERFLOW
        } else {
            status
        })
    }

    /// `NTSTATUS RtlUpcaseUnicodeStringToAnsiString(PANSI_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)`
    ///
    /// Converts the upper case of a text, in a new buffer if asked, with a terminator.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW, INVALID_PARAMETER_2, NO_MEMORY.
    /// - Findings: none of its own; a new buffer counts as the driver's pool.
    /// - Source: ntifs.h, which declares it; it has no page.
    pub fn rtl_upcase_unicode_string_to_ansi_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let units = self.counted_units(from, Width::Wide)?;
        let upper = units.into_iter().map(code_page::upcase);
        let bytes: Vec<u16> = upper
            .map(|unit| code_page::from_unicode(unit).into())
            .collect();
        self.give_text(to, &bytes, Width::Narrow, is_true(allocate))
    }

    /// `ULONG RtlxAnsiStringToUnicodeSize(PCANSI_STRING)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: bytes of the text as Unicode, with a terminator.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlxAnsiStringToUnicodeSize.
    pub fn rtlx_ansi_string_to_unicode_size(&self, string: DriverPtr<CountedString>) -> Ddi<u32> {
        Ok(2 * (u32::from(self.read(string)?.length) + 1))
    }

    /// `ULONG RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: bytes of the text in the code page, with a terminator.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlxUnicodeStringToAnsiSize.
    pub fn rtlx_unicode_string_to_ansi_size(&self, string: DriverPtr<CountedString>) -> Ddi<u32> {
        Ok(u32::from(self.read(string)?.length) / 2 + 1)
    }

    /// `WCHAR RtlAnsiCharToUnicodeChar(PUCHAR*)`
    ///
    /// Converts the character that the pointer points at, and moves the pointer behind it.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the unit.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlAnsiCharToUnicodeChar.
    pub fn rtl_ansi_char_to_unicode_char(&self, cursor: DriverPtr<u64>) -> Ddi<u16> {
        let at = self.read(cursor)?;
        let byte = self.read(DriverPtr::<u8>::new(at))?;
        self.write(cursor, at.wrapping_add(1))?;
        Ok(code_page::to_unicode(byte))
    }

    /// `NTSTATUS RtlMultiByteToUnicodeN(PWCH To, ULONG MaxBytes, PULONG Written, const CHAR *From, ULONG Bytes)`
    ///
    /// Converts as much as fits; nothing is terminated.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlMultiByteToUnicodeN.
    pub fn rtl_multi_byte_to_unicode_n(
        &self,
        to: u64,
        max_bytes: u32,
        written: DriverPtr<u32>,
        from: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        self.widen(
            (to, max_bytes),
            written,
            (from, bytes),
            code_page::to_unicode,
        )?;
        Ok(NtStatus::SUCCESS)
    }

    /// Converts as many bytes of a text as fit, and tells how many bytes that has made. Whether all
    /// fit.
    pub(super) fn widen(
        &self,
        (to, room): (u64, u32),
        written: DriverPtr<u32>,
        (from, bytes): (u64, u32),
        to_unicode: fn(u8) -> u16,
    ) -> Ddi<bool> {
        let count = bytes.min(room / 2);
        let text = self.read_bytes(from, count as usize)?;
        let units: Vec<u16> = text.into_iter().map(to_unicode).collect();
        self.write_units(to, &units, Width::Wide)?;
        if !written.is_null() {
            self.write(written, 2 * count)?;
        }
        Ok(count == bytes)
    }

    /// `NTSTATUS RtlMultiByteToUnicodeSize(PULONG, const CHAR*, ULONG Bytes)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS, and the bytes of the text as Unicode.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlMultiByteToUnicodeSize.
    pub fn rtl_multi_byte_to_unicode_size(
        &self,
        size: DriverPtr<u32>,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        self.write(size, bytes.wrapping_mul(2))?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlUnicodeToMultiByteN(PCHAR To, ULONG MaxBytes, PULONG Written, PCWCH From, ULONG Bytes)`
    ///
    /// Converts as much as fits; nothing is terminated.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlUnicodeToMultiByteN.
    pub fn rtl_unicode_to_multi_byte_n(
        &self,
        to: u64,
        max_bytes: u32,
        written: DriverPtr<u32>,
        from: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        self.narrow(
            (to, max_bytes),
            written,
            (from, bytes),
            code_page::from_unicode,
        )?;
        Ok(NtStatus::SUCCESS)
    }

    /// Converts as many units of a text as fit, and tells how many bytes that has made. Whether all
    /// fit.
    pub(super) fn narrow(
        &self,
        (to, room): (u64, u32),
        written: DriverPtr<u32>,
        (from, bytes): (u64, u32),
        from_unicode: fn(u16) -> u8,
    ) -> Ddi<bool> {
        let count = (bytes / 2).min(room);
        let text = self.read_bytes(from, 2 * count as usize)?;
        let units = text
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let converted: Vec<u8> = units.map(from_unicode).collect();
        self.write_bytes(to, &converted)?;
        if !written.is_null() {
            self.write(written, count)?;
        }
        Ok(count == bytes / 2)
    }

    /// `NTSTATUS RtlUnicodeToMultiByteSize(PULONG, PCWCH, ULONG Bytes)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS, and the bytes of the text in the code page.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlUnicodeToMultiByteSize.
    pub fn rtl_unicode_to_multi_byte_size(
        &self,
        size: DriverPtr<u32>,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        self.write(size, bytes / 2)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlIntegerToUnicodeString(ULONG, ULONG Base, PUNICODE_STRING)`, and with 64
    /// bits `RtlInt64ToUnicodeString`
    ///
    /// Writes a number; base 0 is 10.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for another base than 2, 8, 10, 16;
    ///   BUFFER_OVERFLOW.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlIntegerToUnicodeString, wdm.RtlInt64ToUnicodeString.
    pub fn rtl_int64_to_unicode_string(
        &self,
        value: u64,
        base: u32,
        to: DriverPtr<CountedString>,
    ) -> Ddi<NtStatus> {
        match digits(value, base) {
            Some(units) => self.give_text(to, &units, Width::Wide, false),
            None => Ok(NtStatus::INVALID_PARAMETER),
        }
    }

    /// `NTSTATUS RtlUnicodeStringToInteger(PCUNICODE_STRING, ULONG Base, PULONG)`
    ///
    /// Reads the number at the front of a text: white space, a sign, with base 0 one of the
    /// prefixes `0x`, `0o`, `0b`, and digits. No digits are 0.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a base that is none.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlUnicodeStringToInteger.
    pub fn rtl_unicode_string_to_integer(
        &self,
        string: DriverPtr<CountedString>,
        base: u32,
        value: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let units = self.counted_units(string, Width::Wide)?;
        self.give_number(&units, base, value)
    }

    /// `NTSTATUS RtlCharToInteger(PCSZ, ULONG Base, PULONG)`
    ///
    /// As [`Kernel::rtl_unicode_string_to_integer`], of terminated 8-bit text.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for a base that is none.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlCharToInteger.
    pub fn rtl_char_to_integer(
        &self,
        text: u64,
        base: u32,
        value: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        let units = self.read_units(text, usize::MAX, Width::Narrow)?;
        self.give_number(&units, base, value)
    }

    fn give_number(&self, units: &[u16], base: u32, value: DriverPtr<u32>) -> Ddi<NtStatus> {
        let Some(number) = parse(units, base) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        self.write(value, number)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS RtlStringFromGUID(REFGUID, PUNICODE_STRING)`
    ///
    /// Writes a GUID in braces, in a new buffer.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; NO_MEMORY.
    /// - Findings: none of its own; the buffer counts as the driver's pool.
    /// - Source: WDK reference, wdm.RtlStringFromGUID.
    pub fn rtl_string_from_guid(
        &self,
        guid: DriverPtr<Guid>,
        to: DriverPtr<CountedString>,
    ) -> Ddi<NtStatus> {
        let units: Vec<u16> = format!("{}", self.read(guid)?).encode_utf16().collect();
        self.give_text(to, &units, Width::Wide, true)
    }

    /// `NTSTATUS RtlGUIDFromString(PCUNICODE_STRING, GUID*)`
    ///
    /// Reads a GUID in braces; what follows it is ignored.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlGUIDFromString.
    pub fn rtl_guid_from_string(
        &self,
        string: DriverPtr<CountedString>,
        to: DriverPtr<Guid>,
    ) -> Ddi<NtStatus> {
        let units = self.counted_units(string, Width::Wide)?;
        let Some(value) = guid(&units) else {
            return Ok(NtStatus::INVALID_PARAMETER);
        };
        self.write(to, value)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn string(bench: &Bench, text: &[u8], maximum: u16) -> DriverPtr<CountedString> {
        let string = DriverPtr::new(bench.variable(16));
        let buffer = bench.variable(maximum.into());
        bench.kernel.write_bytes(buffer, text).unwrap();
        bench
            .kernel
            .write_counted(string, text.len() as u16, maximum, buffer)
            .unwrap();
        string
    }

    #[test]
    fn numbers_are_read_up_to_what_is_no_digit() {
        for (text, base, expected) in [
            ("42", 10, Some(42)),
            (" \t-7x", 10, Some(7u32.wrapping_neg())),
            ("+7", 0, Some(7)),
            ("0x1fG", 0, Some(0x1F)),
            ("0b102", 0, Some(0b10)),
            ("0o778", 0, Some(0o77)),
            ("0x10", 10, Some(0)),
            ("FFFFFFFF", 16, Some(u32::MAX)),
            ("1FFFFFFFF", 16, Some(u32::MAX)),
            ("", 0, Some(0)),
            ("0", 0, Some(0)),
            ("1", 7, None),
        ] {
            assert_eq!(parse(&units(text), base), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_in_four_bases_with_room_to_spare() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let to = string(&bench, &[], 18);
        for (base, text) in [
            (0, "255"),
            (10, "255"),
            (16, "FF"),
            (8, "377"),
            (2, "11111111"),
        ] {
            assert_eq!(
                kernel.rtl_int64_to_unicode_string(255, base, to),
                Ok(NtStatus::SUCCESS)
            );
            assert_eq!(kernel.text_of(to).unwrap(), text);
        }
        assert_eq!(
            kernel.rtl_int64_to_unicode_string(1, 3, to),
            Ok(NtStatus::INVALID_PARAMETER)
        );
        assert_eq!(
            kernel.rtl_int64_to_unicode_string(1 << 9, 2, to),
            Ok(NtStatus::BUFFER_OVERFLOW)
        );
    }

    #[test]
    fn the_code_page_is_converted_both_ways() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let from = string(&bench, b"5\x80", 2);
        assert_eq!(kernel.rtlx_ansi_string_to_unicode_size(from), Ok(6));
        let to = DriverPtr::new(bench.variable(16));
        assert_eq!(
            kernel.rtl_ansi_string_to_unicode_string(to, from, 1),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.text_of(to).unwrap(), "5\u{20ac}");
        assert_eq!(kernel.read(to).unwrap().maximum_length, 6);
        assert_eq!(kernel.rtlx_unicode_string_to_ansi_size(to), Ok(3));
        for (maximum, status, length) in [
            (3, NtStatus::SUCCESS, 2),
            (2, NtStatus::BUFFER_OVERFLOW, 1),
            (0, NtStatus::BUFFER_OVERFLOW, 0),
        ] {
            let back = string(&bench, &[], maximum);
            assert_eq!(
                kernel.rtl_unicode_string_to_ansi_string(back, to, 0),
                Ok(status)
            );
            let header = kernel.read(back).unwrap();
            assert_eq!(header.length, length);
            assert_eq!(
                kernel.read_bytes(header.buffer, length.into()).unwrap(),
                b"5\x80"[..length.into()]
            );
        }
        let small = string(&bench, &[], 4);
        let status = kernel.rtl_ansi_string_to_unicode_string(small, from, 0);
        assert_eq!(status, Ok(NtStatus::BUFFER_OVERFLOW));
    }

    #[test]
    fn text_that_no_counted_string_can_hold_is_refused() {
        let bench = Bench::new(Config::default());
        let to = DriverPtr::new(bench.variable(16));
        for (length, status) in [
            (0x7FFE, NtStatus::SUCCESS),
            (0x7FFF, NtStatus::INVALID_PARAMETER_2),
        ] {
            let from = string(&bench, &alloc::vec![b'x'; length], length as u16);
            assert_eq!(
                bench.kernel.rtl_ansi_string_to_unicode_string(to, from, 1),
                Ok(status)
            );
        }
    }

    #[test]
    fn conversions_without_counted_strings_stop_at_the_room() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let from = bench.variable(8);
        kernel.write_bytes(from, b"abc").unwrap();
        let [to, back] = [0; 2].map(|_| bench.variable(8));
        let written = DriverPtr::<u32>::new(bench.variable(4));
        kernel
            .rtl_multi_byte_to_unicode_n(to, 5, written, from, 3)
            .unwrap();
        assert_eq!(kernel.read(written), Ok(4));
        kernel
            .rtl_unicode_to_multi_byte_n(back, 8, written, to, 4)
            .unwrap();
        assert_eq!(kernel.read_bytes(back, 4).unwrap(), b"ab\0\0");
        kernel.rtl_multi_byte_to_unicode_size(written, 3).unwrap();
        assert_eq!(kernel.read(written), Ok(6));
        kernel.rtl_unicode_to_multi_byte_size(written, 7).unwrap();
        assert_eq!(kernel.read(written), Ok(3));
        let cursor = DriverPtr::<u64>::new(bench.variable(8));
        kernel.write(cursor, from).unwrap();
        assert_eq!(
            kernel.rtl_ansi_char_to_unicode_char(cursor),
            Ok(u16::from(b'a'))
        );
        assert_eq!(kernel.read(cursor), Ok(from + 1));
    }

    #[test]
    fn a_guid_is_written_and_read_back() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let [one, other] = [0; 2].map(|_| DriverPtr::<Guid>::new(bench.variable(16)));
        kernel
            .write(one, dirql_abi::guid::GUID_BUS_TYPE_PCI)
            .unwrap();
        let text = DriverPtr::new(bench.variable(16));
        assert_eq!(
            kernel.rtl_string_from_guid(one, text),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.read(text).unwrap().length, 76);
        assert_eq!(
            kernel.rtl_guid_from_string(text, other),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.read(other), kernel.read(one));
        for wrong in [
            "",
            "{C8EBDFB0}",
            "C8EBDFB0-B510-11D0-80E5-00A0C92542E3",
            "{C8EBDFB0xB510-11D0-80E5-00A0C92542E3}",
        ] {
            assert_eq!(guid(&units(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn the_upper_case_of_a_text_is_converted() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let from = DriverPtr::<CountedString>::new(bench.unicode("a\u{fc}"));
        let to = DriverPtr::<CountedString>::new(bench.variable(16));
        kernel
            .rtl_upcase_unicode_string_to_ansi_string(to, from, 1)
            .unwrap();
        let units = kernel.counted_units(to, Width::Narrow).unwrap();
        assert_eq!(units, [u16::from(b'A'), 0xDC]);
    }
}
