//! Locking the pages of an MDL, and pages that only an MDL describes.
//!
//! Nothing is paged out here, so locking changes no memory; what it is for is the question
//! whether a driver locks before it uses, unlocks once, and touches only what it may.
//!
//! Source: WDK reference, wdm.MmProbeAndLockPages, wdm.MmUnlockPages,
//! wdm.MmAllocatePagesForMdl; "Bug Check 0x4E: PFN_LIST_CORRUPT".

use alloc::collections::BTreeMap;
use alloc::format;

use dirql_abi::NtStatus;
use dirql_abi::memory::{Mdl, lock_operation, mdl_flags};
use dirql_rules::{BugCheck, Place, ids};

use super::contiguous::{Reach, RunKind};
use super::layout::{self, PAGE, page_of};
use super::mdl::{frame_at, pages, virtual_address};
use crate::{Ddi, DriverPtr, Kernel, Stop};

/// Where the pages of each MDL were locked, by the MDL's address.
#[derive(Debug, Default)]
pub(super) struct Locked {
    places: BTreeMap<u64, Place>,
}

impl Locked {
    pub(super) fn live(&self) -> impl Iterator<Item = (u64, &Place)> {
        self.places.iter().map(|(mdl, place)| (*mdl, place))
    }
}

impl Kernel {
    /// Forgets that the pages of an MDL are locked; where they were, if they are.
    pub(super) fn forget_lock_of(&self, mdl: u64) -> Option<Place> {
        self.mm.locked.borrow_mut().places.remove(&mdl)
    }

    /// `VOID MmProbeAndLockPages(PMDL, KPROCESSOR_MODE, LOCK_OPERATION)`
    ///
    /// Makes sure that the caller's mode may read (for a read) or write (else) all of the
    /// range, and enters its page frame numbers.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for pageable memory.
    /// - Findings: `MDL_STATE` for an MDL that is locked or built already; `POOL_LEVEL` for
    ///   pageable memory above APC_LEVEL.
    /// - Source: WDK reference, wdm.MmProbeAndLockPages.
    ///
    /// # Errors
    /// Raises `STATUS_ACCESS_VIOLATION` if the range is not accessible so.
    pub fn mm_probe_and_lock_pages(
        &self,
        mdl: DriverPtr<Mdl>,
        mode: u8,
        operation: u32,
    ) -> Ddi<()> {
        let mut value = self.read(mdl)?;
        self.check_before_lock(mdl, &value)?;
        let writes = operation != lock_operation::IoReadAccess;
        self.probe(&value, mode, writes)?;
        self.write_frames(mdl, &value)?;
        value.mdl_flags |= mdl_flags::MDL_PAGES_LOCKED;
        if writes {
            value.mdl_flags |= mdl_flags::MDL_WRITE_OPERATION;
        }
        value.process = if virtual_address(&value) <= layout::HIGHEST_USER_ADDRESS {
            self.current_process()
        } else {
            0
        };
        self.write(mdl, value)?;
        let place = self.here();
        self.mm
            .locked
            .borrow_mut()
            .places
            .insert(mdl.address(), place);
        Ok(())
    }

    fn check_before_lock(&self, mdl: DriverPtr<Mdl>, value: &Mdl) -> Ddi<()> {
        let in_use = mdl_flags::MDL_PAGES_LOCKED
            | mdl_flags::MDL_MAPPED_TO_SYSTEM_VA
            | mdl_flags::MDL_SOURCE_IS_NONPAGED_POOL
            | mdl_flags::MDL_PARTIAL
            | mdl_flags::MDL_IO_SPACE;
        if value.mdl_flags & in_use != 0 {
            let flags = value.mdl_flags;
            let message = format!(
                "pages of the MDL at {:#x}, which is in use (flags {flags:#06x}), were locked",
                mdl.address()
            );
            let earlier = self.mm.locked.borrow().places.get(&mdl.address()).cloned();
            self.find(
                ids::MDL_STATE,
                message,
                earlier.map(|place| ("locked here".into(), place)),
            )?;
        }
        let address = virtual_address(value);
        let pageable = self.is_paged_pool(address) || layout::USER.contains(&address);
        if pageable && self.irql() > dirql_abi::Irql::APC {
            let message = format!(
                "pageable memory at {address:#x} was locked at {}",
                self.irql()
            );
            self.find(ids::POOL_LEVEL, message, None)?;
        }
        Ok(())
    }

