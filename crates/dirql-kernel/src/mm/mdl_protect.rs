//! What the pages of an MDL may be used for, and MDLs for device memory.
//!
//! Pages that were allocated for an MDL are visible at its system address alone, and get the
//! protection that is asked for. Pages of a buffer that was locked have one address here where
//! Windows has two, the buffer's and the system's: the protection of the second one must not show
//! at the first, so there it is checked and not enforced (note N0185).
//!
//! Source: WDK reference, wdm.MmProtectMdlSystemAddress, wdm.MmMapMdl,
//! wdm.MmAllocateMdlForIoSpace.

use dirql_abi::NtStatus;
use dirql_abi::memory::{Mdl, mdl_flags};

use super::contiguous::RunKind;
use super::layout::{self, PAGE};
use super::mdl::{frame_at, pages};
use super::virtual_memory::access;
use crate::platform::Access;
use crate::{Ddi, DriverPtr, Kernel};

/// The bits of `PAGE_...` that give a page copies of its own when it is written: of no use to an MDL.
const WRITECOPY: u32 = 0x08 | 0x80;

/// Everything above the low byte: caching and guard pages, of which this routine takes none.
const MODIFIERS: u32 = !0xFF;

/// The pages an MDL may describe: those of a ULONG of bytes.
const LONGEST: u64 = u32::MAX as u64;

impl Kernel {
    /// `NTSTATUS MmProtectMdlSystemAddress(PMDL, ULONG NewProtect)`
    ///
    /// Says what the pages of a mapped MDL may be used for at their system address.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: STATUS_INVALID_PAGE_PROTECTION for what is none of the page's six values,
    ///   STATUS_NOT_MAPPED_VIEW if the MDL is not mapped.
    /// - Source: WDK reference, wdm.MmProtectMdlSystemAddress.
    ///
    /// # Errors
    /// The MDL is not memory.
    pub fn mm_protect_mdl_system_address(
        &self,
        mdl: DriverPtr<Mdl>,
        protect: u32,
    ) -> Ddi<NtStatus> {
        let wanted = match access(protect) {
            Some(wanted) if protect & (MODIFIERS | WRITECOPY) == 0 => wanted,
            _ => return Ok(NtStatus::INVALID_PAGE_PROTECTION),
        };
        let value = self.read(mdl)?;
        if value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA == 0 {
            return Ok(NtStatus::NOT_MAPPED_VIEW);
        }
        let frame: u64 = self.read(frame_at(mdl, 0))?;
        let first = frame.checked_mul(PAGE).and_then(layout::virtual_address);
        if let Some(first) = first
            && self.is_run(RunKind::MdlPages, first)
        {
            let end = first + pages(&value) * PAGE;
            self.platform().protect(first..end, wanted);
        }
        Ok(NtStatus::SUCCESS)
    }

    /// Gives pages of an MDL whose mapping has ended their ordinary protection back.
    pub(super) fn unprotect_mdl_pages(&self, mdl: DriverPtr<Mdl>, value: &Mdl) -> Ddi<()> {
        let frame: u64 = self.read(frame_at(mdl, 0))?;
        let first = frame.checked_mul(PAGE).and_then(layout::virtual_address);
        if let Some(first) = first
            && self.is_run(RunKind::MdlPages, first)
        {
            let end = first + pages(value) * PAGE;
            self.platform().protect(first..end, Access::ReadWrite);
        }
        Ok(())
    }

