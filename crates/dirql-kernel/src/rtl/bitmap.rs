//! Bitmaps.
//!
//! Source: WDK reference, wdm.RtlInitializeBitMap, wdm.RtlFindClearBits,
//! wdm.RtlNumberOfSetBits and their relatives.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Ddi, DriverPtr, Kernel};

/// `RTL_BITMAP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RtlBitmap {
    /// `SizeOfBitMap`, in bits.
    pub size: u32,
    /// Padding at 4.
    pub padding4: u32,
    /// `Buffer`: words of 32 bits.
    pub buffer: u64,
}

const _: () = assert!(size_of::<RtlBitmap>() == 16);

/// What searches answer if they find nothing.
const NOT_FOUND: u32 = u32::MAX;

/// A bitmap's bits, read from memory.
struct Bits {
    bytes: Vec<u8>,
    size: u32,
}

impl Bits {
    fn is_set(&self, index: u32) -> bool {
        self.bytes
            .get((index / 8) as usize)
            .is_some_and(|byte| byte >> (index % 8) & 1 != 0)
    }

    fn count(&self, set: bool) -> u32 {
        (0..self.size)
            .filter(|index| self.is_set(*index) == set)
            .count() as u32
    }

    /// The first run of `length` bits of one kind that begins in `from..to`.
    fn find(&self, set: bool, length: u32, from: u32, to: u32) -> Option<u32> {
        let mut start = from;
        let mut found = 0;
        for index in from..self.size {
            if found == 0 {
                start = index;
                if start >= to {
                    return None;
                }
            }
            found = if self.is_set(index) == set {
                found + 1
            } else {
                0
            };
            if found == length {
                return Some(start);
            }
        }
        None
    }

    /// The end of the run of one kind that `start` is in.
    fn run_end(&self, set: bool, start: u32) -> u32 {
        (start..self.size)
            .find(|index| self.is_set(*index) != set)
            .unwrap_or(self.size)
    }
}

impl Kernel {
    fn bits(&self, bitmap: DriverPtr<RtlBitmap>) -> Ddi<(RtlBitmap, Bits)> {
        let header = self.read(bitmap)?;
        let words = header.size.div_ceil(32) as usize;
        let bytes = self.read_bytes(header.buffer, 4 * words)?;
        Ok((
            header,
            Bits {
                bytes,
                size: header.size,
            },
        ))
    }

    /// `VOID RtlInitializeBitMap(PRTL_BITMAP, PULONG Buffer, ULONG Size)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlInitializeBitMap.
    pub fn rtl_initialize_bit_map(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        buffer: u64,
        size: u32,
    ) -> Ddi<()> {
        self.write(
            bitmap,
            RtlBitmap {
                size,
                padding4: 0,
                buffer,
            },
        )?;
        Ok(())
    }

    /// `VOID RtlSetBits(PRTL_BITMAP, ULONG Start, ULONG Number)`, and `RtlClearBits`
    ///
    /// Sets or clears bits; those beyond the end are left out.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlSetBits, wdm.RtlClearBits.
    pub fn rtl_change_bits(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        start: u32,
        number: u32,
        set: bool,
    ) -> Ddi<()> {
        let header = self.read(bitmap)?;
        let end = start.saturating_add(number).min(header.size);
        if start >= end {
            return Ok(());
        }
        let first = u64::from(start / 8);
        let at = header.buffer.wrapping_add(first);
        let mut bytes = self.read_bytes(at, (end.div_ceil(8) - start / 8) as usize)?;
        for index in start..end {
            let byte = &mut bytes[(index / 8 - start / 8) as usize];
            let bit = 1 << (index % 8);
            *byte = if set { *byte | bit } else { *byte & !bit };
        }
        self.write_bytes(at, &bytes)?;
        Ok(())
    }

