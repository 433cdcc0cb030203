//! Copies that survive an address that is not memory.
//!
//! A look-up in a table of pages would make every access of the kernel to a driver's
//! structure pay for the few that are wrong. So the copy just happens, and when it
//! faults, the fault handler sees that the instruction is in here, puts the faulting
//! address into `rax` and goes on at [`copy_fixup`]'s answer, which returns it.

use std::arch::global_asm;

// `rdi` target, `rsi` source, `rdx` length; 0 or the faulting address in `rax`. Nothing
// is pushed, so that `ret` is right wherever the fault was. Windows does not promise an
// order, but a copy that goes upwards leaves the same bytes behind in every run.
global_asm!(
    ".p2align 5",
    ".globl dirql_copy_start, dirql_copy_fault, dirql_copy_end",
    ".globl dirql_copy, dirql_copy1, dirql_copy2, dirql_copy4, dirql_copy8",
    "dirql_copy_start:",
    "dirql_copy8:",
    "    mov rcx, [rsi]",
    "    mov [rdi], rcx",
    "    xor eax, eax",
    "    ret",
    "dirql_copy4:",
    "    mov ecx, [rsi]",
    "    mov [rdi], ecx",
    "    xor eax, eax",
    "    ret",
    "dirql_copy2:",
    "    movzx ecx, word ptr [rsi]",
    "    mov [rdi], cx",
    "    xor eax, eax",
    "    ret",
    "dirql_copy1:",
    "    movzx ecx, byte ptr [rsi]",
    "    mov [rdi], cl",
    "    xor eax, eax",
    "    ret",
    ".p2align 4",
    "dirql_copy:",
    "    mov rcx, rdx",
    "    cmp rdx, 256",
    "    ja 5f",
    "    shr ecx, 4",
    "    jz 3f",
    "2:  movups xmm0, [rsi]",
    "    movups [rdi], xmm0",
    "    add rsi, 16",
    "    add rdi, 16",
    "    dec ecx",
    "    jnz 2b",
    "3:  test dl, 8",
    "    jz 7f",
    "    mov rax, [rsi]",
    "    mov [rdi], rax",
    "    add rsi, 8",
    "    add rdi, 8",
    "7:  and edx, 7",
    "    jz 6f",
    "4:  movzx eax, byte ptr [rsi]",
    "    mov [rdi], al",
    "    inc rsi",
    "    inc rdi",
    "    dec edx",
    "    jnz 4b",
    "    jmp 6f",
    "5:  rep movsb",
    "6:  xor eax, eax",
    "    ret",
    "dirql_copy_end:",
    "dirql_copy_fault:",
    "    ret",
);

// SAFETY: these are the symbols defined above, with the types that they are given here.
unsafe extern "sysv64" {
    fn dirql_copy(to: u64, from: u64, length: u64) -> u64;
    fn dirql_copy1(to: u64, from: u64) -> u64;
    fn dirql_copy2(to: u64, from: u64) -> u64;
    fn dirql_copy4(to: u64, from: u64) -> u64;
    fn dirql_copy8(to: u64, from: u64) -> u64;
    safe static dirql_copy_start: u8;
    safe static dirql_copy_end: u8;
    safe static dirql_copy_fault: u8;
}

/// If `instruction` belongs to the copy: where the fault handler goes on, with the
/// faulting address in `rax`.
pub(crate) fn copy_fixup(instruction: u64) -> Option<u64> {
    let address = |symbol: &u8| std::ptr::from_ref(symbol).addr() as u64;
    let copy = address(&dirql_copy_start)..address(&dirql_copy_end);
    copy.contains(&instruction)
        .then(|| address(&dirql_copy_fault))
}

/// Copies `into.len()` bytes from `address`. Returns 0, or the address that faulted.
///
/// # Safety
/// The trap handler is installed in this thread, or `address` is readable memory.
#[inline]
pub(super) unsafe fn copy_in(into: &mut [u8], address: u64) -> u64 {
    let length = into.len();
    let to = into.as_mut_ptr().expose_provenance() as u64;
    // SAFETY: `into` is valid for writes of `length` bytes and borrowed for the call; a bad
    // `address` is what the fix-up is for, as the caller promises.
    unsafe { copy(to, address, length) }
}

/// Copies `from` to `address`. Returns 0, or the address that faulted.
///
/// # Safety
/// The trap handler is installed in this thread, or `address` is writable memory. In
/// either case no Rust object lives there.
#[inline]
pub(super) unsafe fn copy_out(address: u64, from: &[u8]) -> u64 {
    let length = from.len();
    let from = from.as_ptr().expose_provenance() as u64;
    // SAFETY: `from` is valid for reads of `length` bytes; the target is the caller's promise.
    unsafe { copy(address, from, length) }
}

/// # Safety
/// Of the two ranges, the one that is not the driver's is valid for the access.
#[inline]
unsafe fn copy(to: u64, from: u64, length: usize) -> u64 {
    match length {
        // SAFETY: the caller's promise covers 8 bytes.
        8 => unsafe { dirql_copy8(to, from) },
        // SAFETY: the caller's promise covers 4 bytes.
        4 => unsafe { dirql_copy4(to, from) },
        // SAFETY: the caller's promise covers 2 bytes.
        2 => unsafe { dirql_copy2(to, from) },
        // SAFETY: the caller's promise covers 1 byte.
        1 => unsafe { dirql_copy1(to, from) },
        // SAFETY: the caller's promise covers `length` bytes.
        _ => unsafe { dirql_copy(to, from, length as u64) },
    }
}
