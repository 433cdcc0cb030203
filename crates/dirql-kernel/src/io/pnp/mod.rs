//! Plug and play: the tree of devices, its manager, and a bus driver for what is plugged into
//! the machine.
//!
//! Source: WDK, "Device Tree", "State Transitions for PnP Devices", "Plug and Play Minor
//! IRPs".

mod bus;
mod bus_interface;
mod children;
mod control;
mod detect;
mod detected;
mod filters;
mod lists;
mod power;
mod requirements;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;
use dirql_abi::device::{DriverObject, device_flags, device_type};
use dirql_abi::guid::{GUID_BUS_TYPE_INTERNAL, GUID_BUS_TYPE_PCI, Guid};
use dirql_abi::irp::major;
use dirql_abi::power::device_power_state;
use dirql_abi::resource::interface_type;
use dirql_chips::{Width, pci};

use super::DriverImage;
use crate::hal::DeviceId;
use crate::{Ddi, DriverPtr, Kernel, at};

pub use control::PnpError;
pub use power::PowerState;

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Found by its bus; no driver has it.
    Enumerated,
    /// AddDevice has succeeded.
    Added,
    /// Started.
    Started,
    /// Stopped after having been started.
    Stopped,
    /// Gone without a warning; IRP_MN_REMOVE_DEVICE is still due.
    SurpriseRemoved,
}

/// What a started device has agreed to and has not been told to do, or not to do, yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// IRP_MN_QUERY_STOP_DEVICE.
    Stop,
    /// IRP_MN_QUERY_REMOVE_DEVICE.
    Remove,
}

/// A device of the machine, as plug and play knows it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which device of the machine, or its place for one that another driver reports; `None` if a
    /// driver has found it where the machine has nothing.
    pub device: Option<DeviceId>,
    /// The device that it hangs from; `None`: the root.
    pub parent: Option<u64>,
    /// Its bus does not report it any more.
    pub gone: bool,
    /// Different for each.
    number: u32,
    /// Where it is on the PCI bus, if it is.
    pub pci: Option<pci::Address>,
    /// Best first.
    pub hardware_ids: Vec<String>,
    /// Best first, after the hardware IDs.
    pub compatible_ids: Vec<String>,
    /// Different for each device with one device ID.
    pub instance: String,
    /// What a user is told.
    pub description: String,
    /// Its place in its life.
    pub state: NodeState,
    /// What it has agreed to.
    pub agreed: Option<Agreed>,
    /// DEVICE_POWER_STATE.
    pub power: u32,
    /// The driver object that it is for.
    pub driver: Option<u64>,
    /// An INF has filled its keys in the registry.
    pub installed: bool,
}

impl Node {
    /// Whether a driver has reported it, as a device on its bus or as one that it has found.
    #[must_use]
    pub const fn is_reported(&self) -> bool {
        self.parent.is_some() || self.device.is_none()
    }

    /// `ENUMERATOR\ID`, the first hardware ID.
    #[must_use]
    pub fn device_id(&self) -> &str {
        self.hardware_ids
            .first()
            .map_or(r"ROOT\UNKNOWN", String::as_str)
    }

    /// The name of the bus driver in device IDs.
    #[must_use]
    pub fn enumerator(&self) -> &str {
        self.device_id().split('\\').next().unwrap_or_default()
    }

    /// INTERFACE_TYPE.
    #[must_use]
    pub fn interface_type(&self) -> i32 {
        if self.pci.is_some() {
            interface_type::PCIBus
        } else {
            interface_type::Internal
        }
    }

    pub(crate) fn bus_type(&self) -> Guid {
        if self.pci.is_some() {
            GUID_BUS_TYPE_PCI
        } else {
            GUID_BUS_TYPE_INTERNAL
        }
    }

    pub(crate) fn bus_number(&self) -> u32 {
        self.pci.map_or(0, |address| address.bus().into())
    }

    /// As DEVICE_CAPABILITIES has it: for PCI, device number and function.
    pub(crate) fn address(&self) -> Option<u32> {
        self.pci
            .map(|address| u32::from(address.device()) << 16 | u32::from(address.function()))
    }

    pub(crate) fn location(&self) -> String {
        match self.pci {
            Some(at) => format!(
                "PCI bus {}, device {}, function {}",
                at.bus(),
                at.device(),
                at.function()
            ),
            None => String::from("Internal"),
        }
    }

