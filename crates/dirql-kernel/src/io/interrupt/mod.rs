//! Connecting drivers' ISRs to interrupts: `IoConnectInterrupt`, `IoConnectInterruptEx`, the
//! disconnects, and `IoReportInterruptActive` and `Inactive`.

mod check;
mod connect;
mod connect_ex;
mod disconnect;
mod left;
mod message;
mod report;
#[cfg(test)]
mod tests;

pub use connect::ConnectArguments;

use dirql_abi::Irql;
use dirql_abi::interrupt::connect_version::{
    CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP, CONNECT_LINE_BASED,
    CONNECT_MESSAGE_BASED, CONNECT_MESSAGE_BASED_PASSIVE,
};

use crate::config::WindowsVersion;

/// An ISR to connect to one vector.
#[derive(Clone, Copy, Debug)]
struct Wish {
    routine: u64,
    context: u64,
    /// The driver's lock, or 0 for one of ours.
    lock: u64,
    vector: u32,
    irql: Irql,
    synchronize_irql: Irql,
    mode: u32,
    shared: bool,
    group: u16,
    mask: u64,
    message: Option<u32>,
    /// The ISR is to be called by a thread at PASSIVE_LEVEL.
    passive: bool,
    /// The physical device object, 0 if nobody says which.
    pdo: u64,
}

/// Each Version of `IoConnectInterruptEx`, and the first Windows whose routine takes it.
///
/// Source: wdm.h, comments on CONNECT_CURRENT_VERSION: 3 with Windows Vista, 4 with Windows 7.
/// Version 5 is in newer headers only; passive-level ISRs came with Windows 8, so it is taken
/// from there on.
const VERSIONS: [(u32, WindowsVersion); 5] = [
    (CONNECT_FULLY_SPECIFIED, WindowsVersion::Vista),
    (CONNECT_LINE_BASED, WindowsVersion::Vista),
    (CONNECT_MESSAGE_BASED, WindowsVersion::Vista),
    (CONNECT_FULLY_SPECIFIED_GROUP, WindowsVersion::Seven),
    (CONNECT_MESSAGE_BASED_PASSIVE, WindowsVersion::Eight),
];

/// Whether the routine of `windows` takes `version`.
fn takes(windows: WindowsVersion, version: u32) -> bool {
    VERSIONS
        .iter()
        .any(|(known, since)| *known == version && windows >= *since)
}

/// The highest Version that it takes. A Windows without the routine answers as the first one
/// that has it.
fn highest_version(windows: WindowsVersion) -> u32 {
    let since = windows.max(WindowsVersion::Vista);
    let known = VERSIONS
        .iter()
        .filter(|(_, first)| since >= *first)
        .map(|(version, _)| *version);
    known.max().unwrap_or(CONNECT_FULLY_SPECIFIED)
}
