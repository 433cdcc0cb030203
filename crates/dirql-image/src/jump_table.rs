//! Where the jump tables of compilers lead to.
//!
//! A `switch` becomes the address of something near (`lea base, [rip + ...]`), an offset of four
//! bytes out of a table (`mov reg, [base + index * 4 + table]`), and a jump to their sum. What is
//! near is the table itself (GCC, Clang) or the start of the image (MSVC), and offsets are counted
//! from there.
//!
//! Not known: how long a table is. It is read as long as it leads into its function.

use std::ops::Range;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::image::Image;

/// More entries than any table has.
const LONGEST: u32 = 4096;

/// What a stretch of code has said so far, read from its start to its end.
#[derive(Debug, Default)]
pub(crate) struct JumpTables {
    /// Addresses that registers have got, as RVAs; the last ones.
    near: Vec<(Register, u32)>,
    /// The table that was read last: its RVA, and from where its offsets count.
    table: Option<(u32, u32)>,
}

impl JumpTables {
    /// Looks at the next instruction. If that is the jump, the RVAs within `function` to which its
    /// table leads.
    pub(crate) fn targets(
        &mut self,
        image: &Image,
        instruction: &Instruction,
        function: &Range<u32>,
    ) -> Vec<u32> {
        if let Some(address) = address_got(instruction) {
            let register = instruction.op0_register().full_register();
            self.near.retain(|(other, _)| *other != register);
            self.near.push((register, address));
        } else if let Some((base, displacement)) = entry_read(instruction) {
            let near = self.near.iter().find(|(register, _)| *register == base);
            self.table = near.map(|(_, near)| (near.wrapping_add(displacement), *near));
        } else if instruction.flow_control() == FlowControl::IndirectBranch
            && instruction.op0_kind() == OpKind::Register
            && let Some((table, near)) = self.table.take()
        {
            return entries(image, table, near, function);
        }
        Vec::new()
    }
}

fn address_got(instruction: &Instruction) -> Option<u32> {
    let is_address =
        instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand();
    is_address
        .then(|| u32::try_from(instruction.ip_rel_memory_address()).ok())
        .flatten()
}

/// The register and the displacement of a read of four bytes with an index.
fn entry_read(instruction: &Instruction) -> Option<(Register, u32)> {
    let is_read = matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Movsxd)
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() != Register::None
        && instruction.memory_index_scale() == 4;
    // A displacement is 32 bits with a sign.
    is_read.then(|| {
        let base = instruction.memory_base().full_register();
        (base, instruction.memory_displacement64() as u32)
    })
}

fn entries(image: &Image, table: u32, near: u32, function: &Range<u32>) -> Vec<u32> {
    let bytes = image.placed.reader();
    let entry = |index: u32| {
        let place = u64::from(table) + 4 * u64::from(index);
        let offset = bytes.u32("jump table", place).ok()?;
        let target = near.wrapping_add(offset);
        function.contains(&target).then_some(target)
    };
    (0..LONGEST).map_while(entry).collect()
}
