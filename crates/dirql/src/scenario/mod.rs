//! Scenario files: a computer, its devices, drivers, and what happens to them.
//!
//! A scenario is TOML. Reading one is strict: a key that means nothing is an error with the key
//! that was probably meant, and all errors of a file are reported at once, each with its place.
//!
//! ```
//! use dirql::scenario::{Action, Scenario};
//! use dirql_chips::Stimulus;
//!
//! let scenario = Scenario::parse("press.toml", r#"
//!     [driver]
//!     image = "panel.sys"
//!
//!     [[device]]
//!     name = "button0"
//!     model = "button"
//!
//!     [[thread]]
//!     steps = [{ start = "button0" }, { press = "button0" }]
//! "#)?;
//! let press = Action::Stimulus { device: "button0".into(), stimulus: Stimulus::Press };
//! assert_eq!(scenario.threads[0].steps[1].action, press);
//! # Ok::<(), dirql::scenario::ScenarioError>(())
//! ```

mod bytes;
mod decode;
mod device;
mod expect;
mod near;
mod parse;
mod problem;
mod registers;
mod step;

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use dirql_abi::NtStatus;
use dirql_chips::Stimulus;
use dirql_kernel::io::RequestKind;
use dirql_kernel::io::pnp::PowerState;
use dirql_kernel::readings::Reading;
use dirql_kernel::{FailurePoint, WindowsVersion};

pub use dirql_image::inf::{RegistryData, RegistryValue};
pub use dirql_kernel::parport::Settings as PortSettings;
pub use problem::{Problem, ScenarioError};

/// What a scenario file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scenario {
    /// The file, as it was named, for messages; empty if there is none.
    pub file: String,
    /// `[machine]`
    pub machine: MachineSpec,
    /// `[parallel_port]`
    pub parallel_port: PortSettings,
    /// `[driver]` or `[[driver]]`
    pub drivers: Vec<DriverSpec>,
    /// `[[device]]`
    pub devices: Vec<DeviceSpec>,
    /// `[[child]]`
    pub children: Vec<ChildSpec>,
    /// `[[thread]]`
    pub threads: Vec<ThreadSpec>,
    /// `[fail]`
    pub fail: Option<FailurePoint>,
}

/// The computer. What is left out takes the command line's value or the default.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineSpec {
    /// Number of processors, 1..=256.
    pub processors: Option<u16>,
    /// The Windows version to be.
    pub windows: Option<WindowsVersion>,
    /// Steps after which a run ends without a verdict.
    pub max_steps: Option<u64>,
    /// How much longer than it says code may take when orders are explored.
    pub late: Option<Duration>,
    /// Where the documentation is read in the other way.
    pub readings: Vec<Reading>,
    /// Whether every block of pool has pages of its own.
    pub special_pool: bool,
    /// Whether the driver is judged by no rules but those of how a run may end.
    pub no_rules: bool,
    /// Files on drive C:, `[[machine.file]]`.
    pub files: Vec<FileSpec>,
}

/// A file on drive C: of the simulated computer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSpec {
    /// Its path, from `C:\` on.
    pub path: String,
    /// What it holds; `None` if there is none before a driver makes it.
    pub data: Option<Vec<u8>>,
    /// A file of this computer that is written at the end of the run: what it holds then.
    pub output: Option<PathBuf>,
}

/// The text is part of what a schedule fits by, so that what came later is told only if it is
/// used: schedules from before stay good.
impl std::fmt::Debug for MachineSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            processors,
            windows,
            max_steps,
            late,
            readings,
            special_pool,
            // What is judged changes nothing of what happens.
            no_rules: _,
            files,
        } = self;
        let mut text = f.debug_struct("MachineSpec");
        text.field("processors", processors)
            .field("windows", windows)
            .field("max_steps", max_steps)
            .field("late", late)
            .field("readings", readings);
        if *special_pool {
            text.field("special_pool", special_pool);
        }
        if !files.is_empty() {
            text.field("files", files);
        }
        text.finish()
    }
}

/// A driver to load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverSpec {
    /// The `.sys` file, beside the scenario unless it is an absolute path.
    pub image: PathBuf,
    /// Its INF.
    pub inf: Option<PathBuf>,
    /// Values below the key of its service, over those of the INF.
    pub registry: Vec<RegistryValue>,
}

impl DriverSpec {
    /// A driver without an INF.
    #[must_use]
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            ..Self::default()
        }
    }

    /// The name of its service: the file's name without `.sys`.
    #[must_use]
    pub fn name(&self) -> String {
        self.image
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

/// Which interrupts a PCI device is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// Its line.
    Line,
    /// Up to so many messages of its MSI capability.
    Msi(u16),
    /// Up to so many messages of its MSI-X capability.
    Msix(u16),
}

