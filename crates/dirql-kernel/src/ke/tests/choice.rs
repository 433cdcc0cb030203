//! What may happen next, and that it does.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::ke::{Choice, Chooser, ClockAction, ProcessorId, ThreadBody, Touch};
use crate::testing::Bench;
use crate::{Config, Kernel};

/// Chooses by a list of option numbers, one for each point with several; then the first.
#[derive(Default)]
struct Script {
    choices: RefCell<Vec<usize>>,
    seen: RefCell<Vec<Vec<Choice>>>,
    touched: Cell<u32>,
    asked_for_nothing: Cell<u32>,
    is_deaf: bool,
}

impl Script {
    fn new(choices: &[usize]) -> Rc<Self> {
        let script = Self::default();
        script.choices.borrow_mut().extend(choices.iter().rev());
        Rc::new(script)
    }
}

impl Chooser for Script {
    fn choose(&self, options: &[Choice]) -> usize {
        if options.len() < 2 {
            self.asked_for_nothing.set(self.asked_for_nothing.get() + 1);
            return 0;
        }
        self.seen.borrow_mut().push(options.to_vec());
        self.choices.borrow_mut().pop().unwrap_or(0)
    }

    fn listens(&self) -> bool {
        !self.is_deaf
    }

    fn touched(&self, _touch: Touch) {
        self.touched.set(self.touched.get() + 1);
    }

    fn wants(&self, _processor: ProcessorId, _lock: u64) {}
}

fn two() -> Config {
    Config {
        processors: 2,
        ..Config::default()
    }
}

/// Two threads that each pass three points; who passed, in order.
fn order(choices: &[usize]) -> (Vec<u32>, Rc<Script>) {
    let bench = Bench::new(two());
    let script = Script::new(choices);
    bench.kernel.set_chooser(Some(script.clone()));
    let passed = Rc::new(RefCell::new(Vec::new()));
    for thread in 0..2 {
        let passed = passed.clone();
        let body = move |kernel: &Kernel| {
            for _ in 0..3 {
                kernel.yield_point()?;
                passed.borrow_mut().push(thread);
            }
            Ok(())
        };
        bench
            .kernel
            .spawn_thread("test", 8, ThreadBody::Native(alloc::boxed::Box::new(body)));
    }
    bench.kernel.run_until_idle();
    let passed = passed.borrow().clone();
    (passed, script)
}

#[test]
fn by_itself_a_processor_goes_on() {
    let (passed, script) = order(&[]);
    assert_eq!(passed, [0, 0, 0, 1, 1, 1]);
    assert!(script.touched.get() > 0);
}

/// Two threads that each pass three points, with a chooser that is asked between the second and the
/// third of the first thread alone; how often it was.
fn asked_in_part(script: Rc<Script>) -> usize {
    let bench = Bench::new(two());
    bench.kernel.set_chooser(Some(script.clone()));
    bench.kernel.let_choose(false);
    for asks in [true, false] {
        let body = move |kernel: &Kernel| {
            for point in 0..3 {
                kernel.let_choose(asks && point == 1);
                kernel.yield_point()?;
            }
            Ok(())
        };
        bench
            .kernel
            .spawn_thread("test", 8, ThreadBody::Native(alloc::boxed::Box::new(body)));
    }
    bench.kernel.run_until_idle();
    script.seen.borrow().len()
}

#[test]
fn who_chooses_is_asked_in_the_part_alone_that_is_explored() {
    let script = Script::new(&[]);
    assert_eq!(asked_in_part(script.clone()), 1);
    assert!(script.touched.get() > 0);
}

#[test]
fn who_does_not_listen_is_told_of_no_touch() {
    let script = Rc::new(Script {
        is_deaf: true,
        ..Script::default()
    });
    assert_eq!(asked_in_part(script.clone()), 1);
    assert_eq!(script.touched.get(), 0);
}

#[test]
fn who_does_not_listen_is_asked_where_there_are_two_options() {
    let asked = |is_deaf| {
        let script = Rc::new(Script {
            is_deaf,
            ..Script::default()
        });
        let bench = Bench::new(two());
        bench.kernel.set_chooser(Some(script.clone()));
        let body = |kernel: &Kernel| kernel.yield_point();
        bench
            .kernel
            .spawn_thread("test", 8, ThreadBody::Native(alloc::boxed::Box::new(body)));
        bench.kernel.run_until_idle();
        (script.seen.borrow().len(), script.asked_for_nothing.get())
    };
    let (points, for_nothing) = asked(false);
    assert!(for_nothing > 0);
    assert_eq!(asked(true), (points, 0));
}

#[test]
fn another_processor_goes_first_if_it_is_chosen() {
    let (passed, script) = order(&[]);
    let points = script.seen.borrow().len();
    assert_eq!(passed.len(), 6);
    let mut orders = Vec::new();
    for point in 0..points {
        let mut choices = alloc::vec![0; point];
        choices.push(1);
        orders.push(order(&choices).0);
    }
    assert!(
        orders.contains(&alloc::vec![1, 1, 1, 0, 0, 0]),
        "{orders:?}"
    );
    assert!(
        orders.contains(&alloc::vec![0, 1, 1, 1, 0, 0]),
        "{orders:?}"
    );
    assert!(
        orders.contains(&alloc::vec![0, 0, 1, 1, 1, 0]),
        "{orders:?}"
    );
}

