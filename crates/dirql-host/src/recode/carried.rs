//! Which instructions are carried out by a call, and what they do.
//!
//! Those that always trap, because a driver may not execute them here: they read and set CR8,
//! and access ports. And moves from and to device memory. Whether an instruction is one of those
//! is known when it has been one: its first access traps like the original's. From then on it is
//! remembered by its address, also for the next computer of this thread, where the same code of
//! the same image is at the same place. To remember too much costs a call each time the
//! instruction runs and changes nothing, for the call looks at where the operand leads.

use std::cell::RefCell;
use std::collections::BTreeSet;

use dirql_chips::Width;
use iced_x86::{Code as Opcode, Instruction, OpKind, Register};

/// Instructions that are remembered at most.
const MOST_REMEMBERED: usize = 1 << 16;

thread_local! {
    /// Instructions that have accessed a device's memory, by their addresses.
    static MET: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Remembers that the instruction at `address` has accessed a device's memory. Whether that is new.
pub(super) fn remember(address: u64) -> bool {
    MET.with_borrow_mut(|met| met.len() < MOST_REMEMBERED && met.insert(address))
}

/// An instruction that is carried out by a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    /// Where the driver has it.
    pub(super) original: u64,
    /// Its bytes.
    pub(super) length: u8,
    pub(super) deed: Deed,
}

/// What it does. Registers have their numbers of instruction encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    ReadCr8(u8),
    WriteCr8(u8),
    In(Port, Width),
    Out(Port, Width),
    Load {
        from: Operand,
        width: Width,
        register: u8,
        /// How much of the register changes; what is above the value is 0.
        part: Width,
    },
    Store {
        to: Operand,
        width: Width,
        value: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Fixed(u8),
    Dx,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Register(u8),
    Constant(u64),
}

/// Where a move's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    base: Option<u8>,
    index: Option<u8>,
    scale: u8,
    displacement: u64,
}

impl Operand {
    /// `None` for forms that no access to a device has in practice.
    fn of(instruction: &Instruction) -> Option<Self> {
        let register = |register: Register| match register {
            Register::None => Some(None),
            // The stack pointer is not among the registers that are saved.
            Register::RSP => None,
            other if other.is_gpr64() => Some(Some(other.number() as u8)),
            _ => None,
        };
        if instruction.segment_prefix() != Register::None {
            return None;
        }
        Some(Self {
            base: register(instruction.memory_base())?,
            index: register(instruction.memory_index())?,
            scale: instruction.memory_index_scale() as u8,
            displacement: instruction.memory_displacement64(),
        })
    }

    /// Its address, with these values in the registers.
    pub(super) fn address(self, general: &[u64; 16]) -> u64 {
        let value = |register: Option<u8>| {
            register.map_or(0, |register| general[usize::from(register & 15)])
        };
        value(self.base)
            .wrapping_add(value(self.index).wrapping_mul(u64::from(self.scale)))
            .wrapping_add(self.displacement)
    }
}

impl Carried {
    /// `None` for instructions that are left to the trap handler, or do not trap.
    pub(super) fn of(instruction: &Instruction) -> Option<Self> {
        let met = || MET.with_borrow(|met| met.contains(&instruction.ip()));
        let deed = match instruction.code() {
            Opcode::Mov_r64_cr => {
                let register = control(instruction.op1_register(), instruction.op0_register())?;
                Deed::ReadCr8(register)
            }
            Opcode::Mov_cr_r64 => {
                let register = control(instruction.op0_register(), instruction.op1_register())?;
                Deed::WriteCr8(register)
            }
            Opcode::In_AL_imm8 => Deed::In(fixed(instruction), Width::U8),
            Opcode::In_AX_imm8 => Deed::In(fixed(instruction), Width::U16),
            Opcode::In_EAX_imm8 => Deed::In(fixed(instruction), Width::U32),
            Opcode::In_AL_DX => Deed::In(Port::Dx, Width::U8),
            Opcode::In_AX_DX => Deed::In(Port::Dx, Width::U16),
            Opcode::In_EAX_DX => Deed::In(Port::Dx, Width::U32),
            Opcode::Out_imm8_AL => Deed::Out(fixed(instruction), Width::U8),
            Opcode::Out_imm8_AX => Deed::Out(fixed(instruction), Width::U16),
            Opcode::Out_imm8_EAX => Deed::Out(fixed(instruction), Width::U32),
            Opcode::Out_DX_AL => Deed::Out(Port::Dx, Width::U8),
            Opcode::Out_DX_AX => Deed::Out(Port::Dx, Width::U16),
            Opcode::Out_DX_EAX => Deed::Out(Port::Dx, Width::U32),
            _ if met() => transfer(instruction)?,
            _ => return None,
        };
        Some(Self {
            original: instruction.ip(),
            length: instruction.len() as u8,
            deed,
        })
    }
}

/// The register of a move from or to the control register `control`.
fn control(control: Register, register: Register) -> Option<u8> {
    let usable = control == Register::CR8 && register != Register::RSP;
    usable.then(|| register.number() as u8)
}

fn fixed(instruction: &Instruction) -> Port {
    Port::Fixed(instruction.immediate8())
}

/// A move between memory and a register, or of a constant.
fn transfer(instruction: &Instruction) -> Option<Deed> {
    let (load, width) = match instruction.code() {
        Opcode::Mov_r8_rm8
        | Opcode::Movzx_r16_rm8
        | Opcode::Movzx_r32_rm8
        | Opcode::Movzx_r64_rm8 => (true, Width::U8),
        Opcode::Mov_r16_rm16 | Opcode::Movzx_r32_rm16 | Opcode::Movzx_r64_rm16 => {
            (true, Width::U16)
        }
        Opcode::Mov_r32_rm32 => (true, Width::U32),
        Opcode::Mov_r64_rm64 => (true, Width::U64),
        Opcode::Mov_rm8_r8 | Opcode::Mov_rm8_imm8 => (false, Width::U8),
        Opcode::Mov_rm16_r16 | Opcode::Mov_rm16_imm16 => (false, Width::U16),
        Opcode::Mov_rm32_r32 | Opcode::Mov_rm32_imm32 => (false, Width::U32),
        Opcode::Mov_rm64_r64 | Opcode::Mov_rm64_imm32 => (false, Width::U64),
        _ => return None,
    };
    if load && instruction.op1_kind() == OpKind::Memory {
        let (register, part) = general(instruction.op0_register())?;
        return Some(Deed::Load {
            from: Operand::of(instruction)?,
            width,
            register,
            part,
        });
    }
    if load || instruction.op0_kind() != OpKind::Memory {
        return None;
    }
    let value = if instruction.op1_kind() == OpKind::Register {
        Value::Register(general(instruction.op1_register())?.0)
    } else {
        Value::Constant(instruction.immediate(1))
    };
    Some(Deed::Store {
        to: Operand::of(instruction)?,
        width,
        value,
    })
}

/// A general register and how much of it is meant. `None` for the stack pointer, and for those
/// that are not the lowest part of one.
fn general(register: Register) -> Option<(u8, Width)> {
    let number = register.full_register();
    if number == Register::RSP
        || matches!(
            register,
            Register::AH | Register::BH | Register::CH | Register::DH
        )
    {
        return None;
    }
    let width = match register.size() {
        1 => Width::U8,
        2 => Width::U16,
        4 => Width::U32,
        _ => Width::U64,
    };
    Some((number.number() as u8, width))
}
