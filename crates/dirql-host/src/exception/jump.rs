//! `setjmp` and `longjmp`.
//!
//! A jump is an unwinding: the termination handlers of the frames that are left run, and the
//! registers at its end are those in the buffer. A buffer that names no frame is jumped to
//! without any handler.
//!
//! Not modelled: the control words in the buffer are neither stored nor restored.
//!
//! Source: C++ reference, "setjmp" and "longjmp" (the stack-unwinding semantics of exceptions);
//! `setjmp.h`, `_JUMP_BUFFER`; `winnt.h`, STATUS_LONGJUMP.

use std::arch::naked_asm;
use std::mem::offset_of;

use dirql_abi::NtStatus;
use dirql_abi::exception::{ExceptionRecord, JumpBuffer};
use dirql_kernel::{BadAddress, DriverPtr, Kernel, Stop};

use crate::ddi::enter_directly;
use crate::exception::cpu::Cpu;
use crate::exception::frames::Walk;
use crate::exception::{Pending, after_return, raise_at_call, record, unhandled, unwind};
use crate::run::LinuxPlatform;

/// Bytes that going on somewhere writes below the stack pointer there.
const BELOW: u64 = 24;

/// `int _setjmp(jmp_buf, void *Frame)`, and `_setjmpex`: compilers pass the frame of the caller, or
/// null for jumps that unwind nothing. Returns 0; a jump returns again.
#[unsafe(naked)]
pub(crate) extern "win64" fn set_jump() {
    naked_asm!(
        "sub rsp, {room}",
        "mov [rsp + 32 + {frame}], rdx",
        "mov [rsp + 32 + {rbx}], rbx",
        "lea rax, [rsp + {room} + 8]",
        "mov [rsp + 32 + {rsp}], rax",
        "mov [rsp + 32 + {rbp}], rbp",
        "mov [rsp + 32 + {rsi}], rsi",
        "mov [rsp + 32 + {rdi}], rdi",
        "mov [rsp + 32 + {r12}], r12",
        "mov [rsp + 32 + {r12} + 8], r13",
        "mov [rsp + 32 + {r12} + 16], r14",
        "mov [rsp + 32 + {r12} + 24], r15",
        "mov rax, [rsp + {room}]",
        "mov [rsp + 32 + {rip}], rax",
        "mov qword ptr [rsp + 32 + {control}], 0",
        "movups [rsp + 32 + {xmm}], xmm6",
        "movups [rsp + 32 + {xmm} + 16], xmm7",
        "movups [rsp + 32 + {xmm} + 32], xmm8",
        "movups [rsp + 32 + {xmm} + 48], xmm9",
        "movups [rsp + 32 + {xmm} + 64], xmm10",
        "movups [rsp + 32 + {xmm} + 80], xmm11",
        "movups [rsp + 32 + {xmm} + 96], xmm12",
        "movups [rsp + 32 + {xmm} + 112], xmm13",
        "movups [rsp + 32 + {xmm} + 128], xmm14",
        "movups [rsp + 32 + {xmm} + 144], xmm15",
        "lea rdx, [rsp + 32]",
        "call {save}",
        "add rsp, {room}",
        "ret",
        // Room for the arguments of a call, the buffer, and what aligns the stack.
        room = const 32 + size_of::<JumpBuffer>() + 24,
        frame = const offset_of!(JumpBuffer, frame),
        rbx = const offset_of!(JumpBuffer, rbx),
        rsp = const offset_of!(JumpBuffer, rsp),
        rbp = const offset_of!(JumpBuffer, rbp),
        rsi = const offset_of!(JumpBuffer, rsi),
        rdi = const offset_of!(JumpBuffer, rdi),
        r12 = const offset_of!(JumpBuffer, r12),
        rip = const offset_of!(JumpBuffer, rip),
        control = const offset_of!(JumpBuffer, mx_csr),
        xmm = const offset_of!(JumpBuffer, xmm6),
        save = sym save,
    )
}

/// Stores what [`set_jump`] has saved in the driver's buffer.
///
/// # Safety
/// `saved` is what that routine saved, in its frame.
unsafe extern "win64" fn save(buffer: u64, saved: *const JumpBuffer) -> u64 {
    enter_directly(|kernel: &Kernel, site| {
        // SAFETY: the caller's promise; the bytes are all set, and nobody writes to them.
        let saved = unsafe { saved.read_unaligned() };
        match kernel.write(DriverPtr::new(buffer), saved) {
            Ok(()) => Ok(0),
            Err(bad) => raise_at_call(kernel, site, Stop::BadAddress(bad)).map(|()| 0),
        }
    })
}

