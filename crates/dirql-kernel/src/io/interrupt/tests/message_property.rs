//! No sequence of connect, disconnect, raise, mask, unmask, mapping an entry to another message,
//! stop and start loses a message, delivers one that nothing has sent or to an ISR that is
//! disconnected, or runs two ISRs of one lock at once.
//!
//! Each device has a thread on a processor of its own that works through its operations. A driver
//! silences its device before it connects and before it disconnects: what was raised while nobody
//! listened has sent nothing.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::interrupt::IoConnectInterruptParameters;
use dirql_abi::interrupt::connect_version::CONNECT_MESSAGE_BASED;
use dirql_abi::{Irql, NtStatus};
use dirql_chips::{Level, Stimulus};
use proptest::prelude::*;

use super::{disconnect_ex, message_based};
use crate::hal::testing::Rig;
use crate::hal::{DeviceId, MessageWish};
use crate::{Ddi, DriverPtr, Kernel};

/// Entries of a device's table, and messages that it is given.
const MESSAGES: usize = 3;

const DEVICES: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Connect,
    Disconnect,
    Raise(u8),
    Mask(u8),
    Unmask(u8),
    /// An entry sends another message from now on.
    Map(u8, u8),
    /// Stop, and start again with whatever vectors there are then.
    Rebalance,
    /// Raise the level, let others run, lower it.
    Busy(u8),
    /// What is raised and not masked must have been served after this.
    Settle,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let any = 0..MESSAGES as u8;
    let one = prop_oneof![
        3 => Just(Operation::Connect),
        1 => Just(Operation::Disconnect),
        5 => any.clone().prop_map(Operation::Raise),
        2 => any.clone().prop_map(Operation::Mask),
        3 => any.clone().prop_map(Operation::Unmask),
        2 => (any.clone(), any).prop_map(|(entry, message)| Operation::Map(entry, message)),
        1 => Just(Operation::Rebalance),
        1 => (1..=15_u8).prop_map(Operation::Busy),
        3 => Just(Operation::Settle),
    ];
    prop::collection::vec(one, 1..32)
}

/// What must hold for one device, whatever the kernel thinks.
struct Model {
    device: DeviceId,
    pdo: u64,
    connected: Cell<bool>,
    /// A call of its ISR may begin.
    may_begin: Cell<bool>,
    /// A call of its ISR may be in progress.
    may_run: Cell<bool>,
    /// By entry.
    raised: [Cell<bool>; MESSAGES],
    masked: [Cell<bool>; MESSAGES],
    maps_to: [Cell<usize>; MESSAGES],
    /// How often each message can have been sent, less the calls for it. One that was on its way
    /// at a disconnect arrives after the next connect, if that has the same vector.
    sent: [Cell<u32>; MESSAGES],
}

impl Model {
    fn new(device: DeviceId, pdo: u64) -> Self {
        Self {
            device,
            pdo,
            connected: Cell::new(false),
            may_begin: Cell::new(false),
            may_run: Cell::new(false),
            raised: Default::default(),
            masked: Default::default(),
            maps_to: core::array::from_fn(Cell::new),
            sent: Default::default(),
        }
    }

    fn drive(&self, kernel: &Kernel, entry: usize, raised: bool) {
        self.raised[entry].set(raised);
        let pin = entry as u16;
        let level = if raised { Level::High } else { Level::Low };
        kernel.stimulate(self.device, &Stimulus::Pin { pin, level });
    }

    fn silence(&self, kernel: &Kernel) {
        for entry in 0..MESSAGES {
            self.drive(kernel, entry, false);
        }
    }

    /// An entry may send its message now.
    fn may_send(&self, entry: usize) {
        let sent = &self.sent[self.maps_to[entry].get()];
        sent.set(sent.get() + 1);
    }

    fn is_waiting(&self) -> bool {
        (0..MESSAGES).any(|entry| self.raised[entry].get() && !self.masked[entry].get())
    }
}

struct World {
    models: Vec<Model>,
    /// ISRs that run, by lock.
    running: Vec<Cell<u32>>,
    /// All messages of all devices have one lock.
    common: bool,
    broken: RefCell<Vec<String>>,
}

