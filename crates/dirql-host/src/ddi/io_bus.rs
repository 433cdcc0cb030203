//! The bus driver's routines.

use dirql_abi::NtStatus;
use dirql_abi::dma::{DeviceDescription, DmaAdapter};
use dirql_kernel::DriverPtr;

use crate::ddi::{Nothing, routines};

routines! {
    fn BusPnp(device: u64, irp: u64) -> NtStatus = |k| k.bus_pnp(device, irp);
    fn BusPower(device: u64, irp: u64) -> NtStatus = |k| k.bus_power(device, irp);
    fn BusSystemControl(device: u64, irp: u64) -> NtStatus = |k| k.bus_system_control(device, irp);
    fn BusReference(context: u64) -> Nothing = |k| k.bus_reference(context).map(Nothing::from);
    fn BusDereference(context: u64) -> Nothing = |k| k.bus_dereference(context).map(Nothing::from);
    fn BusTranslateAddress(_context: u64, address: u64, _length: u32, _space: DriverPtr<u32>, translated: DriverPtr<u64>) -> u8
        = |k| k.bus_translate_address(address, translated);
    fn BusGetDmaAdapter(context: u64, description: DriverPtr<DeviceDescription>, registers: DriverPtr<u32>) -> DriverPtr<DmaAdapter>
        = |k| k.io_get_dma_adapter(context, description, registers);
    fn BusSetTableEntry(context: u64, entry: u32, message: u32) -> NtStatus
        = |k| k.bus_set_table_entry(context, entry, message);
    fn BusMaskTableEntry(context: u64, entry: u32) -> NtStatus = |k| k.bus_mask_table_entry(context, entry, true);
    fn BusUnmaskTableEntry(context: u64, entry: u32) -> NtStatus = |k| k.bus_mask_table_entry(context, entry, false);
    fn BusGetTableEntry(context: u64, entry: u32, message: DriverPtr<u32>, masked: DriverPtr<u8>) -> NtStatus
        = |k| k.bus_get_table_entry(context, entry, message, masked);
    fn BusGetTableSize(context: u64, size: DriverPtr<u32>) -> NtStatus = |k| k.bus_get_table_size(context, size);
    fn BusGetData(context: u64, data_type: u32, buffer: u64, offset: u32, length: u32) -> u32
        = |k| k.bus_get_data(context, data_type, buffer, offset, length);
    fn BusSetData(context: u64, data_type: u32, buffer: u64, offset: u32, length: u32) -> u32
        = |k| k.bus_set_data(context, data_type, buffer, offset, length);
}
