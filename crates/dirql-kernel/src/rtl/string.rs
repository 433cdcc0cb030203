//! Counted strings: making, copying, comparing. Both widths share their rules, so each rule is
//! written once over units.
//!
//! Source: WDK reference, wdm.RtlInitUnicodeString, wdm.RtlCopyUnicodeString,
//! wdm.RtlAppendUnicodeStringToString, wdm.RtlCompareUnicodeString and their relatives.

use alloc::vec::Vec;
use core::cmp::Ordering;

use dirql_abi::string::UnicodeString;
use dirql_abi::{NtStatus, is_true};

use super::code_page;
use super::format::Width;
use crate::{Ddi, DriverPtr, Kernel, at};

/// Tag of buffers that are allocated for a driver's string.
pub(super) const TAG: u32 = u32::from_le_bytes(*b"Strg");

/// `UNICODE_STRING` and `STRING` have one layout; only the width of a character differs.
pub type CountedString = UnicodeString;

/// Longest `Length` of each width, so that a terminator still fits in a `USHORT`.
const fn longest(width: Width) -> u64 {
    match width {
        Width::Narrow => 0xFFFE,
        Width::Wide => 0xFFFC,
    }
}

const fn unit(width: Width) -> u64 {
    match width {
        Width::Narrow => 1,
        Width::Wide => 2,
    }
}

fn upcase(unit: u16, width: Width) -> u16 {
    match width {
        Width::Wide => code_page::upcase(unit),
        Width::Narrow => {
            let byte = unit as u8;
            let upper = code_page::from_unicode(code_page::upcase(code_page::to_unicode(byte)));
            u16::from(if upper == b'?' { byte } else { upper })
        }
    }
}

