//! Physically contiguous and noncached memory, and pages without a virtual address.
//!
//! Source: WDK reference, wdm.MmAllocateContiguousMemorySpecifyCache,
//! wdm.MmFreeContiguousMemory, ntddk.MmAllocateNonCachedMemory, wdm.MmAllocatePagesForMdl.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_rules::{BugCheck, Place, ids};

use super::layout::{self, PAGE, PHYSICAL_END, PHYSICAL_WINDOW};
use super::page_runs::{Limits, PageRuns};
use crate::platform::Access;
use crate::{Ddi, DriverPtr, Kernel};

/// Which routine a run of pages is from, and therefore which one frees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// `MmAllocateContiguousMemory` and its relatives.
    Contiguous,
    /// `MmAllocateNonCachedMemory`.
    NonCached,
    /// `MmAllocatePagesForMdl` and its relative.
    MdlPages,
    /// `AllocateCommonBuffer`.
    CommonBuffer,
    /// Behind a transfer that the device does not reach.
    MapRegisters,
}

impl RunKind {
    /// What it is called in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous memory",
            Self::NonCached => "noncached memory",
            Self::MdlPages => "pages for an MDL",
            Self::CommonBuffer => "common buffer",
            Self::MapRegisters => "memory behind map registers",
        }
    }
}

/// One allocation.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub kind: RunKind,
    pub bytes: u64,
    pub place: Place,
}

impl Run {
    fn pages(&self) -> u64 {
        self.bytes.div_ceil(PAGE)
    }
}

/// Where a run may lie, in physical addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Lowest acceptable address.
    pub lowest: u64,
    /// Highest acceptable address of the last byte.
    pub highest: u64,
    /// A power of two that the run must not cross a multiple of; 0 for none.
    pub boundary: u64,
}

impl Reach {
    /// At or below `highest`.
    pub(crate) const fn up_to(highest: u64) -> Self {
        Self {
            lowest: 0,
            highest,
            boundary: 0,
        }
    }

    fn limits(self) -> Limits {
        Limits {
            lowest: PHYSICAL_WINDOW + self.lowest.min(PHYSICAL_END),
            highest: PHYSICAL_WINDOW + self.highest.min(PHYSICAL_END),
            boundary: self.boundary,
            alignment: PAGE,
        }
    }
}

/// All runs.
#[derive(Debug)]
pub(super) struct Contiguous {
    low: PageRuns,
    high: PageRuns,
    live: BTreeMap<u64, Run>,
}

impl Default for Contiguous {
    fn default() -> Self {
        Self {
            low: PageRuns::new(layout::LOW_CONTIGUOUS),
            high: PageRuns::new(layout::CONTIGUOUS),
            live: BTreeMap::new(),
        }
    }
}

impl Contiguous {
    /// Memory above 16 MiB first: the rest is for devices that reach nothing else.
    fn allocate(&mut self, reach: Reach, run: Run) -> Option<u64> {
        let limits = reach.limits();
        let pages = run.pages();
        let address = self
            .high
            .allocate(pages, limits)
            .or_else(|| self.low.allocate(pages, limits))?;
        self.live.insert(address, run);
        Some(address)
    }

    fn free(&mut self, address: u64, kind: RunKind) -> Option<Run> {
        let run = self.live.remove(&address)?;
        if run.kind != kind {
            self.live.insert(address, run);
            return None;
        }
        let runs = if layout::LOW_CONTIGUOUS.contains(&address) {
            &mut self.low
        } else {
            &mut self.high
        };
        runs.free(address, run.pages());
        Some(run)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.live.iter().map(|(address, run)| (*address, run))
    }
}

impl Kernel {
    /// Whether pages of this kind begin at `address`.
    pub(super) fn is_run(&self, kind: RunKind, address: u64) -> bool {
        let contiguous = self.mm.contiguous.borrow();
        contiguous
            .live
            .get(&address)
            .is_some_and(|run| run.kind == kind)
    }

    /// Takes contiguous pages: accessible and zero. Returns 0 if there are none in `reach`.
    pub(crate) fn allocate_run(&self, kind: RunKind, bytes: u64, reach: Reach) -> u64 {
        if !(reach.boundary == 0 || reach.boundary.is_power_of_two()) {
            return 0;
        }
        // Map registers are reserved when a driver gets its adapter; here their memory is only
        // taken when it is used.
        if !matches!(kind, RunKind::MapRegisters) && self.allocation_fails() {
            return 0;
        }
        let run = Run {
            kind,
            bytes,
            place: self.here(),
        };
        let address = self.mm.contiguous.borrow_mut().allocate(reach, run);
        let Some(address) = address else { return 0 };
        let end = address + bytes.next_multiple_of(PAGE);
        self.platform().protect(address..end, Access::ReadWrite);
        address
    }