/// A device of the computer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceSpec {
    /// Its name, unique in the scenario.
    pub name: String,
    /// The built-in model, see [`dirql_chips::models::MODELS`].
    pub model: String,
    /// Options of the model.
    pub options: Vec<(String, String)>,
    /// Which interrupts it is given; what its INF allows and the device can, if left out.
    pub interrupts: Option<Interrupts>,
    /// The line that a PCI device's pin is wired to.
    pub line: Option<u8>,
    /// Whether other devices may be on the lines of a device without a bus; without it,
    /// level-triggered lines are shared and edge-triggered ones are not.
    pub shared: Option<bool>,
    /// The name of its driver; the one whose INF knows it, or the first, if left out.
    pub driver: Option<String>,
    /// Values below its hardware key, over those of the INF.
    pub registry: Vec<RegistryValue>,
    /// The file for what leaves at its other end, as for a printer that prints to a file.
    pub output: Option<PathBuf>,
    /// Drivers below its function driver, the lowest first, over those of the INF.
    pub lower_filters: Vec<String>,
    /// Drivers above it, the lowest first.
    pub upper_filters: Vec<String>,
    /// What is at its other end.
    pub other_end: Option<OtherEnd>,
}

/// What is at the other end of a device that has one, such as a serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherEnd {
    /// A plug that wires it to itself.
    Loopback,
    /// Another device, wired both ways; serial ports as a null modem does it.
    Device(String),
    /// Somebody who sends these bytes, as fast as the device asks for them.
    Sender(Vec<u8>),
}

/// A device that a driver reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildSpec {
    /// How steps call it.
    pub name: String,
    /// One of its hardware IDs.
    pub id: String,
    /// Its instance ID, if several have the ID.
    pub instance: Option<String>,
    /// The name of its driver; the one whose INF knows it, if left out.
    pub driver: Option<String>,
}

impl ChildSpec {
    /// The device with this hardware ID, called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            id: id.into(),
            ..Self::default()
        }
    }

    /// Gives it to the driver of that name.
    #[must_use]
    pub fn driver(mut self, name: impl Into<String>) -> Self {
        self.driver = Some(name.into());
        self
    }
}

impl DeviceSpec {
    /// A device named `name`, of the built-in model `model`, without options.
    #[must_use]
    pub fn new(name: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            model: model.into(),
            ..Self::default()
        }
    }

    /// Sets an option of the model.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.options.push((name.into(), value.to_string()));
        self
    }

    /// Says which interrupts it is given.
    #[must_use]
    pub const fn interrupts(mut self, interrupts: Interrupts) -> Self {
        self.interrupts = Some(interrupts);
        self
    }

    /// Wires a PCI device's pin to a line.
    #[must_use]
    pub const fn line(mut self, line: u8) -> Self {
        self.line = Some(line);
        self
    }

    /// Says whether others may be on its lines.
    #[must_use]
    pub const fn shared(mut self, shared: bool) -> Self {
        self.shared = Some(shared);
        self
    }

    /// Sets a value below its hardware key; `subkey` may be empty.
    #[must_use]
    pub fn registry(
        mut self,
        subkey: impl Into<String>,
        name: impl Into<String>,
        data: RegistryData,
    ) -> Self {
        let (subkey, name) = (subkey.into(), name.into());
        self.registry.push(RegistryValue { subkey, name, data });
        self
    }

    /// Says what is at its other end.
    #[must_use]
    pub fn other_end(mut self, other_end: OtherEnd) -> Self {
        self.other_end = Some(other_end);
        self
    }

    /// Gives it to the driver of that name.
    #[must_use]
    pub fn driver(mut self, name: impl Into<String>) -> Self {
        self.driver = Some(name.into());
        self
    }

    /// Puts a driver below its function driver, above those that are there already.
    #[must_use]
    pub fn lower_filter(mut self, name: impl Into<String>) -> Self {
        self.lower_filters.push(name.into());
        self
    }

    /// Puts a driver on top of its stack.
    #[must_use]
    pub fn upper_filter(mut self, name: impl Into<String>) -> Self {
        self.upper_filters.push(name.into());
        self
    }
}

/// A thread of the scenario: steps one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadSpec {
    /// Its priority, 1..=31.
    pub priority: u8,
    /// What it does.
    pub steps: Vec<Step>,
}

impl ThreadSpec {
    /// Priority of a thread whose file does not say one: that of a normal application.
    pub const PRIORITY: u8 = 8;

    /// A thread of normal priority.
    #[must_use]
    pub const fn new(steps: Vec<Step>) -> Self {
        Self {
            priority: Self::PRIORITY,
            steps,
        }
    }
}

/// One step of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The line of the file that says so; 0 if there is none.
    pub line: u32,
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self { action, line: 0 }
    }
}

/// The status that a step expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Any status for which NT_SUCCESS is true.
    #[default]
    Success,
    /// Whatever it is.
    Any,
    /// This one.
    Exactly(NtStatus),
}

