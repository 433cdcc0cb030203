//! The computer: interrupt controllers, lines, the PCI bus, devices, and what each was given.
//!
//! Chips are values; this is where they are wired to each other and to memory.

mod access;
mod adapter;
mod assign;
mod child;
mod choose;
mod dma;
mod inputs;
mod legacy;
mod machine;
mod messages;
mod msix;
mod policy;
mod route;
#[cfg(test)]
pub(crate) mod testing;
mod vectors;
mod want;
mod wire;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_chips::ioapic::IoApic;
use dirql_chips::pci::{Bus, Outputs};
use dirql_chips::{Effects, WiredOr};

pub use adapter::{ListRequest, TransferRequest, TransferSpan};
pub use assign::{Assignment, InterruptGrant, Resource};
pub(crate) use machine::PINS as LINES;
pub use machine::{
    DeviceId, LegacyWindow, LineWish, MessageWish, Plug, PlugError, Pretence, Socket,
};
pub(crate) use policy::{InterruptPolicy, Targets};
pub(crate) use vectors::{Source, SourceKind};
pub(crate) use want::{Alternative, Want, WantedRange};

/// The state of this part of the kernel.
pub(crate) struct Hal {
    pub(crate) io_apic: RefCell<IoApic>,
    /// The lines that something is wired to, by their number.
    lines: RefCell<Vec<Option<WiredOr>>>,
    /// A device without a driver here has asserted lines.
    stranger: Cell<bool>,
    /// Lines whose interrupts are given PASSIVE_LEVEL.
    passive_lines: RefCell<BTreeSet<u32>>,
    /// Lines that stay masked until a passive-level ISR has run.
    held_lines: RefCell<BTreeSet<u32>>,
    pub(crate) pci: RefCell<Bus>,
    slots: RefCell<Vec<machine::Slot>>,
    /// Empty between inputs to devices; kept for its memory.
    scratch: RefCell<(Outputs, Effects)>,
    sources: RefCell<Vec<Source>>,
    vectors: RefCell<vectors::Vectors>,
    /// Where the next memory window goes, a physical address.
    next_memory: Cell<u64>,
    /// Where the next port window goes.
    next_port: Cell<u64>,
    adapters: adapter::Adapters,
}

impl Default for Hal {
    fn default() -> Self {
        Self {
            io_apic: RefCell::new(IoApic::new(0, machine::PINS)),
            lines: RefCell::new((0..machine::PINS).map(|_| None).collect()),
            stranger: Cell::default(),
            passive_lines: RefCell::default(),
            held_lines: RefCell::default(),
            pci: RefCell::default(),
            slots: RefCell::default(),
            scratch: RefCell::default(),
            sources: RefCell::default(),
            vectors: RefCell::default(),
            next_memory: Cell::new(crate::mm::layout::DEVICE_PHYSICAL),
            next_port: Cell::new(0xC000),
            adapters: adapter::Adapters::default(),
        }
    }
}
