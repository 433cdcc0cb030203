//! Leaving the signal handler for code that may take long, switch strands, or not come back.
//!
//! The handler writes the interrupted code's registers into a [`Frame`] on that code's own
//! stack and makes Linux return to [`trampoline`] instead. It saves the vector state, calls
//! [`arrive`], restores everything and goes on where the code was interrupted, with one
//! `iretq`, so that no register and no byte above the interrupted stack pointer changes.

use std::arch::naked_asm;
use std::mem::offset_of;

use super::decode;
use super::fault::{Fault, FaultAccess, FaultKind};
use super::machine::Machine;
use super::registers::{RBX, RDI, RSP, Registers};
use super::state::{self, State};
use super::system_call::SystemCall;

/// Bytes below the stack pointer that are left alone: none in Win64 code, but an
/// in-process driver is compiled with the red zone of the System V convention.
const RED_ZONE: u64 = 128;

/// A stack must have this much room to be run on. What runs there is the kernel's code and
/// nested routines of drivers; it is better to say that the stack is exhausted while only
/// driver code is on it than in the middle of that.
const LEAST_ROOM: u64 = 0x8000;

/// IF is what an ordinary process has; all else is clear.
const PLAIN_FLAGS: u64 = 0x202;

/// Nested-task, which makes `iretq` fault, and trap flag.
const NEVER_RESTORED: u64 = 0x4100;

/// Registers of interrupted driver code. Changing them changes what it goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Context {
    /// General registers in the order of their numbers: rax, rcx, rdx, rbx, rsp, rbp, rsi,
    /// rdi, r8 to r15.
    pub(crate) general: [u64; 16],
    /// Where it goes on.
    pub(crate) rip: u64,
    /// RFLAGS.
    pub(crate) flags: u64,
    /// Address of the XSAVE area with the vector registers, standard form.
    area: u64,
}

impl Context {
    /// Offset of XMM0 in an XSAVE area.
    const XMM: u64 = 160;
    /// Offset of XSTATE_BV.
    const IN_USE: u64 = 512;

    /// Vector register `number % 16`, its low 128 bits.
    pub(crate) fn xmm(&self, number: u8) -> u128 {
        let place = self.area + Self::XMM + 16 * u64::from(number & 15);
        // SAFETY: the area is on the stack below this value, saved by the trampoline, which
        // always saves the SSE component; it holds all 16 registers.
        unsafe { std::ptr::with_exposed_provenance::<u128>(place as usize).read() }
    }

    /// Sets the low 128 bits of vector register `number % 16`.
    pub(crate) fn set_xmm(&mut self, number: u8, value: u128) {
        let place = self.area + Self::XMM + 16 * u64::from(number & 15);
        let header =
            std::ptr::with_exposed_provenance_mut::<u64>((self.area + Self::IN_USE) as usize);
        // SAFETY: as for reading; nothing else refers to the area.
        unsafe { std::ptr::with_exposed_provenance_mut::<u128>(place as usize).write(value) };
        // SAFETY: the header follows the legacy region; bit 1 says that SSE state is there.
        unsafe { *header |= 2 };
    }
}

/// Why the handler was left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    /// The kernel has something to do.
    Attend,
    /// The driver faulted.
    Fault(Fault),
    /// The driver made a system call.
    SystemCall(SystemCall),
    /// The driver executed this, which is not carried out.
    Unsupported { instruction: u64, bytes: [u8; 15] },
}

/// What the trampoline works on. The first part is known to the assembly code.
#[repr(C, align(64))]
pub(super) struct Frame {
    context: Context,
    /// rip, cs, flags, rsp, ss: what `iretq` takes.
    resume: [u64; 5],
    selectors: (u64, u64),
    reason: Reason,
}

const _: () = assert!(offset_of!(Frame, context) == 0 && offset_of!(Context, general) == 0);

/// Makes the interrupted code go on in the trampoline. `registers` are as it is to find
/// them when it goes on.
pub(super) fn redirect(
    state: &State,
    machine: &dyn Machine,
    registers: &mut Registers<'_>,
    reason: Reason,
) {
    // SAFETY: the pointer is the frame's own.
    let save = unsafe { state.vectors.in_use(registers.vector_state()) };
    let stack_pointer = registers.get(RSP);
    let room = machine.stack_room(stack_pointer);
    let spare = state.spare.range();
    let usable = room.is_some_and(|room| room >= LEAST_ROOM) || spare.contains(&stack_pointer);
    let (top, reason) = if usable {
        (stack_pointer - RED_ZONE, reason)
    } else {
        (spare.end, without_stack(reason, registers))
    };
    let frame = (top - size_of::<Frame>() as u64) & !63;
    let area = (frame - state.vectors.area(save) as u64) & !63;
    let content = Frame {
        context: context(registers, area),
        resume: [0; 5],
        selectors: registers.selectors(),
        reason,
    };
    // SAFETY: the place is below the interrupted code's stack pointer and red zone, in a
    // stack that has enough room and is writable, or on the spare stack; no Rust object is
    // there, because the interrupted code is a driver's.
    unsafe { std::ptr::with_exposed_provenance_mut::<Frame>(frame as usize).write(content) };
    registers.set_rip(trampoline as *const () as u64);
    registers.set_flags(PLAIN_FLAGS);
    registers.set(RSP, area);
    registers.set(RBX, frame);
    registers.set(RDI, frame);
    registers.set(R_SAVE, save);
    registers.set(R_RESTORE, state.vectors.components);
}

