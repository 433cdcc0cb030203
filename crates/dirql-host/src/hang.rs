//! Driver code that never ends and never does anything that we would see.
//!
//! A loop that calls the kernel or touches a device is the kernel's to notice: each call
//! is a step, and steps are limited. A loop over plain memory makes no step. So a timer
//! counts the CPU time of the thread. A driver that has made no step for a while may poll
//! what an interrupt, another processor or time would change: the kernel is asked to let
//! that happen ([`Kernel::nudge`]). When nothing is left that could, and the driver has used
//! up its budget, its strand is taken away from it and the run ends with a finding. Neither
//! depends on where in its loop the driver was at that moment.
//!
//! The budget is large, because a driver may have a lot to compute. Code whose registers hold the
//! same at one look after the other computes nothing: it waits, and its budget is a small one.
//!
//! Only code in driver images can be stopped so: a Rust function that is an in-process
//! driver looks like our own code.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::Once;

use dirql_abi::Irql;
use dirql_kernel::mm::layout::IMAGES;
use dirql_kernel::{Kernel, Outcome};
use dirql_rules::ids;

use crate::{run, trap};

/// CPU time between two looks.
const TICK_MILLISECONDS: i64 = 10;

/// Looks in a row without a step after which a driver is taken to poll.
const POLLS: u32 = 2;

/// Looks in a row without a step after which a driver hangs.
const PATIENCE: u32 = 300;

/// Looks in a row with the same registers after which it does.
const SAME: u32 = 30;

thread_local! {
    static WATCH: Watch = const {
        Watch { step: Cell::new(0), stalled: Cell::new(0), registers: Cell::new([0; 16]), same: Cell::new(0) }
    };
}

/// What the last look saw.
struct Watch {
    step: Cell<u64>,
    stalled: Cell<u32>,
    registers: Cell<[i64; 16]>,
    same: Cell<u32>,
}

/// The timer that looks at the thread that made it. Nothing is watched when there is none
/// to be had; that is not worth refusing to run.
#[derive(Debug)]
pub(crate) struct Watchdog {
    timer: Option<libc::timer_t>,
}

impl Watchdog {
    /// Starts to watch this thread.
    pub(crate) fn start() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(install);
        WATCH.with(|watch| watch.stalled.set(0));
        let timer = create_timer();
        if let Some(timer) = timer {
            let interval = libc::timespec {
                tv_sec: 0,
                tv_nsec: TICK_MILLISECONDS * 1_000_000,
            };
            let setting = libc::itimerspec {
                it_interval: interval,
                it_value: interval,
            };
            // SAFETY: the timer was just made; `setting` is a valid time; no old value is wanted.
            unsafe { libc::timer_settime(timer, 0, &raw const setting, std::ptr::null_mut()) };
        }
        Self { timer }
    }
}

/// What was seen so far was of another run: it says nothing of this one.
pub(crate) fn forget_looks() {
    WATCH.with(|watch| watch.stalled.set(0));
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            // SAFETY: the timer was made by `start` and is deleted once.
            unsafe { libc::timer_delete(timer) };
        }
    }
}

fn create_timer() -> Option<libc::timer_t> {
    // SAFETY: all zeros is a valid `sigevent`.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = libc::SIGVTALRM;
    // SAFETY: `gettid` has no preconditions.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer = MaybeUninit::uninit();
    // SAFETY: `event` is complete and `timer` is written to on success.
    let result = unsafe {
        libc::timer_create(
            libc::CLOCK_THREAD_CPUTIME_ID,
            &raw mut event,
            timer.as_mut_ptr(),
        )
    };
    // SAFETY: success has written it.
    (result == 0).then(|| unsafe { timer.assume_init() })
}

fn install() {
    // SAFETY: all zeros is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = tick as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the handler has the signature that SA_SIGINFO wants and only does what a
    // handler may: it reads cells of its own thread and changes the interrupted context.
    let result =
        unsafe { libc::sigaction(libc::SIGVTALRM, &raw const action, std::ptr::null_mut()) };
    assert_eq!(result, 0, "SIGVTALRM can be handled");
}

