//! Physical memory as a whole: what there is, and copying it.
//!
//! Source: WDK reference, ntddk.MmGetPhysicalMemoryRanges, ntddk.MmCopyMemory.

use dirql_abi::NtStatus;
use dirql_abi::memory::PhysicalMemoryRange;

use super::layout;
use crate::{Ddi, DriverPtr, Kernel};

/// Tag of the pool that the ranges are in.
const TAG: u32 = u32::from_le_bytes(*b"hPmM");

/// MM_COPY_MEMORY_PHYSICAL and MM_COPY_MEMORY_VIRTUAL.
const PHYSICAL: u32 = 1;
const VIRTUAL: u32 = 2;

impl Kernel {
    /// `PPHYSICAL_MEMORY_RANGE MmGetPhysicalMemoryRanges(VOID)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the runs of RAM in pool that the caller frees, ended by one of zeros; or NULL.
    /// - Source: WDK reference, ntddk.MmGetPhysicalMemoryRanges.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn mm_get_physical_memory_ranges(&self) -> Ddi<u64> {
        let runs = [
            (0, layout::DEVICE_PHYSICAL),
            (layout::USER_PHYSICAL, layout::USER.end - layout::USER.start),
            (0, 0),
        ];
        let bytes = size_of::<PhysicalMemoryRange>() * runs.len();
        let table = self.allocate_zeroed(bytes as u64, TAG)?;
        if table == 0 {
            return Ok(0);
        }
        let first = DriverPtr::<PhysicalMemoryRange>::new(table);
        for (index, (base_address, number_of_bytes)) in runs.into_iter().enumerate() {
            let run = PhysicalMemoryRange {
                base_address,
                number_of_bytes,
            };
            self.write(first.element(index), run)?;
        }
        Ok(table)
    }

    /// `NTSTATUS MmCopyMemory(PVOID TargetAddress, MM_COPY_ADDRESS SourceAddress, SIZE_T
    /// NumberOfBytes, ULONG Flags, PSIZE_T NumberOfBytesTransferred)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: INVALID_PARAMETER unless exactly one kind of address is asked for;
    ///   INVALID_ADDRESS if the source is not all memory, with nothing copied.
    /// - Source: WDK reference, ntddk.MmCopyMemory.
    ///
    /// # Errors
    /// A target that is not memory.
    pub fn mm_copy_memory(
        &self,
        target: u64,
        source: u64,
        bytes: u64,
        flags: u32,
        copied: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.write(copied, 0)?;
        let from = match flags {
            PHYSICAL => layout::virtual_address(source),
            VIRTUAL => Some(source),
            _ => return Ok(NtStatus::INVALID_PARAMETER),
        };
        let data = from.map(|from| self.read_bytes(from, bytes as usize));
        let Some(Ok(data)) = data else {
            return Ok(NtStatus::INVALID_ADDRESS);
        };
        self.write_bytes(target, &data)?;
        self.write(copied, bytes)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn memory_is_copied_by_either_address() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let pool = kernel.pool_allocate(0, 16, 1).unwrap();
        kernel.write_bytes(pool, b"0123456789abcdef").unwrap();
        let physical = layout::physical(pool).unwrap();
        let (target, copied) = (bench.variable(16), DriverPtr::<u64>::new(bench.variable(8)));
        for (source, flags) in [(pool, VIRTUAL), (physical, PHYSICAL)] {
            kernel.write_bytes(target, &[0; 16]).unwrap();
            let status = kernel.mm_copy_memory(target, source, 16, flags, copied);
            assert_eq!(status, Ok(NtStatus::SUCCESS));
            assert_eq!(kernel.read_bytes(target, 16).unwrap(), b"0123456789abcdef");
            assert_eq!(kernel.read(copied), Ok(16));
        }
        let bad = kernel.mm_copy_memory(target, 0x10, 16, VIRTUAL, copied);
        assert_eq!(
            (bad, kernel.read(copied)),
            (Ok(NtStatus::INVALID_ADDRESS), Ok(0))
        );
        let both = kernel.mm_copy_memory(target, pool, 16, PHYSICAL | VIRTUAL, copied);
        assert_eq!(both, Ok(NtStatus::INVALID_PARAMETER));
    }

    #[test]
    fn the_ranges_of_physical_memory_end_with_zeros() {
        let bench = Bench::new(Config::default());
        let table = bench.kernel.mm_get_physical_memory_ranges().unwrap();
        let runs: [[u64; 2]; 3] = bench.kernel.read(DriverPtr::new(table)).unwrap();
        assert_eq!(runs[0], [0, layout::DEVICE_PHYSICAL]);
        assert_eq!(runs[2], [0, 0]);
    }
}
