//! Two threads that hand an event to each other: `KeSetEvent` and `KeWaitForSingleObject`
//! through the table of exports, 1 million switches, against an indirect call.
#![expect(clippy::disallowed_types, reason = "measuring is what this is for")]

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use dirql_benches::{nanoseconds, report};
use dirql_host::Host;
use dirql_kernel::Config;
use dirql_kernel::ke::ThreadBody;

dirql_host::import! {
    fn ExAllocatePoolWithTag(pool: u32, bytes: u64, tag: u32) -> u64;
    fn KeInitializeEvent(event: u64, kind: u32, state: u8);
}

type SetEvent = extern "win64" fn(u64, i32, u8) -> i32;
type Wait = extern "win64" fn(u64, u32, u8, u8, u64) -> i32;

/// Switches from one thread to the other.
const SWITCHES: u32 = 1_000_000;

/// Bytes between the two events.
const APART: u64 = 64;

fn main() {
    let host = Host::new(Config {
        max_steps: u64::MAX,
        ..Config::default()
    })
    .expect("a computer");
    let events = Rc::new(Cell::new(0_u64));
    let elapsed = Rc::new(Cell::new(0.0));
    for side in 0..2_u64 {
        let (events, elapsed) = (events.clone(), elapsed.clone());
        host.kernel().spawn_thread(
            "bench",
            8,
            ThreadBody::Native(Box::new(move |_| {
                if events.get() == 0 {
                    let memory = ExAllocatePoolWithTag(0, 2 * APART, 0x6576_4548);
                    for event in [memory, memory + APART] {
                        // A synchronization event, not signaled.
                        KeInitializeEvent(event, 1, 0);
                    }
                    events.set(memory);
                }
                let set: SetEvent = dirql_host::native::routine("KeSetEvent");
                let wait: Wait = dirql_host::native::routine("KeWaitForSingleObject");
                let (mine, other) = match side {
                    0 => (events.get(), events.get() + APART),
                    _ => (events.get() + APART, events.get()),
                };
                let start = Instant::now();
                for _ in 0..SWITCHES / 2 {
                    if side == 0 {
                        set(other, 0, 0);
                        wait(mine, 0, 0, 0, 0);
                    } else {
                        wait(mine, 0, 0, 0, 0);
                        set(other, 0, 0);
                    }
                }
                elapsed.set(start.elapsed().as_nanos() as f64 / f64::from(SWITCHES));
                Ok(())
            })),
        );
    }
    host.run_until_idle();
    let target: fn(u64) -> u64 = |value| value + 1;
    let reference = nanoseconds(100_000, || {
        black_box(black_box(target)(1));
    });
    report(
        "hand an event to another thread and wait (aim: 200 ns)",
        elapsed.get(),
        "indirect call",
        reference,
        None,
    );
}
