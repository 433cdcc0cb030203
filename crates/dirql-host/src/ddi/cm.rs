//! The registry.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::registry::RtlQueryRegistryTable;
use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

type Out = DriverPtr<u32>;
type Attributes = DriverPtr<ObjectAttributes>;
type Name = DriverPtr<UnicodeString>;

exports! {
    fn CmRegisterCallback(routine: u64, context: u64, cookie: DriverPtr<u64>) -> NtStatus
        = |k| k.cm_register_callback_ex(routine, DriverPtr::NULL, context, cookie);
    fn CmRegisterCallbackEx(routine: u64, altitude: Name, _driver: u64, context: u64, cookie: DriverPtr<u64>, _reserved: u64) -> NtStatus
        = |k| k.cm_register_callback_ex(routine, altitude, context, cookie);
    fn CmUnRegisterCallback(cookie: u64) -> NtStatus = |k| k.cm_unregister_callback(cookie);
    fn CmCallbackGetKeyObjectID(cookie: DriverPtr<u64>, object: u64, id: DriverPtr<u64>, name: DriverPtr<u64>) -> NtStatus
        = |k| k.cm_callback_get_key_object_id(cookie, object, id, name, 0);
    fn CmCallbackGetKeyObjectIDEx(cookie: DriverPtr<u64>, object: u64, id: DriverPtr<u64>, name: DriverPtr<u64>, flags: u32) -> NtStatus
        = |k| k.cm_callback_get_key_object_id(cookie, object, id, name, flags);
    fn CmCallbackReleaseKeyObjectIDEx(name: u64) -> Nothing
        = |k| k.cm_callback_release_key_object_id_ex(name).map(Nothing::from);
    fn CmGetBoundTransaction(cookie: DriverPtr<u64>, _object: u64) -> u64 = |k| k.cm_get_bound_transaction(cookie);
    fn CmGetCallbackVersion(major: Out, minor: Out) -> Nothing
        = |k| k.cm_get_callback_version(major, minor).map(Nothing::from);
    fn IoOpenDeviceInterfaceRegistryKey(link: Name, access: u32, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.io_open_device_interface_registry_key(link, access, handle);
    fn IoOpenDeviceRegistryKey(device: u64, kind: u32, access: u32, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.io_open_device_registry_key(device, kind, access, handle);
    fn RtlCheckRegistryKey(relative_to: u32, path: u64) -> NtStatus
        = |k| k.rtl_check_registry_key(relative_to, path);
    fn RtlCreateRegistryKey(relative_to: u32, path: u64) -> NtStatus
        = |k| k.rtl_create_registry_key(relative_to, path);
    fn RtlDeleteRegistryValue(relative_to: u32, path: u64, name: u64) -> NtStatus
        = |k| k.rtl_delete_registry_value(relative_to, path, name);
    fn RtlQueryRegistryValues(relative_to: u32, path: u64, table: DriverPtr<RtlQueryRegistryTable>, context: u64, environment: u64) -> NtStatus
        = |k| k.rtl_query_registry_values(relative_to, path, table, context, environment);
    fn RtlWriteRegistryValue(relative_to: u32, path: u64, name: u64, value_type: u32, data: u64, length: u32) -> NtStatus
        = |k| k.rtl_write_registry_value(relative_to, path, name, value_type, data, length);
    fn ZwCreateKey(handle: DriverPtr<u64>, access: u32, attributes: Attributes, title: u32, class: Name, options: u32, disposition: Out) -> NtStatus
        = |k| k.zw_create_key(handle, access, attributes, title, class, options, disposition);
    fn ZwDeleteKey(handle: u64) -> NtStatus = |k| k.zw_delete_key(handle);
    fn ZwDeleteValueKey(handle: u64, name: Name) -> NtStatus = |k| k.zw_delete_value_key(handle, name);
    fn ZwEnumerateKey(handle: u64, index: u32, class: u32, buffer: u64, length: u32, needed: Out) -> NtStatus
        = |k| k.zw_enumerate_key(handle, index, class, buffer, length, needed);
    fn ZwEnumerateValueKey(handle: u64, index: u32, class: u32, buffer: u64, length: u32, needed: Out) -> NtStatus
        = |k| k.zw_enumerate_value_key(handle, index, class, buffer, length, needed);
    fn ZwFlushKey(handle: u64) -> NtStatus = |k| k.zw_flush_key(handle);
    fn ZwOpenKey(handle: DriverPtr<u64>, access: u32, attributes: Attributes) -> NtStatus
        = |k| k.zw_open_key(handle, access, attributes);
    fn ZwOpenKeyEx(handle: DriverPtr<u64>, access: u32, attributes: Attributes, _options: u32) -> NtStatus
        = |k| k.zw_open_key(handle, access, attributes);
    fn ZwQueryKey(handle: u64, class: u32, buffer: u64, length: u32, needed: Out) -> NtStatus
        = |k| k.zw_query_key(handle, class, buffer, length, needed);
    fn ZwQueryValueKey(handle: u64, name: Name, class: u32, buffer: u64, length: u32, needed: Out) -> NtStatus
        = |k| k.zw_query_value_key(handle, name, class, buffer, length, needed);
    fn ZwSetValueKey(handle: u64, name: Name, title: u32, value_type: u32, data: u64, size: u32) -> NtStatus
        = |k| k.zw_set_value_key(handle, name, title, value_type, data, size);
}
