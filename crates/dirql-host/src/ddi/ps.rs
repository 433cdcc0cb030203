//! Processes, threads and notify routines.

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_abi::string::UnicodeString;
use dirql_kernel::DriverPtr;

use super::exports;

exports! {
    fn IoGetCurrentProcess() -> u64 = |k| k.io_get_current_process();
    fn PsGetCurrentProcess() -> u64 = |k| k.io_get_current_process();
    fn PsGetCurrentProcessId() -> u64 = |k| k.ps_get_current_process_id();
    fn PsGetCurrentThreadId() -> u64 = |k| k.ps_get_current_thread_id();
    fn PsGetProcessCreateTimeQuadPart(_process: u64) -> u64 = |k| k.ps_get_process_create_time_quad_part();
    fn PsGetProcessImageFileName(process: u64) -> u64 = |k| Ok(k.ps_get_process_image_file_name(process));
    fn PsGetThreadId(thread: u64) -> u64 = |k| k.ps_get_thread_id(thread);
    fn PsGetThreadProcessId(thread: u64) -> u64 = |k| Ok(k.ps_get_process_id(k.process_of_thread(thread)));
    fn PsLookupProcessByProcessId(id: u64, process: DriverPtr<u64>) -> NtStatus
        = |k| k.ps_lookup_process_by_process_id(id, process);
    fn PsLookupThreadByThreadId(id: u64, thread: DriverPtr<u64>) -> NtStatus
        = |k| k.ps_lookup_thread_by_thread_id(id, thread);
    fn PsSetCreateProcessNotifyRoutineEx2(_kind: u32, routine: u64, remove: u8) -> NtStatus
        = |k| k.ps_set_create_process_notify_routine(routine, remove);
    fn PsSetCreateThreadNotifyRoutineEx(_kind: u32, routine: u64) -> NtStatus
        = |k| k.ps_set_create_thread_notify_routine(routine);
    fn PsSetLoadImageNotifyRoutineEx(routine: u64, _flags: u64) -> NtStatus
        = |k| k.ps_set_load_image_notify_routine(routine);
    fn ZwOpenProcess(handle: DriverPtr<u64>, access: u32, attributes: DriverPtr<ObjectAttributes>, client: DriverPtr<[u64; 2]>) -> NtStatus
        = |k| k.zw_open_process(handle, access, attributes, client);
    fn PsGetVersion(major: DriverPtr<u32>, minor: DriverPtr<u32>, build: DriverPtr<u32>, service_pack: DriverPtr<UnicodeString>) -> u8
        = |k| k.ps_get_version(major, minor, build, service_pack);
    fn NtSetInformationThread(thread: u64, class: u32, information: u64, length: u32) -> NtStatus
        = |k| k.zw_set_information_thread(thread, class, information, length);
    fn ZwSetInformationThread(thread: u64, class: u32, information: u64, length: u32) -> NtStatus
        = |k| k.zw_set_information_thread(thread, class, information, length);
    fn PsIsThreadTerminating(thread: u64) -> u8 = |k| k.ps_is_thread_terminating(thread);
    fn PsRemoveCreateThreadNotifyRoutine(routine: u64) -> NtStatus
        = |k| k.ps_remove_create_thread_notify_routine(routine);
    fn PsRemoveLoadImageNotifyRoutine(routine: u64) -> NtStatus
        = |k| k.ps_remove_load_image_notify_routine(routine);
    fn PsSetCreateProcessNotifyRoutine(routine: u64, remove: u8) -> NtStatus
        = |k| k.ps_set_create_process_notify_routine(routine, remove);
    fn PsSetCreateThreadNotifyRoutine(routine: u64) -> NtStatus
        = |k| k.ps_set_create_thread_notify_routine(routine);
    fn PsSetLoadImageNotifyRoutine(routine: u64) -> NtStatus
        = |k| k.ps_set_load_image_notify_routine(routine);
}
