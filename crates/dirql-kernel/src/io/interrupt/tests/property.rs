//! No sequence of connect, disconnect, move to other processors, assert, release, report inactive,
//! stop and start loses a level, delivers one to an ISR that is disconnected, or runs two ISRs of
//! one lock at once.
//!
//! Each device has a thread on a processor of its own that works through its operations, so
//! those of different devices overlap. A device is silent before its driver disconnects or
//! reports it inactive, as the pages demand; without that a shared line is a storm by right.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_abi::interrupt::connect_version::CONNECT_FULLY_SPECIFIED;
use dirql_chips::Stimulus;
use proptest::prelude::*;

use super::{disconnect_ex, fully_specified, report};
use crate::hal::testing::{Rig, Started};
use crate::hal::{DeviceId, Resource};
use crate::{Ddi, DriverPtr, Kernel};

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// On these of the processors that were given, if any of them are.
    Connect(u8),
    Disconnect,
    Assert,
    Release,
    Inactive,
    Active,
    /// Stop, and start again with whatever vector there is then.
    Rebalance,
    /// Raise the level, let others run, lower it.
    Busy(u8),
    /// What is asserted must have been served after this.
    Settle,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = prop_oneof![
        3 => any::<u8>().prop_map(Operation::Connect),
        2 => Just(Operation::Disconnect),
        4 => Just(Operation::Assert),
        1 => Just(Operation::Release),
        1 => Just(Operation::Inactive),
        1 => Just(Operation::Active),
        1 => Just(Operation::Rebalance),
        2 => (1..=15_u8).prop_map(Operation::Busy),
        3 => Just(Operation::Settle),
    ];
    prop::collection::vec(one, 1..24)
}

/// What must hold for one device, whatever the kernel thinks.
struct Model {
    device: DeviceId,
    pdo: u64,
    /// Others are on its line, so it must be silent while nobody listens.
    shares: bool,
    /// Which lock its ISR has.
    lock: usize,
    /// A call of its ISR may begin.
    may_begin: Cell<bool>,
    /// A call of its ISR may be in progress.
    may_run: Cell<bool>,
    connected: Cell<bool>,
    active: Cell<bool>,
}

struct World {
    models: Vec<Model>,
    /// ISRs that run, by lock.
    running: Vec<Cell<u32>>,
    broken: RefCell<Vec<String>>,
}

impl World {
    fn check(&self, holds: bool, what: &str, device: usize) {
        if !holds {
            self.broken
                .borrow_mut()
                .push(alloc::format!("{what}, device {device}"));
        }
    }
}

fn isr(world: &World, index: usize, kernel: &Kernel) -> Ddi<u64> {
    let model = &world.models[index];
    world.check(
        model.may_begin.get(),
        "a disconnected or inactive ISR was called",
        index,
    );
    let running = &world.running[model.lock];
    world.check(
        running.get() == 0,
        "two ISRs of one lock run at once",
        index,
    );
    running.set(running.get() + 1);
    for _ in 0..2 {
        kernel.give_up_turn();
        kernel.yield_point()?;
    }
    let mine = asserts(kernel, model.device);
    if mine {
        kernel.stimulate(model.device, &Stimulus::Release);
    }
    world.check(
        model.may_run.get(),
        "disconnect returned while the ISR ran",
        index,
    );
    running.set(running.get() - 1);
    Ok(u64::from(mine))
}

