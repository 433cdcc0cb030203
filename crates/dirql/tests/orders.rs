//! What small programs of kernel threads come to in any order: a search of everything sees all of
//! it.
//!
//! Programs are made at random of locks, timers, events, DPCs and memory. What each step is told is
//! noted; the notes of a run are what it comes to. Whatever a run at random or one with few switches
//! comes to, a run of the search of everything has to come to as well.
//!
//! `DIRQL_ORDERS=1000` tries that many programs in place of the few that every run of the tests does,
//! and `DIRQL_ORDERS_SEED` others.
#![expect(clippy::print_stdout, reason = "who tries many wants to know how many")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use dirql::{Bench, BenchError, Builder, Driver, Explorer, Strategy};
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Ddi, DriverPtr, Kernel};

dirql_host::import! {
    fn KeReleaseSemaphore(semaphore: u64, increment: i32, adjustment: i32, wait: u8) -> i32;
}

/// The most runs of a search of everything; programs that have more are left out.
const MOST: u64 = 2_000;

/// Runs with few switches, and runs at random, that each program is compared with.
const OTHERS: u64 = 200;

/// What a thread does.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Looks at a word of memory.
    Look(usize),
    /// Adds 1 to it.
    Add(usize),
    /// Takes a number; who comes first has the lower one.
    Ticket(usize),
    /// Does something with a lock held.
    Locked(usize, Inner),
    SetTimer(usize),
    CancelTimer(usize),
    ReadTimer(usize),
    /// Waits for a timer for at most a millisecond.
    WaitTimer(usize),
    SetEvent(usize),
    ResetEvent(usize),
    WaitEvent(usize),
    QueueDpc(usize),
    RemoveDpc(usize),
    Time,
    Stall,
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Look(usize),
    Add(usize),
    Ticket(usize),
    QueueDpc(usize),
}

/// Objects of the kernel, and the memory that threads share.
#[derive(Clone)]
struct World {
    words: Rc<RefCell<[u32; 2]>>,
    semaphores: [u64; 2],
    locks: [u64; 2],
    timers: [u64; 2],
    events: [u64; 2],
    dpcs: [u64; 2],
    timeout: u64,
}

/// Where what a word stands for would be.
const WORDS: u64 = 0x5000_0000;

thread_local! {
    /// The numbers that DPCs took.
    static TAKEN: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
}

extern "win64" fn dpc(_dpc: u64, semaphore: u64, _one: u64, _other: u64) {
    let number = KeReleaseSemaphore(semaphore, 1, 0, 0);
    TAKEN.with_borrow_mut(|taken| taken.push(number));
}

extern "win64" fn entry(_driver: u64, _path: u64) -> i32 {
    0
}

impl World {
    fn new(kernel: &Kernel) -> Ddi<Self> {
        let objects = || [kernel.allocate_system(256), kernel.allocate_system(256)];
        let world = Self {
            words: Rc::default(),
            semaphores: objects(),
            locks: objects(),
            timers: objects(),
            events: objects(),
            dpcs: objects(),
            timeout: kernel.allocate_system(8),
        };
        kernel.write(DriverPtr::<i64>::new(world.timeout), -10_000)?;
        for index in 0..2 {
            let semaphore = world.semaphores[index];
            kernel.ke_initialize_semaphore(DriverPtr::new(semaphore), 0, 1000)?;
            kernel.ke_initialize_spin_lock(world.locks[index])?;
            kernel.ke_initialize_timer_ex(DriverPtr::new(world.timers[index]), 0)?;
            // One of each kind.
            kernel.ke_initialize_event(DriverPtr::new(world.events[index]), index as u32, 0)?;
            let routine = dpc as extern "win64" fn(u64, u64, u64, u64) as usize as u64;
            let at = DriverPtr::new(world.dpcs[index]);
            kernel.ke_initialize_dpc(at, routine, semaphore)?;
        }
        Ok(world)
    }

    /// An access of driver code to a word.
    fn access(&self, kernel: &Kernel, word: usize, adds: bool) -> Ddi<u64> {
        kernel.yield_point()?;
        kernel.touch_memory(WORDS + 8 * word as u64, 8, adds);
        let word = &mut self.words.borrow_mut()[word];
        let before = *word;
        *word += u32::from(adds);
        Ok(before.into())
    }

    fn ticket(&self, kernel: &Kernel, index: usize) -> Ddi<u64> {
        let at = DriverPtr::new(self.semaphores[index]);
        let number = kernel.ddi("KeReleaseSemaphore", None, |kernel| {
            kernel
                .ke_release_semaphore(at, 1, 0)
                .map(|number| number as u32)
        })?;
        Ok(number.into())
    }

