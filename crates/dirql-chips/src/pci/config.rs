//! 256 bytes of configuration space and which bits of them can be written.

use super::spec::CONFIG_SIZE;
use crate::device::Width;

const LENGTH: usize = CONFIG_SIZE as usize;

/// Configuration space as bytes. What a write means is decided by its owner.
///
/// Reads outside of the 256 bytes give ones, as a conventional function behind ECAM does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    bytes: [u8; LENGTH],
    /// Bits that software can write.
    writable: [u8; LENGTH],
}

impl Config {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; LENGTH],
            writable: [0; LENGTH],
        }
    }

    /// Reads at any alignment.
    #[must_use]
    pub fn read(&self, offset: u16, width: Width) -> u64 {
        (0..width.bytes()).fold(0, |value, index| {
            let byte = byte_index(offset, index).map_or(0xFF, |at| self.bytes[at]);
            value | u64::from(byte) << (8 * index)
        })
    }

    /// The byte at `offset`, 0xFF outside.
    #[must_use]
    pub fn read8(&self, offset: u16) -> u8 {
        self.read(offset, Width::U8) as u8
    }

    /// The 16 bits at `offset`.
    #[must_use]
    pub fn read16(&self, offset: u16) -> u16 {
        let at = usize::from(offset);
        match self.bytes.get(at..at + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => self.read(offset, Width::U16) as u16,
        }
    }

    /// The 32 bits at `offset`.
    #[must_use]
    pub fn read32(&self, offset: u16) -> u32 {
        self.read(offset, Width::U32) as u32
    }

    /// A write by software: read-only bits stay.
    pub(super) fn write(&mut self, offset: u16, width: Width, value: u64) {
        for index in 0..width.bytes() {
            let Some(at) = byte_index(offset, index) else {
                return;
            };
            let new = (value >> (8 * index)) as u8;
            self.bytes[at] = self.bytes[at] & !self.writable[at] | new & self.writable[at];
        }
    }

    /// Sets bits whoever may write them. `offset` is a constant of the caller, inside.
    pub(super) fn set(&mut self, offset: u16, width: Width, value: u64) {
        for index in 0..width.bytes() {
            if let Some(at) = byte_index(offset, index) {
                self.bytes[at] = (value >> (8 * index)) as u8;
            }
        }
    }

    pub(super) fn set_writable(&mut self, offset: u16, width: Width, mask: u64) {
        for index in 0..width.bytes() {
            if let Some(at) = byte_index(offset, index) {
                self.writable[at] = (mask >> (8 * index)) as u8;
            }
        }
    }
}

fn byte_index(offset: u16, index: u64) -> Option<usize> {
    let at = usize::from(offset) + usize::try_from(index).ok()?;
    (at < LENGTH).then_some(at)
}
