//! The HAL's routines for drivers that know their hardware without plug and play.

use alloc::format;

use dirql_abi::Irql;
use dirql_abi::resource::interface_type;
use dirql_chips::{Trigger, Width, pci};
use dirql_rules::ids;

use crate::hal::machine::PINS;
use crate::hal::{DeviceId, Source, SourceKind};
use crate::mm::layout;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Devices that nobody plugged in.
const NOBODY: DeviceId = DeviceId(u32::MAX);

/// `PCIConfiguration` of BUS_DATA_TYPE.
const PCI_CONFIGURATION: u32 = 4;

/// Lines of an ISA bus.
const ISA_LINES: u32 = 16;

/// The input of the first interrupt controller at which the second one is, and where a device on
/// it is seen.
const CASCADE: u32 = 2;
const CASCADED: u32 = 9;

impl Kernel {
    /// `ULONG HalGetInterruptVector(INTERFACE_TYPE, ULONG BusNumber, ULONG BusInterruptLevel,
    /// ULONG BusInterruptVector, PKIRQL, PKAFFINITY)`
    ///
    /// Turns a bus's line number into a vector, a DIRQL and a mask. On the buses of a PC level and
    /// vector are the same number, and the level counts (note N0180).
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the vector; 0 if there is no such bus, or no such line on it.
    /// - Findings: DQ0136, advice, for a driver that has an AddDevice routine.
    /// - Source: HalGetInterruptVector, Remarks (obsolete).
    pub fn hal_get_interrupt_vector(
        &self,
        (interface, bus, level): (i32, u32, u32),
        irql: DriverPtr<u8>,
        affinity: DriverPtr<u64>,
    ) -> Ddi<u32> {
        if self.caller_has_add_device() {
            self.find(
                ids::OBSOLETE_VECTOR_LOOKUP,
                format!("the driver asks for the vector of line {level}"),
                None,
            )?;
        }
        let line = line_of_bus(interface, bus, level);
        let Some(source) = line.and_then(|line| self.source_of_line(line)) else {
            self.write(irql, 0)?;
            self.write(affinity, 0)?;
            return Ok(0);
        };
        self.write(irql, source.irql().0)?;
        self.write(affinity, source.affinity)?;
        Ok(u32::from(source.vector.0))
    }

    /// A driver without one finds its hardware by itself, and has no other way.
    fn caller_has_add_device(&self) -> bool {
        self.driver_of_address(self.here().address)
            .is_some_and(|driver| self.has_add_device(driver))
    }

    /// What a line's interrupt is, whether or not a device was given it.
    fn source_of_line(&self, gsi: u32) -> Option<Source> {
        if gsi >= u32::from(PINS) {
            return None;
        }
        let known = self
            .sources()
            .into_iter()
            .find(|(_, source)| source.is_line(gsi));
        if let Some((_, source)) = known {
            return Some(source);
        }
        let (device, wish) = self.device_on_line(gsi);
        let trigger = wish.map_or(Trigger::Edge, |wish| wish.trigger);
        let (group, affinity) = (0, self.active_mask(0));
        let source = Source {
            device: device.unwrap_or(NOBODY),
            kind: SourceKind::Line { gsi, trigger },
            vector: self.allocate_vectors(
                1,
                group,
                affinity,
                Irql::DEVICE_MIN.0..=Irql::DEVICE_MAX.0,
            )?,
            group,
            affinity,
            shared: wish.is_some_and(|wish| wish.shared),
            assigned: true,
            passive: false,
            users: 0,
            connected: 0,
        };
        self.add_source(source);
        Some(source)
    }