    fn queue(&self, kernel: &Kernel, index: usize) -> Ddi<u64> {
        let at = DriverPtr::new(self.dpcs[index]);
        let queued = kernel.ddi("KeInsertQueueDpc", None, |kernel| {
            kernel.ke_insert_queue_dpc(at, 0, 0)
        })?;
        Ok(queued.into())
    }

    fn locked(&self, kernel: &Kernel, lock: usize, inner: Inner) -> Ddi<u64> {
        let lock = self.locks[lock];
        let level = kernel.ddi("KeAcquireSpinLockRaiseToDpc", None, |kernel| {
            kernel.ke_acquire_spin_lock_raise_to_dpc(lock)
        })?;
        let told = match inner {
            Inner::Look(word) => self.access(kernel, word, false),
            Inner::Add(word) => self.access(kernel, word, true),
            Inner::Ticket(index) => self.ticket(kernel, index),
            Inner::QueueDpc(index) => self.queue(kernel, index),
        };
        kernel.ddi("KeReleaseSpinLock", None, |kernel| {
            kernel.ke_release_spin_lock(lock, level).map(|()| 0_u8)
        })?;
        told
    }

    fn wait(&self, kernel: &Kernel, object: u64, timeout: u64) -> Ddi<u64> {
        let status = kernel.ddi("KeWaitForSingleObject", None, |kernel| {
            let timeout = DriverPtr::new(timeout);
            let waited = kernel.ke_wait_for_single_object(object, 0, 0, 0, timeout)?;
            Ok(waited.0 as u32)
        })?;
        Ok(status.into())
    }

    /// Does something, and says what it was told.
    fn perform(&self, kernel: &Kernel, op: Op) -> Ddi<u64> {
        let timer = |index: usize| DriverPtr::new(self.timers[index]);
        let event = |index: usize| DriverPtr::new(self.events[index]);
        match op {
            Op::Look(word) => self.access(kernel, word, false),
            Op::Add(word) => self.access(kernel, word, true),
            Op::Ticket(index) => self.ticket(kernel, index),
            Op::Locked(lock, inner) => self.locked(kernel, lock, inner),
            Op::SetTimer(index) => Ok(u64::from(kernel.ddi("KeSetTimer", None, |kernel| {
                // Not the one that threads queue: each brings arguments of its own.
                let dpc = DriverPtr::new(self.dpcs[1]);
                kernel.ke_set_timer_ex(timer(index), -5_000, 0, dpc)
            })?)),
            Op::CancelTimer(index) => {
                Ok(u64::from(kernel.ddi("KeCancelTimer", None, |kernel| {
                    kernel.ke_cancel_timer(timer(index))
                })?))
            }
            Op::ReadTimer(index) => Ok(u64::from(kernel.ddi(
                "KeReadStateTimer",
                None,
                |kernel| kernel.ke_read_state_timer(timer(index)),
            )?)),
            Op::WaitTimer(index) => self.wait(kernel, self.timers[index], self.timeout),
            Op::WaitEvent(index) => self.wait(kernel, self.events[index], self.timeout),
            Op::SetEvent(index) => Ok(u64::from(kernel.ddi("KeSetEvent", None, |kernel| {
                kernel
                    .ke_set_event(event(index), 0, 0)
                    .map(|before| before as u32)
            })?)),
            Op::ResetEvent(index) => Ok(u64::from(kernel.ddi("KeResetEvent", None, |kernel| {
                kernel
                    .ke_reset_event(event(index))
                    .map(|before| before as u32)
            })?)),
            Op::QueueDpc(index) => self.queue(kernel, index),
            Op::RemoveDpc(index) => Ok(u64::from(kernel.ddi(
                "KeRemoveQueueDpc",
                None,
                |kernel| kernel.ke_remove_queue_dpc(DriverPtr::new(self.dpcs[index])),
            )?)),
            Op::Time => kernel.ddi(
                "KeQueryInterruptTime",
                None,
                Kernel::ke_query_interrupt_time,
            ),
            Op::Stall => kernel.ddi("KeStallExecutionProcessor", None, |kernel| {
                kernel.ke_stall_execution_processor(1).map(|()| 0_u64)
            }),
        }
    }
}

/// What each thread does.
type Program = Vec<Vec<Op>>;

/// What each thread was told, and the DPCs.
type Outcome = Vec<Vec<u64>>;