fn compare(one: &[u16], other: &[u16], width: Width, ignore_case: bool) -> i32 {
    let key = |unit: &u16| {
        if ignore_case {
            upcase(*unit, width)
        } else {
            *unit
        }
    };
    for (left, right) in one.iter().zip(other) {
        let difference = i32::from(key(left)) - i32::from(key(right));
        if difference != 0 {
            return difference;
        }
    }
    match one.len().cmp(&other.len()) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

impl Kernel {
    /// The units of a counted string.
    ///
    /// # Errors
    /// The string or its buffer is not memory.
    pub(crate) fn counted_units(
        &self,
        string: DriverPtr<CountedString>,
        width: Width,
    ) -> Ddi<Vec<u16>> {
        let header = self.read(string)?;
        let bytes = self.read_bytes(header.buffer, header.length.into())?;
        Ok(match width {
            Width::Narrow => bytes.into_iter().map(u16::from).collect(),
            Width::Wide => bytes
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
        })
    }

    fn init_counted(&self, string: DriverPtr<CountedString>, text: u64, width: Width) -> Ddi<()> {
        let (length, maximum_length) = if text == 0 {
            (0, 0)
        } else {
            let limit = (longest(width) / unit(width)) as usize;
            let units = self.read_units(text, limit, width)?.len() as u64;
            let length = units * unit(width);
            (length as u16, (length + unit(width)) as u16)
        };
        self.write_counted(string, length, maximum_length, text)
    }

    /// Writes the members of a counted string, in their order.
    pub(super) fn write_counted(
        &self,
        string: DriverPtr<CountedString>,
        length: u16,
        maximum_length: u16,
        buffer: u64,
    ) -> Ddi<()> {
        self.write(at!(string, UnicodeString, length), length)?;
        self.write(at!(string, UnicodeString, maximum_length), maximum_length)?;
        self.write(at!(string, UnicodeString, buffer), buffer)?;
        Ok(())
    }

    /// `VOID RtlInitUnicodeString(PUNICODE_STRING, PCWSTR)`
    ///
    /// Makes a counted string of a terminated one, without copying. Text beyond 0xFFFC bytes is
    /// cut off.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlInitUnicodeString.
    pub fn rtl_init_unicode_string(&self, string: DriverPtr<CountedString>, text: u64) -> Ddi<()> {
        self.init_counted(string, text, Width::Wide)
    }

    /// `NTSTATUS RtlInitUnicodeStringEx(PUNICODE_STRING, PCWSTR)`
    ///
    /// As [`Kernel::rtl_init_unicode_string`]; text that is too long is an error.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; NAME_TOO_LONG.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlInitUnicodeStringEx.
    pub fn rtl_init_unicode_string_ex(
        &self,
        string: DriverPtr<CountedString>,
        text: u64,
    ) -> Ddi<NtStatus> {
        if text != 0 && self.read_wide_string(text, 0x7FFF)?.len() > 0x7FFE {
            return Ok(NtStatus::NAME_TOO_LONG);
        }
        self.init_counted(string, text, Width::Wide)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID RtlInitAnsiString(PANSI_STRING, PCSZ)`, which is also `RtlInitString`
    ///
    /// As [`Kernel::rtl_init_unicode_string`], for 8-bit characters up to 0xFFFE bytes.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlInitAnsiString.
    pub fn rtl_init_ansi_string(&self, string: DriverPtr<CountedString>, text: u64) -> Ddi<()> {
        self.init_counted(string, text, Width::Narrow)
    }

    fn copy_counted(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        width: Width,
    ) -> Ddi<()> {
        if from.is_null() {
            self.write(at!(to, UnicodeString, length), 0)?;
            return Ok(());
        }
        let source = self.read(from)?;
        let target = self.read(to)?;
        let length = source.length.min(target.maximum_length);
        self.memmove(target.buffer, source.buffer, length.into())?;
        self.write(at!(to, UnicodeString, length), length)?;
        if width == Width::Wide {
            self.terminate_if_room(target.buffer, length, target.maximum_length)?;
        }
        Ok(())
    }

    fn terminate_if_room(&self, buffer: u64, length: u16, maximum: u16) -> Ddi<()> {
        if u32::from(length) + 2 <= u32::from(maximum) {
            self.write(DriverPtr::<u16>::new(buffer.wrapping_add(length.into())), 0)?;
        }
        Ok(())
    }

    /// `VOID RtlCopyUnicodeString(PUNICODE_STRING To, PCUNICODE_STRING From)`
    ///
    /// Copies as much as fits, with a terminator if it fits too. Without a source the target
    /// becomes empty.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, if the buffers are resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlCopyUnicodeString.
    pub fn rtl_copy_unicode_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
    ) -> Ddi<()> {
        self.copy_counted(to, from, Width::Wide)
    }

    /// `VOID RtlCopyString(PSTRING To, const STRING *From)`
    ///
    /// As [`Kernel::rtl_copy_unicode_string`], without a terminator.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, if the buffers are resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlCopyString.
    pub fn rtl_copy_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
    ) -> Ddi<()> {
        self.copy_counted(to, from, Width::Narrow)
    }

    /// `NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING To, PCUNICODE_STRING From)`
    ///
    /// Appends, with a terminator if it fits too.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, if the buffers are resident.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL, and nothing is changed.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlAppendUnicodeStringToString.
    pub fn rtl_append_unicode_string_to_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
    ) -> Ddi<NtStatus> {
        let source = self.read(from)?;
        self.append_bytes(to, source.buffer, source.length.into())
    }

    /// `NTSTATUS RtlAppendUnicodeToString(PUNICODE_STRING To, PCWSTR)`
    ///
    /// As [`Kernel::rtl_append_unicode_string_to_string`], of terminated text; NULL appends
    /// nothing.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, if the buffers are resident.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlAppendUnicodeToString.
    pub fn rtl_append_unicode_to_string(
        &self,
        to: DriverPtr<CountedString>,
        text: u64,
    ) -> Ddi<NtStatus> {
        if text == 0 {
            return Ok(NtStatus::SUCCESS);
        }
        let units = self.read_wide_string(text, 0x8000)?.len() as u64;
        self.append_bytes(to, text, 2 * units)
    }

    /// `NTSTATUS RtlAppendStringToString(PSTRING To, const STRING *From)`
    ///
    /// Appends; nothing is terminated.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, if the buffers are resident.
    /// - Returns: SUCCESS; BUFFER_TOO_SMALL, and nothing is changed.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlAppendStringToString.
    pub fn rtl_append_string_to_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
    ) -> Ddi<NtStatus> {
        let (source, target) = (self.read(from)?, self.read(to)?);
        let Some(length) = target
            .length
            .checked_add(source.length)
            .filter(|length| *length <= target.maximum_length)
        else {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        };
        let end = target.buffer.wrapping_add(target.length.into());
        self.memmove(end, source.buffer, source.length.into())?;
        self.write(at!(to, UnicodeString, length), length)?;
        Ok(NtStatus::SUCCESS)
    }

    fn append_bytes(&self, to: DriverPtr<CountedString>, from: u64, bytes: u64) -> Ddi<NtStatus> {
        let target = self.read(to)?;
        let length = u64::from(target.length) + bytes;
        if length > u64::from(target.maximum_length) {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        self.memmove(
            target.buffer.wrapping_add(target.length.into()),
            from,
            bytes,
        )?;
        let length = length as u16;
        self.write(at!(to, UnicodeString, length), length)?;
        self.terminate_if_room(target.buffer, length, target.maximum_length)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `LONG RtlCompareUnicodeString(PCUNICODE_STRING, PCUNICODE_STRING, BOOLEAN IgnoreCase)`,
    /// and with narrow width `RtlCompareString`
    ///
    /// - IRQL: PASSIVE_LEVEL (its tables of upper case are pageable).
    /// - Returns: less than, equal to or greater than 0.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlCompareUnicodeString, wdm.RtlCompareString.
    pub fn rtl_compare_string(
        &self,
        one: DriverPtr<CountedString>,
        other: DriverPtr<CountedString>,
        ignore_case: u8,
        width: Width,
    ) -> Ddi<i32> {
        let left = self.counted_units(one, width)?;
        let right = self.counted_units(other, width)?;
        Ok(compare(&left, &right, width, is_true(ignore_case)))
    }

    /// `LONG RtlCompareUnicodeStrings(PCWCH, SIZE_T Length, PCWCH, SIZE_T Length, BOOLEAN IgnoreCase)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: less than, equal to or greater than 0; the lengths are in units.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlCompareUnicodeStrings.
    pub fn rtl_compare_unicode_strings(
        &self,
        one: (u64, u64),
        other: (u64, u64),
        ignore_case: u8,
    ) -> Ddi<i32> {
        let units = |(address, count): (u64, u64)| -> Ddi<Vec<u16>> {
            let bytes = self.read_bytes(address, count.saturating_mul(2) as usize)?;
            let pairs = bytes.chunks_exact(2);
            Ok(pairs
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect())
        };
        let (left, right) = (units(one)?, units(other)?);
        Ok(compare(&left, &right, Width::Wide, is_true(ignore_case)))
    }

    /// `BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING, PCUNICODE_STRING, BOOLEAN IgnoreCase)`,
    /// and with narrow width `RtlEqualString`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE if the strings are equal.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlEqualUnicodeString, wdm.RtlEqualString.
    pub fn rtl_equal_string(
        &self,
        one: DriverPtr<CountedString>,
        other: DriverPtr<CountedString>,
        ignore_case: u8,
        width: Width,
    ) -> Ddi<u8> {
        Ok(u8::from(
            self.rtl_compare_string(one, other, ignore_case, width)? == 0,
        ))
    }

    /// `BOOLEAN RtlPrefixUnicodeString(PCUNICODE_STRING Prefix, PCUNICODE_STRING, BOOLEAN IgnoreCase)`,
    /// and with narrow width `RtlPrefixString`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE if the second string begins with the first.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.RtlPrefixUnicodeString.
    pub fn rtl_prefix_string(
        &self,
        prefix: DriverPtr<CountedString>,
        string: DriverPtr<CountedString>,
        ignore_case: u8,
        width: Width,
    ) -> Ddi<u8> {
        let prefix = self.counted_units(prefix, width)?;
        let string = self.counted_units(string, width)?;
        let begins = string
            .get(..prefix.len())
            .is_some_and(|begin| compare(begin, &prefix, width, is_true(ignore_case)) == 0);
        Ok(u8::from(begins))
    }

    /// `BOOLEAN RtlSuffixUnicodeString(PCUNICODE_STRING Suffix, PCUNICODE_STRING String, BOOLEAN
    /// CaseInSensitive)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE if the string ends with the suffix.
    /// - Source: ntifs.h, which declares it; it has no page.
    pub fn rtl_suffix_unicode_string(
        &self,
        suffix: DriverPtr<CountedString>,
        string: DriverPtr<CountedString>,
        ignore_case: u8,
    ) -> Ddi<u8> {
        let suffix = self.counted_units(suffix, Width::Wide)?;
        let string = self.counted_units(string, Width::Wide)?;
        let end = string.len().checked_sub(suffix.len());
        let ends = end.is_some_and(|end| {
            compare(&string[end..], &suffix, Width::Wide, is_true(ignore_case)) == 0
        });
        Ok(u8::from(ends))
    }

    /// `NTSTATUS RtlUpcaseUnicodeString(PUNICODE_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)`,
    /// and `RtlDowncaseUnicodeString`
    ///
    /// Converts case, in a new buffer if asked.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW if the target is too small; NO_MEMORY.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlUpcaseUnicodeString, ntifs.RtlDowncaseUnicodeString.
    pub fn rtl_change_case_unicode_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
        upper: bool,
    ) -> Ddi<NtStatus> {
        let case = if upper {
            code_page::upcase
        } else {
            code_page::downcase
        };
        let units: Vec<u16> = self
            .counted_units(from, Width::Wide)?
            .into_iter()
            .map(case)
            .collect();
        let bytes = 2 * units.len() as u16;
        if is_true(allocate) {
            let buffer = self.pool_allocate(1, bytes.max(2).into(), TAG)?;
            if buffer == 0 {
                return Ok(NtStatus::NO_MEMORY);
            }
            self.write(at!(to, UnicodeString, maximum_length), bytes)?;
            self.write(at!(to, UnicodeString, buffer), buffer)?;
        } else if bytes > self.read(at!(to, UnicodeString, maximum_length))? {
            return Ok(NtStatus::BUFFER_OVERFLOW);
        }
        let buffer = self.read(at!(to, UnicodeString, buffer))?;
        self.write_units(buffer, &units, Width::Wide)?;
        self.write(at!(to, UnicodeString, length), bytes)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `WCHAR RtlUpcaseUnicodeChar(WCHAR)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the upper case.
    /// - Findings: none.
    /// - Source: WDK reference, ntifs.RtlUpcaseUnicodeChar.
    pub fn rtl_upcase_unicode_char(&self, unit: u16) -> Ddi<u16> {
        Ok(code_page::upcase(unit))
    }

    /// `WCHAR RtlDowncaseUnicodeChar(WCHAR)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the lower case.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlDowncaseUnicodeChar.
    pub fn rtl_downcase_unicode_char(&self, unit: u16) -> Ddi<u16> {
        Ok(code_page::downcase(unit))
    }

    /// `CHAR RtlUpperChar(CHAR)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the upper case in the ANSI code page.
    /// - Findings: none.
    /// - Source: WDK reference, ntifs.RtlUpperChar.
    pub fn rtl_upper_char(&self, byte: u8) -> Ddi<u8> {
        Ok(upcase(byte.into(), Width::Narrow) as u8)
    }

    /// `VOID RtlUpperString(PSTRING To, const STRING *From)`
    ///
    /// Copies as much as fits, in upper case.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.RtlUpperString.
    pub fn rtl_upper_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
    ) -> Ddi<()> {
        let target = self.read(to)?;
        let mut units = self.counted_units(from, Width::Narrow)?;
        units.truncate(target.maximum_length.into());
        let upper: Vec<u16> = units
            .into_iter()
            .map(|unit| upcase(unit, Width::Narrow))
            .collect();
        self.write_units(target.buffer, &upper, Width::Narrow)?;
        self.write(at!(to, UnicodeString, length), upper.len() as u16)?;
        Ok(())
    }

    /// `BOOLEAN RtlCreateUnicodeString(PUNICODE_STRING, PCWSTR)`
    ///
    /// Makes a counted string of terminated text in a new buffer.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE, or FALSE without memory or for text that is too long.
    /// - Findings: none of its own; the buffer counts as the driver's pool.
    /// - Source: WDK reference, ntifs.RtlCreateUnicodeString.
    pub fn rtl_create_unicode_string(
        &self,
        string: DriverPtr<CountedString>,
        text: u64,
    ) -> Ddi<u8> {
        let units = self.read_wide_string(text, 0x8000)?;
        let bytes = 2 * (units.len() as u64 + 1);
        if bytes > 0xFFFE {
            return Ok(0);
        }
        let buffer = self.pool_allocate(1, bytes, TAG)?;
        if buffer == 0 {
            return Ok(0);
        }
        let terminated: Vec<u16> = units.into_iter().chain([0]).collect();
        self.write_units(buffer, &terminated, Width::Wide)?;
        self.write_counted(string, (bytes - 2) as u16, bytes as u16, buffer)?;
        Ok(1)
    }

    /// `VOID RtlFreeUnicodeString(PUNICODE_STRING)`, which is also `RtlFreeAnsiString`
    ///
    /// Frees the buffer that one of these routines allocated, and clears the string. Nothing
    /// happens without a buffer.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Findings: those of a free.
    /// - Source: WDK reference, wdm.RtlFreeUnicodeString.
    ///
    /// # Errors
    /// The bug checks of a free.
    pub fn rtl_free_unicode_string(&self, string: DriverPtr<CountedString>) -> Ddi<()> {
        let header = self.read(string)?;
        if header.buffer == 0 {
            return Ok(());
        }
        self.pool_free(header.buffer, None)?;
        self.write_counted(string, 0, 0, 0)
    }

    /// `NTSTATUS RtlDuplicateUnicodeString(ULONG Flags, PCUNICODE_STRING From, PUNICODE_STRING To)`
    ///
    /// Copies into a new buffer. Flag 1 adds a terminator; flag 2 makes a buffer also for an
    /// empty string.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER; NO_MEMORY; NAME_TOO_LONG.
    /// - Findings: none of its own; the buffer counts as the driver's pool.
    /// - Source: WDK reference, ntifs.RtlDuplicateUnicodeString.
    pub fn rtl_duplicate_unicode_string(
        &self,
        flags: u32,
        from: DriverPtr<CountedString>,
        to: DriverPtr<CountedString>,
    ) -> Ddi<NtStatus> {
        if flags > 3 || flags == 2 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let units = self.counted_units(from, Width::Wide)?;
        let length = 2 * units.len() as u64;
        let maximum = length + if flags & 1 == 0 { 0 } else { 2 };
        if maximum > 0xFFFE {
            return Ok(NtStatus::NAME_TOO_LONG);
        }
        let wants = if length == 0 { flags == 3 } else { true };
        let buffer = if wants {
            self.pool_allocate(1, maximum, TAG)?
        } else {
            0
        };
        if wants && buffer == 0 {
            return Ok(NtStatus::NO_MEMORY);
        }
        let maximum_length = if wants { maximum as u16 } else { 0 };
        self.write_units(buffer, &units, Width::Wide)?;
        self.terminate_if_room(buffer, length as u16, maximum_length)?;
        self.write_counted(to, length as u16, maximum_length, buffer)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn bench() -> Bench {
        Bench::new(Config::default())
    }

    /// An empty string with room for `maximum` bytes, filled with 0x78.
    fn room(bench: &Bench, maximum: u16) -> DriverPtr<CountedString> {
        let string = DriverPtr::new(bench.variable(16));
        let buffer = bench.variable(u64::from(maximum) + 2);
        bench
            .kernel
            .memset(buffer, 0x78, u64::from(maximum) + 2)
            .unwrap();
        bench
            .kernel
            .write_counted(string, 0, maximum, buffer)
            .unwrap();
        string
    }

    fn unicode(bench: &Bench, text: &str) -> DriverPtr<CountedString> {
        DriverPtr::new(bench.unicode(text))
    }

    fn terminated(bench: &Bench, text: &str) -> u64 {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let at = bench.variable(2 * units.len() as u64);
        bench.kernel.write_units(at, &units, Width::Wide).unwrap();
        at
    }

    #[test]
    fn a_counted_string_is_made_of_terminated_text_or_null() {
        let bench = bench();
        let kernel = &bench.kernel;
        let string = DriverPtr::new(bench.variable(16));
        let text = terminated(&bench, "abc");
        kernel.rtl_init_unicode_string(string, text).unwrap();
        let header = kernel.read(string).unwrap();
        assert_eq!(
            (header.length, header.maximum_length, header.buffer),
            (6, 8, text)
        );
        kernel.rtl_init_ansi_string(string, text).unwrap();
        let header = kernel.read(string).unwrap();
        assert_eq!((header.length, header.maximum_length), (1, 2));
        kernel.rtl_init_unicode_string(string, 0).unwrap();
        let header = kernel.read(string).unwrap();
        assert_eq!(
            (header.length, header.maximum_length, header.buffer),
            (0, 0, 0)
        );
    }

    #[test]
    fn text_that_is_too_long_is_cut_or_refused() {
        let bench = bench();
        let kernel = &bench.kernel;
        let string = DriverPtr::new(bench.variable(16));
        for (units, length, status) in [
            (0x7FFE, 0xFFFC, NtStatus::SUCCESS),
            (0x7FFF, 0xFFFC, NtStatus::NAME_TOO_LONG),
        ] {
            let text = bench.variable(0x10004);
            kernel.memset(text, 1, 2 * units).unwrap();
            kernel.rtl_init_unicode_string(string, text).unwrap();
            let header = kernel.read(string).unwrap();
            assert_eq!((header.length, header.maximum_length), (length, length + 2));
            assert_eq!(kernel.rtl_init_unicode_string_ex(string, text), Ok(status));
        }
    }

    #[test]
    fn a_copy_is_cut_to_the_room_and_terminated_if_that_fits() {
        let bench = bench();
        let kernel = &bench.kernel;
        let from = unicode(&bench, "abc");
        for (maximum, length, terminated) in
            [(8, 6, true), (7, 6, false), (6, 6, false), (4, 4, false)]
        {
            let to = room(&bench, maximum);
            kernel.rtl_copy_unicode_string(to, from).unwrap();
            let header = kernel.read(to).unwrap();
            assert_eq!(header.length, length);
            let behind = kernel
                .read_bytes(header.buffer + u64::from(length), 2)
                .unwrap();
            assert_eq!(
                behind,
                if terminated { [0, 0] } else { [0x78, 0x78] },
                "{maximum}"
            );
            kernel.rtl_copy_unicode_string(to, DriverPtr::NULL).unwrap();
            assert_eq!(kernel.read(to).unwrap().length, 0);
        }
    }

    #[test]
    fn an_append_fits_or_changes_nothing() {
        let bench = bench();
        let kernel = &bench.kernel;
        let to = room(&bench, 8);
        assert_eq!(
            kernel.rtl_append_unicode_to_string(to, terminated(&bench, "ab")),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(
            kernel.rtl_append_unicode_to_string(to, 0),
            Ok(NtStatus::SUCCESS)
        );
        let three = unicode(&bench, "xyz");
        assert_eq!(
            kernel.rtl_append_unicode_string_to_string(to, three),
            Ok(NtStatus::BUFFER_TOO_SMALL)
        );
        let two = unicode(&bench, "xy");
        assert_eq!(
            kernel.rtl_append_unicode_string_to_string(to, two),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.text_of(to).unwrap(), "abxy");
    }

    #[test]
    fn comparison_is_by_unit_and_can_ignore_case() {
        let bench = bench();
        let compare = |one: &str, other: &str, ignore| {
            let (one, other) = (unicode(&bench, one), unicode(&bench, other));
            bench
                .kernel
                .rtl_compare_string(one, other, ignore, Width::Wide)
                .unwrap()
                .signum()
        };
        assert_eq!(compare("abc", "abc", 0), 0);
        assert_eq!(compare("abc", "ABC", 0), 1);
        assert_eq!(compare("ab\u{e9}", "AB\u{c9}", 2), 0);
        assert_eq!(compare("ab", "abc", 1), -1);
        assert_eq!(compare("b", "abc", 1), 1);
        let prefix = |one: &str, other: &str| {
            let (one, other) = (unicode(&bench, one), unicode(&bench, other));
            bench
                .kernel
                .rtl_prefix_string(one, other, 1, Width::Wide)
                .unwrap()
        };
        assert_eq!(
            (prefix("AB", "abc"), prefix("abcd", "abc"), prefix("", "x")),
            (1, 0, 1)
        );
    }

    #[test]
    fn case_is_changed_in_place_or_in_a_new_buffer() {
        let bench = bench();
        let kernel = &bench.kernel;
        let from = unicode(&bench, "Ab1");
        let to = room(&bench, 6);
        kernel
            .rtl_change_case_unicode_string(to, from, 0, true)
            .unwrap();
        assert_eq!(kernel.text_of(to).unwrap(), "AB1");
        let small = room(&bench, 5);
        let status = kernel.rtl_change_case_unicode_string(small, from, 0, false);
        assert_eq!(status, Ok(NtStatus::BUFFER_OVERFLOW));
        kernel
            .rtl_change_case_unicode_string(small, from, 1, false)
            .unwrap();
        assert_eq!(kernel.text_of(small).unwrap(), "ab1");
        kernel.rtl_free_unicode_string(small).unwrap();
        kernel.rtl_free_unicode_string(small).unwrap();
        assert!(bench.rules().is_empty() && kernel.pool_allocations().is_empty());
    }

    #[test]
    fn new_buffers_are_terminated_and_freed() {
        let bench = bench();
        let kernel = &bench.kernel;
        let string = DriverPtr::new(bench.variable(16));
        assert_eq!(
            kernel.rtl_create_unicode_string(string, terminated(&bench, "ab")),
            Ok(1)
        );
        let copy = DriverPtr::new(bench.variable(16));
        assert_eq!(
            kernel.rtl_duplicate_unicode_string(1, string, copy),
            Ok(NtStatus::SUCCESS)
        );
        let header = kernel.read(copy).unwrap();
        assert_eq!((header.length, header.maximum_length), (4, 6));
        assert_eq!(kernel.read_wide_string(header.buffer, 10).unwrap().len(), 2);
        assert_eq!(
            kernel.rtl_duplicate_unicode_string(2, string, copy),
            Ok(NtStatus::INVALID_PARAMETER)
        );
        kernel.rtl_free_unicode_string(string).unwrap();
        kernel.rtl_free_unicode_string(copy).unwrap();
        assert!(kernel.pool_allocations().is_empty());
    }

    #[test]
    fn narrow_strings_are_appended_without_a_terminator() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (one, other) = (
            DriverPtr::<CountedString>::new(bench.variable(16)),
            DriverPtr::<CountedString>::new(bench.variable(16)),
        );
        let (buffer, text) = (bench.variable(8), bench.variable(8));
        kernel.write_bytes(buffer, b"ab\xFF\xFF\xFF").unwrap();
        kernel.write_bytes(text, b"cd").unwrap();
        kernel.write_counted(one, 2, 4, buffer).unwrap();
        kernel.write_counted(other, 2, 2, text).unwrap();
        let append = || kernel.rtl_append_string_to_string(one, other);
        assert_eq!(append(), Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.read_bytes(buffer, 5).unwrap(), b"abcd\xFF");
        assert_eq!(append(), Ok(NtStatus::BUFFER_TOO_SMALL));
        assert_eq!(kernel.read(one).unwrap().length, 4);
    }

    #[test]
    fn counted_units_are_compared_with_and_without_case() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let text = bench.variable(16);
        kernel.write_bytes(text, b"a\0b\0A\0B\0").unwrap();
        let compare = |length, other, case| {
            kernel
                .rtl_compare_unicode_strings((text, length), (text + 4, other), case)
                .unwrap()
                .signum()
        };
        assert_eq!([compare(2, 2, 1), compare(2, 2, 0)], [0, 1]);
        assert_eq!([compare(1, 2, 1), compare(2, 1, 1)], [-1, 1]);
    }
}
