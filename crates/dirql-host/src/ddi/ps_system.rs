//! What is asked about processes, of which there are two: the system's, and that of the
//! application whose requests a scenario sends. They have no code of their own below the kernel, no
//! environment block, no session but 0, no job, no debugger and no end.
//!
//! Source: the declarations of ntifs.h; most of these routines have no page.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use dirql_kernel::ps::InformationRoom;

use super::exports;

exports! {
    fn PsGetCurrentProcessSessionId() -> u32 = |_k| Ok(0);
    fn PsGetProcessSessionId(_process: u64) -> u32 = |_k| Ok(0);
    fn PsGetProcessSessionIdEx(_process: u64) -> u32 = |_k| Ok(0);
    fn PsGetThreadSessionId(_thread: u64) -> u32 = |_k| Ok(0);
    fn PsIsSystemProcess(process: u64) -> u8 = |k| Ok(u8::from(!k.is_application(process)));
    fn PsIsProcessBeingDebugged(_process: u64) -> u8 = |_k| Ok(0);
    fn PsIsThreadImpersonating(_thread: u64) -> u8 = |_k| Ok(0);
    fn PsGetProcessDebugPort(_process: u64) -> u64 = |_k| Ok(0);
    fn PsGetProcessPeb(_process: u64) -> u64 = |_k| Ok(0);
    fn PsGetProcessJob(_process: u64) -> u64 = |_k| Ok(0);
    fn PsGetProcessSectionBaseAddress(_process: u64) -> u64 = |_k| Ok(0);
    fn PsGetProcessInheritedFromUniqueProcessId(_process: u64) -> u64 = |_k| Ok(0);
    fn PsGetProcessWow64Process(_process: u64) -> u64 = |_k| Ok(0);
    fn PsGetCurrentProcessWow64Process() -> u64 = |_k| Ok(0);
    fn PsGetProcessExitProcessCalled(_process: u64) -> u8 = |_k| Ok(0);
    fn PsGetProcessExitStatus(_process: u64) -> NtStatus = |_k| Ok(NtStatus::PENDING);
    fn PsGetProcessExitTime() -> u64 = |_k| Ok(0);
    fn PsGetThreadTeb(_thread: u64) -> u64 = |_k| Ok(0);
    fn PsGetCurrentThreadTeb() -> u64 = |_k| Ok(0);
    fn PsGetCurrentThreadPreviousMode() -> u8 = |k| k.ex_get_previous_mode();
    fn PsGetCurrentThreadStackBase() -> u64 = |k| Ok(k.stack_of_caller().end);
    fn PsGetCurrentThreadStackLimit() -> u64 = |k| Ok(k.stack_of_caller().start);
    fn ZwQueryInformationProcess(handle: u64, class: u32, address: u64, bytes: u32, returned: DriverPtr<u32>) -> NtStatus
        = |k| k.zw_query_information_process(handle, class, InformationRoom { address, bytes, returned });
    fn ZwQueryInformationThread(handle: u64, class: u32, address: u64, bytes: u32, returned: DriverPtr<u32>) -> NtStatus
        = |k| k.zw_query_information_thread(handle, class, InformationRoom { address, bytes, returned });
    fn ZwOpenThread(handle: DriverPtr<u64>, access: u32, attributes: DriverPtr<dirql_abi::object::ObjectAttributes>, client: DriverPtr<[u64; 2]>) -> NtStatus
        = |k| k.zw_open_thread(handle, access, attributes, client);
}
