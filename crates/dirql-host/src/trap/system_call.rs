//! System calls that driver code makes.
//!
//! No instruction of a driver has business with Linux. When asked for ([`intercept`]), Linux
//! turns every system call whose instruction is not in this program's part of the address
//! space into SIGSYS (syscall user dispatch), whether it was made with `syscall` or with
//! `int 0x80`, and has not begun to carry it out. Code of ours that is not allowed to make a
//! call by a filter of the process (seccomp, with its action *trap*) arrives here as well.
//!
//! What is not caught here is `sysenter`: Linux takes it for a call of 32-bit code in the
//! vDSO, so a filter has to refuse it.

use std::ffi::{c_int, c_ulong, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use dirql_kernel::mm::layout::{PHYSICAL_END, PHYSICAL_WINDOW};

use super::registers::{RAX, Registers};
use super::state;
use super::trampoline::{Reason, redirect};

/// `linux/prctl.h`; the libc crate has no names for these.
const PR_SET_SYSCALL_USER_DISPATCH: c_int = 59;
const PR_SYS_DISPATCH_ON: c_ulong = 1;

/// All that drivers can have code in is below: the computer's memory and twins of code there.
const OURS: u64 = PHYSICAL_WINDOW + PHYSICAL_END;

/// One past the last address of a process.
const END: u64 = 0x7FFF_FFFF_F000;

/// `syscall` and `int 0x80` have two bytes.
const LENGTH: u64 = 2;

/// A system call that a driver made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SystemCall {
    /// Linux's number for it.
    pub(crate) number: u64,
    /// Address of the instruction.
    pub(crate) instruction: u64,
    /// Whether the instruction is the driver's own, and not one of ours that it jumped to.
    pub(crate) is_own: bool,
}

/// From now on, in this thread, system calls of driver code are not carried out but end the
/// run with a finding. It cannot be undone.
///
/// # Errors
/// `Unsupported` if this program lies where drivers do; what Linux says when it does not know
/// how (before 5.11).
pub(crate) fn intercept() -> io::Result<()> {
    if (intercept as *const () as u64) < OURS {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_system_call as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: the pointer is valid; the handler has the signature that SA_SIGINFO asks for.
    if unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let selector = ptr::null::<u8>();
    // SAFETY: changes what becomes of system calls made from addresses below ours, where there is
    // no code of this program; without a selector nothing is read from its memory.
    let result = unsafe {
        libc::prctl(
            PR_SET_SYSCALL_USER_DISPATCH,
            PR_SYS_DISPATCH_ON,
            OURS,
            END - OURS,
            selector,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The handler of SIGSYS.
///
/// # Safety
/// Called by Linux, with SA_SIGINFO.
unsafe extern "C" fn on_system_call(
    _signal: c_int,
    _info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: with SA_SIGINFO the third argument is this, and nothing else refers to it.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let mut registers = Registers::new(&mut context.uc_mcontext);
    let number = registers.get(RAX);
    let mut instruction = registers.rip().wrapping_sub(LENGTH);
    let is_own = instruction < OURS;
    let machine = state::current().and_then(|state| Some((state, state.machine.get()?)));
    let Some((state, machine)) = machine.filter(|(_, machine)| machine.runs_driver()) else {
        // Ours, and not allowed: for whoever made it, it has failed.
        registers.set(RAX, (-i64::from(libc::EPERM)) as u64);
        return;
    };
    if let Some(original) = machine.original(instruction) {
        instruction = original;
        registers.set_rip(original);
    }
    let call = SystemCall {
        number,
        instruction,
        is_own,
    };
    redirect(state, machine, &mut registers, Reason::SystemCall(call));
}
