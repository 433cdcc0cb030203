//! C routines about numbers and memory that do not work on one string: conversions with a checked
//! target, searching a sorted array, checksums, tokens.
//!
//! Source: C run-time library reference, the routine's page; WDK reference, ntifs.RtlCrc32,
//! ntifs.RtlCrc64.

use alloc::vec::Vec;

use super::format::Width;
use crate::{Ddi, DriverPtr, Kernel};

/// `errno_t`: invalid argument, does not fit.
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;

/// The reflected polynomials of CRC-32 (IEEE 802.3) and of CRC-64 (ECMA-182).
const CRC32: u64 = 0xEDB8_8320;
const CRC64: u64 = 0xC96C_5795_D787_0F42;

impl Kernel {
    /// `errno_t _itoa_s(int, char*, size_t, int)`, `_itow_s`, `_ltoa_s`, `_ultoa_s`, `_i64toa_s`,
    /// `_ui64toa_s` and their wide forms
    ///
    /// - IRQL: any level, if the buffer is resident.
    /// - Returns: 0; 22 for no buffer or a base that is none; 34 if it does not fit, with the
    ///   target empty.
    /// - Source: C run-time library reference, _itoa_s.
    ///
    /// # Errors
    /// A buffer that is not memory.
    pub fn number_to_string_secure(
        &self,
        value: i128,
        (to, size): (u64, u64),
        base: u32,
        bits: u32,
        width: Width,
    ) -> Ddi<i32> {
        if to == 0 || size == 0 {
            return Ok(EINVAL);
        }
        self.write_units(to, &[0], width)?;
        if !(2..=36).contains(&base) {
            return Ok(EINVAL);
        }
        let text = super::crt::number_text(value, base, bits);
        if text.len() as u64 >= size {
            return Ok(ERANGE);
        }
        let terminated: Vec<u16> = text.into_iter().chain([0]).collect();
        self.write_units(to, &terminated, width)?;
        Ok(0)
    }

