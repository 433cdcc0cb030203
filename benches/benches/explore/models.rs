//! The same model in Rust: two threads, one of which is the ISR, share a counter and a lock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// Under shuttle: `locked` updates with the lock.
fn shuttle_model(locked: u32) {
    use shuttle::sync::Mutex;
    use shuttle::thread;

    let counter = Arc::new(Mutex::new(0_u32));
    let isr = thread::spawn({
        let counter = counter.clone();
        move || *counter.lock().expect("nobody panics") += 1
    });
    for _ in 0..locked {
        *counter.lock().expect("nobody panics") += 1;
    }
    isr.join().expect("nobody panics");
    assert_eq!(*counter.lock().expect("nobody panics"), locked + 1);
}

/// Under shuttle: `locked` updates with the lock, and one without.
fn shuttle_lost(locked: u32) {
    use shuttle::sync::Mutex;
    use shuttle::sync::atomic::{AtomicU32, Ordering};
    use shuttle::thread;

    let shared = Arc::new((Mutex::new(()), AtomicU32::new(0)));
    fn update(counter: &AtomicU32) {
        let count = counter.load(Ordering::SeqCst);
        counter.store(count + 1, Ordering::SeqCst);
    }
    fn update_with_lock(shared: &(Mutex<()>, AtomicU32)) {
        let _held = shared.0.lock().expect("nobody panics");
        update(&shared.1);
    }
    let isr = thread::spawn({
        let shared = shared.clone();
        move || update_with_lock(&shared)
    });
    for _ in 0..locked {
        update_with_lock(&shared);
    }
    update(&shared.1);
    isr.join().expect("nobody panics");
    assert_eq!(shared.1.load(Ordering::SeqCst), locked + 2);
}

fn runner<S: Scheduler + 'static>(scheduler: S) -> Runner<S> {
    runner_within(scheduler, None)
}

fn runner_within<S: Scheduler + 'static>(scheduler: S, time: Option<Duration>) -> Runner<S> {
    let mut config = Config::new();
    config.max_time = time;
    config.failure_persistence = FailurePersistence::None;
    Runner::new(scheduler, config)
}

/// So many executions under shuttle's random strategy.
pub(super) fn shuttle_random(locked: u32, seed: u64, executions: u64) -> u64 {
    let scheduler = RandomScheduler::new_from_seed(seed, executions as usize);
    runner(scheduler).run(move || shuttle_model(locked)) as u64
}

/// So many executions under shuttle's PCT.
pub(super) fn shuttle_pct(locked: u32, seed: u64, executions: u64) -> u64 {
    let scheduler = PctScheduler::new_from_seed(seed, 3, executions as usize);
    runner(scheduler).run(move || shuttle_model(locked)) as u64
}

/// The execution in which shuttle's random strategy finds the lost update.
pub(super) fn shuttle_random_needs(locked: u32, seed: u64, (most, time): Bound) -> Needs {
    let scheduler = RandomScheduler::new_from_seed(seed, most as usize);
    let runner = runner_within(scheduler, Some(time));
    needs(move |count| {
        runner.run(move || {
            count.fetch_add(1, Ordering::Relaxed);
            shuttle_lost(locked);
        });
    })
}

/// The execution in which shuttle's PCT finds the lost update.
pub(super) fn shuttle_pct_needs(locked: u32, seed: u64, (most, time): Bound) -> Needs {
    let scheduler = PctScheduler::new_from_seed(seed, 3, most as usize);
    let runner = runner_within(scheduler, Some(time));
    needs(move |count| {
        runner.run(move || {
            count.fetch_add(1, Ordering::Relaxed);
            shuttle_lost(locked);
        });
    })
}

/// Under loom: `locked` updates with the lock.
fn loom_model(locked: u32) {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    let counter = Arc::new(Mutex::new(0_u32));
    let isr = thread::spawn({
        let counter = counter.clone();
        move || *counter.lock().expect("nobody panics") += 1
    });
    for _ in 0..locked {
        *counter.lock().expect("nobody panics") += 1;
    }
    isr.join().expect("nobody panics");
    assert_eq!(*counter.lock().expect("nobody panics"), locked + 1);
}

/// Under loom: `locked` updates with the lock, and one without.
fn loom_lost(locked: u32) {
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    let shared = Arc::new((Mutex::new(()), AtomicU32::new(0)));
    fn update(counter: &AtomicU32) {
        let count = counter.load(Ordering::SeqCst);
        counter.store(count + 1, Ordering::SeqCst);
    }
    fn update_with_lock(shared: &(Mutex<()>, AtomicU32)) {
        let _held = shared.0.lock().expect("nobody panics");
        update(&shared.1);
    }
    let isr = thread::spawn({
        let shared = shared.clone();
        move || update_with_lock(&shared)
    });
    for _ in 0..locked {
        update_with_lock(&shared);
    }
    update(&shared.1);
    isr.join().expect("nobody panics");
    assert_eq!(shared.1.load(Ordering::SeqCst), locked + 2);
}

fn loom() -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder
}

/// At least so many executions of `locked` updates under loom, which has few for the model and begins
/// again with them; how many.
pub(super) fn loom_many(locked: u32, executions: u64) -> u64 {
    let done = Arc::new(AtomicU64::new(0));
    while done.load(Ordering::Relaxed) < executions {
        let done = done.clone();
        loom().check(move || {
            done.fetch_add(1, Ordering::Relaxed);
            loom_model(locked);
        });
    }
    done.load(Ordering::Relaxed)
}

/// The execution in which loom finds the lost update.
pub(super) fn loom_needs(locked: u32, (most, time): Bound) -> Needs {
    needs(move |count| {
        let mut builder = loom();
        builder.max_permutations = Some(most as usize);
        builder.max_duration = Some(time);
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            loom_lost(locked);
        });
    })
}

/// The most executions, and the most time.
pub(super) type Bound = (u64, Duration);

/// The execution that finds it; or how many did not.
pub(super) type Needs = Result<u64, u64>;

/// How many executions `search` counts before it panics.
fn needs(search: impl FnOnce(&'static AtomicU64)) -> Needs {
    let count: &'static AtomicU64 = Box::leak(Box::default());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let ended = catch_unwind(AssertUnwindSafe(|| search(count)));
    std::panic::set_hook(before);
    let count = count.load(Ordering::Relaxed);
    if ended.is_err() {
        Ok(count)
    } else {
        Err(count)
    }
}
