//! Code that all twins share.
//!
//! A twin leaves to an address that only the running program knows through [`LOOK_UP`]: if
//! that is code of an image that has a twin, control goes to the twin, else to the address
//! itself. No flag and no register changes; what is needed meanwhile is kept in slots
//! that `gs` points at, beside the one of the thunks.

use dirql_kernel::mm::layout::PHYSICAL_WINDOW;

use super::area::{TABLE, TWINS};
use super::emit::{Code, RAX, RCX};
use super::{carry_out, probe};

/// `rax` of the code that looks something up.
pub(super) const SLOT_RAX: u32 = 0xF10;
/// Its `rcx`.
pub(super) const SLOT_RCX: u32 = 0xF18;
/// Where it goes on.
pub(super) const SLOT_TARGET: u32 = 0xF20;
/// Where the driver's code would go on.
pub(super) const SLOT_ORIGINAL: u32 = 0xF28;

/// Where the next record goes.
pub(super) const SLOT_RECORD: u32 = 0xF30;

/// Where prints of blocks go; see [`super::footprints`].
pub(super) const SLOT_ROW: u32 = 0xF38;

/// Where it is counted how many probes may still be passed by, 0 if that was never said; see
/// [`super::probe`].
pub(super) const SLOT_QUIET: u32 = 0xF40;

/// Offset of the gate for a target in [`SLOT_ORIGINAL`].
pub(super) const LOOK_UP: u32 = 0x40;

/// Offset of the gate for a target in `rax`, whose value is in [`SLOT_RAX`].
pub(super) const LOOK_UP_RAX: u32 = 0x80;

/// Offset of the gate to [`probe::enter`].
pub(super) const PROBE: u32 = 0x100;

/// Offset of the gate to [`probe::enter_with_vectors`].
pub(super) const PROBE_WITH_VECTORS: u32 = 0x140;

/// Offset of the same for a probe that is never passed by.
pub(super) const PROBE_ALWAYS: u32 = 0x180;

/// Offset of the gate to [`carry_out::enter`].
pub(super) const CARRY_OUT: u32 = 0x1A0;

/// The first page of the twins' area.
pub(super) fn code() -> Vec<u8> {
    let mut code = Code::at(0);
    code.pad_to(LOOK_UP);
    code.store_slot(SLOT_RAX, RAX);
    code.load_slot(RAX, SLOT_ORIGINAL);
    code.jump_to(LOOK_UP_RAX);
    code.pad_to(LOOK_UP_RAX);
    code.store_slot(SLOT_RCX, RCX);
    code.store_slot(SLOT_TARGET, RAX);
    // Whether the upper half is the window's, without touching a flag.
    code.bytes(&[0x48, 0x89, 0xC1]); // mov rcx, rax
    code.bytes(&[0x48, 0x0F, 0xC9]); // bswap rcx
    code.bytes(&[0x89, 0xC9]); // mov ecx, ecx
    let upper = ((PHYSICAL_WINDOW >> 32) as u32).swap_bytes();
    code.bytes(&[0x48, 0x8D, 0x89]); // lea rcx, [rcx - upper]
    code.bytes(&upper.wrapping_neg().to_le_bytes());
    let inside = code.short_if_rcx_zero();
    let outside = code.here();
    code.load_slot(RCX, SLOT_RCX);
    code.load_slot(RAX, SLOT_RAX);
    code.jump_to_slot(SLOT_TARGET);
    code.land(inside);
    code.bytes(&[0x89, 0xC1]); // mov ecx, eax
    code.load_immediate(RAX, TABLE.start);
    code.bytes(&[0x8B, 0x0C, 0x88]); // mov ecx, [rax + 4 * rcx]
    let none = code.short_if_rcx_zero();
    code.load_immediate(RAX, TWINS.start);
    code.bytes(&[0x48, 0x8D, 0x04, 0x08]); // lea rax, [rax + rcx]
    code.store_slot(SLOT_TARGET, RAX);
    code.land(none);
    code.jump_to(outside);
    code.pad_to(PROBE);
    pass_by(&mut code);
    code.jump_far(probe::enter as *const () as u64);
    code.pad_to(PROBE_WITH_VECTORS);
    pass_by(&mut code);
    code.jump_far(probe::enter_with_vectors as *const () as u64);
    code.pad_to(PROBE_ALWAYS);
    code.jump_far(probe::enter_with_vectors as *const () as u64);
    code.pad_to(CARRY_OUT);
    code.jump_far(carry_out::enter as *const () as u64);
    code.into_bytes()
}

/// Goes back to where a probe was called, and counts that, if it may be passed by.
fn pass_by(code: &mut Code) {
    code.bytes(&[0x51]); // push rcx
    code.bytes(&[0x50]); // push rax
    code.load_slot(RCX, SLOT_QUIET);
    let unknown = code.short_if_rcx_zero();
    code.bytes(&[0x48, 0x89, 0xC8]); // mov rax, rcx
    code.bytes(&[0x48, 0x8B, 0x08]); // mov rcx, [rax]
    let none = code.short_if_rcx_zero();
    code.bytes(&[0x48, 0x8D, 0x49, 0xFF]); // lea rcx, [rcx - 1]
    code.bytes(&[0x48, 0x89, 0x08]); // mov [rax], rcx
    code.bytes(&[0x58]); // pop rax
    code.bytes(&[0x59]); // pop rcx
    code.bytes(&[0xC2, 0x08, 0x00]); // ret 8
    code.land(unknown);
    code.land(none);
    code.bytes(&[0x58]); // pop rax
    code.bytes(&[0x59]); // pop rcx
}