fn asserts(kernel: &Kernel, device: DeviceId) -> bool {
    (0..crate::hal::testing::LINES).any(|gsi| kernel.line_is_asserted(gsi, Some(device)))
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

fn grants(kernel: &Kernel, model: &Model) -> Started {
    let resources = kernel
        .assignment(model.device)
        .map(|assignment| assignment.resources);
    let grants = resources
        .unwrap_or_default()
        .into_iter()
        .filter_map(|resource| match resource {
            Resource::Interrupt(grant) => Some(grant),
            _ => None,
        });
    Started {
        device: model.device,
        pdo: model.pdo,
        grants: grants.collect(),
    }
}

fn apply(world: &World, driver: &Driver, kernel: &Kernel, operation: Operation) -> Ddi<()> {
    let model = &world.models[driver.index];
    let context = (CONNECT_FULLY_SPECIFIED, kernel.read(driver.result)?);
    let listens = model.connected.get() && model.active.get();
    match operation {
        Operation::Connect(processors) if !model.connected.get() => {
            let started = grants(kernel, model);
            let mut block = fully_specified(&started, driver.routine);
            block.spin_lock = driver.spin_lock;
            block.synchronize_irql = Irql::DEVICE_MAX;
            // A line goes to any processor on which somebody is connected, so who shares one has
            // to be connected wherever the others are.
            let some = block.processor_enable_mask & u64::from(processors);
            if some != 0 && !model.shares {
                block.processor_enable_mask = some;
            }
            let mut image =
                dirql_abi::interrupt::IoConnectInterruptParameters::new(context.0, &block);
            image.block_words[1] = driver.result.address();
            kernel.write(DriverPtr::new(driver.parameters), image)?;
            model.may_begin.set(true);
            model.may_run.set(true);
            let status = kernel.io_connect_interrupt_ex(DriverPtr::new(driver.parameters))?;
            world.check(status.is_success(), "connect fails", driver.index);
            model.connected.set(true);
            model.active.set(true);
        }
        Operation::Disconnect if model.connected.get() => {
            kernel.stimulate(model.device, &Stimulus::Release);
            disconnect_ex(kernel, driver.other, context.0, context.1)?;
            model.may_begin.set(false);
            model.may_run.set(false);
            model.connected.set(false);
        }
        Operation::Inactive if listens => {
            kernel.stimulate(model.device, &Stimulus::Release);
            report(kernel, driver.other, context, false)?;
            model.may_begin.set(false);
            model.active.set(false);
        }
        Operation::Active if model.connected.get() => {
            model.may_begin.set(true);
            report(kernel, driver.other, context, true)?;
            model.active.set(true);
        }
        Operation::Assert if listens || !model.shares => {
            kernel.stimulate(model.device, &Stimulus::Press);
        }
        Operation::Release => {
            kernel.stimulate(model.device, &Stimulus::Release);
        }
        Operation::Rebalance if !model.connected.get() => {
            kernel.assign_resources(model.device);
        }
        Operation::Busy(level) => {
            let old = kernel.raise_irql(Irql(level));
            for _ in 0..3 {
                kernel.give_up_turn();
                kernel.yield_point()?;
            }
            kernel.lower_irql(old)?;
        }
        Operation::Settle if listens => settle(world, driver.index, kernel)?,
        _ => {}
    }
    Ok(())
}

fn settle(world: &World, index: usize, kernel: &Kernel) -> Ddi<()> {
    for _ in 0..2000 {
        if !asserts(kernel, world.models[index].device) {
            return Ok(());
        }
        kernel.give_up_turn();
        kernel.yield_point()?;
    }
    world.check(false, "a level is lost", index);
    Ok(())
}

/// Devices 0 and 1 share a line, 2 has one of its own; `common` gives all three one lock.
fn play(processors: u16, common: bool, plans: [Vec<Operation>; 3]) -> Vec<String> {
    let rig = Rig::new(processors);
    let devices = [("a", 5), ("b", 5), ("c", 9)].map(|(name, gsi)| rig.line(name, gsi));
    let models = devices.iter().enumerate().map(|(index, started)| Model {
        device: started.device,
        pdo: started.pdo,
        shares: index < 2,
        lock: if common { 0 } else { index },
        may_begin: Cell::new(false),
        may_run: Cell::new(false),
        connected: Cell::new(false),
        active: Cell::new(false),
    });
    let world = Rc::new(World {
        models: models.collect(),
        running: (0..3).map(|_| Cell::new(0)).collect(),
        broken: RefCell::default(),
    });
    let spin_lock = if common { rig.bench.variable(8) } else { 0 };
    for (index, plan) in plans.into_iter().enumerate() {
        let called = world.clone();
        let driver = Driver {
            index,
            routine: rig
                .bench
                .routine(move |kernel, _| isr(&called, index, kernel)),
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
        world.broken.borrow_mut().push(alloc::format!(
            "the run ended: {outcome:?} {:?}",
            rig.findings()
        ));
    }
    for (index, model) in world.models.iter().enumerate() {
        let listens = model.connected.get() && model.active.get();
        let lost = listens && asserts(rig.kernel(), model.device);
        world.check(!lost, "a level is left", index);
    }
    let mut rules = rig.findings();
    // Connecting on fewer processors than were given is a warning, and what moves a line here.
    rules.retain(|rule| *rule != dirql_rules::ids::PARTIAL_MASK.0);
    world.check(
        rules.is_empty(),
        &alloc::format!("a right driver is blamed: {rules:?}"),
        0,
    );
    world.broken.take()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_level_is_lost_misdelivered_or_served_twice_at_once(
        processors in 1..=4_u16,
        common: bool,
        plans in [operations(), operations(), operations()],
    ) {
        let broken = play(processors, common, plans);
        prop_assert!(broken.is_empty(), "{broken:?}");
    }
}

/// The property can fail: an ISR that is told it may not be called is noticed.
#[test]
fn the_model_notices_what_it_is_there_for() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let world = World {
        models: alloc::vec![Model {
            device: device.device,
            pdo: device.pdo,
            shares: false,
            lock: 0,
            may_begin: Cell::new(false),
            may_run: Cell::new(false),
            connected: Cell::new(false),
            active: Cell::new(false),
        }],
        running: alloc::vec![Cell::new(1)],
        broken: RefCell::default(),
    };
    isr(&world, 0, rig.kernel()).unwrap();
    assert_eq!(
        world.broken.take(),
        [
            "a disconnected or inactive ISR was called, device 0",
            "two ISRs of one lock run at once, device 0",
            "disconnect returned while the ISR ran, device 0",
        ]
    );
}
