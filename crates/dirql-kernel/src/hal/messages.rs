//! Turning interrupt sources on and off: the IO-APIC's pins, and the message capabilities of
//! PCI functions.
//!
//! A source is on while an ISR is connected to it. A function's messages are enabled with the
//! first one that is connected and disabled with the last.

use dirql_chips::ioapic::spec::RedirectionEntry;
use dirql_chips::pci::{self, spec};
use dirql_chips::{DeliveryMode, InterruptMessage, MessageWrite, Polarity, Trigger, Vector, Width};

use crate::Kernel;
use crate::hal::machine::Target;
use crate::hal::{DeviceId, Source, SourceKind};

impl Kernel {
    /// One more ISR uses the source; it is turned on with the first.
    pub(crate) fn enable_source(&self, number: u32) {
        let users = self.change_users(number, 1);
        let Some(source) = self.source(number) else { return };
        match source.kind {
            // Several sources can share a pin; programming it again changes nothing.
            SourceKind::Line { gsi, trigger } if users == 1 => self.program_pin(gsi, trigger, &source, false),
            SourceKind::Message { message, table } if users == 1 => {
                self.program_message(&source, message, table);
                self.enable_messages(source.device, table, true);
            }
            _ => {}
        }
    }

    /// One ISR fewer uses the source; it is turned off with the last.
    pub(crate) fn disable_source(&self, number: u32) {
        let users = self.change_users(number, -1);
        let Some(source) = self.source(number) else { return };
        if users > 0 {
            return;
        }
        match source.kind {
            SourceKind::Line { gsi, trigger } => {
                let others = self.sources().iter().any(|(_, other)| {
                    other.users > 0 && matches!(other.kind, SourceKind::Line { gsi: line, .. } if line == gsi)
                });
                if !others {
                    self.program_pin(gsi, trigger, &source, true);
                }
            }
            SourceKind::Message { table, .. } => {
                let others = self.sources().iter().any(|(_, other)| {
                    other.users > 0
                        && other.device == source.device
                        && matches!(other.kind, SourceKind::Message { .. })
                });
                if !others {
                    self.enable_messages(source.device, table, false);
                }
            }
        }
    }

    fn program_pin(&self, gsi: u32, trigger: Trigger, source: &Source, masked: bool) {
        let entry = RedirectionEntry::new()
            .with_vector(source.vector.0)
            .with_delivery(DeliveryMode::LowestPriority)
            .with_polarity(Polarity::ActiveHigh)
            .with_trigger(trigger)
            .with_masked(masked)
            .with_destination(self.first_target(source));
        let message = self.hal.io_apic.borrow_mut().set_entry(gsi as u8, entry);
        if let Some(out) = message {
            self.route(out.message);
        }
    }

    /// The destination that is written down: the first processor of the mask. The router
    /// looks for another one if that is busy.
    fn first_target(&self, source: &Source) -> u8 {
        self.processors_of(source.group, source.affinity).next().map_or(0, |id| id.0 as u8)
    }

    /// The write with which a source's message is sent.
    pub(crate) fn message_write(&self, source: &Source) -> MessageWrite {
        InterruptMessage {
            delivery: DeliveryMode::LowestPriority,
            redirection_hint: true,
            ..InterruptMessage::fixed(self.first_target(source), source.vector)
        }
        .encode()
    }

    fn program_message(&self, source: &Source, message: u16, table: bool) {
        let write = self.message_write(source);
        if table {
            self.program_table_entry(source.device, message, write, false);
            return;
        }
        let Some((address, at)) = self.capability(source.device, spec::capability::MSI) else { return };
        let control = self.read_pci_config(address, at + 2, Width::U16) as u16;
        // The capability holds the first message; the function sets the low bits for others.
        let first = Vector(source.vector.0 - message as u8);
        let data = write.data & !0xFF | u32::from(first.0);
        self.write_pci_config(address, at + 4, Width::U32, write.address & 0xFFFF_FFFF);
        let mut data_at = at + 8;
        if control & spec::msi::ADDRESS_64 != 0 {
            self.write_pci_config(address, at + 8, Width::U32, write.address >> 32);
            data_at = at + 12;
        }
        self.write_pci_config(address, data_at, Width::U16, u64::from(data));
    }