    /// The driver key below `Control\Class`, which Windows numbers per class.
    pub(crate) fn driver_key(&self) -> String {
        format!(
            r"{{4D36E97D-E325-11CE-BFC1-08002BE10318}}\{:04}",
            self.number
        )
    }
}

/// How a device is presented to drivers beyond what the bus can read from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Hardware IDs; for a PCI function in front of those from its configuration space.
    pub hardware_ids: Vec<String>,
    /// What a user is told; the device's name if there is none.
    pub description: Option<String>,
    /// An INF has filled its keys in the registry.
    pub installed: bool,
}

/// The tree. All devices are children of its root.
#[derive(Default)]
pub(crate) struct Pnp {
    /// By physical device object.
    nodes: RefCell<BTreeMap<u64, Node>>,
    bus_driver: Cell<u64>,
    installer: RefCell<Option<Installer>>,
    /// The stacks that are being sent IRP_MN_REMOVE_DEVICE, from the physical device upwards.
    removing: RefCell<Vec<Vec<u64>>>,
    /// How many devices drivers have reported.
    reported: Cell<u32>,
    /// The devices that are to be asked what is on their buses, each with a reference.
    to_ask: RefCell<VecDeque<u64>>,
    /// Whether a thread asks them.
    asking: Cell<bool>,
}

/// Says which driver object a device is for that another driver has reported, and fills its keys
/// in the registry.
pub type Installer = alloc::rc::Rc<dyn Fn(&Kernel, u64, &Node) -> Option<u64>>;

impl Kernel {
    /// The bus driver reports a device that was plugged in: it gets a physical device object.
    /// On a thread, at PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The run's end. The inner error is the status without memory.
    pub fn enumerate_device(
        &self,
        device: DeviceId,
        identity: &Identity,
    ) -> Ddi<Result<u64, NtStatus>> {
        let driver = self.bus_driver()?;
        let pci = self.pci_address(device);
        let family = if pci.is_some() { "PCI" } else { "ROOT" };
        let name = format!(r"\Device\NTPNP_{family}{:04}", device.0);
        let created = self.create_device(
            driver,
            16,
            Some(name),
            device_type::FILE_DEVICE_UNKNOWN,
            0,
            0,
        )?;
        let physical_device = match created {
            Ok(physical_device) => physical_device,
            Err(status) => return Ok(Err(status)),
        };
        let mut hardware_ids = identity.hardware_ids.clone();
        let mut compatible_ids = Vec::new();
        match pci {
            Some(address) => {
                let ids = self.pci_ids(address);
                hardware_ids.extend(ids.0);
                compatible_ids = ids.1;
            }
            None if hardware_ids.is_empty() => {
                hardware_ids.push(format!(r"ROOT\{}", self.device_name(device).to_uppercase()));
            }
            None => {}
        }
        let instance = match pci {
            Some(at) => format!(
                "3&{:X}&0&{:02X}",
                0x1158_3659_u32,
                at.device() << 3 | at.function()
            ),
            None => format!("{:04}", device.0),
        };
        let node = Node {
            device: Some(device),
            parent: None,
            gone: false,
            number: device.0,
            pci,
            hardware_ids,
            compatible_ids,
            instance,
            description: identity
                .description
                .clone()
                .unwrap_or_else(|| self.device_name(device)),
            state: NodeState::Enumerated,
            agreed: None,
            power: device_power_state::PowerDeviceD0,
            driver: None,
            installed: identity.installed,
        };
        self.io.pnp.nodes.borrow_mut().insert(physical_device, node);
        let clear = device_flags::DO_DEVICE_INITIALIZING;
        self.change_device_flags(
            physical_device,
            clear,
            device_flags::DO_BUS_ENUMERATED_DEVICE,
        )?;
        Ok(Ok(physical_device))
    }

