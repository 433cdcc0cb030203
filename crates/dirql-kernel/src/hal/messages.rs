//! Turning interrupt sources on and off: the IO-APIC's pins, and the message capabilities of
//! PCI functions.
//!
//! A source is on while an active connection uses it. A function's messages are enabled with
//! the first one that is connected and disabled with the last; in between, those of an MSI-X
//! table that are not connected are masked.

use alloc::collections::BTreeSet;

use dirql_chips::ioapic::spec::RedirectionEntry;
use dirql_chips::pci::{self, spec};
use dirql_chips::{DeliveryMode, InterruptMessage, MessageWrite, Polarity, Trigger, Vector, Width};

use crate::hal::inputs::Target;
use crate::hal::{DeviceId, Source, SourceKind};
use crate::{Event, Kernel};

impl Kernel {
    /// One more connection uses the source; it is turned on with the first.
    pub(crate) fn enable_source(&self, number: u32) {
        self.with_source(number, |source| source.users += 1);
        let Some(source) = self.source(number) else {
            return;
        };
        match source.kind {
            // Several sources can share a pin, and a connection can add a processor.
            SourceKind::Line { gsi, .. } => self.program_pin(gsi),
            SourceKind::Message { message, table } => {
                self.program_message(&source, message, table, false);
                self.enable_messages(source.device, table, true);
            }
        }
    }

    /// One connection fewer uses the source; it is turned off with the last.
    pub(crate) fn disable_source(&self, number: u32) {
        self.with_source(number, |source| {
            source.users = source.users.saturating_sub(1)
        });
        let Some(source) = self.source(number) else {
            return;
        };
        match source.kind {
            SourceKind::Line { gsi, .. } => self.program_pin(gsi),
            SourceKind::Message { .. } if source.users > 0 => {}
            SourceKind::Message { message, table } => {
                let others = self.hal.sources.borrow().iter().any(|other| {
                    other.users > 0 && other.device == source.device && !other.is_a_line()
                });
                if table && others {
                    self.program_message(&source, message, table, true);
                } else if !others {
                    self.enable_messages(source.device, table, false);
                }
            }
        }
    }

    /// A passive-level ISR is going to run, or has: the lines of its vector are masked, or not
    /// any more.
    pub(crate) fn hold_lines(&self, group: u16, vector: Vector, held: bool) {
        for gsi in self.lines_of(group, vector) {
            if held {
                self.hal.held_lines.borrow_mut().insert(gsi);
            } else {
                self.hal.held_lines.borrow_mut().remove(&gsi);
            }
            self.program_pin(gsi);
        }
    }

    /// Whether a line of this vector is asserted.
    pub(crate) fn vector_is_asserted(&self, group: u16, vector: Vector) -> bool {
        self.lines_of(group, vector)
            .into_iter()
            .any(|gsi| self.line_is_asserted(gsi, None))
    }

    /// Whether a device without a driver here asserts a line of this vector.
    pub(crate) fn stranger_is_on(&self, group: u16, vector: Vector) -> bool {
        self.hal.stranger.get() && self.stranger_asserts(&self.lines_of(group, vector))
    }

    /// No ISR here claimed this vector, so that the one of a device without a driver here was
    /// called, if there is one.
    pub(crate) fn pass_to_stranger(&self, group: u16, vector: Vector) {
        if self.hal.stranger.get() {
            self.serve_stranger(&self.lines_of(group, vector));
        }
    }

    fn lines_of(&self, group: u16, vector: Vector) -> BTreeSet<u32> {
        let sources = self.hal.sources.borrow();
        let same = sources
            .iter()
            .filter(|source| source.vector == vector && source.group == group);
        same.filter_map(|source| match source.kind {
            SourceKind::Line { gsi, .. } => Some(gsi),
            SourceKind::Message { .. } => None,
        })
        .collect()
    }

