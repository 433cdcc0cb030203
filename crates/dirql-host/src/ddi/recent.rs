//! Routines that came with later systems, of several families.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{FastMutex, KDeviceQueue, KDeviceQueueEntry};
use dirql_abi::irp::{FileObject, Irp};
use dirql_abi::memory::GeneralLookaside;
use dirql_abi::processor::GroupAffinity;
use dirql_abi::resource::CmPartialResourceDescriptor;
use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;
use dirql_kernel::io::PropertyRoom;
use dirql_kernel::rtl::CountedString;

use super::{Nothing, Signed, exports};

type Str = DriverPtr<CountedString>;
type Lookaside = DriverPtr<GeneralLookaside>;
type Key = DriverPtr<[u8; 20]>;
type Out = DriverPtr<u32>;
type Descriptor = DriverPtr<CmPartialResourceDescriptor>;

exports! {
    fn KeGenericCallDpc(routine: u64, context: u64) -> Nothing
        = |k| k.ke_generic_call_dpc(routine, context).map(Nothing::from);
    fn KeSignalCallDpcDone(count: DriverPtr<u32>) -> Nothing
        = |k| k.ke_signal_call_dpc_done(count).map(Nothing::from);
    fn KeSignalCallDpcSynchronize(barrier: u64) -> u32 = |k| k.ke_signal_call_dpc_synchronize(barrier);
    fn KeExpandKernelStackAndCallout(callout: u64, parameter: u64, bytes: u64) -> NtStatus
        = |k| k.ke_expand_kernel_stack_and_callout(callout, parameter, bytes);
    fn KeExpandKernelStackAndCalloutEx(callout: u64, parameter: u64, bytes: u64, _wait: u8, _context: u64) -> NtStatus
        = |k| k.ke_expand_kernel_stack_and_callout(callout, parameter, bytes);
    fn KeStackAttachProcess(process: u64, state: u64) -> Nothing
        = |k| k.ke_stack_attach_process(process, state).map(Nothing::from);
    fn KeAttachProcess(process: u64) -> Nothing = |k| k.ke_attach_process(process).map(Nothing::from);
    fn KeDetachProcess() -> Nothing = |k| {
        k.ke_detach_process();
        Ok(Nothing::from(()))
    };
    fn KeUnstackDetachProcess(state: u64) -> Nothing = |k| k.ke_unstack_detach_process(state).map(Nothing::from);
    fn KeQueryNodeActiveAffinity(node: u16, affinity: DriverPtr<GroupAffinity>, count: DriverPtr<u16>) -> Nothing
        = |k| k.ke_query_node_active_affinity(node, affinity, count).map(Nothing::from);
    fn KeQueryNodeMaximumProcessorCount(node: u16) -> u16 = |k| k.ke_query_node_maximum_processor_count(node);
    fn KeSetBasePriorityThread(thread: u64, increment: i32) -> Signed
        = |k| k.ke_set_base_priority_thread(thread, increment).map(Signed);
    fn KeSetAffinityThread(thread: u64, mask: u64) -> u64 = |k| k.ke_set_affinity_thread(thread, mask);
    fn KeRemoveByKeyDeviceQueueIfBusy(queue: DriverPtr<KDeviceQueue>, key: u32) -> DriverPtr<KDeviceQueueEntry>
        = |k| k.ke_remove_by_key_device_queue_if_busy(queue, key);
    fn RtlCmDecodeMemIoResource(descriptor: Descriptor, start: DriverPtr<u64>) -> u64
        = |k| k.rtl_cm_decode_mem_io_resource(descriptor, start);
    fn RtlCmEncodeMemIoResource(descriptor: Descriptor, kind: u8, length: u64, start: u64) -> NtStatus
        = |k| k.rtl_cm_encode_mem_io_resource(descriptor, kind, length, start);
    fn RtlFindClosestEncodableLength(length: u64, target: DriverPtr<u64>) -> NtStatus
        = |k| k.rtl_find_closest_encodable_length(length, target);
    fn IoSetTopLevelIrp(irp: u64) -> Nothing = |k| k.io_set_top_level_irp(irp).map(Nothing::from);
    fn IoGetTopLevelIrp() -> u64 = |k| k.io_get_top_level_irp();
    fn IoIsSystemThread(thread: u64) -> u8 = |k| k.io_is_system_thread(thread);
    fn IoSetIoPriorityHint(irp: DriverPtr<Irp>, hint: u32) -> NtStatus = |k| k.io_set_io_priority_hint(irp, hint);
    fn IoGetIoPriorityHint(irp: DriverPtr<Irp>) -> u32 = |k| k.io_get_io_priority_hint(irp);
    fn ExEnterCriticalRegionAndAcquireFastMutexUnsafe(mutex: DriverPtr<FastMutex>) -> Nothing
        = |k| {
            k.ke_enter_critical_region()?;
            k.ex_acquire_fast_mutex_unsafe(mutex).map(Nothing::from)
        };
    fn ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(mutex: DriverPtr<FastMutex>) -> Nothing
        = |k| {
            k.ex_release_fast_mutex_unsafe(mutex)?;
            k.ke_leave_critical_region().map(Nothing::from)
        };
    fn RtlAreAllAccessesGranted(granted: u32, desired: u32) -> u8 = |_k| Ok((!granted & desired == 0).into());
    fn RtlAreAnyAccessesGranted(granted: u32, desired: u32) -> u8 = |_k| Ok((granted & desired != 0).into());
    fn RtlNumberOfSetBitsUlongPtr(bits: u64) -> u32 = |_k| Ok(bits.count_ones());
    fn RtlEqualLuid(one: DriverPtr<u64>, other: DriverPtr<u64>) -> u8 = |k| Ok((k.read(one)? == k.read(other)?).into());
    fn RtlCopyLuid(to: DriverPtr<u64>, from: DriverPtr<u64>) -> Nothing
        = |k| Ok(Nothing::from(k.write(to, k.read(from)?)?));
    // There is no kernel debugger that could break in.
    fn KdPollBreakIn() -> u8 = |_k| Ok(0);
    // All text is shown, whatever its component and level.
    fn DbgQueryDebugFilterState(_component: u32, _level: u32) -> NtStatus = |_k| Ok(NtStatus(1));
    // Caches of the simulated computer are coherent, and writes are in order.
    fn KeInvalidateAllCaches() -> u8 = |_k| Ok(1);
    fn KeFlushWriteBuffer() -> Nothing = |_k| Ok(Nothing::from(()));

    fn ExAllocatePool3(flags: u64, bytes: u64, tag: u32, parameters: u64, count: u32) -> u64
        = |k| k.ex_allocate_pool3(flags, bytes, tag, (parameters, count));
    fn ExFreePool2(address: u64, tag: u32, _parameters: u64, _count: u32) -> Nothing
        = |k| k.ex_free_pool_with_tag(address, tag).map(Nothing::from);
    fn ExInitializeLookasideListEx(list: Lookaside, allocate: u64, free: u64, kind: u32, flags: u32, bytes: u64, tag: u32, depth: u16) -> NtStatus
        = |k| k.ex_initialize_lookaside_list_ex(list, allocate, free, kind, flags, bytes, tag, depth);
    fn ExFlushLookasideListEx(list: Lookaside) -> Nothing = |k| k.ex_flush_lookaside_list(list).map(Nothing::from);
    fn ExDeleteLookasideListEx(list: Lookaside) -> Nothing
        = |k| k.ex_delete_lookaside_list(list).map(Nothing::from);

    fn IoGetDevicePropertyData(device: u64, key: Key, language: u32, flags: u32, bytes: u32, address: u64, needed: Out, kind: Out) -> NtStatus
        = |k| k.io_get_device_property_data(device, key, language, flags, PropertyRoom { bytes, address, needed, kind });
    fn IoSetDevicePropertyData(device: u64, key: Key, language: u32, _flags: u32, kind: u32, bytes: u32, data: u64) -> NtStatus
        = |k| k.io_set_device_property_data(device, key, language, kind, (data, bytes));
    fn IoGetDeviceInterfacePropertyData(link: DriverPtr<UnicodeString>, key: Key, language: u32, _flags: u32, bytes: u32, address: u64, needed: Out, kind: Out) -> NtStatus
        = |k| k.io_get_device_interface_property_data(link, key, language, PropertyRoom { bytes, address, needed, kind });
    fn IoSetDeviceInterfacePropertyData(link: DriverPtr<UnicodeString>, key: Key, language: u32, _flags: u32, kind: u32, bytes: u32, data: u64) -> NtStatus
        = |k| k.io_set_device_interface_property_data(link, key, language, kind, (data, bytes));
    fn IoOpenDriverRegistryKey(driver: u64, kind: u32, access: u32, flags: u32, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.io_open_driver_registry_key(driver, kind, access, flags, handle);
    fn IoSetShareAccess(desired: u32, share: u32, file: DriverPtr<FileObject>, access: DriverPtr<[u32; 7]>) -> Nothing
        = |k| k.io_set_share_access(desired, share, file, access).map(Nothing::from);
    fn IoCheckShareAccess(desired: u32, share: u32, file: DriverPtr<FileObject>, access: DriverPtr<[u32; 7]>, update: u8) -> NtStatus
        = |k| k.io_check_share_access(desired, share, file, access, update);
    fn IoUpdateShareAccess(file: DriverPtr<FileObject>, access: DriverPtr<[u32; 7]>) -> Nothing
        = |k| k.io_change_share_access(file, access, true).map(Nothing::from);
    fn IoRemoveShareAccess(file: DriverPtr<FileObject>, access: DriverPtr<[u32; 7]>) -> Nothing
        = |k| k.io_change_share_access(file, access, false).map(Nothing::from);

    fn SeCaptureSubjectContext(context: DriverPtr<[u64; 4]>) -> Nothing
        = |k| k.se_capture_subject_context(context).map(Nothing::from);
    fn SeLockSubjectContext(context: DriverPtr<[u64; 4]>) -> Nothing
        = |k| k.se_look_at_subject_context(context).map(Nothing::from);
    fn SeUnlockSubjectContext(context: DriverPtr<[u64; 4]>) -> Nothing
        = |k| k.se_look_at_subject_context(context).map(Nothing::from);
    fn SeReleaseSubjectContext(context: DriverPtr<[u64; 4]>) -> Nothing
        = |k| k.se_look_at_subject_context(context).map(Nothing::from);
    fn SeAccessCheck(descriptor: u64, _context: u64, _locked: u8, desired: u32, previous: u32, _privileges: u64, mapping: DriverPtr<[u32; 4]>, mode: u8, granted: Out, status: DriverPtr<NtStatus>) -> u8
        = |k| k.se_access_check(descriptor, (desired, previous), mapping, mode, granted, status);
    fn RtlMapGenericMask(mask: Out, mapping: DriverPtr<[u32; 4]>) -> Nothing
        = |k| k.rtl_map_generic_mask(mask, mapping).map(Nothing::from);
    // The local system has every privilege, and is an administrator.
    fn SeSinglePrivilegeCheck(_privilege: u64, _mode: u8) -> u8 = |_k| Ok(1);
    fn SeTokenIsAdmin(_token: u64) -> u8 = |_k| Ok(1);

    fn RtlUnicodeToUTF8N(to: u64, room: u32, actual: Out, from: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_unicode_to_utf8_n(to, room, actual, from, bytes);
    fn RtlUTF8ToUnicodeN(to: u64, room: u32, actual: Out, from: u64, bytes: u32) -> NtStatus
        = |k| k.rtl_utf8_to_unicode_n(to, room, actual, from, bytes);
    fn RtlUnicodeStringToUTF8String(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_unicode_string_to_utf8_string(to, from, allocate);
    fn RtlUTF8StringToUnicodeString(to: Str, from: Str, allocate: u8) -> NtStatus
        = |k| k.rtl_utf8_string_to_unicode_string(to, from, allocate);
    fn RtlInitUTF8String(string: Str, text: u64) -> Nothing
        = |k| k.rtl_init_ansi_string(string, text).map(Nothing::from);
    fn RtlFreeUTF8String(string: Str) -> Nothing = |k| k.rtl_free_unicode_string(string).map(Nothing::from);

    fn ObDereferenceObject(object: u64) -> Nothing
        = |k| k.obf_dereference_object(object).map(|_| Nothing::from(()));
    fn MmIsDriverVerifyingByAddress(_address: u64) -> u32 = |k| k.mm_is_driver_verifying();
    fn MmMapVideoDisplay(physical: u64, bytes: u64, cache: u32) -> u64
        = |k| k.mm_map_io_space(physical, bytes, cache);
    fn MmUnmapVideoDisplay(address: u64, bytes: u64) -> Nothing
        = |k| k.mm_unmap_io_space(address, bytes).map(Nothing::from);
    fn MmIsNonPagedSystemAddressValid(address: u64) -> u8 = |k| k.mm_is_address_valid(address);
}
