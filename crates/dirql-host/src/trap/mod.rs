//! What driver code does without calling an export: privileged instructions and accesses to
//! addresses that are not memory.
//!
//! Driver code runs natively. Port accesses, CR8, `cli` and the like fault in an ordinary
//! process, and so do accesses to device memory and KUSER_SHARED_DATA, which are never
//! mapped. The handler decodes the instruction and does what the processor would:
//! - what is privileged is done by a few lines each ([`emulate`]);
//! - a memory access is done by running the same instruction with a buffer as its memory
//!   operand ([`stub`], [`execute`]), between a read from and a write to the device ([`bus`]);
//! - string instructions go element by element ([`strings`]);
//! - a system call is not carried out, if that was asked for ([`system_call`]);
//! - everything else is a fault, which the kernel judges outside the handler
//!   ([`trampoline`]); interrupts that became due are delivered from there as well.
//!
//! # Invariants
//! - The handler runs no driver code, never leaves its stack, and takes bounded time.
//! - It knows the kernel and the host only as a [`Machine`].
//! - What it interrupts is driver code, which is never inside the allocator and holds no
//!   borrow: so the handler itself, and the devices that it asks, can allocate. It does so
//!   only when it sees an instruction for the first time.
//! - Interrupted code finds every register and flag as it left them.
//!
//! Not modelled: AMX; the processor's number in what a
//! trapped `rdtscp` reads (0); masked vector accesses,
//! gathers and scatters to device memory, and those of more than 64 bytes.

mod bus;
mod cache;
mod decode;
mod emulate;
mod exception;
mod execute;
mod fault;
mod handler;
mod install;
mod interrupt_flag;
mod machine;
mod operation;
mod registers;
mod state;
mod strings;
mod stub;
mod system_call;
mod trampoline;
mod vector;

#[cfg(test)]
mod tests;

pub(crate) use fault::Fault;
pub(crate) use handler::attend_first;
pub(crate) use install::{
    Attached, attach, forget, put_patches, restore, save_patches, trap_time_stamp_counter, warm_up,
};
pub(crate) use interrupt_flag::SavedPatches;
pub(crate) use machine::Machine;
pub(crate) use system_call::{SystemCall, intercept as intercept_system_calls};
pub(crate) use trampoline::{Context, interrupted};
