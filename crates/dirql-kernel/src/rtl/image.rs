//! Looking into a loaded image, and at the caller.
//!
//! Source: Microsoft, "PE Format"; WDK reference, ntifs.RtlCaptureStackBackTrace,
//! ntifs.RtlHashUnicodeString, ntddk.RtlRandom.

use dirql_abi::NtStatus;

use super::code_page;
use super::format::Width;
use super::string::CountedString;
use crate::{Ddi, DriverPtr, Kernel};

/// "MZ" and "PE\0\0".
const DOS_MAGIC: u16 = 0x5A4D;
const NT_MAGIC: u32 = 0x0000_4550;

/// Magic number of a PE32+ optional header.
const PE32_PLUS: u16 = 0x20B;

/// Offsets: `e_lfanew`; in the NT headers the optional header, its number of directories and
/// the directories.
const LFANEW: u64 = 0x3C;
const OPTIONAL: u64 = 24;
const DIRECTORY_COUNT: u64 = OPTIONAL + 108;
const DIRECTORIES: u64 = OPTIONAL + 112;

impl Kernel {
    /// `PIMAGE_NT_HEADERS RtlImageNtHeader(PVOID)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: the address of the headers, or NULL if this is no image.
    /// - Findings: none of its own.
    /// - Source: exported, not documented; "PE Format" for the headers.
    pub fn rtl_image_nt_header(&self, base: u64) -> Ddi<u64> {
        let Ok(magic) = self.read(DriverPtr::<u16>::new(base)) else {
            return Ok(0);
        };
        if magic != DOS_MAGIC {
            return Ok(0);
        }
        let offset = self.read(DriverPtr::<u32>::new(base.wrapping_add(LFANEW)))?;
        let headers = base.wrapping_add(offset.into());
        let is_nt = self
            .read(DriverPtr::<u32>::new(headers))
            .is_ok_and(|magic| magic == NT_MAGIC);
        Ok(if is_nt { headers } else { 0 })
    }

    /// `PVOID RtlImageDirectoryEntryToData(PVOID Base, BOOLEAN MappedAsImage, USHORT Entry, PULONG Size)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: the address and size of a directory of a loaded image; NULL for none. An
    ///   image that is mapped as a file is not looked into.
    /// - Findings: none of its own.
    /// - Source: exported, not documented; "PE Format" for the directories.
    pub fn rtl_image_directory_entry_to_data(
        &self,
        base: u64,
        mapped_as_image: u8,
        entry: u16,
        size: DriverPtr<u32>,
    ) -> Ddi<u64> {
        // The low bit of a handle says that it is mapped as a file.
        let mapped = mapped_as_image != 0 && base & 1 == 0;
        let Some((address, bytes)) = self.image_directory(base, entry)?.filter(|_| mapped) else {
            return Ok(0);
        };
        self.write(size, bytes)?;
        Ok(address)
    }

    /// Address and size of a directory of a loaded image.
    pub(super) fn image_directory(&self, base: u64, entry: u16) -> Ddi<Option<(u64, u32)>> {
        let headers = self.rtl_image_nt_header(base & !3)?;
        if headers == 0 {
            return Ok(None);
        }
        let magic = self.read(DriverPtr::<u16>::new(headers.wrapping_add(OPTIONAL)))?;
        let count = self.read(DriverPtr::<u32>::new(headers.wrapping_add(DIRECTORY_COUNT)))?;
        if magic != PE32_PLUS || u32::from(entry) >= count {
            return Ok(None);
        }
        let at = headers.wrapping_add(DIRECTORIES + 8 * u64::from(entry));
        let [offset, bytes] = self.read(DriverPtr::<[u32; 2]>::new(at))?;
        Ok((offset != 0).then(|| (base.wrapping_add(offset.into()), bytes)))
    }

    /// `USHORT RtlCaptureStackBackTrace(ULONG Skip, ULONG Capture, PVOID *Frames, PULONG Hash)`
    ///
    /// Captures where frames of drivers return to, from the caller outwards; `found` is what a
    /// walk came to. Frames of the kernel in between are not shown.
    ///
    /// - IRQL: any level.
    /// - Returns: the frames captured, after `skip` of them; the hash is their sum.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlCaptureStackBackTrace.
    pub fn rtl_capture_stack_back_trace(
        &self,
        skip: u32,
        capture: u32,
        frames: DriverPtr<u64>,
        hash: DriverPtr<u32>,
        found: &[u64],
    ) -> Ddi<u16> {
        let wanted = found.iter().skip(skip as usize).take(capture as usize);
        let (mut captured, mut sum) = (0_u16, 0_u32);
        for address in wanted {
            self.write(frames.element(captured.into()), *address)?;
            captured += 1;
            sum = sum.wrapping_add(*address as u32);
        }
        if !hash.is_null() {
            self.write(hash, sum)?;
        }
        Ok(captured)
    }