    /// `errno_t memcpy_s(void *To, size_t Size, const void *From, size_t Count)`, `memmove_s`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: 0; 22 without a target or a source, 34 for a target too small; the target is
    ///   zeroed then, if there is one.
    /// - Source: C run-time library reference, memcpy_s.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn memory_copy_secure(&self, to: u64, size: u64, from: u64, count: u64) -> Ddi<i32> {
        if count == 0 {
            return Ok(0);
        }
        if to == 0 {
            return Ok(EINVAL);
        }
        if from == 0 || size < count {
            self.memset(to, 0, size)?;
            return Ok(if from == 0 { EINVAL } else { ERANGE });
        }
        self.memmove(to, from, count)?;
        Ok(0)
    }

    /// `void *bsearch(const void *Key, const void *Base, size_t Count, size_t Size, int (*compare)(const void*, const void*))`
    ///
    /// - IRQL: any level at which the comparison can run.
    /// - Returns: an element for which the comparison gave 0, or NULL.
    /// - Yields: inside the comparison.
    /// - Source: C run-time library reference, bsearch.
    ///
    /// # Errors
    /// As the comparison.
    pub fn bsearch(&self, key: u64, base: u64, count: u64, size: u64, compare: u64) -> Ddi<u64> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let element = base.wrapping_add(middle.wrapping_mul(size));
            match self.call("bsearch comparison", compare, &[key, element]) as i32 {
                0 => return Ok(element),
                order if order < 0 => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(0)
    }

    /// `char *strtok_s(char*, const char *Delimiters, char **Context)`, `wcstok_s`; `strtok` with
    /// a context of the system's
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: the next token, terminated, or NULL.
    /// - Source: C run-time library reference, strtok_s.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn string_token(
        &self,
        text: u64,
        delimiters: u64,
        context: Option<DriverPtr<u64>>,
        width: Width,
    ) -> Ddi<u64> {
        let unit = if width == Width::Wide { 2 } else { 1 };
        let from = match (text, context) {
            (0, Some(context)) => self.read(context)?,
            (0, None) => self.rtl.token.get(),
            (text, _) => text,
        };
        if from == 0 {
            return Ok(0);
        }
        let units = self.read_units(from, usize::MAX, width)?;
        let set = self.read_units(delimiters, usize::MAX, width)?;
        let first = units.iter().position(|found| !set.contains(found));
        let (token, rest) = match first {
            None => (0, from.wrapping_add(unit * units.len() as u64)),
            Some(first) => {
                let length = units[first..]
                    .iter()
                    .position(|found| set.contains(found))
                    .unwrap_or(units.len() - first);
                let end = first + length;
                if end < units.len() {
                    self.write_units(from.wrapping_add(unit * end as u64), &[0], width)?;
                }
                let after = (end + 1).min(units.len()) as u64;
                (
                    from.wrapping_add(unit * first as u64),
                    from.wrapping_add(unit * after),
                )
            }
        };
        match context {
            Some(context) => self.write(context, rest)?,
            None => self.rtl.token.set(rest),
        }
        Ok(token)
    }

    /// `size_t mbstowcs(wchar_t*, const char*, size_t)`, in code page 1252
    ///
    /// - IRQL: any level, if the strings are resident.
    /// - Returns: the characters without the terminator; without a target how many there are.
    /// - Source: C run-time library reference, mbstowcs.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn mbstowcs(&self, to: u64, from: u64, count: u64) -> Ddi<u64> {
        self.convert_string(to, from, count, Width::Narrow, |unit| {
            super::code_page::to_unicode(unit as u8)
        })
    }

    /// `size_t wcstombs(char*, const wchar_t*, size_t)`, as [`Kernel::mbstowcs`].
    ///
    /// # Errors
    /// As there.
    pub fn wcstombs(&self, to: u64, from: u64, count: u64) -> Ddi<u64> {
        self.convert_string(to, from, count, Width::Wide, |unit| {
            super::code_page::from_unicode(unit).into()
        })
    }

    /// `int mbtowc(wchar_t*, const char*, size_t)`, in code page 1252
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: 1 for a character, 0 for a terminator or without one; -1 if there is none within
    ///   `count`.
    /// - Source: C run-time library reference, mbtowc.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn mbtowc(&self, to: u64, from: u64, count: u64) -> Ddi<i32> {
        if from == 0 {
            return Ok(0);
        }
        if count == 0 {
            return Ok(-1);
        }
        let byte = self.read(DriverPtr::<u8>::new(from))?;
        if to != 0 {
            self.write(DriverPtr::new(to), super::code_page::to_unicode(byte))?;
        }
        Ok((byte != 0).into())
    }

    /// `int wctomb(char*, wchar_t)`, in code page 1252
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: 1; 0 without a target; -1 for a character that the code page lacks.
    /// - Source: C run-time library reference, wctomb.
    ///
    /// # Errors
    /// A target that is not memory.
    pub fn wctomb(&self, to: u64, unit: u16) -> Ddi<i32> {
        if to == 0 {
            return Ok(0);
        }
        let byte = super::code_page::from_unicode(unit);
        if super::code_page::to_unicode(byte) != unit {
            return Ok(-1);
        }
        self.write(DriverPtr::new(to), byte)?;
        Ok(1)
    }

    /// `errno_t _strset_s(char*, size_t, int)`, `_wcsset_s`; `_strnset_s`, `_wcsnset_s` for the
    /// first `count` characters
    ///
    /// - IRQL: any level, if the string is resident.
    /// - Returns: 0; 22 without a string, or for one without a terminator in its room, which is
    ///   emptied.
    /// - Source: C run-time library reference, _strset_s.
    ///
    /// # Errors
    /// A string that is not memory.
    pub fn string_set_secure(
        &self,
        text: u64,
        size: u64,
        unit: u16,
        count: u64,
        width: Width,
    ) -> Ddi<i32> {
        if text == 0 || size == 0 {
            return Ok(EINVAL);
        }
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let mut units = self.read_units(text, limit, width)?;
        if units.len() == limit {
            self.write_units(text, &[0], width)?;
            return Ok(EINVAL);
        }
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(units.len());
        units[..count].fill(unit);
        self.write_units(text, &units, width)?;
        Ok(0)
    }

    /// `int _purecall(void)`: what a table of virtual functions holds for one that is not defined.
    ///
    /// - Findings: DQ0537, which ends the run.
    /// - Source: C++ reference, "_purecall".
    ///
    /// # Errors
    /// Always.
    pub fn pure_call(&self) -> Ddi<u32> {
        let message = alloc::string::String::from("a pure virtual function was called");
        Err(self.find_fatal(dirql_rules::ids::PURE_CALL, message, None))
    }

    fn convert_string(
        &self,
        to: u64,
        from: u64,
        count: u64,
        width: Width,
        convert: fn(u16) -> u16,
    ) -> Ddi<u64> {
        let other = match width {
            Width::Narrow => Width::Wide,
            Width::Wide => Width::Narrow,
        };
        let limit = match to {
            0 => usize::MAX,
            _ => usize::try_from(count).unwrap_or(usize::MAX),
        };
        let units: Vec<u16> = self
            .read_units(from, limit, width)?
            .into_iter()
            .map(convert)
            .collect();
        let length = units.len() as u64;
        if to != 0 {
            let end = if units.len() < limit { &[0][..] } else { &[] };
            self.write_units(to, &[&units[..], end].concat(), other)?;
        }
        Ok(length)
    }

    /// `ULONG RtlCrc32(const void*, SIZE_T, ULONG)`, also `RtlComputeCrc32`; 64 bits with
    /// `RtlCrc64`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: the checksum that goes on from `initial`.
    /// - Source: WDK reference, ntifs.RtlCrc32, ntifs.RtlCrc64.
    ///
    /// # Errors
    /// A buffer that is not memory.
    pub fn rtl_crc(&self, buffer: u64, bytes: u64, initial: u64, wide: bool) -> Ddi<u64> {
        let (polynomial, mask) = if wide {
            (CRC64, u64::MAX)
        } else {
            (CRC32, u32::MAX.into())
        };
        let mut crc = !initial & mask;
        for byte in self.read_bytes(buffer, usize::try_from(bytes).unwrap_or(usize::MAX))? {
            crc ^= u64::from(byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { polynomial } else { 0 };
            }
        }
        Ok(!crc & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn text(bench: &Bench, text: &str) -> u64 {
        let at = bench.variable(64);
        bench.kernel.write_bytes(at, text.as_bytes()).unwrap();
        at
    }

    #[test]
    fn a_number_fits_or_the_target_is_empty() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let to = bench.variable(8);
        let put = |value, size, base| {
            kernel.number_to_string_secure(value, (to, size), base, 32, Width::Narrow)
        };
        assert_eq!(put(-12, 4, 10), Ok(0));
        assert_eq!(kernel.read_string(to, 8).unwrap(), b"-12");
        assert_eq!(put(-12, 3, 10), Ok(ERANGE));
        assert_eq!(kernel.read_string(to, 8).unwrap(), b"");
        assert_eq!((put(1, 8, 1), put(1, 0, 10)), (Ok(EINVAL), Ok(EINVAL)));
    }

    #[test]
    fn memory_is_copied_whole_or_the_target_is_zeroed() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (from, to) = (text(&bench, "abcd"), text(&bench, "wxyz"));
        assert_eq!(kernel.memory_copy_secure(to, 4, from, 2), Ok(0));
        assert_eq!(kernel.read_bytes(to, 4).unwrap(), b"abyz");
        assert_eq!(kernel.memory_copy_secure(to, 3, from, 4), Ok(ERANGE));
        assert_eq!(kernel.read_bytes(to, 4).unwrap(), b"\0\0\0z");
        assert_eq!(kernel.memory_copy_secure(0, 3, from, 4), Ok(EINVAL));
    }

    #[test]
    fn a_sorted_array_is_searched() {
        let bench = Bench::new(Config::default());
        let compare = bench.routine(|kernel, arguments| {
            let [one, other] =
                [arguments[0], arguments[1]].map(|at| kernel.read(DriverPtr::<u8>::new(at)));
            Ok((i64::from(one?) - i64::from(other?)) as u64)
        });
        let (all, key) = (text(&bench, "bdfh"), text(&bench, "f"));
        let kernel = &bench.kernel;
        assert_eq!(kernel.bsearch(key, all, 4, 1, compare), Ok(all + 2));
        assert_eq!(kernel.bsearch(key, all, 2, 1, compare), Ok(0));
    }

    #[test]
    fn tokens_come_one_after_the_other() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        for context in [None, Some(DriverPtr::new(bench.variable(8)))] {
            let (line, commas) = (text(&bench, ",a,,bc"), text(&bench, ","));
            let next = |from| kernel.string_token(from, commas, context, Width::Narrow);
            assert_eq!(next(line), Ok(line + 1));
            assert_eq!(next(0), Ok(line + 4));
            assert_eq!(kernel.read_string(line + 4, 8).unwrap(), b"bc");
            assert_eq!((next(0), next(0)), (Ok(0), Ok(0)));
        }
    }

    #[test]
    fn strings_change_their_width() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (narrow, wide) = (text(&bench, "a\u{7f}"), bench.variable(16));
        assert_eq!(kernel.mbstowcs(0, narrow, 0), Ok(2));
        assert_eq!(kernel.mbstowcs(wide, narrow, 8), Ok(2));
        assert_eq!(kernel.wcstombs(narrow, wide, 1), Ok(1));
        assert_eq!(kernel.read_bytes(narrow, 2).unwrap(), b"a\x7f");
    }

    #[test]
    fn a_character_changes_its_width() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (narrow, wide) = (text(&bench, "a"), bench.variable(2));
        assert_eq!(kernel.mbtowc(wide, narrow, 1), Ok(1));
        assert_eq!(kernel.read(DriverPtr::<u16>::new(wide)), Ok(0x61));
        assert_eq!(kernel.mbtowc(wide, narrow + 1, 1), Ok(0));
        let none = (kernel.mbtowc(0, 0, 1), kernel.mbtowc(wide, narrow, 0));
        assert_eq!(none, (Ok(0), Ok(-1)));
        assert_eq!(kernel.wctomb(narrow, 0x20AC), Ok(1), "the euro sign");
        assert_eq!(kernel.read(DriverPtr::<u8>::new(narrow)), Ok(0x80));
        let none = (kernel.wctomb(narrow, 0x4E00), kernel.wctomb(0, 0x61));
        assert_eq!(none, (Ok(-1), Ok(0)));
    }

    #[test]
    fn a_string_is_set_within_its_room() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let line = text(&bench, "abcd");
        let set = |size, count| kernel.string_set_secure(line, size, 0x78, count, Width::Narrow);
        assert_eq!(set(5, 2), Ok(0));
        assert_eq!(kernel.read_string(line, 8).unwrap(), b"xxcd");
        assert_eq!(set(5, u64::MAX), Ok(0));
        assert_eq!(kernel.read_string(line, 8).unwrap(), b"xxxx");
        assert_eq!((set(4, 1), set(0, 1)), (Ok(EINVAL), Ok(EINVAL)));
        assert_eq!(kernel.read_string(line, 8).unwrap(), b"");
    }

    #[test]
    fn a_pure_virtual_function_is_told() {
        let bench = Bench::new(Config::default());
        assert_eq!(bench.kernel.pure_call(), Err(crate::Stop::Ended));
        assert_eq!(bench.rules(), [dirql_rules::ids::PURE_CALL]);
    }

    #[test]
    fn checksums_are_those_of_the_standards() {
        let bench = Bench::new(Config::default());
        let check = text(&bench, "123456789");
        let crc = |wide| bench.kernel.rtl_crc(check, 9, 0, wide);
        assert_eq!(crc(false), Ok(0xCBF4_3926));
        assert_eq!(crc(true), Ok(0x995D_C9BB_DF19_39FA));
    }
}
