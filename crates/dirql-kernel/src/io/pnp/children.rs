//! Devices that drivers report: the bus relations of a device that is not the machine's own bus.
//!
//! A driver that answers IRP_MN_QUERY_DEVICE_RELATIONS with physical devices makes them nodes of
//! the tree; each is asked who it is, gets a driver and is started. One that is not reported any
//! more is gone.
//!
//! Source: WDK, "Bus Driver Responsibilities for Enumeration", "Adding a PnP Device to a Running
//! System", "Handling an IRP_MN_SURPRISE_REMOVAL Request".
//!
//! Not modelled: waiting for open handles before IRP_MN_REMOVE_DEVICE of a device that is gone; a
//! device without a driver that may be started raw.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::device::device_flags;
use dirql_abi::io::work_queue_type;
use dirql_abi::irp::{major, minor_pnp};
use dirql_abi::pnp::{bus_query_id_type, device_relation_type, device_text_type};
use dirql_abi::power::device_power_state;
use dirql_abi::stack_parameters::{
    StackParametersDeviceRelations, StackParametersQueryDeviceText, StackParametersQueryId,
};

use super::{Node, NodeState, PnpError};
use crate::io::work_item::Job;
use crate::{Ddi, DriverPtr, Kernel};

/// The most devices that are taken from one answer.
const MOST_CHILDREN: u32 = 256;

/// The most characters that are read of an ID; Windows allows 200.
const LONGEST_ID: usize = 1024;

