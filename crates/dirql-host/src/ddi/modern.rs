//! Routines of newer systems: event tracing, run-down protection, timers of the system's.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::KTimer;
use dirql_abi::dpc::KDpc;
use dirql_abi::guid::Guid;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports, routines};

type Rundown = DriverPtr<u64>;

exports! {
    fn EtwRegister(provider: DriverPtr<Guid>, _callback: u64, _context: u64, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.etw_register(provider, handle);
    fn EtwUnregister(handle: u64) -> NtStatus = |k| k.etw_unregister(handle);
    fn EtwWrite(handle: u64, _descriptor: u64, _activity: u64, _count: u32, _data: u64) -> NtStatus
        = |k| k.etw_write(handle);
    fn EtwWriteEx(handle: u64, _descriptor: u64, _filter: u64, _flags: u32, _activity: u64, _related: u64, _count: u32, _data: u64) -> NtStatus
        = |k| k.etw_write(handle);
    fn EtwWriteString(handle: u64, _level: u8, _keyword: u64, _activity: u64, _text: u64) -> NtStatus
        = |k| k.etw_write(handle);
    fn EtwWriteTransfer(handle: u64, _descriptor: u64, _activity: u64, _related: u64, _count: u32, _data: u64) -> NtStatus
        = |k| k.etw_write(handle);
    fn EtwSetInformation(handle: u64, _class: u32, _information: u64, _length: u32) -> NtStatus
        = |k| k.etw_write(handle);
    fn EtwEventEnabled(_handle: u64, _descriptor: u64) -> u8 = |_k| Ok(0);
    fn EtwProviderEnabled(_handle: u64, _level: u8, _keyword: u64) -> u8 = |_k| Ok(0);
    fn EtwActivityIdControl(code: u32, id: DriverPtr<Guid>) -> NtStatus = |k| k.etw_activity_id_control(code, id);

    fn ExInitializeRundownProtection(reference: Rundown) -> Nothing
        = |k| k.ex_initialize_rundown_protection(reference).map(Nothing::from);
    fn ExReInitializeRundownProtection(reference: Rundown) -> Nothing
        = |k| k.ex_initialize_rundown_protection(reference).map(Nothing::from);
    fn ExAcquireRundownProtection(reference: Rundown) -> u8 = |k| k.ex_acquire_rundown_protection(reference, 1);
    fn ExAcquireRundownProtectionEx(reference: Rundown, count: u32) -> u8
        = |k| k.ex_acquire_rundown_protection(reference, count);
    fn ExReleaseRundownProtection(reference: Rundown) -> Nothing
        = |k| k.ex_release_rundown_protection(reference, 1).map(Nothing::from);
    fn ExReleaseRundownProtectionEx(reference: Rundown, count: u32) -> Nothing
        = |k| k.ex_release_rundown_protection(reference, count).map(Nothing::from);
    fn ExWaitForRundownProtectionRelease(reference: Rundown) -> Nothing
        = |k| k.ex_wait_for_rundown_protection_release(reference).map(Nothing::from);
    fn ExRundownCompleted(reference: Rundown) -> Nothing = |k| k.ex_rundown_completed(reference).map(Nothing::from);

    fn ExAllocateCacheAwareRundownProtection(pool: u32, tag: u32) -> u64
        = |k| k.ex_allocate_cache_aware_rundown_protection(pool, tag);
    fn ExFreeCacheAwareRundownProtection(reference: u64) -> Nothing = |k| k.ex_free_pool(reference).map(Nothing::from);
    fn ExSizeOfRundownProtectionCacheAware() -> u64 = |k| k.ex_size_of_rundown_protection_cache_aware();
    fn ExInitializeRundownProtectionCacheAware(reference: Rundown, _bytes: u64) -> Nothing
        = |k| k.ex_initialize_rundown_protection(reference).map(Nothing::from);
    fn ExReInitializeRundownProtectionCacheAware(reference: Rundown) -> Nothing
        = |k| k.ex_initialize_rundown_protection(reference).map(Nothing::from);
    fn ExAcquireRundownProtectionCacheAware(reference: Rundown) -> u8
        = |k| k.ex_acquire_rundown_protection(reference, 1);
    fn ExAcquireRundownProtectionCacheAwareEx(reference: Rundown, count: u32) -> u8
        = |k| k.ex_acquire_rundown_protection(reference, count);
    fn ExReleaseRundownProtectionCacheAware(reference: Rundown) -> Nothing
        = |k| k.ex_release_rundown_protection(reference, 1).map(Nothing::from);
    fn ExReleaseRundownProtectionCacheAwareEx(reference: Rundown, count: u32) -> Nothing
        = |k| k.ex_release_rundown_protection(reference, count).map(Nothing::from);
    fn ExWaitForRundownProtectionReleaseCacheAware(reference: Rundown) -> Nothing
        = |k| k.ex_wait_for_rundown_protection_release(reference).map(Nothing::from);
    fn ExRundownCompletedCacheAware(reference: Rundown) -> Nothing
        = |k| k.ex_rundown_completed(reference).map(Nothing::from);

    fn ExAllocateTimer(callback: u64, context: u64, attributes: u32) -> u64
        = |k| k.ex_allocate_timer(callback, context, attributes);
    fn ExSetTimer(timer: u64, due: i64, period: i64, _parameters: u64) -> u8 = |k| k.ex_set_timer(timer, due, period);
    fn ExCancelTimer(timer: u64, _parameters: u64) -> u8 = |k| k.ex_cancel_timer(timer);
    fn ExDeleteTimer(timer: u64, _cancel: u8, wait: u8, parameters: u64) -> u8
        = |k| k.ex_delete_timer(timer, wait, parameters);
    fn KeSetCoalescableTimer(timer: DriverPtr<KTimer>, due: i64, period: u32, _tolerable: u32, dpc: DriverPtr<KDpc>) -> u8
        = |k| k.ke_set_timer_ex(timer, due, period.min(i32::MAX as u32) as i32, dpc);

    fn KeQueryInterruptTimePrecise(counter: DriverPtr<u64>) -> u64
        = |k| {
            let ticks = k.ke_query_performance_counter(DriverPtr::NULL)?;
            k.write(counter, ticks)?;
            k.ke_query_interrupt_time()
        };
    fn KeQueryUnbiasedInterruptTime() -> u64 = |k| k.ke_query_interrupt_time();
    fn KeQueryUnbiasedInterruptTimePrecise(counter: DriverPtr<u64>) -> u64
        = |k| {
            let ticks = k.ke_query_performance_counter(DriverPtr::NULL)?;
            k.write(counter, ticks)?;
            k.ke_query_interrupt_time()
        };
    fn KeGetCurrentNodeNumber() -> u16 = |_k| Ok(0);
    fn KeQueryHighestNodeNumber() -> u16 = |_k| Ok(0);
    fn KeSaveExtendedProcessorState(_mask: u64, _state: u64) -> NtStatus = |k| k.ke_save_extended_processor_state();
    fn KeRestoreExtendedProcessorState(_state: u64) -> Nothing
        = |k| k.ke_restore_extended_processor_state().map(Nothing::from);
    // Registers that a driver may use belong to its strand: there is nothing to save.
    fn KeSaveFloatingPointState(_state: u64) -> NtStatus = |_k| Ok(NtStatus::SUCCESS);
    fn KeRestoreFloatingPointState(_state: u64) -> NtStatus = |_k| Ok(NtStatus::SUCCESS);

    fn IoValidateDeviceIoControlAccess(irp: u64, required: u32) -> NtStatus
        = |k| k.io_validate_device_io_control_access(irp, required);
    fn IoIsOperationSynchronous(irp: u64) -> u8 = |k| k.io_is_operation_synchronous(irp);
    fn IoWithinStackLimits(start: u64, bytes: u64) -> u8 = |k| k.io_within_stack_limits(start, bytes);
    fn IoIs32bitProcess(_irp: u64) -> u8 = |_k| Ok(0);
    fn IoGetRequestorProcess(irp: u64) -> u64 = |k| k.io_get_requestor_process(irp);
    fn IoGetRequestorProcessId(irp: u64) -> u32
        = |k| k.io_get_requestor_process(irp).map(|process| k.ps_get_process_id(process) as u32);
    fn IoThreadToProcess(thread: u64) -> u64 = |k| Ok(k.process_of_thread(thread));
    fn IoCreateSystemThread(
        _object: u64, handle: DriverPtr<u64>, _access: u32, _attributes: u64, _process: u64, _client: u64,
        routine: u64, context: u64,
    ) -> NtStatus = |k| k.ps_create_system_thread(handle, routine, context);
    fn PsGetThreadProcess(thread: u64) -> u64 = |k| Ok(k.process_of_thread(thread));
    fn PsGetProcessId(process: u64) -> u64 = |k| Ok(k.ps_get_process_id(process));
    fn PsIsSystemThread(thread: u64) -> u8 = |k| Ok(k.ps_is_system_thread(thread));
    fn PsSetCreateProcessNotifyRoutineEx(routine: u64, remove: u8) -> NtStatus
        = |k| k.ps_set_create_process_notify_routine(routine, remove);

    fn MmGetPhysicalMemoryRanges() -> u64 = |k| k.mm_get_physical_memory_ranges();
    // There is one partition of memory.
    fn MmGetPhysicalMemoryRangesEx(_partition: u64) -> u64 = |k| k.mm_get_physical_memory_ranges();
    fn MmGetPhysicalMemoryRangesEx2(_partition: u64, _flags: u32) -> u64 = |k| k.mm_get_physical_memory_ranges();
    fn MmCopyMemory(target: u64, source: u64, bytes: u64, flags: u32, copied: DriverPtr<u64>) -> NtStatus
        = |k| k.mm_copy_memory(target, source, bytes, flags, copied);

    fn ObfReferenceObjectWithTag(object: u64, _tag: u32) -> u64 = |k| k.obf_reference_object(object);
    fn ObfDereferenceObjectWithTag(object: u64, _tag: u32) -> u64 = |k| k.obf_dereference_object(object);
    fn ObDereferenceObjectDeferDelete(object: u64) -> Nothing
        = |k| k.obf_dereference_object(object).map(|_| Nothing::from(()));
    fn ObDereferenceObjectDeferDeleteWithTag(object: u64, _tag: u32) -> Nothing
        = |k| k.obf_dereference_object(object).map(|_| Nothing::from(()));
    fn ObReferenceObjectByHandleWithTag(handle: u64, access: u32, object_type: u64, mode: u8, _tag: u32, object: DriverPtr<u64>, information: DriverPtr<[u32; 2]>) -> NtStatus
        = |k| k.ob_reference_object_by_handle(handle, access, object_type, mode, object, information);
    fn ObReferenceObjectByPointerWithTag(object: u64, access: u32, object_type: u64, mode: u8, _tag: u32) -> NtStatus
        = |k| k.ob_reference_object_by_pointer(object, access, object_type, mode);
    fn ObIsKernelHandle(handle: u64) -> u8 = |_k| Ok(u8::from((handle as i64) < 0));
}

routines! {
    fn ExTimerDpc(_dpc: u64, timer: u64, _argument1: u64, _argument2: u64) -> Nothing
        = |k| k.ex_timer_dpc(timer).map(Nothing::from);
}
