//! Objects and handles.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, exports};

exports! {
    fn ObfReferenceObject(object: u64) -> u64 = |k| k.obf_reference_object(object);
    fn ObfDereferenceObject(object: u64) -> u64 = |k| k.obf_dereference_object(object);
    fn ObReferenceObjectByHandle(handle: u64, access: u32, object_type: u64, mode: u8, object: DriverPtr<u64>, information: DriverPtr<[u32; 2]>) -> NtStatus
        = |k| k.ob_reference_object_by_handle(handle, access, object_type, mode, object, information);
    fn ObReferenceObjectByPointer(object: u64, access: u32, object_type: u64, mode: u8) -> NtStatus
        = |k| k.ob_reference_object_by_pointer(object, access, object_type, mode);
    fn ObOpenObjectByPointer(object: u64, attributes: u32, access_state: u64, access: u32, object_type: u64, mode: u8, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.ob_open_object_by_pointer(object, attributes, access_state, access, object_type, mode, handle);
    fn ObCloseHandle(handle: u64, mode: u8) -> NtStatus = |k| k.ob_close_handle(handle, mode);
    fn ZwClose(handle: u64) -> NtStatus = |k| k.zw_close(handle);
    fn ObQueryNameString(object: u64, information: u64, room: u32, needed: DriverPtr<u32>) -> NtStatus
        = |k| k.ob_query_name_string(object, information, room, needed);
    fn ObGetObjectSecurity(object: u64, descriptor: DriverPtr<u64>, allocated: DriverPtr<u8>) -> NtStatus
        = |k| k.ob_get_object_security(object, descriptor, allocated);
    fn ObReleaseObjectSecurity(descriptor: u64, _allocated: u8) -> Nothing
        = |k| k.ob_release_object_security(descriptor).map(Nothing::from);
}
