//! From the kernel into a routine of a driver's.

use std::arch::{asm, naked_asm};

use crate::registers::FloatControl;

/// Calls `routine` with the Win64 convention. What it leaves behind in control bits that
/// our own code relies on is put right; in Win64 as here, the x87 control word belongs to
/// whoever uses x87, and nothing of ours does.
#[inline]
pub(crate) fn call_driver(routine: u64, arguments: &[u64]) -> u64 {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    assert!(arguments.len() <= 12, "{} arguments", arguments.len());
    let floats = FloatControl::take();
    // That driver code is there and keeps to the convention is what a bench cannot know before it
    // has tried: an address that is not code faults, into our handler.
    let result = if arguments.len() <= 4 {
        enter_with_four(argument(0), argument(1), argument(2), argument(3), routine)
    } else {
        // In this convention the caller removes the arguments, so a callee that expects fewer is
        // none the wiser.
        enter_with_twelve(
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
            argument(6),
            argument(7),
            argument(8),
            argument(9),
            argument(10),
            argument(11),
            routine,
        )
    };
    // SAFETY: our code wants the flag clear, as it was before the call.
    unsafe { asm!("cld", options(nomem, nostack)) };
    floats.give_back();
    result
}

/// Goes on at `routine`. What a call leaves undefined of the registers that hold integers is 0: what
/// would be in them is an address of ours, and it would reach results where a routine returns
/// nothing.
#[unsafe(naked)]
extern "win64" fn enter_with_four(_: u64, _: u64, _: u64, _: u64, routine: u64) -> u64 {
    naked_asm!(
        "xor eax, eax",
        "xor r10d, r10d",
        "xor r11d, r11d",
        "jmp [rsp + 40]",
    )
}

/// The same for a routine with more arguments.
#[unsafe(naked)]
extern "win64" fn enter_with_twelve(
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    routine: u64,
) -> u64 {
    naked_asm!(
        "xor eax, eax",
        "xor r10d, r10d",
        "xor r11d, r11d",
        "jmp [rsp + 104]",
    )
}
