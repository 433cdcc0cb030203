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

pub mod device;
pub mod wire;

pub use device::{Device, Effect, Effects, Region, Stimulus, Width};
pub use wire::{Level, MessageWrite, Polarity, Trigger, Vector};
