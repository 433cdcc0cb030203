//! What an INF says about a device: who it is, which driver it gets, what is in its keys.

use dirql_image::inf;
use dirql_kernel::WindowsVersion;
use dirql_kernel::io::pnp::{Identity, Node};

use super::driver::Driver;
use super::error::BenchError;
use crate::scenario::DeviceSpec;

/// A device's identity and the index of its driver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Installed {
    pub(crate) identity: Identity,
    pub(crate) driver: Option<usize>,
    /// The kernel's own function driver has it.
    pub(crate) built_in: bool,
    /// Values below its hardware and its software key.
    pub(crate) hardware: Vec<inf::RegistryValue>,
    pub(crate) software: Vec<inf::RegistryValue>,
}

/// The hardware IDs that a device has without an INF's help, best first. Those of PCI devices are
/// the ones that INFs use.
pub(super) fn hardware_ids(pci: Option<(u16, u16)>, model: &str) -> Vec<String> {
    match pci {
        Some((vendor, device)) => vec![format!(r"PCI\VEN_{vendor:04X}&DEV_{device:04X}")],
        None => {
            let own = vec![
                format!(r"DIRQL\{model}"),
                format!(r"ROOT\{}", model.to_uppercase()),
            ];
            [own, acpi_ids(model)].concat()
        }
    }
}

/// The IDs under which ACPI reports the device of a model, the device's own first. INFs have them for
/// hardware that every computer has.
///
/// Source: Microsoft's list of device IDs for generic hardware (`devids.txt`); WDK, "Device
/// Identification Strings" for the forms of an ID.
fn acpi_ids(model: &str) -> Vec<String> {
    let number = match model {
        "parport" => "0400",
        "uart16550" => "0501",
        _ => return Vec::new(),
    };
    vec![
        format!(r"ACPI\PNP{number}"),
        format!("*PNP{number}"),
        format!(r"ACPI\VEN_PNP&DEV_{number}"),
    ]
}

