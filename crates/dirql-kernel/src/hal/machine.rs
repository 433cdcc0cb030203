//! Which devices there are, and how they are wired.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_chips::pci;
use dirql_chips::{Device, Polarity, Trigger, Width, WiredOr};
use dirql_rules::Place;

use crate::Kernel;
use crate::hal::Assignment;
use crate::hal::msix::TableEntry;

/// Pins of the IO-APIC: 24 as on a PC's first, and room for devices without a legacy number.
pub(crate) const PINS: u8 = 64;

/// First pin for PCI interrupt lines, as on PCs: the 16 below are the ISA lines.
const FIRST_PCI_PIN: u32 = 16;

/// Lines that legacy devices get if they do not ask: those that a PC leaves free, then
/// those above the PCI lines.
const FREE_ISA_LINES: [u32; 5] = [5, 9, 10, 11, 7];

/// A device of the machine, in order of plugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// A register window of a device that is not on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyWindow {
    /// Memory or ports.
    pub space: pci::Space,
    /// First address; `None` lets the machine choose.
    pub base: Option<u64>,
    /// Bytes or ports.
    pub size: u64,
}

/// An interrupt line of a device that is not on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineWish {
    /// System-wide number; `None` lets the machine choose.
    pub gsi: Option<u32>,
    /// Edge or level.
    pub trigger: Trigger,
    /// Whether other devices may be on it.
    pub shared: bool,
}

/// How a device is plugged in.
#[derive(Debug)]
pub enum Socket {
    /// A PCI function, at the next free device number of bus 0.
    Pci(Box<pci::Function>),
    /// A device that is just there.
    Legacy {
        /// The device.
        device: Box<dyn Device>,
        /// Its register windows, by region.
        windows: Vec<LegacyWindow>,
        /// Its lines, by source.
        lines: Vec<LineWish>,
    },
}

/// Which kind of interrupts a PCI device is to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageWish {
    /// What it can, as its INF or registry says; messages if it has them.
    #[default]
    Default,
    /// Its line.
    Line,
    /// Up to this many messages of its MSI capability.
    Msi(u16),
    /// Up to this many messages of its MSI-X capability.
    Msix(u16),
}

/// A device to plug in.
#[derive(Debug)]
pub struct Plug {
    /// Its name in the scenario, unique.
    pub name: String,
    /// What and where.
    pub socket: Socket,
    /// Which interrupts it is to get.
    pub interrupts: MessageWish,
    /// The line that a PCI device's pin is wired to; `None` as on a PC.
    pub gsi: Option<u32>,
}

/// Why a device cannot be plugged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlugError {
    /// Names are unique.
    #[error("there is a device named {0:?} already")]
    Name(String),
    /// 32 device numbers on the bus.
    #[error("the PCI bus has no free device number")]
    BusFull,
    /// The line does not exist.
    #[error("there is no line {gsi}; lines are 0 to {}", PINS - 1)]
    NoLine {
        /// The number asked for.
        gsi: u32,
    },
    /// The address is taken or outside the device window.
    #[error("the window at {base:#x} with {size:#x} addresses overlaps another or is out of range")]
    Window {
        /// First address.
        base: u64,
        /// How many.
        size: u64,
    },
}

/// A device and its wiring.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) kind: SlotKind,
    pub(crate) wish: MessageWish,
    /// The lines that its sources drive, by source.
    pub(crate) lines: Vec<(u32, LineWish)>,
    /// What it was given at its last start.
    pub(crate) assignment: Option<Assignment>,
    /// What each entry of its MSI-X table is for.
    pub(crate) table: Vec<TableEntry>,
    /// Bytes that left at its other end.
    pub(crate) sent: Vec<u8>,
    /// How many of them somebody has asked for.
    pub(crate) sent_taken: usize,
    /// The device at its other end.
    pub(crate) wired: Option<DeviceId>,
    /// How often it has asserted one of its lines.
    pub(crate) assertions: u32,
    /// Where a driver wrote to its registers last.
    pub(crate) written: Option<Place>,
    /// It was pulled out.
    pub(crate) is_gone: bool,
    /// What the next ISR that reads one of its registers gets.
    pub(crate) pretence: Option<Pretence>,
}

/// A value that stands for the cause of an interrupt in registers of most kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pretence {
    /// Bit 0.
    First,
    /// Bits 1 and 2, for registers whose bit 0 says that there is no interrupt.
    Second,
    /// All bits but the highest: all ones is what a device reads that was pulled out.
    Most,
}

impl Pretence {
    pub(crate) const fn value(self, width: Width) -> u64 {
        match self {
            Self::First => 1,
            Self::Second => 0b110,
            Self::Most => width.ones() >> 1,
        }
    }
}