/// `void longjmp(jmp_buf, int)`: `_setjmp` returns again, with the number, or 1 in place of 0.
pub(crate) extern "win64" fn long_jump(buffer: u64, value: u32) -> u64 {
    enter_directly(|kernel: &Kernel, site| {
        let jump = match kernel.read(DriverPtr::<JumpBuffer>::new(buffer)) {
            Ok(jump) => jump,
            Err(bad) => return raise_at_call(kernel, site, Stop::BadAddress(bad)).map(|()| 0),
        };
        let request = Request {
            buffer,
            value: value.max(1),
            unwinds: jump.frame != 0,
        };
        after_return(site, Pending::Jump(request)).map_err(|()| {
            Stop::BadAddress(BadAddress {
                address: site.stack_pointer,
                write: true,
            })
        })?;
        Ok(0)
    })
}

/// What longjmp was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Where the [`JumpBuffer`] is.
    pub(crate) buffer: u64,
    /// What `_setjmp` returns.
    pub(crate) value: u32,
    /// Whether there is a frame to unwind to.
    pub(crate) unwinds: bool,
}

/// Jumps. Returns only if that cannot be done, with the reason for which the run ends.
pub(super) fn jump(kernel: &Kernel, platform: &LinuxPlatform, request: Request, cpu: &Cpu) -> Stop {
    let jump = match kernel.read(DriverPtr::<JumpBuffer>::new(request.buffer)) {
        Ok(jump) => jump,
        Err(bad) => return kernel.bad_address(bad),
    };
    let mut record = record(NtStatus::LONGJUMP, [request.buffer, 0, 0, 0], cpu.rip);
    record.number_parameters = 1;
    let value = u64::from(request.value);
    if request.unwinds {
        let unwinding = unwind::Request {
            target_frame: jump.frame,
            target_ip: jump.rip,
            record: (&raw const record).expose_provenance() as u64,
            return_value: value,
        };
        return unwind::unwind(kernel, platform, &unwinding, cpu);
    }
    let mut walk = Walk::new(platform, cpu);
    let Some(mut cpu) = registers(platform, &jump, cpu) else {
        return nowhere(kernel, &mut record);
    };
    if walk.pass_everything(cpu.rsp()).is_none() {
        return nowhere(kernel, &mut record);
    }
    cpu.set_rax(value);
    unwind::go_on(kernel, platform, &walk, cpu)
}

/// Whether a record tells of a jump, by this `longjmp` or by one in the driver.
pub(crate) fn is_jump(record: &ExceptionRecord) -> bool {
    record.exception_code == NtStatus::LONGJUMP && record.number_parameters >= 1
}

/// The stack pointer to which the jump goes that a record tells of; `None` if it tells of none.
///
/// # Errors
/// There is no buffer: the reason for which the run ends.
pub(super) fn stack_pointer(
    kernel: &Kernel,
    record: &ExceptionRecord,
) -> Result<Option<u64>, Stop> {
    if !is_jump(record) {
        return Ok(None);
    }
    let buffer = DriverPtr::<JumpBuffer>::new(record.exception_information[0]);
    let jump = kernel.read(buffer).map_err(|bad| kernel.bad_address(bad))?;
    Ok(Some(jump.rsp))
}

/// The registers in the buffer that a record of a jump tells of, at the end of its unwinding.
///
/// # Errors
/// It is no buffer any more: the reason for which the run ends.
pub(super) fn target(
    kernel: &Kernel,
    platform: &LinuxPlatform,
    record: &mut ExceptionRecord,
    cpu: &Cpu,
) -> Result<Cpu, Stop> {
    let buffer = DriverPtr::<JumpBuffer>::new(record.exception_information[0]);
    let jump = kernel.read(buffer).map_err(|bad| kernel.bad_address(bad))?;
    registers(platform, &jump, cpu).ok_or_else(|| nowhere(kernel, record))
}

/// The registers in a buffer; `None` if its stack pointer is not in the stack that is in use.
fn registers(platform: &LinuxPlatform, jump: &JumpBuffer, cpu: &Cpu) -> Option<Cpu> {
    let (_, stack) = platform.strands.stack()?;
    let lowest = jump.rsp.checked_sub(BELOW)?;
    (stack.contains(&lowest) && stack.contains(&jump.rsp)).then(|| cpu.jumped(jump))
}

fn nowhere(kernel: &Kernel, record: &mut ExceptionRecord) -> Stop {
    record.exception_code = NtStatus::INVALID_UNWIND_TARGET;
    unhandled(kernel, record)
}
