//! From a run of the driver's instructions to their twin.
//!
//! A run starts where control arrives and goes straight on, past conditional branches and
//! calls, to where control certainly leaves. Every instruction in it becomes a copy that
//! does the same from its new place:
//! - what is relative to the instruction pointer reaches the same address;
//! - calls push the return address that the original pushes;
//! - branches lead to twins: directly, through an exit that is filled in when the twin
//!   exists, or, where only the running program knows the target, through a [`gate`].
//!
//! [`gate`]: super::gate

use iced_x86::{
    Code as Opcode, ConstantOffsets, Decoder, DecoderOptions, EncodingKind, FlowControl,
    Instruction, OpKind, Register,
};

use super::emit::{Code, RAX, memory_operand};
use super::gate::{LOOK_UP, LOOK_UP_RAX, SLOT_ORIGINAL, SLOT_RAX};

/// The longest instruction, bytes.
pub(super) const LONGEST: usize = 15;

/// Instructions of one run at most.
const LIMIT: usize = 256;

/// `hlt`, which traps; the trap handler looks at the original to see what is to be done.
const TRAP: [u8; 1] = [0xF4];

/// Bytes of an instruction of the driver's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched {
    pub(super) bytes: [u8; LONGEST],
    /// How many of them can be fetched.
    pub(super) length: usize,
    /// Whether the original traps in place of what it is, to be carried out by the handler.
    pub(super) traps: bool,
}

/// What a translator knows of its surroundings.
pub(super) trait Surroundings {
    /// The code at `original`; `None` where none may be fetched.
    fn fetch(&self, original: u64) -> Option<Fetched>;
    /// The offset of the twin of `original`, if there is one.
    fn twin(&self, original: u64) -> Option<u32>;
    /// The offset of the exit to `original`, if there is one.
    fn exit(&self, original: u64) -> Option<u32>;
    /// What to put before an instruction.
    fn before(&self, instruction: &Instruction, code: &mut Code);
}

/// The twin of one run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) code: Vec<u8>,
    /// Where each instruction's twin starts, in order: offset and original.
    pub(super) instructions: Vec<(u32, u64)>,
    /// The same for what leads on to the instruction behind the run.
    pub(super) tail: Option<(u32, u64)>,
    /// New exits: target and offset.
    pub(super) exits: Vec<(u64, u32)>,
    /// One past the original's last byte.
    pub(super) end: u64,
    /// Whether vector registers of more than 128 bits may be used.
    pub(super) vectors: bool,
}

/// Translates the run at `original` for offset `start` of the area. `None` if no code can be
/// fetched there.
pub(super) fn translate(around: &dyn Surroundings, original: u64, start: u32) -> Option<Run> {
    around.fetch(original)?;
    let mut translator = Translator {
        around,
        code: Code::at(start),
        instructions: Vec::new(),
        tail: None,
        exits: Vec::new(),
        open: Vec::new(),
        vectors: false,
    };
    let end = translator.run(original);
    let Translator {
        code,
        instructions,
        tail,
        exits,
        vectors,
        ..
    } = translator.close(start);
    Some(Run {
        code: code.into_bytes(),
        instructions,
        tail,
        exits,
        end,
        vectors,
    })
}

struct Translator<'a> {
    around: &'a dyn Surroundings,
    code: Code,
    instructions: Vec<(u32, u64)>,
    tail: Option<(u32, u64)>,
    exits: Vec<(u64, u32)>,
    /// Displacements that are to lead to an exit that does not exist yet: the place of the
    /// displacement in the code and the target.
    open: Vec<(usize, u64)>,
    vectors: bool,
}

/// Where a run goes on after an instruction.
enum Next {
    Following,
    Nowhere,
}

