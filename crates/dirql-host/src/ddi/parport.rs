//! Routines of the parallel port's function driver: what its driver object and the structures
//! that it gives to clients point at.

use dirql_abi::NtStatus;

use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, routines};

routines! {
    fn ParportAddDevice(driver: u64, device: u64) -> NtStatus = |k| k.parport_add_device(driver, device);
    fn ParportCreate(device: u64, irp: u64) -> NtStatus = |k| k.parport_create(device, irp);
    fn ParportClose(device: u64, irp: u64) -> NtStatus = |k| k.parport_close(device, irp);
    fn ParportCleanup(device: u64, irp: u64) -> NtStatus = |k| k.parport_cleanup(device, irp);
    fn ParportDeviceControl(device: u64, irp: u64) -> NtStatus = |k| k.parport_device_control(device, irp);
    fn ParportInternalControl(device: u64, irp: u64) -> NtStatus = |k| k.parport_internal_control(device, irp);
    fn ParportPnp(device: u64, irp: u64) -> NtStatus = |k| k.parport_pnp(device, irp);
    fn ParportPower(device: u64, irp: u64) -> NtStatus = |k| k.parport_power(device, irp);
    fn ParportSystemControl(device: u64, irp: u64) -> NtStatus = |k| k.parport_system_control(device, irp);
    fn ParportIsr(interrupt: u64, context: u64) -> u8 = |k| k.parport_isr(interrupt, context);
    fn ParportFreeDpc(_dpc: u64, context: u64, _argument1: u64, _argument2: u64) -> Nothing
        = |k| k.parport_free_dpc(context).map(Nothing::from);
    fn ParportCancel(device: u64, irp: u64) -> Nothing = |k| k.parport_cancel(device, irp).map(Nothing::from);
    fn ParportTryAllocate(context: u64) -> u8 = |k| k.parport_try_allocate(context);
    fn ParportFree(context: u64) -> Nothing = |k| k.parport_free(context).map(Nothing::from);
    fn ParportQueryWaiters(context: u64) -> u32 = |k| k.parport_query_waiters(context);
    fn ParportTryAllocateAtInterruptLevel(context: u64) -> u8
        = |k| k.parport_try_allocate_at_interrupt_level(context);
    fn ParportFreeFromInterruptLevel(context: u64) -> Nothing
        = |k| k.parport_free_from_interrupt_level(context).map(Nothing::from);
    fn ParportTrySetChipMode(context: u64, mode: u8) -> NtStatus = |k| k.parport_try_set_chip_mode(context, mode);
    fn ParportClearChipMode(context: u64, mode: u8) -> NtStatus = |k| k.parport_clear_chip_mode(context, mode);
    fn ParportTrySelect(context: u64, command: u64) -> NtStatus = |k| k.parport_try_select(context, command);
    fn ParportDeselect(context: u64, command: u64) -> NtStatus = |k| k.parport_deselect(context, command);
    fn ParclassDetermineModes(context: u64) -> u16 = |k| k.parclass_determine_modes(context);
    fn ParclassNegotiate(context: u64, forward: u16, reverse: u16, safety: u32, is_forward: u8) -> NtStatus
        = |k| k.parclass_negotiate(context, (forward, reverse), safety, is_forward);
    fn ParclassTerminate(context: u64) -> NtStatus = |k| k.parclass_terminate(context);
    fn ParclassForwardToReverse(context: u64) -> NtStatus = |k| k.parclass_forward_to_reverse(context);
    fn ParclassReverseToForward(context: u64) -> NtStatus = |k| k.parclass_reverse_to_forward(context);
    fn ParclassRead(context: u64, buffer: DriverPtr<u8>, most: u32, read: DriverPtr<u32>, _channel: u8) -> NtStatus
        = |k| k.parclass_read(context, buffer, most, read);
    fn ParclassWrite(context: u64, buffer: DriverPtr<u8>, length: u32, written: DriverPtr<u32>, _channel: u8) -> NtStatus
        = |k| k.parclass_write(context, buffer, length, written);
    fn ParclassTrySelect(context: u64, command: u64) -> NtStatus = |k| k.parclass_try_select(context, command);
    fn ParclassDeselect(context: u64, command: u64) -> NtStatus = |k| k.parclass_deselect(context, command);
}