impl World {
    fn check(&self, holds: bool, what: &str, device: usize) {
        if !holds {
            let what = alloc::format!("{what}, device {device}");
            self.broken.borrow_mut().push(what);
        }
    }
}

fn isr(world: &World, index: usize, message: usize, kernel: &Kernel) -> Ddi<u64> {
    let model = &world.models[index];
    world.check(
        model.may_begin.get(),
        "a disconnected ISR was called",
        index,
    );
    let lock = if world.common {
        0
    } else {
        index * MESSAGES + message
    };
    let running = &world.running[lock];
    world.check(
        running.get() == 0,
        "two ISRs of one lock run at once",
        index,
    );
    running.set(running.get() + 1);
    let sent = model.sent[message].get();
    world.check(sent > 0, "a message arrived that nothing has sent", index);
    model.sent[message].set(sent.saturating_sub(1));
    for _ in 0..2 {
        kernel.give_up_turn();
        kernel.yield_point()?;
    }
    // Another entry may have been masked, or mapped elsewhere, since it was raised.
    model.silence(kernel);
    world.check(
        model.may_run.get(),
        "disconnect returned while the ISR ran",
        index,
    );
    running.set(running.get() - 1);
    Ok(1)
}

/// A driver's state: its parameter blocks and what connect returned.
struct Driver {
    index: usize,
    routine: u64,
    spin_lock: u64,
    parameters: u64,
    result: DriverPtr<u64>,
    other: u64,
}

fn connect(world: &World, driver: &Driver, kernel: &Kernel) -> Ddi<()> {
    let model = &world.models[driver.index];
    model.silence(kernel);
    let mut block = message_based(model.pdo, driver.routine, 0);
    if driver.spin_lock != 0 {
        block.spin_lock = driver.spin_lock;
        block.synchronize_irql = Irql::DEVICE_MAX;
    }
    let mut image = IoConnectInterruptParameters::new(CONNECT_MESSAGE_BASED, &block);
    image.block_words[1] = driver.result.address();
    kernel.write(DriverPtr::new(driver.parameters), image)?;
    model.may_begin.set(true);
    model.may_run.set(true);
    let status = kernel.io_connect_interrupt_ex(DriverPtr::new(driver.parameters))?;
    world.check(status.is_success(), "connect fails", driver.index);
    model.connected.set(true);
    Ok(())
}

fn disconnect(world: &World, driver: &Driver, kernel: &Kernel) -> Ddi<()> {
    let model = &world.models[driver.index];
    model.silence(kernel);
    let context = kernel.read(driver.result)?;
    disconnect_ex(kernel, driver.other, CONNECT_MESSAGE_BASED, context)?;
    model.may_begin.set(false);
    model.may_run.set(false);
    model.connected.set(false);
    Ok(())
}

fn apply(world: &World, driver: &Driver, kernel: &Kernel, operation: Operation) -> Ddi<()> {
    let model = &world.models[driver.index];
    let check_status = |status| {
        world.check(
            status == NtStatus::SUCCESS,
            "the table refuses",
            driver.index,
        );
    };
    match operation {
        Operation::Connect if !model.connected.get() => connect(world, driver, kernel)?,
        Operation::Disconnect if model.connected.get() => disconnect(world, driver, kernel)?,
        Operation::Raise(entry) if !model.raised[usize::from(entry)].get() => {
            let entry = usize::from(entry);
            if model.connected.get() && !model.masked[entry].get() {
                model.may_send(entry);
            }
            model.drive(kernel, entry, true);
        }
        Operation::Mask(entry) => {
            model.masked[usize::from(entry)].set(true);
            check_status(kernel.mask_table_entry(model.device, entry.into(), true));
        }
        Operation::Unmask(entry) => {
            let masked = model.masked[usize::from(entry)].replace(false);
            if masked && model.connected.get() && model.raised[usize::from(entry)].get() {
                model.may_send(entry.into());
            }
            check_status(kernel.mask_table_entry(model.device, entry.into(), false));
        }
        Operation::Map(entry, message) => {
            model.maps_to[usize::from(entry)].set(message.into());
            check_status(kernel.set_table_entry(model.device, entry.into(), message.into()));
        }
        Operation::Rebalance if !model.connected.get() => {
            kernel.assign_resources(model.device);
            for entry in 0..MESSAGES {
                model.masked[entry].set(false);
                model.maps_to[entry].set(entry);
            }
        }
        Operation::Busy(level) => {
            let old = kernel.raise_irql(Irql(level));
            for _ in 0..3 {
                kernel.give_up_turn();
                kernel.yield_point()?;
            }
            kernel.lower_irql(old)?;
        }
        Operation::Settle if model.connected.get() => settle(world, driver.index, kernel)?,
        _ => {}
    }
    Ok(())
}

