//! Registers and bits of the IO-APIC.
//!
//! Sources: Intel 82093AA I/O Advanced Programmable Interrupt Controller (290566-001),
//! "Register Description"; the EOI register: Intel I/O Controller Hub datasheets, "APIC Direct
//! Registers".

use bitfield_struct::bitfield;

use crate::message::{DeliveryMode, DestinationMode};
use crate::wire::{Polarity, Trigger};

/// Where a PC's first IO-APIC is.
pub const BASE: u64 = 0xFEC0_0000;
/// How many bytes of addresses it takes.
pub const SIZE: u64 = 0x1000;

/// How many pins an IO-APIC has unless said otherwise.
pub const DEFAULT_PINS: u8 = 24;
/// The most pins that the "maximum redirection entry" field can say.
pub const MAX_PINS: u8 = 240;

/// Version 0x20: has an EOI register, unlike the 82093AA's 0x11.
pub const VERSION: u8 = 0x20;

/// Offsets of the registers that the processor sees.
pub mod offset {
    /// Which register IOWIN shows.
    pub const IOREGSEL: u64 = 0x00;
    /// The window to it.
    pub const IOWIN: u64 = 0x10;
    /// Ends a vector, write only.
    pub const EOI: u64 = 0x40;
}

/// Registers behind the window.
pub mod index {
    /// Identification, bits 27:24.
    pub const ID: u8 = 0x00;
    /// Version and number of pins.
    pub const VERSION: u8 = 0x01;
    /// Arbitration, bits 27:24, read only.
    pub const ARBITRATION: u8 = 0x02;
    /// Lower half of the first redirection entry; two registers each.
    pub const REDIRECTION: u8 = 0x10;
}

/// An entry of the I/O redirection table.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct RedirectionEntry {
    /// The vector that is sent, 0x10..=0xFE.
    pub vector: u8,
    /// How it is delivered.
    #[bits(3)]
    pub delivery: DeliveryMode,
    /// How the destination is read.
    #[bits(1)]
    pub destination_mode: DestinationMode,
    /// Read only; always 0 here, since sending takes no time.
    pub send_pending: bool,
    /// Which level of the pin is active.
    #[bits(1)]
    pub polarity: Polarity,
    /// Read only: a level-triggered interrupt was sent and not ended yet.
    pub remote_irr: bool,
    /// What the pin reacts to.
    #[bits(1)]
    pub trigger: Trigger,
    /// Nothing is sent.
    pub masked: bool,
    #[bits(39)]
    __: u64,
    /// Where it is sent to.
    pub destination: u8,
}

/// Bits of an entry that software cannot write.
pub(super) const READ_ONLY: u64 = 1 << 12 | 1 << 14;
/// Bits of an entry that exist.
pub(super) const IMPLEMENTED: u64 = 0xFF00_0000_0001_FFFF;
