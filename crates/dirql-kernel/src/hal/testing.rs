//! Devices and connections for tests: a computer with lines and messages, and ISRs that are
//! closures.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::interrupt::interrupt_mode;
use dirql_chips::button::Button;
use dirql_chips::pci::{self, Bar, Description, Function, Identity, IntPin, MsiOffer, MsixOffer};
use dirql_chips::{Device, Effect, Effects, Level, Region, Stimulus, Trigger, Width};

use crate::hal::{
    DeviceId, InterruptGrant, LegacyWindow, LineWish, MessageWish, Plug, Resource, Socket,
};
use crate::io::interrupt::ConnectArguments;
use crate::ke::{Affinity, ThreadBody};
use crate::testing::Bench;
use crate::{Config, Ddi, DriverPtr, Kernel, WindowsVersion};

/// How many lines there are.
pub(crate) const LINES: u32 = super::machine::PINS as u32;

/// Registers of [`Sources`].
pub(crate) mod register {
    /// Reads 1 when a delay that was started is over.
    pub(crate) const DONE: u64 = 0;
    /// Starts a delay of as many units of 100 ns as are written.
    pub(crate) const START: u64 = 4;
}

/// A device with as many interrupt sources as one likes. `Press` and `Release` drive the first,
/// `Pin` drives any; `Interrupt` sends one edge or message of any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    done: bool,
}

impl Device for Sources {
    fn model(&self) -> &'static str {
        "sources"
    }

    fn read(&mut self, _: Region, offset: u64, width: Width, _: &mut Effects) -> u64 {
        if offset == register::DONE {
            u64::from(self.done)
        } else {
            width.ones()
        }
    }

    fn write(&mut self, _: Region, offset: u64, _: Width, value: u64, out: &mut Effects) {
        if offset == register::START {
            self.done = false;
            out.push(Effect::Timer {
                after_100ns: value,
                token: 0,
            });
        }
    }

    fn timer(&mut self, _: u32, _: &mut Effects) {
        self.done = true;
    }

    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        let levels: &[(u16, Level)] = match stimulus {
            Stimulus::Press => &[(0, Level::High)],
            Stimulus::Release => &[(0, Level::Low)],
            Stimulus::Pin { pin, level } => &[(*pin, *level)],
            Stimulus::Interrupt(source) => &[(*source, Level::High), (*source, Level::Low)],
            _ => return false,
        };
        out.extend(levels.iter().map(|(source, level)| Effect::Interrupt {
            source: *source,
            level: *level,
        }));
        true
    }

    fn reset(&mut self, out: &mut Effects) {
        out.push(Effect::Interrupt {
            source: 0,
            level: Level::Low,
        });
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl ToString) {
        self.0.borrow_mut().push(line.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.borrow_mut())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// A device that was started.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) device: DeviceId,
    pub(crate) pdo: u64,
    pub(crate) grants: Vec<InterruptGrant>,
}

impl Started {
    /// Its first interrupt.
    pub(crate) fn grant(&self) -> &InterruptGrant {
        &self.grants[0]
    }

    /// What a driver passes that does as the pages say.
    pub(crate) fn arguments(&self, service_routine: u64) -> ConnectArguments {
        let grant = self.grant();
        ConnectArguments {
            service_routine,
            service_context: 0xC0,
            spin_lock: 0,
            vector: grant.vector.0.into(),
            irql: grant.irql,
            synchronize_irql: grant.irql,
            interrupt_mode: if grant.latched {
                interrupt_mode::Latched
            } else {
                interrupt_mode::LevelSensitive
            },
            share_vector: u8::from(grant.shared),
            processor_enable_mask: grant.affinity,
        }
    }
}

/// A computer.
pub(crate) struct Rig {
    pub(crate) bench: Bench,
    pub(crate) log: Log,
}

