//! Unwinding to a frame that handles an exception.
//!
//! Source: WDK reference, RtlUnwindEx; Microsoft, "x64 exception handling".

use dirql_abi::NtStatus;
use dirql_abi::exception::{ExceptionRecord, exception_disposition, exception_flags};
use dirql_kernel::{DriverPtr, Kernel, Stop};

use crate::exception::cpu::Cpu;
use crate::exception::dispatch::call_handler;
use crate::exception::frames::Walk;
use crate::exception::{Active, jump, record, unhandled};
use crate::run::LinuxPlatform;

/// What RtlUnwindEx is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The frame to go on in; 0 unwinds all.
    pub(crate) target_frame: u64,
    /// Where to go on.
    pub(crate) target_ip: u64,
    /// The exception, or null.
    pub(crate) record: u64,
    /// What `rax` holds there.
    pub(crate) return_value: u64,
}

/// Calls the termination handlers of the frames from `cpu` to the target, and goes on there.
///
/// Returns only if the target cannot be reached, with the reason for which the run ends.
pub(super) fn unwind(
    kernel: &Kernel,
    platform: &LinuxPlatform,
    request: &Request,
    cpu: &Cpu,
) -> Stop {
    let mut record = match read_record(kernel, request, cpu) {
        Ok(record) => record,
        Err(stop) => return stop,
    };
    record.exception_flags |= exception_flags::EXCEPTION_UNWINDING;
    if request.target_frame == 0 {
        record.exception_flags |= exception_flags::EXCEPTION_EXIT_UNWIND;
    }
    let jump = match jump::stack_pointer(kernel, &record) {
        Ok(jump) => jump,
        Err(stop) => return stop,
    };
    let mut walk = Walk::new(platform, cpu);
    while let Some(frame) = walk.frame() {
        // Compilers do not agree on which address names the frame that called setjmp. It is the one
        // that the jump's stack pointer lies in.
        let target = match jump {
            Some(stack_pointer) => frame.holds(stack_pointer),
            None => frame.frame.establisher == request.target_frame,
        };
        if target {
            record.exception_flags |= exception_flags::EXCEPTION_TARGET_UNWIND;
        }
        if let Some(handler) = frame.handler(|handler| handler.on_unwind) {
            let mut registers = frame.cpu;
            registers.set_rax(request.return_value);
            let mut context = registers.to_context();
            let mut dispatcher =
                frame.dispatcher_context((&raw mut context).expose_provenance() as u64);
            dispatcher.target_ip = request.target_ip;
            let active = Active {
                cpu: frame.cpu,
                dispatcher: &raw const dispatcher,
                outer: walk.outer,
            };
            let arguments = [
                (&raw mut record).expose_provenance() as u64,
                frame.frame.establisher,
                (&raw mut context).expose_provenance() as u64,
                (&raw mut dispatcher).expose_provenance() as u64,
            ];
            let disposition = call_handler(platform, &active, handler, arguments);
            if disposition != exception_disposition::ExceptionContinueSearch {
                record.exception_code = NtStatus::INVALID_DISPOSITION;
                return unhandled(kernel, &record);
            }
        }
        if target {
            return arrive(kernel, platform, &walk, frame.cpu, request, &mut record);
        }
        walk.leave(&frame);
    }
    record.exception_code = NtStatus::INVALID_UNWIND_TARGET;
    unhandled(kernel, &record)
}

/// Goes on in the target frame, or where the record's code says: a jump at what is in its buffer,
/// a consolidated unwinding where the routine that it tells of wants to, which is called first.
fn arrive(
    kernel: &Kernel,
    platform: &LinuxPlatform,
    walk: &Walk<'_>,
    mut cpu: Cpu,
    request: &Request,
    record: &mut ExceptionRecord,
) -> Stop {
    cpu.rip = request.target_ip;
    let consolidates = record.exception_code == NtStatus::UNWIND_CONSOLIDATE;
    if jump::is_jump(record) {
        match jump::target(kernel, platform, record, &cpu) {
            Ok(target) => cpu = target,
            Err(stop) => return stop,
        }
    }
    if consolidates && record.number_parameters >= 1 {
        let routine = record.exception_information[0];
        let record = (&raw mut *record).expose_provenance() as u64;
        cpu.rip = platform.call_within(routine, &[record]);
    }
    cpu.set_rax(request.return_value);
    go_on(kernel, platform, walk, cpu)
}

/// Goes on with registers in a frame that `walk` has come to.
pub(super) fn go_on(kernel: &Kernel, platform: &LinuxPlatform, walk: &Walk<'_>, cpu: Cpu) -> ! {
    platform.active.set(walk.outer);
    if let Some(left) = &walk.left_crossing {
        platform.leave_crossing(left);
        if let Some(outer) = left.from {
            kernel.routine_left(outer);
        }
    }
    platform.enter_driver(true);
    // SAFETY: the walk came to this frame from where this strand stopped in driver code, so
    // it is a driver's and further out on this stack; registers of a jump lie in that stack. In
    // between are frames of drivers and those of handling this exception, which own nothing
    // while a handler runs.
    unsafe { cpu.go_on() }
}

fn read_record(kernel: &Kernel, request: &Request, cpu: &Cpu) -> Result<ExceptionRecord, Stop> {
    if request.record == 0 {
        return Ok(record(NtStatus::UNWIND, [0; 4], cpu.rip));
    }
    kernel
        .read(DriverPtr::new(request.record))
        .map_err(|bad| kernel.bad_address(bad))
}