extern "C" fn tick(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(kernel) = run::try_current_kernel() else {
        return;
    };
    let stalled = WATCH.with(|watch| watch.looks_without_step(kernel.step()));
    if stalled < POLLS {
        return;
    }
    // SAFETY: the system passes the context that the signal interrupted, and nobody else
    // refers to it while the handler runs.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let instruction = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
    let twin = run::try_platform().and_then(|platform| platform.space.original(instruction));
    if !IMAGES.contains(&instruction) && twin.is_none() {
        return;
    }
    // Between the parts of a twin nothing else may run; the next look will do.
    if twin.is_some_and(|twin| !twin.exact) && stalled <= PATIENCE {
        return;
    }
    let same = WATCH.with(|watch| watch.looks_at_the_same(general_registers(context)));
    if kernel.nudge() {
        if let Some(twin) = twin {
            context.uc_mcontext.gregs[libc::REG_RIP as usize] = twin.address as i64;
        }
        trap::attend_first(context);
        return;
    }
    if stalled <= PATIENCE && same <= SAME {
        return;
    }
    let platform = run::platform();
    let routine = platform.called_last();
    // Whose registers never change is in one loop and calls nothing: each look would tell the same.
    let spins_at = (same > SAME).then_some(twin.map_or(instruction, |twin| twin.address));
    // SAFETY: the interrupted instruction is a driver's, and the registers are put in place.
    let registers = unsafe {
        platform
            .strands
            .abandon_running(move || hung(run::current_kernel(), routine, spins_at))
    };
    let Some(registers) = registers else { return };
    WATCH.with(|watch| watch.stalled.set(0));
    let gregs = &mut context.uc_mcontext.gregs;
    gregs[libc::REG_RIP as usize] = registers.rip as i64;
    gregs[libc::REG_RSP as usize] = registers.rsp as i64;
    gregs[libc::REG_RBP as usize] = registers.rbp as i64;
    gregs[libc::REG_RDI as usize] = registers.rdi as i64;
    gregs[libc::REG_RSI as usize] = registers.rsi as i64;
    // Our code wants the direction flag clear, and no trap after each instruction.
    gregs[libc::REG_EFL as usize] &= !0x0500;
}

impl Watch {
    /// How many looks, this one included, have seen this step.
    fn looks_without_step(&self, step: u64) -> u32 {
        if self.step.replace(step) != step {
            self.stalled.set(0);
        }
        self.stalled.set(self.stalled.get().saturating_add(1));
        self.stalled.get()
    }

    /// How many looks in a row, this one included, have seen these registers.
    fn looks_at_the_same(&self, registers: [i64; 16]) -> u32 {
        if self.registers.replace(registers) != registers {
            self.same.set(0);
        }
        self.same.set(self.same.get().saturating_add(1));
        self.same.get()
    }
}

/// The registers that a loop counts in: those before the instruction pointer. Where in the loop it
/// is, and its flags, differ from look to look in any loop.
fn general_registers(context: &libc::ucontext_t) -> [i64; 16] {
    const { assert!(libc::REG_RIP == 16) };
    std::array::from_fn(|index| context.uc_mcontext.gregs[index])
}

/// Runs on the strand of the driver that hung, instead of it. `spins_at` is an instruction of the loop,
/// whichever it was at.
fn hung(kernel: &Kernel, routine: u64, spins_at: Option<u64>) {
    let message = "the routine used up its budget of processor time without calling the kernel or touching a device";
    let kept = if kernel.irql() < Irql::DISPATCH {
        None
    } else {
        kernel.kept_from_running()
    };
    let (place, earlier) = match spins_at.and_then(loop_around) {
        Some(begin) => {
            let called = || {
                (
                    "the kernel called this routine".into(),
                    kernel.here_at(routine),
                )
            };
            (begin, kept.or_else(|| (routine != 0).then(called)))
        }
        None => (routine, kept),
    };
    let _ = kernel.find_at(ids::HANG, message.into(), kernel.here_at(place), earlier);
    kernel.end(Outcome::Finding);
}

/// Where the innermost loop around an instruction of a driver begins.
fn loop_around(instruction: u64) -> Option<u64> {
    let images = run::platform().images.borrow();
    let mut images = images.iter().rev();
    let image = images.find(|image| image.range().contains(&instruction))?;
    let rva = u32::try_from(instruction - image.base()).ok()?;
    let begin = dirql_image::loops::loop_around(image.image()?, rva)?;
    Some(image.base() + u64::from(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_counted_from_the_last_step() {
        let watch = Watch {
            step: Cell::new(0),
            stalled: Cell::new(0),
            registers: Cell::new([0; 16]),
            same: Cell::new(0),
        };
        assert_eq!(watch.looks_at_the_same([1; 16]), 1);
        assert_eq!(watch.looks_at_the_same([1; 16]), 2);
        assert_eq!(watch.looks_at_the_same([2; 16]), 1);
        for step in 1..10 {
            for look in 1..=PATIENCE {
                assert_eq!(watch.looks_without_step(step), look);
            }
        }
    }
}
