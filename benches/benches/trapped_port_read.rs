//! One port read of a driver: the fault, decoding, the device's answer, and back. Against the
//! same instruction under a handler that does nothing but step over it.
#![expect(
    unsafe_code,
    reason = "a fault needs an instruction that faults and a handler for it"
)]

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use dirql_benches::{compare, report};
use dirql_chips::Trigger;
use dirql_chips::models::{self, PluggedDevice};
use dirql_host::Host;
use dirql_kernel::hal::{LegacyWindow, LineWish, MessageWish, Plug, Socket};
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Config, Kernel};

/// The line status register of the first serial port, which reading leaves as it is.
const LINE_STATUS: u16 = 0x3FD;

/// What that register holds when nothing is sent or received.
const IDLE: u8 = 0x60;

fn plug_uart(kernel: &Kernel) {
    let Ok(PluggedDevice::Legacy(uart)) = models::build("uart16550", &[]) else {
        panic!("uart16550 is a legacy device")
    };
    let windows = uart
        .windows
        .iter()
        .map(|window| LegacyWindow {
            space: window.space,
            base: Some(window.base),
            size: window.size,
        })
        .collect();
    let lines = uart
        .lines
        .iter()
        .map(|line| LineWish {
            gsi: Some(u32::from(line.number)),
            trigger: Trigger::Edge,
            shared: false,
        })
        .collect();
    let plug = Plug {
        name: "uart0".into(),
        socket: Socket::Legacy {
            device: uart.device,
            windows,
            lines,
        },
        interrupts: MessageWish::Line,
        gsi: None,
    };
    kernel.plug(plug).expect("room for a serial port");
}

fn read_port(port: u16) -> u8 {
    let value;
    // SAFETY: this faults, and what is done about it changes no register but `al`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, preserves_flags)) };
    value
}

/// Steps over the one byte of `in al, dx`.
unsafe extern "C" fn step_over(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: Linux passes the interrupted context, and nothing else refers to it.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RIP as usize] += 1;
}

/// Runs `body` under the empty handler.
fn with_empty_handler<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut empty: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    empty.sa_sigaction = step_over as *const () as usize;
    empty.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    let mut before = empty;
    // SAFETY: both pointers are valid; the only fault until this is undone is the one that the
    // handler is for.
    let set = unsafe { libc::sigaction(libc::SIGSEGV, &raw const empty, &raw mut before) };
    assert_eq!(set, 0);
    let result = body();
    // SAFETY: puts back what was there.
    let restored = unsafe { libc::sigaction(libc::SIGSEGV, &raw const before, ptr::null_mut()) };
    assert_eq!(restored, 0);
    result
}

fn measure() {
    assert_eq!(read_port(LINE_STATUS), IDLE, "the serial port answers");
    let read = |calls: u32| {
        for _ in 0..calls {
            assert_eq!(read_port(LINE_STATUS), IDLE);
        }
    };
    let step = |calls: u32| {
        with_empty_handler(|| {
            for _ in 0..calls {
                read_port(LINE_STATUS);
            }
        });
    };
    report(
        "trapped port read, line status of a uart16550",
        "empty fault and return",
        &compare((50, read), (50, step)),
        "ratio at most 1.3",
    );
}

fn main() {
    let host = Host::new(Config {
        max_steps: u64::MAX,
        ..Config::default()
    })
    .expect("a computer");
    plug_uart(host.kernel());
    let body = |_: &Kernel| {
        measure();
        Ok(())
    };
    host.kernel()
        .spawn_thread("bench", 8, ThreadBody::Native(Box::new(body)));
    host.run_until_idle();
    assert!(
        host.kernel().outcome().is_none(),
        "{:?}",
        host.kernel().outcome()
    );
}
