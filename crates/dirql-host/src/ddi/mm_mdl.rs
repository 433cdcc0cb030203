//! Memory descriptor lists.

use dirql_abi::NtStatus;
use dirql_abi::irp::Irp;
use dirql_abi::memory::Mdl;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

type MdlPtr = DriverPtr<Mdl>;

exports! {
    fn IoAllocateMdl(address: u64, length: u32, secondary: u8, charge: u8, irp: DriverPtr<Irp>) -> MdlPtr
        = |k| k.io_allocate_mdl(address, length, secondary, charge, irp);
    fn IoBuildPartialMdl(source: MdlPtr, target: MdlPtr, address: u64, length: u32) -> Nothing
        = |k| k.io_build_partial_mdl(source, target, address, length).map(Nothing::from);
    fn IoFreeMdl(mdl: MdlPtr) -> Nothing = |k| k.io_free_mdl(mdl).map(Nothing::from);
    fn MmAdvanceMdl(mdl: MdlPtr, bytes: u32) -> NtStatus = |k| k.mm_advance_mdl(mdl, bytes);
    fn MmAllocateMappingAddress(bytes: u64, tag: u32) -> u64
        = |k| k.mm_allocate_mapping_address(bytes, tag);
    fn MmAllocatePagesForMdl(low: u64, high: u64, skip: u64, bytes: u64) -> MdlPtr
        = |k| k.mm_allocate_pages_for_mdl(low, high, skip, bytes);
    fn MmAllocatePagesForMdlEx(low: u64, high: u64, skip: u64, bytes: u64, _cache: u32, _flags: u32) -> MdlPtr
        = |k| k.mm_allocate_pages_for_mdl(low, high, skip, bytes);
    fn MmAllocateNodePagesForMdlEx(low: u64, high: u64, skip: u64, bytes: u64, _cache: u32, _node: u32, _flags: u32) -> MdlPtr
        = |k| k.mm_allocate_pages_for_mdl(low, high, skip, bytes);
    fn MmBuildMdlForNonPagedPool(mdl: MdlPtr) -> Nothing
        = |k| k.mm_build_mdl_for_non_paged_pool(mdl).map(Nothing::from);
    fn MmFreeMappingAddress(address: u64, tag: u32) -> Nothing
        = |k| k.mm_free_mapping_address(address, tag).map(Nothing::from);
    fn MmFreePagesFromMdl(mdl: MdlPtr) -> Nothing = |k| k.mm_free_pages_from_mdl(mdl).map(Nothing::from);
    fn MmMapLockedPages(mdl: MdlPtr, mode: u8) -> u64 = |k| k.mm_map_locked_pages(mdl, mode);
    fn MmMapLockedPagesSpecifyCache(mdl: MdlPtr, mode: u8, cache: u32, requested: u64, bug_check: u32, priority: u32) -> u64
        = |k| k.mm_map_locked_pages_specify_cache(mdl, mode, cache, requested, bug_check, priority);
    fn MmMapLockedPagesWithReservedMapping(address: u64, tag: u32, mdl: MdlPtr, cache: u32) -> u64
        = |k| k.mm_map_locked_pages_with_reserved_mapping(address, tag, mdl, cache);
    fn MmProbeAndLockPages(mdl: MdlPtr, mode: u8, operation: u32) -> Nothing
        = |k| k.mm_probe_and_lock_pages(mdl, mode, operation).map(Nothing::from);
    fn MmProtectMdlSystemAddress(mdl: MdlPtr, protect: u32) -> NtStatus
        = |k| k.mm_protect_mdl_system_address(mdl, protect);
    fn MmMapMdl(mdl: MdlPtr, protect: u32, routine: u64, context: u64) -> NtStatus
        = |k| k.mm_map_mdl(mdl, protect, routine, context);
    fn MmAllocateMdlForIoSpace(list: DriverPtr<[u64; 2]>, entries: u64, mdl: DriverPtr<u64>) -> NtStatus
        = |k| k.mm_allocate_mdl_for_io_space(list, entries, mdl);
    fn MmSizeOfMdl(address: u64, length: u64) -> u64 = |k| k.mm_size_of_mdl(address, length);
    fn MmUnlockPages(mdl: MdlPtr) -> Nothing = |k| k.mm_unlock_pages(mdl).map(Nothing::from);
    fn MmUnmapLockedPages(address: u64, mdl: MdlPtr) -> Nothing
        = |k| k.mm_unmap_locked_pages(address, mdl).map(Nothing::from);
    fn MmUnmapReservedMapping(address: u64, tag: u32, mdl: MdlPtr) -> Nothing
        = |k| k.mm_unmap_reserved_mapping(address, tag, mdl).map(Nothing::from);
}
