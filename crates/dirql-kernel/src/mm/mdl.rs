//! Memory descriptor lists: making them and saying what they describe.
//!
//! An MDL lies in driver-visible memory and drivers read and set its members, so it is the truth
//! about itself; what is kept besides is where its pages were locked ([`super::mdl_lock`]).
//!
//! Source: WDK reference, "Using MDLs", wdm.IoAllocateMdl, wdm.IoBuildPartialMdl,
//! wdm.MmBuildMdlForNonPagedPool; "Bug Check 0x40: TARGET_MDL_TOO_SMALL".

use alloc::format;

use dirql_abi::irp::Irp;
use dirql_abi::memory::{Mdl, mdl_flags};
use dirql_abi::{NtStatus, is_true};
use dirql_rules::{BugCheck, ids};

use super::layout::{self, PAGE, page_of, pages_spanned};
use crate::{Ddi, DriverPtr, Kernel, at};

/// Tag of the pool that MDLs are in.
pub(super) const MDL_TAG: u32 = u32::from_le_bytes(*b"Mdl ");

/// Most bytes that an MDL describes: 4 GiB less a page.
const MAX_BYTES: u64 = 0xFFFF_F000;

/// MDLs that a driver can chain before the chain is taken for a loop.
const MAX_CHAIN: u32 = 0x1_0000;

/// `MmGetMdlVirtualAddress`.
pub(crate) fn virtual_address(mdl: &Mdl) -> u64 {
    mdl.start_va.wrapping_add(u64::from(mdl.byte_offset))
}

/// Number of page frame numbers behind an MDL that are in use.
pub(super) fn pages(mdl: &Mdl) -> u64 {
    Mdl::pages(mdl.byte_offset, mdl.byte_count)
}

/// The page frame number of page `index`.
pub(crate) fn frame_at(mdl: DriverPtr<Mdl>, index: u64) -> DriverPtr<u64> {
    DriverPtr::new(
        mdl.address()
            .wrapping_add(size_of::<Mdl>() as u64 + 8 * index),
    )
}

impl Kernel {
    /// `PMDL IoAllocateMdl(PVOID, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota, PIRP)`
    ///
    /// Allocates an MDL for a range and, if an IRP is given, puts it at the front of the IRP's
    /// MDLs, or with `SecondaryBuffer` at their end.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the MDL, or NULL for more than 4 GiB less a page, or without pool.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.IoAllocateMdl.
    pub fn io_allocate_mdl(
        &self,
        address: u64,
        length: u32,
        secondary: u8,
        _charge_quota: u8,
        irp: DriverPtr<Irp>,
    ) -> Ddi<DriverPtr<Mdl>> {
        if u64::from(length) > MAX_BYTES {
            return Ok(DriverPtr::NULL);
        }
        let pages = pages_spanned(address, length.into());
        let mdl = self.new_mdl(page_of(address), (address % PAGE) as u32, length, pages)?;
        if mdl.is_null() || irp.is_null() {
            return Ok(mdl);
        }
        let first = at!(irp, Irp, mdl_address);
        let link = if is_true(secondary) {
            self.end_of_chain(first)?
        } else {
            first
        };
        self.write(link, mdl.address())?;
        Ok(mdl)
    }

    /// The empty link at the end of the MDLs that begin at `first`.
    fn end_of_chain(&self, first: DriverPtr<u64>) -> Ddi<DriverPtr<u64>> {
        let mut link = first;
        for _ in 0..MAX_CHAIN {
            let next = DriverPtr::<Mdl>::new(self.read(link)?);
            if next.is_null() {
                break;
            }
            link = at!(next, Mdl, next);
        }
        Ok(link)
    }

