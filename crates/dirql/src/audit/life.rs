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
use crate::scenario::{Action, DeviceRequest, Expect, Expected, Step, Target, ThreadSpec};

/// Bytes of reads and writes: none, parts of a register, a register, blocks of disks.
const LENGTHS: [u32; 7] = [0, 1, 3, 4, 16, 512, 4096];

/// Lengths of input and output of device control requests.
const SHAPES: [(usize, u32); 6] = [(0, 0), (1, 1), (3, 7), (4, 4), (64, 64), (4096, 4096)];

/// The threads: one that takes devices through their lives, one that uses them beside it.
pub(super) fn threads(bench: &Bench, codes: &[u32]) -> Vec<ThreadSpec> {
    let devices: Vec<BenchDevice> = {
        let devices = bench.state().devices.borrow();
        let own = devices
            .iter()
            .filter(|device| default::is_for_a_driver(bench, device));
        own.cloned().collect()
    };
    if devices.is_empty() {
        return vec![default::thread(bench)];
    }
    let mut first = Vec::new();
    let mut second = Vec::new();
    for device in &devices {
        let name = &device.spec.name;
        let requests = requests(bench, device, codes);
        let user = format!("{name} of another");
        first.extend(beginning(name));
        second.push(Action::Wait(started(name)));
        second.push(open(name, &user));
        second.extend(use_all(name, &user, &requests));
        second.push(close(&user));
        second.push(Action::Signal(used(name)));
        first.extend(use_all(name, name, &requests));
        first.push(Action::Wait(used(name)));
        first.extend(middle(name));
        first.extend(use_all(
            name,
            name,
            &requests[..requests.len().min(LENGTHS.len())],
        ));
        first.extend(end(name));
    }
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

fn open(name: &str, handle: &str) -> Action {
    Action::Open {
        target: Target::Device(name.into()),
        handle: handle.into(),
        expect: Expect::Any,
        if_possible: true,
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

fn beginning(name: &str) -> Vec<Action> {
    vec![
        device(name, DeviceRequest::Start),
        Action::Signal(started(name)),
        open(name, name),
        interrupt(name),
    ]
}

/// What happens to a device that is open: less power and more again, a stop that is called off,
/// a stop after which it gets other resources.
fn middle(name: &str) -> Vec<Action> {
    let power = |state| device(name, DeviceRequest::Power(PowerState::Device(state)));
    vec![
        power(3),
        interrupt(name),
        power(0),
        device(name, DeviceRequest::QueryStop),
        device(name, DeviceRequest::CancelStop),
        device(name, DeviceRequest::Rebalance(None)),
        interrupt(name),
        Action::WaitIdle,
    ]
}

/// It is removed, comes back, and is pulled out.
fn end(name: &str) -> Vec<Action> {
    vec![
        close(name),
        device(name, DeviceRequest::QueryRemove),
        device(name, DeviceRequest::CancelRemove),
        device(name, DeviceRequest::Remove),
        device(name, DeviceRequest::Start),
        open(name, name),
        interrupt(name),
        device(name, DeviceRequest::SurpriseRemove),
        close(name),
        device(name, DeviceRequest::Remove),
    ]
}

/// Sends everything, lets the device interrupt, cancels what is left, and looks at how it ended.
fn use_all(name: &str, handle: &str, requests: &[RequestKind]) -> Vec<Action> {
    let called = |index: usize| format!("{handle} {index}");
    let send = requests
        .iter()
        .enumerate()
        .map(|(index, request)| Action::Send {
            handle: handle.into(),
            request: request.clone(),
            name: called(index),
        });
    let cancel = (0..requests.len()).map(|index| Action::Cancel(called(index)));
    let wait = (0..requests.len()).map(|index| Action::Await {
        name: called(index),
        expected: Expected {
            status: Expect::Any,
            ..Expected::default()
        },
    });
    send.chain([interrupt(name), Action::Sleep(Duration::from_millis(5))])
        .chain(cancel)
        .chain(wait)
        .collect()
}

/// The requests that a device's driver says it handles.
fn requests(bench: &Bench, device: &BenchDevice, codes: &[u32]) -> Vec<RequestKind> {
    let handles = |function| handles(bench, device, function);
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
        for code in codes {
            requests.extend(SHAPES.map(|(input, output)| RequestKind::Control {
                code: *code,
                input: (0..input).map(|byte| 0xA5 ^ byte as u8).collect(),
                output: Vec::new(),
                output_length: output,
                internal,
            }));
        }
    }
    requests
}

/// Whether the driver of a device has put a routine of its own in a slot of its driver object.
fn handles(bench: &Bench, device: &BenchDevice, function: u8) -> bool {
    let drivers = bench.state().drivers.borrow();
    let object = device
        .installed
        .driver
        .and_then(|index| drivers.get(index)?.object);
    let slot = object.and_then(|object| {
        let object = bench
            .kernel()
            .read(DriverPtr::<DriverObject>::new(object))
            .ok()?;
        object.major_function.get(usize::from(function)).copied()
    });
    let images = bench.host().images();
    slot.is_some_and(|routine| images.iter().any(|image| image.range().contains(&routine)))
}
