use std::arch::x86_64::_rdtsc;

use super::runner::Runner;

/// Port reads in one measurement.
const READS: usize = 200;

/// Measurements, of which the fastest counts.
const ROUNDS: usize = 100;

extern "C" fn skip(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: Linux passes the interrupted context; nothing else refers to it.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RIP as usize] += 1;
}

fn fastest(runner: &Runner) -> u64 {
    let once = || {
        let mut registers = runner.registers();
        // SAFETY: reading the counter has no preconditions.
        let before = unsafe { _rdtsc() };
        runner.go(&mut registers);
        // SAFETY: as above.
        (unsafe { _rdtsc() }) - before
    };
    (0..ROUNDS).map(|_| once()).min().unwrap_or(0)
}

/// What is compared is a handler that does nothing but step over the instruction.
#[test]
fn a_trapped_port_read_costs_little_more_than_the_fault() {
    let runner = Runner::new();
    runner.twin.recording.set(false);
    runner.load(&[0xEC; READS]);
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = skip as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    let mut ours = action;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let emulated = fastest(&runner);
        // SAFETY: the pointers are valid, and the handler only steps over one byte.
        unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut ours) };
        let empty = fastest(&runner);
        // SAFETY: puts back what was there.
        unsafe { libc::sigaction(libc::SIGSEGV, &raw const ours, std::ptr::null_mut()) };
        ratios.push((
            emulated * 100 / empty,
            emulated / READS as u64,
            empty / READS as u64,
        ));
    }
    let best = ratios.iter().min().unwrap();
    assert!(
        best.0 <= 130,
        "percent of an empty fault, cycles, cycles of the empty one: {ratios:?}"
    );
}
