//! Time, processors, and the calling thread.

use dirql_abi::NtStatus;
use dirql_abi::processor::{GroupAffinity, ProcessorNumber};
use dirql_kernel::DriverPtr;

use super::{Nothing, Signed, exports};

exports! {
    fn KeStallExecutionProcessor(microseconds: u32) -> Nothing
        = |k| k.ke_stall_execution_processor(microseconds).map(Nothing::from);
    fn KeQuerySystemTime(time: DriverPtr<u64>) -> Nothing = |k| k.ke_query_system_time(time).map(Nothing::from);
    fn KeQuerySystemTimePrecise(time: DriverPtr<u64>) -> Nothing
        = |k| k.ke_query_system_time(time).map(Nothing::from);
    fn KeQueryInterruptTime() -> u64 = |k| k.ke_query_interrupt_time();
    fn KeQueryTickCount(count: DriverPtr<u64>) -> Nothing = |k| k.ke_query_tick_count(count).map(Nothing::from);
    fn KeQueryTimeIncrement() -> u32 = |k| k.ke_query_time_increment();
    fn KeQueryPerformanceCounter(frequency: DriverPtr<u64>) -> u64 = |k| k.ke_query_performance_counter(frequency);
    fn KeGetCurrentProcessorNumberEx(number: DriverPtr<ProcessorNumber>) -> u32
        = |k| k.ke_get_current_processor_number_ex(number);
    fn KeQueryActiveProcessors() -> u64 = |k| k.ke_query_active_processors();
    fn KeQueryActiveProcessorCount(mask: DriverPtr<u64>) -> u32 = |k| k.ke_query_active_processor_count(mask);
    fn KeQueryActiveProcessorCountEx(group: u16) -> u32 = |k| k.ke_query_active_processor_count_ex(group);
    fn KeQueryMaximumProcessorCount() -> u32 = |k| k.ke_query_active_processor_count_ex(0);
    fn KeQueryMaximumProcessorCountEx(group: u16) -> u32 = |k| k.ke_query_active_processor_count_ex(group);
    fn KeQueryActiveGroupCount() -> u16 = |k| k.ke_query_active_group_count();
    fn KeQueryMaximumGroupCount() -> u16 = |k| k.ke_query_active_group_count();
    fn KeQueryGroupAffinity(group: u16) -> u64 = |k| k.ke_query_group_affinity(group);
    fn KeGetCurrentThread() -> u64 = |k| Ok(k.current_kthread());
    fn PsGetCurrentThread() -> u64 = |k| Ok(k.current_kthread());

    fn PsCreateSystemThread(
        handle: DriverPtr<u64>,
        _access: u32,
        _attributes: u64,
        _process: u64,
        _client_id: u64,
        routine: u64,
        context: u64,
    ) -> NtStatus = |k| k.ps_create_system_thread(handle, routine, context);
    fn PsTerminateSystemThread(status: NtStatus) -> NtStatus = |k| k.ps_terminate_system_thread(status);
    fn KeSetPriorityThread(thread: u64, priority: i32) -> Signed
        = |k| k.ke_set_priority_thread(thread, priority).map(Signed);
    fn KeQueryPriorityThread(thread: u64) -> Signed = |k| k.ke_query_priority_thread(thread).map(Signed);

    fn KeSetSystemAffinityThread(mask: u64) -> Nothing
        = |k| k.ke_set_system_affinity_thread(mask).map(Nothing::from);
    fn KeSetSystemAffinityThreadEx(mask: u64) -> u64 = |k| k.ke_set_system_affinity_thread_ex(mask);
    fn KeRevertToUserAffinityThread() -> Nothing
        = |k| k.ke_revert_to_user_affinity_thread().map(Nothing::from);
    fn KeRevertToUserAffinityThreadEx(mask: u64) -> Nothing
        = |k| k.ke_revert_to_user_affinity_thread_ex(mask).map(Nothing::from);
    fn KeSetSystemGroupAffinityThread(
        affinity: DriverPtr<GroupAffinity>,
        previous: DriverPtr<GroupAffinity>,
    ) -> Nothing = |k| k.ke_set_system_group_affinity_thread(affinity, previous).map(Nothing::from);
    fn KeRevertToUserGroupAffinityThread(previous: DriverPtr<GroupAffinity>) -> Nothing
        = |k| k.ke_revert_to_user_group_affinity_thread(previous).map(Nothing::from);
    fn KeGetProcessorNumberFromIndex(index: u32, number: DriverPtr<ProcessorNumber>) -> NtStatus
        = |k| k.ke_get_processor_number_from_index(index, number);
    fn KeGetProcessorIndexFromNumber(number: DriverPtr<ProcessorNumber>) -> u32
        = |k| k.ke_get_processor_index_from_number(number);
}
