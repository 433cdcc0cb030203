//! Bug checks, regions, and the debugger that is not there.

use dirql_abi::NtStatus;

use super::{Nothing, exports};

exports! {
    fn KeBugCheckEx(code: u32, p1: u64, p2: u64, p3: u64, p4: u64) -> Nothing
        = |k| k.ke_bug_check_ex(code, [p1, p2, p3, p4]).map(Nothing::from);
    fn KeBugCheck(code: u32) -> Nothing = |k| k.ke_bug_check_ex(code, [0; 4]).map(Nothing::from);
    fn KeEnterCriticalRegion() -> Nothing = |k| k.ke_enter_critical_region().map(Nothing::from);
    fn KeLeaveCriticalRegion() -> Nothing = |k| k.ke_leave_critical_region().map(Nothing::from);
    fn KeEnterGuardedRegion() -> Nothing = |k| k.ke_enter_guarded_region().map(Nothing::from);
    fn KeLeaveGuardedRegion() -> Nothing = |k| k.ke_leave_guarded_region().map(Nothing::from);
    fn KeAreApcsDisabled() -> u8 = |k| k.ke_are_apcs_disabled();
    fn KeAreAllApcsDisabled() -> u8 = |k| k.ke_are_all_apcs_disabled();
    fn KeGetRecommendedSharedDataAlignment() -> u32 = |_k| Ok(64);
    fn KdChangeOption(_option: u32, _in_length: u32, _in: u64, _out_length: u32, _out: u64, _needed: u64) -> NtStatus
        = |k| k.kd_change_option();
    fn KdSystemDebugControl(_command: u32, _in: u64, _in_length: u32, _out: u64, _out_length: u32, _needed: u64, _mode: u8) -> NtStatus
        = |_k| Ok(NtStatus::DEBUGGER_INACTIVE);
    fn KdRefreshDebuggerNotPresent() -> u8 = |_k| Ok(1);
    fn KdEnableDebugger() -> NtStatus = |_k| Ok(NtStatus::DEBUGGER_INACTIVE);
    fn KdDisableDebugger() -> NtStatus = |_k| Ok(NtStatus::DEBUGGER_INACTIVE);

    fn KeRegisterBugCheckCallback(record: u64, routine: u64, buffer: u64, length: u32, component: u64) -> u8
        = |k| k.ke_register_bug_check_callback(record, routine, (buffer, length), component);
    fn KeDeregisterBugCheckCallback(record: u64) -> u8 = |k| k.ke_deregister_bug_check_callback(record);
    fn KeRegisterBugCheckReasonCallback(record: u64, routine: u64, reason: u32, component: u64) -> u8
        = |k| k.ke_register_bug_check_reason_callback(record, routine, reason, component);
    fn KeDeregisterBugCheckReasonCallback(record: u64) -> u8 = |k| k.ke_deregister_bug_check_reason_callback(record);
    fn KeRegisterProcessorChangeCallback(routine: u64, context: u64, flags: u32) -> u64
        = |k| k.ke_register_processor_change_callback(routine, context, flags);
    fn KeDeregisterProcessorChangeCallback(handle: u64) -> Nothing
        = |k| k.ke_deregister_processor_change_callback(handle).map(Nothing::from);
    fn ZwYieldExecution() -> NtStatus = |k| k.zw_yield_execution();
    // There is no second counter.
    fn KeQueryAuxiliaryCounterFrequency(_frequency: u64) -> NtStatus = |_k| Ok(NtStatus::NOT_SUPPORTED);
    // The firmware is a BIOS, which has no variables.
    fn ExGetFirmwareEnvironmentVariable(_name: u64, _vendor: u64, _value: u64, _length: u64, _attributes: u64) -> NtStatus
        = |_k| Ok(NtStatus::NOT_IMPLEMENTED);
    fn ExSetFirmwareEnvironmentVariable(_name: u64, _vendor: u64, _value: u64, _length: u32, _attributes: u32) -> NtStatus
        = |_k| Ok(NtStatus::NOT_IMPLEMENTED);
    fn KeRegisterNmiCallback(routine: u64, context: u64) -> u64
        = |k| k.ke_register_nmi_callback(routine, context);
    fn KeDeregisterNmiCallback(handle: u64) -> NtStatus = |k| k.ke_deregister_nmi_callback(handle);
    fn KeStartDynamicProcessor(_local_apic: u32, _context: u64) -> NtStatus
        = |k| k.ke_start_dynamic_processor();
}
