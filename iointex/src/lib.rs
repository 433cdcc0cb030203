//! `IoConnectInterruptEx` and its companions for drivers that must also load on systems
//! whose kernel does not export them.
//!
//! A driver includes `iointex.h` and links this library. Its image then imports only what
//! every Windows has; each routine here asks `MmGetSystemRoutineAddress` for the kernel's
//! own and calls that, or does without:
//!
//! | routine | without the kernel's own |
//! |---|---|
//! | connect | `CONNECT_FULLY_SPECIFIED` through `IoConnectInterrupt`; other versions fail, with `Version` set to `CONNECT_FULLY_SPECIFIED` |
//! | disconnect | `CONNECT_FULLY_SPECIFIED` through `IoDisconnectInterrupt`; other versions are bug check 0xCA |
//! | affinity | all active processors, group 0 |
//! | report active, inactive | nothing: the ISR stays active |
//!
//! Sources: WDK, "Using `IoConnectInterruptEx` Prior to Windows Vista"; WDK reference,
//! iointex.h and wdm.h. The status for a version that only newer systems know is named by
//! no source; it is `STATUS_NOT_SUPPORTED` here. A number that is no version at all gives
//! `STATUS_INVALID_PARAMETER_1`, as from the kernel's routine.
//!
//! IRQL: the first call of any routine looks the names up and must be at `PASSIVE_LEVEL`.
//! A connect always is, so a driver that has connected with this library need not care.
//!
//! Not modelled on anybody's implementation; nothing here panics or allocates.
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub)]

mod abi;
mod fallback;
#[cfg(target_os = "windows")]
pub mod kernel;
#[cfg(test)]
mod tests;

pub use abi::{
    ConnectParameters, ConnectionContext, DisconnectParameters, FullySpecified, GroupAffinity,
    NtStatus,
};
pub use fallback::{Library, Name, System};
