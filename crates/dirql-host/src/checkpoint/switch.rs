//! From one stack to another.

use std::arch::naked_asm;

/// Zeroes what a function may change and does not return anything in: code that saves such a
/// register, or pushes one for alignment, would write down what somebody else has left there.
macro_rules! forget_registers {
    () => {
        "xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor r8d, r8d
        xor r9d, r9d
        xor r10d, r10d
        xor r11d, r11d
        xorps xmm0, xmm0
        xorps xmm1, xmm1
        xorps xmm2, xmm2
        xorps xmm3, xmm3
        xorps xmm4, xmm4
        xorps xmm5, xmm5
        xorps xmm6, xmm6
        xorps xmm7, xmm7
        xorps xmm8, xmm8
        xorps xmm9, xmm9
        xorps xmm10, xmm10
        xorps xmm11, xmm11
        xorps xmm12, xmm12
        xorps xmm13, xmm13
        xorps xmm14, xmm14
        xorps xmm15, xmm15"
    };
}

/// Leaves the running stack, notes in `from` where it is to go on, and goes on where `to` says.
/// Returns when somebody switches back.
///
/// # Safety
/// `to` was noted by this function, or is from [`prepare`], and is the latest of its stack or
/// one whose stack has been put back to what it was then.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn switch(from: *mut u64, to: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        forget_registers!(),
        "xor eax, eax",
        "ret",
    )
}

/// Has `body` called with `argument` on the stack that ends at `top`, and returns what it returned.
/// Nothing else comes back: the float control word and the direction flag are what they were, and
/// registers that a function may change hold nothing.
///
/// # Safety
/// Below `top`, a multiple of 16, is writable memory that nothing else uses. `body` does not unwind.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn call_elsewhere(
    argument: *const (),
    body: unsafe extern "sysv64" fn(*const ()) -> u64,
    top: u64,
) -> u64 {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, 16",
        "stmxcsr [rsp]",
        "mov rsp, rdx",
        "call rsi",
        "lea rsp, [rbp - 16]",
        "ldmxcsr [rsp]",
        "mov rsp, rbp",
        "pop rbp",
        forget_registers!(),
        "ret",
    )
}

/// Lays out an empty stack that ends at `top` so that switching to it calls `body`, which never
/// returns.
///
/// # Safety
/// Below `top`, a multiple of 16, is writable memory that nothing else uses.
pub(super) unsafe fn prepare(top: u64, body: extern "sysv64" fn() -> !) -> u64 {
    /// MXCSR and the x87 control word as a process begins with them.
    const CONTROL: u64 = 0x037F_0000_1F80;
    // Control words, six registers, where `ret` goes, and what that function takes for its
    // return address, which also puts the stack where a function expects it.
    let content = [CONTROL, 0, 0, 0, 0, 0, 0, body as *const () as u64, 0];
    let start = top - size_of_val(&content) as u64;
    let place = std::ptr::with_exposed_provenance_mut::<[u64; 9]>(start as usize);
    // SAFETY: the caller's promise.
    unsafe { place.write(content) };
    start
}