fn settle(world: &World, index: usize, kernel: &Kernel) -> Ddi<()> {
    for _ in 0..2000 {
        if !world.models[index].is_waiting() {
            return Ok(());
        }
        kernel.give_up_turn();
        kernel.yield_point()?;
    }
    world.check(false, "a message is lost", index);
    Ok(())
}

fn play(processors: u16, common: bool, plans: [Vec<Operation>; DEVICES]) -> Vec<String> {
    let rig = Rig::new(processors);
    let wish = MessageWish::Msix(MESSAGES as u16);
    let devices = ["a", "b"].map(|name| rig.messages(name, MESSAGES as u16, wish));
    let models = devices
        .iter()
        .map(|started| Model::new(started.device, started.pdo));
    let world = Rc::new(World {
        models: models.collect(),
        running: (0..DEVICES * MESSAGES).map(|_| Cell::new(0)).collect(),
        common,
        broken: RefCell::default(),
    });
    let spin_lock = if common { rig.bench.variable(8) } else { 0 };
    for (index, plan) in plans.into_iter().enumerate() {
        let called = world.clone();
        let driver = Driver {
            index,
            routine: rig.bench.routine(move |kernel, arguments| {
                isr(&called, index, arguments[2] as u32 as usize, kernel)
            }),
            spin_lock,
            parameters: rig.bench.variable(80),
            result: DriverPtr::new(rig.bench.variable(8)),
            other: rig.bench.variable(16),
        };
        let world = world.clone();
        rig.spawn_on(index as u16 % processors, move |kernel| {
            for operation in plan {
                apply(&world, &driver, kernel, operation)?;
            }
            Ok(())
        });
    }
    rig.kernel().run_until_idle();
    if let Some(outcome) = rig.kernel().outcome() {
        let ended = alloc::format!("the run ended: {outcome:?} {:?}", rig.findings());
        world.broken.borrow_mut().push(ended);
    }
    for (index, model) in world.models.iter().enumerate() {
        let lost = model.connected.get() && model.is_waiting();
        world.check(!lost, "a message is left", index);
    }
    let rules = rig.findings();
    let blamed = alloc::format!("a right driver is blamed: {rules:?}");
    world.check(rules.is_empty(), &blamed, 0);
    world.broken.take()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_is_lost_misdelivered_or_served_twice_at_once(
        processors in 1..=4_u16,
        common: bool,
        plans in [operations(), operations()],
    ) {
        let broken = play(processors, common, plans);
        prop_assert!(broken.is_empty(), "{broken:?}");
    }
}

/// The property can fail: what it is there for is noticed.
#[test]
fn the_model_of_messages_notices_what_it_is_there_for() {
    let rig = Rig::new(1);
    let device = rig.messages("a", MESSAGES as u16, MessageWish::Msix(MESSAGES as u16));
    let model = Model::new(device.device, device.pdo);
    model.raised[1].set(true);
    let world = World {
        models: alloc::vec![model],
        running: (0..MESSAGES).map(|_| Cell::new(1)).collect(),
        common: false,
        broken: RefCell::default(),
    };
    assert!(world.models[0].is_waiting());
    isr(&world, 0, 2, rig.kernel()).unwrap();
    assert_eq!(
        world.broken.take(),
        [
            "a disconnected ISR was called, device 0",
            "two ISRs of one lock run at once, device 0",
            "a message arrived that nothing has sent, device 0",
            "disconnect returned while the ISR ran, device 0",
        ]
    );
}