    /// `VOID RtlSetAllBits(PRTL_BITMAP)`, and `RtlClearAllBits`
    ///
    /// Fills all words of the buffer.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlSetAllBits, wdm.RtlClearAllBits.
    pub fn rtl_change_all_bits(&self, bitmap: DriverPtr<RtlBitmap>, set: bool) -> Ddi<()> {
        let header = self.read(bitmap)?;
        let length = 4 * u64::from(header.size.div_ceil(32));
        self.memset(header.buffer, if set { 0xFF } else { 0 }, length)?;
        Ok(())
    }

    /// `BOOLEAN RtlTestBit(PRTL_BITMAP, ULONG)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: TRUE if the bit is set.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlTestBit.
    pub fn rtl_test_bit(&self, bitmap: DriverPtr<RtlBitmap>, index: u32) -> Ddi<u8> {
        let header = self.read(bitmap)?;
        let byte = self.read(DriverPtr::<u8>::new(
            header.buffer.wrapping_add(u64::from(index / 8)),
        ))?;
        Ok(byte >> (index % 8) & 1)
    }

    /// `ULONG RtlNumberOfSetBits(PRTL_BITMAP)`, and `RtlNumberOfClearBits`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: how many bits are of the kind.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlNumberOfSetBits, wdm.RtlNumberOfClearBits.
    pub fn rtl_number_of_bits(&self, bitmap: DriverPtr<RtlBitmap>, set: bool) -> Ddi<u32> {
        Ok(self.bits(bitmap)?.1.count(set))
    }

    /// `BOOLEAN RtlAreBitsSet(PRTL_BITMAP, ULONG Start, ULONG Length)`, and `RtlAreBitsClear`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: TRUE if the bits are all of the kind; FALSE for no bits or ones beyond the end.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlAreBitsSet, wdm.RtlAreBitsClear.
    pub fn rtl_are_bits(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        start: u32,
        length: u32,
        set: bool,
    ) -> Ddi<u8> {
        let (_, bits) = self.bits(bitmap)?;
        let end = start
            .checked_add(length)
            .filter(|end| *end <= bits.size && length > 0);
        let all = end.is_some_and(|end| (start..end).all(|index| bits.is_set(index) == set));
        Ok(u8::from(all))
    }

    /// `ULONG RtlFindClearBits(PRTL_BITMAP, ULONG Number, ULONG Hint)`, and `RtlFindSetBits`
    ///
    /// Looks for a run from the hint's byte on, then from the beginning.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: where the run begins, or 0xFFFFFFFF; for no bits, the hint's byte's first bit.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlFindClearBits, wdm.RtlFindSetBits.
    pub fn rtl_find_bits(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        number: u32,
        hint: u32,
        set: bool,
    ) -> Ddi<u32> {
        let (_, bits) = self.bits(bitmap)?;
        let hint = if hint < bits.size { hint & !7 } else { 0 };
        if number == 0 {
            return Ok(hint);
        }
        let found = bits
            .find(set, number, hint, bits.size)
            .or_else(|| bits.find(set, number, 0, hint));
        Ok(found.unwrap_or(NOT_FOUND))
    }

    /// `ULONG RtlFindClearBitsAndSet(PRTL_BITMAP, ULONG Number, ULONG Hint)`, and
    /// `RtlFindSetBitsAndClear`
    ///
    /// As [`Kernel::rtl_find_bits`], and changes the run to the other kind.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: where the run begins, or 0xFFFFFFFF.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlFindClearBitsAndSet, wdm.RtlFindSetBitsAndClear.
    pub fn rtl_find_bits_and_change(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        number: u32,
        hint: u32,
        set: bool,
    ) -> Ddi<u32> {
        let start = self.rtl_find_bits(bitmap, number, hint, set)?;
        if start != NOT_FOUND {
            self.rtl_change_bits(bitmap, start, number, !set)?;
        }
        Ok(start)
    }

    /// `ULONG RtlFindNextForwardRunClear(PRTL_BITMAP, ULONG From, PULONG Start)`; from 0
    /// `RtlFindFirstRunClear`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: the length of the first run of clear bits, and its beginning (the size of the
    ///   map if there is none).
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlFindNextForwardRunClear, wdm.RtlFindFirstRunClear.
    pub fn rtl_find_run_clear(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        from: u32,
        start: DriverPtr<u32>,
    ) -> Ddi<u32> {
        let (_, bits) = self.bits(bitmap)?;
        let first = bits
            .find(false, 1, from.min(bits.size), bits.size)
            .unwrap_or(bits.size);
        self.write(start, first)?;
        Ok(bits.run_end(false, first) - first)
    }

