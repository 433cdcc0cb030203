//! What the firmware knows of a PC's devices, and asking for it.
//!
//! Source: WDK reference, ntddk.IoQueryDeviceDescription (obsolete); the keys below
//! `\Registry\Machine\Hardware\Description\System`.
//!
//! Not modelled: peripherals of controllers, and adapters other than the one of the ISA bus.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::registry::value_type;
use dirql_abi::resource::resource_type::{CmResourceTypeInterrupt, CmResourceTypePort};
use dirql_abi::resource::share_disposition::CmResourceShareDeviceExclusive;
use dirql_abi::resource::{
    CmFullResourceDescriptor, CmInterrupt, CmPartialResourceDescriptor, CmPartialResourceList,
    CmRange, configuration_type, interface_type, interrupt_flags, port_flags,
};
use dirql_abi::string::UnicodeString;
use zerocopy::IntoBytes;

use crate::{Ddi, DriverPtr, Kernel};

/// The adapter of the ISA bus.
const ADAPTER: &str = r"\Registry\Machine\Hardware\Description\System\MultifunctionAdapter\0";

/// Names of the values, in the order of `IO_QUERY_DEVICE_DATA_FORMAT`.
const VALUES: [&str; 3] = ["Identifier", "Configuration Data", "Component Information"];

/// The controllers that have keys here, by `CONFIGURATION_TYPE`.
const CONTROLLERS: [(u32, &str); 2] = [
    (configuration_type::SerialController, "SerialController"),
    (configuration_type::ParallelController, "ParallelController"),
];

/// The key of a controller for a device model, and what it is called.
fn controller_of(model: &str) -> Option<(&'static str, &'static str)> {
    match model {
        "uart16550" => Some(("SerialController", "COM")),
        "parport" => Some(("ParallelController", "PARALLEL")),
        _ => None,
    }
}

/// Which of something a driver asks for; `None`: all of them.
#[derive(Clone, Copy, Debug)]
pub struct DescriptionWish {
    /// `INTERFACE_TYPE` of the bus.
    pub bus_type: Option<i32>,
    /// Its number.
    pub bus: Option<u32>,
    /// `CONFIGURATION_TYPE` of the controller; `None`: the bus itself.
    pub controller_type: Option<u32>,
    /// Its number.
    pub controller: Option<u32>,
    /// Whether a peripheral of it is meant.
    pub peripheral: bool,
}

impl Kernel {
    /// Enters a device with these ports and lines, as firmware does at start.
    pub(crate) fn describe_hardware(
        &self,
        model: &str,
        ports: &[(u64, u64)],
        lines: &[(u32, bool)],
    ) {
        let Some((controller, name)) = controller_of(model) else {
            return;
        };
        let key = format!(r"{ADAPTER}\{controller}");
        let number = self
            .registry_children(&key)
            .map_or(0, |children| children.len());
        let text = |text: &str| -> Vec<u8> {
            let units = text.encode_utf16().chain([0]);
            units.flat_map(u16::to_le_bytes).collect()
        };
        let enter = |key: &str, identifier: &str, configuration: &[u8]| {
            let kind = value_type::REG_FULL_RESOURCE_DESCRIPTOR;
            self.registry_set(key, VALUES[0], value_type::REG_SZ, &text(identifier));
            self.registry_set(key, VALUES[1], kind, configuration);
            self.registry_set(key, VALUES[2], value_type::REG_BINARY, &[0; 16]);
        };
        enter(ADAPTER, "ISA", &full_descriptor(&[]));
        let ports = ports.iter().map(|(base, size)| {
            let arm = CmRange {
                start: *base,
                length: *size as u32,
            };
            let flags = port_flags::CM_RESOURCE_PORT_IO;
            let share = CmResourceShareDeviceExclusive;
            CmPartialResourceDescriptor::new(CmResourceTypePort, share, flags, &arm)
        });
        let lines = lines.iter().map(|(line, latched)| {
            let arm = CmInterrupt {
                level: *line as u16,
                group: 0,
                vector: *line,
                affinity: u64::MAX,
            };
            let flags = if *latched {
                interrupt_flags::CM_RESOURCE_INTERRUPT_LATCHED
            } else {
                0
            };
            let share = CmResourceShareDeviceExclusive;
            CmPartialResourceDescriptor::new(CmResourceTypeInterrupt, share, flags, &arm)
        });
        let all: Vec<CmPartialResourceDescriptor> = ports.chain(lines).collect();
        enter(
            &format!(r"{key}\{number}"),
            &format!("{name}{}", number + 1),
            &full_descriptor(&all),
        );
    }

