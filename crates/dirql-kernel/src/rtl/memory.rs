//! Copying, filling and comparing memory.
//!
//! Drivers also use these on device registers, so both are served. Nothing is written beyond
//! the first address that faults; what comes before it is, in the order of the copy.
//!
//! Source: WDK reference, wdm.RtlCompareMemory, wdm.RtlMoveMemory, wdm.RtlFillMemory,
//! wdm.RtlZeroMemory; C run-time library reference, memcpy, memmove, memset, memcmp, memchr.

use crate::{Ddi, Kernel};

/// Bytes that are moved at once. Small enough to be on the stack and cleared for nothing.
const CHUNK: u64 = 512;

/// Bytes up to which clearing a whole chunk costs more than moving them.
const SMALL: u64 = 64;

impl Kernel {
    /// `void *memmove(void *to, const void *from, size_t)`, which is also `memcpy`,
    /// `RtlMoveMemory` and `RtlCopyMemory`
    ///
    /// Copies bytes; the ranges may overlap.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: `to`.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, memmove.
    pub fn memmove(&self, to: u64, from: u64, length: u64) -> Ddi<u64> {
        if length <= SMALL {
            // One piece: it does not matter whether the ranges overlap.
            let mut bytes = [0; SMALL as usize];
            let bytes = &mut bytes[..length as usize];
            self.load(from, bytes)?;
            self.store(to, bytes)?;
            return Ok(to);
        }
        // From the end, if the beginning would overwrite what is still to be copied.
        let backwards = to.wrapping_sub(from) < length;
        let mut done = 0;
        while done < length {
            let bytes = (length - done).min(CHUNK);
            let offset = if backwards {
                length - done - bytes
            } else {
                done
            };
            let mut chunk = [0; CHUNK as usize];
            let chunk = &mut chunk[..bytes as usize];
            self.load(from.wrapping_add(offset), chunk)?;
            self.store(to.wrapping_add(offset), chunk)?;
            done += bytes;
        }
        Ok(to)
    }

    /// `void *memset(void *to, int value, size_t)`, which is also `RtlFillMemory` and
    /// `RtlZeroMemory`
    ///
    /// Fills with one byte.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: `to`.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, memset.
    pub fn memset(&self, to: u64, value: u8, length: u64) -> Ddi<u64> {
        let chunk = [value; CHUNK as usize];
        let mut done = 0;
        while done < length {
            let bytes = (length - done).min(CHUNK);
            self.store(to.wrapping_add(done), &chunk[..bytes as usize])?;
            done += bytes;
        }
        Ok(to)
    }

    /// The first offset at which two ranges differ, and the bytes there.
    fn first_difference(&self, one: u64, other: u64, length: u64) -> Ddi<Option<(u64, u8, u8)>> {
        let mut done = 0;
        while done < length {
            let bytes = (length - done).min(CHUNK) as usize;
            let mut left = [0; CHUNK as usize];
            let mut right = [0; CHUNK as usize];
            self.load(one.wrapping_add(done), &mut left[..bytes])?;
            self.load(other.wrapping_add(done), &mut right[..bytes])?;
            let differ = |(left, right): (&u8, &u8)| left != right;
            if let Some(at) = left[..bytes].iter().zip(&right[..bytes]).position(differ) {
                return Ok(Some((done + at as u64, left[at], right[at])));
            }
            done += bytes as u64;
        }
        Ok(None)
    }

    /// `int memcmp(const void*, const void*, size_t)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: less than, equal to or greater than 0, as the first bytes that differ.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, memcmp.
    pub fn memcmp(&self, one: u64, other: u64, length: u64) -> Ddi<i32> {
        let difference = self.first_difference(one, other, length)?;
        Ok(difference.map_or(0, |(_, left, right)| if left < right { -1 } else { 1 }))
    }

    /// `SIZE_T RtlCompareMemory(const VOID*, const VOID*, SIZE_T)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: how many bytes are equal before the first that differ.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlCompareMemory.
    pub fn rtl_compare_memory(&self, one: u64, other: u64, length: u64) -> Ddi<u64> {
        let difference = self.first_difference(one, other, length)?;
        Ok(difference.map_or(length, |(at, ..)| at))
    }

