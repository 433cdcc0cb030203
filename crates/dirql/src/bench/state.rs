//! What the bench does on the threads of the simulated computer.
//!
//! Every operation runs on a kernel thread and returns `Ddi<Result<_, BenchError>>`: outside, the
//! run's end; inside, why it did not work.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use dirql_abi::NtStatus;
use dirql_host::{Host, LoadedDriver};
use dirql_image::inf::{self, RegistryData, RegistryValue};
use dirql_kernel::cm::DeviceKeyKind;
use dirql_kernel::hal::{Assignment, DeviceId};
use dirql_kernel::io::Request;
use dirql_kernel::io::pnp::{Node, NodeState};
use dirql_kernel::ke::{ThreadBody, WaitMode};
use dirql_kernel::{Ddi, DriverPtr, Kernel};

use super::error::BenchError;
use super::handles::Handle;
use super::identity::{self, Installed};
use super::{plug, registry};
use crate::scenario::{ChildSpec, DeviceRequest, DeviceSpec, ThreadSpec};

pub(crate) type Answer<T> = Ddi<Result<T, BenchError>>;

/// Passes an inner error up.
macro_rules! inner {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}
pub(super) use inner;

/// A device of the bench.
#[derive(Clone, Debug)]
pub(crate) struct BenchDevice {
    pub(crate) spec: DeviceSpec,
    pub(crate) id: DeviceId,
    pub(crate) installed: Installed,
    /// Physical device object, once its driver is loaded.
    pub(crate) physical: Option<u64>,
    /// What it was given at each start.
    pub(crate) starts: Vec<Assignment>,
}

/// A driver of the bench.
#[derive(Clone, Debug)]
pub(crate) struct BenchDriver {
    pub(crate) service: String,
    pub(crate) loaded: Option<LoadedDriver>,
    /// Its driver object, while it is loaded.
    pub(crate) object: Option<u64>,
    /// Its DriverEntry has succeeded.
    pub(crate) started: bool,
    /// What its DriverEntry returned, if that is an error.
    pub(crate) refused: Option<NtStatus>,
}

/// What threads of the bench share.
pub(crate) struct State {
    /// Not the owner: a thread that never ends must not keep the computer.
    pub(crate) host: Weak<Host>,
    pub(crate) devices: RefCell<Vec<BenchDevice>>,
    pub(crate) drivers: RefCell<Vec<BenchDriver>>,
    /// Devices that drivers report.
    children: Vec<ChildSpec>,
    /// What the INF of each driver installs.
    catalog: Vec<Vec<inf::Device>>,
    pub(super) handles: RefCell<BTreeMap<String, Handle>>,
    /// Requests that threads have sent and nobody has awaited.
    pub(super) requests: RefCell<BTreeMap<String, Request>>,
    /// Names that threads signal and wait for: their events.
    signals: RefCell<BTreeMap<String, u64>>,
    /// Threads that wait until nothing happens: their events, and when they have waited enough,
    /// in 100 ns units of virtual time.
    idle_waiters: RefCell<Vec<(u64, u64)>>,
    /// Requests of plug and play that have begun and not ended.
    requests_of_system: Cell<u32>,
}