    /// Fills in an entry of the MSI-X table.
    pub(crate) fn program_table_entry(&self, device: DeviceId, entry: u16, write: MessageWrite, masked: bool) {
        let Some((bar, offset)) = self.table_entry(device, entry) else { return };
        let words = [
            (0, write.address & 0xFFFF_FFFF),
            (4, write.address >> 32),
            (8, u64::from(write.data)),
            (12, u64::from(masked)),
        ];
        for (within, value) in words {
            self.input(device, |mut target, out, effects| {
                target.write((bar, offset + within), Width::U32, value, out, effects);
            });
        }
    }

    /// Where an entry of a device's MSI-X table is.
    pub(crate) fn table_entry(&self, device: DeviceId, entry: u16) -> Option<(u8, u64)> {
        let offer = self.input(device, |target, _, _| match target {
            Target::Pci(function) => function.description().msix,
            Target::Legacy(_) => None,
        })??;
        let inside = entry < offer.messages;
        let offset = u64::from(offer.table_offset) + u64::from(entry) * spec::msix::ENTRY_SIZE;
        inside.then_some((offer.table_bar, offset))
    }

    fn enable_messages(&self, device: DeviceId, table: bool, enabled: bool) {
        let id = if table { spec::capability::MSIX } else { spec::capability::MSI };
        let Some((address, at)) = self.capability(device, id) else { return };
        let control = self.read_pci_config(address, at + 2, Width::U16) as u16;
        let control = if table {
            let off = control & !(spec::msix::ENABLE | spec::msix::FUNCTION_MASK);
            if enabled { off | spec::msix::ENABLE } else { off }
        } else {
            let off = control & !(spec::msi::ENABLE | spec::msi::COUNT_MASK << spec::msi::ENABLED_SHIFT);
            let count = self.sources_of(device).len().next_power_of_two().trailing_zeros() as u16;
            if enabled { off | spec::msi::ENABLE | count << spec::msi::ENABLED_SHIFT } else { off }
        };
        self.write_pci_config(address, at + 2, Width::U16, u64::from(control));
    }

    /// Where a capability of a device's function is.
    pub(crate) fn capability(&self, device: DeviceId, id: u8) -> Option<(pci::Address, u16)> {
        let address = self.pci_address(device)?;
        let status = self.read_pci_config(address, spec::offset::STATUS, Width::U16) as u16;
        if status & spec::status::CAPABILITIES == 0 {
            return None;
        }
        let mut at = self.read_pci_config(address, spec::offset::CAPABILITIES, Width::U8) as u16;
        // 48 capabilities fill the space; a list that is longer runs in a circle.
        for _ in 0..48 {
            if at < spec::offset::FIRST_CAPABILITY {
                return None;
            }
            if self.read_pci_config(address, at, Width::U8) as u8 == id {
                return Some((address, at));
            }
            at = self.read_pci_config(address, at + 1, Width::U8) as u16 & 0xFC;
        }
        None
    }

    /// Lets a function answer and be a bus master, as the PCI bus driver does at start.
    pub(crate) fn set_decoding(&self, device: DeviceId, enabled: bool) {
        let Some(address) = self.pci_address(device) else { return };
        let bits = spec::command::IO | spec::command::MEMORY | spec::command::BUS_MASTER;
        let command = self.read_pci_config(address, spec::offset::COMMAND, Width::U16) as u16;
        let command = if enabled { command | bits } else { command & !bits };
        self.write_pci_config(address, spec::offset::COMMAND, Width::U16, u64::from(command));
    }
}