impl Translator<'_> {
    /// Translates up to where control leaves; returns where that is.
    fn run(&mut self, start: u64) -> u64 {
        let mut original = start;
        for _ in 0..LIMIT {
            // What follows has a twin already, or cannot be fetched: the exit leads there, or to
            // the fault that fetching it is.
            if original != start && self.around.twin(original).is_some() {
                break;
            }
            let Some(fetched) = self.around.fetch(original) else {
                break;
            };
            self.instructions.push((self.code.here(), original));
            let mut decoder = Decoder::with_ip(
                64,
                &fetched.bytes[..fetched.length],
                original,
                DecoderOptions::NONE,
            );
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                self.code.bytes(&[0x0F, 0x0B]); // ud2, as which the handler takes the original
                return original + 1;
            }
            self.vectors |= instruction.encoding() != EncodingKind::Legacy;
            let length = instruction.len();
            let offsets = decoder.get_constant_offsets(&instruction);
            self.around.before(&instruction, &mut self.code);
            let next = if fetched.traps {
                self.code.bytes(&TRAP);
                Next::Following
            } else {
                self.instruction(&instruction, &fetched.bytes[..length], offsets)
            };
            original += length as u64;
            if matches!(next, Next::Nowhere) {
                return original;
            }
        }
        self.lead_on(original);
        original
    }

    fn instruction(
        &mut self,
        instruction: &Instruction,
        bytes: &[u8],
        offsets: ConstantOffsets,
    ) -> Next {
        match instruction.flow_control() {
            FlowControl::UnconditionalBranch if is_near(instruction) => {
                self.code.bytes(&[0xE9]);
                self.leave_to(instruction.near_branch_target());
                Next::Nowhere
            }
            FlowControl::ConditionalBranch if is_near(instruction) => {
                self.conditional(instruction, bytes);
                Next::Following
            }
            FlowControl::XbeginXabortXend if is_near(instruction) => {
                self.code.bytes(&[0xC7, 0xF8]);
                self.leave_to(instruction.near_branch_target());
                Next::Following
            }
            FlowControl::Call if is_near(instruction) => {
                self.code.push_address(instruction.next_ip());
                self.code.bytes(&[0xE9]);
                self.leave_to(instruction.near_branch_target());
                Next::Following
            }
            FlowControl::IndirectCall if instruction.code() == Opcode::Call_rm64 => {
                self.load_target(instruction);
                self.code.push_address(instruction.next_ip());
                self.code.jump_to(LOOK_UP);
                Next::Following
            }
            FlowControl::IndirectBranch if instruction.code() == Opcode::Jmp_rm64 => {
                self.load_target(instruction);
                self.code.jump_to(LOOK_UP);
                Next::Nowhere
            }
            FlowControl::Return
                if matches!(instruction.code(), Opcode::Retnq | Opcode::Retnq_imm16) =>
            {
                self.code.store_slot(SLOT_RAX, RAX);
                self.code.bytes(&[0x48, 0x8B, 0x04, 0x24]); // mov rax, [rsp]
                let more = match instruction.code() {
                    Opcode::Retnq_imm16 => u32::from(instruction.immediate16()),
                    _ => 0,
                };
                self.code.drop_stack(8 + more);
                self.code.jump_to(LOOK_UP_RAX);
                Next::Nowhere
            }
            // Far and narrow forms: nothing in a 64-bit driver, and they trap at their place.
            FlowControl::Return | FlowControl::IndirectBranch => {
                self.copy(instruction, bytes, offsets);
                Next::Nowhere
            }
            FlowControl::UnconditionalBranch | FlowControl::Exception => {
                self.copy(instruction, bytes, offsets);
                self.lead_on(instruction.next_ip());
                Next::Nowhere
            }
            FlowControl::Interrupt => {
                self.copy(instruction, bytes, offsets);
                // Behind a break point there is often no code.
                self.lead_on(instruction.next_ip());
                Next::Nowhere
            }
            _ => {
                self.copy(instruction, bytes, offsets);
                Next::Following
            }
        }
    }

    /// What comes behind the run's last instruction.
    fn lead_on(&mut self, original: u64) {
        self.tail = Some((self.code.here(), original));
        self.code.bytes(&[0xE9]);
        self.leave_to(original);
    }

    /// The original's bytes; what is relative to the instruction pointer is put right.
    fn copy(&mut self, instruction: &Instruction, bytes: &[u8], offsets: ConstantOffsets) {
        let mut bytes: Vec<u8> = bytes.to_vec();
        if instruction.is_ip_rel_memory_operand() && offsets.has_displacement() {
            let next = self.code.address() + bytes.len() as u64;
            let distance = instruction.ip_rel_memory_address().wrapping_sub(next) as i64;
            let place = offsets.displacement_offset();
            match i32::try_from(distance) {
                Ok(distance) if offsets.displacement_size() == 4 => {
                    bytes[place..place + 4].copy_from_slice(&distance.to_le_bytes());
                }
                // Out of reach from here; the handler carries it out where it is in reach.
                _ => bytes = TRAP.to_vec(),
            }
        }
        self.code.bytes(&bytes);
    }

    fn conditional(&mut self, instruction: &Instruction, bytes: &[u8]) {
        let target = instruction.near_branch_target();
        if instruction.is_jcc_short_or_near() {
            // The condition is in the last byte of the opcode, before the displacement.
            let displacement = if instruction.is_jcc_short() { 1 } else { 4 };
            let condition = bytes[bytes.len() - displacement - 1] & 0x0F;
            self.code.bytes(&[0x0F, 0x80 | condition]);
            self.leave_to(target);
            return;
        }
        // Those that count in rcx reach a byte's distance only: over a jump, to a jump.
        let opcode = &bytes[..bytes.len() - 1];
        self.code.bytes(opcode);
        self.code.bytes(&[2, 0xEB, 5, 0xE9]);
        self.leave_to(target);
    }

    /// Puts where an indirect branch goes into its slot.
    fn load_target(&mut self, instruction: &Instruction) {
        if instruction.op0_kind() == OpKind::Register {
            let register = instruction.op0_register();
            self.code.store_slot(SLOT_ORIGINAL, register.number() as u8);
            return;
        }
        self.code.store_slot(SLOT_RAX, RAX);
        let operand = memory_operand(instruction);
        let load = Instruction::with2(Opcode::Mov_r64_rm64, Register::RAX, operand);
        let loaded = load.is_ok_and(|load| self.code.instruction(&load));
        if !loaded {
            self.code.bytes(&TRAP);
        }
        self.code.store_slot(SLOT_ORIGINAL, RAX);
        self.code.load_slot(RAX, SLOT_RAX);
    }

    /// The displacement that leads to the twin of `target`: in this run, or its exit.
    fn leave_to(&mut self, target: u64) {
        let here = self
            .instructions
            .iter()
            .find(|(_, original)| *original == target);
        if let Some((offset, _)) = here {
            self.code.relative(*offset);
        } else if let Some(exit) = self.around.exit(target) {
            self.code.relative(exit);
        } else {
            let place = self.code.here();
            self.code.bytes(&[0; 4]);
            self.open.push((place as usize, target));
        }
    }

    /// Adds the exits that are missing, and leads to them.
    fn close(mut self, start: u32) -> Self {
        for (place, target) in std::mem::take(&mut self.open) {
            let known = self
                .instructions
                .iter()
                .map(|(offset, original)| (*original, *offset))
                .chain(self.exits.iter().copied())
                .find(|(original, _)| *original == target);
            let offset = known.map(|(_, offset)| offset).unwrap_or_else(|| {
                let offset = self.code.here();
                self.code.exit(target, self.around.twin(target));
                self.exits.push((target, offset));
                offset
            });
            self.code.set_relative(place - start as usize, offset);
        }
        self
    }
}

fn is_near(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::NearBranch64
}