impl State {
    pub(crate) fn new(
        host: Weak<Host>,
        children: Vec<ChildSpec>,
        drivers: Vec<BenchDriver>,
        catalog: Vec<Vec<inf::Device>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            host,
            devices: RefCell::default(),
            drivers: RefCell::new(drivers),
            children,
            catalog,
            handles: RefCell::default(),
            requests: RefCell::default(),
            signals: RefCell::default(),
            idle_waiters: RefCell::default(),
            requests_of_system: Cell::new(0),
        })
    }

    /// The first driver that has an AddDevice routine, by its number.
    pub(super) fn plug_and_play_driver(&self, kernel: &Kernel) -> Option<usize> {
        let drivers = self.drivers.borrow();
        drivers.iter().position(|driver| {
            driver
                .object
                .is_some_and(|driver| kernel.has_add_device(driver))
        })
    }

    /// What the INF of a driver installs.
    pub(super) fn installs(&self, driver: usize) -> &[inf::Device] {
        self.catalog.get(driver).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn device(&self, name: &str) -> Result<BenchDevice, BenchError> {
        let devices = self.devices.borrow();
        let found = devices.iter().find(|device| device.spec.name == name);
        found
            .cloned()
            .ok_or_else(|| BenchError::NoDevice(name.into()))
    }

    fn change_device(&self, name: &str, change: impl FnOnce(&mut BenchDevice)) {
        let mut devices = self.devices.borrow_mut();
        if let Some(device) = devices.iter_mut().find(|device| device.spec.name == name) {
            change(device);
        }
    }

    /// A driver by name, or the first one.
    pub(crate) fn driver(&self, name: Option<&str>) -> Result<(usize, BenchDriver), BenchError> {
        let drivers = self.drivers.borrow();
        let matches = |driver: &BenchDriver| {
            name.is_none_or(|name| driver.service.eq_ignore_ascii_case(name))
        };
        let found = drivers
            .iter()
            .enumerate()
            .find(|(_, driver)| matches(driver));
        let found = found.map(|(index, driver)| (index, driver.clone()));
        found.ok_or_else(|| BenchError::NoDriver(name.unwrap_or("the first").into()))
    }

    /// Runs DriverEntry of a driver that is in memory.
    pub(crate) fn start_driver(&self, kernel: &Kernel, index: usize) -> Answer<()> {
        let Some(BenchDriver {
            service,
            loaded: Some(loaded),
            ..
        }) = self.drivers.borrow().get(index).cloned()
        else {
            return Ok(Err(BenchError::NoDriver(format!("number {index}"))));
        };
        if let Some(routine) = loaded.image().export_address("DllInitialize") {
            let status = kernel.initialize_library(&service, routine)?;
            if !status.is_success() {
                self.take_image(&loaded);
                return Ok(Err(BenchError::DriverEntry {
                    driver: service,
                    status,
                    said: String::new(),
                }));
            }
        }
        let Some(image) = loaded.driver_image() else {
            if self.drivers.borrow().len() > 1 {
                // It is there for others to import from.
                return Ok(Ok(()));
            }
            return Ok(Err(BenchError::NoEntryPoint(service)));
        };
        let object = match kernel.create_driver(&image)? {
            Ok(object) => object,
            Err(status) => {
                return Ok(Err(BenchError::DriverObject {
                    driver: service,
                    status,
                }));
            }
        };
        let status = kernel.run_driver_entry(object)?;
        if !status.is_success() {
            self.take_image(&loaded);
            if let Some(driver) = self.drivers.borrow_mut().get_mut(index) {
                driver.refused = Some(status);
            }
            return Ok(Err(BenchError::DriverEntry {
                driver: service,
                status,
                said: String::new(),
            }));
        }
        if let Some(host) = self.host.upgrade() {
            host.discard_init(&loaded);
        }
        if let Some(driver) = self.drivers.borrow_mut().get_mut(index) {
            driver.object = Some(object);
            driver.started = true;
        }
        Ok(Ok(()))
    }

    fn take_image(&self, loaded: &LoadedDriver) {
        if let Some(host) = self.host.upgrade() {
            host.remove_image(loaded);
        }
    }

    /// Unloads a driver by name, or the first one.
    pub(crate) fn unload(&self, kernel: &Kernel, name: Option<&str>) -> Answer<()> {
        let (index, driver) = inner!(self.driver(name));
        let Some(object) = driver.object else {
            return Ok(Err(BenchError::NoDriver(driver.service)));
        };
        if let Err(error) = kernel.unload_driver(object)? {
            return Ok(Err(BenchError::Unload {
                driver: driver.service,
                error,
            }));
        }
        if let Some(loaded) = &driver.loaded {
            if let Some(routine) = loaded.image().export_address("DllUnload") {
                kernel.unload_library(routine)?;
            }
            self.take_image(loaded);
        }
        if let Some(driver) = self.drivers.borrow_mut().get_mut(index) {
            driver.object = None;
        }
        Ok(Ok(()))
    }

    /// The physical device object of a device, made when it is first needed.
    fn physical(&self, kernel: &Kernel, device: &BenchDevice) -> Answer<u64> {
        let known = device
            .physical
            .filter(|physical| kernel.node(*physical).is_some());
        if let Some(physical) = known {
            return Ok(Ok(physical));
        }
        let name = &device.spec.name;
        let physical = match kernel.enumerate_device(device.id, &device.installed.identity)? {
            Ok(physical) => physical,
            Err(status) => {
                return Ok(Err(BenchError::Status {
                    target: name.clone(),
                    what: "enumeration",
                    status,
                }));
            }
        };
        self.change_device(name, |device| device.physical = Some(physical));
        let installed = &device.installed;
        let mut hardware = installed.hardware.clone();
        hardware.extend(device.spec.registry.iter().cloned());
        hardware.extend(filters(&device.spec));
        for (kind, values) in [
            (DeviceKeyKind::Hardware, &hardware),
            (DeviceKeyKind::Software, &installed.software),
        ] {
            if let Some(key) = kernel.device_key_path(physical, kind) {
                registry::set(kernel, &key, values);
            }
        }
        Ok(Ok(physical))
    }

    /// The driver object of a device's function driver, if that is loaded.
    fn function_driver(&self, kernel: &Kernel, device: &BenchDevice) -> Answer<Option<u64>> {
        if !device.installed.built_in {
            let index = device.installed.driver;
            return Ok(Ok(
                index.and_then(|index| self.drivers.borrow().get(index)?.object)
            ));
        }
        let driver = kernel.parport_driver()?;
        Ok(driver.map(Some).map_err(|status| BenchError::DriverObject {
            driver: "parport".into(),
            status,
        }))
    }

    /// Starts the devices whose function driver is the kernel's own, as Windows does before it
    /// loads the drivers of others.
    pub(crate) fn start_built_in(&self, kernel: &Kernel) -> Answer<()> {
        let names: Vec<String> = {
            let devices = self.devices.borrow();
            let own = devices.iter().filter(|device| device.installed.built_in);
            own.map(|device| device.spec.name.clone()).collect()
        };
        for name in names {
            inner!(self.request_device(kernel, &name, DeviceRequest::Start)?);
        }
        Ok(Ok(()))
    }

    /// The physical device of a name: one of the machine's devices, or one that a driver has
    /// reported.
    pub(super) fn named(&self, kernel: &Kernel, name: &str) -> Answer<(u64, Option<BenchDevice>)> {
        let Some(child) = self.children.iter().find(|child| child.name == name) else {
            let device = inner!(self.device(name));
            let physical = inner!(self.physical(kernel, &device)?);
            return Ok(Ok((physical, Some(device))));
        };
        let is_it = |physical: &u64| {
            kernel
                .node(*physical)
                .is_some_and(|node| is_child(child, &node))
        };
        let found = kernel.physical_devices().into_iter().find(is_it);
        Ok(found
            .map(|physical| (physical, None))
            .ok_or_else(|| BenchError::NotReported(name.into())))
    }

    /// The driver object for a device that a driver has reported, whose keys are filled; `None`
    /// if no driver is for it.
    ///
    /// The scenario's word counts first, then the INF that knows the best of its IDs.
    pub(crate) fn install_child(&self, kernel: &Kernel, physical: u64, node: &Node) -> Option<u64> {
        let named = self.children.iter().find(|child| is_child(child, node));
        let named = named.and_then(|child| child.driver.as_deref());
        let found = identity::find_in_catalog(&self.catalog, node, |index| {
            let drivers = self.drivers.borrow();
            let service = drivers.get(index).map(|driver| driver.service.as_str());
            named.is_none_or(|named| service.is_some_and(|own| own.eq_ignore_ascii_case(named)))
        });
        if let Some((_, device)) = found {
            for (kind, values) in [
                (DeviceKeyKind::Hardware, &device.hardware),
                (DeviceKeyKind::Software, &device.software),
            ] {
                if let Some(key) = kernel.device_key_path(physical, kind) {
                    registry::set(kernel, &key, values);
                }
            }
        }
        match (found, named) {
            (Some((index, _)), _) => self.drivers.borrow().get(index)?.object,
            (None, Some(named)) => self.driver(Some(named)).ok()?.1.object,
            (None, None) => None,
        }
    }

    /// Plug and play, or power management.
    pub(crate) fn request_device(
        &self,
        kernel: &Kernel,
        name: &str,
        request: DeviceRequest,
    ) -> Answer<()> {
        // Power management goes its own way.
        let counts = !matches!(
            request,
            DeviceRequest::Power(_) | DeviceRequest::QueryPower(_)
        );
        let under_way = &self.requests_of_system;
        under_way.set(under_way.get() + u32::from(counts));
        let answer = self.carry_out_request(kernel, name, request);
        under_way.set(under_way.get() - u32::from(counts));
        answer
    }

    /// Whether plug and play is waiting for a driver: it asks for one thing after the other.
    pub(crate) fn plug_and_play_is_busy(&self) -> bool {
        self.requests_of_system.get() > 0
    }

    /// Pulls a device out: it is gone at once. Plug and play tells its drivers as soon as it has
    /// time, or, if it does so `at_once`, before what runs on this processor goes on.
    pub(crate) fn pull(
        self: &Rc<Self>,
        kernel: &Kernel,
        name: &str,
        device: DeviceId,
        at_once: bool,
    ) {
        if kernel.device_is_gone(device) {
            return;
        }
        kernel.pull_device(device);
        let (state, name) = (Rc::downgrade(self), name.to_owned());
        let body = move |kernel: &Kernel| {
            let Some(state) = state.upgrade() else {
                return Ok(());
            };
            while state.plug_and_play_is_busy() {
                state.sleep(kernel, Duration::from_micros(100))?;
            }
            // One that was not started is removed at the end; it is not told before.
            state
                .request_device(kernel, &name, DeviceRequest::SurpriseRemove)
                .map(drop)
        };
        let body = ThreadBody::Native(Box::new(body));
        if at_once {
            kernel.spawn_thread_ahead("plug and play", body);
        } else {
            kernel.spawn_thread("plug and play", ThreadSpec::PRIORITY, body);
        }
    }

    /// Whether a device of the machine was pulled out.
    pub(crate) fn is_gone(&self, kernel: &Kernel, name: &str) -> bool {
        self.device(name)
            .is_ok_and(|device| kernel.device_is_gone(device.id))
    }

    fn carry_out_request(&self, kernel: &Kernel, name: &str, request: DeviceRequest) -> Answer<()> {
        let (physical, device) = inner!(self.named(kernel, name)?);
        let wrong = |error| BenchError::Pnp {
            device: name.into(),
            error,
        };
        if request == DeviceRequest::Start {
            let state = kernel.node(physical).map(|node| node.state);
            let built_in = device
                .as_ref()
                .is_some_and(|device| device.installed.built_in);
            if built_in && state == Some(NodeState::Started) {
                // It has been since the computer came up.
                return Ok(Ok(()));
            }
            let driver = match &device {
                Some(device) => inner!(self.function_driver(kernel, device)?),
                None => None,
            };
            if let Some(driver) = driver {
                inner!(kernel.choose_driver(physical, driver).map_err(wrong));
            }
        }
        let answer = match request {
            DeviceRequest::Start => kernel.start_device(physical)?,
            DeviceRequest::Stop => kernel.stop_device(physical)?,
            DeviceRequest::QueryStop => kernel.query_stop_device(physical)?,
            DeviceRequest::CancelStop => kernel.cancel_stop_device(physical)?,
            DeviceRequest::Rebalance(interrupts) => {
                if let Err(error) = kernel.stop_device(physical)? {
                    return Ok(Err(wrong(error)));
                }
                if let Some((device, interrupts)) = device.as_ref().zip(interrupts) {
                    kernel.set_message_wish(device.id, plug::wish(interrupts));
                }
                kernel.start_device(physical)?
            }
            DeviceRequest::Remove => kernel.remove_device(physical)?,
            DeviceRequest::QueryRemove => kernel.query_remove_device(physical)?,
            DeviceRequest::CancelRemove => kernel.cancel_remove_device(physical)?,
            DeviceRequest::SurpriseRemove => {
                // Nobody answers where it was by the time that drivers hear of it.
                if let Some(device) = device.as_ref().filter(|_| kernel.is_running(physical)) {
                    kernel.pull_device(device.id);
                }
                kernel.surprise_remove_device(physical)?
            }
            DeviceRequest::Power(state) => kernel.set_power(physical, state)?,
            DeviceRequest::QueryPower(state) => kernel.query_power(physical, state)?,
        };
        inner!(answer.map_err(wrong));
        let has_started = matches!(request, DeviceRequest::Start | DeviceRequest::Rebalance(_));
        if let Some(device) = device.filter(|_| has_started) {
            let assignment = kernel.assignment(device.id).unwrap_or_default();
            self.change_device(name, |device| device.starts.push(assignment));
        }
        Ok(Ok(()))
    }

    /// The event behind a name that threads signal and wait for.
    fn signal_event(&self, kernel: &Kernel, name: &str) -> Ddi<u64> {
        if let Some(event) = self.signals.borrow().get(name) {
            return Ok(*event);
        }
        let event = kernel.allocate_system(64);
        // A notification event: whoever waits later has not missed it.
        kernel.ke_initialize_event(DriverPtr::new(event), 0, 0)?;
        self.signals.borrow_mut().insert(name.into(), event);
        Ok(event)
    }

    pub(crate) fn signal(&self, kernel: &Kernel, name: &str) -> Ddi<()> {
        let event = self.signal_event(kernel, name)?;
        kernel.ke_set_event(DriverPtr::new(event), 0, 0)?;
        Ok(())
    }

    pub(crate) fn wait_signal(&self, kernel: &Kernel, name: &str) -> Ddi<()> {
        let event = self.signal_event(kernel, name)?;
        kernel.ke_wait_for_single_object(event, 0, 0, 0, DriverPtr::NULL)?;
        Ok(())
    }

    /// Waits until nothing else happens.
    pub(crate) fn wait_idle(&self, kernel: &Kernel) -> Ddi<()> {
        let event = kernel.allocate_system(64);
        kernel.ke_initialize_event(DriverPtr::new(event), 0, 0)?;
        let deadline = kernel.time_100ns().saturating_add(super::SETTLE_100NS);
        self.idle_waiters.borrow_mut().push((event, deadline));
        kernel.ke_wait_for_single_object(event, 0, 0, 0, DriverPtr::NULL)?;
        Ok(())
    }

    /// Whether a thread has waited for an idle computer for long enough.
    pub(crate) fn is_idle_overdue(&self, now: u64) -> bool {
        self.idle_waiters
            .borrow()
            .iter()
            .any(|(_, deadline)| now >= *deadline)
    }

    /// The events of threads that wait for an idle computer.
    pub(crate) fn take_idle_waiters(&self) -> Vec<u64> {
        let waiters = self.idle_waiters.take();
        waiters.into_iter().map(|(event, _)| event).collect()
    }

    /// Sleeps in virtual time; at least one unit of 100 ns.
    pub(crate) fn sleep(&self, kernel: &Kernel, duration: Duration) -> Ddi<()> {
        let units = duration.as_nanos().div_ceil(100).max(1);
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        let interval = DriverPtr::new(kernel.allocate_system(8));
        kernel.write(interval, -units)?;
        let slept = kernel.ke_delay_execution_thread(WaitMode::KERNEL, interval);
        slept.map(|_| ())
    }
}

/// The values of the hardware key that name a device's filters.
fn filters(spec: &DeviceSpec) -> Vec<RegistryValue> {
    let value = |name: &str, filters: &[String]| RegistryValue {
        subkey: String::new(),
        name: name.into(),
        data: RegistryData::MultiString(filters.to_vec()),
    };
    let both = [
        ("LowerFilters", &spec.lower_filters),
        ("UpperFilters", &spec.upper_filters),
    ];
    let named = both.into_iter().filter(|(_, filters)| !filters.is_empty());
    named.map(|(name, filters)| value(name, filters)).collect()
}

/// Whether a reported device is the one that a scenario means.
fn is_child(child: &ChildSpec, node: &Node) -> bool {
    let is_id = |id: &String| id.eq_ignore_ascii_case(&child.id);
    let is_instance = |instance: &String| instance.eq_ignore_ascii_case(&node.instance);
    node.is_reported()
        && node.hardware_ids.iter().any(is_id)
        && child.instance.as_ref().is_none_or(is_instance)
}
