//! Two threads that hand an event to each other: `KeSetEvent` and `KeWaitForSingleObject`
//! through the table of exports, there and back, against an indirect call.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use dirql_benches::{compare, each, report};
use dirql_host::Host;
use dirql_kernel::Config;
use dirql_kernel::ke::ThreadBody;

dirql_host::import! {
    fn ExAllocatePoolWithTag(pool: u32, bytes: u64, tag: u32) -> u64;
    fn KeInitializeEvent(event: u64, kind: u32, state: u8);
}

type SetEvent = extern "win64" fn(u64, i32, u8) -> i32;
type Wait = extern "win64" fn(u64, u32, u8, u8, u64) -> i32;

/// Bytes between the two events.
const APART: u64 = 64;

fn main() {
    let host = Host::new(Config {
        max_steps: u64::MAX,
        ..Config::default()
    })
    .expect("a computer");
    let events = Rc::new(Cell::new(0_u64));
    let is_over = Rc::new(Cell::new(false));
    for side in 0..2_u64 {
        let (events, is_over) = (events.clone(), is_over.clone());
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
                let there_and_back = || {
                    set(other, 0, 0);
                    wait(mine, 0, 0, 0, 0);
                };
                if side == 0 {
                    measure(there_and_back);
                    is_over.set(true);
                    set(other, 0, 0);
                } else {
                    wait(mine, 0, 0, 0, 0);
                    while !is_over.get() {
                        there_and_back();
                    }
                }
                Ok(())
            })),
        );
    }
    host.run_until_idle();
}

fn measure(there_and_back: impl FnMut()) {
    let target: fn(u64) -> u64 = |value| value + 1;
    let call = || {
        black_box(black_box(target)(1));
    };
    report(
        "hand an event to another thread and get one back",
        "indirect call",
        &compare((500, each(there_and_back)), (50_000, each(call))),
        "at most 400 ns, that is 200 ns a switch",
    );
}