    /// `NTSTATUS MmMapMdl(PMDL, ULONG Protection, PMM_MDL_ROUTINE, PVOID DriverContext)`
    ///
    /// Maps an MDL while a routine of the driver runs: `routine(context, address)`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; the routine runs at the caller's level.
    /// - Returns: STATUS_INVALID_PAGE_PROTECTION, STATUS_INSUFFICIENT_RESOURCES if the MDL cannot be mapped.
    /// - Findings: `MDL_STATE` as for MmMapLockedPagesSpecifyCache.
    /// - Source: WDK reference, wdm.MmMapMdl, wdm.MM_MDL_ROUTINE.
    ///
    /// # Errors
    /// The MDL is not memory.
    pub fn mm_map_mdl(
        &self,
        mdl: DriverPtr<Mdl>,
        protect: u32,
        routine: u64,
        context: u64,
    ) -> Ddi<NtStatus> {
        if access(protect).is_none() || protect & WRITECOPY != 0 {
            return Ok(NtStatus::INVALID_PAGE_PROTECTION);
        }
        let address = self.mm_map_locked_pages_specify_cache(mdl, 0, 1, 0, 0, 16)?;
        if address == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.call_at_same_level("MdlRoutine", routine, &[context, address])?;
        self.mm_unmap_locked_pages(address, mdl)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS MmAllocateMdlForIoSpace(PMM_PHYSICAL_ADDRESS_LIST, SIZE_T NumberOfEntries, PMDL *NewMdl)`
    ///
    /// Makes an MDL that describes ranges of device memory. An entry is an address and a number
    /// of bytes.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER_1 if a range is not of whole pages, overlaps RAM or is
    ///   empty, STATUS_INVALID_PARAMETER_2 for no entries or more than an MDL holds,
    ///   STATUS_INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.MmAllocateMdlForIoSpace.
    ///
    /// # Errors
    /// The list or the result is not memory.
    pub fn mm_allocate_mdl_for_io_space(
        &self,
        list: DriverPtr<[u64; 2]>,
        entries: u64,
        result: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let mut frames = alloc::vec::Vec::new();
        if entries == 0 || entries > LONGEST / PAGE {
            return Ok(NtStatus::INVALID_PARAMETER_2);
        }
        for index in 0..entries {
            let [address, bytes] = self.read(list.element(index as usize))?;
            let is_whole = address.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE) && bytes != 0;
            let end = address.checked_add(bytes);
            let is_device =
                end.is_some_and(|end| end <= layout::PHYSICAL_END) && layout::is_device(address);
            if !is_whole || !is_device {
                return Ok(NtStatus::INVALID_PARAMETER_1);
            }
            if (frames.len() as u64 + bytes / PAGE) * PAGE > LONGEST {
                return Ok(NtStatus::INVALID_PARAMETER_2);
            }
            frames.extend((0..bytes / PAGE).map(|page| address / PAGE + page));
        }
        let bytes = frames.len() as u64 * PAGE;
        let mdl = self.io_allocate_mdl(0, bytes as u32, 0, 0, DriverPtr::NULL)?;
        if mdl.is_null() {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        for (index, frame) in frames.into_iter().enumerate() {
            self.write(frame_at(mdl, index as u64), frame)?;
        }
        let mut value = self.read(mdl)?;
        value.mdl_flags |= mdl_flags::MDL_IO_SPACE | mdl_flags::MDL_PAGES_LOCKED;
        self.write(mdl, value)?;
        self.write(result, mdl.address())?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use crate::{Config, Platform};

    const READONLY: u32 = 2;
    const READWRITE: u32 = 4;

    fn bench() -> Bench {
        Bench::new(Config::default())
    }

    #[test]
    fn pages_of_an_mdl_get_a_protection_while_they_are_mapped() {
        let bench = bench();
        let kernel = &bench.kernel;
        let mdl = kernel
            .mm_allocate_pages_for_mdl(0, u64::MAX, 0, 2 * PAGE)
            .unwrap();
        assert_eq!(
            kernel.mm_protect_mdl_system_address(mdl, READONLY),
            Ok(NtStatus::NOT_MAPPED_VIEW)
        );
        let address = kernel.mm_map_locked_pages(mdl, 0).unwrap();
        for bad in [0, 0x08, 0x80, 0x104, 0x204, 0x404, 3] {
            assert_eq!(
                kernel.mm_protect_mdl_system_address(mdl, bad),
                Ok(NtStatus::INVALID_PAGE_PROTECTION),
                "{bad:#x}"
            );
        }
        for (protect, reads, writes) in [
            (1, false, false),
            (READONLY, true, false),
            (READWRITE, true, true),
            (0x40, true, true),
            (0x20, true, false),
        ] {
            assert_eq!(
                kernel.mm_protect_mdl_system_address(mdl, protect),
                Ok(NtStatus::SUCCESS)
            );
            let last = address + 2 * PAGE - 1;
            assert_eq!(kernel.read_bytes(last, 1).is_ok(), reads, "{protect:#x}");
            assert_eq!(
                kernel.write_bytes(last, &[1]).is_ok(),
                writes,
                "{protect:#x}"
            );
        }
        kernel.mm_unmap_locked_pages(address, mdl).unwrap();
        assert_eq!(kernel.mm_map_locked_pages(mdl, 0), Ok(address));
        assert!(kernel.write_bytes(address, &[1]).is_ok());
    }

    #[test]
    fn the_protection_of_a_locked_buffer_does_not_show_at_the_buffers_own_address() {
        let bench = bench();
        let kernel = &bench.kernel;
        let user = layout::USER.start;
        bench.platform.protect(user..user + PAGE, Access::ReadWrite);
        let mdl = kernel
            .io_allocate_mdl(user, 16, 0, 0, DriverPtr::NULL)
            .unwrap();
        kernel.mm_probe_and_lock_pages(mdl, 1, 1).unwrap();
        kernel.mm_map_locked_pages(mdl, 0).unwrap();
        assert_eq!(
            kernel.mm_protect_mdl_system_address(mdl, 1),
            Ok(NtStatus::SUCCESS)
        );
        assert!(kernel.write_bytes(user, &[1]).is_ok());
    }

    #[test]
    fn an_mdl_is_mapped_while_the_routine_runs() {
        let bench = bench();
        let kernel = &bench.kernel;
        let mdl = kernel
            .mm_allocate_pages_for_mdl(0, u64::MAX, 0, PAGE)
            .unwrap();
        let routine = bench.routine(move |kernel, arguments| {
            let value = kernel.read(mdl)?;
            assert_eq!(arguments, [7, value.mapped_system_va]);
            assert_ne!(value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA, 0);
            Ok(0)
        });
        assert_eq!(
            kernel.mm_map_mdl(mdl, READWRITE, routine, 7),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(
            kernel.mm_map_mdl(mdl, 0x08, routine, 7),
            Ok(NtStatus::INVALID_PAGE_PROTECTION)
        );
        let value = kernel.read(mdl).unwrap();
        assert_eq!(value.mdl_flags & mdl_flags::MDL_MAPPED_TO_SYSTEM_VA, 0);
    }

    #[test]
    fn an_mdl_for_device_memory_takes_whole_pages_of_device_memory() {
        let bench = bench();
        let kernel = &bench.kernel;
        let list = DriverPtr::<[u64; 2]>::new(bench.variable(64));
        let result = DriverPtr::<u64>::new(bench.variable(8));
        let device = layout::DEVICE_PHYSICAL;
        let cases = [
            ([device, PAGE], NtStatus::SUCCESS),
            ([device + 1, PAGE], NtStatus::INVALID_PARAMETER_1),
            ([device, PAGE - 1], NtStatus::INVALID_PARAMETER_1),
            ([device, 0], NtStatus::INVALID_PARAMETER_1),
            ([device - PAGE, PAGE], NtStatus::INVALID_PARAMETER_1),
            (
                [layout::PHYSICAL_END - PAGE, 2 * PAGE],
                NtStatus::INVALID_PARAMETER_1,
            ),
        ];
        for (entry, status) in cases {
            kernel.write(list, entry).unwrap();
            assert_eq!(
                kernel.mm_allocate_mdl_for_io_space(list, 1, result),
                Ok(status),
                "{entry:x?}"
            );
        }
        assert_eq!(
            kernel.mm_allocate_mdl_for_io_space(list, 0, result),
            Ok(NtStatus::INVALID_PARAMETER_2)
        );
        kernel.write(list, [device, PAGE]).unwrap();
        kernel
            .write(list.element(1), [device + 4 * PAGE, 2 * PAGE])
            .unwrap();
        kernel
            .mm_allocate_mdl_for_io_space(list, 2, result)
            .unwrap();
        let mdl = DriverPtr::<Mdl>::new(kernel.read(result).unwrap());
        let frames: [u64; 3] = [0, 1, 2].map(|at| kernel.read(frame_at(mdl, at)).unwrap());
        assert_eq!(frames, [0, 4, 5].map(|page| device / PAGE + page));
        assert_eq!(kernel.read(mdl).unwrap().byte_count, 3 * PAGE as u32);
    }
}