    /// Gives back pages; from now on an access faults.
    ///
    /// `bytes` is what the driver says, if the routine wants it said.
    ///
    /// Findings: `BAD_FREE` if no run of this kind begins there, or it has another size.
    ///
    /// # Errors
    /// Bug check 0xC2 with 0x60 if no such run begins there.
    pub(crate) fn free_run(&self, kind: RunKind, address: u64, bytes: Option<u64>) -> Ddi<()> {
        let freed = self.mm.contiguous.borrow_mut().free(address, kind);
        let Some(run) = freed else {
            let message = format!(
                "{address:#x} was freed as {}, which does not begin there",
                kind.name()
            );
            self.find(ids::BAD_FREE, message, None)?;
            return Err(BugCheck::new(0xC2, [0x60, address, 0, 0]).into());
        };
        let region = address..address + run.pages() * PAGE;
        self.platform().protect(region.clone(), Access::None);
        self.platform().discard(region);
        if let Some(bytes) = bytes.filter(|bytes| *bytes != run.bytes) {
            let message = format!(
                "{:#x} bytes of {} at {address:#x} were freed as {bytes:#x} bytes",
                run.bytes,
                kind.name()
            );
            self.find(
                ids::BAD_FREE,
                message,
                Some((String::from("allocated here"), run.place)),
            )?;
        }
        Ok(())
    }

    /// `PVOID MmAllocateContiguousMemorySpecifyCache(SIZE_T, PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest, PHYSICAL_ADDRESS Boundary, MEMORY_CACHING_TYPE)`
    ///
    /// Allocates contiguous nonpaged memory inside physical limits. The caching type makes no
    /// difference here.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the address, page-aligned, or NULL; also NULL if the boundary is not a power
    ///   of two, which the page calls undefined.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.MmAllocateContiguousMemorySpecifyCache.
    pub fn mm_allocate_contiguous_memory_specify_cache(
        &self,
        bytes: u64,
        lowest: u64,
        highest: u64,
        boundary: u64,
        _cache_type: u32,
    ) -> Ddi<u64> {
        let reach = Reach {
            lowest,
            highest,
            boundary,
        };
        Ok(self.allocate_run(RunKind::Contiguous, bytes, reach))
    }

    /// `NTSTATUS MmAllocateContiguousMemoryEx(PSIZE_T NumberOfBytes, PHYSICAL_ADDRESS Lowest,
    /// PHYSICAL_ADDRESS Highest, PHYSICAL_ADDRESS Boundary, NODE_REQUIREMENT, ULONG Protect, PVOID
    /// Partition, ULONG Tag, ULONG Flags, PVOID *BaseAddress)`
    ///
    /// As [`Kernel::mm_allocate_contiguous_memory_specify_cache`]; the memory is given back by
    /// MmFreeContiguousMemory. There is one node and one partition.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER for no bytes, STATUS_INVALID_PAGE_PROTECTION,
    ///   STATUS_INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.MmAllocateContiguousMemoryEx.
    ///
    /// # Errors
    /// The number or the result is not memory.
    pub fn mm_allocate_contiguous_memory_ex(
        &self,
        bytes: DriverPtr<u64>,
        limits: [u64; 3],
        protect: u32,
        base: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let bytes = self.read(bytes)?;
        if bytes == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        if super::virtual_memory::access(protect).is_none() {
            return Ok(NtStatus::INVALID_PAGE_PROTECTION);
        }
        let [lowest, highest, boundary] = limits;
        let address =
            self.mm_allocate_contiguous_memory_specify_cache(bytes, lowest, highest, boundary, 1)?;
        self.write(base, address)?;
        Ok(if address == 0 {
            NtStatus::INSUFFICIENT_RESOURCES
        } else {
            NtStatus::SUCCESS
        })
    }

    /// `PVOID MmAllocateContiguousMemory(SIZE_T, PHYSICAL_ADDRESS Highest)`
    ///
    /// As [`Kernel::mm_allocate_contiguous_memory_specify_cache`] without a lower limit.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL (PASSIVE_LEVEL in older documentation).
    /// - Returns: the address or NULL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.MmAllocateContiguousMemory.
    pub fn mm_allocate_contiguous_memory(&self, bytes: u64, highest: u64) -> Ddi<u64> {
        Ok(self.allocate_run(RunKind::Contiguous, bytes, Reach::up_to(highest)))
    }

    /// `VOID MmFreeContiguousMemory(PVOID)`
    ///
    /// Frees contiguous memory; an access to it faults from now on.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `BAD_FREE`, then bug check 0xC2 with 0x60.
    /// - Source: WDK reference, wdm.MmFreeContiguousMemory.
    pub fn mm_free_contiguous_memory(&self, address: u64) -> Ddi<()> {
        self.free_run(RunKind::Contiguous, address, None)
    }

