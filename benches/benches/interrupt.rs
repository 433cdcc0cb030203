//! One interrupt: the device raises its line, IO-APIC, local APIC, dispatch, an ISR that returns
//! TRUE, end of interrupt, and the line falls again, which has to be before the next one. Against
//! an indirect call of the same ISR, so the ratio is a number of indirect calls.
//!
//! `interrupt --count N` takes N interrupts in one run and prints how memory grew.
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use dirql_abi::Irql;
use dirql_benches::{compare, each, report};
use dirql_chips::models::{self, PluggedDevice};
use dirql_chips::{Stimulus, Trigger};
use dirql_host::Host;
use dirql_kernel::hal::{DeviceId, LegacyWindow, LineWish, MessageWish, Plug, Socket};
use dirql_kernel::io::interrupt::ConnectArguments;
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Config, DriverPtr, Kernel};

static CALLS: AtomicU64 = AtomicU64::new(0);

extern "win64" fn isr(_interrupt: u64, _context: u64) -> u8 {
    // One thread counts: no locked instruction, which would cost more than the call.
    CALLS.store(CALLS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    1
}

/// The line that the button is on.
const LINE: u32 = 10;

fn plug_button(kernel: &Kernel) -> DeviceId {
    let options = [("line", "10"), ("trigger", "edge")];
    let Ok(PluggedDevice::Legacy(button)) = models::build("button", &options) else {
        panic!("button is a legacy device")
    };
    let windows = button
        .windows
        .iter()
        .map(|window| LegacyWindow {
            space: window.space,
            base: None,
            size: window.size,
        })
        .collect();
    let lines = vec![LineWish {
        gsi: Some(LINE),
        trigger: Trigger::Edge,
        shared: false,
    }];
    let plug = Plug {
        name: "button0".into(),
        socket: Socket::Legacy {
            device: button.device,
            windows,
            lines,
        },
        interrupts: MessageWish::Line,
        gsi: None,
    };
    kernel.plug(plug).expect("room for a button")
}

fn connect(kernel: &Kernel) -> dirql_kernel::Ddi<()> {
    let memory = kernel.allocate_system(16);
    let (irql, mask) = (DriverPtr::new(memory), DriverPtr::new(memory + 8));
    // Isa of INTERFACE_TYPE, its first bus.
    let vector = kernel.hal_get_interrupt_vector((1, 0, LINE), irql, mask)?;
    let level = kernel.read(irql)?;
    let status = kernel.io_connect_interrupt(
        DriverPtr::new(memory),
        ConnectArguments {
            service_routine: isr as *const () as u64,
            service_context: 0,
            spin_lock: 0,
            vector,
            irql: Irql(level),
            synchronize_irql: Irql(level),
            interrupt_mode: 1,
            share_vector: 0,
            processor_enable_mask: 1,
        },
    )?;
    assert!(status.is_success(), "connect: {status}");
    Ok(())
}

fn interrupt_once(kernel: &Kernel, device: DeviceId) {
    kernel.stimulate(device, &Stimulus::Press);
    kernel.yield_point().expect("the run goes on");
    kernel.stimulate(device, &Stimulus::Release);
}

fn measure(kernel: &Kernel, device: DeviceId) {
    let before = CALLS.load(Ordering::Relaxed);
    let (mut interrupts, mut calls) = (0_u64, 0_u64);
    let routine: extern "win64" fn(u64, u64) -> u8 = isr;
    let comparison = compare(
        (
            1_000,
            each(|| {
                interrupt_once(kernel, device);
                interrupts += 1;
            }),
        ),
        (
            50_000,
            each(|| {
                black_box(black_box(routine)(0, 0));
                calls += 1;
            }),
        ),
    );
    assert_eq!(
        CALLS.load(Ordering::Relaxed) - before,
        interrupts + calls,
        "every interrupt reached the ISR"
    );
    report(
        "one interrupt, line raised to EOI, line lowered",
        "indirect call of the same ISR",
        &comparison,
        "at most 100 ns",
    );
    println!(
        "one interrupt takes as long as {:.0} indirect calls",
        comparison.ratio()
    );
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}

fn soak(kernel: &Kernel, device: DeviceId, count: u64) {
    for _ in 0..count / 10 {
        interrupt_once(kernel, device);
    }
    let early = resident();
    for _ in 0..count - count / 10 {
        interrupt_once(kernel, device);
    }
    let late = resident();
    println!(
        "{} interrupts taken; resident memory after a tenth {early} bytes, at the end {late} bytes, growth {}",
        CALLS.load(Ordering::Relaxed),
        late.saturating_sub(early)
    );
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--count");
    let count: Option<u64> = arguments.nth(1).and_then(|count| count.parse().ok());
    let host = Host::new(Config {
        max_steps: u64::MAX,
        ..Config::default()
    })
    .expect("a computer");
    let device = plug_button(host.kernel());
    host.kernel().spawn_thread(
        "bench",
        8,
        ThreadBody::Native(Box::new(move |kernel| {
            connect(kernel)?;
            match count {
                Some(count) => soak(kernel, device, count),
                None => measure(kernel, device),
            }
            Ok(())
        })),
    );
    host.run_until_idle();
    assert!(
        host.kernel().outcome().is_none(),
        "{:?}",
        host.kernel().outcome()
    );
}
