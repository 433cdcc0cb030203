//! The port's life: plug and play, power, and handles.
//!
//! A port that clients are connected to is neither stopped nor removed while it can be asked. One
//! that is pulled out cannot be: then its requests are completed, later ones are refused, and the
//! line is disconnected when the device is removed.
//!
//! Source: WDK, "Plug and Play Minor IRPs"; the sample.

use dirql_abi::guid::GUID_DEVINTERFACE_PARALLEL;
use dirql_abi::irp::{IoStackLocation, Irp, minor_pnp};
use dirql_abi::resource::interrupt_flags::CM_RESOURCE_INTERRUPT_LATCHED;
use dirql_abi::resource::resource_type;
use dirql_abi::resource::share_disposition::CmResourceShareShared;
use dirql_abi::resource::{
    CmFullResourceDescriptor, CmInterrupt, CmPartialResourceDescriptor, CmRange, CmResourceList,
};
use dirql_abi::stack_parameters::{
    StackParametersFilterResourceRequirements, StackParametersStartDevice,
};
use dirql_abi::string::UnicodeString;
use dirql_abi::{Irql, NtStatus};
use dirql_chips::parport::spec;

use super::chip::Ports;
use super::settings::Cleanup;
use super::{Line, Port, State, extension};
use crate::{Ddi, DriverPtr, Kernel, at};

/// Descriptors of a start that are looked at.
const MOST_DESCRIPTORS: u32 = 64;

/// What a start was given.
#[derive(Default)]
struct Given {
    registers: Option<Ports>,
    extended: Option<Ports>,
    line: Option<Line>,
}

impl Kernel {
    /// DispatchPnP.
    ///
    /// # Errors
    /// As the drivers below.
    pub fn parport_pnp(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let stack = self.read(self.current_location(irp)?)?;
        let Some(context) = self.port_of_device(device) else {
            return self.port_finish(irp, NtStatus::DELETE_PENDING, 0);
        };
        let lower = self.with_port(context, |port| port.lower)?;
        match stack.minor_function {
            minor_pnp::IRP_MN_START_DEVICE => self.start_port(context, irp, &stack),
            minor_pnp::IRP_MN_FILTER_RESOURCE_REQUIREMENTS => {
                self.filter_port(context, irp, &stack)
            }
            minor_pnp::IRP_MN_QUERY_STOP_DEVICE | minor_pnp::IRP_MN_QUERY_REMOVE_DEVICE => {
                self.query_port(context, irp, stack.minor_function)
            }
            minor_pnp::IRP_MN_CANCEL_REMOVE_DEVICE => {
                self.with_port(context, |port| {
                    if let State::RemovePending(started) = port.state {
                        port.state = if started {
                            State::Started
                        } else {
                            State::Stopped
                        };
                    }
                })?;
                self.agree(lower, irp)
            }
            minor_pnp::IRP_MN_STOP_DEVICE => {
                self.with_port(context, |port| port.state = State::Stopped)?;
                self.agree(lower, irp)
            }
            minor_pnp::IRP_MN_SURPRISE_REMOVAL => {
                self.with_port(context, |port| port.state = State::SurpriseRemoved)?;
                self.cancel_waiters(context, |_| true)?;
                self.enable_port_interface(context, false)?;
                self.agree(lower, irp)
            }
            minor_pnp::IRP_MN_REMOVE_DEVICE => self.remove_port(context, irp),
            minor_pnp::IRP_MN_CANCEL_STOP_DEVICE => self.agree(lower, irp),
            minor_pnp::IRP_MN_QUERY_DEVICE_RELATIONS => {
                if self.add_removal_relations(context, irp, &stack)? {
                    self.agree(lower, irp)
                } else {
                    self.pass_on(lower, irp)
                }
            }
            _ => self.pass_on(lower, irp),
        }
    }

    /// DispatchPower.
    ///
    /// # Errors
    /// As the drivers below.
    pub fn parport_power(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        self.po_start_next_power_irp(irp)?;
        let Some(context) = self.port_of_device(device) else {
            return self.port_finish(irp, NtStatus::DELETE_PENDING, 0);
        };
        let lower = self.with_port(context, |port| port.lower)?;
        self.skip_stack_location(irp)?;
        self.po_call_driver(lower, irp)
    }

