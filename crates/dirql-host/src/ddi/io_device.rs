//! Drivers, devices and their stacks, names, interfaces.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, exports};

exports! {
    fn IoAllocateDriverObjectExtension(driver: u64, client: u64, bytes: u32, extension: DriverPtr<u64>) -> NtStatus
        = |k| k.io_allocate_driver_object_extension(driver, client, bytes, extension);
    fn IoGetDriverObjectExtension(driver: u64, client: u64) -> u64
        = |k| k.io_get_driver_object_extension(driver, client);
    fn IoRegisterDriverReinitialization(driver: u64, routine: u64, context: u64) -> Nothing
        = |k| k.io_register_driver_reinitialization(driver, routine, context).map(Nothing::from);
    fn IoRegisterBootDriverReinitialization(driver: u64, routine: u64, context: u64) -> Nothing
        = |k| k.io_register_driver_reinitialization(driver, routine, context).map(Nothing::from);
    fn IoCreateDevice(driver: u64, extension_size: u32, name: DriverPtr<UnicodeString>, device_type: u32, characteristics: u32, exclusive: u8, device: DriverPtr<u64>) -> NtStatus
        = |k| k.io_create_device(driver, extension_size, name, device_type, characteristics, exclusive, device);
    fn IoDeleteDevice(device: u64) -> Nothing = |k| k.io_delete_device(device).map(Nothing::from);
    fn IoAttachDevice(source: u64, name: DriverPtr<UnicodeString>, attached_to: DriverPtr<u64>) -> NtStatus
        = |k| k.io_attach_device(source, name, attached_to);
    fn IoAttachDeviceByPointer(source: u64, target: u64) -> NtStatus
        = |k| k.io_attach_device_by_pointer(source, target);
    fn IoAttachDeviceToDeviceStack(source: u64, target: u64) -> u64
        = |k| k.io_attach_device_to_device_stack(source, target);
    fn IoAttachDeviceToDeviceStackSafe(source: u64, target: u64, attached_to: DriverPtr<u64>) -> NtStatus
        = |k| k.io_attach_device_to_device_stack_safe(source, target, attached_to);
    fn IoDetachDevice(target: u64) -> Nothing = |k| k.io_detach_device(target).map(Nothing::from);
    fn IoGetAttachedDevice(device: u64) -> u64 = |k| k.io_get_attached_device(device);
    fn IoGetAttachedDeviceReference(device: u64) -> u64 = |k| k.io_get_attached_device_reference(device);
    fn IoGetLowerDeviceObject(device: u64) -> u64 = |k| k.io_get_lower_device_object(device);
    fn IoGetDeviceAttachmentBaseRef(device: u64) -> u64 = |k| k.io_get_device_attachment_base_ref(device);
    fn IoGetDeviceObjectPointer(name: DriverPtr<UnicodeString>, access: u32, file: DriverPtr<u64>, device: DriverPtr<u64>) -> NtStatus
        = |k| k.io_get_device_object_pointer(name, access, file, device);
    fn IoGetRelatedDeviceObject(file: u64) -> u64 = |k| k.io_get_related_device_object(file);
    fn IoCreateSymbolicLink(link: DriverPtr<UnicodeString>, target: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.io_create_symbolic_link(link, target);
    fn IoCreateUnprotectedSymbolicLink(link: DriverPtr<UnicodeString>, target: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.io_create_symbolic_link(link, target);
    fn IoDeleteSymbolicLink(link: DriverPtr<UnicodeString>) -> NtStatus = |k| k.io_delete_symbolic_link(link);
    fn IoRegisterDeviceInterface(pdo: u64, class: DriverPtr<Guid>, reference: DriverPtr<UnicodeString>, link: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.io_register_device_interface(pdo, class, reference, link);
    fn IoSetDeviceInterfaceState(link: DriverPtr<UnicodeString>, enable: u8) -> NtStatus
        = |k| k.io_set_device_interface_state(link, enable);
    fn IoGetDeviceInterfaces(class: DriverPtr<Guid>, pdo: u64, flags: u32, list: DriverPtr<u64>) -> NtStatus
        = |k| k.io_get_device_interfaces(class, pdo, flags, list);
    fn IoGetDeviceInterfaceAlias(link: DriverPtr<UnicodeString>, class: DriverPtr<Guid>, alias: DriverPtr<UnicodeString>) -> NtStatus
        = |k| k.io_get_device_interface_alias(link, class, alias);
    fn IoGetDeviceProperty(pdo: u64, property: u32, length: u32, buffer: u64, result: DriverPtr<u32>) -> NtStatus
        = |k| k.io_get_device_property(pdo, property, length, buffer, result);
    fn IoCreateController(bytes: u32) -> u64 = |k| k.io_create_controller(bytes);
    fn IoDeleteController(controller: u64) -> Nothing = |k| k.io_delete_controller(controller).map(Nothing::from);
    fn IoAllocateController(controller: u64, device: u64, routine: u64, context: u64) -> Nothing
        = |k| k.io_allocate_controller(controller, device, routine, context).map(Nothing::from);
    fn IoFreeController(controller: u64) -> Nothing = |k| k.io_free_controller(controller).map(Nothing::from);
}
