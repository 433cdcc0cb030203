//! Code page 437, which this system has as its OEM code page, and conversions from and to it.
//!
//! Not modelled: substitutes by likeness; what the code page does not have becomes a question mark.
//!
//! Source: the Unicode consortium's mapping table CP437.TXT; WDK reference,
//! ntifs.RtlOemStringToUnicodeString, ntifs.RtlUnicodeStringToOemString, ntifs.RtlOemToUnicodeN,
//! ntifs.RtlUnicodeToOemN, ntifs.RtlIsValidOemCharacter.

use alloc::vec::Vec;

use dirql_abi::{NtStatus, is_true};

use super::format::Width;
use super::string::CountedString;
use crate::{Ddi, DriverPtr, Kernel};

/// What 0x80 to 0xFF stand for; the rest is ASCII.
const HIGH: [u16; 128] = [
    0x00C7, 0x00FC, 0x00E9, 0x00E2, 0x00E4, 0x00E0, 0x00E5, 0x00E7, 0x00EA, 0x00EB, 0x00E8, 0x00EF,
    0x00EE, 0x00EC, 0x00C4, 0x00C5, 0x00C9, 0x00E6, 0x00C6, 0x00F4, 0x00F6, 0x00F2, 0x00FB, 0x00F9,
    0x00FF, 0x00D6, 0x00DC, 0x00A2, 0x00A3, 0x00A5, 0x20A7, 0x0192, 0x00E1, 0x00ED, 0x00F3, 0x00FA,
    0x00F1, 0x00D1, 0x00AA, 0x00BA, 0x00BF, 0x2310, 0x00AC, 0x00BD, 0x00BC, 0x00A1, 0x00AB, 0x00BB,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255D, 0x255C, 0x255B, 0x2510, 0x2514, 0x2534, 0x252C, 0x251C, 0x2500, 0x253C, 0x255E, 0x255F,
    0x255A, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256C, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256B, 0x256A, 0x2518, 0x250C, 0x2588, 0x2584, 0x258C, 0x2590, 0x2580,
    0x03B1, 0x00DF, 0x0393, 0x03C0, 0x03A3, 0x03C3, 0x00B5, 0x03C4, 0x03A6, 0x0398, 0x03A9, 0x03B4,
    0x221E, 0x03C6, 0x03B5, 0x2229, 0x2261, 0x00B1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00F7, 0x2248,
    0x00B0, 0x2219, 0x00B7, 0x221A, 0x207F, 0x00B2, 0x25A0, 0x00A0,
];

const SUBSTITUTE: u8 = b'?';

/// The UTF-16 unit of a byte.
fn to_unicode(byte: u8) -> u16 {
    match byte {
        0x80.. => HIGH[usize::from(byte - 0x80)],
        _ => byte.into(),
    }
}

/// The byte of a UTF-16 unit.
fn from_unicode(unit: u16) -> u8 {
    match HIGH.iter().position(|high| *high == unit) {
        Some(index) => 0x80 + index as u8,
        None if unit < 0x80 => unit as u8,
        None => SUBSTITUTE,
    }
}

const fn overflow_unless(all_fits: bool) -> NtStatus {
    if all_fits {
        NtStatus::SUCCESS
    } else {
        NtStatus::BUFFER_OVERFLOW
    }
}