    /// The driver object of the bus driver.
    pub(super) fn bus_driver(&self) -> Ddi<u64> {
        if self.io.pnp.bus_driver.get() != 0 {
            return Ok(self.io.pnp.bus_driver.get());
        }
        let image = DriverImage {
            name: "dirql-bus".to_string(),
            base: 0,
            size: 0,
            entry: 0,
        };
        let Ok(driver) = self.create_driver(&image)? else {
            // The name is ours; only a driver of the same name, loaded first, can have it.
            return Err(crate::Stop::Ended);
        };
        let table = at!(
            DriverPtr::<DriverObject>::new(driver),
            DriverObject,
            major_function
        )
        .cast::<u64>();
        let routines = [
            (major::IRP_MJ_PNP, "dirql:BusPnp"),
            (major::IRP_MJ_POWER, "dirql:BusPower"),
            (major::IRP_MJ_SYSTEM_CONTROL, "dirql:BusSystemControl"),
        ];
        for (function, name) in routines {
            self.write(
                table.element(usize::from(function)),
                self.kernel_routine(name),
            )?;
        }
        self.io.pnp.bus_driver.set(driver);
        Ok(driver)
    }

    /// Hardware and compatible IDs of a PCI function.
    /// Source: WDK, "Identifiers for PCI Devices".
    fn pci_ids(&self, address: pci::Address) -> (Vec<String>, Vec<String>) {
        let read = |offset: u16, width: Width| self.read_pci_config(address, offset, width);
        let (vendor, device) = (read(0x00, Width::U16), read(0x02, Width::U16));
        let (revision, class) = (read(0x08, Width::U8), read(0x08, Width::U32) >> 8);
        let subsystem = read(0x2E, Width::U16) << 16 | read(0x2C, Width::U16);
        let function = format!(r"PCI\VEN_{vendor:04X}&DEV_{device:04X}");
        let whole = format!("{function}&SUBSYS_{subsystem:08X}");
        let (long, short) = (format!("{class:06X}"), format!("{:04X}", class >> 8));
        let hardware = alloc::vec![
            format!("{whole}&REV_{revision:02X}"),
            whole,
            format!("{function}&CC_{long}"),
            format!("{function}&CC_{short}"),
        ];
        let compatible = alloc::vec![
            format!("{function}&REV_{revision:02X}"),
            function,
            format!(r"PCI\VEN_{vendor:04X}&CC_{long}"),
            format!(r"PCI\VEN_{vendor:04X}&CC_{short}"),
            format!(r"PCI\VEN_{vendor:04X}"),
            format!(r"PCI\CC_{long}"),
            format!(r"PCI\CC_{short}"),
        ];
        (hardware, compatible)
    }

    /// Whom plug and play asks for drivers of devices that drivers report.
    pub fn set_installer(&self, installer: Installer) {
        *self.io.pnp.installer.borrow_mut() = Some(installer);
    }

    /// What plug and play knows of a physical device.
    #[must_use]
    pub fn node(&self, physical_device: u64) -> Option<Node> {
        self.io.pnp.nodes.borrow().get(&physical_device).cloned()
    }

    /// The physical device objects there are, in order of address.
    #[must_use]
    pub fn physical_devices(&self) -> Vec<u64> {
        self.io.pnp.nodes.borrow().keys().copied().collect()
    }

    /// The device of the machine behind a physical device object.
    pub(crate) fn device_of_pdo(&self, physical_device: u64) -> Option<DeviceId> {
        self.io
            .pnp
            .nodes
            .borrow()
            .get(&physical_device)
            .and_then(|node| node.device)
    }

    /// The physical device object of a device of the machine.
    #[must_use]
    pub fn pdo_of_device(&self, device: DeviceId) -> Option<u64> {
        let nodes = self.io.pnp.nodes.borrow();
        nodes
            .iter()
            .find(|(_, node)| node.device == Some(device))
            .map(|(physical_device, _)| *physical_device)
    }

    /// Whether the drivers of a device know, or are being told, that it is gone.
    pub(crate) fn is_surprise_removed(&self, device: DeviceId) -> bool {
        let nodes = self.io.pnp.nodes.borrow();
        nodes
            .values()
            .any(|node| node.device == Some(device) && node.state == NodeState::SurpriseRemoved)
    }

    /// Whether a device is, or was until now, in a stack that IRP_MN_REMOVE_DEVICE is on its way
    /// through.
    pub(crate) fn is_being_removed(&self, device: u64) -> bool {
        let removing = self.io.pnp.removing.borrow();
        removing.iter().any(|stack| stack.contains(&device))
    }

    fn change_node(&self, physical_device: u64, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.io.pnp.nodes.borrow_mut().get_mut(&physical_device) {
            change(node);
        }
    }
}