    /// Writes a pin's entry as the connected sources on it want it; masked without any.
    fn program_pin(&self, gsi: u32) {
        let used = {
            let sources = self.hal.sources.borrow();
            let on_it = sources
                .iter()
                .filter(|source| source.users > 0 && source.is_line(gsi));
            on_it.copied().reduce(|first, other| Source {
                connected: first.connected | other.connected,
                ..first
            })
        };
        let pin = gsi as u8;
        let before = self.hal.io_apic.borrow().entry(pin).unwrap_or_default();
        let Some(Source {
            kind: SourceKind::Line { trigger, .. },
            ..
        }) = used
        else {
            // Edge first: that forgets a level whose end would come with a vector that the
            // entry does not have any more by then.
            let mut io_apic = self.hal.io_apic.borrow_mut();
            let off = before.with_masked(true);
            // A masked pin sends nothing.
            let _ = io_apic.set_entry(pin, off.with_trigger(Trigger::Edge));
            let _ = io_apic.set_entry(pin, off);
            drop(io_apic);
            self.tell_mask(gsi, before, off);
            return;
        };
        let Some(source) = used else { return };
        let entry = RedirectionEntry::new()
            .with_vector(source.vector.0)
            .with_delivery(DeliveryMode::LowestPriority)
            .with_polarity(Polarity::ActiveHigh)
            .with_trigger(trigger)
            .with_masked(self.hal.held_lines.borrow().contains(&gsi))
            .with_destination(self.first_target(&source));
        let message = self.hal.io_apic.borrow_mut().set_entry(pin, entry);
        self.tell_mask(gsi, before, entry);
        if let Some(out) = message {
            self.route(out.message);
        }
    }

    fn tell_mask(&self, gsi: u32, before: RedirectionEntry, after: RedirectionEntry) {
        if before.masked() != after.masked() && self.report.is_recording() {
            self.event(Event::LineMasked {
                gsi,
                masked: after.masked(),
            });
        }
    }

    /// The destination that is written down: the first processor on which it is connected. The
    /// router looks for another one if that is busy.
    fn first_target(&self, source: &Source) -> u8 {
        let mask = if source.connected == 0 {
            source.affinity
        } else {
            source.connected
        };
        self.processors_of(source.group, mask)
            .next()
            .map_or(0, |id| id.0 as u8)
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

    fn program_message(&self, source: &Source, message: u16, table: bool, masked: bool) {
        let write = self.message_write(source);
        if table {
            for (number, entry) in self.entries_of(source.device, message) {
                let masked = masked || entry.masked;
                self.program_table_entry(source.device, number, write, masked);
            }
            return;
        }
        let Some((address, at)) = self.capability(source.device, spec::capability::MSI) else {
            return;
        };
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
    pub(crate) fn program_table_entry(
        &self,
        device: DeviceId,
        entry: u16,
        write: MessageWrite,
        masked: bool,
    ) {
        let Some((bar, offset)) = self.table_entry(device, entry) else {
            return;
        };
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
        let id = if table {
            spec::capability::MSIX
        } else {
            spec::capability::MSI
        };
        let Some((address, at)) = self.capability(device, id) else {
            return;
        };
        let control = self.read_pci_config(address, at + 2, Width::U16) as u16;
        let control = if table {
            let off = control & !(spec::msix::ENABLE | spec::msix::FUNCTION_MASK);
            if enabled {
                off | spec::msix::ENABLE
            } else {
                off
            }
        } else {
            let off =
                control & !(spec::msi::ENABLE | spec::msi::COUNT_MASK << spec::msi::ENABLED_SHIFT);
            let count = self
                .sources_of(device)
                .len()
                .next_power_of_two()
                .trailing_zeros() as u16;
            if enabled {
                off | spec::msi::ENABLE | count << spec::msi::ENABLED_SHIFT
            } else {
                off
            }
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

    /// Lets a function answer, be a bus master and assert its line, as the PCI bus driver does at
    /// start, or keeps it from that, as below D0.
    pub(crate) fn set_decoding(&self, device: DeviceId, enabled: bool) {
        let Some(address) = self.pci_address(device) else {
            return;
        };
        let bits = spec::command::IO | spec::command::MEMORY | spec::command::BUS_MASTER;
        let command = self.read_pci_config(address, spec::offset::COMMAND, Width::U16) as u16;
        let command = if enabled {
            command | bits
        } else {
            command & !bits
        };
        self.write_pci_config(
            address,
            spec::offset::COMMAND,
            Width::U16,
            u64::from(command),
        );
        self.input(device, |target, out, _| {
            if let Target::Pci(function) = target {
                function.set_sleeping(!enabled, out);
            }
        });
    }
}
