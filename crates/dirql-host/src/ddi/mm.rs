//! Memory: contiguous, mapped, addresses, sections.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

exports! {
    fn MmAllocateContiguousMemory(bytes: u64, highest: u64) -> u64
        = |k| k.mm_allocate_contiguous_memory(bytes, highest);
    fn MmAllocateContiguousMemorySpecifyCache(bytes: u64, lowest: u64, highest: u64, boundary: u64, cache: u32) -> u64
        = |k| k.mm_allocate_contiguous_memory_specify_cache(bytes, lowest, highest, boundary, cache);
    fn MmAllocateContiguousMemorySpecifyCacheNode(bytes: u64, lowest: u64, highest: u64, boundary: u64, cache: u32, _node: u32) -> u64
        = |k| k.mm_allocate_contiguous_memory_specify_cache(bytes, lowest, highest, boundary, cache);
    fn MmAllocateContiguousNodeMemory(bytes: u64, lowest: u64, highest: u64, boundary: u64, _protect: u32, _node: u32) -> u64
        = |k| k.mm_allocate_contiguous_memory_specify_cache(bytes, lowest, highest, boundary, 1);
    fn MmAllocateContiguousMemoryEx(
        bytes: DriverPtr<u64>, lowest: u64, highest: u64, boundary: u64, _node: u32, protect: u32, _partition: u64, _tag: u32,
        _flags: u32, base: DriverPtr<u64>,
    ) -> NtStatus = |k| k.mm_allocate_contiguous_memory_ex(bytes, [lowest, highest, boundary], protect, base);
    fn MmSecureVirtualMemory(address: u64, bytes: u64, mode: u32) -> u64
        = |k| k.mm_secure_virtual_memory(address, bytes, mode);
    fn MmUnsecureVirtualMemory(handle: u64) -> Nothing
        = |k| k.mm_unsecure_virtual_memory(handle).map(Nothing::from);
    fn MmAllocateNonCachedMemory(bytes: u64) -> u64 = |k| k.mm_allocate_non_cached_memory(bytes);
    fn MmFreeContiguousMemory(address: u64) -> Nothing
        = |k| k.mm_free_contiguous_memory(address).map(Nothing::from);
    fn MmFreeContiguousMemorySpecifyCache(address: u64, bytes: u64, cache: u32) -> Nothing
        = |k| k.mm_free_contiguous_memory_specify_cache(address, bytes, cache).map(Nothing::from);
    fn MmFreeNonCachedMemory(address: u64, bytes: u64) -> Nothing
        = |k| k.mm_free_non_cached_memory(address, bytes).map(Nothing::from);
    fn MmGetPhysicalAddress(address: u64) -> u64 = |k| k.mm_get_physical_address(address);
    fn MmGetVirtualForPhysical(physical: u64) -> u64 = |k| k.mm_get_virtual_for_physical(physical);
    fn MmIsAddressValid(address: u64) -> u8 = |k| k.mm_is_address_valid(address);
    fn MmIsDriverVerifying(_driver: u64) -> u32 = |k| k.mm_is_driver_verifying();
    fn MmIsDriverSuspectForVerifier(_driver: u64) -> u32 = |k| k.mm_is_driver_verifying();
    fn MmIsThisAnNtAsSystem() -> u8 = |k| k.mm_is_this_an_nt_as_system();
    fn MmLockPagableDataSection(address: u64) -> u64 = |k| k.mm_lock_pagable_data_section(address);
    fn MmLockPagableSectionByHandle(handle: u64) -> Nothing
        = |k| k.mm_lock_pagable_section_by_handle(handle).map(Nothing::from);
    fn MmMapIoSpace(physical: u64, bytes: u64, cache: u32) -> u64
        = |k| k.mm_map_io_space(physical, bytes, cache);
    fn MmMapIoSpaceEx(physical: u64, bytes: u64, protect: u32) -> u64
        = |k| k.mm_map_io_space(physical, bytes, protect);
    fn MmPageEntireDriver(address: u64) -> u64 = |k| k.mm_page_entire_driver(address);
    fn MmQuerySystemSize() -> u32 = |k| k.mm_query_system_size();
    fn MmResetDriverPaging(address: u64) -> Nothing
        = |k| k.mm_reset_driver_paging(address).map(Nothing::from);
    fn MmUnlockPagableImageSection(handle: u64) -> Nothing
        = |k| k.mm_unlock_pagable_image_section(handle).map(Nothing::from);
    fn MmUnmapIoSpace(address: u64, bytes: u64) -> Nothing
        = |k| k.mm_unmap_io_space(address, bytes).map(Nothing::from);
    fn ProbeForRead(address: u64, length: u64, alignment: u32) -> Nothing
        = |k| k.probe_for_read(address, length, alignment).map(Nothing::from);
    fn ZwAllocateVirtualMemory(process: u64, base: DriverPtr<u64>, _zero_bits: u64, size: DriverPtr<u64>, kind: u32, protect: u32) -> NtStatus
        = |k| k.zw_allocate_virtual_memory(process, base, size, kind, protect);
    fn ZwFreeVirtualMemory(process: u64, base: DriverPtr<u64>, size: DriverPtr<u64>, kind: u32) -> NtStatus
        = |k| k.zw_free_virtual_memory(process, base, size, kind);
    fn ProbeForWrite(address: u64, length: u64, alignment: u32) -> Nothing
        = |k| k.probe_for_write(address, length, alignment).map(Nothing::from);
}
