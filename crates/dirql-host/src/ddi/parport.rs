//! Routines of the parallel port's function driver: what its driver object and the structures
//! that it gives to clients point at.

use dirql_abi::NtStatus;

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
}
