//! Structured exception handling: from a fault, or a kernel routine that raises, to the
//! driver's `__except`.
//!
//! An exception in a kernel routine appears where the driver called it. By then Rust frames
//! are between the two, so the routine first returns, to [`capture`](cpu::capture) instead
//! of the driver: there the registers that the convention preserves are the driver's.
//!
//! From the registers, frames are walked with the image's unwind data ([`dispatch`]); a
//! frame's language handler is driver code that often calls back into
//! [`__C_specific_handler`](c_handler), and what it decides to do is another walk
//! ([`unwind`]), at whose end the driver goes on in its `__except` block. Rust frames in
//! between are abandoned: they hold nothing by then.
//!
//! Where the kernel called the driver because a driver had called the kernel, the walk goes on
//! through our own frames ([`own_frames`]) into that driver, so that `__try` around
//! IofCallDriver catches what the lower driver raises. Nothing of the kernel's is undone on the way,
//! as on Windows. The walk ends where an interrupt, a DPC or a thread began.
//!
//! Not modelled: the floating-point control word is not restored.
//!
//! Source: Microsoft, "x64 exception handling"; `winnt.h`; WDK reference, "Handling
//! Exceptions".

pub(crate) mod c_handler;
pub(crate) mod cpu;
mod dispatch;
mod frames;
pub(crate) mod jump;
mod own_frames;
pub(crate) mod unwind;

use std::panic::AssertUnwindSafe;

use dirql_abi::NtStatus;
use dirql_abi::exception::{DispatcherContext, ExceptionRecord, MAXIMUM_PARAMETERS};
use dirql_image::unwind::Registers;
use dirql_kernel::{CallSite, Kernel, Outcome, Platform, Stop};

use crate::exception::cpu::Cpu;
use crate::run::{self, LinuxPlatform};
use crate::trap::Context;

/// Finds the tables of our own frames, which are found once.
pub(crate) fn warm_up() {
    own_frames::warm_up();
}

/// What happens when a routine has returned to [`capture`](cpu::capture).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pending {
    /// An exception is raised where the driver called.
    Raise(ExceptionRecord),
    /// The stack is unwound.
    Unwind(unwind::Request),
    /// The driver goes on with the CONTEXT at this address.
    Restore(u64),
    /// The driver goes on where it called setjmp.
    Jump(jump::Request),
}

/// An exception whose handlers are being called: what is below their frames.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// Where the walk goes on when it comes to the frames that called the handler.
    cpu: Cpu,
    /// While the stack is unwound: what the termination handlers were told. Null while a
    /// handler is looked for.
    dispatcher: *const DispatcherContext,
    /// The exception during whose handling this one was raised, or null.
    outer: *const Active,
}

/// A call of a driver by the kernel, on the stack of the call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    /// What the processor was running when a driver called the kernel, which is why this call
    /// was made; `None` if no driver's call is behind it.
    pub(crate) from: Option<dirql_rules::Context>,
    /// The routine that ran before.
    pub(crate) routine: u64,
    /// What it was called as.
    pub(crate) kind: &'static str,
    /// The exception that was being handled before.
    pub(crate) active: *const Active,
    /// The call further out on this stack, or null.
    pub(crate) outer: *const Crossing,
}

/// The driver frames below the caller of the kernel routine that runs, from the inside out.
pub(crate) fn frames_of_caller(platform: &LinuxPlatform) -> Vec<u64> {
    registers_of_caller(platform).map_or_else(Vec::new, |registers| {
        frames::addresses(platform, &Cpu::from_registers(&registers))
    })
}

/// The registers that a call preserves, as they are in the driver that called the kernel routine
/// that runs.
pub(crate) fn registers_of_caller(platform: &LinuxPlatform) -> Option<Registers> {
    let mut registers = own_frames::here();
    let stack = |address| platform.strands.read_stack(address);
    for _ in 0..own_frames::MOST {
        own_frames::step(&mut registers, stack)?;
        if platform.has_frames(registers.rip) {
            return Some(registers);
        }
    }
    None
}

/// A routine that the driver called at `site` does not return: `stop` says why. If this
/// returns, the shim is to return, whatever its answer is.
///
/// # Errors
/// The reason for which the run ends.
pub(crate) fn raise_at_call(kernel: &Kernel, site: CallSite, stop: Stop) -> Result<(), Stop> {
    let (code, parameters) = as_exception(kernel, stop)?;
    let record = record(code, parameters, site.return_address);
    after_return(site, Pending::Raise(record)).map_err(|()| unhandled(kernel, &record))
}

