//! What NT does, over an abstract platform.
//!
//! Modules are named as in NT: `hal` (the computer), `ke` (processors, IRQL, interrupts,
//! DPCs, threads, waits), `io` (drivers, devices, IRPs, interrupts, plug and play), `mm`,
//! `ex`, `ob`, `ps`, `po`, `rtl`; and `parport`, the one function driver that is brought along.
//!
//! # Invariants
//! - Nothing here knows PE files, Linux, exploration strategies, or how driver code runs:
//!   the outside is [`Platform`].
//! - Nothing is borrowed across a call into driver code (`Kernel::call`) or a yield
//!   point: either can enter the kernel again on the same stack.
//! - A driver pointer is a claim ([`DriverPtr`]) until it has been read or written.
//! - One simulated processor runs at a time, so plain cells hold the state.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod claim;
mod config;
mod event;
mod failure;
mod kernel;
pub mod ob;
mod outlived;
mod platform;
pub mod po;
pub mod readings;
mod report;
mod stop;
#[cfg(test)]
pub(crate) mod testing;

pub mod cm;
pub mod ex;
pub mod fsrtl;
pub mod hal;
pub mod io;
pub mod ke;
pub mod mm;
pub mod parport;
pub mod ps;
pub mod rtl;
pub mod versions;

pub use claim::DriverPtr;
pub use config::{Config, WindowsVersion};
pub use event::{Event, EventSink, Stamp};
pub use failure::{FailureCounts, FailureKind, FailurePoint, UnknownFailurePoint, failure_of};
pub use kernel::{Kernel, Outcome};
pub use outlived::Outlived;
pub use platform::{Access, CallSite, Platform, StrandId};
pub use report::MOST_FINDINGS;
pub use stop::{BadAddress, Ddi, Stop};
