//! Routines that compilers call by themselves.

use dirql_kernel::{CallSite, Kernel};

use crate::ddi::{Export, stack_overflow};
use crate::run;

/// Exports that are about the call itself.
pub(super) const DIRECT: &[Export] = &[Export {
    name: "__chkstk",
    irql: None,
    shim: check_stack as *const (),
}];

/// `__chkstk`: the caller is about to use as many bytes of stack as `rax` says. No register
/// changes, the ones that arguments come in among them.
///
/// Source: Microsoft, "x64 prolog and epilog": what the helper keeps.
#[unsafe(naked)]
extern "win64" fn check_stack() {
    std::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rax",
        "push rcx",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        // The caller is in its prologue: its stack has any alignment.
        "sub rsp, 136",
        "and rsp, -16",
        "movaps [rsp + 32], xmm0",
        "movaps [rsp + 48], xmm1",
        "movaps [rsp + 64], xmm2",
        "movaps [rsp + 80], xmm3",
        "movaps [rsp + 96], xmm4",
        "movaps [rsp + 112], xmm5",
        "lea rcx, [rbp + 16]",
        "mov rdx, rax",
        "mov r8, [rbp + 8]",
        "call {look}",
        "movaps xmm0, [rsp + 32]",
        "movaps xmm1, [rsp + 48]",
        "movaps xmm2, [rsp + 64]",
        "movaps xmm3, [rsp + 80]",
        "movaps xmm4, [rsp + 96]",
        "movaps xmm5, [rsp + 112]",
        "lea rsp, [rbp - 56]",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "pop rbp",
        "ret",
        look = sym look_at_stack,
    )
}

/// Ends the run, as the store that would follow would on Windows, if the bytes are not there.
extern "win64" fn look_at_stack(stack_pointer: u64, bytes: u64, return_address: u64) {
    let platform = run::platform();
    let Some((_, usable)) = platform.strands.stack() else {
        return;
    };
    let wanted = stack_pointer.saturating_sub(bytes);
    let fits = wanted >= usable.start && !platform.strands.is_used_up(wanted);
    if fits || !usable.contains(&stack_pointer) {
        return;
    }
    let site = CallSite {
        stack_pointer: wanted,
        return_address,
    };
    let stop =
        |kernel: &Kernel| run::stop(kernel, stack_overflow(kernel, site.stack_pointer, site));
    stop(run::current_kernel())
}
