//! The I/O manager's routines for drivers that find their hardware without plug and play.

use dirql_abi::NtStatus;
use dirql_kernel::DriverPtr;
use dirql_kernel::io::{DescriptionWish, ResourceListArgument as List};

use super::exports;

exports! {
    fn IoReportResourceForDetection(
        driver: u64,
        driver_list: u64,
        driver_size: u32,
        device: u64,
        device_list: u64,
        device_size: u32,
        conflict: DriverPtr<u8>,
    ) -> NtStatus = |k| {
        let driver_list = List { address: driver_list, size: driver_size };
        let device_list = List { address: device_list, size: device_size };
        k.io_report_resource_for_detection(driver, driver_list, device, device_list, conflict)
    };
    fn IoReportResourceUsage(
        _class_name: u64,
        driver: u64,
        driver_list: u64,
        driver_size: u32,
        device: u64,
        device_list: u64,
        device_size: u32,
        override_conflict: u8,
        conflict: DriverPtr<u8>,
    ) -> NtStatus = |k| {
        let driver_list = List { address: driver_list, size: driver_size };
        let device_list = List { address: device_list, size: device_size };
        k.io_report_resource_usage(driver, driver_list, (device, device_list), override_conflict, conflict)
    };
    fn IoAssignResources(
        _registry_path: u64,
        _class_name: u64,
        driver: u64,
        device: u64,
        requested: u64,
        allocated: DriverPtr<u64>,
    ) -> NtStatus = |k| k.io_assign_resources(driver, device, requested, allocated);
    fn IoQueryDeviceDescription(
        bus_type: DriverPtr<i32>,
        bus: DriverPtr<u32>,
        controller_type: DriverPtr<u32>,
        controller: DriverPtr<u32>,
        peripheral_type: DriverPtr<u32>,
        _peripheral: DriverPtr<u32>,
        routine: u64,
        context: u64,
    ) -> NtStatus = |k| {
        let optional = |pointer: DriverPtr<u32>| (!pointer.is_null()).then(|| k.read(pointer)).transpose();
        let wish = DescriptionWish {
            bus_type: optional(bus_type.cast())?.map(|value| value as i32),
            bus: optional(bus)?,
            controller_type: optional(controller_type)?,
            controller: optional(controller)?,
            peripheral: !peripheral_type.is_null(),
        };
        k.io_query_device_description(wish, routine, context)
    };
    fn IoReportDetectedDevice(
        driver: u64,
        bus_type: i32,
        bus: u32,
        slot: u32,
        resources: u64,
        _requirements: u64,
        _assigned: u8,
        device: DriverPtr<u64>,
    ) -> NtStatus = |k| k.io_report_detected_device(driver, (bus_type, bus, slot), resources, device);
}
