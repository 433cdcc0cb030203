//! Why a kernel routine does not return to the driver that called it.

use dirql_abi::NtStatus;
use dirql_rules::BugCheck;

/// An address that is not memory of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address:#x} is not {} memory", if *write { "writable" } else { "readable" })]
pub struct BadAddress {
    /// The first byte that could not be accessed.
    pub address: u64,
    /// Whether it was to be written.
    pub write: bool,
}

/// The other way out of a kernel routine.
///
/// Routines return `Ddi<T>` and pass this up with `?`; the table of exports turns it
/// into what the processor would see: an exception raised at the driver's call, or the
/// end of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A claim of the driver turned out not to be memory. Becomes an access violation or
    /// a bug check, depending on address and IRQL ([`crate::Kernel::fault`]).
    BadAddress(BadAddress),
    /// An exception that a driver's `__except` may handle.
    Exception {
        /// Exception code, as an NTSTATUS.
        code: NtStatus,
        /// Up to 15 parameters.
        parameters: [u64; 4],
    },
    /// The system stops.
    BugCheck(BugCheck),
    /// A routine has found something wrong with what it is asked for, has recorded that, and does
    /// nothing. Only in runs that go on ([`crate::Config::keep_going`]); elsewhere they have ended.
    Refused,
    /// The run is over for a reason that is already recorded (a finding that stops,
    /// an exhausted budget, an import that is not implemented).
    Ended,
}

impl From<BadAddress> for Stop {
    fn from(bad: BadAddress) -> Self {
        Self::BadAddress(bad)
    }
}

impl From<BugCheck> for Stop {
    fn from(bug_check: BugCheck) -> Self {
        Self::BugCheck(bug_check)
    }
}

/// The result of a kernel routine that a driver calls.
pub type Ddi<T> = Result<T, Stop>;
