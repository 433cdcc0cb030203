//! The IO-APIC's registers as the processor sees them: a selector and a window.
//!
//! The window is 32 bits wide and takes no other access ("I/O Window Register"); the selector's
//! low eight bits may be written with any width.

use alloc::vec::Vec;

use super::spec::{RedirectionEntry, VERSION, index, offset};
use super::{IoApic, MessageOut};
use crate::device::Width;
use crate::wire::Vector;

impl IoApic {
    /// Reads at `offset` from the chip's base. Addresses that hold nothing read 0.
    #[must_use]
    pub fn read(&self, offset: u64, width: Width) -> u64 {
        match (offset, width) {
            (offset::IOREGSEL, _) => self.selected.into(),
            (offset::IOWIN, Width::U32) => self.read_window().into(),
            _ => 0,
        }
    }

    /// Writes at `offset` from the chip's base and returns the messages that leave the chip.
    #[must_use = "a message dropped here never reaches a processor"]
    pub fn write(&mut self, offset: u64, width: Width, value: u64) -> Vec<MessageOut> {
        match (offset, width) {
            (offset::IOREGSEL, _) => self.selected = value as u8,
            (offset::IOWIN, Width::U32) => return self.write_window(value as u32),
            (offset::EOI, Width::U32) => return self.end_of_interrupt(Vector(value as u8)),
            _ => {}
        }
        Vec::new()
    }

    fn read_window(&self) -> u32 {
        match self.selected {
            index::ID | index::ARBITRATION => u32::from(self.id) << 24,
            index::VERSION => u32::from(self.pin_count() - 1) << 16 | u32::from(VERSION),
            _ => {
                let Some((pin, shift)) = self.half() else {
                    return 0;
                };
                self.entry(pin)
                    .map_or(0, |entry| (entry.into_bits() >> shift) as u32)
            }
        }
    }

    fn write_window(&mut self, value: u32) -> Vec<MessageOut> {
        if self.selected == index::ID {
            self.id = (value >> 24) as u8 & 0xF;
        }
        let Some((pin, shift)) = self.half() else {
            return Vec::new();
        };
        let Some(entry) = self.entry(pin) else {
            return Vec::new();
        };
        let kept = entry.into_bits() & !(0xFFFF_FFFF << shift);
        let entry = RedirectionEntry::from_bits(kept | u64::from(value) << shift);
        self.set_entry(pin, entry).into_iter().collect()
    }

    /// Which pin's entry is selected, and how far up its half is.
    fn half(&self) -> Option<(u8, u32)> {
        let number = self.selected.checked_sub(index::REDIRECTION)?;
        Some((number / 2, u32::from(number % 2) * 32))
    }
}
