//! Connecting drivers' ISRs to interrupts: `IoConnectInterrupt`, `IoConnectInterruptEx`, the
//! disconnects, and `IoReportInterruptActive` and `Inactive`.

mod connect;
mod connect_ex;
mod disconnect;
mod left;
mod message;
mod report;

pub use connect::ConnectArguments;

use dirql_abi::Irql;

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
}

/// The highest Version that `IoConnectInterruptEx` takes.
///
/// Source: wdm.h, comments on CONNECT_CURRENT_VERSION; version 4 came with Windows 7.
const fn highest_version(windows: WindowsVersion) -> u32 {
    use dirql_abi::interrupt::connect_version::{CONNECT_FULLY_SPECIFIED_GROUP, CONNECT_MESSAGE_BASED};
    match windows {
        WindowsVersion::WinXp64 | WindowsVersion::Server2003 | WindowsVersion::Vista => CONNECT_MESSAGE_BASED,
        _ => CONNECT_FULLY_SPECIFIED_GROUP,
    }
}
