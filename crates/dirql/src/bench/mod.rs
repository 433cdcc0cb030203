//! The bench: a simulated computer with devices and drivers, and what one can do to them.

mod addresses;
mod builder;
mod driver;
mod error;
mod explored;
mod handles;
mod identity;
pub(crate) mod outside;
mod plug;
mod registry;
mod requests;
pub(crate) mod state;

use std::cell::RefCell;
use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_chips::Stimulus;
use dirql_host::{Host, MemoryAccess};
use dirql_kernel::hal::{DeviceId, Resource};
use dirql_kernel::io::pnp::PowerState;
use dirql_kernel::io::{Request, RequestOutcome};
use dirql_kernel::ke::{RunState, ThreadBody};
use dirql_kernel::{Ddi, DriverPtr, Kernel, Outcome};
use dirql_rules::Finding;
use dirql_trace::{Counters, Recording};

pub(crate) use addresses::Addresses;
pub use addresses::CodePlace;
pub use builder::Builder;
pub(crate) use builder::{hardware_ids_of, messages_of, with_imported};
pub use driver::Driver;
pub use error::BenchError;
pub(crate) use explored::EndOfRun;
use state::{Answer, State};

use crate::scenario::{DeviceRequest, Interrupts, ThreadSpec};

/// After the end of what was asked for, the computer goes on for at most this long, in 100 ns of
/// virtual time: a driver's periodic timer must not keep it busy for ever.
pub(crate) const SETTLE_100NS: u64 = 10_000_000;

/// A simulated computer with its devices and drivers.
///
/// Made by [`Bench::builder`]. Each method does one thing and returns when that has come to its
/// end, or when nothing is left that could end it. What interrupts do meanwhile has happened
/// then, too.
///
/// There is one bench at a time in a thread, and one in a process; see [`Host`].
///
/// ```
/// use dirql::{Bench, BenchError, Driver};
/// use dirql::scenario::{DeviceSpec, Interrupts};
///
/// # let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
/// let sample = format!("{samples}/edu-fully-specified/edu-fully-specified");
/// let bench = Bench::builder()
///     .processors(2)
///     .device(DeviceSpec::new("edu0", "edu").interrupts(Interrupts::Msi(1)))
///     .driver(Driver::file(format!("{sample}.sys"))?.inf_file(format!("{sample}.inf"))?)
///     .build()?;
/// bench.load()?;
/// bench.start("edu0")?;
/// bench.open("edu0")?;
/// bench.write("edu0", &[5, 0, 0, 0])?.expect_success()?;
/// let five_factorial = bench.read("edu0", 4)?.expect_success()?;
/// assert_eq!(five_factorial.data, [120, 0, 0, 0]);
/// bench.close("edu0")?;
/// bench.remove("edu0")?;
/// bench.unload()?;
/// assert_eq!(bench.findings(), []);
/// # Ok::<(), BenchError>(())
/// ```
pub struct Bench {
    host: Rc<Host>,
    state: Rc<State>,
    addresses: Rc<Addresses>,
    counters: Counters,
    recording: Option<Recording>,
    /// Drivers that are not in memory yet, with their numbers.
    waiting: RefCell<Vec<(usize, Driver)>>,
    /// Who is told where a run ends in the middle of a test.
    end_of_run: RefCell<Option<EndOfRun>>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// `IoStatus.Status`.
    pub status: NtStatus,
    /// `IoStatus.Information`.
    pub information: u64,
    /// What came back.
    pub data: Vec<u8>,
    handle: String,
}

impl Completion {
    fn new(handle: &str, outcome: RequestOutcome) -> Self {
        let RequestOutcome {
            status,
            information,
            data,
        } = outcome;
        Self {
            status,
            information,
            data,
            handle: handle.into(),
        }
    }

    /// Makes a request that failed an error.
    ///
    /// # Errors
    /// The status is not a success.
    pub fn expect_success(self) -> Result<Self, BenchError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(BenchError::Status {
            target: self.handle,
            what: "the request",
            status: self.status,
        })
    }
}

/// A request that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request that nobody asks for stays under way"]
pub struct Pending {
    request: Request,
    handle: String,
}

