//! The instructions that twins are made of, beside copies of the original's.
//!
//! None of them changes a flag.

use iced_x86::{Instruction, MemoryOperand, Register};

use super::area::TWINS;

/// Numbers of registers, as in instruction encodings.
pub(super) const RAX: u8 = 0;
pub(super) const RCX: u8 = 1;

/// Bytes of an exit.
const EXIT: usize = 14;

/// Code for one place in the twins' area.
#[derive(Debug)]
pub(super) struct Code {
    start: u32,
    bytes: Vec<u8>,
}

/// A short jump whose target is not known yet: the place behind it.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) struct Pending(usize);

impl Code {
    /// Code that will be at offset `start`.
    pub(super) fn at(start: u32) -> Self {
        Self {
            start,
            bytes: Vec::new(),
        }
    }

    /// The offset of what comes next.
    pub(super) fn here(&self) -> u32 {
        self.start + self.bytes.len() as u32
    }

    /// Its address.
    pub(super) fn address(&self) -> u64 {
        TWINS.start + u64::from(self.here())
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// As they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Traps up to `offset`.
    pub(super) fn pad_to(&mut self, offset: u32) {
        assert!(self.here() <= offset, "a gate outgrew its place");
        self.bytes.resize((offset - self.start) as usize, 0xCC);
    }

    /// `mov gs:[slot], register`
    pub(super) fn store_slot(&mut self, slot: u32, register: u8) {
        self.slot(0x89, slot, register);
    }

    /// `mov register, gs:[slot]`
    pub(super) fn load_slot(&mut self, register: u8, slot: u32) {
        self.slot(0x8B, slot, register);
    }

    fn slot(&mut self, opcode: u8, slot: u32, register: u8) {
        let rex = 0x48 | (register >> 3) << 2;
        self.bytes(&[0x65, rex, opcode, 0x04 | (register & 7) << 3, 0x25]);
        self.bytes(&slot.to_le_bytes());
    }

    /// `mov register, value`
    pub(super) fn load_immediate(&mut self, register: u8, value: u64) {
        self.bytes(&[0x48 | register >> 3, 0xB8 | register & 7]);
        self.bytes(&value.to_le_bytes());
    }

    /// `jmp` to an offset of the area.
    pub(super) fn jump_to(&mut self, offset: u32) {
        self.bytes(&[0xE9]);
        self.relative(offset);
    }

    /// `call` to an offset of the area.
    pub(super) fn call_to(&mut self, offset: u32) {
        self.bytes(&[0xE8]);
        self.relative(offset);
    }

    /// The displacement to `offset` that ends an instruction.
    pub(super) fn relative(&mut self, offset: u32) {
        let next = self.here() + 4;
        self.bytes(&offset.wrapping_sub(next).to_le_bytes());
    }

    /// Fills in the displacement that is at `place` from the start of this code.
    pub(super) fn set_relative(&mut self, place: usize, offset: u32) {
        let next = self.start + place as u32 + 4;
        self.bytes[place..place + 4].copy_from_slice(&offset.wrapping_sub(next).to_le_bytes());
    }

    /// `jmp gs:[slot]`
    pub(super) fn jump_to_slot(&mut self, slot: u32) {
        self.bytes(&[0x65, 0xFF, 0x24, 0x25]);
        self.bytes(&slot.to_le_bytes());
    }

    /// `jmp` to any address, through the eight bytes behind it.
    pub(super) fn jump_far(&mut self, address: u64) {
        self.bytes(&[0xFF, 0x25, 0, 0, 0, 0]);
        self.bytes(&address.to_le_bytes());
    }

    /// What leads to the twin of `original`, or to the original if there is none; always of
    /// the same length, so that it can change later.
    pub(super) fn exit(&mut self, original: u64, twin: Option<u32>) {
        let end = self.bytes.len() + EXIT;
        match twin {
            Some(twin) => self.jump_to(twin),
            None => self.jump_far(original),
        }
        self.bytes.resize(end, 0xCC);
    }

    /// `jrcxz` to where [`Code::land`] is called.
    pub(super) fn short_if_rcx_zero(&mut self) -> Pending {
        self.bytes(&[0xE3, 0]);
        Pending(self.bytes.len())
    }

    /// What comes next is the target of `jump`.
    pub(super) fn land(&mut self, jump: Pending) {
        let distance = i8::try_from(self.bytes.len() - jump.0);
        self.bytes[jump.0 - 1] = distance.expect("the gates are short") as u8;
    }

    /// Pushes an address, as a call does.
    pub(super) fn push_address(&mut self, address: u64) {
        self.bytes(&[0x68]); // push, which extends the sign
        self.bytes(&(address as u32).to_le_bytes());
        self.bytes(&[0xC7, 0x44, 0x24, 0x04]); // mov dword [rsp + 4], …
        self.bytes(&((address >> 32) as u32).to_le_bytes());
    }

    /// `mov [rsp - bytes], rax`
    pub(super) fn store_below_stack(&mut self, bytes: u32) {
        self.bytes(&[0x48, 0x89, 0x84, 0x24]);
        self.bytes(&bytes.wrapping_neg().to_le_bytes());
    }

    /// `lea rsp, [rsp + bytes]`
    pub(super) fn drop_stack(&mut self, bytes: u32) {
        self.bytes(&[0x48, 0x8D, 0xA4, 0x24]);
        self.bytes(&bytes.to_le_bytes());
    }

    /// An instruction of iced's making, for this place. `false` if it cannot be here.
    pub(super) fn instruction(&mut self, instruction: &Instruction) -> bool {
        let mut encoder = iced_x86::Encoder::new(64);
        if encoder.encode(instruction, self.address()).is_err() {
            return false;
        }
        self.bytes.extend(encoder.take_buffer());
        true
    }
}

/// The memory operand of `instruction`, for another one.
pub(super) fn memory_operand(instruction: &Instruction) -> MemoryOperand {
    MemoryOperand::new(
        instruction.memory_base(),
        instruction.memory_index(),
        instruction.memory_index_scale(),
        instruction.memory_displacement64() as i64,
        instruction.memory_displ_size(),
        false,
        segment(instruction),
    )
}

fn segment(instruction: &Instruction) -> Register {
    match instruction.memory_segment() {
        segment @ (Register::FS | Register::GS) => segment,
        _ => Register::None,
    }
}
