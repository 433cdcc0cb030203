//! Which message each entry of an MSI-X table sends.
//!
//! A function has entries, a device object has messages; drivers may map one to the other while
//! the device runs. There may be more messages than entries: a driver that asked for one for each
//! processor re-points its entries from one processor to another.
//!
//! Source: WDK, "Dynamically Configuring MSI-X", "Changing the CPU Affinity of MSI-X Table
//! Entries"; wdm.PCI_MSIX_SET_ENTRY, wdm.PCI_MSIX_MASKUNMASK_ENTRY.

use alloc::vec::Vec;

use dirql_abi::{Irql, NtStatus};

use crate::hal::inputs::Target;
use crate::hal::{DeviceId, Source, SourceKind};
use crate::{Event, Kernel};

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableEntry {
    /// The message that it sends.
    pub(crate) message: u16,
    /// The driver has masked it.
    pub(crate) masked: bool,
}

impl Kernel {
    /// The mapping of a start: entry i sends message i, entries without a message of their own
    /// send message 0.
    pub(super) fn map_table(&self, device: DeviceId) {
        let messages = self.table_messages(device);
        let entries = if messages == 0 {
            0
        } else {
            self.table_size(device)
        };
        let entry = |entry| TableEntry {
            message: if entry < messages { entry } else { 0 },
            masked: false,
        };
        let table: Vec<TableEntry> = (0..entries).map(entry).collect();
        self.with_slot(device, |slot| slot.table = table);
    }

    /// How many messages of the MSI-X kind a device was given.
    fn table_messages(&self, device: DeviceId) -> u16 {
        let sources = self.hal.sources.borrow();
        let own = sources.iter().filter(|source| {
            source.assigned
                && source.device == device
                && matches!(source.kind, SourceKind::Message { table: true, .. })
        });
        own.count() as u16
    }

    fn table_size(&self, device: DeviceId) -> u16 {
        let offer = self.input(device, |target, _, _| match target {
            Target::Pci(function) => function.description().msix,
            Target::Legacy(_) => None,
        });
        offer.flatten().map_or(0, |offer| offer.messages)
    }

    /// The entries that send a message.
    pub(super) fn entries_of(&self, device: DeviceId, message: u16) -> Vec<(u16, TableEntry)> {
        let table = self.with_slot(device, |slot| {
            let numbered = (0..).zip(slot.table.iter().copied());
            numbered
                .filter(|(_, entry)| entry.message == message)
                .collect()
        });
        table.unwrap_or_default()
    }

    /// The highest level of a device's interrupts.
    pub(crate) fn highest_irql(&self, device: DeviceId) -> Option<Irql> {
        let sources = self.hal.sources.borrow();
        let own = sources
            .iter()
            .filter(|source| source.assigned && source.device == device);
        own.map(Source::irql).max()
    }

    /// Maps an entry to a message.
    ///
    /// - Returns: SUCCESS; INVALID_PARAMETER if the device was not given messages of its MSI-X
    ///   table, or there is no such entry or message.
    pub(crate) fn set_table_entry(&self, device: DeviceId, entry: u32, message: u32) -> NtStatus {
        if message >= u32::from(self.table_messages(device)) {
            return NtStatus::INVALID_PARAMETER;
        }
        self.change_entry(device, entry, |entry| entry.message = message as u16)
    }

    /// Masks an entry, or unmasks it.
    ///
    /// - Returns: as [`Kernel::set_table_entry`].
    pub(crate) fn mask_table_entry(&self, device: DeviceId, entry: u32, masked: bool) -> NtStatus {
        let status = self.change_entry(device, entry, |entry| entry.masked = masked);
        if status.is_success() && self.report.is_recording() {
            self.event(Event::EntryMasked {
                device: device.0,
                entry,
                masked,
            });
        }
        status
    }

    /// What an entry is for, and how many there are.
    pub(crate) fn table_entry_of(&self, device: DeviceId, entry: u32) -> Option<TableEntry> {
        self.with_slot(device, |slot| slot.table.get(entry as usize).copied())?
    }

    /// How many entries the table of a device with messages has; 0 without.
    pub(crate) fn mapped_entries(&self, device: DeviceId) -> u32 {
        self.with_slot(device, |slot| slot.table.len() as u32)
            .unwrap_or_default()
    }

    fn change_entry(
        &self,
        device: DeviceId,
        number: u32,
        change: impl FnOnce(&mut TableEntry),
    ) -> NtStatus {
        let changed = self.with_slot(device, |slot| {
            let entry = slot.table.get_mut(number as usize)?;
            change(entry);
            Some(*entry)
        });
        let Some(entry) = changed.flatten() else {
            return NtStatus::INVALID_PARAMETER;
        };
        let source = {
            let sources = self.hal.sources.borrow();
            let kind = SourceKind::Message {
                message: entry.message,
                table: true,
            };
            let of_entry = |source: &&Source| {
                source.assigned && source.device == device && source.kind == kind
            };
            sources.iter().find(of_entry).copied()
        };
        if let Some(source) = source {
            // Without an ISR the message would reach nobody.
            let masked = entry.masked || source.users == 0;
            self.program_table_entry(device, number as u16, self.message_write(&source), masked);
        }
        NtStatus::SUCCESS
    }
}
