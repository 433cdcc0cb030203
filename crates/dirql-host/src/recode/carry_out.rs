//! Instructions that would trap, carried out by a call.
//!
//! A trap costs a signal, a call some tens of nanoseconds; drivers read and set CR8 and
//! access ports in their hottest paths. The instruction itself stands behind the call, for
//! what the call leaves to the trap handler: values that fault, a stack without room.

use std::arch::naked_asm;
use std::panic::AssertUnwindSafe;

use dirql_chips::Width;
use dirql_kernel::{Ddi, Kernel};
use iced_x86::{Code as Opcode, Instruction, Register};

use super::emit::Code;
use super::gate::CARRY_OUT;
use crate::run;

/// Bytes below the driver's stack pointer that the call writes to.
const ROOM: u32 = 0x800;

const RAX: usize = 0;
const RDX: usize = 2;

/// What is to be carried out, in a form that fits on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
struct Order(u64);

impl Order {
    const READ_CR8: u64 = 0;
    const WRITE_CR8: u64 = 1;
    const IN: u64 = 2;
    const OUT: u64 = 3;
    /// The port is in `dx`.
    const DX: u64 = 1 << 32;

    fn new(kind: u64, detail: u64, port: u64, length: usize) -> Self {
        Self(kind | detail << 8 | port << 16 | (length as u64) << 40)
    }

    /// `None` for instructions that are left to the trap handler.
    fn of(instruction: &Instruction) -> Option<Self> {
        let length = instruction.len();
        let control = |kind, control: Register, register: Register| {
            let usable = control == Register::CR8 && register != Register::RSP;
            usable.then(|| Self::new(kind, register.number() as u64, 0, length))
        };
        let port = |kind, bytes, fixed: bool| {
            let port = if fixed {
                u64::from(instruction.immediate8())
            } else {
                Self::DX >> 16
            };
            Some(Self::new(kind, bytes, port, length))
        };
        match instruction.code() {
            Opcode::Mov_r64_cr => control(
                Self::READ_CR8,
                instruction.op1_register(),
                instruction.op0_register(),
            ),
            Opcode::Mov_cr_r64 => control(
                Self::WRITE_CR8,
                instruction.op0_register(),
                instruction.op1_register(),
            ),
            Opcode::In_AL_imm8 => port(Self::IN, 1, true),
            Opcode::In_AX_imm8 => port(Self::IN, 2, true),
            Opcode::In_EAX_imm8 => port(Self::IN, 4, true),
            Opcode::In_AL_DX => port(Self::IN, 1, false),
            Opcode::In_AX_DX => port(Self::IN, 2, false),
            Opcode::In_EAX_DX => port(Self::IN, 4, false),
            Opcode::Out_imm8_AL => port(Self::OUT, 1, true),
            Opcode::Out_imm8_AX => port(Self::OUT, 2, true),
            Opcode::Out_imm8_EAX => port(Self::OUT, 4, true),
            Opcode::Out_DX_AL => port(Self::OUT, 1, false),
            Opcode::Out_DX_AX => port(Self::OUT, 2, false),
            Opcode::Out_DX_EAX => port(Self::OUT, 4, false),
            _ => None,
        }
    }

    fn width(self) -> Width {
        match self.0 >> 8 & 0xFF {
            1 => Width::U8,
            2 => Width::U16,
            _ => Width::U32,
        }
    }

    fn port(self, saved: &Saved) -> u16 {
        if self.0 & Self::DX == 0 {
            (self.0 >> 16) as u16
        } else {
            saved.general[RDX] as u16
        }
    }

    fn length(self) -> u64 {
        self.0 >> 40 & 0xFF
    }
}

/// Puts the call before `instruction`, if it is one of those.
pub(super) fn call_before(instruction: &Instruction, code: &mut Code) {
    if let Some(order) = Order::of(instruction) {
        code.store_below_stack(ROOM);
        code.push_address(order.0);
        code.call_to(CARRY_OUT);
    }
}

/// What [`enter`] saves, and what was on the stack before.
#[derive(Debug)]
#[repr(C)]
struct Saved {
    /// In the order of their numbers; the stack pointer's place holds nothing.
    general: [u64; 16],
    flags: u64,
    /// Where the twin goes on: at the instruction, or behind it.
    next: u64,
    order: Order,
}

/// Where the gate leads: saves registers, calls [`carry_out`], goes on with what it left.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter() {
    naked_asm!(
        "pushfq",
        "cld",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rdi",
        "push rsi",
        "push rbp",
        "push rax",
        "push rbx",
        "push rdx",
        "push rcx",
        "push rax",
        "mov rcx, rsp",
        "mov rbp, rsp",
        "sub rsp, 160",
        "and rsp, -16",
        "movaps [rsp + 32], xmm0",
        "movaps [rsp + 48], xmm1",
        "movaps [rsp + 64], xmm2",
        "movaps [rsp + 80], xmm3",
        "movaps [rsp + 96], xmm4",
        "movaps [rsp + 112], xmm5",
        "stmxcsr [rsp + 128]",
        "call {carry_out}",
        "ldmxcsr [rsp + 128]",
        "movaps xmm0, [rsp + 32]",
        "movaps xmm1, [rsp + 48]",
        "movaps xmm2, [rsp + 64]",
        "movaps xmm3, [rsp + 80]",
        "movaps xmm4, [rsp + 96]",
        "movaps xmm5, [rsp + 112]",
        "mov rsp, rbp",
        "pop rax",
        "pop rcx",
        "pop rdx",
        "pop rbx",
        "lea rsp, [rsp + 8]",
        "pop rbp",
        "pop rsi",
        "pop rdi",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "popfq",
        "ret 8",
        carry_out = sym carry_out,
    )
}

extern "win64" fn carry_out(saved: *mut Saved) {
    let platform = run::platform();
    let stack_pointer = saved.addr() as u64 + size_of::<Saved>() as u64;
    if platform.strands.is_used_up(stack_pointer) {
        return;
    }
    // SAFETY: `enter` made it on the driver's stack and waits; nothing else refers to it.
    let saved = unsafe { &mut *saved };
    let kernel = run::current_kernel();
    platform.end_records(kernel);
    let driver = platform.leave_driver();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| perform(kernel, saved)));
    match result {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => run::stop(kernel, stop),
        Err(payload) => platform.strands.leave_with_panic(payload),
    }
    platform.enter_driver(driver);
}

fn perform(kernel: &Kernel, saved: &mut Saved) -> Ddi<()> {
    let order = saved.order;
    kernel.come_to(saved.next);
    let register = (order.0 >> 8 & 15) as usize;
    match order.0 & 0xFF {
        Order::READ_CR8 => saved.general[register] = kernel.read_cr8(),
        Order::WRITE_CR8 if saved.general[register] > 15 => return Ok(()),
        Order::WRITE_CR8 => kernel.write_cr8(saved.general[register]),
        Order::IN => {
            let value = kernel.read_port(order.port(saved), order.width());
            let rax = &mut saved.general[RAX];
            *rax = match order.width() {
                Width::U32 | Width::U64 => value,
                narrow => *rax & !narrow.ones() | value & narrow.ones(),
            };
        }
        _ => {
            let value = saved.general[RAX] & order.width().ones();
            kernel.write_port(order.port(saved), order.width(), value);
        }
    }
    saved.next += order.length();
    if kernel.needs_attention() {
        kernel.attend()
    } else {
        kernel.come_to(0);
        Ok(())
    }
}