/// Registers that tell the trampoline what to save and what to restore.
const R_SAVE: u8 = 12;
const R_RESTORE: u8 = 13;

/// An interrupt that finds no stack is a double fault on a real processor.
fn without_stack(reason: Reason, registers: &Registers<'_>) -> Reason {
    match reason {
        Reason::Attend => Reason::Fault(Fault {
            address: registers.get(RSP),
            access: FaultAccess::Write,
            instruction: registers.rip(),
            caller: 0,
            kind: FaultKind::StackOverflow,
        }),
        other => other,
    }
}

fn context(registers: &Registers<'_>, area: u64) -> Context {
    Context {
        general: std::array::from_fn(|number| registers.get(number as u8)),
        rip: registers.rip(),
        flags: registers.flags(),
        area,
    }
}

/// Runs outside the handler, on the frame's stack.
///
/// # Safety
/// Called by the trampoline with the frame that [`redirect`] wrote.
unsafe extern "sysv64" fn arrive(frame: *mut Frame) {
    let (_, machine) = current();
    // SAFETY: `redirect` wrote the frame, and nothing else refers to it. Driver code that
    // runs meanwhile uses the stack below it.
    let Frame {
        context,
        resume,
        selectors,
        reason,
    } = unsafe { &mut *frame };
    let result = match *reason {
        Reason::Attend => machine.attend(),
        Reason::Fault(fault) => Err(machine.fault(&fault)),
        Reason::SystemCall(call) => Err(machine.system_call(call)),
        Reason::Unsupported { instruction, bytes } => {
            machine.unsupported(instruction, decode::describe(&bytes, instruction))
        }
    };
    if let Err(stop) = result {
        // A strand can go on in a computer other than the one that is current now only if
        // the host makes it so; ask again.
        current().1.stop(stop, context);
    }
    let flags = context.flags & !NEVER_RESTORED;
    let twin = current().1.twin(context.rip);
    *resume = [
        twin.unwrap_or(context.rip),
        selectors.0,
        flags,
        context.general[usize::from(RSP)],
        selectors.1,
    ];
}

fn current() -> (&'static State, &'static dyn Machine) {
    let state = state::current().expect("a strand stays in its thread");
    let machine = state
        .machine
        .get()
        .expect("a computer exists while its strands run");
    (state, machine)
}

/// The interrupted code's registers, if `rip` is where [`trampoline`] waits for [`arrive`], with
/// its `rbx`.
///
/// # Safety
/// The registers are those of a frame on the current stack that has not returned.
pub(crate) unsafe fn interrupted<'a>(rip: u64, rbx: u64) -> Option<&'a Context> {
    let start = trampoline as *const () as u64;
    if !(start..start + LENGTH).contains(&rip) {
        return None;
    }
    // SAFETY: while `arrive` is called, `rbx` is the frame that `redirect` wrote, which stays until
    // the trampoline leaves it.
    let frame = unsafe { &*std::ptr::with_exposed_provenance::<Frame>(rbx as usize) };
    Some(&frame.context)
}

/// Not more than the bytes of [`trampoline`].
const LENGTH: u64 = 0x80;

// rsp: the XSAVE area, rbx: the frame, r12 and r13: the components to save and to restore.
// Restoring names all components, so that those which were not in use are so again.
#[unsafe(naked)]
unsafe extern "sysv64" fn trampoline() {
    naked_asm!(
        "xor eax, eax",
        "mov [rsp + 512], rax",
        "mov [rsp + 520], rax",
        "mov [rsp + 528], rax",
        "mov [rsp + 536], rax",
        "mov [rsp + 544], rax",
        "mov [rsp + 552], rax",
        "mov [rsp + 560], rax",
        "mov [rsp + 568], rax",
        "mov eax, r12d",
        "xor edx, edx",
        "xsave64 [rsp]",
        "push 0x1F80",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "call {arrive}",
        "mov eax, r13d",
        "xor edx, edx",
        "xrstor64 [rsp]",
        "mov rsp, rbx",
        "mov rax, [rsp]",
        "mov rcx, [rsp + 8]",
        "mov rdx, [rsp + 16]",
        "mov rbx, [rsp + 24]",
        "mov rbp, [rsp + 40]",
        "mov rsi, [rsp + 48]",
        "mov rdi, [rsp + 56]",
        "mov r8, [rsp + 64]",
        "mov r9, [rsp + 72]",
        "mov r10, [rsp + 80]",
        "mov r11, [rsp + 88]",
        "mov r12, [rsp + 96]",
        "mov r13, [rsp + 104]",
        "mov r14, [rsp + 112]",
        "mov r15, [rsp + 120]",
        "lea rsp, [rsp + {resume}]",
        "iretq",
        arrive = sym arrive,
        resume = const offset_of!(Frame, resume),
    )
}
