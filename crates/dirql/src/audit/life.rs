//! What is done with a driver when nobody says what: every device through its whole life, with
//! the requests that its driver says it handles, and some that nobody would send.

use dirql_abi::device::DriverObject;
use dirql_abi::irp::major;
use dirql_kernel::DriverPtr;
use dirql_kernel::io::RequestKind;
use dirql_kernel::io::pnp::PowerState;
use std::time::Duration;

use crate::bench::Bench;
use crate::bench::state::BenchDevice;
use crate::play::default;
use crate::scenario::{Action, DeviceRequest, Expect, Step, Target, ThreadSpec};

/// Bytes of reads and writes: none, parts of a register, a register, blocks of disks.
const LENGTHS: [u32; 7] = [0, 1, 3, 4, 16, 512, 4096];

/// Lengths of input and output of device control requests.
const SHAPES: [(usize, u32); 6] = [(0, 0), (1, 1), (3, 7), (4, 4), (64, 64), (4096, 4096)];

/// Bytes of a request at most in a life that is brief: a driver that moves each by itself would
/// spend its life on the long ones.
const BRIEF: u32 = 64;

/// What lives are made of.
#[derive(Clone, Debug)]
pub(super) struct Lives {
    /// The control codes that drivers know.
    pub(super) codes: Vec<u32>,
    /// Without the requests that move much.
    pub(super) brief: bool,
    /// Without the requests with these numbers.
    pub(super) without: Vec<u32>,
    /// A driver asks for the power states of its device itself, when the system's changes. Nobody
    /// else does then.
    pub(super) owns_power: bool,
}

/// A request with its number among those that a driver is sent.
type Numbered = (u32, RequestKind);

/// Something that applications open.
struct Used {
    /// How steps call it.
    name: String,
    target: Target,
    /// The devices that interrupt while it is open.
    sources: Vec<String>,
    /// What its driver says it handles.
    requests: Vec<Numbered>,
}

/// The threads: one that takes devices through their lives, one that uses them beside it.
///
/// What drivers made and named when they were loaded is used, too: the devices of a driver that
/// finds its hardware by itself, and those through which applications control one that does not.
pub(super) fn threads(bench: &Bench, lives: &Lives) -> Vec<ThreadSpec> {
    let (own, others): (Vec<BenchDevice>, Vec<BenchDevice>) = {
        let devices = bench.state().devices.borrow().clone();
        devices
            .into_iter()
            .partition(|device| default::is_for_a_driver(bench, device))
    };
    let named = named(bench, &others, lives);
    if own.is_empty() && named.is_empty() {
        return vec![default::thread(bench)];
    }
    let mut first = Vec::new();
    let mut second = Vec::new();
    let mut named = named.iter();
    for device in &own {
        let name = &device.spec.name;
        let driver = device.installed.driver;
        let object = driver.and_then(|index| bench.state().drivers.borrow().get(index)?.object);
        let used = Used {
            name: name.clone(),
            target: Target::Device(name.clone()),
            sources: vec![name.clone()],
            requests: requests(bench, object, lives),
        };
        first.extend(beginning(&used));
        share(&used, &mut first, &mut second);
        // While the first device is there.
        named
            .by_ref()
            .for_each(|named| use_named(named, &mut first, &mut second));
        first.extend(middle(name, lives.owns_power));
        let few = &used.requests[..used.requests.len().min(LENGTHS.len())];
        first.extend(used.all(name, few));
        first.extend(end(&used));
    }
    named.for_each(|named| use_named(named, &mut first, &mut second));
    let drivers = bench.state().drivers.borrow();
    let loaded = drivers
        .iter()
        .rev()
        .filter(|driver| driver.object.is_some());
    first.extend(loaded.map(|driver| Action::Unload {
        driver: Some(driver.service.clone()),
        if_possible: true,
    }));
    [first, second]
        .map(|actions| ThreadSpec::new(actions.into_iter().map(Step::from).collect()))
        .to_vec()
}

/// What drivers have made and named so far. The devices that no driver was added to interrupt for
/// it: a driver from before plug and play may have connected to any of them.
fn named(bench: &Bench, others: &[BenchDevice], lives: &Lives) -> Vec<Used> {
    let sources: Vec<String> = others.iter().map(|other| other.spec.name.clone()).collect();
    let drivers = bench.state().drivers.borrow();
    let objects = drivers.iter().filter_map(|driver| driver.object);
    let names = objects.flat_map(|object| {
        let names = bench.kernel().device_names(object).into_iter();
        names.map(move |name| (object, name))
    });
    let used = names.map(|(object, name)| Used {
        target: Target::Path(name.clone()),
        name,
        sources: sources.clone(),
        requests: requests(bench, Some(object), lives),
    });
    used.collect()
}

/// What is there from the beginning is opened, used and closed.
fn use_named(used: &Used, first: &mut Vec<Action>, second: &mut Vec<Action>) {
    first.extend([Action::Signal(started(&used.name)), used.open(&used.name)]);
    first.extend(used.interrupts());
    share(used, first, second);
    first.extend([Action::WaitIdle, close(&used.name)]);
}

/// Both threads use it, the second with a handle of its own.
fn share(used: &Used, first: &mut Vec<Action>, second: &mut Vec<Action>) {
    let name = &used.name;
    let user = format!("{name} of another");
    second.push(Action::Wait(started(name)));
    second.push(used.open(&user));
    second.extend(used.all(&user, &used.requests));
    second.push(close(&user));
    second.push(Action::Signal(self::used(name)));
    first.extend(used.all(name, &used.requests));
    first.push(Action::Wait(self::used(name)));
}

fn started(name: &str) -> String {
    format!("{name} is started")
}

