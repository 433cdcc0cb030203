//! The function driver on the chip, with clients that are closures.

mod callbacks;
mod children;
mod chip;
mod class;
mod dispatch;
mod life;
mod order;
mod statuses;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::parallel::ioctl;
use dirql_chips::Stimulus;
use dirql_chips::models::{self, PluggedDevice};
use dirql_chips::parport::spec::control;

use super::Settings;
use crate::cm::DeviceKeyKind;
use crate::hal::{DeviceId, LegacyWindow, LineWish, MessageWish, Plug, Socket};
use crate::io::pnp::Identity;
use crate::io::{FileHandle, Request, RequestKind, RequestOutcome};
use crate::testing::Bench;
use crate::{Config, Ddi, DriverPtr, Kernel};

/// Registers of the port.
const BASE: u16 = 0x378;

/// A computer with one port.
struct Rig {
    bench: Bench,
    device: DeviceId,
    physical_device: u64,
    log: Log,
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.borrow_mut())
    }
}

/// How a rig is set up.
struct Setup {
    settings: Settings,
    options: &'static [(&'static str, &'static str)],
    values: &'static [(&'static str, u32)],
    processors: u16,
}

/// A scripted peer, and clients may connect.
impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            options: &[("peer", "script")],
            values: &[
                ("EnableConnectInterruptIoctl", 1),
                ("FilterResourceMethod", 2),
            ],
            processors: 1,
        }
    }
}

impl Rig {
    fn new() -> Self {
        Self::with(Setup::default())
    }

    /// A port that is started.
    fn with(setup: Setup) -> Self {
        let rig = Self::stopped(setup);
        rig.start();
        rig
    }

    fn stopped(setup: Setup) -> Self {
        let bench = Bench::new(Config {
            parallel_port: setup.settings,
            processors: setup.processors,
            ..Config::default()
        });
        let PluggedDevice::Legacy(legacy) =
            models::build("parport", setup.options).expect("a model")
        else {
            panic!("a port is not on a bus");
        };
        let windows = legacy.windows.into_iter().map(|window| LegacyWindow {
            space: window.space,
            base: Some(window.base),
            size: window.size,
        });
        let lines = legacy.lines.into_iter().map(|line| LineWish {
            gsi: Some(line.number.into()),
            trigger: line.trigger,
            shared: false,
        });
        let plug = Plug {
            name: String::from("lpt"),
            socket: Socket::Legacy {
                device: legacy.device,
                windows: windows.collect(),
                lines: lines.collect(),
            },
            interrupts: MessageWish::Default,
            gsi: None,
        };
        let device = bench.kernel.plug(plug).expect("there is room");
        let physical_device = bench
            .on_thread(move |kernel| kernel.enumerate_device(device, &Identity::default()))
            .expect("there is memory");
        let key = bench
            .kernel
            .device_key_path(physical_device, DeviceKeyKind::Hardware)
            .expect("a physical device");
        for (name, value) in setup.values {
            bench
                .kernel
                .registry_set(&key, name, 4, &value.to_le_bytes());
        }
        let driver = bench.on_thread(|kernel| kernel.parport_driver());
        bench
            .kernel
            .choose_driver(physical_device, driver.expect("the name is free"))
            .expect("a physical device");
        Self {
            bench,
            device,
            physical_device,
            log: Log::default(),
        }
    }

    fn start(&self) {
        let device = self.physical_device;
        let started = self
            .bench
            .on_thread(move |kernel| kernel.start_device(device));
        assert_eq!(started, Ok(()));
    }

    fn kernel(&self) -> &Rc<Kernel> {
        &self.bench.kernel
    }

    fn open(&self) -> FileHandle {
        let opened = self
            .bench
            .on_thread(|kernel| kernel.open(r"\Device\ParallelPort0"));
        opened.expect("the port can be opened")
    }

    /// Sends a request as another driver does, and does not wait.
    fn submit(&self, file: FileHandle, code: u32, input: &[u8], output: usize) -> Request {
        let kind = control_kind(code, input, output);
        self.bench
            .on_thread(move |kernel| kernel.submit(file, &kind))
    }

    /// Sends a request and waits.
    fn ask(&self, code: u32, input: &[u8], output: usize) -> RequestOutcome {
        let (file, kind) = (self.open(), control_kind(code, input, output));
        self.bench.on_thread(move |kernel| {
            let outcome = kernel.request(file, &kind)?;
            kernel.close(file)?;
            Ok(outcome)
        })
    }

    fn status(&self, code: u32, input: &[u8], output: usize) -> NtStatus {
        self.ask(code, input, output).status
    }

