//! What the hardware does: interrupt controllers, PCI, and device models.
//!
//! Every chip is a value. It takes an input, changes itself, and returns what leaves
//! the chip. It holds no handle to its neighbours, no clock, and no log, so a whole
//! machine can be cloned, compared, and used without `std`.
//!
//! Invariant: nothing here knows NT, drivers, or time. Delays are asked for
//! ([`Effect::Timer`]) and come back as inputs ([`Device::timer`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod button;
pub mod device;
pub mod edu;
pub mod gpio;
pub mod hostile;
pub mod ioapic;
pub mod ivshmem;
pub mod lapic;
pub mod line;
pub mod message;
pub mod models;
pub mod msix;
pub mod nvme;
pub mod parport;
pub mod pci;
pub mod pic8259;
pub mod registers;
pub mod uart16550;
pub mod vector_set;
pub mod wire;

pub use device::{
    Device, Effect, Effects, ModemLines, Region, SerialEvent, SerialOutput, Stimulus, Width,
};
pub use ioapic::{IoApic, MessageOut};
pub use lapic::{Acceptance, Lapic};
pub use line::{LineSource, WiredOr};
pub use message::{DeliveryMode, DestinationMode, InterruptMessage};
pub use vector_set::VectorSet;
pub use wire::{Level, MessageWrite, Polarity, Trigger, Vector};