    /// `IoQueryDeviceDescription(*BusType, *BusNumber, *ControllerType, *ControllerNumber,
    /// *PeripheralType, *PeripheralNumber, CalloutRoutine, Context)`
    ///
    /// Calls `CalloutRoutine` for each bus or controller that the firmware knows and that is
    /// meant, with its values in the registry.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_NAME_NOT_FOUND if there is none; the status of a callout that
    ///   failed, which is the last then; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, ntddk.IoQueryDeviceDescription (obsolete).
    ///
    /// # Errors
    /// None but the run's end.
    pub fn io_query_device_description(
        &self,
        wish: DescriptionWish,
        routine: u64,
        context: u64,
    ) -> Ddi<NtStatus> {
        let is_bus = wish
            .bus_type
            .is_none_or(|bus_type| bus_type == interface_type::Isa)
            && wish.bus.is_none_or(|bus| bus == 0);
        let absent = NtStatus::OBJECT_NAME_NOT_FOUND;
        if !is_bus || wish.peripheral || self.registry_children(ADAPTER).is_none() {
            return Ok(absent);
        }
        let Some(controller_type) = wish.controller_type else {
            return self.call_out(routine, context, ADAPTER, None);
        };
        let name = CONTROLLERS
            .iter()
            .find(|(kind, _)| *kind == controller_type);
        let Some((_, name)) = name else {
            return Ok(absent);
        };
        let key = format!(r"{ADAPTER}\{name}");
        let numbers = self.registry_children(&key).unwrap_or_default();
        let numbers = numbers
            .iter()
            .filter_map(|number| number.parse::<u32>().ok());
        let mut status = absent;
        for number in numbers.filter(|number| wish.controller.is_none_or(|one| one == *number)) {
            let path = format!(r"{key}\{number}");
            status = self.call_out(routine, context, &path, Some((controller_type, number)))?;
            if !status.is_success() {
                break;
            }
        }
        Ok(status)
    }

    /// Calls the routine for the bus, or for one of its controllers.
    fn call_out(
        &self,
        routine: u64,
        context: u64,
        path: &str,
        controller: Option<(u32, u32)>,
    ) -> Ddi<NtStatus> {
        let bus = self.information_of(ADAPTER)?;
        let of_controller = match controller {
            Some(_) => self.information_of(path)?,
            None => 0,
        };
        let name = self.pool_unicode(path)?;
        if bus == 0 || name == 0 || controller.is_some() && of_controller == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let (controller_type, number) = controller.unwrap_or_default();
        let path = DriverPtr::<UnicodeString>::new(name);
        let bus_type = interface_type::Isa as u64;
        let arguments = [
            context,
            path.address(),
            bus_type,
            0,
            bus,
            controller_type.into(),
            number.into(),
            of_controller,
            0,
            0,
            0,
        ];
        let status = self.call_at_same_level("QueryDeviceRoutine", routine, &arguments)?;
        for block in [bus, of_controller, name] {
            if block != 0 {
                self.pool_free(block, None)?;
            }
        }
        Ok(NtStatus(status as i32))
    }

    /// Pointers to the KEY_VALUE_FULL_INFORMATION of a key's three values, and those behind them,
    /// in one block; 0 without memory.
    fn information_of(&self, key: &str) -> Ddi<u64> {
        let values: Vec<Vec<u8>> = VALUES
            .iter()
            .map(|name| {
                let (kind, data) = self.registry_get(key, name).unwrap_or_default();
                full_information(name, kind, &data)
            })
            .collect();
        let pointers = 8 * values.len() as u64;
        let bytes: u64 = values.iter().map(|value| value.len() as u64).sum();
        let block = self.allocate_zeroed(pointers + bytes, super::tag(b"IoDd"))?;
        if block != 0 {
            let mut at = block + pointers;
            for (index, value) in values.iter().enumerate() {
                self.write(DriverPtr::<u64>::new(block).element(index), at)?;
                self.write_bytes(at, value)?;
                at += value.len() as u64;
            }
        }
        Ok(block)
    }
}

/// `KEY_VALUE_FULL_INFORMATION`, its name and its data, in whole 8 bytes.
fn full_information(name: &str, kind: u32, data: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = name
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let offset = (20 + name.len()).next_multiple_of(8);
    let header = [0, kind, offset as u32, data.len() as u32, name.len() as u32];
    let mut bytes: Vec<u8> = header.iter().copied().flat_map(u32::to_le_bytes).collect();
    bytes.extend(name);
    bytes.resize(offset, 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A `CM_FULL_RESOURCE_DESCRIPTOR` of the ISA bus.
fn full_descriptor(descriptors: &[CmPartialResourceDescriptor]) -> Vec<u8> {
    let head = CmFullResourceDescriptor {
        interface_type: interface_type::Isa,
        bus_number: 0,
        partial_resource_list: CmPartialResourceList {
            version: 0,
            revision: 0,
            count: descriptors.len() as u32,
        },
    };
    let mut bytes = head.as_bytes().to_vec();
    for descriptor in descriptors {
        bytes.extend_from_slice(descriptor.as_bytes());
    }
    bytes
}