#[derive(Debug)]
pub(crate) enum SlotKind {
    Pci(pci::Address),
    Legacy {
        device: Box<dyn Device>,
        windows: Vec<(pci::Space, u64, u64)>,
    },
    /// What a driver has reported; see [`super::child`].
    Reported {
        /// The windows that it asks for.
        windows: Vec<(pci::Space, u64, u64)>,
    },
}

impl Slot {
    pub(super) const fn new(
        name: String,
        kind: SlotKind,
        wish: MessageWish,
        lines: Vec<(u32, LineWish)>,
    ) -> Self {
        Self {
            name,
            kind,
            wish,
            lines,
            assignment: None,
            table: Vec::new(),
            sent: Vec::new(),
            sent_taken: 0,
            wired: None,
            assertions: 0,
            written: None,
            is_gone: false,
            pretence: None,
        }
    }
}

impl Kernel {
    /// Plugs a device in.
    ///
    /// # Errors
    /// See [`PlugError`]; nothing has changed then.
    pub fn plug(&self, plug: Plug) -> Result<DeviceId, PlugError> {
        if self
            .hal
            .slots
            .borrow()
            .iter()
            .any(|slot| slot.name == plug.name)
        {
            return Err(PlugError::Name(plug.name));
        }
        let (kind, lines) = match plug.socket {
            Socket::Pci(function) => self.plug_pci(*function, plug.gsi)?,
            Socket::Legacy {
                device,
                windows,
                lines,
            } => {
                let windows = windows
                    .into_iter()
                    .map(|window| self.place_window(window))
                    .collect::<Result<_, _>>()?;
                let lines = lines
                    .into_iter()
                    .map(|wish| self.place_line(wish))
                    .collect::<Result<_, _>>()?;
                (SlotKind::Legacy { device, windows }, lines)
            }
        };
        let mut slots = self.hal.slots.borrow_mut();
        let id = DeviceId(slots.len() as u32);
        slots.push(Slot::new(plug.name, kind, plug.interrupts, lines));
        drop(slots);
        self.describe_slot(id);
        Ok(id)
    }

    /// Tells the firmware's description of a device off the bus.
    fn describe_slot(&self, device: DeviceId) {
        let known = self.with_slot(device, |slot| {
            let SlotKind::Legacy { device, windows } = &slot.kind else {
                return None;
            };
            let ports = windows
                .iter()
                .filter(|(space, ..)| *space == pci::Space::Port);
            let lines = slot.lines.iter();
            Some((
                device.model(),
                ports
                    .map(|(_, base, size)| (*base, *size))
                    .collect::<Vec<_>>(),
                lines
                    .map(|(gsi, wish)| (*gsi, wish.trigger == Trigger::Edge))
                    .collect::<Vec<_>>(),
            ))
        });
        if let Some((model, ports, lines)) = known.flatten() {
            self.describe_hardware(model, &ports, &lines);
        }
    }

    fn plug_pci(
        &self,
        function: pci::Function,
        gsi: Option<u32>,
    ) -> Result<(SlotKind, Vec<(u32, LineWish)>), PlugError> {
        let mut bus = self.hal.pci.borrow_mut();
        // Device 0 is the host bridge of a PC.
        let address = (1..32)
            .filter_map(|device| pci::Address::new(0, device, 0))
            .find(|address| bus.get(*address).is_none())
            .ok_or(PlugError::BusFull)?;
        let pin = function.pin();
        bus.insert(address, function)
            .map_err(|_| PlugError::BusFull)?;
        drop(bus);
        self.place_bars(address)?;
        let wish = LineWish {
            gsi,
            trigger: Trigger::Level,
            shared: true,
        };
        let lines = match pin {
            None => Vec::new(),
            Some(pin) => {
                // The usual rotation of pins over slots.
                let turned = u32::from(address.device()) + pin as u32 - 1;
                let gsi = self.checked_line(gsi.unwrap_or(FIRST_PCI_PIN + turned % 8))?;
                // As firmware leaves it, for drivers that look there.
                let line = pci::spec::offset::INTERRUPT_LINE;
                self.write_pci_config(address, line, Width::U8, gsi.into());
                alloc::vec![(gsi, wish)]
            }
        };
        Ok((SlotKind::Pci(address), lines))
    }

