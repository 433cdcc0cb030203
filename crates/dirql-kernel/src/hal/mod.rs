//! The computer: interrupt controllers, lines, the PCI bus, devices, and what each was given.
//!
//! Chips are values; this is where they are wired to each other and to memory.

mod access;
mod assign;
mod dma;
mod legacy;
mod machine;
mod messages;
mod route;
mod vectors;

use core::cell::{Cell, RefCell};

use dirql_chips::ioapic::IoApic;
use dirql_chips::pci::Bus;

pub use assign::{Assignment, InterruptGrant, MessagePolicy, Resource};
pub use machine::{DeviceId, LegacyWindow, LineWish, MessageWish, Plug, PlugError, Socket};
pub(crate) use vectors::{Source, SourceKind};

/// The state of this part of the kernel.
pub(crate) struct Hal {
    pub(crate) io_apic: RefCell<IoApic>,
    lines: RefCell<alloc::collections::BTreeMap<u32, dirql_chips::WiredOr>>,
    pub(crate) pci: RefCell<Bus>,
    slots: RefCell<alloc::vec::Vec<machine::Slot>>,
    sources: RefCell<alloc::vec::Vec<Source>>,
    vectors: RefCell<vectors::Vectors>,
    /// Where the next memory window goes, a physical address.
    next_memory: Cell<u64>,
    /// Where the next port window goes.
    next_port: Cell<u64>,
}

impl Default for Hal {
    fn default() -> Self {
        Self {
            io_apic: RefCell::new(IoApic::new(0, machine::PINS)),
            lines: RefCell::default(),
            pci: RefCell::default(),
            slots: RefCell::default(),
            sources: RefCell::default(),
            vectors: RefCell::default(),
            next_memory: Cell::new(crate::mm::layout::DEVICE_PHYSICAL),
            next_port: Cell::new(0xC000),
        }
    }
}
