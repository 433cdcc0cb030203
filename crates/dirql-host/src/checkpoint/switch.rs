//! From one stack to another.

use std::arch::naked_asm;

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