    /// DispatchSystemControl: it is no WMI provider.
    ///
    /// # Errors
    /// As the drivers below.
    pub fn parport_system_control(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let Some(context) = self.port_of_device(device) else {
            return self.port_finish(irp, NtStatus::DELETE_PENDING, 0);
        };
        let lower = self.with_port(context, |port| port.lower)?;
        self.pass_on(lower, irp)
    }

    /// DispatchCreate: opening is shared.
    ///
    /// - Returns: STATUS_DELETE_PENDING while a removal is under way.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn parport_create(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let child = self.port_child(device).map(|child| child.context);
        let opened = match child.or_else(|| self.port_of_device(device)) {
            None => false,
            Some(context) => self.with_port(context, |port| {
                let gone = matches!(port.state, State::RemovePending(_) | State::SurpriseRemoved);
                !gone
            })?,
        };
        let status = if opened {
            NtStatus::SUCCESS
        } else {
            NtStatus::DELETE_PENDING
        };
        self.port_finish(irp, status, 0)
    }

    /// DispatchClose.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn parport_close(&self, _device: u64, irp: u64) -> Ddi<NtStatus> {
        self.port_finish(irp, NtStatus::SUCCESS, 0)
    }

    /// DispatchCleanup: cancels what waits; see [`Cleanup`].
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn parport_cleanup(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let file = self.read(at!(
            self.current_location(irp)?,
            IoStackLocation,
            file_object
        ))?;
        if let Some(context) = self.port_of_device(device) {
            let all = self.config().parallel_port.cleanup == Cleanup::Port;
            self.cancel_waiters(context, |waiter| all || waiter.file == file && file != 0)?;
        }
        self.port_finish(irp, NtStatus::SUCCESS, 0)
    }

    fn start_port(&self, context: u64, irp: u64, stack: &IoStackLocation) -> Ddi<NtStatus> {
        let lower = self.with_port(context, |port| port.lower)?;
        self.io_forward_irp_synchronously(lower, irp)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        let mut status = self.read(at!(pointer, Irp, io_status.status))?;
        if status.is_success() {
            let list = stack.parameters::<StackParametersStartDevice>();
            status = self.bring_up(context, list.allocated_resources_translated)?;
        }
        self.port_finish(irp, status, 0)
    }

    /// Finds out about the hardware, and lets clients in.
    fn bring_up(&self, context: u64, translated: u64) -> Ddi<NtStatus> {
        let given = self.read_resources(translated)?;
        let Some(registers) = given.registers else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let hardware = self.detect_chip(registers, given.extended)?;
        self.with_port(context, |port| {
            port.hardware = hardware;
            port.line = given.line;
            port.mode = 0;
            port.state = State::Started;
        })?;
        self.find_chain(context)?;
        self.make_children(context)?;
        self.enable_port_interface(context, true)?;
        Ok(NtStatus::SUCCESS)
    }

    fn read_resources(&self, list: u64) -> Ddi<Given> {
        let mut given = Given::default();
        if list == 0 {
            return Ok(given);
        }
        let head = list + size_of::<CmResourceList>() as u64;
        let count = self
            .read(DriverPtr::<CmFullResourceDescriptor>::new(head))?
            .partial_resource_list
            .count;
        let first = head + size_of::<CmFullResourceDescriptor>() as u64;
        for index in 0..count.min(MOST_DESCRIPTORS) as usize {
            let at = first + (index * size_of::<CmPartialResourceDescriptor>()) as u64;
            let descriptor = self.read(DriverPtr::<CmPartialResourceDescriptor>::new(at))?;
            given.add(&descriptor);
        }
        Ok(given)
    }

    /// The list is changed on its way up.
    fn filter_port(&self, context: u64, irp: u64, stack: &IoStackLocation) -> Ddi<NtStatus> {
        let (lower, physical_device) =
            self.with_port(context, |port| (port.lower, port.physical_device))?;
        self.io_forward_irp_synchronously(lower, irp)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        let status = self.read(at!(pointer, Irp, io_status.status))?;
        let changed = self.read(at!(pointer, Irp, io_status.information))?;
        let offered = stack.parameters::<StackParametersFilterResourceRequirements>();
        let list = if status.is_success() && changed != 0 {
            changed
        } else {
            offered.io_resource_requirement_list
        };
        if list != 0 {
            self.filter_port_requirements(physical_device, list)?;
        }
        self.port_finish(irp, NtStatus::SUCCESS, list)
    }

    /// Whether the port may be stopped or removed.
    fn query_port(&self, context: u64, irp: u64, minor: u8) -> Ddi<NtStatus> {
        let (lower, refuses) = self.with_port(context, |port| {
            let refuses = !port.clients.is_empty();
            if !refuses && minor == minor_pnp::IRP_MN_QUERY_REMOVE_DEVICE {
                port.state = State::RemovePending(port.state == State::Started);
            }
            (port.lower, refuses)
        })?;
        if refuses {
            return self.port_finish(irp, NtStatus::UNSUCCESSFUL, 0);
        }
        self.agree(lower, irp)
    }

    fn remove_port(&self, context: u64, irp: u64) -> Ddi<NtStatus> {
        self.cancel_waiters(context, |_| true)?;
        self.delete_children(context)?;
        self.disconnect_line(context)?;
        self.enable_port_interface(context, false)?;
        self.ke_remove_queue_dpc(DriverPtr::new(context + extension::DPC))?;
        let link = DriverPtr::<UnicodeString>::new(context + extension::LINK);
        let buffer = self.read(at!(link, UnicodeString, buffer))?;
        if buffer != 0 {
            self.pool_free(buffer, None)?;
        }
        let port: Option<Port> = self.parport.ports.borrow_mut().remove(&context);
        let Some(port) = port else {
            return self.port_finish(irp, NtStatus::SUCCESS, 0);
        };
        for client in &port.clients {
            self.pool_free(client.entry, None)?;
        }
        let status = self.agree(port.lower, irp)?;
        self.io_detach_device(port.lower)?;
        self.io_delete_device(port.device)?;
        Ok(status)
    }

    /// Registers the interface by which clients find the port.
    pub(super) fn register_port_interface(&self, context: u64, physical_device: u64) -> Ddi<()> {
        let class = DriverPtr::new(context + extension::CLASS);
        self.write(class, GUID_DEVINTERFACE_PARALLEL)?;
        // Without memory for its name there is no interface; the device has its name.
        self.io_register_device_interface(
            physical_device,
            class,
            DriverPtr::NULL,
            DriverPtr::new(context + extension::LINK),
        )?;
        Ok(())
    }

    fn enable_port_interface(&self, context: u64, enable: bool) -> Ddi<()> {
        let link = DriverPtr::<UnicodeString>::new(context + extension::LINK);
        if self.read(at!(link, UnicodeString, buffer))? != 0 {
            self.io_set_device_interface_state(link, u8::from(enable))?;
        }
        Ok(())
    }

    /// Passes a request on as one that this driver has agreed to.
    fn agree(&self, lower: u64, irp: u64) -> Ddi<NtStatus> {
        let pointer = DriverPtr::<Irp>::new(irp);
        self.write(at!(pointer, Irp, io_status.status), NtStatus::SUCCESS)?;
        self.pass_on(lower, irp)
    }

    fn pass_on(&self, lower: u64, irp: u64) -> Ddi<NtStatus> {
        self.skip_stack_location(irp)?;
        self.iof_call_driver(lower, irp)
    }
}

impl Given {
    /// Ports come in the order of the chip's windows: the registers, then, 0x400 higher, the
    /// extended ones.
    fn add(&mut self, descriptor: &CmPartialResourceDescriptor) {
        match descriptor.type_ {
            resource_type::CmResourceTypePort => {
                let range = descriptor.arm::<CmRange>();
                let ports = Ports {
                    base: range.start,
                    length: range.length,
                };
                match self.registers {
                    None => self.registers = Some(ports),
                    Some(first) if first.base + spec::ECP_OFFSET == ports.base => {
                        self.extended = Some(ports);
                    }
                    Some(_) => {}
                }
            }
            resource_type::CmResourceTypeInterrupt => {
                let interrupt = descriptor.arm::<CmInterrupt>();
                let flags = descriptor.flags;
                self.line = Some(Line {
                    vector: interrupt.vector,
                    irql: Irql(interrupt.level as u8),
                    affinity: interrupt.affinity,
                    latched: flags & CM_RESOURCE_INTERRUPT_LATCHED != 0,
                    shared: descriptor.share_disposition == CmResourceShareShared,
                });
            }
            _ => {}
        }
    }
}