    /// `SIZE_T RtlCompareMemoryUlong(PVOID, SIZE_T, ULONG)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: how many bytes, in whole words, hold the pattern; 0 if the address is not
    ///   4-aligned.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntifs.RtlCompareMemoryUlong.
    pub fn rtl_compare_memory_ulong(&self, address: u64, length: u64, pattern: u32) -> Ddi<u64> {
        if !address.is_multiple_of(4) {
            return Ok(0);
        }
        let mut done = 0;
        while done + 4 <= length {
            let mut word = [0; 4];
            self.load(address.wrapping_add(done), &mut word)?;
            if u32::from_le_bytes(word) != pattern {
                break;
            }
            done += 4;
        }
        Ok(done)
    }

    /// `void *memchr(const void*, int, size_t)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: where the byte is first, or NULL.
    /// - Findings: none of its own.
    /// - Source: C run-time library reference, memchr.
    pub fn memchr(&self, address: u64, byte: u8, length: u64) -> Ddi<u64> {
        for offset in 0..length {
            let mut found = [0];
            self.load(address.wrapping_add(offset), &mut found)?;
            if found == [byte] {
                return Ok(address.wrapping_add(offset));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::{BadAddress, Config, Stop};

    #[test]
    fn overlapping_ranges_are_copied_as_if_by_way_of_a_third() {
        for distance in [1u64, 7, 511, 512, 513, 1500] {
            let bench = Bench::new(Config::default());
            let kernel = &bench.kernel;
            let memory = bench.variable(4096);
            let text: alloc::vec::Vec<u8> = (0..2000u32).map(|n| (n % 251) as u8).collect();
            kernel.write_bytes(memory, &text).unwrap();
            assert_eq!(
                kernel.memmove(memory + distance, memory, 2000),
                Ok(memory + distance)
            );
            assert_eq!(
                kernel.read_bytes(memory + distance, 2000).unwrap(),
                text,
                "{distance}"
            );
            kernel.memmove(memory, memory + distance, 2000).unwrap();
            assert_eq!(kernel.read_bytes(memory, 2000).unwrap(), text, "{distance}");
        }
    }

    #[test]
    fn a_fault_is_at_the_first_byte_that_is_not_memory() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let page = kernel.pool_allocate(0, 4096, 1).unwrap();
        let bad = |write| {
            Err(Stop::BadAddress(BadAddress {
                address: page + 4096,
                write,
            }))
        };
        assert_eq!(kernel.memset(page, 7, 4097), bad(true));
        assert_eq!(kernel.read_bytes(page, 4096).unwrap(), alloc::vec![7; 4096]);
        assert_eq!(kernel.memmove(page, page + 1, 4096), bad(false));
        assert_eq!(kernel.memset(page, 0, 0), Ok(page));
        assert_eq!(kernel.memmove(0, 0, 0), Ok(0));
    }

    #[test]
    fn comparisons_are_of_unsigned_bytes() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let [one, other] = [0; 2].map(|_| bench.variable(1024));
        kernel.write_bytes(one + 600, &[0x80]).unwrap();
        kernel.write_bytes(other + 600, &[0x7F]).unwrap();
        assert_eq!(kernel.memcmp(one, other, 600), Ok(0));
        assert_eq!(kernel.memcmp(one, other, 601), Ok(1));
        assert_eq!(kernel.memcmp(other, one, 601), Ok(-1));
        assert_eq!(kernel.rtl_compare_memory(one, other, 1024), Ok(600));
        assert_eq!(kernel.rtl_compare_memory(one, other, 600), Ok(600));
        assert_eq!(kernel.rtl_compare_memory_ulong(one, 1024, 0), Ok(600));
        assert_eq!(kernel.rtl_compare_memory_ulong(one, 7, 0), Ok(4));
        assert_eq!(kernel.rtl_compare_memory_ulong(one + 1, 8, 0), Ok(0));
        assert_eq!(kernel.memchr(one, 0x80, 1024), Ok(one + 600));
        assert_eq!(kernel.memchr(one, 0x80, 600), Ok(0));
    }

    #[test]
    fn registers_and_the_shared_page_can_be_copied_from() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let memory = bench.variable(16);
        let registers = kernel.mm_map_io_space(0xFEB0_0000, 16, 0).unwrap();
        // Nothing answers there.
        kernel.memmove(memory, registers + 1, 7).unwrap();
        assert_eq!(
            kernel.read_bytes(memory, 8).unwrap(),
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0]
        );
        assert_eq!(kernel.memset(registers, 0, 16), Ok(registers));
        kernel.memmove(memory, 0xFFFF_F780_0000_026C, 4).unwrap();
        assert_eq!(kernel.read_bytes(memory, 4).unwrap(), [10, 0, 0, 0]);
    }
}
