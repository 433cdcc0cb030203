//! From what a scenario says about a device to what the machine takes.

use dirql_chips::models::{self, LegacyDevice, PluggedDevice};
use dirql_chips::{Stimulus, Trigger};
use dirql_kernel::Kernel;
use dirql_kernel::hal::{DeviceId, LegacyWindow, LineWish, MessageWish, Plug, Socket};

use super::builder::hardware_ids_of;
use super::error::BenchError;
use super::identity;
use super::state::{BenchDevice, State};
use crate::scenario::{DeviceSpec, Interrupts, OtherEnd};

/// Builds the device and plugs it in.
pub(super) fn plug(kernel: &Kernel, spec: &DeviceSpec) -> Result<DeviceId, BenchError> {
    let options: Vec<(&str, &str)> = spec
        .options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let built = models::build(&spec.model, &options);
    let built = built.map_err(|error| BenchError::Model {
        device: spec.name.clone(),
        error,
    })?;
    let socket = match built {
        PluggedDevice::Pci(function) => Socket::Pci(function),
        PluggedDevice::Legacy(device) => legacy(device, spec.shared),
    };
    let interrupts = spec.interrupts.map_or(MessageWish::Default, wish);
    let plug = Plug {
        name: spec.name.clone(),
        socket,
        interrupts,
        gsi: spec.line.map(u32::from),
    };
    kernel.plug(plug).map_err(|error| BenchError::Plug {
        device: spec.name.clone(),
        error,
    })
}

/// Gives a driver of plug and play, in a computer without devices, one to drive: a hostile PCI
/// device with the IDs that the driver's INF has.
pub(super) fn plug_something(kernel: &Kernel, state: &State) -> Result<(), BenchError> {
    let nothing = state.devices.borrow().is_empty();
    let Some(driver) = state.plug_and_play_driver(kernel).filter(|_| nothing) else {
        return Ok(());
    };
    let devices = state.installs(driver);
    let spec = DeviceSpec::new("device0", "hostile");
    let spec = match identity::first_pci_id(devices) {
        Some((vendor, id)) => spec.option("vendor", vendor).option("device", id),
        None => spec,
    };
    let ids = hardware_ids_of(&spec);
    let installed = identity::install_for(&ids, driver, devices);
    let id = plug(kernel, &spec)?;
    state.devices.borrow_mut().push(BenchDevice {
        spec,
        id,
        installed,
        physical: None,
        starts: Vec::new(),
    });
    Ok(())
}

/// Wires the devices that have something at their other ends.
pub(super) fn connect_other_ends(kernel: &Kernel, state: &State) -> Result<(), BenchError> {
    let devices = state.devices.borrow().clone();
    for device in &devices {
        let wires = match &device.spec.other_end {
            None => continue,
            Some(OtherEnd::Loopback) => vec![(device.id, device.id)],
            Some(OtherEnd::Device(other)) => {
                let other = state.device(other)?.id;
                vec![(device.id, other), (other, device.id)]
            }
            Some(OtherEnd::Sender(bytes)) => {
                let offer = Stimulus::Offer(bytes.clone());
                if !kernel.stimulate(device.id, &offer) {
                    return Err(BenchError::NoWire(device.spec.name.clone()));
                }
                continue;
            }
        };
        for (from, to) in wires {
            if !kernel.wire(from, to) {
                return Err(BenchError::NoWire(kernel.device_name(to)));
            }
        }
    }
    Ok(())
}

/// Which interrupts a device is to be given.
pub(super) const fn wish(interrupts: Interrupts) -> MessageWish {
    match interrupts {
        Interrupts::Line => MessageWish::Line,
        Interrupts::Msi(messages) => MessageWish::Msi(messages),
        Interrupts::Msix(messages) => MessageWish::Msix(messages),
    }
}

fn legacy(device: LegacyDevice, shared: Option<bool>) -> Socket {
    let windows = device.windows.iter().map(|window| LegacyWindow {
        space: window.space,
        base: Some(window.base),
        size: window.size,
    });
    let lines = device.lines.iter().map(|line| LineWish {
        gsi: Some(line.number.into()),
        trigger: line.trigger,
        shared: shared.unwrap_or(line.trigger == Trigger::Level),
    });
    Socket::Legacy {
        windows: windows.collect(),
        lines: lines.collect(),
        device: device.device,
    }
}
