//! The bus driver's dispatch routines, for the physical devices of the machine.
//!
//! Source: WDK, "Plug and Play Minor IRPs": for each, what the bus driver does.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp, minor_pnp};
use dirql_abi::pnp::{
    DeviceCapabilities, DeviceRelations, PnpBusInformation, bus_query_id_type,
    device_relation_type, device_text_type,
};
use dirql_abi::power::{device_power_state, system_power_state};
use dirql_abi::stack_parameters::{
    StackParametersDeviceCapabilities, StackParametersDeviceRelations,
    StackParametersQueryDeviceText, StackParametersQueryId, StackParametersReadWriteConfig,
};
use dirql_chips::{Width, pci};
use zerocopy::IntoBytes;

use super::Node;
use super::lists::{Form, resource_list};
use super::requirements::requirements_list;
use crate::io::interface::multi_string;
use crate::{Ddi, DriverPtr, Kernel, at};

/// `PCI_WHICHSPACE_CONFIG`.
const CONFIGURATION_SPACE: u32 = 0;

/// Bytes of a function's configuration space that a read can want.
const CONFIGURATION_BYTES: u64 = 0x1000;

/// What a request is completed with. `None` leaves status and information as they came, as a
/// bus driver must for requests that it does not know.
pub(super) struct Reply(Option<(NtStatus, u64)>);

impl Reply {
    const UNKNOWN: Self = Self(None);
    const DONE: Self = Self::with(NtStatus::SUCCESS, 0);

    const fn with(status: NtStatus, information: u64) -> Self {
        Self(Some((status, information)))
    }

    /// Memory that the sender frees; 0 is no memory.
    const fn memory(address: u64) -> Self {
        if address == 0 {
            Self::with(NtStatus::INSUFFICIENT_RESOURCES, 0)
        } else {
            Self::with(NtStatus::SUCCESS, address)
        }
    }
}

impl Kernel {
    /// DispatchPnP of the bus driver.
    ///
    /// # Errors
    /// A request whose parameters are not memory.
    pub fn bus_pnp(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let stack = self.read(self.current_location(irp)?)?;
        let reply = match self.node(device) {
            Some(node) => self.answer_pnp(device, &node, irp, &stack)?,
            None => Reply::with(NtStatus::NO_SUCH_DEVICE, 0),
        };
        self.reply(irp, reply)
    }