    /// `ULONG HalGetBusDataByOffset(BUS_DATA_TYPE, ULONG BusNumber, ULONG SlotNumber, PVOID,
    /// ULONG Offset, ULONG Length)`, also behind `HalGetBusData`.
    ///
    /// - Returns: bytes read; 0 for a bus that is not there; 2 where the slot is empty, with
    ///   0xFFFF as the vendor.
    /// - Source: HalGetBusDataByOffset, Return value.
    pub fn hal_get_bus_data_by_offset(
        &self,
        kind: u32,
        (bus, slot): (u32, u32),
        buffer: u64,
        (offset, length): (u32, u32),
    ) -> Ddi<u32> {
        let Some(address) = slot_address(kind, bus, slot) else {
            return Ok(0);
        };
        if self.read_pci_config(address, 0, Width::U16) == Width::U16.ones() {
            self.write(DriverPtr::<u16>::new(buffer), 0xFFFF)?;
            return Ok(2);
        }
        let end = u32::from(pci::spec::CONFIG_SIZE).min(offset.saturating_add(length));
        for at in offset..end {
            let byte = self.read_pci_config(address, at as u16, Width::U8) as u8;
            self.write(DriverPtr::new(buffer + u64::from(at - offset)), byte)?;
        }
        Ok(end.saturating_sub(offset))
    }

    /// `ULONG HalSetBusDataByOffset(...)`: as for reading. Returns bytes written.
    pub fn hal_set_bus_data_by_offset(
        &self,
        kind: u32,
        (bus, slot): (u32, u32),
        buffer: u64,
        (offset, length): (u32, u32),
    ) -> Ddi<u32> {
        let Some(address) = slot_address(kind, bus, slot) else {
            return Ok(0);
        };
        let end = u32::from(pci::spec::CONFIG_SIZE).min(offset.saturating_add(length));
        for at in offset..end {
            let byte: u8 = self.read(DriverPtr::new(buffer + u64::from(at - offset)))?;
            self.write_pci_config(address, at as u16, Width::U8, u64::from(byte));
        }
        Ok(end.saturating_sub(offset))
    }

    /// `BOOLEAN HalTranslateBusAddress(INTERFACE_TYPE, ULONG, PHYSICAL_ADDRESS, PULONG
    /// AddressSpace, PPHYSICAL_ADDRESS)`: bus addresses are physical addresses on a PC.
    /// FALSE for an address beyond the space. Source: HalTranslateBusAddress.
    pub fn hal_translate_bus_address(
        &self,
        interface: i32,
        address: u64,
        space: DriverPtr<u32>,
        translated: DriverPtr<u64>,
    ) -> Ddi<u8> {
        let known = [
            interface_type::Isa,
            interface_type::PCIBus,
            interface_type::Internal,
            interface_type::Eisa,
        ];
        let port = self.read(space)? != 0;
        let limit = if port { 0x1_0000 } else { layout::PHYSICAL_END };
        if !known.contains(&interface) || address >= limit {
            return Ok(0);
        }
        self.write(translated, address)?;
        Ok(1)
    }
}

/// The machine's line behind the line of a bus. There is one bus of each kind. On an ISA bus line
/// 2 is what arrives at line 9, since the second controller is at the first one's input 2.
const fn line_of_bus(interface: i32, bus: u32, level: u32) -> Option<u32> {
    match (interface, bus) {
        (interface_type::Isa | interface_type::Eisa, 0) => match level {
            CASCADE => Some(CASCADED),
            0..ISA_LINES => Some(level),
            _ => None,
        },
        (interface_type::Internal | interface_type::PCIBus, 0) => Some(level),
        _ => None,
    }
}

/// A PCI_SLOT_NUMBER: device in the low five bits, function in the next three.
fn slot_address(kind: u32, bus: u32, slot: u32) -> Option<pci::Address> {
    (kind == PCI_CONFIGURATION).then(|| pci_slot(bus, slot))?
}

pub(super) fn pci_slot(bus: u32, slot: u32) -> Option<pci::Address> {
    pci::Address::new(
        u8::try_from(bus).ok()?,
        slot as u8 & 31,
        (slot >> 5) as u8 & 7,
    )
}