impl Kernel {
    /// Asks for a device's children, and makes the tree so: new ones are found and started, those
    /// that are missing are removed.
    ///
    /// # Errors
    /// The run's end; the bug check for a child that is no device.
    pub(super) fn query_bus_relations(&self, parent: u64) -> Ddi<()> {
        let top = self.top_of_stack(parent);
        let relation = StackParametersDeviceRelations {
            type_: device_relation_type::BusRelations,
        };
        let outcome = self.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_QUERY_DEVICE_RELATIONS;
            stack.set_parameters(&relation);
        })?;
        if !outcome.status.is_success() || outcome.information == 0 {
            return Ok(());
        }
        let reported = self.read_relations(outcome.information)?;
        self.pool_free(outcome.information, None)?;
        for child in self.children_of(parent) {
            if !reported.contains(&child) {
                self.lose_child(child)?;
            }
        }
        let mut found = Vec::new();
        for child in reported {
            if self.node(child).is_some() {
                // Plug and play has its reference already.
                self.obf_dereference_object(child)?;
            } else if self.find_child(parent, child)? {
                found.push(child);
            } else {
                self.obf_dereference_object(child)?;
            }
        }
        for child in found {
            self.install_child(child)?;
        }
        Ok(())
    }

    fn read_relations(&self, list: u64) -> Ddi<Vec<u64>> {
        let count = self.read(DriverPtr::<u32>::new(list))?;
        let first = DriverPtr::<u64>::new(list + 8);
        let mut devices = Vec::new();
        for index in 0..count.min(MOST_CHILDREN) {
            devices.push(self.read(first.element(index as usize))?);
        }
        Ok(devices)
    }

    /// The devices that hang from a device, in order of address.
    pub(super) fn children_of(&self, parent: u64) -> Vec<u64> {
        let nodes = self.io.pnp.nodes.borrow();
        let own = nodes.iter().filter(|(_, node)| node.parent == Some(parent));
        own.map(|(device, _)| *device).collect()
    }

    /// The devices with drivers that hang from a device, the lowest first, and itself at the end.
    pub(super) fn tree_below(&self, device: u64) -> Vec<u64> {
        let mut tree = Vec::new();
        for child in self.children_of(device) {
            let state = self.node(child).map(|node| node.state);
            if state.is_some_and(|state| state != NodeState::Enumerated) {
                tree.extend(self.tree_below(child));
            }
        }
        tree.push(device);
        tree
    }

    /// Asks a new device who it is. Whether it said so.
    fn find_child(&self, parent: u64, child: u64) -> Ddi<bool> {
        self.expect_device(child)?;
        self.change_device_flags(child, 0, device_flags::DO_BUS_ENUMERATED_DEVICE)?;
        let id = |id_type| self.query_id(child, id_type);
        let Some(device_id) = id(bus_query_id_type::BusQueryDeviceID)?.into_iter().next() else {
            self.landmark(String::from(
                "a device was reported that does not say its ID",
            ));
            return Ok(false);
        };
        let mut hardware_ids = id(bus_query_id_type::BusQueryHardwareIDs)?;
        if !hardware_ids
            .iter()
            .any(|id| id.eq_ignore_ascii_case(&device_id))
        {
            hardware_ids.insert(0, device_id.clone());
        }
        let compatible_ids = id(bus_query_id_type::BusQueryCompatibleIDs)?;
        let instance = id(bus_query_id_type::BusQueryInstanceID)?
            .into_iter()
            .next();
        let number = self.number_of_next_node();
        let place = self.plug_reported(format!("{device_id} {number}"));
        let node = Node {
            device: Some(place),
            parent: Some(parent),
            gone: false,
            number,
            pci: None,
            hardware_ids,
            compatible_ids,
            instance: instance.unwrap_or_else(|| format!("{number:04}")),
            description: self.query_description(child)?.unwrap_or(device_id),
            state: NodeState::Enumerated,
            power: device_power_state::PowerDeviceD0,
            driver: None,
            agreed: None,
            installed: true,
        };
        self.io.pnp.nodes.borrow_mut().insert(child, node);
        Ok(true)
    }

    fn query_id(&self, device: u64, id_type: u32) -> Ddi<Vec<String>> {
        let several = matches!(
            id_type,
            bus_query_id_type::BusQueryHardwareIDs | bus_query_id_type::BusQueryCompatibleIDs
        );
        let top = self.top_of_stack(device);
        let outcome = self.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_QUERY_ID;
            stack.set_parameters(&StackParametersQueryId { id_type });
        })?;
        self.take_texts(outcome.status.is_success(), outcome.information, several)
    }

    fn query_description(&self, device: u64) -> Ddi<Option<String>> {
        let top = self.top_of_stack(device);
        let wish = StackParametersQueryDeviceText {
            device_text_type: device_text_type::DeviceTextDescription,
            padding4: 0,
            locale_id: 0x409,
            padding12: 0,
        };
        let outcome = self.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor_pnp::IRP_MN_QUERY_DEVICE_TEXT;
            stack.set_parameters(&wish);
        })?;
        let texts = self.take_texts(outcome.status.is_success(), outcome.information, false)?;
        Ok(texts.into_iter().next())
    }

    /// The string, or the strings up to an empty one, that a driver gave in pool, which is freed.
    fn take_texts(&self, succeeded: bool, address: u64, several: bool) -> Ddi<Vec<String>> {
        let mut texts = Vec::new();
        if !succeeded || address == 0 {
            return Ok(texts);
        }
        let mut at = DriverPtr::<u16>::new(address);
        loop {
            let mut units = Vec::new();
            while units.len() < LONGEST_ID {
                let unit = self.read(at)?;
                at = at.element(1);
                if unit == 0 {
                    break;
                }
                units.push(unit);
            }
            if units.is_empty() {
                break;
            }
            texts.push(String::from_utf16_lossy(&units));
            if !several || texts.len() == LONGEST_ID {
                break;
            }
        }
        self.pool_free(address, None)?;
        Ok(texts)
    }

    /// Finds a driver for a new device and starts it; without one, if the device may be raw.
    fn install_child(&self, child: u64) -> Ddi<()> {
        let installer = self.io.pnp.installer.borrow().clone();
        let Some((installer, node)) = installer.zip(self.node(child)) else {
            return Ok(());
        };
        let driver = installer(self, child, &node);
        self.change_node(child, |node| node.driver = driver);
        let id = node.device_id();
        match self.start_device(child)? {
            Ok(()) => {}
            Err(PnpError::NoDriver) => self.landmark(format!("no driver is for the device {id}")),
            Err(error) => self.landmark(format!("the device {id} was not started: {error}")),
        }
        Ok(())
    }

    /// A device is not reported any more. If it is open somewhere, IRP_MN_REMOVE_DEVICE waits for
    /// the last close.
    ///
    /// Source: WDK reference, "IRP_MN_SURPRISE_REMOVAL".
    fn lose_child(&self, child: u64) -> Ddi<()> {
        if self.node(child).is_none_or(|node| node.gone) {
            return Ok(());
        }
        self.change_node(child, |node| node.gone = true);
        if let Some(NodeState::Started | NodeState::Stopped) =
            self.node(child).map(|node| node.state)
        {
            // Its state allows it.
            let _ = self.surprise_remove_device(child)?;
        }
        self.remove_children(child)?;
        let state = self.node(child).map(|node| node.state);
        if state == Some(NodeState::SurpriseRemoved) && self.is_open(child) {
            return Ok(());
        }
        self.send_remove(child)
    }

    /// The device that is gone and waits for the last close, if `opened` is of its stack.
    pub(in crate::io) fn gone_below(&self, opened: u64) -> Option<u64> {
        let nodes = self.io.pnp.nodes.borrow();
        let waits = |node: &Node| node.gone && node.state == NodeState::SurpriseRemoved;
        let mut waiting = nodes.iter().filter(|(_, node)| waits(node));
        let found = waiting.find(|(device, _)| self.stack_of(**device).contains(&opened));
        found.map(|(device, _)| *device)
    }

    /// A file of a device that is gone was closed: if it was the last one, a system thread removes
    /// the device.
    pub(in crate::io) fn remove_when_closed(&self, child: u64) -> Ddi<()> {
        if self.is_open(child) {
            return Ok(());
        }
        let remove = move |kernel: &Self| {
            let node = kernel.node(child);
            if node.is_none_or(|node| node.state != NodeState::SurpriseRemoved) {
                return Ok(());
            }
            kernel.change_node(child, |node| node.state = NodeState::Enumerated);
            kernel.send_remove(child)
        };
        self.queue_job(
            work_queue_type::DelayedWorkQueue,
            Job::Native(Box::new(remove)),
        )
    }

    /// The devices that hang from one that was pulled out are gone, too.
    pub(super) fn lose_children(&self, parent: u64) -> Ddi<()> {
        for child in self.children_of(parent) {
            let state = self.node(child).map(|node| node.state);
            if let Some(NodeState::Started | NodeState::Stopped) = state {
                let _ = self.surprise_remove_device(child)?;
            }
        }
        Ok(())
    }

    /// IRP_MN_REMOVE_DEVICE for everything that hangs from a device. Whoever reported them
    /// deletes them when it is removed itself.
    pub(super) fn remove_children(&self, parent: u64) -> Ddi<()> {
        for child in self.children_of(parent) {
            self.change_node(child, |node| node.gone = true);
            self.remove_children(child)?;
            self.send_remove(child)?;
        }
        Ok(())
    }

    /// Plug and play's own numbers begin behind those of the machine's devices.
    pub(super) fn number_of_next_node(&self) -> u32 {
        let number = self.io.pnp.reported.get();
        self.io.pnp.reported.set(number + 1);
        1000 + number
    }
}