#[test]
fn a_lock_that_is_held_is_not_waited_for_by_choice() {
    let bench = Bench::new(two());
    let lock = bench.variable(8);
    let script = Script::new(&[]);
    bench.kernel.set_chooser(Some(script.clone()));
    let inside = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let inside = inside.clone();
        let body = move |kernel: &Kernel| {
            let old = kernel.ke_acquire_spin_lock_raise_to_dpc(lock)?;
            inside.set(inside.get() + 1);
            assert_eq!(inside.get(), 1);
            kernel.yield_point()?;
            inside.set(inside.get() - 1);
            kernel.ke_release_spin_lock(lock, old)
        };
        bench
            .kernel
            .spawn_thread("test", 8, ThreadBody::Native(alloc::boxed::Box::new(body)));
    }
    bench.kernel.run_until_idle();
    assert!(bench.kernel.outcome().is_none());
    assert!(bench.kernel.findings().is_empty());
}

/// A thread that sleeps as often, for so long, while another one works; what they did, in order,
/// and the points at which the end of a sleep was offered, with the option that it was.
fn slept(
    config: Config,
    sleeps: &'static [i64],
    choices: &[usize],
) -> (Vec<&'static str>, Vec<(usize, usize)>) {
    let bench = Bench::new(config);
    let script = Script::new(choices);
    bench.kernel.set_chooser(Some(script.clone()));
    let interval = bench.variable(8);
    let log = Rc::new(RefCell::new(Vec::new()));
    let sleeper = log.clone();
    let sleep = move |kernel: &Kernel| {
        for time_100ns in sleeps {
            let start = kernel.time_100ns();
            kernel.write(crate::DriverPtr::new(interval), -time_100ns)?;
            kernel.ke_delay_execution_thread(
                crate::ke::WaitMode::KERNEL,
                crate::DriverPtr::new(interval),
            )?;
            assert!(kernel.time_100ns() >= start + time_100ns.unsigned_abs());
            sleeper.borrow_mut().push("slept");
        }
        Ok(())
    };
    let worker = log.clone();
    let work = move |kernel: &Kernel| {
        for _ in 0..4 {
            kernel.yield_point()?;
        }
        worker.borrow_mut().push("worked");
        Ok(())
    };
    let kernel = &bench.kernel;
    kernel.spawn_thread("test", 8, ThreadBody::Native(alloc::boxed::Box::new(sleep)));
    kernel.spawn_thread("test", 8, ThreadBody::Native(alloc::boxed::Box::new(work)));
    kernel.run_until_idle();
    let is_wait = |choice: &Choice| matches!(choice, Choice::Delay(ClockAction::WaitTimeout(_)));
    let seen = script.seen.borrow();
    let offered = seen
        .iter()
        .enumerate()
        .filter_map(|(point, options)| Some((point, options.iter().position(is_wait)?)))
        .collect();
    (log.borrow().clone(), offered)
}

/// The options that let something happen at a point, and what comes first before it.
fn at((point, option): (usize, usize)) -> Vec<usize> {
    let mut choices = alloc::vec![0; point];
    choices.push(option);
    choices
}

/// A delay's end is offered at every point, and time has passed then.
#[test]
fn a_delay_ends_when_it_is_chosen() {
    let (log, offered) = slept(two(), &[10_000], &[]);
    assert_eq!(log, ["worked", "slept"]);
    let mut choices = at(*offered.first().expect("the delay's end is offered"));
    choices.push(1);
    assert_eq!(slept(two(), &[10_000], &choices).0, ["slept", "worked"]);
}

/// Code takes at most 10 ms longer than it says.
#[test]
fn a_delay_that_is_far_off_does_not_end_while_a_processor_is_busy() {
    assert!(!slept(two(), &[100_000], &[]).1.is_empty());
    let (log, offered) = slept(two(), &[100_001], &[]);
    assert_eq!(log, ["worked", "slept"]);
    assert_eq!(offered, []);
    let late = Config {
        late_100ns: 100_001,
        ..two()
    };
    assert!(!slept(late, &[100_001], &[]).1.is_empty());
}

/// The bound is for all that code takes, not for each delay that ends meanwhile.
#[test]
fn delays_that_end_while_a_processor_is_busy_add_up() {
    let twice = |sleeps| {
        let (_, offered) = slept(two(), sleeps, &[]);
        let mut choices = at(offered[0]);
        choices.push(1);
        let (_, again) = slept(two(), sleeps, &choices);
        again
            .iter()
            .filter(|(point, _)| *point > offered[0].0)
            .count()
    };
    assert!(twice(&[50_000, 50_000]) > 0);
    assert_eq!(twice(&[50_000, 50_001]), 0);
}

#[test]
fn an_actor_has_one_number() {
    let a = Choice::Processor(ProcessorId(1));
    assert_eq!(a.actor(), Choice::OtherThread(ProcessorId(1)).actor());
    assert_ne!(a.variant(), Choice::OtherThread(ProcessorId(1)).variant());
    let timer = Choice::Delay(ClockAction::Timer(0xFFFF_8000_0000_1000));
    assert_ne!(timer.actor(), a.actor());
}