    /// `ULONG RtlFindClearRuns(PRTL_BITMAP, PRTL_BITMAP_RUN, ULONG SizeOfRunArray, BOOLEAN LocateLongestRuns)`
    ///
    /// Gives runs of clear bits, a beginning and a length each: the longest ones, longest first, or the first ones.
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: how many there are in the array.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlFindClearRuns.
    pub fn rtl_find_clear_runs(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        array: DriverPtr<[u32; 2]>,
        room: u32,
        longest: u8,
    ) -> Ddi<u32> {
        let (_, bits) = self.bits(bitmap)?;
        let mut runs = Vec::new();
        let mut from = 0;
        while let Some(first) = bits.find(false, 1, from, bits.size) {
            from = bits.run_end(false, first);
            runs.push([first, from - first]);
        }
        if dirql_abi::is_true(longest) {
            runs.sort_by_key(|[_, length]| core::cmp::Reverse(*length));
        }
        runs.truncate(room as usize);
        for (index, run) in runs.iter().enumerate() {
            self.write(array.element(index), *run)?;
        }
        Ok(runs.len() as u32)
    }

    /// `ULONG RtlFindLongestRunClear(PRTL_BITMAP, PULONG Start)`
    ///
    /// - IRQL: any level, if the memory is resident.
    /// - Returns: the length of the longest run of clear bits, and its beginning.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.RtlFindLongestRunClear.
    pub fn rtl_find_longest_run_clear(
        &self,
        bitmap: DriverPtr<RtlBitmap>,
        start: DriverPtr<u32>,
    ) -> Ddi<u32> {
        let (_, bits) = self.bits(bitmap)?;
        let mut longest = (0, 0);
        let mut from = 0;
        while let Some(first) = bits.find(false, 1, from, bits.size) {
            let end = bits.run_end(false, first);
            if end - first > longest.0 {
                longest = (end - first, first);
            }
            from = end;
        }
        self.write(start, longest.1)?;
        Ok(longest.0)
    }

    /// `CCHAR RtlFindMostSignificantBit(ULONGLONG)`
    ///
    /// - IRQL: any level.
    /// - Returns: the highest bit that is set, or -1.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlFindMostSignificantBit.
    pub fn rtl_find_most_significant_bit(&self, set: u64) -> Ddi<i8> {
        Ok(63 - set.leading_zeros() as i8)
    }

