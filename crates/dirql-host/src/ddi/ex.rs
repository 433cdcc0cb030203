//! The executive: pool, exceptions, callbacks, work items and small questions.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::WorkQueueItem;
use dirql_abi::guid::Guid;
use dirql_abi::object::ObjectAttributes;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

exports! {
    fn ExAllocatePool(pool_type: u32, bytes: u64) -> u64 = |k| k.ex_allocate_pool(pool_type, bytes);
    fn ExAllocatePool2(flags: u64, bytes: u64, tag: u32) -> u64
        = |k| k.ex_allocate_pool2(flags, bytes, tag);
    fn ExAllocatePoolWithQuota(pool_type: u32, bytes: u64) -> u64
        = |k| k.ex_allocate_pool_with_quota(pool_type, bytes);
    fn ExAllocatePoolWithQuotaTag(pool_type: u32, bytes: u64, tag: u32) -> u64
        = |k| k.ex_allocate_pool_with_quota_tag(pool_type, bytes, tag);
    fn ExAllocatePoolWithTag(pool_type: u32, bytes: u64, tag: u32) -> u64
        = |k| k.ex_allocate_pool_with_tag(pool_type, bytes, tag);
    fn ExAllocatePoolWithTagPriority(pool_type: u32, bytes: u64, tag: u32, priority: u32) -> u64
        = |k| k.ex_allocate_pool_with_tag_priority(pool_type, bytes, tag, priority);
    fn ExFreePool(address: u64) -> Nothing = |k| k.ex_free_pool(address).map(Nothing::from);
    fn ExFreePoolWithTag(address: u64, tag: u32) -> Nothing
        = |k| k.ex_free_pool_with_tag(address, tag).map(Nothing::from);

    fn ExCreateCallback(callback: DriverPtr<u64>, attributes: DriverPtr<ObjectAttributes>, create: u8, multiple: u8) -> NtStatus
        = |k| k.ex_create_callback(callback, attributes, create, multiple);
    fn ExNotifyCallback(object: u64, argument1: u64, argument2: u64) -> Nothing
        = |k| k.ex_notify_callback(object, argument1, argument2).map(Nothing::from);
    fn ExRegisterCallback(object: u64, routine: u64, context: u64) -> u64
        = |k| k.ex_register_callback(object, routine, context);
    fn ExUnregisterCallback(handle: u64) -> Nothing
        = |k| k.ex_unregister_callback(handle).map(Nothing::from);


    fn ExQueueWorkItem(item: DriverPtr<WorkQueueItem>, queue: u32) -> Nothing
        = |k| k.ex_queue_work_item(item, queue).map(Nothing::from);

    fn ExGetCurrentProcessorCounts(idle: DriverPtr<u32>, kernel_and_user: DriverPtr<u32>, index: DriverPtr<u32>) -> Nothing
        = |k| k.ex_get_current_processor_counts(idle, kernel_and_user, index).map(Nothing::from);
    fn ExGetCurrentProcessorCpuUsage(usage: DriverPtr<u32>) -> Nothing
        = |k| k.ex_get_current_processor_cpu_usage(usage).map(Nothing::from);
    fn ExGetPreviousMode() -> u8 = |k| k.ex_get_previous_mode();
    fn ExIsProcessorFeaturePresent(feature: u32) -> u8 = |k| k.ex_is_processor_feature_present(feature);
    fn ExLocalTimeToSystemTime(local: DriverPtr<u64>, system: DriverPtr<u64>) -> Nothing
        = |k| k.ex_local_time_to_system_time(local, system).map(Nothing::from);
    fn ExQueryTimerResolution(most: DriverPtr<u32>, least: DriverPtr<u32>, now: DriverPtr<u32>) -> Nothing
        = |k| k.ex_query_timer_resolution([most, least, now]).map(Nothing::from);
    fn ZwAllocateLocallyUniqueId(luid: DriverPtr<u64>) -> NtStatus = |k| k.zw_allocate_locally_unique_id(luid);
    fn ExSetTimerResolution(desired: u32, set: u8) -> u32 = |k| k.ex_set_timer_resolution(desired, set);
    fn ExSystemTimeToLocalTime(system: DriverPtr<u64>, local: DriverPtr<u64>) -> Nothing
        = |k| k.ex_system_time_to_local_time(system, local).map(Nothing::from);
    fn ExUuidCreate(uuid: DriverPtr<Guid>) -> NtStatus = |k| k.ex_uuid_create(uuid);
    fn ExVerifySuite(suite: u32) -> u8 = |k| k.ex_verify_suite(suite);

    fn ZwQuerySystemInformation(class: u32, buffer: u64, length: u32, needed: DriverPtr<u32>) -> NtStatus
        = |k| k.zw_query_system_information(class, buffer, length, needed);
}
