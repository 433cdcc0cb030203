//! The pair of 8259A interrupt controllers of a PC, with its edge/level registers.
//!
//! Sources: Intel 8259A Programmable Interrupt Controller (231468-003); Intel 82371AB (PIIX4)
//! datasheet, "ELCR1", "ELCR2", for what replaces the trigger mode of the first initialisation word.
//!
//! An input that goes low before its request is acknowledged takes the request with it, and who
//! acknowledges then gets input 7 with no in-service bit ("Interrupt Sequence", "Edge and Level
//! Triggered Modes"). QEMU's model keeps the request of an edge instead.
//!
//! Not modelled: MCS-80/85 mode, buffered mode, other wirings than that of a PC.
//!
//! Invariant: the primary chip's cascade input is high exactly while the secondary chip asks.

mod chip;
pub mod spec;

#[cfg(test)]
mod tests;

use crate::device::Width;
use crate::wire::{Level, Vector};
use chip::Chip;
use spec::{CASCADE, LEVEL_WRITABLE, port};

/// Both chips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pic8259 {
    primary: Chip,
    secondary: Chip,
}

impl Default for Pic8259 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pic8259 {
    /// Both chips after power-up: not initialised, everything masked.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            primary: Chip::new(1 << CASCADE),
            secondary: Chip::new(0),
        }
    }

    /// Back to the state after power-up. The levels of the lines stay.
    pub fn reset(&mut self) {
        self.primary.reset();
        self.secondary.reset();
        self.update_cascade();
    }

    /// Drives line 0..=15. Line 2 is the cascade and no line; it and others are ignored.
    pub fn drive(&mut self, line: u8, level: Level) {
        let high = level == Level::High;
        match line {
            CASCADE => {}
            0..=7 => self.primary.drive(line, high),
            8..=15 => self.secondary.drive(line - 8, high),
            _ => {}
        }
        self.update_cascade();
    }

    /// The pair's output: it asks for the processor. Goes to a local APIC's LINT0.
    #[must_use]
    pub fn output(&self) -> Level {
        if self.primary.pending().is_some() {
            Level::High
        } else {
            Level::Low
        }
    }

    /// The processor acknowledges and gets a vector. With nothing pending it is that of input 7,
    /// and nothing is in service.
    pub fn acknowledge(&mut self) -> Vector {
        match (self.primary.pending(), self.secondary.pending()) {
            (Some(CASCADE), Some(input)) => {
                self.secondary.acknowledge(input);
                self.primary.acknowledge(CASCADE);
                // The output of the secondary chip goes low with the acknowledgement, so what it
                // still has is another edge.
                self.primary.drive(CASCADE, false);
                self.update_cascade();
                Vector(self.secondary.vector(input))
            }
            (Some(input), _) => {
                self.primary.acknowledge(input);
                Vector(self.primary.vector(input))
            }
            (None, _) => Vector(self.primary.vector(7)),
        }
    }

    /// Reads ports; `None` if `number` is not one of the pair's. Each port is 8 bits.
    pub fn read(&mut self, number: u16, width: Width) -> Option<u64> {
        let mut value = u64::from(self.read_port(number)?);
        for index in 1..width.bytes() {
            let next = number.wrapping_add(index as u16);
            value |= u64::from(self.read_port(next).unwrap_or(0xFF)) << (8 * index);
        }
        self.update_cascade();
        Some(value)
    }

    /// Writes ports; `None` if `number` is not one of the pair's.
    pub fn write(&mut self, number: u16, width: Width, value: u64) -> Option<()> {
        self.write_port(number, value as u8)?;
        for index in 1..width.bytes() {
            // A wide write that leaves the pair's ports has no more effect here.
            let _ = self.write_port(
                number.wrapping_add(index as u16),
                (value >> (8 * index)) as u8,
            );
        }
        self.update_cascade();
        Some(())
    }

    fn read_port(&mut self, number: u16) -> Option<u8> {
        const PRIMARY_DATA: u16 = port::PRIMARY + 1;
        const SECONDARY_DATA: u16 = port::SECONDARY + 1;
        const SECONDARY_LEVEL: u16 = port::EDGE_LEVEL + 1;
        Some(match number {
            port::PRIMARY => self.primary.read_command(),
            PRIMARY_DATA => self.primary.read_data(),
            port::SECONDARY => self.secondary.read_command(),
            SECONDARY_DATA => self.secondary.read_data(),
            port::EDGE_LEVEL => self.primary.level(),
            SECONDARY_LEVEL => self.secondary.level(),
            _ => return None,
        })
    }

    fn write_port(&mut self, number: u16, value: u8) -> Option<()> {
        const PRIMARY_DATA: u16 = port::PRIMARY + 1;
        const SECONDARY_DATA: u16 = port::SECONDARY + 1;
        const SECONDARY_LEVEL: u16 = port::EDGE_LEVEL + 1;
        match number {
            port::PRIMARY => self.primary.write_command(value),
            PRIMARY_DATA => self.primary.write_data(value),
            port::SECONDARY => self.secondary.write_command(value),
            SECONDARY_DATA => self.secondary.write_data(value),
            port::EDGE_LEVEL => self.primary.set_level(value & LEVEL_WRITABLE[0]),
            SECONDARY_LEVEL => self.secondary.set_level(value & LEVEL_WRITABLE[1]),
            _ => return None,
        }
        Some(())
    }

    fn update_cascade(&mut self) {
        self.primary
            .drive(CASCADE, self.secondary.pending().is_some());
    }
}
