//! The HAL's routines for drivers that know their hardware without plug and play.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

exports! {
    fn HalGetInterruptVector(
        interface: i32,
        bus: u32,
        level: u32,
        _vector: u32,
        irql: DriverPtr<u8>,
        affinity: DriverPtr<u64>,
    ) -> u32 = |k| k.hal_get_interrupt_vector((interface, bus, level), irql, affinity);
    fn HalGetBusDataByOffset(kind: u32, bus: u32, slot: u32, buffer: u64, offset: u32, length: u32) -> u32
        = |k| k.hal_get_bus_data_by_offset(kind, (bus, slot), buffer, (offset, length));
    fn HalGetBusData(kind: u32, bus: u32, slot: u32, buffer: u64, length: u32) -> u32
        = |k| k.hal_get_bus_data_by_offset(kind, (bus, slot), buffer, (0, length));
    fn HalSetBusDataByOffset(kind: u32, bus: u32, slot: u32, buffer: u64, offset: u32, length: u32) -> u32
        = |k| k.hal_set_bus_data_by_offset(kind, (bus, slot), buffer, (offset, length));
    fn HalSetBusData(kind: u32, bus: u32, slot: u32, buffer: u64, length: u32) -> u32
        = |k| k.hal_set_bus_data_by_offset(kind, (bus, slot), buffer, (0, length));
    fn HalDisplayString(text: u64) -> Nothing = |k| k.hal_display_string(text).map(Nothing::from);
    fn HalAssignSlotResources(
        _registry_path: u64,
        _class_name: u64,
        driver: u64,
        device: u64,
        bus_type: i32,
        bus: u32,
        slot: u32,
        allocated: DriverPtr<u64>,
    ) -> NtStatus = |k| k.hal_assign_slot_resources(driver, device, (bus_type, bus), slot, allocated);
    fn HalTranslateBusAddress(
        interface: i32,
        _bus: u32,
        address: u64,
        space: DriverPtr<u32>,
        translated: DriverPtr<u64>,
    ) -> u8 = |k| k.hal_translate_bus_address(interface, address, space, translated);
}
