//! What the I/O manager offers beside devices and requests: work items, timers, logs,
//! notification, named events.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, exports, routines};

exports! {
    fn IoEnumerateDeviceObjectList(driver: u64, list: DriverPtr<u64>, bytes: u32, count: DriverPtr<u32>) -> NtStatus
        = |k| k.io_enumerate_device_object_list(driver, list, bytes, count);
    fn IoAllocateWorkItem(device: u64) -> u64 = |k| k.io_allocate_work_item(device);
    fn IoFreeWorkItem(item: u64) -> Nothing = |k| k.io_free_work_item(item).map(Nothing::from);
    fn IoSizeofWorkItem() -> u32 = |k| k.io_sizeof_work_item();
    fn IoInitializeWorkItem(object: u64, item: u64) -> Nothing
        = |k| k.io_initialize_work_item(object, item).map(Nothing::from);
    fn IoUninitializeWorkItem(item: u64) -> Nothing = |k| k.io_uninitialize_work_item(item).map(Nothing::from);
    fn IoQueueWorkItem(item: u64, routine: u64, queue: u32, context: u64) -> Nothing
        = |k| k.io_queue_work_item(item, routine, queue, context, false).map(Nothing::from);
    fn IoTryQueueWorkItem(item: u64, routine: u64, queue: u32, context: u64) -> u8
        = |k| k.io_try_queue_work_item(item, routine, queue, context);
    fn IoQueueWorkItemEx(item: u64, routine: u64, queue: u32, context: u64) -> Nothing
        = |k| k.io_queue_work_item(item, routine, queue, context, true).map(Nothing::from);
    fn IoInitializeTimer(device: u64, routine: u64, context: u64) -> NtStatus
        = |k| k.io_initialize_timer(device, routine, context);
    fn IoStartTimer(device: u64) -> Nothing = |k| k.io_start_timer(device).map(Nothing::from);
    fn IoStopTimer(device: u64) -> Nothing = |k| k.io_stop_timer(device).map(Nothing::from);
    fn IoAllocateErrorLogEntry(object: u64, bytes: u8) -> u64 = |k| k.io_allocate_error_log_entry(object, bytes);
    fn IoWriteErrorLogEntry(entry: u64) -> Nothing = |k| k.io_write_error_log_entry(entry).map(Nothing::from);
    fn IoFreeErrorLogEntry(entry: u64) -> Nothing = |k| k.io_free_error_log_entry(entry).map(Nothing::from);
    fn IoWMIRegistrationControl(provider: u64, action: u32) -> NtStatus
        = |k| k.io_wmi_registration_control(provider, action);
    fn IoWMIWriteEvent(event: u64) -> NtStatus = |k| k.io_wmi_write_event(event);
    fn IoWMIDeviceObjectToProviderId(device: u64) -> u32 = |k| k.io_wmi_device_object_to_provider_id(device);
    fn IoWMIOpenBlock(block: DriverPtr<Guid>, _access: u32, object: DriverPtr<u64>) -> NtStatus
        = |k| k.io_wmi_open_block(block, object);
    fn IoWMIQuerySingleInstance(object: u64, _name: u64, _room: DriverPtr<u32>, _buffer: u64) -> NtStatus
        = |k| k.io_wmi_query_all_data(object);
    fn IoWMISetSingleInstance(object: u64, _name: u64, _version: u32, _length: u32, _value: u64) -> NtStatus
        = |k| k.io_wmi_query_all_data(object);
    fn IoWMISetSingleItem(object: u64, _name: u64, _item: u32, _version: u32, _length: u32, _value: u64) -> NtStatus
        = |k| k.io_wmi_query_all_data(object);
    fn IoWMIExecuteMethod(object: u64, _name: u64, _method: u32, _input: u32, _room: DriverPtr<u32>, _buffer: u64) -> NtStatus
        = |k| k.io_wmi_query_all_data(object);
    fn IoWMISetNotificationCallback(object: u64, _callback: u64, _context: u64) -> NtStatus
        = |k| k.io_wmi_query_all_data(object);
    fn IoWMIQueryAllData(object: u64, _room: DriverPtr<u32>, _buffer: u64) -> NtStatus
        = |k| k.io_wmi_query_all_data(object);
    fn IoSetHardErrorOrVerifyDevice(irp: u64, device: u64) -> Nothing
        = |k| k.io_set_hard_error_or_verify_device(irp, device).map(Nothing::from);
    fn IoSetDeviceToVerify(thread: u64, device: u64) -> Nothing
        = |k| k.io_set_device_to_verify(thread, device).map(Nothing::from);
    fn IoGetDeviceToVerify(thread: u64) -> u64 = |k| k.io_get_device_to_verify(thread);
    fn IoGetDeviceNumaNode(pdo: u64, _node: DriverPtr<u16>) -> NtStatus = |k| k.io_get_device_numa_node(pdo);
    fn IoRegisterShutdownNotification(device: u64) -> NtStatus = |k| k.io_register_shutdown_notification(device);
    fn IoRegisterLastChanceShutdownNotification(device: u64) -> NtStatus
        = |k| k.io_register_last_chance_shutdown_notification(device);
    fn IoUnregisterShutdownNotification(device: u64) -> Nothing
        = |k| k.io_unregister_shutdown_notification(device).map(Nothing::from);
    fn IoRegisterPlugPlayNotification(category: u32, flags: u32, data: u64, driver: u64, routine: u64, context: u64, entry: DriverPtr<u64>) -> NtStatus
        = |k| k.io_register_plug_play_notification(category, flags, data, driver, routine, context, entry);
    fn IoUnregisterPlugPlayNotification(entry: u64) -> NtStatus = |k| k.io_unregister_plug_play_notification(entry);
    fn IoUnregisterPlugPlayNotificationEx(entry: u64) -> NtStatus = |k| k.io_unregister_plug_play_notification(entry);
    fn IoGetConfigurationInformation() -> u64 = |k| k.io_get_configuration_information();
    fn IoGetStackLimits(low: DriverPtr<u64>, high: DriverPtr<u64>) -> Nothing
        = |k| k.io_get_stack_limits(low, high).map(Nothing::from);
    fn IoGetInitialStack() -> u64 = |k| k.io_get_initial_stack();
    fn IoGetRemainingStackSize() -> u64 = |k| k.io_get_remaining_stack_size();
    fn IoIsWdmVersionAvailable(major: u8, minor: u8) -> u8 = |k| k.io_is_wdm_version_available(major, minor);
    fn IoCreateNotificationEvent(name: DriverPtr<UnicodeString>, handle: DriverPtr<u64>) -> u64
        = |k| k.io_create_notification_event(name, handle);
    fn IoCreateSynchronizationEvent(name: DriverPtr<UnicodeString>, handle: DriverPtr<u64>) -> u64
        = |k| k.io_create_synchronization_event(name, handle);
    fn IoInvalidateDeviceState(pdo: u64) -> Nothing = |k| k.io_invalidate_device_state(pdo).map(Nothing::from);
    fn IoInvalidateDeviceRelations(pdo: u64, relation: u32) -> Nothing
        = |k| k.io_invalidate_device_relations(pdo, relation).map(Nothing::from);
    fn IoRequestDeviceEject(pdo: u64) -> Nothing = |k| k.io_request_device_eject(pdo).map(Nothing::from);
    fn IoReportTargetDeviceChangeAsynchronous(pdo: u64, _notification: u64, callback: u64, context: u64) -> NtStatus
        = |k| k.io_report_target_device_change_asynchronous(pdo, callback, context);
}

routines! {
    fn IoTimerDpc(_dpc: u64, _context: u64, _argument1: u64, _argument2: u64) -> Nothing
        = |k| k.io_timer_dpc().map(Nothing::from);
}