impl Rig {
    pub(crate) fn new(processors: u16) -> Self {
        Self::with(Config {
            processors,
            ..Config::default()
        })
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            bench: Bench::new(config),
            log: Log::default(),
        }
    }

    pub(crate) fn windows(windows: WindowsVersion) -> Self {
        Self::with(Config {
            windows,
            ..Config::default()
        })
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        &self.bench.kernel
    }

    /// Plugs in a device with these lines, each a number and a trigger.
    pub(crate) fn lines(&self, name: &str, lines: &[(u32, Trigger)], shared: bool) -> Started {
        self.legacy(name, Box::new(Sources::default()), lines, shared)
    }

    /// A device that has nothing to silence it, with one shared, level-sensitive line.
    pub(crate) fn button(&self, name: &str, gsi: u32) -> Started {
        let lines = [(gsi, Trigger::Level)];
        self.legacy(name, Box::new(Button::new()), &lines, true)
    }

    fn legacy(
        &self,
        name: &str,
        device: Box<dyn Device>,
        lines: &[(u32, Trigger)],
        shared: bool,
    ) -> Started {
        let wishes = lines.iter().map(|(gsi, trigger)| LineWish {
            gsi: Some(*gsi),
            trigger: *trigger,
            shared,
        });
        let window = LegacyWindow {
            space: pci::Space::Memory,
            base: None,
            size: 0x1000,
        };
        let socket = Socket::Legacy {
            device,
            windows: alloc::vec![window],
            lines: wishes.collect(),
        };
        self.start(name, socket, MessageWish::Line)
    }

    /// A device with one shared, level-sensitive line.
    pub(crate) fn line(&self, name: &str, gsi: u32) -> Started {
        self.lines(name, &[(gsi, Trigger::Level)], true)
    }

    /// Plugs in a PCI function with a pin and `messages` messages of either kind.
    pub(crate) fn messages(&self, name: &str, messages: u16, wish: MessageWish) -> Started {
        let table = 16 * u32::from(messages);
        let size = (table + 0x1000).next_power_of_two();
        let msix = MsixOffer {
            messages,
            table_bar: 0,
            table_offset: 0,
            pending_bar: 0,
            pending_offset: table,
        };
        let is_msi = messages.is_power_of_two() && messages <= 32;
        let msi = MsiOffer {
            messages: messages as u8,
            address_64: true,
            per_vector_mask: false,
        };
        let description = Description {
            identity: Identity {
                vendor: 0x1234,
                device: 0x5678,
                revision: 0,
                class: 0xFF_0000,
                subsystem_vendor: 0,
                subsystem: 0,
            },
            bars: alloc::vec![(
                0,
                Bar::Memory32 {
                    size,
                    prefetchable: false
                }
            )],
            pin: Some(IntPin::A),
            msi: is_msi.then_some(msi),
            msix: (messages > 0).then_some(msix),
        };
        let function =
            Function::new(Box::new(Sources::default()), description).expect("it can be said");
        self.start(name, Socket::Pci(Box::new(function)), wish)
    }

    fn start(&self, name: &str, socket: Socket, interrupts: MessageWish) -> Started {
        let plug = Plug {
            name: name.into(),
            socket,
            interrupts,
            gsi: None,
        };
        let device = self.kernel().plug(plug).expect("there is room");
        let pdo = self.bench.on_thread(move |kernel| {
            let pdo = kernel.enumerate_device(device, &crate::io::pnp::Identity::default())?;
            Ok(pdo.expect("there is memory"))
        });
        self.restart(device, pdo)
    }

    /// Gives a device its resources again.
    pub(crate) fn restart(&self, device: DeviceId, pdo: u64) -> Started {
        let assignment = self.kernel().assign_resources(device);
        let grants = assignment
            .resources
            .into_iter()
            .filter_map(|resource| match resource {
                Resource::Interrupt(grant) => Some(grant),
                _ => None,
            });
        Started {
            device,
            pdo,
            grants: grants.collect(),
        }
    }

    /// An ISR that writes `name` and its level down, releases the device's line, and claims.
    pub(crate) fn isr(&self, name: &'static str, device: DeviceId) -> u64 {
        let log = self.log.clone();
        self.bench.routine(move |kernel, _| {
            log.add(alloc::format!("{name} at {}", kernel.irql().0));
            kernel.stimulate(device, &Stimulus::Release);
            Ok(1)
        })
    }

    /// An ISR that writes `name` down and claims nothing.
    pub(crate) fn refusing_isr(&self, name: &'static str) -> u64 {
        let log = self.log.clone();
        self.bench.routine(move |_, _| {
            log.add(name);
            Ok(0)
        })
    }

    /// Connects with the old routine, on a thread; the status and the object.
    pub(crate) fn connect(&self, arguments: ConnectArguments) -> (dirql_abi::NtStatus, u64) {
        let result = DriverPtr::new(self.bench.variable(8));
        self.bench.on_thread(move |kernel| {
            let status = kernel.io_connect_interrupt(result, arguments)?;
            Ok((status, kernel.read(result)?))
        })
    }

    /// Runs `body` on a thread of one processor only, from the next time that everything runs.
    pub(crate) fn spawn_on(&self, processor: u16, body: impl FnOnce(&Kernel) -> Ddi<()> + 'static) {
        let affinity = Affinity {
            group: processor / 64,
            mask: 1 << (processor % 64),
        };
        let body = ThreadBody::Native(Box::new(body));
        self.kernel()
            .spawn_bound_thread("test", 8, Some(affinity), body);
    }

    /// Lets everything run. The run must not end early.
    pub(crate) fn run(&self) {
        self.kernel().run_until_idle();
        assert_eq!(
            self.kernel().outcome(),
            None,
            "{:?} {:?}",
            self.kernel().findings(),
            self.bench.stop()
        );
    }

    pub(crate) fn press(&self, started: &Started) {
        assert!(self.kernel().stimulate(started.device, &Stimulus::Press));
    }

    pub(crate) fn release(&self, started: &Started) {
        assert!(self.kernel().stimulate(started.device, &Stimulus::Release));
    }

    pub(crate) fn pulse(&self, started: &Started, source: u16) {
        assert!(
            self.kernel()
                .stimulate(started.device, &Stimulus::Interrupt(source))
        );
    }

    pub(crate) fn findings(&self) -> Vec<u16> {
        self.bench.rules().iter().map(|rule| rule.0).collect()
    }

    /// The code and parameters of the bug check that ended the run.
    pub(crate) fn bug_check(&self) -> Option<(u32, [u64; 4])> {
        match self.kernel().outcome()? {
            crate::Outcome::BugCheck { bug_check, .. } => {
                Some((bug_check.code, bug_check.parameters))
            }
            _ => None,
        }
    }
}