    fn place_line(&self, wish: LineWish) -> Result<(u32, LineWish), PlugError> {
        let gsi = match wish.gsi {
            Some(gsi) => self.checked_line(gsi)?,
            None => {
                let slots = self.hal.slots.borrow();
                let lines = self.hal.lines.borrow();
                let taken = |gsi: &u32| {
                    slots
                        .iter()
                        .any(|slot| slot.lines.iter().any(|(line, _)| line == gsi))
                };
                FREE_ISA_LINES
                    .into_iter()
                    .chain(FIRST_PCI_PIN + 8..u32::from(PINS))
                    .find(|gsi| !taken(gsi) && lines[*gsi as usize].is_none())
                    .ok_or(PlugError::NoLine {
                        gsi: u32::from(PINS),
                    })?
            }
        };
        // So that the next line of the same device gets another number.
        self.hal.lines.borrow_mut()[gsi as usize].get_or_insert(WiredOr::new(Polarity::ActiveHigh));
        Ok((gsi, wish))
    }

    fn checked_line(&self, gsi: u32) -> Result<u32, PlugError> {
        if gsi < u32::from(PINS) {
            Ok(gsi)
        } else {
            Err(PlugError::NoLine { gsi })
        }
    }

    /// The device that is wired to a line, the first one if several are.
    pub(crate) fn device_on_line(&self, gsi: u32) -> (Option<DeviceId>, Option<LineWish>) {
        let slots = self.hal.slots.borrow();
        let found = slots.iter().enumerate().find_map(|(index, slot)| {
            let (_, wish) = slot.lines.iter().find(|(line, _)| *line == gsi)?;
            Some((DeviceId(index as u32), *wish))
        });
        (found.map(|(device, _)| device), found.map(|(_, wish)| wish))
    }

    /// Whether what is wired to a line drives it by edges.
    pub(crate) fn line_is_latched(&self, gsi: u32) -> bool {
        let wish = self.device_on_line(gsi).1;
        wish.is_none_or(|wish| wish.trigger == Trigger::Edge)
    }

    /// The device in a slot of a PCI bus.
    pub(crate) fn device_in_slot(&self, bus: u32, slot: u32) -> Option<DeviceId> {
        let wanted = crate::hal::legacy::pci_slot(bus, slot)?;
        let slots = self.hal.slots.borrow();
        let found = slots
            .iter()
            .position(|slot| matches!(slot.kind, SlotKind::Pci(address) if address == wanted));
        found.map(|index| DeviceId(index as u32))
    }

    /// The device off the bus that has this port, this address or this line.
    pub(crate) fn legacy_device_at(&self, space: pci::Space, address: u64) -> Option<DeviceId> {
        let slots = self.hal.slots.borrow();
        let found = slots.iter().position(|slot| match &slot.kind {
            SlotKind::Legacy { windows, .. } => windows.iter().any(|(own, base, size)| {
                *own == space && (*base..*base + *size).contains(&address)
            }),
            SlotKind::Pci(_) | SlotKind::Reported { .. } => false,
        });
        found.map(|index| DeviceId(index as u32))
    }

    /// The device with this name.
    #[must_use]
    pub fn device_by_name(&self, name: &str) -> Option<DeviceId> {
        let slots = self.hal.slots.borrow();
        slots
            .iter()
            .position(|slot| slot.name == name)
            .map(|index| DeviceId(index as u32))
    }

    /// A device's name.
    #[must_use]
    pub fn device_name(&self, device: DeviceId) -> String {
        self.with_slot(device, |slot| slot.name.clone())
            .unwrap_or_default()
    }

    /// Which kind of interrupts a device is to be given at its next start.
    pub fn set_message_wish(&self, device: DeviceId, wish: MessageWish) {
        self.with_slot(device, |slot| slot.wish = wish);
    }

    /// Where a device is on the PCI bus, if it is.
    pub(crate) fn pci_address(&self, device: DeviceId) -> Option<pci::Address> {
        self.with_slot(device, |slot| match slot.kind {
            SlotKind::Pci(address) => Some(address),
            SlotKind::Legacy { .. } | SlotKind::Reported { .. } => None,
        })?
    }

    pub(crate) fn with_slot<R>(
        &self,
        device: DeviceId,
        body: impl FnOnce(&mut Slot) -> R,
    ) -> Option<R> {
        self.hal
            .slots
            .borrow_mut()
            .get_mut(device.0 as usize)
            .map(body)
    }

    /// The bytes that have left at a device's other end since this was last asked.
    pub fn take_sent(&self, device: DeviceId) -> Vec<u8> {
        self.with_slot(device, |slot| {
            let from = core::mem::replace(&mut slot.sent_taken, slot.sent.len());
            slot.sent[from..].to_vec()
        })
        .unwrap_or_default()
    }

    /// All bytes that have left at a device's other end.
    #[must_use]
    pub fn all_sent(&self, device: DeviceId) -> Vec<u8> {
        self.with_slot(device, |slot| slot.sent.clone())
            .unwrap_or_default()
    }
}