/// Has `pending` carried out when the shim that was called from `site` returns. Fails if
/// the driver's stack is not where its return address could be changed.
pub(crate) fn after_return(site: CallSite, pending: Pending) -> Result<(), ()> {
    let platform = run::platform();
    let slot = site.stack_pointer.checked_sub(8).ok_or(())?;
    let capture = cpu::capture as *const () as u64;
    platform
        .write(slot, &capture.to_le_bytes())
        .map_err(|_| ())?;
    platform.pending.set(Some((pending, site.return_address)));
    Ok(())
}

/// The driver's instruction at which `context` stands was not carried out: `stop` says why.
/// If this returns, the driver goes on with `context`.
///
/// # Errors
/// The reason for which the run ends.
pub(crate) fn raise_in_driver(
    kernel: &Kernel,
    stop: Stop,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut cpu = Cpu::from_trap(context);
    let (code, parameters) = as_exception(kernel, stop).inspect_err(|_| {
        kernel.note_stack(frames::addresses(run::platform(), &cpu));
    })?;
    let mut record = record(code, parameters, context.rip);
    dispatch::dispatch(kernel, run::platform(), &mut record, &mut cpu)?;
    cpu.go_on_from_trap(context);
    Ok(())
}

/// The code and parameters of what a driver may handle.
fn as_exception(kernel: &Kernel, stop: Stop) -> Result<(NtStatus, [u64; 4]), Stop> {
    match stop {
        Stop::BadAddress(bad) => match kernel.bad_address(bad) {
            Stop::Exception { code, parameters } => Ok((code, parameters)),
            other => Err(other),
        },
        Stop::Exception { code, parameters } => Ok((code, parameters)),
        other => Err(other),
    }
}

fn record(code: NtStatus, parameters: [u64; 4], address: u64) -> ExceptionRecord {
    let mut information = [0; MAXIMUM_PARAMETERS];
    information[..4].copy_from_slice(&parameters);
    let number_parameters = if code == NtStatus::ACCESS_VIOLATION {
        2
    } else {
        0
    };
    ExceptionRecord {
        exception_code: code,
        exception_flags: 0,
        exception_record: 0,
        exception_address: address,
        number_parameters,
        padding28: 0,
        exception_information: information,
    }
}

/// Ends the run for an exception that nobody handled.
fn unhandled(kernel: &Kernel, record: &ExceptionRecord) -> Stop {
    unhandled_at(kernel, record, record.exception_address)
}

/// As [`unhandled`], with the instruction that a reader wants to see.
fn unhandled_at(kernel: &Kernel, record: &ExceptionRecord, instruction: u64) -> Stop {
    let [p0, p1, p2, p3, ..] = record.exception_information;
    let mut bug_check = kernel.unhandled_exception(record.exception_code, [p0, p1, p2, p3]);
    bug_check.parameters[1] = record.exception_address;
    let place = match kernel.here() {
        here if here.address == instruction => here,
        _ => kernel.here_at(instruction),
    };
    kernel.end(Outcome::BugCheck { bug_check, place });
    Stop::Ended
}

/// Where [`capture`](cpu::capture) arrives with the driver's registers. If this returns,
/// the driver goes on with what is in `cpu` then.
///
/// # Safety
/// Called by `capture`, with what it saved.
pub(crate) unsafe extern "sysv64" fn arrive(cpu: *mut Cpu) {
    let (platform, kernel) = (run::platform(), run::current_kernel());
    kernel.end_passing();
    let driver = platform.leave_driver();
    let (pending, return_address) = platform
        .pending
        .take()
        .expect("a routine returned to `capture` for a reason");
    // SAFETY: `capture` saved it in its frame and waits; nothing else refers to it.
    let cpu = unsafe { &mut *cpu };
    cpu.rip = return_address;
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        carry_out(kernel, platform, pending, cpu)
    }));
    match result {
        Ok(Ok(())) => platform.enter_driver(driver),
        Ok(Err(stop)) => run::stop(kernel, stop),
        Err(payload) => platform.strands.leave_with_panic(payload),
    }
}

fn carry_out(
    kernel: &Kernel,
    platform: &LinuxPlatform,
    pending: Pending,
    cpu: &mut Cpu,
) -> Result<(), Stop> {
    match pending {
        Pending::Raise(mut record) => dispatch::dispatch(kernel, platform, &mut record, cpu),
        Pending::Unwind(request) => Err(unwind::unwind(kernel, platform, &request, cpu)),
        Pending::Restore(context) => {
            let context = kernel.read(dirql_kernel::DriverPtr::new(context))?;
            *cpu = Cpu::from_context(&context);
            Ok(())
        }
        Pending::Jump(request) => Err(jump::jump(kernel, platform, request, cpu)),
    }
}
