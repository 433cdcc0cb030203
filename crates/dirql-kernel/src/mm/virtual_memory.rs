//! Memory of the process, by ZwAllocateVirtualMemory.
//!
//! There is one process, the system's. Its user part is [`layout::USER`]; pages are given at
//! addresses of ours, whole.
//!
//! Not modelled: reserving without committing (pages are committed at once), a wanted address,
//! guard pages.
//!
//! Source: WDK reference, ntifs.ZwAllocateVirtualMemory, ntifs.ZwFreeVirtualMemory.

use alloc::collections::BTreeMap;

use dirql_abi::NtStatus;

use super::layout::{self, PAGE};
use super::page_runs::{Limits, PageRuns};
use crate::ob::ObjectKind;
use crate::platform::Access;
use crate::{Ddi, DriverPtr, Kernel};

/// MEM_COMMIT and MEM_RESERVE; MEM_DECOMMIT and MEM_RELEASE.
const COMMIT: u32 = 0x1000;
const RESERVE: u32 = 0x2000;
const DECOMMIT: u32 = 0x4000;
const RELEASE: u32 = 0x8000;

/// Allocations begin at multiples of this.
const GRANULARITY: u64 = 0x1_0000;

/// `PAGE_...` of the low byte: what a page may be used for.
pub(super) const fn access(protect: u32) -> Option<Access> {
    Some(match protect & 0xFF {
        0x01 => Access::None,
        0x02 => Access::Read,
        0x04 | 0x08 => Access::ReadWrite,
        0x10 | 0x20 => Access::ReadExecute,
        0x40 | 0x80 => Access::ReadWriteExecute,
        _ => return None,
    })
}

/// What of the process's addresses is given out.
#[derive(Debug)]
pub(super) struct ProcessPages {
    runs: PageRuns,
    /// How many pages begin at each address.
    live: BTreeMap<u64, u64>,
}

impl Default for ProcessPages {
    fn default() -> Self {
        Self {
            runs: PageRuns::new(layout::PROCESS),
            live: BTreeMap::new(),
        }
    }
}

impl ProcessPages {
    fn take(&mut self, pages: u64) -> Option<u64> {
        let limits = Limits {
            alignment: GRANULARITY,
            ..Limits::NONE
        };
        let address = self.runs.allocate(pages, limits)?;
        self.live.insert(address, pages);
        Some(address)
    }

    fn give_back(&mut self, address: u64) {
        if let Some(pages) = self.live.remove(&address) {
            self.runs.free(address, pages);
        }
    }
}

