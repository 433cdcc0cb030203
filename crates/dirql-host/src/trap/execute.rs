//! Runs one instruction with the interrupted code's registers.
//!
//! The general registers other than `rsp`, the arithmetic flags, and on demand the vector
//! state come from the signal frame and go back to it, so the processor itself does the
//! arithmetic and no instruction's result is computed a second time here.

use std::arch::naked_asm;

use super::exception;
use super::fault::{FLOATING_POINT, FaultKind};
use super::registers::Registers;

/// MXCSR as it is when a process starts.
const DEFAULT_MXCSR: u32 = 0x1F80;

/// Answers of `run`; 0 is success.
const DIVIDE: u64 = 1;
const INVALID: u64 = 2;
const FLOAT: u64 = 3;
const PROTECTION: u64 = 4;

/// Calls `stub` with the registers of the signal frame and stores what it leaves.
///
/// `stub` holds one instruction that neither uses nor changes `rsp`, and a return. If the
/// operand's value makes the instruction fault, nothing is stored and the error says how; a
/// page fault inside it is ours, see [`recovery`].
///
/// # Safety
/// `stub` is such code and accesses only memory that is meant for it. If `components` is
/// not 0, the frame holds an XSAVE area that has them.
pub(super) unsafe fn execute(
    registers: &mut Registers<'_>,
    stub: *const u8,
    components: u64,
) -> Result<(), FaultKind> {
    let vector_state = registers.vector_state();
    // SAFETY: the array is the frame's, in the order that the code below expects; the rest
    // is the caller's promise.
    match unsafe { run(registers.linux_order(), stub, vector_state, components) } {
        0 => Ok(()),
        DIVIDE => Err(FaultKind::Divide),
        INVALID => Err(FaultKind::InvalidOpcode),
        FLOAT => Err(FLOATING_POINT),
        _ => Err(FaultKind::GeneralProtection),
    }
}

/// Where to go on when a stub raised an exception, with the answer of `run` in `rax`.
/// `None`: a stub cannot raise it.
pub(super) fn recovery(exception: u64) -> Option<(u64, u64)> {
    let answer = match exception {
        exception::DIVIDE => DIVIDE,
        exception::INVALID_OPCODE => INVALID,
        exception::X87 | exception::SIMD => FLOAT,
        // A control word with a reserved bit, for example.
        exception::PROTECTION => PROTECTION,
        _ => return None,
    };
    Some((recover as *const () as u64, answer))
}

// The registers are at Linux's places: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp,
// rip, flags. Below the return address and the preserved registers lie: the array, the stub,
// the vector state, its components.
#[unsafe(naked)]
unsafe extern "sysv64" fn run(
    registers: *mut i64,
    stub: *const u8,
    vector_state: *mut u8,
    components: u64,
) -> u64 {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "mov rsi, rdx",
        "mov eax, ecx",
        "test eax, eax",
        "jz 2f",
        "xor edx, edx",
        "xrstor64 [rsi]",
        "2:",
        "mov rax, [rdi + 136]",
        "and eax, {arithmetic}",
        "push rax",
        "popfq",
        "mov r8, [rdi]",
        "mov r9, [rdi + 8]",
        "mov r10, [rdi + 16]",
        "mov r11, [rdi + 24]",
        "mov r12, [rdi + 32]",
        "mov r13, [rdi + 40]",
        "mov r14, [rdi + 48]",
        "mov r15, [rdi + 56]",
        "mov rsi, [rdi + 72]",
        "mov rbp, [rdi + 80]",
        "mov rbx, [rdi + 88]",
        "mov rdx, [rdi + 96]",
        "mov rax, [rdi + 104]",
        "mov rcx, [rdi + 112]",
        "mov rdi, [rdi + 64]",
        "call [rsp + 16]",
        "pushfq",
        "push rdi",
        "mov rdi, [rsp + 40]",
        "mov [rdi], r8",
        "mov [rdi + 8], r9",
        "mov [rdi + 16], r10",
        "mov [rdi + 24], r11",
        "mov [rdi + 32], r12",
        "mov [rdi + 40], r13",
        "mov [rdi + 48], r14",
        "mov [rdi + 56], r15",
        "mov [rdi + 72], rsi",
        "mov [rdi + 80], rbp",
        "mov [rdi + 88], rbx",
        "mov [rdi + 96], rdx",
        "mov [rdi + 104], rax",
        "mov [rdi + 112], rcx",
        "pop rax",
        "mov [rdi + 64], rax",
        "pop rax",
        "mov rcx, [rdi + 136]",
        "and eax, {arithmetic}",
        "and rcx, {other}",
        "or rcx, rax",
        "mov [rdi + 136], rcx",
        "pop rax",
        "pop rsi",
        "test eax, eax",
        "jz 3f",
        "xor edx, edx",
        "xsave64 [rsi]",
        "push {mxcsr}",
        "ldmxcsr [rsp]",
        "pop rax",
        "3:",
        "xor eax, eax",
        "add rsp, 16",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "cld",
        "ret",
        arithmetic = const super::registers::ARITHMETIC_FLAGS,
        other = const !(super::registers::ARITHMETIC_FLAGS as i64),
        mxcsr = const DEFAULT_MXCSR,
    )
}

// Reached from the signal handler with the stack as it was inside the stub: its return
// address and the four words are skipped.
#[unsafe(naked)]
unsafe extern "sysv64" fn recover() {
    naked_asm!(
        "mov dword ptr [rsp], {mxcsr}",
        "ldmxcsr [rsp]",
        "add rsp, 40",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "cld",
        "ret",
        mxcsr = const DEFAULT_MXCSR,
    )
}
