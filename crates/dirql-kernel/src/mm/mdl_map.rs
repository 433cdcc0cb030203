//! System addresses for the pages of an MDL.
//!
//! Physical pages have one virtual address each ([`layout`]), so an MDL whose page frame numbers
//! follow each other is already mapped and gets that address; the memory of a user's buffer gets
//! the user's address.
//!
//! Not modelled: page frame numbers that do not follow each other, which no routine here makes;
//! mapping such an MDL fails.
//!
//! Source: WDK reference, wdm.MmMapLockedPagesSpecifyCache, wdm.MmUnmapLockedPages,
//! wdm.MmAllocateMappingAddress, wdm.MmMapLockedPagesWithReservedMapping.

use alloc::collections::BTreeMap;
use alloc::format;

use dirql_abi::memory::{Mdl, mdl_flags};
use dirql_rules::{BugCheck, Place, ids};

use super::layout::{self, PAGE};
use super::mdl::{frame_at, pages};
use super::page_runs::{Limits, PageRuns};
use crate::{Ddi, DriverPtr, Kernel};

/// Where each MDL was mapped, by the MDL's address.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    places: BTreeMap<u64, Place>,
}

/// A range of addresses that a driver has reserved.
#[derive(Debug)]
struct Reservation {
    tag: u32,
    pages: u64,
    place: Place,
    /// The MDL that is mapped with it.
    mdl: Option<u64>,
}

/// Reserved ranges by their first address.
#[derive(Debug)]
pub(super) struct Reserved {
    runs: PageRuns,
    live: BTreeMap<u64, Reservation>,
}

impl Default for Reserved {
    fn default() -> Self {
        Self {
            runs: PageRuns::new(layout::RESERVED),
            live: BTreeMap::new(),
        }
    }
}

impl Reserved {
    pub(super) fn live(&self) -> impl Iterator<Item = (u64, u64, &Place)> {
        self.live
            .iter()
            .map(|(address, one)| (*address, one.pages * PAGE, &one.place))
    }
}

impl Kernel {
    /// The address at which the pages of an MDL are visible.
    fn address_of_frames(&self, mdl: DriverPtr<Mdl>, value: &Mdl) -> Ddi<Option<u64>> {
        let first: u64 = self.read(frame_at(mdl, 0))?;
        for index in 1..pages(value) {
            if self.read(frame_at(mdl, index))? != first.wrapping_add(index) {
                return Ok(None);
            }
        }
        let page = first.checked_mul(PAGE).and_then(layout::virtual_address);
        Ok(page.map(|page| page + u64::from(value.byte_offset % PAGE as u32)))
    }

    /// `PVOID MmMapLockedPagesSpecifyCache(PMDL, KPROCESSOR_MODE, MEMORY_CACHING_TYPE, PVOID Requested, ULONG BugCheckOnFailure, ULONG Priority)`
    ///
    /// Gives the pages of an MDL a system address. Into user mode they are mapped at the same
    /// address, because there is one address space.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for user mode.
    /// - Returns: the address, with the MDL's byte offset, or NULL.
    /// - Findings: `MDL_STATE` if the pages are not locked, or mapped already.
    /// - Source: WDK reference, wdm.MmMapLockedPagesSpecifyCache.
    pub fn mm_map_locked_pages_specify_cache(
        &self,
        mdl: DriverPtr<Mdl>,
        mode: u8,
        _cache_type: u32,
        _requested: u64,
        _bug_check: u32,
        _priority: u32,
    ) -> Ddi<u64> {
        let mut value = self.read(mdl)?;
        let resident = mdl_flags::MDL_PAGES_LOCKED
            | mdl_flags::MDL_PARTIAL
            | mdl_flags::MDL_SOURCE_IS_NONPAGED_POOL
            | mdl_flags::MDL_IO_SPACE;
        if value.mdl_flags & resident == 0 {
            let message = format!(
                "the MDL at {:#x} was mapped; its pages are not locked",
                mdl.address()
            );
            self.find(ids::MDL_STATE, message, None)?;
            return Ok(0);
        }
        let Some(address) = self.address_of_frames(mdl, &value)? else {
            return Ok(0);
        };
        if mode != 0 {
            return Ok(address);
        }
        if value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA != 0 {
            let message = format!("the MDL at {:#x} was mapped a second time", mdl.address());
            let earlier = self.mm.mapped.borrow().places.get(&mdl.address()).cloned();
            self.find(
                ids::MDL_STATE,
                message,
                earlier.map(|place| ("mapped here".into(), place)),
            )?;
        }
        value.mapped_system_va = address;
        value.mdl_flags |= mdl_flags::MDL_MAPPED_TO_SYSTEM_VA;
        if value.mdl_flags & mdl_flags::MDL_PARTIAL != 0 {
            value.mdl_flags |= mdl_flags::MDL_PARTIAL_HAS_BEEN_MAPPED;
        }
        self.write(mdl, value)?;
        let place = self.here();
        self.mm
            .mapped
            .borrow_mut()
            .places
            .insert(mdl.address(), place);
        Ok(address)
    }

