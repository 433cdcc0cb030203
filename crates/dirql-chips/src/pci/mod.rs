//! Conventional PCI: functions with configuration space, windows and interrupts, and a bus.
//!
//! Sources: PCI Local Bus Specification 3.0; for bus mastering of messages, PCI Express Base
//! Specification, "Command Register".
//!
//! Not modelled: bridges, expansion ROMs, power management, parity and system errors, the
//! extended configuration space above 256 bytes (it reads as ones).
//!
//! Invariants:
//! - A function has one way to interrupt at a time: MSI-X if enabled, else MSI if enabled, else
//!   its line.
//! - Nothing leaves a function that may not be a bus master, and nothing enters one that does not
//!   decode.

mod bar;
mod bus;
mod config;
mod description;
mod function;
mod msi;
mod msix;
pub mod spec;

#[cfg(test)]
mod tests;

pub use bar::{Bar, BarError, Space, Window};
pub use bus::{Address, Bus, InsertError};
pub use config::Config;
pub use description::{Description, DescriptionError, Identity, IntPin};
pub use function::{Function, Output, Outputs, Transfer};
pub use msi::MsiOffer;
pub use msix::MsixOffer;
