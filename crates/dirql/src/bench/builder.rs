//! Putting a computer together.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use dirql_chips::models::{self, PluggedDevice};
use dirql_host::{Footprints, Host, Watch};
use dirql_kernel::ke::Chooser;
use dirql_kernel::readings::Reading;
use dirql_kernel::{Config, EventSink, FailurePoint, WindowsVersion};
use dirql_trace::{All, Counters, Recorder};

use super::driver::Driver;
use super::error::BenchError;
use super::state::{BenchDevice, BenchDriver, State};
use super::{Addresses, Bench, identity, plug};
use crate::scenario::{ChildSpec, DeviceSpec, Interrupts};

/// A computer to be put together; see [`Bench`].
#[derive(Default)]
pub struct Builder {
    config: Config,
    devices: Vec<DeviceSpec>,
    children: Vec<ChildSpec>,
    drivers: Vec<Driver>,
    recorded: usize,
    uncounted: bool,
    sinks: Vec<MakeSink>,
    chooser: Option<Rc<dyn Chooser>>,
    chooses_later: bool,
    watch: Option<Watch>,
    prints: Option<&'static Footprints>,
}

/// Makes a sink when the images are known that give names to addresses.
type MakeSink = Box<dyn FnOnce(Rc<Addresses>) -> Box<dyn EventSink>>;

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("devices", &self.devices)
            .field("drivers", &self.drivers)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// How many processors it has, 1..=256; 1 if this is not called.
    #[must_use]
    pub const fn processors(mut self, processors: u16) -> Self {
        self.config.processors = processors;
        self
    }

    /// Which Windows it runs; Windows 10 if this is not called.
    #[must_use]
    pub const fn windows(mut self, windows: WindowsVersion) -> Self {
        self.config.windows = windows;
        self
    }

    /// Steps after which a run ends without a verdict.
    #[must_use]
    pub const fn max_steps(mut self, steps: u64) -> Self {
        self.config.max_steps = steps;
        self
    }

    /// How much longer than it says code may take when somebody chooses what happens: a timer or
    /// timeout that is due within that may end meanwhile. 10 ms if this is not called.
    #[must_use]
    pub const fn late(mut self, by: Duration) -> Self {
        let units_100ns = by.as_nanos() / 100;
        // Time is counted in 64 bits; that is 58,000 years.
        self.config.late_100ns = if units_100ns > u64::MAX as u128 {
            u64::MAX
        } else {
            units_100ns as u64
        };
        self
    }

    /// Makes one allocation, or one call of a routine that can fail, fail.
    #[must_use]
    pub const fn fail(mut self, point: FailurePoint) -> Self {
        self.config.fail = Some(point);
        self
    }

    /// Gives every block of pool pages of its own, so that an access past its end, or after it was
    /// freed, faults.
    #[must_use]
    pub const fn special_pool(mut self) -> Self {
        self.config.special_pool = true;
        self
    }

    /// Judges the driver by no rules: only how a run ends is told. What Windows itself does stays, bug checks
    /// above all. What happens is the same for a driver that breaks no rule, and it takes less time.
    #[must_use]
    pub const fn no_rules(mut self) -> Self {
        self.config.rules = false;
        self
    }

    /// Ends the run at the first finding.
    #[must_use]
    pub const fn stop_at_finding(mut self) -> Self {
        self.config.stop_at_finding = true;
        self
    }

    /// Goes on after the bug check of a routine that can do nothing instead: it says that it failed,
    /// and the bug check is a finding.
    #[must_use]
    pub const fn keep_going(mut self) -> Self {
        self.config.keep_going = true;
        self
    }

    /// Says how the function driver of parallel ports reads what is said in two ways.
    #[must_use]
    pub const fn parallel_port(mut self, settings: dirql_kernel::parport::Settings) -> Self {
        self.config.parallel_port = settings;
        self
    }

    /// Reads the documentation in the other way where it can be read in two.
    #[must_use]
    pub fn readings(mut self, readings: impl IntoIterator<Item = Reading>) -> Self {
        self.config.readings = readings.into_iter().collect();
        self
    }

    /// Plugs a device in.
    #[must_use]
    pub fn device(mut self, device: DeviceSpec) -> Self {
        self.devices.push(device);
        self
    }

    /// Names a device that a driver reports, and says whose it is.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Installs a driver.
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Self {
        self.drivers.push(driver);
        self
    }

    /// Keeps the last `limit` events for [`Bench::events`].
    #[must_use]
    pub const fn record(mut self, limit: usize) -> Self {
        self.recorded = limit;
        self
    }

    /// Counts nothing, which makes every event cheaper.
    #[must_use]
    pub const fn without_counters(mut self) -> Self {
        self.uncounted = true;
        self
    }

    /// Tells events to a sink, which is made with the names of the drivers' addresses.
    #[must_use]
    pub fn sink<S: EventSink + 'static>(
        mut self,
        make: impl FnOnce(Rc<dyn dirql_trace::Names>) -> S + 'static,
    ) -> Self {
        self.sinks
            .push(Box::new(|addresses| Box::new(make(addresses))));
        self
    }

    /// Has somebody say what happens where several things could.
    #[must_use]
    pub fn chooser(mut self, chooser: Rc<dyn Chooser>) -> Self {
        self.chooser = Some(chooser);
        self
    }

    /// Has everything happen by itself until [`Bench::explore_from_here`]: of a test that is
    /// explored, only the orders of what follows are tried. That is many times as fast where
    /// loading and starting a driver is most of the test, and misses what only goes wrong there.
    #[must_use]
    pub const fn explored_later(mut self) -> Self {
        self.chooses_later = true;
        self
    }

    /// Has driver code run in a form that is watched.
    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Notes which basic blocks of the drivers run; see [`crate::coverage::Survey`].
    #[must_use]
    pub const fn footprints(mut self, prints: &'static Footprints) -> Self {
        self.prints = Some(prints);
        self
    }

    pub(crate) fn sink_with_addresses<S: EventSink + 'static>(
        mut self,
        make: impl FnOnce(Rc<Addresses>) -> S + 'static,
    ) -> Self {
        self.sinks
            .push(Box::new(|addresses| Box::new(make(addresses))));
        self
    }

    pub(crate) fn boxed_sink(mut self, make: crate::play::MakeSink) -> Self {
        self.sinks.push(Box::new(|addresses| make(addresses)));
        self
    }

    /// Makes the computer with its devices. No driver is loaded yet: [`Bench::load`] is next.
    ///
    /// # Errors
    /// A device cannot be plugged in, an INF does not know it, or there is a bench in this thread
    /// already.
    pub fn build(self) -> Result<Bench, BenchError> {
        if !(1..=256).contains(&self.config.processors) {
            return Err(BenchError::Processors(self.config.processors));
        }
        let windows = self.config.windows;
        let judges = self.config.rules;
        let host = Rc::new(Host::new(self.config)?);
        let waiting = with_imported(self.drivers)?;
        let catalog = waiting.iter().map(|driver| driver.inf.as_ref());
        let catalog = catalog.map(|inf| inf.and_then(|inf| inf.devices(windows).ok()));
        let catalog = catalog.map(Option::unwrap_or_default).collect();
        let drivers = waiting.iter().map(|driver| BenchDriver {
            service: driver.service().into(),
            loaded: None,
            object: None,
            started: false,
            refused: None,
        });
        let state = State::new(
            Rc::downgrade(&host),
            self.children,
            drivers.collect(),
            catalog,
        );
        let installer = Rc::downgrade(&state);
        host.kernel()
            .set_installer(Rc::new(move |kernel, physical, node| {
                installer.upgrade()?.install_child(kernel, physical, node)
            }));
        host.kernel().set_chooser(self.chooser);
        host.kernel().let_choose(!self.chooses_later);
        // What ISRs must not use is seen in code that is watched.
        let extended = judges && waiting.iter().any(Driver::has_extended_code);
        if let Some(watch) = self.watch.or_else(|| extended.then(Watch::default)) {
            host.kernel().tell_memory(watch.record);
            host.watch(watch)
                .map_err(|error| BenchError::Watch(error.kind()))?;
        }
        // What it shows is the simulated computer's time, or runs would differ.
        if waiting.iter().any(Driver::may_read_time_stamps) {
            host.trap_time_stamp_counter(true)
                .map_err(|error| BenchError::TimeStamps(error.kind()))?;
        }
        if let Some(prints) = self.prints {
            host.leave_footprints(prints)
                .map_err(|error| BenchError::Watch(error.kind()))?;
        }
        for spec in self.devices {
            let ids = identity::hardware_ids(pci_identity(&spec)?, &spec.model);
            let installed = identity::install(&spec, &ids, &waiting, windows)?;
            let id = plug::plug(host.kernel(), &spec)?;
            let device = BenchDevice {
                spec,
                id,
                installed,
                physical: None,
                starts: Vec::new(),
            };
            state.devices.borrow_mut().push(device);
        }
        plug::connect_other_ends(host.kernel(), &state)?;
        let addresses = Rc::new(Addresses::default());
        let counters = Counters::default();
        let mut sinks: Vec<Box<dyn EventSink>> = Vec::new();
        if !self.uncounted {
            sinks.push(Box::new(counters.clone()));
        }
        let recording = (self.recorded > 0).then(|| {
            let (recorder, recording) = Recorder::new(self.recorded);
            sinks.push(Box::new(recorder));
            recording
        });
        sinks.extend(self.sinks.into_iter().map(|make| make(addresses.clone())));
        if !sinks.is_empty() {
            // One sink, the usual case, is told directly.
            let sink = if sinks.len() == 1 {
                sinks.pop()
            } else {
                Some(Box::new(All(sinks)) as _)
            };
            host.kernel().set_event_sink(sink);
        }
        Ok(Bench {
            host,
            state,
            addresses,
            counters,
            recording,
            waiting: RefCell::new(waiting.into_iter().enumerate().collect()),
            end_of_run: RefCell::default(),
        })
    }
}

