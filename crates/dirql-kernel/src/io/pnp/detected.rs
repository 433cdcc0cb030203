//! Devices that drivers have found by themselves.
//!
//! Source: WDK reference, ntddk.IoReportDetectedDevice; "Reporting a Legacy Device".

use alloc::format;
use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::device::{device_flags, device_type};
use dirql_abi::power::device_power_state;
use dirql_abi::resource::{
    CmFullResourceDescriptor, CmPartialResourceDescriptor, CmRange, CmResourceList, interface_type,
    resource_type as kind,
};
use dirql_chips::pci::Space;

use super::{Node, NodeState};
use crate::hal::{DeviceId, InterruptPolicy};
use crate::{Ddi, DriverPtr, Kernel};

impl Kernel {
    /// `IoReportDetectedDevice(DriverObject, LegacyBusType, BusNumber, SlotNumber, ResourceList,
    /// ResourceRequirements, ResourceAssigned, *DeviceObject)`
    ///
    /// Makes a physical device, to which the driver attaches its own; it counts as started. Its
    /// resources are those that the driver gives. A device that the driver brings along is
    /// entered as it is.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; NO_SUCH_DEVICE if plug and play has found the device already;
    ///   INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, ntddk.IoReportDetectedDevice. At a next start Windows would
    ///   enumerate the device and call AddDevice; here there is no next start.
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if the driver object is none.
    pub fn io_report_detected_device(
        &self,
        driver: u64,
        (bus_type, bus, slot): (i32, u32, u32),
        resources: u64,
        device: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let Some(service) = self.driver_name(driver) else {
            return Err(self.not_io_object(driver, "driver object"));
        };
        let machine = if bus_type == interface_type::PCIBus {
            self.device_in_slot(bus, slot)
        } else {
            self.device_of_list(resources)?
        };
        if machine.is_some_and(|machine| self.pdo_of_device(machine).is_some()) {
            return Ok(NtStatus::NO_SUCH_DEVICE);
        }
        let number = self.number_of_next_node();
        let mut physical_device = self.read(device)?;
        if physical_device == 0 {
            let name = Some(format!(r"\Device\NTPNP_ROOT{number:04}"));
            let owner = self.bus_driver()?;
            let kind = device_type::FILE_DEVICE_UNKNOWN;
            match self.create_device(owner, 16, name, kind, 0, 0)? {
                Ok(created) => physical_device = created,
                Err(status) => return Ok(status),
            }
        } else {
            self.expect_device(physical_device)?;
        }
        let clear = device_flags::DO_DEVICE_INITIALIZING;
        let set = device_flags::DO_BUS_ENUMERATED_DEVICE;
        self.change_device_flags(physical_device, clear, set)?;
        let node = Node {
            device: machine,
            parent: None,
            gone: false,
            number,
            pci: machine.and_then(|machine| self.pci_address(machine)),
            hardware_ids: alloc::vec![format!(r"DETECTED\{service}")],
            compatible_ids: alloc::vec::Vec::new(),
            instance: String::from("0000"),
            description: service,
            state: NodeState::Started,
            power: device_power_state::PowerDeviceD0,
            driver: Some(driver),
            agreed: None,
            installed: false,
        };
        self.io.pnp.nodes.borrow_mut().insert(physical_device, node);
        // One that has looked its line up has it already, and may have connected it.
        if let Some(machine) = machine.filter(|machine| self.sources_of(*machine).is_empty()) {
            // The last list is the one without messages, which such drivers do not know.
            let policy = InterruptPolicy::default();
            let line = self.offer(machine, &policy).pop();
            self.assign(machine, &policy, &[line.unwrap_or_default()]);
        }
        self.write(device, physical_device)?;
        Ok(NtStatus::SUCCESS)
    }

    /// The device off the bus whose registers a list begins with.
    fn device_of_list(&self, list: u64) -> Ddi<Option<DeviceId>> {
        if list == 0 {
            return Ok(None);
        }
        let first = list + size_of::<CmResourceList>() as u64;
        let head = self.read(DriverPtr::<CmFullResourceDescriptor>::new(first))?;
        let descriptors = DriverPtr::<CmPartialResourceDescriptor>::new(
            first + size_of::<CmFullResourceDescriptor>() as u64,
        );
        for index in 0..head.partial_resource_list.count.min(256) {
            let descriptor = self.read(descriptors.element(index as usize))?;
            let space = match descriptor.type_ {
                kind::CmResourceTypePort => Space::Port,
                kind::CmResourceTypeMemory => Space::Memory,
                _ => continue,
            };
            let start = descriptor.arm::<CmRange>().start;
            if let Some(device) = self.legacy_device_at(space, start) {
                return Ok(Some(device));
            }
        }
        Ok(None)
    }
}