    /// An MDL in nonpaged pool whose page frame numbers are not set; NULL without pool.
    pub(super) fn new_mdl(
        &self,
        start_va: u64,
        byte_offset: u32,
        byte_count: u32,
        pages: u64,
    ) -> Ddi<DriverPtr<Mdl>> {
        let size = size_of::<Mdl>() as u64 + 8 * pages;
        let mdl = DriverPtr::new(self.pool_allocate(0, size, MDL_TAG)?);
        if mdl.is_null() {
            return Ok(mdl);
        }
        let value = Mdl {
            next: 0,
            // Like the original this is cut off above 4089 pages.
            size: size as i16,
            mdl_flags: 0,
            padding12: 0,
            process: 0,
            mapped_system_va: 0,
            start_va,
            byte_count,
            byte_offset,
        };
        self.write(mdl, value)?;
        Ok(mdl)
    }

    /// `VOID IoFreeMdl(PMDL)`
    ///
    /// Frees an MDL; the mapping of a partial one ends with it.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `MDL_STATE` if its pages are locked; those of `Kernel::pool_free`.
    /// - Source: WDK reference, wdm.IoFreeMdl.
    pub fn io_free_mdl(&self, mdl: DriverPtr<Mdl>) -> Ddi<()> {
        let value = self.read(mdl)?;
        if value.mdl_flags & mdl_flags::MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
            self.mm_unmap_locked_pages(value.mapped_system_va, mdl)?;
        }
        if let Some(place) = self.forget_lock_of(mdl.address()) {
            let message = format!(
                "the MDL at {:#x} was freed while its pages are locked",
                mdl.address()
            );
            self.find(ids::MDL_STATE, message, Some(("locked here".into(), place)))?;
        }
        self.pool_free(mdl.address(), Some(MDL_TAG))
    }

    /// `VOID IoBuildPartialMdl(PMDL Source, PMDL Target, PVOID, ULONG Length)`
    ///
    /// Makes `target` describe a part of what `source` describes: `length` bytes from
    /// `address` on, or with 0 everything from there on. The target takes over the source's
    /// mapping.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `MDL_STATE` if the part is not inside the source.
    /// - Source: WDK reference, wdm.IoBuildPartialMdl.
    ///
    /// # Errors
    /// Bug check 0x40 if the target has too few page frame numbers.
    pub fn io_build_partial_mdl(
        &self,
        source: DriverPtr<Mdl>,
        target: DriverPtr<Mdl>,
        address: u64,
        length: u32,
    ) -> Ddi<()> {
        let from = self.read(source)?;
        let mut to = self.read(target)?;
        let offset = address.wrapping_sub(virtual_address(&from));
        let left = u64::from(from.byte_count).checked_sub(offset);
        let Some(left) = left.filter(|left| u64::from(length) <= *left) else {
            let message = format!(
                "a partial MDL of {length} bytes at {address:#x} is not inside the {} bytes at {:#x}",
                from.byte_count,
                virtual_address(&from)
            );
            return Err(self.refuse(ids::MDL_STATE, message, None));
        };
        to.process = from.process;
        to.start_va = page_of(address);
        to.byte_offset = (address % PAGE) as u32;
        to.byte_count = if length == 0 { left as u32 } else { length };
        let room = (i64::from(to.size) - size_of::<Mdl>() as i64) / 8;
        if room < pages(&to) as i64 {
            return Err(BugCheck::new(0x40, [0; 4]).into());
        }
        let kept = mdl_flags::MDL_ALLOCATED_FIXED_SIZE | mdl_flags::MDL_ALLOCATED_MUST_SUCCEED;
        let inherited = mdl_flags::MDL_SOURCE_IS_NONPAGED_POOL
            | mdl_flags::MDL_MAPPED_TO_SYSTEM_VA
            | mdl_flags::MDL_IO_PAGE_READ
            | mdl_flags::MDL_WRITE_OPERATION;
        to.mdl_flags =
            (to.mdl_flags & kept) | (from.mdl_flags & inherited) | mdl_flags::MDL_PARTIAL;
        if from.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA != 0 {
            to.mdl_flags |= mdl_flags::MDL_PARENT_MAPPED_SYSTEM_VA;
        }
        to.mapped_system_va = from.mapped_system_va.wrapping_add(offset);
        self.write(target, to)?;
        let first = to.start_va.wrapping_sub(from.start_va) / PAGE;
        for index in 0..pages(&to) {
            let frame = self.read(frame_at(source, first + index))?;
            self.write(frame_at(target, index), frame)?;
        }
        Ok(())
    }

    /// `VOID MmBuildMdlForNonPagedPool(PMDL)`
    ///
    /// Enters the page frame numbers of memory that is always resident, and its address as the
    /// system address.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `MDL_STATE` for pageable memory, or an MDL that is locked or mapped.
    /// - Source: WDK reference, wdm.MmBuildMdlForNonPagedPool.
    pub fn mm_build_mdl_for_non_paged_pool(&self, mdl: DriverPtr<Mdl>) -> Ddi<()> {
        let mut value = self.read(mdl)?;
        let address = virtual_address(&value);
        let in_use = mdl_flags::MDL_PAGES_LOCKED
            | mdl_flags::MDL_MAPPED_TO_SYSTEM_VA
            | mdl_flags::MDL_SOURCE_IS_NONPAGED_POOL
            | mdl_flags::MDL_PARTIAL;
        if value.mdl_flags & in_use != 0 {
            let flags = value.mdl_flags;
            let message = format!(
                "the MDL at {:#x} is in use already, flags {flags:#06x}",
                mdl.address()
            );
            self.find(ids::MDL_STATE, message, None)?;
        }
        if self.is_paged_pool(address) || layout::USER.contains(&address) {
            let message =
                format!("{address:#x} is pageable and its MDL was built as for nonpaged pool");
            self.find(ids::MDL_STATE, message, None)?;
        }
        self.write_frames(mdl, &value)?;
        value.process = 0;
        value.mapped_system_va = address;
        value.mdl_flags |= mdl_flags::MDL_SOURCE_IS_NONPAGED_POOL;
        self.write(mdl, value)?;
        Ok(())
    }

    /// Enters the page frame numbers of what an MDL describes. Memory without a physical
    /// address is none.
    pub(super) fn write_frames(&self, mdl: DriverPtr<Mdl>, value: &Mdl) -> Ddi<()> {
        for index in 0..pages(value) {
            let page = value.start_va.wrapping_add(index * PAGE);
            let Some(physical) = layout::physical(page) else {
                return Err(crate::BadAddress {
                    address: page,
                    write: false,
                }
                .into());
            };
            self.write(frame_at(mdl, index), physical / PAGE)?;
        }
        Ok(())
    }

    /// `NTSTATUS MmAdvanceMdl(PMDL, ULONG NumberOfBytes)`
    ///
    /// Has an MDL begin so many bytes later.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: `STATUS_INVALID_PARAMETER_2` for more bytes than it describes.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmAdvanceMdl.
    pub fn mm_advance_mdl(&self, mdl: DriverPtr<Mdl>, bytes: u32) -> Ddi<NtStatus> {
        let mut header = self.read(mdl)?;
        if bytes > header.byte_count {
            return Ok(NtStatus::INVALID_PARAMETER_2);
        }
        let before = pages(&header);
        let offset = u64::from(header.byte_offset) + u64::from(bytes);
        let skipped = offset / PAGE;
        for index in skipped..before {
            let frame = self.read(frame_at(mdl, index))?;
            self.write(frame_at(mdl, index - skipped), frame)?;
        }
        header.start_va = header.start_va.wrapping_add(skipped * PAGE);
        header.byte_offset = (offset % PAGE) as u32;
        header.byte_count -= bytes;
        if header.mapped_system_va != 0 {
            header.mapped_system_va = header.mapped_system_va.wrapping_add(bytes.into());
        }
        self.write(mdl, header)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `SIZE_T MmSizeOfMdl(PVOID, SIZE_T Length)`
    ///
    /// - IRQL: any level.
    /// - Returns: the bytes of an MDL for this range.
    /// - Findings: none.
    /// - Source: WDK reference, wdm.MmSizeOfMdl.
    pub fn mm_size_of_mdl(&self, address: u64, length: u64) -> Ddi<u64> {
        let length = length.min(1 << 48);
        Ok(size_of::<Mdl>() as u64 + 8 * pages_spanned(address, length))
    }
}
