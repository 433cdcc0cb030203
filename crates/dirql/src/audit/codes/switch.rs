//! The numbers that a `switch` over control codes stands for, read from its machine code.
//!
//! Compilers compare with few of them: they subtract the first, then distances, or look up in a
//! table where to go on. What is followed is one register at a time, in the order of addresses,
//! which is the order in which these comparisons run.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::is_plausible;

/// The largest distance within one `switch`: functions of one device, each with its method.
const FARTHEST: u32 = 0x3FF;

/// Cases of a range whose table is not found; of longer ones only the ends are taken.
const CASES: u32 = 0x40;

/// Instructions from the comparison to the jump through a table.
const TO_THE_JUMP: usize = 10;

/// Finds the codes that `instructions` compare with; `image` is the driver as it lies in memory,
/// from address 0 on.
pub(super) fn codes(instructions: &[Instruction], image: &[u8], found: &mut BTreeSet<u32>) {
    let mut reader = Reader {
        image,
        found,
        held: None,
        negative: None,
    };
    for index in 0..instructions.len() {
        reader.read(&instructions[index..]);
    }
}

/// A register that holds how far the code is from `base`, in units of `1 << shift`.
#[derive(Clone, Copy)]
struct Held {
    register: Register,
    base: u32,
    shift: u32,
}

impl Held {
    fn code(self, distance: u32) -> u32 {
        self.base
            .wrapping_add(distance.checked_shl(self.shift).unwrap_or(0))
    }
}

struct Reader<'r> {
    image: &'r [u8],
    found: &'r mut BTreeSet<u32>,
    held: Option<Held>,
    /// A register with the negative of a code, to which the code asked for will be added.
    negative: Option<(Register, u32)>,
}

impl Reader<'_> {
    /// Looks at the first of these instructions.
    fn read(&mut self, instructions: &[Instruction]) {
        let instruction = &instructions[0];
        if let Some(code) = first(instruction) {
            self.found.insert(code);
            if instruction.mnemonic() != Mnemonic::Cmp {
                self.hold(instruction, code);
            }
            return;
        }
        if let Some((register, code)) = self.negative.take()
            && instruction.mnemonic() == Mnemonic::Add
            && target(instruction) == register
        {
            self.found.insert(code);
            self.hold(instruction, code);
            return;
        }
        if let Some(code) = negative(instruction) {
            self.negative = Some((target(instruction), code));
        }
        if ends(instruction) {
            self.held = None;
        }
        if let Some(held) = self
            .held
            .filter(|held| target(instruction) == held.register)
        {
            self.held = self.follow(held, instructions);
        }
    }

    fn hold(&mut self, instruction: &Instruction, base: u32) {
        let register = target(instruction);
        self.held = (register != Register::None).then_some(Held {
            register,
            base,
            shift: 0,
        });
    }

    /// What the register holds after an instruction on it.
    fn follow(&mut self, held: Held, instructions: &[Instruction]) -> Option<Held> {
        let instruction = &instructions[0];
        let number = immediate(instruction);
        let step = match (instruction.mnemonic(), number) {
            (Mnemonic::Dec, _) => 1,
            (Mnemonic::Sub, Some(number)) => number,
            (Mnemonic::Add, Some(number)) => number.wrapping_neg(),
            (Mnemonic::Ror | Mnemonic::Shr, Some(shift)) if held.shift == 0 => {
                return Some(Held { shift, ..held });
            }
            (Mnemonic::Rol, Some(shift @ 1..32)) if held.shift == 0 => {
                let shift = 32 - shift;
                return Some(Held { shift, ..held });
            }
            (Mnemonic::Cmp, Some(number)) if number <= FARTHEST => {
                self.compared(held, number, instructions);
                return Some(held);
            }
            (Mnemonic::Cmp | Mnemonic::Test, _) => return Some(held),
            _ => return None,
        };
        if step > FARTHEST {
            return None;
        }
        let base = held.code(step);
        self.found.insert(base);
        Some(Held { base, ..held })
    }

    /// The register is compared with `number`: that is a case, or the end of a range of them.
    fn compared(&mut self, held: Held, number: u32, instructions: &[Instruction]) {
        let is_range = instructions
            .get(1)
            .is_some_and(|next| matches!(next.mnemonic(), Mnemonic::Ja | Mnemonic::Jae));
        let cases: Vec<u32> = if !is_range {
            vec![number]
        } else if let Some(cases) = self.table(held.register, number, instructions) {
            cases
        } else if number <= CASES {
            (0..=number).collect()
        } else {
            vec![0, number]
        };
        self.found
            .extend(cases.into_iter().map(|case| held.code(case)));
    }

    /// The cases up to `last` that do not go where every other number goes, if a table says so.
    fn table(&self, register: Register, last: u32, code: &[Instruction]) -> Option<Vec<u32>> {
        let default = code.get(1)?.near_branch_target();
        let mut same = vec![register];
        let mut bases = Vec::new();
        for instruction in code.iter().skip(2).take(TO_THE_JUMP) {
            let index = instruction.memory_index().full_register();
            if index != Register::None && same.contains(&index) {
                let base = instruction.memory_base().full_register();
                let (_, address) = bases.iter().rev().find(|(name, _)| *name == base)?;
                return self.entries(instruction, *address, default, last);
            }
            if instruction.is_ip_rel_memory_operand() && instruction.mnemonic() == Mnemonic::Lea {
                bases.push((target(instruction), instruction.ip_rel_memory_address()));
            }
            let is_copy = matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Movsxd)
                && instruction.op1_kind() == OpKind::Register
                && same.contains(&instruction.op1_register().full_register());
            if is_copy {
                same.push(target(instruction));
            }
        }
        None
    }

    /// Reads the table that `lookup` looks up in: distances to `base`, or numbers of cases.
    fn entries(
        &self,
        lookup: &Instruction,
        base: u64,
        default: u64,
        last: u32,
    ) -> Option<Vec<u32>> {
        let size = lookup.memory_size().size();
        if !matches!(size, 1 | 4) || lookup.memory_index_scale() as usize != size {
            return None;
        }
        // The displacement is the table's place in the image where `base` is the image's.
        let start = base.wrapping_add(lookup.memory_displacement64());
        let start = usize::try_from(start).ok()?;
        let length = (last as usize + 1) * size;
        let bytes = self.image.get(start..start.checked_add(length)?)?;
        let other = if size == 1 {
            u64::from(*bytes.iter().max()?)
        } else {
            default
        };
        let entry = |bytes: &[u8]| match bytes {
            [number] => u64::from(*number),
            _ => bytes.try_into().map_or(other, |bytes| {
                base.wrapping_add_signed(i32::from_le_bytes(bytes).into())
            }),
        };
        let cases = (0..=last).zip(bytes.chunks_exact(size));
        let cases = cases.filter(|(_, bytes)| entry(bytes) != other);
        Some(cases.map(|(case, _)| case).collect())
    }
}