    /// `PVOID MmMapLockedPages(PMDL, KPROCESSOR_MODE)`
    ///
    /// As [`Kernel::mm_map_locked_pages_specify_cache`]; where that one returns NULL, this one
    /// stops the system.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.MmMapLockedPages, Remarks.
    ///
    /// # Errors
    /// Bug check 0x3F (NO_MORE_SYSTEM_PTES).
    pub fn mm_map_locked_pages(&self, mdl: DriverPtr<Mdl>, mode: u8) -> Ddi<u64> {
        match self.mm_map_locked_pages_specify_cache(mdl, mode, 1, 0, 1, 32)? {
            0 => Err(BugCheck::new(0x3F, [0; 4]).into()),
            address => Ok(address),
        }
    }

    /// `VOID MmUnmapLockedPages(PVOID, PMDL)`
    ///
    /// Ends a mapping.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for user mode.
    /// - Findings: `MDL_STATE` if the MDL is not mapped at this address.
    /// - Source: WDK reference, wdm.MmUnmapLockedPages.
    pub fn mm_unmap_locked_pages(&self, address: u64, mdl: DriverPtr<Mdl>) -> Ddi<()> {
        let mut value = self.read(mdl)?;
        let mapped = value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA != 0;
        if !mapped && self.address_of_frames(mdl, &value)? == Some(address) {
            // A mapping into user mode, of which the MDL knows nothing.
            return Ok(());
        }
        if !mapped || value.mapped_system_va != address {
            let message = format!(
                "the MDL at {:#x} was unmapped from {address:#x}, where it is not mapped",
                mdl.address()
            );
            return self.find(ids::MDL_STATE, message, None);
        }
        value.mdl_flags &= !(mdl_flags::MDL_MAPPED_TO_SYSTEM_VA
            | mdl_flags::MDL_PARTIAL_HAS_BEEN_MAPPED
            | mdl_flags::MDL_PARENT_MAPPED_SYSTEM_VA);
        self.write(mdl, value)?;
        self.mm.mapped.borrow_mut().places.remove(&mdl.address());
        self.unprotect_mdl_pages(mdl, &value)
    }

    /// `PVOID MmAllocateMappingAddress(SIZE_T, ULONG Tag)`
    ///
    /// Reserves addresses for later mappings.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the first of them, or NULL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.MmAllocateMappingAddress.
    pub fn mm_allocate_mapping_address(&self, bytes: u64, tag: u32) -> Ddi<u64> {
        let place = self.here();
        let pages = bytes.div_ceil(PAGE);
        let mut reserved = self.mm.reserved.borrow_mut();
        let Some(address) = reserved.runs.allocate(pages, Limits::NONE) else {
            return Ok(0);
        };
        reserved.live.insert(
            address,
            Reservation {
                tag,
                pages,
                place,
                mdl: None,
            },
        );
        Ok(address)
    }

