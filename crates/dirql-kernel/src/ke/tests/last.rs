//! A thread that lets everything else go first.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use dirql_chips::{Stimulus, Trigger};

use crate::hal::testing::{Log, Rig};
use crate::ke::{Choice, Chooser, ProcessorId, ThreadBody, Touch};
use crate::testing::Bench;
use crate::{Config, Kernel, Outcome};

/// Always takes the last option, and counts how often it is asked.
#[derive(Default)]
struct TakesLast(Cell<usize>);

impl Chooser for TakesLast {
    fn choose(&self, options: &[Choice]) -> usize {
        self.0.set(self.0.get() + 1);
        options.len() - 1
    }

    fn listens(&self) -> bool {
        false
    }

    fn touched(&self, _touch: Touch) {}

    fn wants(&self, _processor: ProcessorId, _lock: u64) {}
}

fn on(processors: u16) -> Config {
    Config {
        processors,
        max_steps: 10_000,
        ..Config::default()
    }
}

/// A thread of two points beside one that lets it go first; who was when at the end, in order.
fn order(bench: &Bench) -> Vec<String> {
    let log = Log::default();
    let (first, last) = (log.clone(), log.clone());
    let lets_go = move |kernel: &Kernel| {
        kernel.let_others_go_first()?;
        last.add("last");
        Ok(())
    };
    let goes = move |kernel: &Kernel| {
        for _ in 0..2 {
            kernel.yield_point()?;
        }
        first.add("first");
        Ok(())
    };
    let bodies: [ThreadBody; 2] = [
        ThreadBody::Native(Box::new(lets_go)),
        ThreadBody::Native(Box::new(goes)),
    ];
    for body in bodies {
        bench.kernel.spawn_thread("test", 8, body);
    }
    bench.kernel.run_until_idle();
    assert_eq!(bench.kernel.outcome(), None);
    log.take()
}

#[test]
fn threads_of_other_processors_and_of_this_one_go_first() {
    for processors in [1, 2] {
        assert_eq!(order(&Bench::new(on(processors))), ["first", "last"]);
        let bench = Bench::new(on(processors));
        bench
            .kernel
            .set_chooser(Some(Rc::new(TakesLast::default())));
        assert_eq!(order(&bench), ["first", "last"]);
    }
}

#[test]
fn an_interrupt_on_its_way_arrives_although_another_one_could_go_on_for_ever() {
    for chooses in [false, true] {
        let rig = Rig::new(2);
        let device = rig.lines("a", &[(5, Trigger::Edge)], false);
        let log = rig.log.clone();
        let isr = rig.bench.routine(move |_, _| {
            log.add("the ISR");
            Ok(1)
        });
        rig.connect(device.arguments(isr));
        let chooser = Rc::new(TakesLast::default());
        if chooses {
            rig.kernel().set_chooser(Some(chooser.clone()));
        }
        let log = rig.log.clone();
        rig.bench.on_thread(move |kernel| {
            kernel.stimulate(device.device, &Stimulus::Interrupt(0));
            kernel.let_others_go_first()?;
            log.add("last");
            Ok(())
        });
        assert_eq!(rig.log.take(), ["the ISR", "last"]);
    }
}

#[test]
fn a_dpc_that_nobody_hurries_runs_first() {
    let rig = Rig::new(1);
    let log = rig.log.clone();
    let dpc = crate::DriverPtr::new(rig.bench.variable(64));
    let routine = rig.bench.routine(move |_, _| {
        log.add("the DPC");
        Ok(0)
    });
    rig.kernel().ke_initialize_dpc(dpc, routine, 0).unwrap();
    rig.kernel().ke_set_importance_dpc(dpc, 0).unwrap();
    let log = rig.log.clone();
    rig.bench.on_thread(move |kernel| {
        kernel.ke_insert_queue_dpc(dpc, 0, 0)?;
        kernel.let_others_go_first()?;
        log.add("last");
        Ok(())
    });
    assert_eq!(rig.log.take(), ["the DPC", "last"]);
}

#[test]
fn no_delay_is_waited_for() {
    let bench = Bench::new(on(2));
    let interval = bench.variable(8);
    let log = Log::default();
    let slept = log.clone();
    let sleeps = move |kernel: &Kernel| {
        kernel.write(crate::DriverPtr::new(interval), -1_i64)?;
        kernel.ke_delay_execution_thread(
            crate::ke::WaitMode::KERNEL,
            crate::DriverPtr::new(interval),
        )?;
        slept.add("slept");
        Ok(())
    };
    bench
        .kernel
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(sleeps)));
    let last = log.clone();
    let lets_go = move |kernel: &Kernel| {
        kernel.let_others_go_first()?;
        last.add("last");
        Ok(())
    };
    bench
        .kernel
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(lets_go)));
    bench.kernel.run_until_idle();
    assert_eq!(log.take(), ["last", "slept"]);
}

#[test]
fn two_that_let_each_other_go_first_use_up_the_run() {
    for processors in [1, 2] {
        for chooses in [false, true] {
            let bench = Bench::new(on(processors));
            if chooses {
                bench
                    .kernel
                    .set_chooser(Some(Rc::new(TakesLast::default())));
            }
            for _ in 0..2 {
                let body = |kernel: &Kernel| kernel.let_others_go_first();
                bench
                    .kernel
                    .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
            }
            bench.kernel.run_until_idle();
            assert_eq!(bench.kernel.outcome(), Some(Outcome::Budget));
        }
    }
}