/// The code that an instruction compares with or subtracts at once, if that is what it does.
fn first(instruction: &Instruction) -> Option<u32> {
    let code = match instruction.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Sub => full(instruction)?,
        // Compilers add the negative number to subtract a positive one.
        Mnemonic::Add => full(instruction)?.wrapping_neg(),
        Mnemonic::Lea if instruction.memory_index() == Register::None => {
            let is_short = instruction.op0_register().size() == 4;
            let far = instruction.memory_displacement32().wrapping_neg();
            if !is_short || instruction.is_ip_rel_memory_operand() {
                return None;
            }
            far
        }
        _ => return None,
    };
    is_plausible(code).then_some(code)
}

/// The code whose negative an instruction loads.
fn negative(instruction: &Instruction) -> Option<u32> {
    let code = full(instruction)?.wrapping_neg();
    (instruction.mnemonic() == Mnemonic::Mov && is_plausible(code)).then_some(code)
}

/// An operand of 32 bits that is in the instruction.
fn full(instruction: &Instruction) -> Option<u32> {
    (instruction.op_count() == 2 && instruction.op1_kind() == OpKind::Immediate32)
        .then(|| instruction.immediate32())
}

/// An operand that is in the instruction, of any width.
fn immediate(instruction: &Instruction) -> Option<u32> {
    let is_there = instruction.op_count() == 2
        && matches!(
            instruction.op1_kind(),
            OpKind::Immediate8 | OpKind::Immediate32 | OpKind::Immediate8to32
        );
    is_there.then(|| instruction.immediate(1) as u32)
}

/// The register that an instruction is about, at its full width.
fn target(instruction: &Instruction) -> Register {
    if instruction.op0_kind() == OpKind::Register {
        instruction.op0_register().full_register()
    } else {
        Register::None
    }
}

/// Whether what comes next in memory does not come next in time, or comes after a call.
fn ends(instruction: &Instruction) -> bool {
    !matches!(
        instruction.flow_control(),
        FlowControl::Next | FlowControl::ConditionalBranch
    )
}