fn used(name: &str) -> String {
    format!("{name} was used")
}

fn device(name: &str, request: DeviceRequest) -> Action {
    Action::Device {
        device: name.into(),
        request,
        expect: Expect::Any,
    }
}

fn close(handle: &str) -> Action {
    Action::Close {
        handle: handle.into(),
        expect: Expect::Any,
    }
}

fn interrupt(name: &str) -> Action {
    Action::InterruptOnce {
        device: name.into(),
    }
}

fn beginning(used: &Used) -> Vec<Action> {
    let name = &used.name;
    vec![
        device(name, DeviceRequest::Start),
        Action::Signal(started(name)),
        used.open(name),
        interrupt(name),
    ]
}

/// What happens to a device that is open: less power and more again, a stop that is called off,
/// a stop after which it gets other resources.
fn middle(name: &str, owns_power: bool) -> Vec<Action> {
    let power = |state| device(name, DeviceRequest::Power(state));
    let (less, more) = if owns_power {
        (PowerState::System(3), PowerState::System(0))
    } else {
        (PowerState::Device(3), PowerState::Device(0))
    };
    vec![
        power(less),
        interrupt(name),
        power(more),
        device(name, DeviceRequest::QueryStop),
        device(name, DeviceRequest::CancelStop),
        device(name, DeviceRequest::Rebalance(None)),
        interrupt(name),
        Action::WaitIdle,
    ]
}

/// It is removed, comes back, and is pulled out.
fn end(used: &Used) -> Vec<Action> {
    let name = &used.name;
    vec![
        close(name),
        device(name, DeviceRequest::QueryRemove),
        device(name, DeviceRequest::CancelRemove),
        device(name, DeviceRequest::Remove),
        device(name, DeviceRequest::Start),
        used.open(name),
        interrupt(name),
        device(name, DeviceRequest::SurpriseRemove),
        close(name),
        device(name, DeviceRequest::Remove),
    ]
}

impl Used {
    fn open(&self, handle: &str) -> Action {
        Action::Open {
            target: self.target.clone(),
            handle: handle.into(),
            expect: Expect::Any,
            if_possible: true,
        }
    }

    fn interrupts(&self) -> impl Iterator<Item = Action> {
        self.sources.iter().map(|source| interrupt(source))
    }

    /// Sends `requests`, lets the devices interrupt, cancels what is left, and looks at how it
    /// ended.
    fn all(&self, handle: &str, requests: &[Numbered]) -> Vec<Action> {
        let called = |number: u32| format!("{handle} {number}");
        let send = requests.iter().map(|(number, request)| Action::Send {
            handle: handle.into(),
            request: request.clone(),
            name: called(*number),
        });
        let numbers = || requests.iter().map(|(number, _)| *number);
        let cancel = numbers().map(|number| Action::Cancel(called(number)));
        let wait = numbers().map(|number| Action::AwaitCancelled(called(number)));
        send.chain(self.interrupts())
            .chain([Action::Sleep(Duration::from_millis(5))])
            .chain(cancel)
            .chain(wait)
            .collect()
    }
}

/// The number of the request that a life calls so.
pub(super) fn number(name: &str) -> Option<u32> {
    name.rsplit(' ').next()?.parse().ok()
}

/// The requests that the driver of this driver object says it handles.
fn requests(bench: &Bench, driver: Option<u64>, lives: &Lives) -> Vec<Numbered> {
    let handles = |function| handles(bench, driver, function);
    let mut requests = Vec::new();
    if handles(major::IRP_MJ_WRITE) {
        requests.extend(LENGTHS.map(|length| RequestKind::Write {
            data: vec![0x5A; length as usize],
            offset: 0,
        }));
    }
    if handles(major::IRP_MJ_READ) {
        requests.extend(LENGTHS.map(|length| RequestKind::Read { length, offset: 0 }));
    }
    if handles(major::IRP_MJ_FLUSH_BUFFERS) {
        requests.push(RequestKind::Flush);
    }
    for (function, internal) in [
        (major::IRP_MJ_DEVICE_CONTROL, false),
        (major::IRP_MJ_INTERNAL_DEVICE_CONTROL, true),
    ] {
        // Drivers trust what other drivers send; what nobody may send to them says nothing.
        if internal || !handles(function) {
            continue;
        }
        for code in &lives.codes {
            requests.extend(SHAPES.map(|(input, output)| RequestKind::Control {
                code: *code,
                input: (0..input).map(|byte| 0xA5 ^ byte as u8).collect(),
                output: Vec::new(),
                output_length: output,
                internal,
            }));
        }
    }
    // A number is the same request in every life.
    let numbered = (0..).zip(requests);
    numbered
        .filter(|(number, request)| {
            !lives.without.contains(number) && (!lives.brief || moves(request) <= BRIEF)
        })
        .collect()
}

/// How many bytes a request can move.
fn moves(request: &RequestKind) -> u32 {
    match request {
        RequestKind::Read { length, .. } => *length,
        RequestKind::Write { data, .. } => data.len() as u32,
        RequestKind::Control { output_length, .. } => *output_length,
        RequestKind::Flush => 0,
    }
}

/// Whether a driver has put a routine of its own in a slot of its driver object.
fn handles(bench: &Bench, driver: Option<u64>, function: u8) -> bool {
    let slot = driver.and_then(|object| {
        let object = bench
            .kernel()
            .read(DriverPtr::<DriverObject>::new(object))
            .ok()?;
        object.major_function.get(usize::from(function)).copied()
    });
    let images = bench.host().images();
    slot.is_some_and(|routine| images.iter().any(|image| image.range().contains(&routine)))
}