    /// `VOID MmFreeMappingAddress(PVOID, ULONG Tag)`
    ///
    /// Gives reserved addresses back.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `BAD_FREE` if they are not reserved with this tag, or still used.
    /// - Source: WDK reference, wdm.MmFreeMappingAddress; "Bug Check 0xDA", parameter 1 of
    ///   0x101 and 0x102.
    ///
    /// # Errors
    /// Bug check 0xDA after the finding.
    pub fn mm_free_mapping_address(&self, address: u64, tag: u32) -> Ddi<()> {
        let problem = match self.mm.reserved.borrow().live.get(&address) {
            None => Some((0x101, "which is not reserved")),
            Some(one) if one.tag != tag => Some((0x101, "which has another tag")),
            Some(one) if one.mdl.is_some() => Some((0x102, "with which an MDL is still mapped")),
            Some(_) => None,
        };
        if let Some((code, problem)) = problem {
            let message = format!("the reserved address {address:#x} was freed, {problem}");
            self.find(ids::BAD_FREE, message, None)?;
            return Err(BugCheck::new(0xDA, [code, address, tag.into(), 0]).into());
        }
        let mut reserved = self.mm.reserved.borrow_mut();
        if let Some(one) = reserved.live.remove(&address) {
            reserved.runs.free(address, one.pages);
        }
        Ok(())
    }

    /// `PVOID MmMapLockedPagesWithReservedMapping(PVOID, ULONG Tag, PMDL, MEMORY_CACHING_TYPE)`
    ///
    /// Maps an MDL with reserved addresses. The pages keep the one address that they have; it
    /// is not the reserved one.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the address, or NULL if the MDL needs more pages than are reserved.
    /// - Findings: `MDL_STATE` if the addresses are not reserved with this tag, or in use.
    /// - Source: WDK reference, wdm.MmMapLockedPagesWithReservedMapping.
    pub fn mm_map_locked_pages_with_reserved_mapping(
        &self,
        address: u64,
        tag: u32,
        mdl: DriverPtr<Mdl>,
        cache_type: u32,
    ) -> Ddi<u64> {
        let value = self.read(mdl)?;
        let reserved = self.mm.reserved.borrow();
        let known = reserved
            .live
            .get(&address)
            .filter(|one| one.tag == tag && one.mdl.is_none());
        let room = known.map(|one| one.pages);
        drop(reserved);
        let Some(room) = room else {
            let message = format!("{address:#x} is no free reserved address with this tag");
            self.find(ids::MDL_STATE, message, None)?;
            return Ok(0);
        };
        if pages(&value) > room {
            return Ok(0);
        }
        let mapped = self.mm_map_locked_pages_specify_cache(mdl, 0, cache_type, 0, 0, 16)?;
        if mapped != 0
            && let Some(one) = self.mm.reserved.borrow_mut().live.get_mut(&address)
        {
            one.mdl = Some(mdl.address());
        }
        Ok(mapped)
    }

    /// `VOID MmUnmapReservedMapping(PVOID, ULONG Tag, PMDL)`
    ///
    /// Ends a mapping made with reserved addresses; they stay reserved.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `MDL_STATE` if the MDL is not mapped with them.
    /// - Source: WDK reference, wdm.MmUnmapReservedMapping.
    pub fn mm_unmap_reserved_mapping(
        &self,
        address: u64,
        tag: u32,
        mdl: DriverPtr<Mdl>,
    ) -> Ddi<()> {
        let mut reserved = self.mm.reserved.borrow_mut();
        let known = reserved.live.get_mut(&address).filter(|one| one.tag == tag);
        let mapped = known.and_then(|one| one.mdl.take_if(|held| *held == mdl.address()));
        drop(reserved);
        if mapped.is_none() {
            let message = format!(
                "the MDL at {:#x} is not mapped with {address:#x}",
                mdl.address()
            );
            return self.find(ids::MDL_STATE, message, None);
        }
        let value = self.read(mdl)?;
        self.mm_unmap_locked_pages(value.mapped_system_va, mdl)
    }
}
