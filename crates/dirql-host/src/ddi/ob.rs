//! Objects and handles.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;
use dirql_kernel::ob::{DirectoryQuery, ObjectKind};
use dirql_kernel::rtl::SecurityDescriptor;

use crate::ddi::{Nothing, exports};

type Attributes = DriverPtr<ObjectAttributes>;

exports! {
    fn ObfReferenceObject(object: u64) -> u64 = |k| k.obf_reference_object(object);
    fn ObfDereferenceObject(object: u64) -> u64 = |k| k.obf_dereference_object(object);
    fn ObReferenceObjectByHandle(handle: u64, access: u32, object_type: u64, mode: u8, object: DriverPtr<u64>, information: DriverPtr<[u32; 2]>) -> NtStatus
        = |k| k.ob_reference_object_by_handle(handle, access, object_type, mode, object, information);
    fn ObReferenceObjectByPointer(object: u64, access: u32, object_type: u64, mode: u8) -> NtStatus
        = |k| k.ob_reference_object_by_pointer(object, access, object_type, mode);
    fn ObOpenObjectByPointer(object: u64, attributes: u32, access_state: u64, access: u32, object_type: u64, mode: u8, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.ob_open_object_by_pointer(object, attributes, access_state, access, object_type, mode, handle);
    fn ObOpenObjectByPointerWithTag(object: u64, attributes: u32, access_state: u64, access: u32, object_type: u64, mode: u8, _tag: u32, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.ob_open_object_by_pointer(object, attributes, access_state, access, object_type, mode, handle);
    fn ObGetObjectType(object: u64) -> u64 = |k| k.ob_get_object_type(object);
    fn ObReferenceObjectByName(name: DriverPtr<UnicodeString>, _attributes: u32, _access_state: u64, _access: u32, object_type: u64, mode: u8, _parse: u64, object: DriverPtr<u64>) -> NtStatus
        = |k| k.ob_reference_object_by_name(name, object_type, mode, object);
    fn ObOpenObjectByName(attributes: Attributes, object_type: u64, mode: u8, _access_state: u64, access: u32, _parse: u64, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.ob_open_object_by_name(attributes, object_type, mode, access, handle);
    fn ObRegisterCallbacks(registration: u64, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.ob_register_callbacks(registration, handle);
    fn ObUnRegisterCallbacks(handle: u64) -> Nothing = |k| k.ob_unregister_callbacks(handle).map(Nothing::from);
    fn ObGetFilterVersion() -> u16 = |k| k.ob_get_filter_version();
    fn ObCloseHandle(handle: u64, mode: u8) -> NtStatus = |k| k.ob_close_handle(handle, mode);
    fn ZwDuplicateObject(source_process: u64, source: u64, target_process: u64, target: DriverPtr<u64>, access: u32, _attributes: u32, options: u32) -> NtStatus
        = |k| k.zw_duplicate_object(source_process, source, target_process, target, access, options);
    fn ZwClose(handle: u64) -> NtStatus = |k| k.zw_close(handle);
    fn ObQueryNameString(object: u64, information: u64, room: u32, needed: DriverPtr<u32>) -> NtStatus
        = |k| k.ob_query_name_string(object, information, room, needed);
    fn ObGetObjectSecurity(object: u64, descriptor: DriverPtr<u64>, allocated: DriverPtr<u8>) -> NtStatus
        = |k| k.ob_get_object_security(object, descriptor, allocated);
    fn SeCaptureSecurityDescriptor(descriptor: DriverPtr<SecurityDescriptor>, mode: u8, pool: u32, capture: u8, captured: DriverPtr<u64>) -> NtStatus
        = |k| k.se_capture_security_descriptor(descriptor, mode, pool, capture, captured);
    fn ZwSetSecurityObject(handle: u64, information: u32, descriptor: DriverPtr<SecurityDescriptor>) -> NtStatus
        = |k| k.zw_set_security_object(handle, information, descriptor);
    fn ZwQueryObject(handle: u64, class: u32, to: u64, room: u32, needed: DriverPtr<u32>) -> NtStatus
        = |k| k.zw_query_object(handle, class, (to, room), needed);
    fn ZwWaitForMultipleObjects(count: u32, handles: DriverPtr<u64>, kind: u32, alertable: u8, timeout: DriverPtr<i64>) -> NtStatus
        = |k| k.zw_wait_for_multiple_objects(count, handles, kind, alertable, timeout);
    fn ZwCreateDirectoryObject(handle: DriverPtr<u64>, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_create_directory_object(handle, access, attributes);
    fn ZwOpenDirectoryObject(handle: DriverPtr<u64>, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_open_directory_object(handle, access, attributes);
    fn ZwQueryDirectoryObject(handle: u64, buffer: u64, length: u32, single: u8, restart: u8, context: DriverPtr<u32>, needed: DriverPtr<u32>) -> NtStatus
        = |k| k.zw_query_directory_object(handle, DirectoryQuery {
            buffer, length, single: single != 0, restart: restart != 0,
        }, context, needed);
    fn ZwMakeTemporaryObject(handle: u64) -> NtStatus = |k| k.zw_make_temporary_object(handle);
    fn ZwCreateSymbolicLinkObject(handle: DriverPtr<u64>, access: u32, attributes: Attributes, target: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.zw_create_symbolic_link_object(handle, access, attributes, target);
    fn ZwOpenSymbolicLinkObject(handle: DriverPtr<u64>, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_open_symbolic_link_object(handle, access, attributes);
    fn ZwQuerySymbolicLinkObject(handle: u64, target: DriverPtr<UnicodeString>, needed: DriverPtr<u32>) -> NtStatus
        = |k| k.zw_query_symbolic_link_object(handle, target, needed);
    fn ZwCreateEvent(handle: DriverPtr<u64>, access: u32, attributes: Attributes, kind: u32, state: u8) -> NtStatus
        = |k| k.zw_create_event(handle, access, attributes, kind, state);
    fn ZwOpenEvent(handle: DriverPtr<u64>, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_open_dispatcher(handle, access, attributes, ObjectKind::Event);
    fn ZwSetEvent(handle: u64, previous: DriverPtr<i32>) -> NtStatus
        = |k| k.zw_change_event(handle, true, previous);
    fn ZwResetEvent(handle: u64, previous: DriverPtr<i32>) -> NtStatus
        = |k| k.zw_change_event(handle, false, previous);
    fn ZwClearEvent(handle: u64) -> NtStatus = |k| k.zw_change_event(handle, false, DriverPtr::NULL);
    fn ZwCreateTimer(handle: DriverPtr<u64>, access: u32, attributes: Attributes, kind: u32) -> NtStatus
        = |k| k.zw_create_timer(handle, access, attributes, kind);
    fn ZwOpenTimer(handle: DriverPtr<u64>, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_open_dispatcher(handle, access, attributes, ObjectKind::Timer);
    fn ZwSetTimer(handle: u64, due: DriverPtr<i64>, apc: u64, _context: u64, _resume: u8, period: i32, previous: DriverPtr<u8>) -> NtStatus
        = |k| k.zw_set_timer(handle, due, apc, period, previous);
    fn ZwCancelTimer(handle: u64, state: DriverPtr<u8>) -> NtStatus = |k| k.zw_cancel_timer(handle, state);
    fn ZwWaitForSingleObject(handle: u64, alertable: u8, timeout: DriverPtr<i64>) -> NtStatus
        = |k| k.zw_wait_for_single_object(handle, alertable, timeout);
    fn ObReleaseObjectSecurity(descriptor: u64, _allocated: u8) -> Nothing
        = |k| k.ob_release_object_security(descriptor).map(Nothing::from);
}