impl Bench {
    /// A computer to be put together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The kernel, for everything that the bench has no method for.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        self.host.kernel()
    }

    /// The host: images, exports.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Starts the devices whose function driver is the kernel's own, then puts every driver into
    /// memory and runs its DriverEntry, in the order in which they were given, but one from which
    /// another imports before that one.
    ///
    /// # Errors
    /// The first driver that cannot be loaded.
    pub fn load(&self) -> Result<(), BenchError> {
        self.start_built_in()?;
        while let Some((index, driver)) = self.next_to_load() {
            self.load_driver(index, &driver)?;
        }
        Ok(())
    }

    /// Gives a driver of plug and play that has been loaded into a computer without devices one to
    /// drive, which is hostile.
    ///
    /// # Errors
    /// None for the devices that an INF can name.
    pub(crate) fn plug_something(&self) -> Result<(), BenchError> {
        plug::plug_something(self.kernel(), &self.state)
    }

    fn start_built_in(&self) -> Result<(), BenchError> {
        let has_any = self
            .state
            .devices
            .borrow()
            .iter()
            .any(|device| device.installed.built_in);
        if !has_any {
            return Ok(());
        }
        let state = self.state.clone();
        self.on_thread("starting the ports", move |kernel| {
            state.start_built_in(kernel)
        })
    }

    /// The first driver that imports from none that still waits; the first of all if they import
    /// from each other.
    fn next_to_load(&self) -> Option<(usize, Driver)> {
        let mut waiting = self.waiting.borrow_mut();
        let is_ready = |(index, driver): &(usize, Driver)| {
            let imported = driver.imported_files();
            let others = waiting.iter().filter(|(other, _)| other != index);
            !others
                .into_iter()
                .any(|(_, other)| imported.iter().any(|name| other.is_file(name)))
        };
        let at = waiting.iter().position(is_ready).unwrap_or(0);
        (!waiting.is_empty()).then(|| waiting.remove(at))
    }

    fn load_driver(&self, index: usize, driver: &Driver) -> Result<(), BenchError> {
        self.map(index, driver)?;
        self.install_service(driver);
        let state = self.state.clone();
        self.on_thread("DriverEntry", move |kernel| {
            state.start_driver(kernel, index)
        })
    }

    /// Fills the key of a driver's service.
    fn install_service(&self, driver: &Driver) {
        let kernel = self.kernel();
        let windows = kernel.config().windows;
        let inf = driver.inf.as_ref();
        let mut values = inf
            .map(|inf| inf.service_values(windows))
            .unwrap_or_default();
        values.extend(driver.registry.iter().cloned());
        registry::set(kernel, &registry::service_key(driver.service()), &values);
    }

    /// Puts a driver into memory.
    fn map(&self, index: usize, driver: &Driver) -> Result<(), BenchError> {
        let source = match &driver.code {
            driver::Code::Image(bytes) => dirql_host::DriverSource::Image(bytes),
            driver::Code::Native(entry) => dirql_host::DriverSource::Native { entry: *entry },
        };
        let loaded = self.host.load_driver(&driver.name, source)?;
        if let Some(image) = self.host.images().pop() {
            self.addresses.add(image, driver.pdb.clone());
        }
        if let Some(known) = self.state.drivers.borrow_mut().get_mut(index) {
            known.loaded = Some(loaded);
        }
        Ok(())
    }

    /// Starts a device: AddDevice of its driver the first time, then IRP_MN_START_DEVICE.
    ///
    /// # Errors
    /// The driver did not start it, or it is not in a state to be started.
    pub fn start(&self, device: &str) -> Result<(), BenchError> {
        self.request_device("starting", device, DeviceRequest::Start)
    }

    /// Stops a device: IRP_MN_QUERY_STOP_DEVICE and IRP_MN_STOP_DEVICE.
    ///
    /// # Errors
    /// The driver did not agree, or the device is not started.
    pub fn stop(&self, device: &str) -> Result<(), BenchError> {
        self.request_device("stopping", device, DeviceRequest::Stop)
    }

    /// Stops a device and starts it again with other resources, and with this kind of interrupts
    /// if one is said.
    ///
    /// # Errors
    /// The driver did not agree or did not start again, or the device is not started.
    pub fn rebalance(
        &self,
        device: &str,
        interrupts: Option<Interrupts>,
    ) -> Result<(), BenchError> {
        self.request_device("rebalancing", device, DeviceRequest::Rebalance(interrupts))
    }

    /// Removes a device: IRP_MN_QUERY_REMOVE_DEVICE and IRP_MN_REMOVE_DEVICE.
    ///
    /// # Errors
    /// The driver did not agree, or the device was not started.
    pub fn remove(&self, device: &str) -> Result<(), BenchError> {
        self.request_device("removing", device, DeviceRequest::Remove)
    }

    /// Pulls a device out: IRP_MN_SURPRISE_REMOVAL. [`Bench::remove`] is due when nobody has it
    /// open any more.
    ///
    /// # Errors
    /// The device was not started.
    pub fn surprise_remove(&self, device: &str) -> Result<(), BenchError> {
        self.request_device("surprise removal", device, DeviceRequest::SurpriseRemove)
    }

    /// Brings a device to a power state, 0..=3 for D0 to D3.
    ///
    /// # Errors
    /// The driver did not agree, or the device is not started.
    pub fn set_power(&self, device: &str, state: u8) -> Result<(), BenchError> {
        self.request_device(
            "the change of power",
            device,
            DeviceRequest::Power(PowerState::Device(state.min(3))),
        )
    }

    fn request_device(
        &self,
        what: &'static str,
        device: &str,
        request: DeviceRequest,
    ) -> Result<(), BenchError> {
        let (state, device) = (self.state.clone(), device.to_owned());
        self.on_thread(what, move |kernel| {
            state.request_device(kernel, &device, request)
        })
    }

    /// Somebody presses a button and holds it.
    ///
    /// # Errors
    /// The device's model has no button.
    pub fn press(&self, device: &str) -> Result<(), BenchError> {
        self.stimulate(device, Stimulus::Press)
    }

    /// Somebody lets go of a button.
    ///
    /// # Errors
    /// The device's model has no button.
    pub fn release(&self, device: &str) -> Result<(), BenchError> {
        self.stimulate(device, Stimulus::Release)
    }

    /// Bytes arrive at a device's other end.
    ///
    /// # Errors
    /// The device's model receives nothing.
    pub fn receive(&self, device: &str, data: &[u8]) -> Result<(), BenchError> {
        self.stimulate(device, Stimulus::Receive(data.to_vec()))
    }

    /// The world outside does something to a device. The interrupt that this may cause is taken
    /// before this returns, if a processor takes it.
    ///
    /// # Errors
    /// The device's model has no such input.
    pub fn stimulate(&self, device: &str, stimulus: Stimulus) -> Result<(), BenchError> {
        let (state, device) = (self.state.clone(), device.to_owned());
        self.on_thread("the input", move |kernel| {
            state.stimulate(kernel, &device, &stimulus)
        })
    }

    /// Unloads the first driver.
    ///
    /// # Errors
    /// It is not loaded or has no Unload routine.
    pub fn unload(&self) -> Result<(), BenchError> {
        let state = self.state.clone();
        self.on_thread("unloading", move |kernel| state.unload(kernel, None))
    }

    /// Unloads a driver by the name of its service.
    ///
    /// # Errors
    /// It is not loaded or has no Unload routine.
    pub fn unload_driver(&self, service: &str) -> Result<(), BenchError> {
        let (state, service) = (self.state.clone(), service.to_owned());
        self.on_thread("unloading", move |kernel| {
            state.unload(kernel, Some(&service))
        })
    }

    /// Lets everything happen that happens by itself, delays included: until nothing is left, or
    /// until a second of virtual time has passed if something is always left.
    ///
    /// # Errors
    /// The run has ended.
    pub fn run_until_idle(&self) -> Result<(), BenchError> {
        let end = self.kernel().time_100ns().saturating_add(SETTLE_100NS);
        self.run(|kernel| kernel.time_100ns() >= end)
    }

    /// Runs `body` on a kernel thread of its own, at PASSIVE_LEVEL, and returns what it returned.
    ///
    /// # Errors
    /// `body` has not come to its end and waits for something that does not happen, or the run
    /// has ended.
    pub fn on_kernel_thread<R: 'static>(
        &self,
        body: impl FnOnce(&Kernel) -> Ddi<R> + 'static,
    ) -> Result<R, BenchError> {
        self.on_thread("the thread", move |kernel| body(kernel).map(Ok))
    }

    fn on_thread<R: 'static>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Kernel) -> Answer<R> + 'static,
    ) -> Result<R, BenchError> {
        let slot = Rc::new(RefCell::new(None));
        let result = slot.clone();
        let body = move |kernel: &Kernel| {
            let answer = body(kernel)?;
            *result.borrow_mut() = Some(answer);
            Ok(())
        };
        self.kernel().spawn_thread(
            "bench",
            ThreadSpec::PRIORITY,
            ThreadBody::Native(Box::new(body)),
        );
        let ended = self.run(|_| slot.borrow().is_some());
        // The thread may have come to its end in the step that ended the run.
        match slot.take() {
            Some(answer) => answer,
            None => ended.and(Err(BenchError::StillWaiting(what))),
        }
    }

    /// Runs the computer until `done`, or until nothing is left to do.
    pub(crate) fn run(&self, done: impl Fn(&Kernel) -> bool) -> Result<(), BenchError> {
        let kernel = self.kernel();
        let is_enough = || done(kernel) || self.state.is_idle_overdue(kernel.time_100ns());
        loop {
            if kernel.run_until(&is_enough) == RunState::Ended {
                return Err(BenchError::Ended(kernel.outcome()));
            }
            if done(kernel) {
                return Ok(());
            }
            let waiters = self.state.take_idle_waiters();
            if waiters.is_empty() {
                return Ok(());
            }
            let wake = move |kernel: &Kernel| {
                for event in waiters {
                    kernel.ke_set_event(DriverPtr::new(event), 0, 0)?;
                }
                Ok(())
            };
            kernel.spawn_thread(
                "bench",
                ThreadSpec::PRIORITY,
                ThreadBody::Native(Box::new(wake)),
            );
        }
    }

    /// The accesses of driver code to memory since the last time, if they are recorded; see
    /// [`Builder::watch`].
    #[must_use]
    pub fn take_accesses(&self) -> Vec<MemoryAccess> {
        self.host.take_accesses()
    }

    /// As [`Bench::take_accesses`], and they can be had again.
    pub(crate) fn accesses(&self) -> Vec<MemoryAccess> {
        self.host.accesses()
    }

    /// What has been found, in order.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.kernel().findings()
    }

    /// How the run ended early, if it did.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.kernel().outcome()
    }

    /// The events that were recorded; empty unless [`Builder::record`] asked for them.
    #[must_use]
    pub fn events(&self) -> Vec<dirql_trace::Entry> {
        self.recording
            .as_ref()
            .map(Recording::entries)
            .unwrap_or_default()
    }

    /// How often things have happened. Counts nothing after [`Builder::without_counters`].
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The bytes that have left at a device's other end since this was last asked.
    ///
    /// # Errors
    /// There is no such device.
    pub fn output(&self, device: &str) -> Result<Vec<u8>, BenchError> {
        self.state.take_sent(self.kernel(), device)
    }

    /// What a device has been given at its latest start; empty before.
    ///
    /// # Errors
    /// There is no such device.
    pub fn resources(&self, device: &str) -> Result<Vec<Resource>, BenchError> {
        let device = self.state.device(device)?;
        Ok(device
            .starts
            .last()
            .map(|assignment| assignment.resources.clone())
            .unwrap_or_default())
    }

    /// The machine's number of a device.
    ///
    /// # Errors
    /// There is no such device.
    pub fn device_id(&self, device: &str) -> Result<DeviceId, BenchError> {
        Ok(self.state.device(device)?.id)
    }

    /// What is at an address of a driver.
    #[must_use]
    pub fn describe(&self, address: u64) -> Option<CodePlace> {
        self.addresses.describe(address, false)
    }

    pub(crate) const fn state(&self) -> &Rc<State> {
        &self.state
    }

    pub(crate) const fn addresses(&self) -> &Rc<Addresses> {
        &self.addresses
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
