//! The plug and play manager: adding, starting, stopping and removing devices.
//!
//! All of it runs on a thread at PASSIVE_LEVEL.
//!
//! Source: WDK, "State Transitions for PnP Devices", "Starting a Device", "Stopping a
//! Device", "Removing a Device"; the pages of the minor function codes.

use alloc::format;
use alloc::string::{String, ToString};

use dirql_abi::NtStatus;
use dirql_abi::irp::{major, minor_pnp};
use dirql_abi::pnp::{DeviceCapabilities, capability_flags};
use dirql_abi::stack_parameters::{
    StackParametersDeviceCapabilities, StackParametersFilterResourceRequirements,
    StackParametersStartDevice,
};
use dirql_rules::ids;

use super::lists::{Form, resource_list};
use super::{Agreed, Node, NodeState};
use crate::hal::{Alternative, Assignment, InterruptPolicy};
use crate::io::driver::zeroed;
use crate::io::notification::TargetEvent;
use crate::{Ddi, DriverPtr, Kernel};

/// Why a device was not started, stopped or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PnpError {
    /// No physical device object is at this address.
    #[error("{0:#x} is not a physical device object")]
    NoDevice(u64),
    /// No driver was chosen for the device.
    #[error("no driver was chosen for the device")]
    NoDriver,
    /// The device is in another state.
    #[error("the device is {0:?}")]
    State(NodeState),
    /// A filter driver that the registry names is not loaded.
    #[error("the filter driver {0:?} of the device is not loaded")]
    NoFilter(String),
    /// What the device asks for is not there or not free.
    #[error("the resources that the device asks for are not free")]
    Conflict,
    /// The device was asked something else, and has not been told yet.
    #[error("{}", agreed_text(*.0))]
    Agreed(Option<Agreed>),
    /// AddDevice failed.
    #[error("AddDevice returned {0}")]
    AddDevice(NtStatus),
    /// The driver did not agree.
    #[error("the driver answered {request} with {status}")]
    Refused {
        /// The request.
        request: &'static str,
        /// Its answer.
        status: NtStatus,
    },
}

const fn agreed_text(agreed: Option<Agreed>) -> &'static str {
    match agreed {
        None => "the device was not asked, so there is nothing to cancel",
        Some(Agreed::Stop) => {
            "the device has agreed to be stopped; that is to be done or cancelled first"
        }
        Some(Agreed::Remove) => {
            "the device has agreed to be removed; that is to be done or cancelled first"
        }
    }
}

/// The result of an operation of the plug and play manager.
pub(super) type Answer = Ddi<Result<(), PnpError>>;

impl Kernel {
    /// Makes `driver` the function driver of a device.
    ///
    /// # Errors
    /// [`PnpError::NoDevice`].
    pub fn choose_driver(&self, physical_device: u64, driver: u64) -> Result<(), PnpError> {
        if self.node(physical_device).is_none() {
            return Err(PnpError::NoDevice(physical_device));
        }
        self.change_node(physical_device, |node| node.driver = Some(driver));
        Ok(())
    }

    /// Starts a device: AddDevice if that has not happened, the driver's say on the resources,
    /// and IRP_MN_START_DEVICE with what the device is given.
    ///
    /// - Findings: an interrupt that stays connected after a start that failed (note N0198).
    ///
    /// # Errors
    /// The run's end. The inner error says what did not work; after a failed start the device
    /// is removed again, as Windows does.
    pub fn start_device(&self, physical_device: u64) -> Answer {
        let Some(node) = self.node(physical_device) else {
            return Ok(Err(PnpError::NoDevice(physical_device)));
        };
        match node.state {
            NodeState::Enumerated => {
                if let Err(error) = self.build_stack(physical_device, node.driver)? {
                    return Ok(Err(error));
                }
                self.change_node(physical_device, |node| node.state = NodeState::Added);
            }
            NodeState::Added | NodeState::Stopped => {}
            NodeState::Started | NodeState::SurpriseRemoved => {
                return Ok(Err(PnpError::State(node.state)));
            }
        }
        let Some(assignment) = self.agree_on_resources(physical_device, &node)? else {
            self.send_remove(physical_device)?;
            return Ok(Err(PnpError::Conflict));
        };
        let status = self.send_start(physical_device, &node, &assignment)?;
        if !status.is_success() {
            let places = self.connections_of_device(physical_device);
            self.report_left_connected(places, "a start that failed", 0)?;
            self.send_remove(physical_device)?;
            return Ok(Err(PnpError::Refused {
                request: "IRP_MN_START_DEVICE",
                status,
            }));
        }
        self.change_node(physical_device, |node| node.state = NodeState::Started);
        self.ask_started_device(physical_device)?;
        Ok(Ok(()))
    }

