//! Power settings and requests, and the power management framework.

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

exports! {
    fn PoRegisterPowerSettingCallback(_device: u64, setting: DriverPtr<Guid>, callback: u64, context: u64, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.po_register_power_setting_callback(setting, callback, context, handle);
    fn PoUnregisterPowerSettingCallback(handle: u64) -> NtStatus
        = |k| k.po_unregister_power_setting_callback(handle);
    fn PoRegisterSystemState(handle: u64, flags: u32) -> u64 = |k| k.po_register_system_state(handle, flags);
    fn PoUnregisterSystemState(handle: u64) -> Nothing
        = |k| k.po_unregister_system_state(handle).map(Nothing::from);
    fn PoCreatePowerRequest(request: DriverPtr<u64>, device: u64, _context: u64) -> NtStatus
        = |k| k.po_create_power_request(request, device);
    fn PoSetPowerRequest(request: u64, kind: u32) -> NtStatus = |k| k.po_change_power_request(request, kind, true);
    fn PoClearPowerRequest(request: u64, kind: u32) -> NtStatus
        = |k| k.po_change_power_request(request, kind, false);
    fn PoDeletePowerRequest(request: u64) -> Nothing = |k| k.po_delete_power_request(request).map(Nothing::from);

    fn PoFxRegisterDevice(physical_device: u64, device: u64, handle: DriverPtr<u64>) -> NtStatus
        = |k| k.po_fx_register_device(physical_device, device, handle);
    fn PoFxUnregisterDevice(handle: u64) -> Nothing = |k| k.po_fx_unregister_device(handle).map(Nothing::from);
    fn PoFxStartDevicePowerManagement(handle: u64) -> Nothing
        = |k| k.po_fx_start_device_power_management(handle).map(Nothing::from);
    fn PoFxActivateComponent(handle: u64, component: u32, flags: u32) -> Nothing
        = |k| k.po_fx_change_component(handle, component, flags, true).map(Nothing::from);
    fn PoFxIdleComponent(handle: u64, component: u32, flags: u32) -> Nothing
        = |k| k.po_fx_change_component(handle, component, flags, false).map(Nothing::from);
    fn PoFxCompleteIdleCondition(handle: u64, component: u32) -> Nothing
        = |k| k.po_fx_complete_idle_condition(handle, component).map(Nothing::from);
    fn PoFxCompleteIdleState(handle: u64, component: u32) -> Nothing
        = |k| k.po_fx_complete_idle_state(handle, component).map(Nothing::from);
    fn PoFxCompleteDevicePowerNotRequired(handle: u64) -> Nothing
        = |k| k.po_fx_complete_device_power_not_required(handle).map(Nothing::from);
    fn PoFxReportDevicePoweredOn(handle: u64) -> Nothing
        = |k| k.po_fx_report_device_powered_on(handle).map(Nothing::from);
    fn PoFxSetDeviceIdleTimeout(handle: u64, timeout: u64) -> Nothing
        = |k| k.po_fx_set_device_idle_timeout(handle, timeout).map(Nothing::from);
    fn PoFxSetComponentLatency(handle: u64, component: u32, _latency: u64) -> Nothing
        = |k| k.po_fx_hint(handle, component).map(Nothing::from);
    fn PoFxSetComponentResidency(handle: u64, component: u32, _residency: u64) -> Nothing
        = |k| k.po_fx_hint(handle, component).map(Nothing::from);
    fn PoFxSetComponentWake(handle: u64, component: u32, _hint: u8) -> Nothing
        = |k| k.po_fx_hint(handle, component).map(Nothing::from);
    fn PoFxPowerControl(handle: u64, _code: DriverPtr<Guid>, _in: u64, _in_bytes: u64, _out: u64, _out_bytes: u64, _needed: u64) -> NtStatus
        = |k| k.po_fx_power_control(handle);
}