impl Kernel {
    /// `NTSTATUS RtlOemStringToUnicodeString(PUNICODE_STRING To, PCOEM_STRING From, BOOLEAN Allocate)`
    ///
    /// Converts, in a new buffer if asked, with a terminator.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW, INVALID_PARAMETER_2, NO_MEMORY.
    /// - Source: WDK reference, ntifs.RtlOemStringToUnicodeString.
    ///
    /// # Errors
    /// A string is not memory.
    pub fn rtl_oem_string_to_unicode_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let bytes = self.counted_units(from, Width::Narrow)?;
        let units: Vec<u16> = bytes
            .into_iter()
            .map(|byte| to_unicode(byte as u8))
            .collect();
        self.give_text(to, &units, Width::Wide, is_true(allocate))
    }

    /// `NTSTATUS RtlUnicodeStringToOemString(POEM_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate)`
    ///
    /// Converts, in a new buffer if asked, with a terminator.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW, INVALID_PARAMETER_2, NO_MEMORY.
    /// - Source: WDK reference, ntifs.RtlUnicodeStringToOemString.
    ///
    /// # Errors
    /// A string is not memory.
    pub fn rtl_unicode_string_to_oem_string(
        &self,
        to: DriverPtr<CountedString>,
        from: DriverPtr<CountedString>,
        allocate: u8,
    ) -> Ddi<NtStatus> {
        let units = self.counted_units(from, Width::Wide)?;
        let bytes: Vec<u16> = units
            .into_iter()
            .map(|unit| from_unicode(unit).into())
            .collect();
        self.give_text(to, &bytes, Width::Narrow, is_true(allocate))
    }

    /// `NTSTATUS RtlOemToUnicodeN(PWCH To, ULONG MaxBytes, PULONG Written, PCCH From, ULONG Bytes)`
    ///
    /// Converts as much as fits; nothing is terminated.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW if not all fits.
    /// - Source: WDK reference, ntifs.RtlOemToUnicodeN.
    ///
    /// # Errors
    /// The text or its target is not memory.
    pub fn rtl_oem_to_unicode_n(
        &self,
        to: u64,
        max_bytes: u32,
        written: DriverPtr<u32>,
        from: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        let all = self.widen((to, max_bytes), written, (from, bytes), to_unicode)?;
        Ok(overflow_unless(all))
    }

    /// `NTSTATUS RtlUnicodeToOemN(PCHAR To, ULONG MaxBytes, PULONG Written, PCWCH From, ULONG Bytes)`
    ///
    /// Converts as much as fits; nothing is terminated.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; BUFFER_OVERFLOW if not all fits.
    /// - Source: WDK reference, ntifs.RtlUnicodeToOemN.
    ///
    /// # Errors
    /// The text or its target is not memory.
    pub fn rtl_unicode_to_oem_n(
        &self,
        to: u64,
        max_bytes: u32,
        written: DriverPtr<u32>,
        from: u64,
        bytes: u32,
    ) -> Ddi<NtStatus> {
        let all = self.narrow((to, max_bytes), written, (from, bytes), from_unicode)?;
        Ok(overflow_unless(all))
    }

    /// `BOOLEAN RtlIsValidOemCharacter(PWCHAR)`
    ///
    /// Replaces the unit by its upper case.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: FALSE, with the substitute in place of the unit, if the code page does not have it.
    /// - Source: WDK reference, ntifs.RtlIsValidOemCharacter.
    ///
    /// # Errors
    /// The unit is not memory.
    pub fn rtl_is_valid_oem_character(&self, unit: DriverPtr<u16>) -> Ddi<u8> {
        let upper = super::code_page::upcase(self.read(unit)?);
        let byte = from_unicode(upper);
        let is_valid = to_unicode(byte) == upper;
        self.write(unit, if is_valid { upper } else { SUBSTITUTE.into() })?;
        Ok(is_valid.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=u8::MAX {
            assert_eq!(from_unicode(to_unicode(byte)), byte);
        }
        assert_eq!((to_unicode(0x81), to_unicode(0xFF)), (0xFC, 0xA0));
        assert_eq!(from_unicode(0x20AC), b'?');
    }

    #[test]
    fn as_much_as_fits_is_converted() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (text, to, written) = (
            bench.variable(16),
            bench.variable(16),
            DriverPtr::<u32>::new(bench.variable(4)),
        );
        kernel.write_bytes(text, b"\x81A").unwrap();
        assert_eq!(
            kernel.rtl_oem_to_unicode_n(to, 16, written, text, 2),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.read(written), Ok(4));
        assert_eq!(kernel.read_bytes(to, 4).unwrap(), [0xFC, 0, b'A', 0]);
        assert_eq!(
            kernel.rtl_oem_to_unicode_n(to, 3, written, text, 2),
            Ok(NtStatus::BUFFER_OVERFLOW)
        );
        assert_eq!(
            kernel.rtl_unicode_to_oem_n(text, 1, written, to, 4),
            Ok(NtStatus::BUFFER_OVERFLOW)
        );
        assert_eq!(
            kernel.rtl_unicode_to_oem_n(text, 2, DriverPtr::NULL, to, 4),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.read_bytes(text, 2).unwrap(), b"\x81A");
    }

    #[test]
    fn strings_come_back_in_buffers_of_their_own() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let from = DriverPtr::<CountedString>::new(bench.unicode("\u{fc}x"));
        let (oem, wide) = (
            DriverPtr::<CountedString>::new(bench.variable(16)),
            DriverPtr::<CountedString>::new(bench.variable(16)),
        );
        assert_eq!(
            kernel.rtl_unicode_string_to_oem_string(oem, from, 1),
            Ok(NtStatus::SUCCESS)
        );
        let narrow = kernel.counted_units(oem, Width::Narrow).unwrap();
        assert_eq!(narrow, [0x81, u16::from(b'x')]);
        kernel
            .rtl_oem_string_to_unicode_string(wide, oem, 1)
            .unwrap();
        let units = kernel.counted_units(wide, Width::Wide).unwrap();
        assert_eq!(units, [0xFC, u16::from(b'x')]);
    }

    #[test]
    fn a_character_is_valid_if_the_code_page_has_its_upper_case() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let unit = DriverPtr::<u16>::new(bench.variable(2));
        for (before, is_valid, after) in [(0x61, 1, 0x41), (0xFC, 1, 0xDC), (0x20AC, 0, 0x3F)] {
            kernel.write(unit, before).unwrap();
            assert_eq!(kernel.rtl_is_valid_oem_character(unit), Ok(is_valid));
            assert_eq!(kernel.read(unit), Ok(after));
        }
    }
}