    /// `NTSTATUS RtlHashUnicodeString(PCUNICODE_STRING, BOOLEAN IgnoreCase, ULONG Algorithm, PULONG)`
    ///
    /// Hashes by multiplication with 65,599, which is algorithm 1 and the default, 0.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_PARAMETER for another algorithm.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlHashUnicodeString.
    pub fn rtl_hash_unicode_string(
        &self,
        string: DriverPtr<CountedString>,
        ignore_case: u8,
        algorithm: u32,
        hash: DriverPtr<u32>,
    ) -> Ddi<NtStatus> {
        if algorithm > 1 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let case = if ignore_case == 0 {
            core::convert::identity
        } else {
            code_page::upcase
        };
        let units = self.counted_units(string, Width::Wide)?;
        let value = units.into_iter().fold(0u32, |so_far, unit| {
            so_far.wrapping_mul(65_599).wrapping_add(case(unit).into())
        });
        self.write(hash, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ULONG RtlRandom(PULONG Seed)`, and `RtlRandomEx`
    ///
    /// Goes on from the seed by Lehmer's method, as the reference describes the generator.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: a number of 0 to 0x7FFFFFFE, which is also the next seed.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.RtlRandom.
    pub fn rtl_random(&self, seed: DriverPtr<u32>) -> Ddi<u32> {
        let next = (u64::from(self.read(seed)?) * 0x7FFF_FFED + 0x7FFF_FFC3) % 0x7FFF_FFFF;
        self.write(seed, next as u32)?;
        Ok(next as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    /// The headers of an image with an import directory and nothing else.
    fn image(bench: &Bench) -> u64 {
        let base = bench.kernel.allocate_image(0x1000);
        let put = |offset: u64, value: u32| {
            bench
                .kernel
                .write(DriverPtr::<u32>::new(base + offset), value)
                .unwrap()
        };
        put(0, DOS_MAGIC.into());
        put(LFANEW, 0x80);
        put(0x80, NT_MAGIC);
        put(0x80 + OPTIONAL, PE32_PLUS.into());
        put(0x80 + DIRECTORY_COUNT, 2);
        put(0x80 + DIRECTORIES + 8, 0x200);
        put(0x80 + DIRECTORIES + 12, 0x28);
        base
    }

    #[test]
    fn directories_of_an_image_are_found() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let base = image(&bench);
        let size = DriverPtr::<u32>::new(bench.variable(4));
        assert_eq!(kernel.rtl_image_nt_header(base), Ok(base + 0x80));
        let directory =
            |mapped, entry| kernel.rtl_image_directory_entry_to_data(base, mapped, entry, size);
        assert_eq!(directory(1, 1), Ok(base + 0x200));
        assert_eq!(kernel.read(size), Ok(0x28));
        assert_eq!(
            (directory(1, 0), directory(1, 2), directory(0, 1)),
            (Ok(0), Ok(0), Ok(0))
        );
        assert_eq!(kernel.rtl_image_nt_header(base + 0x80), Ok(0));
        assert_eq!(kernel.rtl_image_nt_header(0), Ok(0));
    }

    #[test]
    fn hashes_are_those_of_the_documented_algorithm() {
        let bench = Bench::new(Config::default());
        let hash = DriverPtr::<u32>::new(bench.variable(4));
        let string = DriverPtr::new(bench.unicode("aB"));
        let run = |ignore, algorithm| {
            bench
                .kernel
                .rtl_hash_unicode_string(string, ignore, algorithm, hash)
        };
        assert_eq!(run(0, 0), Ok(NtStatus::SUCCESS));
        assert_eq!(bench.kernel.read(hash), Ok(0x61 * 65_599 + 0x42));
        assert_eq!(run(1, 1), Ok(NtStatus::SUCCESS));
        assert_eq!(bench.kernel.read(hash), Ok(0x41 * 65_599 + 0x42));
        assert_eq!(run(0, 2), Ok(NtStatus::INVALID_PARAMETER));
    }

    #[test]
    fn random_numbers_follow_from_their_seed() {
        let bench = Bench::new(Config::default());
        let seed = DriverPtr::<u32>::new(bench.variable(4));
        let first = bench.kernel.rtl_random(seed).unwrap();
        assert_eq!((first, bench.kernel.read(seed)), (0x7FFF_FFC3, Ok(first)));
        assert!(bench.kernel.rtl_random(seed).unwrap() < 0x7FFF_FFFF);
    }
}
