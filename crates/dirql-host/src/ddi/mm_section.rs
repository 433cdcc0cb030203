//! Sections and views.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_kernel::DriverPtr;
use dirql_kernel::mm::ViewArguments;

use super::exports;

type Pointer = DriverPtr<u64>;
type Attributes = DriverPtr<ObjectAttributes>;

exports! {
    fn ZwOpenSection(handle: Pointer, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_open_section(handle, access, attributes);
    fn ZwCreateSection(handle: Pointer, access: u32, attributes: Attributes, size: Pointer, protect: u32, kind: u32, file: u64) -> NtStatus
        = |k| k.zw_create_section(handle, access, attributes, size, protect, kind, file);
    fn ZwMapViewOfSection(
        section: u64, process: u64, base: Pointer, _zero_bits: u64, _commit: u64, offset: Pointer, size: Pointer,
        inherit: u32, _kind: u32, protect: u32,
    ) -> NtStatus = |k| k.zw_map_view_of_section(section, process, ViewArguments { base, offset, size, inherit, protect });
    fn ZwUnmapViewOfSection(process: u64, address: u64) -> NtStatus = |k| k.zw_unmap_view_of_section(process, address);
    fn MmMapViewInSystemSpace(section: u64, base: Pointer, size: Pointer) -> NtStatus
        = |k| k.mm_map_view_in_system_space(section, base, size);
    fn MmUnmapViewInSystemSpace(address: u64) -> NtStatus = |k| k.mm_unmap_view_in_system_space(address);
}
