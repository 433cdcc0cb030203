//! Power.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, exports, routines};

exports! {
    fn PoCallDriver(device: u64, irp: u64) -> NtStatus = |k| k.po_call_driver(device, irp);
    fn PoStartNextPowerIrp(irp: u64) -> Nothing = |k| k.po_start_next_power_irp(irp).map(Nothing::from);
    fn PoSetPowerState(device: u64, kind: u32, state: u32) -> u32 = |k| k.po_set_power_state(device, kind, state);
    fn PoRequestPowerIrp(device: u64, minor: u8, state: u32, routine: u64, context: u64, irp: DriverPtr<u64>) -> NtStatus
        = |k| k.po_request_power_irp(device, minor, state, routine, context, irp);
    fn PoRegisterDeviceForIdleDetection(device: u64, conservation: u32, performance: u32, _state: u32) -> u64
        = |k| k.po_register_device_for_idle_detection(device, conservation, performance);
    fn ZwPowerInformation(level: u32, input: u64, _input_length: u32, output: u64, output_length: u32) -> NtStatus
        = |k| k.zw_power_information(level, input, (output, output_length));
    fn PoSetSystemWake(irp: u64) -> Nothing = |k| k.po_set_system_wake(irp).map(Nothing::from);
    fn PoGetSystemWake(irp: u64) -> u8 = |k| k.po_get_system_wake(irp);
    fn PoSetDeviceBusyEx(pointer: DriverPtr<u32>) -> Nothing = |k| k.po_set_device_busy_ex(pointer).map(Nothing::from);
    fn PoStartDeviceBusy(pointer: DriverPtr<u32>) -> Nothing = |k| k.po_set_device_busy_ex(pointer).map(Nothing::from);
    fn PoEndDeviceBusy(pointer: DriverPtr<u32>) -> Nothing = |k| k.po_set_device_busy_ex(pointer).map(Nothing::from);
    fn PoRequestShutdownEvent(event: DriverPtr<u64>) -> NtStatus = |k| k.po_request_shutdown_event(event);
    fn PoSetSystemState(flags: u32) -> Nothing = |k| k.po_set_system_state(flags).map(Nothing::from);
}

routines! {
    fn PowerCompletion(_device: u64, irp: u64, _context: u64) -> NtStatus = |k| k.power_completion(irp);
}
