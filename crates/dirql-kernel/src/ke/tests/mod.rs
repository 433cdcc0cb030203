//! The kernel core against drivers that are closures.

mod affinity;
mod apc;
mod bug_check;
mod choice;
mod dpc;
mod idle;
mod ipi;
mod irql;
mod last;
mod lock_order;
mod nudge;
mod queue;
mod quiet;
mod spin_lock;
mod synchronize;
mod threaded_dpc;
mod threads;
mod time;
mod wait;

use crate::hal::testing::Rig;
use crate::{Ddi, Kernel};

/// Lets every other processor have its turn.
fn others(kernel: &Kernel) -> Ddi<()> {
    kernel.give_up_turn();
    kernel.yield_point()
}

/// Lets other processors run until `done`. The run fails if that never happens.
fn until(kernel: &Kernel, done: impl Fn() -> bool) -> Ddi<()> {
    for _ in 0..10_000 {
        if done() {
            return Ok(());
        }
        others(kernel)?;
    }
    panic!("it never happens");
}

/// A thread whose `body` ends the run: why; a bug check wherever it was raised.
#[track_caller]
fn stops(rig: &Rig, body: impl FnOnce(&Kernel) -> Ddi<()> + 'static) -> crate::Stop {
    match rig.bench.try_on_thread(body) {
        Some(Err(stop)) => match rig.kernel().outcome() {
            Some(crate::Outcome::BugCheck { bug_check, .. }) => bug_check.into(),
            _ => stop,
        },
        other => panic!("it went on: {other:?}"),
    }
}
