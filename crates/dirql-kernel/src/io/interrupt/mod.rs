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