    /// `CCHAR RtlFindLeastSignificantBit(ULONGLONG)`
    ///
    /// - IRQL: any level.
    /// - Returns: the lowest bit that is set, or -1.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.RtlFindLeastSignificantBit.
    pub fn rtl_find_least_significant_bit(&self, set: u64) -> Ddi<i8> {
        Ok(if set == 0 {
            -1
        } else {
            set.trailing_zeros() as i8
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    /// A map of 40 bits with these set.
    fn map(bench: &Bench, set: &[core::ops::Range<u32>]) -> DriverPtr<RtlBitmap> {
        let bitmap = DriverPtr::new(bench.variable(16));
        let buffer = bench.variable(8);
        bench
            .kernel
            .rtl_initialize_bit_map(bitmap, buffer, 40)
            .unwrap();
        for range in set {
            bench
                .kernel
                .rtl_change_bits(bitmap, range.start, range.end - range.start, true)
                .unwrap();
        }
        bitmap
    }

    #[test]
    fn bits_are_set_cleared_and_counted_inside_the_map() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let bitmap = map(&bench, &[3..12, 38..50]);
        assert_eq!(kernel.rtl_number_of_bits(bitmap, true), Ok(11));
        assert_eq!(kernel.rtl_number_of_bits(bitmap, false), Ok(29));
        for (index, set) in [(2, 0), (3, 1), (11, 1), (12, 0), (39, 1), (40, 0)] {
            assert_eq!(kernel.rtl_test_bit(bitmap, index), Ok(set), "{index}");
        }
        kernel.rtl_change_bits(bitmap, 4, 2, false).unwrap();
        assert_eq!(kernel.rtl_are_bits(bitmap, 4, 2, false), Ok(1));
        assert_eq!(kernel.rtl_are_bits(bitmap, 3, 3, true), Ok(0));
        assert_eq!(kernel.rtl_are_bits(bitmap, 38, 2, true), Ok(1));
        assert_eq!(kernel.rtl_are_bits(bitmap, 38, 3, true), Ok(0));
        assert_eq!(kernel.rtl_are_bits(bitmap, 38, 0, true), Ok(0));
        kernel.rtl_change_all_bits(bitmap, true).unwrap();
        assert_eq!(kernel.rtl_number_of_bits(bitmap, true), Ok(40));
    }

    #[test]
    fn runs_are_found_from_the_hint_and_then_from_the_beginning() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let bitmap = map(&bench, &[4..20, 25..40]);
        let find = |number, hint| kernel.rtl_find_bits(bitmap, number, hint, false);
        assert_eq!(find(3, 0), Ok(0));
        assert_eq!(find(3, 10), Ok(20));
        assert_eq!(find(5, 0), Ok(20));
        assert_eq!(find(4, 30), Ok(0));
        assert_eq!(find(6, 0), Ok(u32::MAX));
        assert_eq!(find(1, 100), Ok(0));
        assert_eq!(find(0, 13), Ok(8));
        assert_eq!(kernel.rtl_find_bits_and_change(bitmap, 5, 0, false), Ok(20));
        assert_eq!(find(5, 0), Ok(u32::MAX));
    }

    #[test]
    fn runs_of_clear_bits_have_a_beginning_and_a_length() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let bitmap = map(&bench, &[0..4, 6..20, 30..40]);
        let start = DriverPtr::<u32>::new(bench.variable(4));
        let run = |length: Ddi<u32>| (kernel.read(start).unwrap(), length.unwrap());
        assert_eq!(run(kernel.rtl_find_run_clear(bitmap, 0, start)), (4, 2));
        assert_eq!(run(kernel.rtl_find_run_clear(bitmap, 5, start)), (5, 1));
        assert_eq!(run(kernel.rtl_find_run_clear(bitmap, 6, start)), (20, 10));
        assert_eq!(run(kernel.rtl_find_run_clear(bitmap, 30, start)), (40, 0));
        assert_eq!(
            run(kernel.rtl_find_longest_run_clear(bitmap, start)),
            (20, 10)
        );
        assert_eq!(kernel.rtl_find_most_significant_bit(0), Ok(-1));
        assert_eq!(kernel.rtl_find_most_significant_bit(1 << 63 | 1), Ok(63));
        assert_eq!(kernel.rtl_find_least_significant_bit(0), Ok(-1));
        assert_eq!(kernel.rtl_find_least_significant_bit(1 << 63), Ok(63));
    }

    #[test]
    fn runs_of_clear_bits_come_first_or_longest_first() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (map, buffer) = (DriverPtr::new(bench.variable(16)), bench.variable(4));
        kernel.rtl_initialize_bit_map(map, buffer, 16).unwrap();
        kernel
            .write_bytes(buffer, &0b0010_0001_0000_1101_u16.to_le_bytes())
            .unwrap();
        let array = DriverPtr::<[u32; 2]>::new(bench.variable(32));
        let runs = |room, longest| {
            let count = kernel
                .rtl_find_clear_runs(map, array, room, longest)
                .unwrap();
            (0..count as usize)
                .map(|index| kernel.read(array.element(index)).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(runs(4, 0), [[1, 1], [4, 4], [9, 4], [14, 2]]);
        assert_eq!(runs(2, 1), [[4, 4], [9, 4]]);
        assert_eq!(runs(0, 1), [[0; 2]; 0]);
    }
}
