//! Looking for a handler.
//!
//! Source: Microsoft, "x64 exception handling", Language-specific handler; the order and
//! the flags are those of `RtlDispatchException`.

use dirql_abi::NtStatus;
use dirql_abi::exception::{ExceptionRecord, exception_disposition, exception_flags};
use dirql_kernel::{Kernel, Stop};

use crate::exception::cpu::Cpu;
use crate::exception::frames::{Walk, addresses};
use crate::exception::{Active, unhandled, unhandled_at};
use crate::run::LinuxPlatform;

/// Offers the exception to the handlers of the frames from `cpu` outwards. Returns if one of
/// them wants the driver to go on with what is in `cpu` then; does not return if one
/// unwinds to its own frame.
///
/// # Errors
/// Nobody handled it: the reason for which the run ends.
pub(super) fn dispatch(
    kernel: &Kernel,
    platform: &LinuxPlatform,
    record: &mut ExceptionRecord,
    cpu: &mut Cpu,
) -> Result<(), Stop> {
    // Without a stack of its own there are no frames either.
    let on_stack = platform
        .strands
        .stack()
        .is_some_and(|(_, stack)| stack.contains(&cpu.rsp()));
    let mut context = cpu.to_context();
    let mut walk = Walk::new(platform, cpu);
    let active = Active {
        cpu: *cpu,
        dispatcher: std::ptr::null(),
        outer: platform.active.get(),
    };
    while on_stack && let Some(frame) = walk.frame() {
        if frame.nested {
            record.exception_flags |= exception_flags::EXCEPTION_NESTED_CALL;
        }
        if let Some(handler) = frame.handler(|handler| handler.on_exception) {
            let mut dispatcher =
                frame.dispatcher_context((&raw const context).expose_provenance() as u64);
            let arguments = [
                (&raw mut *record).expose_provenance() as u64,
                frame.frame.establisher,
                (&raw mut context).expose_provenance() as u64,
                (&raw mut dispatcher).expose_provenance() as u64,
            ];
            match call_handler(platform, &active, handler, arguments) {
                exception_disposition::ExceptionContinueExecution => {
                    if record.exception_flags & exception_flags::EXCEPTION_NONCONTINUABLE != 0 {
                        record.exception_code = NtStatus::NONCONTINUABLE_EXCEPTION;
                        return Err(unhandled(kernel, record));
                    }
                    *cpu = Cpu::from_context(&context);
                    return Ok(());
                }
                exception_disposition::ExceptionContinueSearch => {}
                exception_disposition::ExceptionNestedException => {
                    record.exception_flags |= exception_flags::EXCEPTION_NESTED_CALL;
                }
                _ => {
                    record.exception_code = NtStatus::INVALID_DISPOSITION;
                    return Err(unhandled(kernel, record));
                }
            }
        }
        walk.leave(&frame);
    }
    kernel.note_stack(addresses(platform, cpu));
    let caller = match platform.has_frames(cpu.rip) {
        true => None,
        false => platform
            .caller_of_nowhere(cpu.rip, cpu.rsp())
            .or_else(|| platform.left_to_nowhere(cpu.rip, cpu.rsp())),
    };
    let instruction = caller.map_or(record.exception_address, |caller| caller - 1);
    Err(unhandled_at(kernel, record, instruction))
}

/// Calls a language handler, which is driver code, for the exception `active`.
pub(super) fn call_handler(
    platform: &LinuxPlatform,
    active: &Active,
    handler: u64,
    arguments: [u64; 4],
) -> u32 {
    let outer = platform.active.replace(active);
    let disposition = platform.call_within(handler, &arguments);
    platform.active.set(outer);
    disposition as u32
}
