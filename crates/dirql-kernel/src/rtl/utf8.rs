//! UTF-8: conversion from and to UTF-16, by buffers and by counted strings.
//!
//! What is no character becomes U+FFFD, and the status says so.
//!
//! Source: WDK reference, ntifs.RtlUnicodeToUTF8N, ntifs.RtlUTF8ToUnicodeN,
//! wdm.RtlUTF8StringToUnicodeString, wdm.RtlUnicodeStringToUTF8String.

use alloc::vec::Vec;

use dirql_abi::{NtStatus, is_true};

use super::format::Width;
use super::string::CountedString;
use crate::{Ddi, DriverPtr, Kernel};

/// The characters of UTF-16 text, and whether all of it was one.
fn of_utf16(units: &[u16]) -> (Vec<char>, bool) {
    let mut whole = true;
    let characters = char::decode_utf16(units.iter().copied())
        .map(|unit| {
            unit.unwrap_or_else(|_| {
                whole = false;
                char::REPLACEMENT_CHARACTER
            })
        })
        .collect();
    (characters, whole)
}

/// The characters of UTF-8 text, and whether all of it was one.
fn of_utf8(bytes: &[u8]) -> (Vec<char>, bool) {
    let mut characters = Vec::new();
    let mut whole = true;
    for chunk in bytes.utf8_chunks() {
        characters.extend(chunk.valid().chars());
        if !chunk.invalid().is_empty() {
            characters.push(char::REPLACEMENT_CHARACTER);
            whole = false;
        }
    }
    (characters, whole)
}

const fn status(whole: bool) -> NtStatus {
    if whole {
        NtStatus::SUCCESS
    } else {
        NtStatus::SOME_NOT_MAPPED
    }
}

impl Kernel {
    /// `NTSTATUS RtlUnicodeToUTF8N(PCHAR To, ULONG MaxBytes, PULONG ActualBytes, PCWCH From, ULONG Bytes)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; SOME_NOT_MAPPED with half a surrogate pair; BUFFER_TOO_SMALL after
    ///   whole characters up to the room; INVALID_PARAMETER for an odd length;
    ///   INVALID_PARAMETER_4 without text. Without a target only the size is told.
    /// - Source: WDK reference, ntifs.RtlUnicodeToUTF8N.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_unicode_to_utf8_n(
        &self,
        to: u64,
        room: u32,
        actual: DriverPtr<u32>,
        from: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        if from == 0 {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        if !bytes.is_multiple_of(2) {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let text = self.read_bytes(from, bytes as usize)?;
        let units: Vec<u16> = text
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        let (characters, whole) = of_utf16(&units);
        let encode = |character: char| {
            let mut buffer = [0; 4];
            Vec::from(character.encode_utf8(&mut buffer).as_bytes())
        };
        self.give_characters(to, room, actual, &characters, encode, whole)
    }

    /// `NTSTATUS RtlUTF8ToUnicodeN(PWSTR To, ULONG MaxBytes, PULONG ActualBytes, PCCH From, ULONG Bytes)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::rtl_unicode_to_utf8_n`]; SOME_NOT_MAPPED for what is not UTF-8.
    /// - Source: WDK reference, ntifs.RtlUTF8ToUnicodeN.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_utf8_to_unicode_n(
        &self,
        to: u64,
        room: u32,
        actual: DriverPtr<u32>,
        from: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        if from == 0 {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        let text = self.read_bytes(from, bytes as usize)?;
        let (characters, whole) = of_utf8(&text);
        let encode = |character: char| {
            let mut buffer = [0; 2];
            let units = character.encode_utf16(&mut buffer).iter();
            units.flat_map(|unit| unit.to_le_bytes()).collect()
        };
        self.give_characters(to, room, actual, &characters, encode, whole)
    }

    fn give_characters(
        &self,
        to: u64,
        room: u32,
        actual: DriverPtr<u32>,
        characters: &[char],
        encode: impl Fn(char) -> Vec<u8>,
        whole: bool,
    ) -> Ddi<NtStatus> {
        let mut written = Vec::new();
        let mut fits = true;
        for character in characters {
            let bytes = encode(*character);
            if to != 0 && written.len() + bytes.len() > room as usize {
                fits = false;
                break;
            }
            written.extend(bytes);
        }
        if !actual.is_null() {
            self.write(actual, written.len() as u32)?;
        }
        if to != 0 {
            self.write_bytes(to, &written)?;
        }
        Ok(if fits {
            status(whole)
        } else {
            NtStatus::BUFFER_TOO_SMALL
        })
    }

    /// `NTSTATUS RtlUTF8StringToUnicodeString(PUNICODE_STRING To, PCUTF8_STRING From, BOOLEAN Allocate)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS or SOME_NOT_MAPPED; BUFFER_OVERFLOW, INVALID_PARAMETER_2, NO_MEMORY.
    /// - Source: WDK reference, wdm.RtlUTF8StringToUnicodeString.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_utf8_string_to_unicode_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let bytes: Vec<u8> = self
            .counted_units(from, Width::Narrow)?
            .into_iter()
            .map(|unit| unit as u8)
            .collect();
        let (characters, whole) = of_utf8(&bytes);
        let mut buffer = [0; 2];
        let mut units = Vec::new();
        for character in characters {
            units.extend_from_slice(character.encode_utf16(&mut buffer));
        }
        let given = self.give_text(to, &units, Width::Wide, is_true(allocate))?;
        Ok(if given == NtStatus::SUCCESS {
            status(whole)
        } else {
            given
        })
    }