/// Adds the drivers that others import from and that lie beside them.
pub(crate) fn with_imported(mut drivers: Vec<Driver>) -> Result<Vec<Driver>, BenchError> {
    let mut next = 0;
    while let Some(driver) = drivers.get(next) {
        next += 1;
        let mut found = Vec::new();
        for file in driver.imported_files() {
            let is_there = drivers
                .iter()
                .chain(&found)
                .any(|other| other.is_file(file));
            if is_there || !file.to_ascii_lowercase().ends_with(".sys") {
                continue;
            }
            if let Some(beside) = driver.beside(file) {
                found.push(beside?);
            }
        }
        drivers.extend(found);
    }
    Ok(drivers)
}

/// Vendor and device of a PCI model.
fn pci_identity(spec: &DeviceSpec) -> Result<Option<(u16, u16)>, BenchError> {
    let options: Vec<(&str, &str)> = spec
        .options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let built = models::build(&spec.model, &options);
    match built.map_err(|error| BenchError::Model {
        device: spec.name.clone(),
        error,
    })? {
        PluggedDevice::Pci(function) => {
            let identity = &function.description().identity;
            Ok(Some((identity.vendor, identity.device)))
        }
        PluggedDevice::Legacy(_) => Ok(None),
    }
}

/// What kind of messages a device can have, and how many; `None` if it has none.
pub(crate) fn messages_of(spec: &DeviceSpec) -> Option<Interrupts> {
    let options: Vec<(&str, &str)> = spec
        .options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let PluggedDevice::Pci(function) = models::build(&spec.model, &options).ok()? else {
        return None;
    };
    let description = function.description();
    let table = description
        .msix
        .map(|offer| Interrupts::Msix(offer.messages));
    let messages = description
        .msi
        .map(|offer| Interrupts::Msi(offer.messages.into()));
    match spec.interrupts {
        Some(Interrupts::Msi(_)) => messages,
        _ => table.or(messages),
    }
}

/// The hardware IDs that a device has without an INF's help; none for a device that cannot be
/// built.
pub(crate) fn hardware_ids_of(spec: &DeviceSpec) -> Vec<String> {
    pci_identity(spec)
        .map(|pci| identity::hardware_ids(pci, &spec.model))
        .unwrap_or_default()
}
