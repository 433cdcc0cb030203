//! What twins do before the driver's own instructions.

use std::collections::BTreeSet;

use dirql_image::uses_extended_state;
use iced_x86::{Code as Opcode, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register};

use super::emit::{Code, RAX, RCX, memory_operand};
use super::gate::{PROBE, PROBE_ALWAYS, PROBE_WITH_VECTORS, SLOT_RAX, SLOT_RCX, SLOT_RECORD};
use super::record::meta;

/// How far [`probe`](super::probe) writes below the driver's stack pointer, in steps of less
/// than a guard page.
const ROOM: [u32; 1] = [0x800];

/// The same if it saves vector registers too.
const ROOM_FOR_VECTORS: [u32; 2] = [0xC00, 0x1800];

/// What happens before instructions of drivers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Whether it is noted which memory each instruction reads and writes.
    pub record: bool,
    /// Before which instructions something else may happen first.
    pub stops: Stops,
}

/// Before which instructions something else may happen first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stops {
    /// Before none: yield points are where the driver leaves its code.
    #[default]
    Nowhere,
    /// Before these, by their addresses.
    At(BTreeSet<u64>),
    /// Before each.
    Everywhere,
}

impl Stops {
    pub(super) fn has(&self, address: u64) -> bool {
        match self {
            Self::Nowhere => false,
            Self::At(addresses) => addresses.contains(&address),
            Self::Everywhere => true,
        }
    }
}

impl Watch {
    /// Adds what is to happen before `instruction`. `vectors` says whether the driver uses
    /// vector registers of more than 128 bits.
    pub(super) fn before(&self, instruction: &Instruction, code: &mut Code, vectors: bool) {
        if uses_extended_state(instruction) {
            probe(instruction.ip(), code, &ROOM_FOR_VECTORS, PROBE_ALWAYS);
        } else if self.stops.has(instruction.ip()) {
            if vectors {
                probe(
                    instruction.ip(),
                    code,
                    &ROOM_FOR_VECTORS,
                    PROBE_WITH_VECTORS,
                );
            } else {
                probe(instruction.ip(), code, &ROOM, PROBE);
            }
        }
        if self.record {
            record(instruction, code);
        }
    }
}

/// Comes to the kernel by `gate` before the instruction at `address`, with so much `room` below
/// the stack pointer.
fn probe(address: u64, code: &mut Code, room: &[u32], gate: u32) {
    // A stack that has no room for the probe overflows here, where it is the driver's.
    for bytes in room {
        code.store_below_stack(*bytes);
    }
    code.push_address(address);
    code.call_to(gate);
}

/// Notes the memory operands of `instruction`. The stack accesses of calls, returns, pushes
/// and pops are left out: nobody else is told of those places.
fn record(instruction: &Instruction, code: &mut Code) {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    if instruction.is_string_instruction() {
        let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
        for memory in info.used_memory() {
            let register = match memory.base() {
                Register::RSI | Register::ESI => Register::RSI,
                Register::RDI | Register::EDI => Register::RDI,
                _ => continue,
            };
            let bytes = meta(instruction.memory_size().size(), memory.access(), false);
            note(code, instruction.ip(), bytes, |code| {
                move_to_rax(code, register)
            });
            if repeats {
                let count = super::record::COUNT;
                note(code, instruction.ip(), count, |code| {
                    move_to_rax(code, Register::RCX)
                });
            }
        }
        return;
    }
    let Some(operand) = (0..instruction.op_count())
        .find(|operand| instruction.op_kind(*operand) == iced_x86::OpKind::Memory)
    else {
        return;
    };
    let access = info.op_access(operand);
    let of_processor = matches!(instruction.memory_segment(), Register::GS | Register::FS);
    if access == OpAccess::NoMemAccess || access == OpAccess::None || of_processor {
        return;
    }
    let interlocked = instruction.has_lock_prefix() || instruction.mnemonic() == Mnemonic::Xchg;
    let bytes = meta(instruction.memory_size().size(), access, interlocked);
    note(code, instruction.ip(), bytes, |code| {
        let lea = Instruction::with2(
            Opcode::Lea_r64_m,
            Register::RAX,
            memory_operand(instruction),
        );
        if !lea.is_ok_and(|lea| code.instruction(&lea)) {
            // An address of 64 bits in the instruction itself.
            code.load_immediate(RAX, instruction.memory_displacement64());
        }
    });
}

/// `mov rax, register`
fn move_to_rax(code: &mut Code, register: Register) {
    let rex_modrm = match register {
        Register::RSI => [0x48, 0x89, 0xF0],
        Register::RDI => [0x48, 0x89, 0xF8],
        _ => [0x48, 0x89, 0xC8], // rcx
    };
    code.bytes(&rex_modrm);
}

/// Appends a record, whose address `address` leaves in `rax`, to the buffer.
fn note(code: &mut Code, instruction: u64, meta: u32, address: impl FnOnce(&mut Code)) {
    code.store_slot(SLOT_RAX, RAX);
    address(code);
    code.store_slot(SLOT_RCX, RCX);
    code.load_slot(RCX, SLOT_RECORD);
    code.bytes(&super::record::STORE);
    code.bytes(&[0xC7, 0x41, 0x08]); // mov dword [rcx + 8], …
    code.bytes(&(instruction as u32).to_le_bytes());
    code.bytes(&[0xC7, 0x41, 0x0C]); // mov dword [rcx + 12], …
    code.bytes(&meta.to_le_bytes());
    code.bytes(&[0x48, 0x8D, 0x49, 0x10]); // lea rcx, [rcx + 16]
    code.store_slot(SLOT_RECORD, RCX);
    code.load_slot(RCX, SLOT_RCX);
    code.load_slot(RAX, SLOT_RAX);
}