fn computer() -> Result<Builder, BenchError> {
    let driver = Driver::native("orders.sys", entry);
    Ok(Bench::builder()
        .processors(2)
        .explored_later()
        .driver(driver))
}

fn play(bench: &Bench, program: &Program) -> Result<Outcome, BenchError> {
    TAKEN.with_borrow_mut(Vec::clear);
    bench.load()?;
    let kernel = bench.kernel();
    let world = bench.on_kernel_thread(World::new)?;
    let told: Rc<RefCell<Outcome>> = Rc::new(RefCell::new(vec![Vec::new(); program.len()]));
    kernel.tell_memory(true);
    bench.explore_from_here();
    for (thread, ops) in program.iter().enumerate() {
        let (world, ops, told) = (world.clone(), ops.clone(), told.clone());
        let body = move |kernel: &Kernel| {
            for op in ops {
                let answer = world.perform(kernel, op)?;
                told.borrow_mut()[thread].push(answer);
            }
            Ok(())
        };
        kernel.spawn_thread("program", 8, ThreadBody::Native(Box::new(body)));
    }
    bench.explore_until_here()?;
    let mut outcome = told.borrow().clone();
    let taken = TAKEN.with_borrow(|taken| taken.iter().map(|number| *number as u64).collect());
    outcome.push(taken);
    Ok(outcome)
}

/// What the runs of a strategy come to; how many runs; whether that is everything.
fn outcomes(program: &Program, strategy: Strategy, most: u64) -> (BTreeSet<Outcome>, u64, bool) {
    let mut found = BTreeSet::new();
    let explorer = Explorer::new(strategy).runs(most);
    let coverage = explorer.check(computer, |bench| {
        found.insert(play(bench, program)?);
        Ok(())
    });
    let coverage = coverage.unwrap_or_else(|failed| panic!("{failed}: {program:?}"));
    (found, coverage.runs + coverage.redundant, coverage.complete)
}

fn some_op(random: &mut dirql_explore::Random) -> Op {
    let index = random.below(2) as usize;
    let inner = match random.below(4) {
        0 => Inner::Look(index),
        1 => Inner::Add(index),
        2 => Inner::Ticket(index),
        _ => Inner::QueueDpc(0),
    };
    match random.below(19) {
        0 => Op::Look(index),
        1..4 => Op::Add(index),
        4 => Op::Ticket(index),
        5..8 => Op::Locked(random.below(2) as usize, inner),
        8 | 9 => Op::SetTimer(0),
        10 => Op::CancelTimer(0),
        11 => Op::ReadTimer(0),
        12 => Op::WaitTimer(0),
        13 => Op::SetEvent(index),
        14 => Op::ResetEvent(index),
        15 => Op::WaitEvent(index),
        16 => Op::QueueDpc(0),
        17 => Op::RemoveDpc(0),
        _ if index == 0 => Op::Time,
        _ => Op::Stall,
    }
}

/// Tries so many programs, from a seed on.
fn try_programs(programs: u64, seed: u64) {
    let (mut compared, mut runs) = (0, 0);
    for number in 0..programs {
        let mut random = dirql_explore::Random::new(seed + number);
        let threads = 2 + random.below(4) / 3;
        let length = 1 + random.below(if threads == 2 { 2 } else { 1 });
        let program: Program = (0..threads)
            .map(|_| (0..length).map(|_| some_op(&mut random)).collect())
            .collect();
        let (all, tried, complete) = outcomes(&program, Strategy::Exhaustive, MOST);
        if !complete {
            continue;
        }
        compared += 1;
        runs += tried;
        let others = [
            Strategy::Bounded { switches: 3 },
            Strategy::Random { seeds: 0..OTHERS },
        ];
        for other in others {
            let (some, ..) = outcomes(&program, other.clone(), OTHERS);
            let missed: Vec<_> = some.difference(&all).take(3).collect();
            assert!(
                missed.is_empty(),
                "seed {}: {program:?}: {other:?} comes to {missed:?} and {} more, which {tried} runs miss",
                seed + number,
                some.difference(&all).count().saturating_sub(3),
            );
        }
    }
    println!("{compared} of {programs} programs, {runs} runs of everything");
}

#[test]
fn a_search_of_everything_sees_what_any_run_comes_to() {
    let number = |name: &str, usual: u64| {
        let wanted = std::env::var(name);
        wanted.map_or(usual, |wanted| wanted.parse().expect("a number"))
    };
    try_programs(number("DIRQL_ORDERS", 4), number("DIRQL_ORDERS_SEED", 1));
}
