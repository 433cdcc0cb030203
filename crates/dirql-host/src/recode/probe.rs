//! From a twin to the kernel and back, before an instruction.
//!
//! Until the kernel is entered some other way nothing can become different for the probes that
//! follow one: as many as the kernel says are passed by in the [gate](super::gate).

use std::arch::{asm, naked_asm};
use std::panic::AssertUnwindSafe;

use dirql_kernel::{Ddi, Kernel};

use super::Recoder;
use super::gate::SLOT_QUIET;
use crate::run::{self, LinuxPlatform};

/// Bytes of stack that driver code takes at most between two calls of the kernel in the same turn:
/// a frame of more than a page calls `__chkstk`.
const STRETCH: u64 = 0x1_0000;

/// Where the gate of probes leads. On the stack are the address in the twin to go on at and,
/// above it, that of the driver's instruction; both are removed.
///
/// Saves what the Win64 convention lets a routine change, and the flags. What the upper parts
/// of vector registers hold is saved by [`enter_with_vectors`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter() {
    naked_asm!(
        "pushfq",
        "cld",
        "push rax",
        "push rcx",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push rbp",
        "mov rbp, rsp",
        "mov rcx, [rbp + 80]",
        "lea rdx, [rbp + 88]",
        "sub rsp, 160",
        "and rsp, -16",
        "movaps [rsp + 32], xmm0",
        "movaps [rsp + 48], xmm1",
        "movaps [rsp + 64], xmm2",
        "movaps [rsp + 80], xmm3",
        "movaps [rsp + 96], xmm4",
        "movaps [rsp + 112], xmm5",
        "stmxcsr [rsp + 128]",
        "call {probe}",
        "ldmxcsr [rsp + 128]",
        "movaps xmm0, [rsp + 32]",
        "movaps xmm1, [rsp + 48]",
        "movaps xmm2, [rsp + 64]",
        "movaps xmm3, [rsp + 80]",
        "movaps xmm4, [rsp + 96]",
        "movaps xmm5, [rsp + 112]",
        "mov rsp, rbp",
        "pop rbp",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "popfq",
        "ret 8",
        probe = sym probe,
    )
}

/// As [`enter`], for drivers that use vector registers of more than 128 bits.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter_with_vectors() {
    naked_asm!(
        "pushfq",
        "cld",
        "push rax",
        "push rcx",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push rbp",
        "push rbx",
        "mov rbp, rsp",
        // The area for the x87, SSE, AVX and AVX-512 components is below 4 KiB.
        "sub rsp, 4096",
        "and rsp, -64",
        "xor eax, eax",
        "mov [rsp + 512], rax",
        "mov [rsp + 520], rax",
        "mov [rsp + 528], rax",
        "mov [rsp + 536], rax",
        "mov [rsp + 544], rax",
        "mov [rsp + 552], rax",
        "mov [rsp + 560], rax",
        "mov [rsp + 568], rax",
        "xor ecx, ecx",
        "xgetbv",
        "and eax, 0xE7",
        "xor edx, edx",
        "mov ebx, eax",
        "xsave64 [rsp]",
        "mov rcx, [rbp + 88]",
        "lea rdx, [rbp + 96]",
        "sub rsp, 64",
        "call {probe}",
        "add rsp, 64",
        "mov eax, ebx",
        "xor edx, edx",
        "xrstor64 [rsp]",
        "mov rsp, rbp",
        "pop rbx",
        "pop rbp",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "popfq",
        "ret 8",
        probe = sym probe,
    )
}

/// The driver's instruction at `instruction` is next, with the stack pointer at
/// `stack_pointer`: something else may happen first.
extern "win64" fn probe(instruction: u64, stack_pointer: u64) {
    let platform = run::platform();
    // What the kernel does needs more of the stack than the driver has left.
    if platform.strands.is_used_up(stack_pointer) {
        return;
    }
    let recoder = platform.space.recoder();
    if recoder.is_some_and(|recoder| recoder.stops_at(instruction)) {
        stand_before(platform, instruction, stack_pointer, Kernel::attend);
        pass_next_by(platform, stack_pointer);
    }
    if recoder.is_some_and(|recoder| recoder.is_extended(instruction)) {
        stand_before(platform, instruction, stack_pointer, |kernel| {
            kernel.use_extended_state(instruction)
        });
    }
}

/// Has the gate pass by the probes that come next and do nothing. What is recorded is taken at each,
/// and where the stack may be used up before the last of them each looks whether it is.
fn pass_next_by(platform: &LinuxPlatform, stack_pointer: u64) {
    if platform.space.recoder().is_none_or(Recoder::is_recording)
        || platform.strands.is_used_up_after(stack_pointer, STRETCH)
    {
        return;
    }
    if let Some(count) = run::current_kernel().let_pass() {
        // SAFETY: `gs` points at a KPCR, which has this slot, beside those of the gates, in a page
        // that stays open.
        unsafe {
            asm!(
                "mov gs:[{slot}], {}",
                in(reg) count.as_ptr(),
                slot = const SLOT_QUIET,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[inline(never)]
fn stand_before(
    platform: &LinuxPlatform,
    instruction: u64,
    stack_pointer: u64,
    attend: impl FnOnce(&Kernel) -> Ddi<()>,
) {
    platform.probed.set((instruction, stack_pointer));
    let kernel = run::current_kernel();
    platform.end_records(kernel);
    let driver = platform.leave_driver();
    let outer = platform.stand_at(instruction, stack_pointer);
    kernel.come_to(instruction);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| attend(kernel)));
    match result {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => run::stop(kernel, stop),
        Err(payload) => platform.strands.leave_with_panic(payload),
    }
    platform.stand_back(outer);
    platform.enter_driver(driver);
}