fn is_of_acpi(id: &str) -> bool {
    id.starts_with(r"ACPI\") || id.starts_with('*')
}

/// Finds the driver of a device and what its INF says about it.
///
/// A device goes to the driver that its specification names, else to the first whose INF knows
/// it, else to the kernel's own if there is one, else to the first without an INF. A driver with
/// the name of the kernel's own takes its place.
pub(super) fn install(
    spec: &DeviceSpec,
    ids: &[String],
    drivers: &[Driver],
    windows: WindowsVersion,
) -> Result<Installed, BenchError> {
    let named = match &spec.driver {
        None => None,
        Some(name) => {
            let found = drivers
                .iter()
                .position(|driver| driver.service().eq_ignore_ascii_case(name));
            Some(found.ok_or_else(|| BenchError::NoDriver(name.clone()))?)
        }
    };
    let mut without_inf = None;
    let mut refused = None;
    for (index, driver) in drivers.iter().enumerate() {
        if named.is_some_and(|named| named != index) || is_filter(spec, driver) {
            continue;
        }
        let Some(inf) = &driver.inf else {
            without_inf.get_or_insert(index);
            continue;
        };
        let devices = inf.devices(windows)?;
        match devices.iter().find(|device| knows(device, ids)) {
            Some(device) => return Ok(installed(device, ids, index)),
            None => refused.get_or_insert(&inf.file),
        };
    }
    let another = drivers
        .iter()
        .position(|driver| is_built_in(&spec.model, driver.service()));
    if named.is_none() && another.is_some() {
        without_inf = another;
    } else if named.is_none() && has_built_in_driver(&spec.model) {
        return Ok(Installed {
            built_in: true,
            ..without(ids)
        });
    }
    match (without_inf, refused) {
        (Some(driver), _) => Ok(Installed {
            driver: Some(driver),
            ..without(ids)
        }),
        (None, Some(file)) => Err(BenchError::NotInInf {
            file: file.clone(),
            device: spec.name.clone(),
            hardware_id: ids.first().cloned().unwrap_or_default(),
        }),
        (None, None) => Ok(without(ids)),
    }
}

/// Whether Windows brings the function driver of a model along, and the kernel has it.
fn has_built_in_driver(model: &str) -> bool {
    model == "parport"
}

/// Whether the kernel's own driver of a model has this name.
fn is_built_in(model: &str, service: &str) -> bool {
    has_built_in_driver(model) && service.eq_ignore_ascii_case("parport")
}

/// Whether a driver is one of a device's filters.
fn is_filter(spec: &DeviceSpec, driver: &Driver) -> bool {
    let mut filters = spec.lower_filters.iter().chain(&spec.upper_filters);
    filters.any(|name| name.eq_ignore_ascii_case(driver.service()))
}

/// As [`install`], for a device that is the driver's with this number whatever happens.
pub(super) fn install_for(ids: &[String], index: usize, devices: &[inf::Device]) -> Installed {
    match devices.iter().find(|device| knows(device, ids)) {
        Some(device) => installed(device, ids, index),
        None => Installed {
            driver: Some(index),
            ..without(ids)
        },
    }
}

/// Vendor and device of the first PCI hardware ID that an INF has.
pub(super) fn first_pci_id(devices: &[inf::Device]) -> Option<(u16, u16)> {
    let ids = devices.iter().flat_map(|device| &device.hardware_ids);
    let number = |digits: Option<&str>| u16::from_str_radix(digits?, 16).ok();
    ids.filter_map(|id| {
        let id = id.to_uppercase();
        let (vendor, device) = id.strip_prefix(r"PCI\VEN_")?.split_once("&DEV_")?;
        Some((number(Some(vendor))?, number(device.get(..4))?))
    })
    .next()
}

/// The INF entry for the best of a device's IDs, and the number of its driver.
pub(super) fn find_in_catalog<'c>(
    catalog: &'c [Vec<inf::Device>],
    node: &Node,
    may: impl Fn(usize) -> bool,
) -> Option<(usize, &'c inf::Device)> {
    let ids = node.hardware_ids.iter().chain(&node.compatible_ids);
    let known_by = |id: &String| {
        let drivers = catalog.iter().enumerate().filter(|(index, _)| may(*index));
        drivers
            .flat_map(|(index, devices)| devices.iter().map(move |device| (index, device)))
            .find(|(_, device)| {
                let known = &device.hardware_ids;
                known.iter().any(|known| known.eq_ignore_ascii_case(id))
            })
    };
    ids.into_iter().find_map(known_by)
}

/// PCI IDs are the bus driver's to say; the others are ours.
fn own_ids(ids: &[String]) -> Vec<String> {
    ids.iter()
        .filter(|id| !id.starts_with(r"PCI\"))
        .cloned()
        .collect()
}

fn without(ids: &[String]) -> Installed {
    let identity = Identity {
        hardware_ids: own_ids(ids),
        ..Identity::default()
    };
    Installed {
        identity,
        ..Installed::default()
    }
}

/// Whether an INF's device is one with these IDs. A longer ID of the INF names a revision or a
/// subsystem, which the models do not tell apart.
fn knows(device: &inf::Device, ids: &[String]) -> bool {
    device.hardware_ids.iter().any(|known| {
        ids.iter().any(|id| {
            known
                .get(..id.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(id))
                && (known.len() == id.len() || known[id.len()..].starts_with('&'))
        })
    })
}

/// The IDs of a device that an INF knows: it is on the bus whose ID the INF has.
fn ids_on_bus(device: &inf::Device, ids: &[String]) -> Vec<String> {
    let mut ids = own_ids(ids);
    let (acpi, others): (Vec<String>, Vec<String>) =
        ids.iter().cloned().partition(|id| is_of_acpi(id));
    if knows(device, &acpi) && !knows(device, &others) {
        // Stable: within each bus the best stays first.
        ids.sort_by_key(|id| !is_of_acpi(id));
    }
    ids
}

fn installed(device: &inf::Device, ids: &[String], driver: usize) -> Installed {
    let identity = Identity {
        hardware_ids: ids_on_bus(device, ids),
        description: Some(device.description.clone()).filter(|text| !text.is_empty()),
        installed: true,
    };
    Installed {
        identity,
        driver: Some(driver),
        built_in: false,
        hardware: device.hardware.clone(),
        software: device.software.clone(),
    }
}
