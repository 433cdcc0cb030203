//! What it costs that a run is recorded: an event, on top of nobody listening; and the bytes that
//! it takes. And what an event costs that nobody listens to.
//!
//! The same interrupts and locks as in `interrupt` and `spin_lock` would measure the kernel. Here
//! the sink alone is told events, in the mix that an interrupt makes, beside an indirect call
//! that does nothing with them.
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;

use dirql_abi::Irql;
use dirql_benches::{compare, each, report};
use dirql_chips::{Level, Vector, Width};
use dirql_host::Host;
use dirql_kernel::{Config, Event, EventSink, Stamp};
use dirql_rules::Context;
use dirql_trace::Recorder;

/// What happens in one interrupt.
fn mix() -> Vec<(u8, Context, Event)> {
    let (thread, isr) = (Context::Thread(1), Context::Isr(0x60));
    let vector = Vector(0x60);
    let object = 0x2000_8000_31f0;
    vec![
        (0, thread, line(Level::High)),
        (0, thread, Event::Pending { target: 0, vector }),
        (6, thread, level(0, 6)),
        (6, thread, Event::Delivered(vector)),
        (6, thread, Event::LockTaken(object)),
        (
            6,
            isr,
            Event::IsrEnter {
                vector,
                object,
                routine: 0x2000_1000_16bb,
            },
        ),
        (6, isr, access(false)),
        (6, isr, access(true)),
        (6, isr, line(Level::Low)),
        (
            6,
            isr,
            Event::DdiEnter {
                name: "KeInsertQueueDpc",
                caller: 0x2000_1000_1700,
            },
        ),
        (
            6,
            isr,
            Event::DpcQueued {
                dpc: object,
                target: 0,
            },
        ),
        (
            6,
            isr,
            Event::DdiLeave {
                name: "KeInsertQueueDpc",
                result: 1,
            },
        ),
        (
            6,
            isr,
            Event::IsrLeave {
                vector,
                claimed: true,
            },
        ),
        (6, thread, Event::LockReleased(object)),
        (6, thread, Event::EndOfInterrupt(vector)),
        (0, thread, level(6, 0)),
    ]
}

const fn line(level: Level) -> Event {
    Event::Line { gsi: 17, level }
}

const fn level(from: u8, to: u8) -> Event {
    Event::Irql {
        from: Irql(from),
        to: Irql(to),
    }
}

const fn access(write: bool) -> Event {
    let (address, port, width, value, instruction) =
        (0xC000_0024, false, Width::U32, 1, 0x2000_1000_16c0);
    if write {
        Event::DeviceWrite {
            address,
            port,
            width,
            value,
            instruction,
        }
    } else {
        Event::DeviceRead {
            address,
            port,
            width,
            value,
            instruction,
        }
    }
}

struct Nobody;

impl EventSink for Nobody {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        black_box((stamp.step, event));
    }
}

/// Tells the next event each time.
fn teller(mut sink: Box<dyn EventSink>) -> impl FnMut() {
    let mix = mix();
    let mut told = 0;
    move || {
        let (irql, context, event) = &mix[told % mix.len()];
        told += 1;
        let stamp = Stamp {
            step: told as u64 / 3,
            time_100ns: told as u64 / 16,
            processor: 0,
            irql: *irql,
            context: *context,
        };
        sink.record(stamp, event);
    }
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

fn main() {
    let (recorder, _recording) = Recorder::new(1_000_000);
    let comparison = compare(
        (10_000, each(teller(Box::new(recorder)))),
        (10_000, each(teller(Box::new(Nobody)))),
    );
    report(
        "one event recorded, of the mix of an interrupt",
        "an indirect call that is told it",
        &comparison,
        "at most 40 ns an event",
    );
    let kernel = Host::new(Config::default()).expect("a computer");
    let kernel = kernel.kernel();
    let nobody = compare(
        (10_000, each(|| black_box(kernel).landmark(String::new()))),
        (10_000, each(|| black_box(kernel).come_to(0))),
    );
    report(
        "one event that nobody listens to",
        "a store to a cell of the kernel's",
        &nobody,
        "nothing measurable",
    );
    let before = resident();
    let (recorder, recording) = Recorder::new(1_000_000);
    let mut tell = teller(Box::new(recorder));
    for _ in 0..10_000_000 {
        tell();
    }
    println!(
        "10 million events, of which the last million is kept: {} bytes of memory, {} an event kept",
        resident().saturating_sub(before),
        resident().saturating_sub(before) / 1_000_000
    );
    assert_eq!(recording.dropped(), 9_000_000);
}