    /// `NTSTATUS RtlUnicodeStringToUTF8String(PUTF8_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: as [`Kernel::rtl_utf8_string_to_unicode_string`].
    /// - Source: WDK reference, wdm.RtlUnicodeStringToUTF8String.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn rtl_unicode_string_to_utf8_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let units = self.counted_units(from, Width::Wide)?;
        let (characters, whole) = of_utf16(&units);
        let mut buffer = [0; 4];
        let mut bytes = Vec::new();
        for character in characters {
            let encoded = character.encode_utf8(&mut buffer).bytes();
            bytes.extend(encoded.map(u16::from));
        }
        let given = self.give_text(to, &bytes, Width::Narrow, is_true(allocate))?;
        Ok(if given == NtStatus::SUCCESS {
            status(whole)
        } else {
            given
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn text_goes_both_ways_and_what_is_none_is_replaced() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (from, to) = (bench.variable(32), bench.variable(32));
        let size = DriverPtr::<u32>::new(bench.variable(4));
        let utf8 = "a\u{e9}\u{20ac}\u{1f600}".as_bytes();
        kernel.write_bytes(from, utf8).unwrap();
        let length = utf8.len() as u32;
        let status = kernel.rtl_utf8_to_unicode_n(to, 32, size, from, length);
        assert_eq!(status, Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.read(size), Ok(10));
        let back = bench.variable(32);
        let status = kernel.rtl_unicode_to_utf8_n(back, 32, size, to, 10);
        assert_eq!(status, Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.read_bytes(back, utf8.len()).unwrap(), utf8);
        // Half a pair.
        let status = kernel.rtl_unicode_to_utf8_n(back, 32, size, to, 8);
        assert_eq!(status, Ok(NtStatus::SOME_NOT_MAPPED));
        kernel.write_bytes(from, &[0xFF]).unwrap();
        let status = kernel.rtl_utf8_to_unicode_n(to, 32, size, from, 1);
        assert_eq!(status, Ok(NtStatus::SOME_NOT_MAPPED));
        assert_eq!(kernel.read(DriverPtr::<u16>::new(to)), Ok(0xFFFD));
    }

    #[test]
    fn whole_characters_are_written_up_to_the_room_and_the_size_is_told_without_any() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (from, to) = (bench.variable(8), bench.variable(8));
        let size = DriverPtr::<u32>::new(bench.variable(4));
        kernel.write_bytes(from, &[b'a', 0, 0xAC, 0x20]).unwrap();
        assert_eq!(
            kernel.rtl_unicode_to_utf8_n(0, 0, size, from, 4),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.read(size), Ok(4));
        assert_eq!(
            kernel.rtl_unicode_to_utf8_n(to, 3, size, from, 4),
            Ok(NtStatus::BUFFER_TOO_SMALL)
        );
        assert_eq!(kernel.read(size), Ok(1));
        assert_eq!(
            kernel.rtl_unicode_to_utf8_n(to, 3, size, from, 3),
            Ok(NtStatus::INVALID_PARAMETER)
        );
    }

    #[test]
    fn counted_strings_are_converted_in_new_buffers() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let wide = DriverPtr::new(bench.unicode("\u{20ac}"));
        let narrow = DriverPtr::new(bench.variable(16));
        let status = kernel.rtl_unicode_string_to_utf8_string(narrow, wide, 1);
        assert_eq!(status, Ok(NtStatus::SUCCESS));
        assert_eq!(kernel.read(narrow).unwrap().length, 3);
        let back = DriverPtr::new(bench.variable(16));
        let status = kernel.rtl_utf8_string_to_unicode_string(back, narrow, 1);
        assert_eq!(status, Ok(NtStatus::SUCCESS));
        assert_eq!(
            kernel.counted_units(back, Width::Wide),
            Ok(Vec::from([0x20AC]))
        );
        kernel.rtl_free_unicode_string(narrow).unwrap();
        kernel.rtl_free_unicode_string(back).unwrap();
    }
}
