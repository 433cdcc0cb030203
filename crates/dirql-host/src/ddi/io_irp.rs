//! Requests.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KDeviceQueue, KDeviceQueueEntry};
use dirql_abi::io::{IoCsq, IoCsqIrpContext, IoRemoveLock};
use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, exports, routines};

exports! {
    fn IoAllocateIrp(stack_size: u8, charge_quota: u8) -> u64 = |k| k.io_allocate_irp(stack_size, charge_quota);
    fn IoAllocateIrpEx(_device: u64, stack_size: u8, charge_quota: u8) -> u64
        = |k| k.io_allocate_irp(stack_size, charge_quota);
    fn IoInitializeIrp(irp: u64, packet_size: u16, stack_size: u8) -> Nothing
        = |k| k.io_initialize_irp(irp, packet_size, stack_size).map(Nothing::from);
    fn IoReuseIrp(irp: u64, status: u32) -> Nothing = |k| k.io_reuse_irp(irp, status).map(Nothing::from);
    fn IoFreeIrp(irp: u64) -> Nothing = |k| k.io_free_irp(irp).map(Nothing::from);
    fn IoMakeAssociatedIrp(master: u64, stack_size: u8) -> u64 = |k| k.io_make_associated_irp(master, stack_size);
    fn IoBuildDeviceIoControlRequest(code: u32, device: u64, input: u64, input_length: u32, output: u64, output_length: u32, internal: u8, event: u64, io_status: u64) -> u64
        = |k| k.io_build_device_io_control_request(code, device, input, input_length, output, output_length, internal, event, io_status);
    fn IoBuildAsynchronousFsdRequest(function: u32, device: u64, buffer: u64, length: u32, offset: DriverPtr<i64>, io_status: u64) -> u64
        = |k| k.io_build_asynchronous_fsd_request(function, device, buffer, length, offset, io_status);
    fn IoBuildSynchronousFsdRequest(function: u32, device: u64, buffer: u64, length: u32, offset: DriverPtr<i64>, event: u64, io_status: u64) -> u64
        = |k| k.io_build_synchronous_fsd_request(function, device, buffer, length, offset, event, io_status);
    fn IofCallDriver(device: u64, irp: u64) -> NtStatus = |k| k.iof_call_driver(device, irp);
    fn IofCompleteRequest(irp: u64, boost: u8) -> Nothing = |k| k.iof_complete_request(irp, boost).map(Nothing::from);
    fn IoForwardIrpSynchronously(device: u64, irp: u64) -> u8 = |k| k.io_forward_irp_synchronously(device, irp);
    fn IoSetCompletionRoutineEx(device: u64, irp: u64, routine: u64, context: u64, success: u8, error: u8, cancel: u8) -> NtStatus
        = |k| k.io_set_completion_routine_ex(device, irp, routine, context, success, error, cancel);
    fn IoGetActivityIdIrp(irp: u64, id: DriverPtr<[u8; 16]>) -> NtStatus = |k| k.io_get_activity_id_irp(irp, id);
    fn IoSetActivityIdIrp(irp: u64, id: DriverPtr<[u8; 16]>) -> NtStatus = |k| k.io_set_activity_id_irp(irp, id);
    fn IoGetActivityIdThread() -> u64 = |k| k.io_get_activity_id_thread();
    fn IoSetActivityIdThread(id: u64) -> u64 = |k| k.io_set_activity_id_thread(id);
    fn IoClearActivityIdThread(original: u64) -> Nothing
        = |k| k.io_set_activity_id_thread(original).map(|_| Nothing::from(()));
    fn IoPropagateActivityIdToThread(irp: u64, id: DriverPtr<[u8; 16]>, original: DriverPtr<u64>) -> NtStatus
        = |k| k.io_propagate_activity_id_to_thread(irp, id, original);
    fn IoCancelIrp(irp: u64) -> u8 = |k| k.io_cancel_irp(irp);
    fn IoStartPacket(device: u64, irp: u64, key: DriverPtr<u32>, cancel: u64) -> Nothing
        = |k| k.io_start_packet(device, irp, key, cancel).map(Nothing::from);
    fn IoStartNextPacket(device: u64, cancelable: u8) -> Nothing
        = |k| k.io_start_next_packet(device, cancelable).map(Nothing::from);
    fn IoStartNextPacketByKey(device: u64, cancelable: u8, key: u32) -> Nothing
        = |k| k.io_start_next_packet_by_key(device, cancelable, key).map(Nothing::from);
    fn IoSetStartIoAttributes(device: u64, deferred: u8, non_cancelable: u8) -> Nothing
        = |k| k.io_set_start_io_attributes(device, deferred, non_cancelable).map(Nothing::from);
    fn KeInitializeDeviceQueue(queue: DriverPtr<KDeviceQueue>) -> Nothing
        = |k| k.ke_initialize_device_queue(queue).map(Nothing::from);
    fn KeInsertDeviceQueue(queue: DriverPtr<KDeviceQueue>, entry: DriverPtr<KDeviceQueueEntry>) -> u8
        = |k| k.ke_insert_device_queue(queue, entry);
    fn KeInsertByKeyDeviceQueue(queue: DriverPtr<KDeviceQueue>, entry: DriverPtr<KDeviceQueueEntry>, key: u32) -> u8
        = |k| k.ke_insert_by_key_device_queue(queue, entry, key);
    fn KeRemoveDeviceQueue(queue: DriverPtr<KDeviceQueue>) -> DriverPtr<KDeviceQueueEntry>
        = |k| k.ke_remove_device_queue(queue);
    fn KeRemoveByKeyDeviceQueue(queue: DriverPtr<KDeviceQueue>, key: u32) -> DriverPtr<KDeviceQueueEntry>
        = |k| k.ke_remove_by_key_device_queue(queue, key);
    fn KeRemoveEntryDeviceQueue(queue: DriverPtr<KDeviceQueue>, entry: DriverPtr<KDeviceQueueEntry>) -> u8
        = |k| k.ke_remove_entry_device_queue(queue, entry);
    fn IoCsqInitialize(csq: DriverPtr<IoCsq>, insert: u64, remove: u64, peek: u64, acquire: u64, release: u64, complete: u64) -> NtStatus
        = |k| k.io_csq_initialize(csq, [insert, remove, peek, acquire, release, complete], false);
    fn IoCsqInitializeEx(csq: DriverPtr<IoCsq>, insert: u64, remove: u64, peek: u64, acquire: u64, release: u64, complete: u64) -> NtStatus
        = |k| k.io_csq_initialize(csq, [insert, remove, peek, acquire, release, complete], true);
    fn IoCsqInsertIrp(csq: DriverPtr<IoCsq>, irp: u64, context: DriverPtr<IoCsqIrpContext>) -> Nothing
        = |k| k.io_csq_insert_irp(csq, irp, context).map(Nothing::from);
    fn IoCsqInsertIrpEx(csq: DriverPtr<IoCsq>, irp: u64, context: DriverPtr<IoCsqIrpContext>, insert: u64) -> NtStatus
        = |k| k.io_csq_insert_irp_ex(csq, irp, context, insert);
    fn IoCsqRemoveIrp(csq: DriverPtr<IoCsq>, context: DriverPtr<IoCsqIrpContext>) -> u64
        = |k| k.io_csq_remove_irp(csq, context);
    fn IoCsqRemoveNextIrp(csq: DriverPtr<IoCsq>, peek: u64) -> u64 = |k| k.io_csq_remove_next_irp(csq, peek);
    fn IoInitializeRemoveLockEx(lock: DriverPtr<IoRemoveLock>, _tag: u32, _minutes: u32, _watermark: u32, _bytes: u32) -> Nothing
        = |k| k.io_initialize_remove_lock_ex(lock).map(Nothing::from);
    fn IoAcquireRemoveLockEx(lock: DriverPtr<IoRemoveLock>, tag: u64, _file: u64, _line: u32, _bytes: u32) -> NtStatus
        = |k| k.io_acquire_remove_lock_ex(lock, tag);
    fn IoReleaseRemoveLockEx(lock: DriverPtr<IoRemoveLock>, tag: u64, _bytes: u32) -> Nothing
        = |k| k.io_release_remove_lock_ex(lock, tag).map(Nothing::from);
    fn IoReleaseRemoveLockAndWaitEx(lock: DriverPtr<IoRemoveLock>, tag: u64, _bytes: u32) -> Nothing
        = |k| k.io_release_remove_lock_and_wait_ex(lock, tag).map(Nothing::from);
}

routines! {
    fn InvalidDeviceRequest(device: u64, irp: u64) -> NtStatus = |k| k.invalid_device_request(device, irp);
    fn UnloadSafeCompletion(device: u64, irp: u64, block: u64) -> NtStatus
        = |k| k.unload_safe_completion(device, irp, block);
    fn SignalCompletion(device: u64, irp: u64, event: u64) -> NtStatus = |k| k.signal_completion(device, irp, event);
    fn CsqCancel(device: u64, irp: u64) -> Nothing = |k| k.csq_cancel(device, irp).map(Nothing::from);
}