    /// The requirements as the bus reports them and the driver's stack changes them, and what
    /// the device is given for them; `None` if nothing that it asks for can be given.
    ///
    /// - Findings: DQ0431 a list that does not hold what it says.
    fn agree_on_resources(&self, physical_device: u64, node: &Node) -> Ddi<Option<Assignment>> {
        let policy = self.interrupt_policy(physical_device, node.installed);
        let top = self.top_of_stack(physical_device);
        let query = self.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_QUERY_RESOURCE_REQUIREMENTS;
        })?;
        let offered = if query.status.is_success() {
            query.information
        } else {
            0
        };
        let filter = StackParametersFilterResourceRequirements {
            io_resource_requirement_list: offered,
        };
        // As Windows does it, the list is where a driver may find it in the status block too.
        let filtered = self.send_request_with(top, None, offered, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_FILTER_RESOURCE_REQUIREMENTS;
            stack.set_parameters(&filter);
        })?;
        let list = if filtered.status.is_success() && filtered.information != 0 {
            filtered.information
        } else {
            offered
        };
        if list == 0 {
            return Ok(self.assign_to_node(node, &policy, &[Alternative::new()]));
        }
        let alternatives = self.read_requirements(list)?;
        self.pool_free(list, None)?;
        let alternatives = match alternatives {
            Ok(alternatives) => alternatives,
            Err(bad) => {
                self.find(ids::REQUIREMENTS_LIST, bad.to_string(), None)?;
                let offer = node.device.map(|device| self.offer(device, &policy));
                offer.unwrap_or_default()
            }
        };
        Ok(self.assign_to_node(node, &policy, &alternatives))
    }

    fn assign_to_node(
        &self,
        node: &Node,
        policy: &InterruptPolicy,
        alternatives: &[Alternative],
    ) -> Option<Assignment> {
        let Some(device) = node.device else {
            // A driver has found it where the machine has nothing.
            return Some(Assignment::default());
        };
        if node.parent.is_some() {
            self.assign_reported(device, policy, alternatives)
        } else {
            self.assign(device, policy, alternatives)
        }
    }

    fn send_start(
        &self,
        physical_device: u64,
        node: &Node,
        assignment: &Assignment,
    ) -> Ddi<NtStatus> {
        let raw = self.list_in_pool(resource_list(node, assignment, Form::Raw))?;
        let translated = self.list_in_pool(resource_list(node, assignment, Form::Translated))?;
        let (Some(raw), Some(translated)) = (raw, translated) else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let parameters = StackParametersStartDevice {
            allocated_resources: raw,
            allocated_resources_translated: translated,
        };
        let top = self.top_of_stack(physical_device);
        let outcome = self.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_START_DEVICE;
            stack.set_parameters(&parameters);
        })?;
        for list in [raw, translated] {
            if list != 0 {
                self.pool_free(list, None)?;
            }
        }
        Ok(outcome.status)
    }

    /// A list in pool: its address, 0 for none; `None` without memory.
    fn list_in_pool(&self, list: Option<alloc::vec::Vec<u8>>) -> Ddi<Option<u64>> {
        let Some(bytes) = list else {
            return Ok(Some(0));
        };
        let memory = self.allocate_zeroed(bytes.len() as u64, crate::io::tag(b"PpRl"))?;
        if memory == 0 {
            return Ok(None);
        }
        self.write_bytes(memory, &bytes)?;
        Ok(Some(memory))
    }

    /// What Windows asks a device that has started.
    fn ask_started_device(&self, physical_device: u64) -> Ddi<()> {
        self.query_capabilities(physical_device)?;
        let top = self.top_of_stack(physical_device);
        self.send_simple(
            top,
            major::IRP_MJ_PNP,
            minor_pnp::IRP_MN_QUERY_PNP_DEVICE_STATE,
        )?;
        self.query_bus_relations(physical_device)
    }

    /// Whether a device may be started without a function driver, as it says itself.
    pub(super) fn may_be_raw(&self, physical_device: u64) -> Ddi<bool> {
        let capabilities = self.query_capabilities(physical_device)?;
        Ok(capabilities.is_some_and(|told| told.flags & capability_flags::RawDeviceOK != 0))
    }

    /// A device's capabilities; `None` if it does not tell them.
    fn query_capabilities(&self, physical_device: u64) -> Ddi<Option<DeviceCapabilities>> {
        let block = self.allocate_zeroed(
            size_of::<DeviceCapabilities>() as u64,
            crate::io::tag(b"PpCa"),
        )?;
        if block == 0 {
            return Ok(None);
        }
        let capabilities = DeviceCapabilities {
            size: size_of::<DeviceCapabilities>() as u16,
            version: 1,
            address: u32::MAX,
            ui_number: u32::MAX,
            ..zeroed()
        };
        self.write(DriverPtr::new(block), capabilities)?;
        let top = self.top_of_stack(physical_device);
        let outcome = self.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_QUERY_CAPABILITIES;
            stack.set_parameters(&StackParametersDeviceCapabilities {
                capabilities: block,
            });
        })?;
        let told = self.read(DriverPtr::<DeviceCapabilities>::new(block))?;
        self.pool_free(block, None)?;
        Ok(outcome.status.is_success().then_some(told))
    }

    /// Asks whether a device may be stopped: IRP_MN_QUERY_STOP_DEVICE. What it agreed to is
    /// then done or cancelled.
    ///
    /// # Errors
    /// The run's end. The inner error says that the driver did not agree; it has been sent
    /// IRP_MN_CANCEL_STOP_DEVICE then and goes on.
    pub fn query_stop_device(&self, physical_device: u64) -> Answer {
        if let Err(error) = self.expect_agreed(physical_device, None) {
            return Ok(Err(error));
        }
        let top = self.top_of_stack(physical_device);
        let status =
            self.send_simple(top, major::IRP_MJ_PNP, minor_pnp::IRP_MN_QUERY_STOP_DEVICE)?;
        if !status.is_success() {
            self.send_certain(physical_device, minor_pnp::IRP_MN_CANCEL_STOP_DEVICE)?;
            return Ok(Err(PnpError::Refused {
                request: "IRP_MN_QUERY_STOP_DEVICE",
                status,
            }));
        }
        self.set_agreed(physical_device, Some(Agreed::Stop));
        Ok(Ok(()))
    }

    /// A device that has agreed to be stopped is not stopped: IRP_MN_CANCEL_STOP_DEVICE.
    ///
    /// # Errors
    /// The run's end. The inner error says that the device has not agreed to that.
    pub fn cancel_stop_device(&self, physical_device: u64) -> Answer {
        if let Err(error) = self.expect_agreed(physical_device, Some(Agreed::Stop)) {
            return Ok(Err(error));
        }
        self.set_agreed(physical_device, None);
        self.send_certain(physical_device, minor_pnp::IRP_MN_CANCEL_STOP_DEVICE)?;
        Ok(Ok(()))
    }

    /// Stops a device for rebalancing: IRP_MN_QUERY_STOP_DEVICE, unless it has agreed already,
    /// and IRP_MN_STOP_DEVICE.
    ///
    /// - Findings: an interrupt that is still connected afterwards; a request that must
    ///   succeed and did not.
    ///
    /// # Errors
    /// As [`Kernel::query_stop_device`].
    pub fn stop_device(&self, physical_device: u64) -> Answer {
        if self.agreed(physical_device) != Some(Agreed::Stop)
            && let Err(error) = self.query_stop_device(physical_device)?
        {
            return Ok(Err(error));
        }
        self.set_agreed(physical_device, None);
        self.send_certain(physical_device, minor_pnp::IRP_MN_STOP_DEVICE)?;
        let places = self.connections_of_device(physical_device);
        self.report_left_connected(places, "IRP_MN_STOP_DEVICE", 0)?;
        self.change_node(physical_device, |node| node.state = NodeState::Stopped);
        self.take_resources_of(physical_device);
        Ok(Ok(()))
    }

    /// Removes a device: IRP_MN_QUERY_REMOVE_DEVICE unless it is gone already, and
    /// IRP_MN_REMOVE_DEVICE.
    ///
    /// - Findings: an interrupt that is still connected, a device that is still attached; a
    ///   request that must succeed and did not.
    ///
    /// # Errors
    /// The run's end. The inner error says that the driver did not agree; it has been sent
    /// IRP_MN_CANCEL_REMOVE_DEVICE then and goes on.
    pub fn remove_device(&self, physical_device: u64) -> Answer {
        let Some(node) = self.node(physical_device) else {
            return Ok(Err(PnpError::NoDevice(physical_device)));
        };
        match node.state {
            NodeState::Enumerated => return Ok(Err(PnpError::State(node.state))),
            NodeState::SurpriseRemoved => {}
            _ if node.agreed == Some(Agreed::Remove) => {}
            _ if node.agreed.is_some() => return Ok(Err(PnpError::Agreed(node.agreed))),
            NodeState::Added | NodeState::Started | NodeState::Stopped => {
                if let Some(status) = self.query_remove_tree(physical_device)? {
                    return Ok(Err(PnpError::Refused {
                        request: "IRP_MN_QUERY_REMOVE_DEVICE",
                        status,
                    }));
                }
            }
        }
        self.set_agreed(physical_device, None);
        self.remove_children(physical_device)?;
        self.send_remove(physical_device)?;
        Ok(Ok(()))
    }

    /// Asks the devices that hang from a device, and then itself, whether they may be removed.
    /// Those that had agreed are told when another is against it.
    fn query_remove_tree(&self, physical_device: u64) -> Ddi<Option<NtStatus>> {
        let mut asked = alloc::vec::Vec::new();
        for device in self.tree_below(physical_device) {
            if let Some(status) = self.query_remove(device)? {
                for device in asked.into_iter().rev() {
                    self.send_certain(device, minor_pnp::IRP_MN_CANCEL_REMOVE_DEVICE)?;
                    self.target_event(device, TargetEvent::RemoveCancelled)?;
                }
                return Ok(Some(status));
            }
            asked.push(device);
        }
        Ok(None)
    }

    /// Asks whether a device may be removed; the status of whoever is against it.
    fn query_remove(&self, physical_device: u64) -> Ddi<Option<NtStatus>> {
        let mut status = self.target_event(physical_device, TargetEvent::QueryRemove)?;
        if status.is_success() {
            let top = self.top_of_stack(physical_device);
            status = self.send_simple(
                top,
                major::IRP_MJ_PNP,
                minor_pnp::IRP_MN_QUERY_REMOVE_DEVICE,
            )?;
        }
        if status.is_success() {
            return Ok(None);
        }
        self.send_certain(physical_device, minor_pnp::IRP_MN_CANCEL_REMOVE_DEVICE)?;
        self.target_event(physical_device, TargetEvent::RemoveCancelled)?;
        Ok(Some(status))
    }

    /// Asks whether a device may be removed: IRP_MN_QUERY_REMOVE_DEVICE. What it agreed to is
    /// then done or cancelled.
    ///
    /// # Errors
    /// As [`Kernel::remove_device`].
    pub fn query_remove_device(&self, physical_device: u64) -> Answer {
        if let Err(error) = self.expect_agreed(physical_device, None) {
            return Ok(Err(error));
        }
        if let Some(status) = self.query_remove(physical_device)? {
            return Ok(Err(PnpError::Refused {
                request: "IRP_MN_QUERY_REMOVE_DEVICE",
                status,
            }));
        }
        self.set_agreed(physical_device, Some(Agreed::Remove));
        Ok(Ok(()))
    }

    /// A device that has agreed to be removed stays: IRP_MN_CANCEL_REMOVE_DEVICE.
    ///
    /// # Errors
    /// The run's end. The inner error says that the device has not agreed to that.
    pub fn cancel_remove_device(&self, physical_device: u64) -> Answer {
        if let Err(error) = self.expect_agreed(physical_device, Some(Agreed::Remove)) {
            return Ok(Err(error));
        }
        self.set_agreed(physical_device, None);
        self.send_certain(physical_device, minor_pnp::IRP_MN_CANCEL_REMOVE_DEVICE)?;
        self.target_event(physical_device, TargetEvent::RemoveCancelled)?;
        Ok(Ok(()))
    }

    fn agreed(&self, physical_device: u64) -> Option<Agreed> {
        self.node(physical_device)?.agreed
    }

    fn set_agreed(&self, physical_device: u64, agreed: Option<Agreed>) {
        self.change_node(physical_device, |node| node.agreed = agreed);
    }

    /// A started device that has agreed to this, and to nothing else.
    fn expect_agreed(&self, physical_device: u64, agreed: Option<Agreed>) -> Result<(), PnpError> {
        self.expect_state(physical_device, NodeState::Started)?;
        match self.agreed(physical_device) {
            found if found == agreed => Ok(()),
            found => Err(PnpError::Agreed(found)),
        }
    }

    /// Whether drivers are told when a device goes: it was started, and may be stopped meanwhile.
    #[must_use]
    pub fn is_running(&self, physical_device: u64) -> bool {
        let node = self.node(physical_device);
        node.is_some_and(|node| matches!(node.state, NodeState::Started | NodeState::Stopped))
    }

    /// The device is gone: IRP_MN_SURPRISE_REMOVAL. IRP_MN_REMOVE_DEVICE follows with
    /// [`Kernel::remove_device`], when all handles are closed.
    ///
    /// # Errors
    /// The run's end.
    pub fn surprise_remove_device(&self, physical_device: u64) -> Answer {
        let Some(node) = self.node(physical_device) else {
            return Ok(Err(PnpError::NoDevice(physical_device)));
        };
        if !self.is_running(physical_device) {
            return Ok(Err(PnpError::State(node.state)));
        }
        self.lose_children(physical_device)?;
        self.change_node(physical_device, |node| {
            node.state = NodeState::SurpriseRemoved;
            node.agreed = None;
        });
        self.send_certain(physical_device, minor_pnp::IRP_MN_SURPRISE_REMOVAL)?;
        Ok(Ok(()))
    }

    /// IRP_MN_REMOVE_DEVICE and the look at what is left.
    pub(super) fn send_remove(&self, physical_device: u64) -> Ddi<()> {
        let stack = self.stack_of(physical_device);
        self.io.pnp.removing.borrow_mut().push(stack);
        self.send_certain(physical_device, minor_pnp::IRP_MN_REMOVE_DEVICE)?;
        let mut removing = self.io.pnp.removing.borrow_mut();
        removing.retain(|stack| stack.first() != Some(&physical_device));
        drop(removing);
        let places = self.connections_of_device(physical_device);
        self.report_left_connected(places, "IRP_MN_REMOVE_DEVICE", 0)?;
        for device in self.stack_of(physical_device).into_iter().skip(1) {
            let created = self.with_device(device, |d| d.created.clone());
            let message = format!(
                "{} is still attached after IRP_MN_REMOVE_DEVICE; IoDetachDevice and IoDeleteDevice are due there",
                self.device_text(device)
            );
            let earlier = created.map(|place| (String::from("the device was created here"), place));
            self.find(ids::DEVICE_LEFT, message, earlier)?;
        }
        self.disable_interfaces(physical_device)?;
        self.target_event(physical_device, TargetEvent::RemoveComplete)?;
        let Some(node) = self.node(physical_device) else {
            return Ok(());
        };
        self.take_resources_of(physical_device);
        if node.gone || node.state == NodeState::SurpriseRemoved {
            self.io.pnp.nodes.borrow_mut().remove(&physical_device);
            if node.parent.is_some() {
                // Its bus driver has deleted it; this was plug and play's own reference.
                self.obf_dereference_object(physical_device)?;
            } else {
                self.io_delete_device(physical_device)?;
            }
        } else {
            self.change_node(physical_device, |node| node.state = NodeState::Enumerated);
        }
        Ok(())
    }

    fn take_resources_of(&self, physical_device: u64) {
        if let Some(device) = self.device_of_pdo(physical_device) {
            self.take_resources(device);
        }
    }

    /// Sends a request that a driver must not fail.
    pub(super) fn send_certain(&self, physical_device: u64, minor: u8) -> Ddi<()> {
        let top = self.top_of_stack(physical_device);
        let status = self.send_simple(top, major::IRP_MJ_PNP, minor)?;
        if status.is_success() {
            return Ok(());
        }
        let name = minor_pnp::name(minor).unwrap_or("the request");
        self.find_at(
            ids::PNP_MUST_SUCCEED,
            format!("{name} was completed with {status}; it must succeed"),
            self.here_or_in_dispatch(top, major::IRP_MJ_PNP),
            None,
        )
    }

    pub(super) fn expect_state(
        &self,
        physical_device: u64,
        state: NodeState,
    ) -> Result<(), PnpError> {
        match self.node(physical_device) {
            None => Err(PnpError::NoDevice(physical_device)),
            Some(node) if node.state == state => Ok(()),
            Some(node) => Err(PnpError::State(node.state)),
        }
    }
}