    /// DispatchSystemControl of the bus driver: it is no WMI provider.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn bus_system_control(&self, _device: u64, irp: u64) -> Ddi<NtStatus> {
        self.reply(irp, Reply::UNKNOWN)
    }

    pub(super) fn reply(&self, irp: u64, reply: Reply) -> Ddi<NtStatus> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let status = match reply.0 {
            Some((status, information)) => {
                self.write(at!(pointer, Irp, io_status.status), status)?;
                self.write(at!(pointer, Irp, io_status.information), information)?;
                status
            }
            None => self.read(at!(pointer, Irp, io_status.status))?,
        };
        self.iof_complete_request(irp, 0)?;
        Ok(status)
    }

    fn answer_pnp(
        &self,
        device: u64,
        node: &Node,
        irp: u64,
        stack: &IoStackLocation,
    ) -> Ddi<Reply> {
        Ok(match stack.minor_function {
            minor_pnp::IRP_MN_START_DEVICE => {
                self.set_device_power(device, device_power_state::PowerDeviceD0);
                Reply::DONE
            }
            minor_pnp::IRP_MN_QUERY_STOP_DEVICE
            | minor_pnp::IRP_MN_CANCEL_STOP_DEVICE
            | minor_pnp::IRP_MN_STOP_DEVICE
            | minor_pnp::IRP_MN_QUERY_REMOVE_DEVICE
            | minor_pnp::IRP_MN_CANCEL_REMOVE_DEVICE
            | minor_pnp::IRP_MN_REMOVE_DEVICE
            | minor_pnp::IRP_MN_SURPRISE_REMOVAL
            | minor_pnp::IRP_MN_DEVICE_USAGE_NOTIFICATION
            | minor_pnp::IRP_MN_DEVICE_ENUMERATED => Reply::DONE,
            minor_pnp::IRP_MN_QUERY_PNP_DEVICE_STATE => {
                let state =
                    self.read(at!(DriverPtr::<Irp>::new(irp), Irp, io_status.information))?;
                Reply::with(NtStatus::SUCCESS, state)
            }
            minor_pnp::IRP_MN_QUERY_DEVICE_RELATIONS => self.answer_relations(device, stack)?,
            minor_pnp::IRP_MN_QUERY_CAPABILITIES => self.answer_capabilities(node, stack)?,
            minor_pnp::IRP_MN_QUERY_RESOURCES => {
                let assignment = node.device.and_then(|device| self.assignment(device));
                let assignment = assignment.unwrap_or_default();
                self.answer_list(resource_list(node, &assignment, Form::Raw))?
            }
            minor_pnp::IRP_MN_QUERY_RESOURCE_REQUIREMENTS => {
                let policy = self.interrupt_policy(device, node.installed);
                let alternatives = node.device.map(|device| self.offer(device, &policy));
                self.answer_list(requirements_list(node, &alternatives.unwrap_or_default()))?
            }
            minor_pnp::IRP_MN_QUERY_ID => self.answer_id(node, stack)?,
            minor_pnp::IRP_MN_QUERY_DEVICE_TEXT => self.answer_text(node, stack)?,
            minor_pnp::IRP_MN_QUERY_BUS_INFORMATION => self.answer_bus_information(node)?,
            minor_pnp::IRP_MN_QUERY_INTERFACE => {
                match self.answer_interface(device, node, stack)? {
                    Some(status) => {
                        let pointer = DriverPtr::<Irp>::new(irp);
                        Reply::with(status, self.read(at!(pointer, Irp, io_status.information))?)
                    }
                    None => Reply::UNKNOWN,
                }
            }
            minor_pnp::IRP_MN_READ_CONFIG | minor_pnp::IRP_MN_WRITE_CONFIG => {
                self.answer_config(node, stack)?
            }
            _ => Reply::UNKNOWN,
        })
    }

    /// Only TargetDeviceRelation has an answer: the devices have no children.
    fn answer_relations(&self, device: u64, stack: &IoStackLocation) -> Ddi<Reply> {
        let relation = stack.parameters::<StackParametersDeviceRelations>().type_;
        if relation != device_relation_type::TargetDeviceRelation {
            return Ok(Reply::UNKNOWN);
        }
        let bytes = size_of::<DeviceRelations>() as u64 + 8;
        let block = self.allocate_zeroed(bytes, crate::io::tag(b"PpRe"))?;
        if block != 0 {
            self.obf_reference_object(device)?;
            self.write(
                DriverPtr::new(block),
                DeviceRelations {
                    count: 1,
                    padding4: 0,
                },
            )?;
            self.write(DriverPtr::new(block + 8), device)?;
        }
        Ok(Reply::memory(block))
    }

    fn answer_capabilities(&self, node: &Node, stack: &IoStackLocation) -> Ddi<Reply> {
        let parameters = stack.parameters::<StackParametersDeviceCapabilities>();
        let pointer = DriverPtr::<DeviceCapabilities>::new(parameters.capabilities);
        let mut capabilities = self.read(pointer)?;
        if capabilities.version != 1
            || usize::from(capabilities.size) < size_of::<DeviceCapabilities>()
        {
            return Ok(Reply::with(NtStatus::UNSUCCESSFUL, 0));
        }
        capabilities.device_state = [device_power_state::PowerDeviceD3; 7];
        capabilities.device_state[system_power_state::PowerSystemUnspecified as usize] =
            device_power_state::PowerDeviceUnspecified;
        capabilities.device_state[system_power_state::PowerSystemWorking as usize] =
            device_power_state::PowerDeviceD0;
        capabilities.system_wake = system_power_state::PowerSystemUnspecified;
        capabilities.device_wake = device_power_state::PowerDeviceUnspecified;
        if let Some(address) = node.address() {
            capabilities.address = address;
        }
        self.write(pointer, capabilities)?;
        Ok(Reply::DONE)
    }

    /// A list in paged pool; without resources the request is not answered.
    fn answer_list(&self, list: Option<Vec<u8>>) -> Ddi<Reply> {
        let Some(bytes) = list else {
            return Ok(Reply::UNKNOWN);
        };
        let memory = self.pool_allocate(
            crate::io::PAGED,
            bytes.len() as u64,
            crate::io::tag(b"PpRl"),
        )?;
        if memory != 0 {
            self.write_bytes(memory, &bytes)?;
        }
        Ok(Reply::memory(memory))
    }

    fn answer_id(&self, node: &Node, stack: &IoStackLocation) -> Ddi<Reply> {
        let one = |text: &str| text.encode_utf16().chain([0]).collect::<Vec<u16>>();
        let units = match stack.parameters::<StackParametersQueryId>().id_type {
            bus_query_id_type::BusQueryDeviceID => one(node.device_id()),
            bus_query_id_type::BusQueryHardwareIDs => multi_string(&node.hardware_ids),
            bus_query_id_type::BusQueryCompatibleIDs => multi_string(&node.compatible_ids),
            bus_query_id_type::BusQueryInstanceID => one(&node.instance),
            _ => return Ok(Reply::UNKNOWN),
        };
        Ok(Reply::memory(self.pool_text(&units)?))
    }

    fn answer_text(&self, node: &Node, stack: &IoStackLocation) -> Ddi<Reply> {
        let text: String = match stack
            .parameters::<StackParametersQueryDeviceText>()
            .device_text_type
        {
            device_text_type::DeviceTextDescription => node.description.clone(),
            device_text_type::DeviceTextLocationInformation => node.location(),
            _ => return Ok(Reply::UNKNOWN),
        };
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        Ok(Reply::memory(self.pool_text(&units)?))
    }

    fn answer_bus_information(&self, node: &Node) -> Ddi<Reply> {
        let information = PnpBusInformation {
            bus_type_guid: node.bus_type(),
            legacy_bus_type: node.interface_type(),
            bus_number: node.bus_number(),
        };
        let size = size_of::<PnpBusInformation>() as u64;
        let memory = self.pool_allocate(crate::io::PAGED, size, crate::io::tag(b"PpBi"))?;
        if memory != 0 {
            self.write_bytes(memory, information.as_bytes())?;
        }
        Ok(Reply::memory(memory))
    }

    fn answer_config(&self, node: &Node, stack: &IoStackLocation) -> Ddi<Reply> {
        let Some(address) = node.pci else {
            return Ok(Reply::UNKNOWN);
        };
        let wish = stack.parameters::<StackParametersReadWriteConfig>();
        if wish.which_space != CONFIGURATION_SPACE {
            return Ok(Reply::with(NtStatus::INVALID_PARAMETER, 0));
        }
        let done = if stack.minor_function == minor_pnp::IRP_MN_READ_CONFIG {
            self.read_configuration(address, wish.offset, wish.length, wish.buffer)?
        } else {
            self.write_configuration(address, wish.offset, wish.length, wish.buffer)?
        };
        Ok(Reply::with(NtStatus::SUCCESS, done))
    }

    /// Copies from a function's configuration space; how many bytes it was.
    pub(super) fn read_configuration(
        &self,
        address: pci::Address,
        offset: u32,
        length: u32,
        to: u64,
    ) -> Ddi<u64> {
        let (offset, length) = clip(offset, length);
        let bytes: Vec<u8> = (offset..offset + length)
            .map(|at| self.read_pci_config(address, at as u16, Width::U8) as u8)
            .collect();
        self.write_bytes(to, &bytes)?;
        Ok(length)
    }

    /// Copies to a function's configuration space; how many bytes it was. Registers are
    /// written whole where the range covers them.
    pub(super) fn write_configuration(
        &self,
        address: pci::Address,
        offset: u32,
        length: u32,
        from: u64,
    ) -> Ddi<u64> {
        let (offset, length) = clip(offset, length);
        let bytes = self.read_bytes(from, length as usize)?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let left = &bytes[done..];
            let width = match (at % 4, left.len()) {
                (0, 4..) => Width::U32,
                (0 | 2, 2..) => Width::U16,
                _ => Width::U8,
            };
            let count = width.bytes() as usize;
            let value = left[..count]
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            self.write_pci_config(address, at as u16, width, value);
            done += count;
        }
        Ok(length)
    }

    /// What a device that is not PCI has instead of configuration space: nothing.
    pub(super) fn pci_of(&self, device: u64) -> Option<pci::Address> {
        self.node(device)?.pci
    }
}

/// The part of a range that is inside configuration space.
fn clip(offset: u32, length: u32) -> (u64, u64) {
    let offset = u64::from(offset).min(CONFIGURATION_BYTES);
    (offset, u64::from(length).min(CONFIGURATION_BYTES - offset))
}