    /// `VOID MmFreeContiguousMemorySpecifyCache(PVOID, SIZE_T, MEMORY_CACHING_TYPE)`
    ///
    /// As [`Kernel::mm_free_contiguous_memory`]; the size must be the one that was allocated.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `BAD_FREE` for another address (then bug check 0xC2) or size.
    /// - Source: WDK reference, wdm.MmFreeContiguousMemorySpecifyCache.
    pub fn mm_free_contiguous_memory_specify_cache(
        &self,
        address: u64,
        bytes: u64,
        _cache_type: u32,
    ) -> Ddi<()> {
        self.free_run(RunKind::Contiguous, address, Some(bytes))
    }

    /// `PVOID MmAllocateNonCachedMemory(SIZE_T)`
    ///
    /// Allocates whole pages of nonpaged memory.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the address or NULL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.MmAllocateNonCachedMemory.
    pub fn mm_allocate_non_cached_memory(&self, bytes: u64) -> Ddi<u64> {
        Ok(self.allocate_run(RunKind::NonCached, bytes, Reach::up_to(PHYSICAL_END)))
    }

    /// `VOID MmFreeNonCachedMemory(PVOID, SIZE_T)`
    ///
    /// Frees what [`Kernel::mm_allocate_non_cached_memory`] allocated.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `BAD_FREE` for another address (then bug check 0xC2) or size.
    /// - Source: WDK reference, ntddk.MmFreeNonCachedMemory.
    pub fn mm_free_non_cached_memory(&self, address: u64, bytes: u64) -> Ddi<()> {
        self.free_run(RunKind::NonCached, address, Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, Stop};

    fn bench() -> Bench {
        Bench::new(Config::default())
    }

    #[test]
    fn memory_is_below_the_highest_address_also_for_24_address_lines() {
        let bench = bench();
        let below = |highest: u64| {
            let address = bench
                .kernel
                .mm_allocate_contiguous_memory(0x2000, highest)
                .unwrap();
            layout::physical(address)
        };
        assert_eq!(below(u64::MAX), Some(0x100_0000));
        assert_eq!(below(0xFF_FFFF), Some(0x10_0000));
        assert_eq!(below(0x10_3FFF), Some(0x10_2000));
        assert_eq!(below(0x10_3FFF), None);
    }

    #[test]
    fn memory_crosses_no_boundary() {
        let kernel = bench().kernel;
        let allocate = |boundary| {
            let address = kernel.mm_allocate_contiguous_memory_specify_cache(
                0x3000,
                0,
                u64::MAX,
                boundary,
                1,
            );
            layout::physical(address.unwrap())
        };
        assert_eq!(allocate(0x4000), Some(0x100_0000));
        assert_eq!(allocate(0x4000), Some(0x100_4000));
        assert_eq!(allocate(0x2000), None);
        assert_eq!(allocate(0x3000), None);
    }

    #[test]
    fn a_free_is_of_the_same_kind_address_and_size() {
        let bench = bench();
        let kernel = &bench.kernel;
        let address = kernel.mm_allocate_non_cached_memory(0x1001).unwrap();
        kernel.write_bytes(address + 0x1FFF, &[1]).unwrap();
        let wrong = kernel.mm_free_contiguous_memory(address);
        assert_eq!(
            wrong,
            Err(Stop::BugCheck(BugCheck::new(0xC2, [0x60, address, 0, 0])))
        );
        kernel.mm_free_non_cached_memory(address, 0x1000).unwrap();
        assert_eq!(bench.rules(), [ids::BAD_FREE; 2]);
        assert!(kernel.read_bytes(address, 1).is_err());
        assert_eq!(kernel.mm_allocate_non_cached_memory(0), Ok(0));
        assert_eq!(kernel.mm_allocate_non_cached_memory(u64::MAX), Ok(0));
    }

    #[test]
    fn the_newest_routine_says_why_there_is_no_memory() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (bytes, base) = (
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::<u64>::new(bench.variable(8)),
        );
        let allocate = |count: u64, highest: u64, protect: u32| {
            kernel.write(bytes, count).unwrap();
            kernel
                .mm_allocate_contiguous_memory_ex(bytes, [0, highest, 0], protect, base)
                .unwrap()
        };
        assert_eq!(allocate(0, u64::MAX, 4), NtStatus::INVALID_PARAMETER);
        assert_eq!(allocate(8, u64::MAX, 3), NtStatus::INVALID_PAGE_PROTECTION);
        assert_eq!(allocate(8, 0, 4), NtStatus::INSUFFICIENT_RESOURCES);
        assert_eq!(allocate(8, u64::MAX, 0x204), NtStatus::SUCCESS);
        let address = kernel.read(base).unwrap();
        kernel.mm_free_contiguous_memory(address).unwrap();
        assert!(bench.rules().is_empty());
    }
}