    /// One byte of each page is read, and written back if it is to be written.
    fn probe(&self, mdl: &Mdl, mode: u8, writes: bool) -> Ddi<()> {
        let start = virtual_address(mdl);
        let end = start.wrapping_add(u64::from(mdl.byte_count));
        let violation = |address: u64| {
            let parameters = [u64::from(writes), address, 0, 0];
            Stop::Exception {
                code: NtStatus::ACCESS_VIOLATION,
                parameters,
            }
        };
        if end < start || (mode != 0 && end > layout::HIGHEST_USER_ADDRESS) {
            return Err(violation(start));
        }
        for index in 0..pages(mdl) {
            let address = if index == 0 {
                start
            } else {
                page_of(start) + index * PAGE
            };
            if layout::DEVICE.contains(&address) && self.is_io_space_mapped(address) {
                continue;
            }
            let mut byte = [0];
            let read = self.platform().read(address, &mut byte);
            let written = if writes {
                self.platform().write(address, &byte)
            } else {
                Ok(())
            };
            if read.and(written).is_err() {
                return Err(violation(address));
            }
        }
        Ok(())
    }

    /// `VOID MmUnlockPages(PMDL)`
    ///
    /// Undoes [`Kernel::mm_probe_and_lock_pages`], and the mapping if there is one.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `MDL_STATE` if the pages are not locked.
    /// - Source: WDK reference, wdm.MmUnlockPages; Bug Check 0x4E, parameter 1 of 0x7.
    ///
    /// # Errors
    /// Bug check 0x4E if the pages are not locked.
    pub fn mm_unlock_pages(&self, mdl: DriverPtr<Mdl>) -> Ddi<()> {
        let value = self.read(mdl)?;
        if self.forget_lock_of(mdl.address()).is_none() {
            let message = format!(
                "pages of the MDL at {:#x} were unlocked, which are not locked",
                mdl.address()
            );
            self.find(ids::MDL_STATE, message, None)?;
            let frame = self.read(frame_at(mdl, 0))?;
            return Err(BugCheck::new(0x4E, [0x7, frame, 0, 0]).into());
        }
        if value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA != 0 {
            self.mm_unmap_locked_pages(value.mapped_system_va, mdl)?;
        }
        let mut value = self.read(mdl)?;
        value.mdl_flags &= !(mdl_flags::MDL_PAGES_LOCKED | mdl_flags::MDL_WRITE_OPERATION);
        self.write(mdl, value)?;
        Ok(())
    }

    /// `PMDL MmAllocatePagesForMdl(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, SIZE_T)`,
    /// and `MmAllocatePagesForMdlEx`, whose further arguments make no difference here
    ///
    /// Allocates zeroed pages without a virtual address, locked, and an MDL for them. They are
    /// contiguous here, and all or none.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the MDL, to be freed with ExFreePool after [`Kernel::mm_free_pages_from_mdl`];
    ///   or NULL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.MmAllocatePagesForMdl.
    pub fn mm_allocate_pages_for_mdl(
        &self,
        low: u64,
        high: u64,
        _skip: u64,
        bytes: u64,
    ) -> Ddi<DriverPtr<Mdl>> {
        let Some(bytes) = bytes
            .checked_next_multiple_of(PAGE)
            .filter(|bytes| *bytes <= 0xFFFF_F000)
        else {
            return Ok(DriverPtr::NULL);
        };
        let reach = Reach {
            lowest: low,
            highest: high,
            boundary: 0,
        };
        let run = self.allocate_run(RunKind::MdlPages, bytes, reach);
        let Some(first) = layout::physical(run) else {
            return Ok(DriverPtr::NULL);
        };
        let mdl = self.new_mdl(0, 0, bytes as u32, bytes / PAGE)?;
        if mdl.is_null() {
            self.free_run(RunKind::MdlPages, run, None)?;
            return Ok(mdl);
        }
        for index in 0..bytes / PAGE {
            self.write(frame_at(mdl, index), first / PAGE + index)?;
        }
        self.write(crate::at!(mdl, Mdl, mdl_flags), mdl_flags::MDL_PAGES_LOCKED)?;
        Ok(mdl)
    }

    /// `VOID MmFreePagesFromMdl(PMDL)`
    ///
    /// Frees the pages of an MDL from [`Kernel::mm_allocate_pages_for_mdl`], not the MDL.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `BAD_FREE` if its pages are not from there.
    /// - Source: WDK reference, wdm.MmFreePagesFromMdl.
    ///
    /// # Errors
    /// Bug check 0xC2 with 0x60 after the finding.
    pub fn mm_free_pages_from_mdl(&self, mdl: DriverPtr<Mdl>) -> Ddi<()> {
        let mut value = self.read(mdl)?;
        if value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA != 0 {
            self.mm_unmap_locked_pages(value.mapped_system_va, mdl)?;
            value = self.read(mdl)?;
        }
        let frame: u64 = self.read(frame_at(mdl, 0))?;
        let run = frame
            .checked_mul(PAGE)
            .and_then(layout::virtual_address)
            .unwrap_or(0);
        self.free_run(RunKind::MdlPages, run, Some(value.byte_count.into()))?;
        value.mdl_flags &= !mdl_flags::MDL_PAGES_LOCKED;
        self.write(mdl, value)?;
        Ok(())
    }
}