impl Expect {
    /// Whether `status` is one of those expected.
    #[must_use]
    pub fn allows(self, status: NtStatus) -> bool {
        match self {
            Self::Success => status.is_success(),
            Self::Any => true,
            Self::Exactly(expected) => status == expected,
        }
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Any => f.write_str("any status"),
            Self::Exactly(status) => status.fmt(f),
        }
    }
}

/// How a request is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// `IoStatus.Status`.
    pub status: Expect,
    /// `IoStatus.Information`, if it matters.
    pub information: Option<u64>,
    /// The data that is to come back, if it matters.
    pub data: Option<Vec<u8>>,
}

/// What plug and play or power management does with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRequest {
    /// Starts it; the first time, AddDevice comes before.
    Start,
    /// Stops it for rebalancing; asks first, unless it has agreed already.
    Stop,
    /// Stops it and starts it again, with other vectors, and with this kind of interrupts if one
    /// is said.
    Rebalance(Option<Interrupts>),
    /// Removes it in an orderly way; asks first, unless it has agreed already.
    Remove,
    /// Asks whether it may be stopped.
    QueryStop,
    /// It is not stopped after all.
    CancelStop,
    /// Asks whether it may be removed.
    QueryRemove,
    /// It is not removed after all.
    CancelRemove,
    /// It was pulled out. `Remove` is due after the last handle is closed.
    SurpriseRemove,
    /// Brings it to a power state, or has it follow the system into one; asks first if that is
    /// less power.
    Power(PowerState),
    /// Asks whether it may go to a power state.
    QueryPower(PowerState),
}

/// A place in what is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explored {
    /// It begins.
    FromHere,
    /// It ends, when nothing else happens any more.
    UntilHere,
}

/// What a step does. `device` is always the name of a device, `handle` that of something that was
/// opened before: the device's, unless the step that opened it gave another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Plug and play, or power management.
    Device {
        /// Which device.
        device: String,
        /// What is done with it.
        request: DeviceRequest,
        /// How it is to end.
        expect: Expect,
    },
    /// An application opens a device.
    Open {
        /// What it opens.
        target: Target,
        /// How later steps call what it got.
        handle: String,
        /// How it is to end.
        expect: Expect,
        /// Nothing is wrong if there is nothing to open.
        if_possible: bool,
    },
    /// The application closes it.
    Close {
        /// What.
        handle: String,
        /// How it is to end.
        expect: Expect,
    },
    /// The application gives its handle back while something in the system still refers to the
    /// file: IRP_MJ_CLEANUP. IRP_MJ_CLOSE comes when the handle is closed.
    Cleanup {
        /// What.
        handle: String,
        /// How it is to end.
        expect: Expect,
    },
    /// The application reads, writes or asks for something, and waits until that is done.
    Request {
        /// Of what.
        handle: String,
        /// What.
        request: RequestKind,
        /// How it is to end.
        expected: Expected,
    },
    /// As [`Action::Request`], but the thread goes on while the request is under way.
    Send {
        /// Of what.
        handle: String,
        /// What.
        request: RequestKind,
        /// How later steps call the request.
        name: String,
    },
    /// The thread waits until a request that was sent is done.
    Await {
        /// Which.
        name: String,
        /// How it is to end.
        expected: Expected,
    },
    /// The thread waits until a request that it has cancelled is done, but not for ever: a driver
    /// may not let it be cancelled.
    AwaitCancelled(String),
    /// A request that was sent is cancelled. Nothing happens to one that is done.
    Cancel(String),
    /// A request that was sent is still under way.
    ExpectPending(String),
    /// From now on, threads that wait for this name go on.
    Signal(String),
    /// The thread waits until the name was signalled.
    Wait(String),
    /// The world outside the computer does something to a device.
    Stimulus {
        /// To which.
        device: String,
        /// What.
        stimulus: Stimulus,
    },
    /// Each interrupt source of a device fires once, as naturally as the model can: a button is
    /// pressed and released, a serial port receives.
    InterruptOnce {
        /// Which device.
        device: String,
    },
    /// These bytes have left at a device's other end since the last such step.
    ExpectSent {
        /// Which device.
        device: String,
        /// What has left.
        data: Vec<u8>,
    },
    /// The thread sleeps, in virtual time.
    Sleep(Duration),
    /// The thread waits until nothing else happens, delays of devices included.
    WaitIdle,
    /// What `dirql explore` tries in other orders begins or ends. With a step that begins it, nothing
    /// is tried before.
    Explore(Explored),
    /// A driver is unloaded.
    Unload {
        /// Which; the first one, if none is named.
        driver: Option<String>,
        /// Nothing is wrong if the driver has no Unload routine.
        if_possible: bool,
    },
}

/// What is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A device of the scenario: its first interface, or the device by itself.
    Device(String),
    /// A name in the object manager's namespace, such as `\Device\Name` or `\??\Name`.
    Path(String),
}
