//! Why the bench did not do something.

use dirql_abi::NtStatus;
use dirql_chips::models::ModelError;
use dirql_host::{HostError, LoadError};
use dirql_image::inf::InfError;
use dirql_kernel::Outcome;
use dirql_kernel::hal::PlugError;
use dirql_kernel::io::UnloadError;
use dirql_kernel::io::pnp::PnpError;

/// Why the bench did not do something.
///
/// What is wrong with a driver's behaviour is not an error but a finding, see
/// [`Bench::findings`](crate::Bench::findings).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Its path, as it was given.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A computer has 1 to 256 processors.
    #[error("a computer has 1 to 256 processors, not {0}")]
    Processors(u16),
    /// No computer could be made.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Driver code cannot be watched.
    #[error("there is no memory for watching driver code: {0}")]
    Watch(std::io::ErrorKind),
    /// A driver reads the time-stamp counter, which cannot be made to show the computer's time.
    #[error("the time-stamp counter cannot be simulated: {0}")]
    TimeStamps(std::io::ErrorKind),
    /// A device's model is unknown or does not take its options.
    #[error("device `{device}`: {error}")]
    Model {
        /// The device.
        device: String,
        /// What is wrong.
        error: ModelError,
    },
    /// A device has no place in the computer.
    #[error("device `{device}`: {error}")]
    Plug {
        /// The device.
        device: String,
        /// What is wrong.
        error: PlugError,
    },
    /// An INF cannot be used.
    #[error("{file}:{error}")]
    Inf {
        /// The INF.
        file: String,
        /// What is wrong with it, and where.
        error: InfError,
    },
    /// An INF does not know a device.
    #[error("{file} has no device with the hardware ID of `{device}`, {hardware_id}")]
    NotInInf {
        /// The INF.
        file: String,
        /// The device.
        device: String,
        /// Its first hardware ID.
        hardware_id: String,
    },
    /// A driver is not one that Windows would load, or needs more than there is.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel has no driver object for it: its name is taken.
    #[error("{driver}: the driver object was refused with {status}")]
    DriverObject {
        /// The driver.
        driver: String,
        /// The kernel's answer.
        status: NtStatus,
    },
    /// DriverEntry failed; the driver is not loaded any more.
    #[error("{driver}: DriverEntry returned {status}")]
    DriverEntry {
        /// The driver.
        driver: String,
        /// What it returned.
        status: NtStatus,
        /// The last line that it printed; empty if it printed nothing.
        said: String,
    },
    /// The driver's image has no entry point: it is loaded for others, never by itself.
    #[error("{0} has no entry point")]
    NoEntryPoint(String),
    /// There is no device of this name.
    #[error("there is no device `{0}`")]
    NoDevice(String),
    /// No driver has reported this device.
    #[error("no driver has reported the device `{0}`")]
    NotReported(String),
    /// There is no driver of this name, or it is not loaded.
    #[error("there is no loaded driver `{0}`")]
    NoDriver(String),
    /// Nothing is open under this name.
    #[error("`{0}` is not open")]
    NotOpen(String),
    /// No request of this name is under way or waits to be looked at.
    #[error("no request `{0}` was sent")]
    NotSent(String),
    /// A request of this name was sent and has not been awaited.
    #[error("a request `{0}` was sent already and has not been awaited")]
    SentAlready(String),
    /// The device has no other end of this kind.
    #[error("device `{0}` is no serial port, so nothing can be wired to it")]
    NoWire(String),
    /// The device has neither an enabled interface nor a name.
    #[error("`{0}` has no interface that is enabled, so an application cannot open it")]
    NothingToOpen(String),
    /// Plug and play or power management did not get its way.
    #[error("`{device}`: {error}")]
    Pnp {
        /// The device.
        device: String,
        /// Why.
        error: PnpError,
    },
    /// The driver did not open or close.
    #[error("`{target}`: {what} failed with {status}")]
    Status {
        /// What was opened or closed.
        target: String,
        /// What was tried.
        what: &'static str,
        /// The driver's answer.
        status: NtStatus,
    },
    /// A test's own check has failed; in its words.
    #[error("{0}")]
    Check(String),
    /// The device's model has no such input.
    #[error("device `{device}` is {what}: its model has no such input")]
    NoInput {
        /// The device.
        device: String,
        /// What was done to it, as in "pressed".
        what: &'static str,
    },
    /// The driver cannot be unloaded.
    #[error("{driver}: {error}")]
    Unload {
        /// The driver.
        driver: String,
        /// Why.
        error: UnloadError,
    },
    /// It has not come to its end, and nothing happens any more.
    #[error("{0} has not come to its end, and nothing is left that could end it")]
    StillWaiting(&'static str),
    /// The run has ended: the system stopped, a finding ended it, or its steps are used up.
    #[error("the run has ended: {}", outcome(.0))]
    Ended(Option<Outcome>),
}

fn outcome(outcome: &Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::BugCheck { bug_check, .. }) => format!("bug check {bug_check}"),
        Some(Outcome::Finding) => "a finding does not let it go on".into(),
        Some(Outcome::Budget) => "its steps are used up".into(),
        None => "before this".into(),
    }
}

impl BenchError {
    /// What went wrong, without the name of the device or handle that it went wrong with.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Pnp { error, .. } => error.to_string(),
            Self::Status { status, .. } => status.to_string(),
            Self::Unload { error, .. } => error.to_string(),
            other => other.to_string(),
        }
    }

    /// The status with which a driver said no, if that is what happened.
    #[must_use]
    pub const fn status(&self) -> Option<NtStatus> {
        match self {
            Self::DriverObject { status, .. }
            | Self::DriverEntry { status, .. }
            | Self::Status { status, .. }
            | Self::Pnp {
                error: PnpError::AddDevice(status) | PnpError::Refused { status, .. },
                ..
            } => Some(*status),
            _ => None,
        }
    }
}