    /// The status of a request, if it is complete.
    fn outcome(&self, request: Request) -> Option<NtStatus> {
        let done = self.kernel().request_is_done(request);
        done.then(|| {
            self.bench
                .on_thread(move |kernel| kernel.wait_request(request))
                .status
        })
    }

    /// PARALLEL_PORT_INFORMATION: the callbacks' addresses and their argument.
    fn information(&self) -> Callbacks {
        let outcome = self.ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, &[], 56);
        assert_eq!(
            (outcome.status, outcome.information),
            (NtStatus::SUCCESS, 56)
        );
        let word = |offset: usize| word(&outcome.data, offset);
        Callbacks {
            try_allocate: word(24),
            free: word(32),
            waiters: word(40),
            context: word(48),
        }
    }

    /// Connects a client; what it is given: interrupt object, the two callbacks, the context.
    fn connect(&self, isr: u64, isr_context: u64, check: u64, check_context: u64) -> [u64; 4] {
        let input = service(isr, isr_context, check, check_context);
        let outcome = self.ask(ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT, &input, 32);
        assert_eq!(
            (outcome.status, outcome.information),
            (NtStatus::SUCCESS, 32)
        );
        [0, 8, 16, 24].map(|offset| word(&outcome.data, offset))
    }

    fn disconnect(&self, isr: u64, isr_context: u64) -> NtStatus {
        let input = service(isr, isr_context, 0, 0);
        self.status(
            ioctl::IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT,
            &input,
            0,
        )
    }

    /// An ISR that logs its context and claims or does not.
    fn isr(&self, claims: bool) -> u64 {
        let log = self.log.clone();
        self.bench.routine(move |_, arguments| {
            log.add(alloc::format!("isr {}", arguments[1]));
            Ok(claims.into())
        })
    }

    /// A deferred port check that logs its context.
    fn check(&self) -> u64 {
        let log = self.log.clone();
        self.bench.routine(move |kernel, arguments| {
            log.add(alloc::format!(
                "check {} at {}",
                arguments[0],
                kernel.irql()
            ));
            Ok(0)
        })
    }

    /// Lets nAck interrupt, as clients do.
    fn enable_ack(&self) {
        self.bench.on_thread(|kernel| {
            let value = control::NOT_INIT | control::SELECT_IN | control::INTERRUPT;
            kernel.write_port(BASE + 2, dirql_chips::Width::U8, value.into());
            kernel.yield_point()
        });
    }

    /// One interrupt of the port.
    fn interrupt(&self) {
        let device = self.device;
        self.bench.on_thread(move |kernel| {
            assert!(kernel.stimulate(device, &Stimulus::Interrupt(0)));
            kernel.yield_point()
        });
    }

    /// Calls a routine of the port at PASSIVE_LEVEL, as a client does.
    fn call(&self, routine: u64, arguments: &[u64]) -> u64 {
        let arguments = arguments.to_vec();
        self.bench
            .on_thread(move |kernel| Ok(kernel.call("Callback", routine, &arguments)))
    }

    fn with_code(&self, code: impl Fn(&Kernel, &[u64]) -> Ddi<u64> + 'static) -> u64 {
        self.bench.routine(code)
    }
}

/// The port's callbacks for ordinary levels.
#[derive(Clone, Copy, Debug)]
struct Callbacks {
    try_allocate: u64,
    free: u64,
    waiters: u64,
    context: u64,
}

fn control_kind(code: u32, input: &[u8], output: usize) -> RequestKind {
    RequestKind::Control {
        code,
        input: input.to_vec(),
        output: alloc::vec::Vec::new(),
        output_length: output as u32,
        internal: true,
    }
}

/// PARALLEL_INTERRUPT_SERVICE_ROUTINE.
fn service(isr: u64, isr_context: u64, check: u64, check_context: u64) -> Vec<u8> {
    [isr, isr_context, check, check_context]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// PARALLEL_1284_COMMAND.
fn command(id: u8, flags: u32) -> Vec<u8> {
    [&[id, 0, 0, 0][..], &flags.to_le_bytes()].concat()
}

fn word(data: &[u8], offset: usize) -> u64 {
    let bytes = data[offset..].first_chunk().expect("eight bytes");
    u64::from_le_bytes(*bytes)
}

fn half(data: &[u8], offset: usize) -> u32 {
    let bytes = data[offset..].first_chunk().expect("four bytes");
    u32::from_le_bytes(*bytes)
}

/// A variable of the client that holds these bytes.
fn variable(rig: &Rig, bytes: &[u8]) -> u64 {
    let address = rig.bench.variable(bytes.len() as u64);
    rig.kernel()
        .write_bytes(address, bytes)
        .expect("a variable");
    address
}

fn read_u64(rig: &Rig, address: u64) -> u64 {
    rig.kernel()
        .read(DriverPtr::new(address))
        .expect("a variable")
}