impl Kernel {
    /// `NTSTATUS ZwAllocateVirtualMemory(HANDLE Process, PVOID *BaseAddress, ULONG_PTR ZeroBits,
    /// PSIZE_T RegionSize, ULONG AllocationType, ULONG Protect)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the pages, zeroed; INVALID_HANDLE for another process than the current one,
    ///   INVALID_PARAMETER_4 and 5, INVALID_PAGE_PROTECTION, NO_MEMORY; CONFLICTING_ADDRESSES for
    ///   an address of the caller's.
    /// - Source: WDK reference, ntifs.ZwAllocateVirtualMemory.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_allocate_virtual_memory(
        &self,
        process: u64,
        base: DriverPtr<u64>,
        size: DriverPtr<u64>,
        kind: u32,
        protect: u32,
    ) -> Ddi<NtStatus> {
        let (wanted, bytes) = (self.read(base)?, self.read(size)?);
        if !self.is_own_process(process) {
            return Ok(NtStatus::INVALID_HANDLE);
        }
        let Some(access) = access(protect) else {
            return Ok(NtStatus::INVALID_PAGE_PROTECTION);
        };
        if kind & (COMMIT | RESERVE) == 0 {
            return Ok(NtStatus::INVALID_PARAMETER_5);
        }
        if bytes == 0 {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        if wanted != 0 {
            return Ok(NtStatus::CONFLICTING_ADDRESSES);
        }
        let Some((address, bytes)) = self.take_process_pages(bytes, access) else {
            return Ok(NtStatus::NO_MEMORY);
        };
        self.write(base, address)?;
        self.write(size, bytes)?;
        Ok(NtStatus::SUCCESS)
    }

    /// Whether a handle is one to a process; they share an address space.
    pub(super) fn is_own_process(&self, process: u64) -> bool {
        self.ob_of_handle(process)
            .is_some_and(|object| self.ob_kind(object) == Some(ObjectKind::Process))
    }

    /// Pages of the process for so many bytes: their address, and their size.
    pub(super) fn take_process_pages(&self, bytes: u64, access: Access) -> Option<(u64, u64)> {
        let pages = bytes.div_ceil(PAGE);
        let address = self.mm.process.borrow_mut().take(pages)?;
        let bytes = pages * PAGE;
        self.platform().protect(address..address + bytes, access);
        Some((address, bytes))
    }

    /// The reverse of [`Kernel::take_process_pages`].
    pub(super) fn give_process_pages_back(&self, address: u64) {
        let pages = self.mm.process.borrow().live.get(&address).copied();
        let region = address..address + pages.unwrap_or(0) * PAGE;
        self.platform().protect(region.clone(), Access::None);
        self.platform().discard(region);
        self.mm.process.borrow_mut().give_back(address);
    }

    /// `NTSTATUS ZwFreeVirtualMemory(HANDLE Process, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG
    /// FreeType)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, INVALID_PARAMETER_4 for another type; MEMORY_NOT_ALLOCATED for an
    ///   address at which no allocation begins; FREE_VM_NOT_AT_BASE if the size is neither 0 nor
    ///   that of the whole; INVALID_PAGE_PROTECTION for memory that a driver has secured.
    /// - Source: WDK reference, ntifs.ZwFreeVirtualMemory.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_free_virtual_memory(
        &self,
        process: u64,
        base: DriverPtr<u64>,
        size: DriverPtr<u64>,
        kind: u32,
    ) -> Ddi<NtStatus> {
        let (address, bytes) = (self.read(base)?, self.read(size)?);
        if !self.is_own_process(process) {
            return Ok(NtStatus::INVALID_HANDLE);
        }
        if kind != DECOMMIT && kind != RELEASE {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        let known = self.mm.process.borrow().live.get(&address).copied();
        let Some(pages) = known else {
            return Ok(NtStatus::MEMORY_NOT_ALLOCATED);
        };
        if bytes != 0 && bytes.div_ceil(PAGE) != pages {
            return Ok(NtStatus::FREE_VM_NOT_AT_BASE);
        }
        let region = address..address + pages * PAGE;
        if self.mm.secured.borrow().covers(&region) {
            return Ok(NtStatus::INVALID_PAGE_PROTECTION);
        }
        self.platform().protect(region.clone(), Access::None);
        self.platform().discard(region);
        if kind == RELEASE {
            self.mm.process.borrow_mut().give_back(address);
        }
        self.write(size, pages * PAGE)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn pages_of_the_process_come_and_go_whole() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (base, size) = (
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::<u64>::new(bench.variable(8)),
        );
        kernel.write(size, 0x1001_u64).unwrap();
        let allocate = |kind| kernel.zw_allocate_virtual_memory(u64::MAX, base, size, kind, 4);
        assert_eq!(allocate(0), Ok(NtStatus::INVALID_PARAMETER_5));
        assert_eq!(allocate(COMMIT | RESERVE), Ok(NtStatus::SUCCESS));
        let address = kernel.read(base).unwrap();
        assert!(address.is_multiple_of(GRANULARITY));
        assert_eq!(kernel.read(size), Ok(0x2000));
        kernel.write_bytes(address + 0x1FFF, &[1]).unwrap();
        assert_eq!(allocate(COMMIT), Ok(NtStatus::CONFLICTING_ADDRESSES));
        kernel.write(size, 0_u64).unwrap();
        let free = || kernel.zw_free_virtual_memory(u64::MAX, base, size, RELEASE);
        assert_eq!(free(), Ok(NtStatus::SUCCESS));
        assert!(kernel.read_bytes(address, 1).is_err());
        assert_eq!(free(), Ok(NtStatus::MEMORY_NOT_ALLOCATED));
    }
}
