//! The basic blocks of an image's code: stretches that are entered at their start and left at
//! their end.
//!
//! Functions are those with unwind data, and those that something leads to: the entry point,
//! exports, symbols, calls, addresses that code or relocated data hold. A function with unwind
//! data is read from its start to its end; one without is read as far as its branches and the
//! jump tables of compilers lead.
//!
//! A call does not end a block. Left out: what only fills up (`nop`, `int3`), also in front of a
//! block, where it makes a jump's target round; jump tables between instructions; and functions
//! that are nothing but a jump to an import, which linkers make.
//!
//! Not known: a branch of another function into the middle of a block; functions without unwind
//! data whose address is nowhere in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{
    Code as Opcode, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use crate::export::ExportTarget;
use crate::headers::Directory;
use crate::image::Image;
use crate::jump_table::JumpTables;
use crate::relocation::{self, Relocation};

/// A basic block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// RVA of its first instruction.
    pub begin: u32,
    /// RVA past its last instruction.
    pub end: u32,
    /// RVA of the start of its function.
    pub function: u32,
}

/// The blocks of `image` in ascending order, without overlap. `names` are RVAs at which functions
/// start as symbols say.
#[must_use]
pub fn blocks(image: &Image, names: impl IntoIterator<Item = u32>) -> Vec<Block> {
    let mut finder = Finder {
        image,
        slots: image.imports().map(|import| import.slot).collect(),
        found: BTreeMap::new(),
        roots: BTreeSet::new(),
        // Symbols have names for data in sections of code, too.
        guesses: names.into_iter().collect(),
    };
    finder.roots.extend(image.entry_point());
    finder.roots.extend(guarded(image));
    finder.guesses.extend(relocated(image));
    for export in &image.exports().exports {
        if let ExportTarget::Rva(rva) = export.target {
            finder.guesses.insert(rva);
        }
    }
    for function in image.functions() {
        finder.read_whole(function.begin..function.end);
    }
    loop {
        if let Some(root) = finder.roots.pop_first() {
            finder.follow(root, false);
        } else if let Some(guess) = finder.guesses.pop_first() {
            finder.follow(guess, true);
        } else {
            break;
        }
    }
    finder.found.into_values().collect()
}

/// The instructions of a block.
#[must_use]
pub fn instructions(image: &Image, block: &Block) -> Vec<u32> {
    decode(image, block.begin..block.end)
        .map(|instruction| instruction.ip() as u32)
        .collect()
}

/// The blocks of its function that a block leads to, by their RVAs; not those behind a jump table.
#[must_use]
pub fn leads_to(image: &Image, block: &Block) -> Vec<u32> {
    let Some(last) = decode(image, block.begin..block.end).last() else {
        return Vec::new();
    };
    let mut to = Vec::new();
    if is_near(&last) && !last.is_call_near() {
        to.extend(u32::try_from(last.near_branch_target()));
    }
    if !leaves(&last) {
        to.push(block.end);
    }
    to.into_iter().map(|rva| past_filling(image, rva)).collect()
}

/// The imports that a block calls, in order, each as its symbol is written.
#[must_use]
pub fn calls(image: &Image, block: &Block) -> Vec<String> {
    let slot = |instruction: Instruction| {
        let is_call = matches!(
            instruction.flow_control(),
            FlowControl::IndirectCall | FlowControl::IndirectBranch
        );
        (is_call && instruction.is_ip_rel_memory_operand())
            .then(|| instruction.ip_rel_memory_address())
    };
    // Compilers that do not know of the import call a jump to it.
    let behind = |instruction: Instruction| {
        let target = is_near(&instruction).then(|| instruction.near_branch_target() as u32)?;
        slot(decode(image, target..target.saturating_add(8)).next()?)
    };
    let called = decode(image, block.begin..block.end)
        .filter_map(|instruction| slot(instruction).or_else(|| behind(instruction)));
    called
        .filter_map(|slot| {
            let import = image
                .imports()
                .find(|import| u64::from(import.slot) == slot);
            Some(import?.symbol.to_string())
        })
        .collect()
}

struct Finder<'a> {
    image: &'a Image,
    /// RVAs of the slots of imports.
    slots: BTreeSet<u32>,
    found: BTreeMap<u32, Block>,
    /// Where functions start that nobody has read.
    roots: BTreeSet<u32>,
    /// The same, if it is code that is there.
    guesses: BTreeSet<u32>,
}

impl Finder<'_> {
    /// A function whose bounds are known.
    fn read_whole(&mut self, range: Range<u32>) {
        let mut code = Code::default();
        let mut tables = BTreeSet::new();
        let mut jumps = JumpTables::default();
        let mut next = range.start;
        while next < range.end {
            let mut after = None;
            for instruction in decode(self.image, next..range.end) {
                let rva = instruction.ip() as u32;
                if tables.contains(&rva) {
                    break;
                }
                tables.extend(data_within(&instruction, &range));
                after = Some(instruction.next_ip() as u32);
                code.leaders
                    .extend(jumps.targets(self.image, &instruction, &range));
                code.add(instruction, &range);
                self.note(&instruction);
            }
            // Behind what is no code the next place that a branch leads to is code again.
            let from = after.unwrap_or(next).max(next + 1);
            next = match code.leaders.range(from..range.end).next() {
                Some(leader) if after != Some(range.end) => *leader,
                _ => range.end,
            };
        }
        self.keep(range.start, code);
    }

    /// A function of which only the start is known. A guess is one only if nothing in it says that
    /// it is something else.
    fn follow(&mut self, root: u32, is_guess: bool) {
        let Some(bounds) = self.bounds(root) else {
            return;
        };
        if self.is_known(root) {
            return;
        }
        let mut code = Code::default();
        let mut jumps = JumpTables::default();
        let mut open = BTreeSet::from([root]);
        let mut is_code = true;
        while let Some(start) = open.pop_first() {
            let mut has_end = false;
            for instruction in decode(self.image, start..bounds.end) {
                let rva = instruction.ip() as u32;
                if code.instructions.contains_key(&rva) || rva != root && self.is_known(rva) {
                    has_end = true;
                    break;
                }
                is_code &= !is_zeros(&instruction);
                code.add(instruction, &bounds);
                let mut targets = jumps.targets(self.image, &instruction, &bounds);
                code.leaders.extend(&targets);
                if is_near(&instruction) && !instruction.is_call_near() {
                    targets.extend(u32::try_from(instruction.near_branch_target()));
                }
                targets.retain(|target| bounds.contains(target) && !self.is_known(*target));
                open.extend(targets);
                if leaves(&instruction) {
                    has_end = true;
                    break;
                }
            }
            is_code &= has_end;
        }
        if is_code || !is_guess {
            code.instructions.values().for_each(|it| self.note(it));
            self.keep(root, code);
        }
    }

    /// From `root` to where other code is known to begin; `None` where there is no code.
    fn bounds(&self, root: u32) -> Option<Range<u32>> {
        let section = self.image.section_at(root)?;
        if !section.is_executable() || self.image.function_at(root).is_some() {
            return None;
        }
        let functions = self.image.functions();
        let after = functions.partition_point(|function| function.begin <= root);
        let next = functions.get(after).map_or(u32::MAX, |next| next.begin);
        Some(root..section.range().end.min(next))
    }

    fn is_known(&self, rva: u32) -> bool {
        let below = self.found.range(..=rva).next_back();
        below.is_some_and(|(_, block)| rva < block.end)
    }

    /// Remembers where other functions start.
    fn note(&mut self, instruction: &Instruction) {
        if instruction.is_call_near() {
            self.roots
                .extend(u32::try_from(instruction.near_branch_target()));
        } else if instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand()
        {
            self.guesses
                .extend(u32::try_from(instruction.ip_rel_memory_address()));
        }
    }

    /// Cuts code into blocks.
    fn keep(&mut self, function: u32, code: Code) {
        let mut blocks: Vec<Block> = Vec::new();
        // Whether what has been read since a block ended only fills up.
        let mut filling = true;
        for (rva, instruction) in &code.instructions {
            let (begin, end) = (*rva, instruction.next_ip() as u32);
            let starts = code.leaders.contains(&begin);
            match blocks.last_mut() {
                Some(block) if block.end == begin && !starts && !filling => block.end = end,
                _ if is_filling(instruction) => filling = true,
                _ => {
                    filling = false;
                    blocks.push(Block {
                        begin,
                        end,
                        function,
                    });
                }
            }
        }
        let is_thunk = code.instructions.len() <= 3
            && code.instructions.values().next().is_some_and(|first| {
                first.flow_control() == FlowControl::IndirectBranch
                    && first.is_ip_rel_memory_operand()
                    && u32::try_from(first.ip_rel_memory_address())
                        .is_ok_and(|slot| self.slots.contains(&slot))
            });
        if is_thunk {
            return;
        }
        for block in blocks {
            if !self.is_known(block.begin) {
                self.found.insert(block.begin, block);
            }
        }
    }
}

/// Code of one function.
#[derive(Debug, Default)]
struct Code {
    instructions: BTreeMap<u32, Instruction>,
    /// Where blocks begin, and places to which a block's end leads.
    leaders: BTreeSet<u32>,
}

impl Code {
    fn add(&mut self, instruction: Instruction, within: &Range<u32>) {
        let next = instruction.next_ip() as u32;
        if is_near(&instruction) && !instruction.is_call_near() {
            let target = u32::try_from(instruction.near_branch_target());
            self.leaders
                .extend(target.ok().filter(|target| within.contains(target)));
            self.leaders.insert(next);
        } else if leaves(&instruction) {
            self.leaders.insert(next);
        }
        self.instructions
            .insert(instruction.ip() as u32, instruction);
    }
}

/// The instructions in a range of RVAs, up to the first that is none.
fn decode(image: &Image, range: Range<u32>) -> impl Iterator<Item = Instruction> {
    let bytes = image
        .placed
        .reader()
        .bytes(
            "code",
            range.start.into(),
            u64::from(range.end.saturating_sub(range.start)),
        )
        .unwrap_or_default();
    let mut decoder = Decoder::with_ip(64, bytes, range.start.into(), DecoderOptions::NONE);
    std::iter::from_fn(move || {
        let instruction = decoder.can_decode().then(|| decoder.decode())?;
        (!instruction.is_invalid()).then_some(instruction)
    })
}

fn is_near(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::NearBranch64
}

/// Whether what follows an instruction is never reached from it.
fn leaves(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Exception => true,
        // Break points and `int 0x29`.
        FlowControl::Interrupt => true,
        _ => false,
    }
}

/// `add [rax], al`, which is what two zeros are.
fn is_zeros(instruction: &Instruction) -> bool {
    instruction.code() == Opcode::Add_rm8_r8
        && instruction.memory_base() == Register::RAX
        && instruction.op1_register() == Register::AL
        && instruction.memory_displ_size() == 0
        && instruction.memory_index() == Register::None
}

/// Where the block begins that is entered at `rva`.
fn past_filling(image: &Image, rva: u32) -> u32 {
    // Alignment of code is 64 bytes at most.
    decode(image, rva..rva.saturating_add(64))
        .find(|instruction| instruction.mnemonic() != Mnemonic::Nop)
        .map_or(rva, |instruction| instruction.ip() as u32)
}

fn is_filling(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Nop | Mnemonic::Fnop | Mnemonic::Int3 | Mnemonic::Ud2
    )
}

/// Data inside a function that an instruction of it reads: a jump table.
fn data_within(instruction: &Instruction, range: &Range<u32>) -> Option<u32> {
    if instruction.mnemonic() == Mnemonic::Nop {
        return None;
    }
    let address = if instruction.is_ip_rel_memory_operand() {
        instruction.ip_rel_memory_address()
    } else if instruction.memory_base() != Register::None
        && instruction.memory_index() != Register::None
    {
        // Counted from the image base, which is in a register.
        instruction.memory_displacement64()
    } else {
        return None;
    };
    u32::try_from(address)
        .ok()
        .filter(|rva| range.contains(rva) && *rva != range.start)
        .filter(|_| {
            instruction.mnemonic() != Mnemonic::Lea || instruction.is_ip_rel_memory_operand()
        })
}

/// The functions that Control Flow Guard lets pointers call.
fn guarded(image: &Image) -> Vec<u32> {
    let table = image.load_config().and_then(|config| config.guard_table);
    let Some(table) = table else {
        return Vec::new();
    };
    let bytes = image.placed.reader();
    let entry = |index: u32| {
        let offset = u64::from(table.rva) + u64::from(index) * u64::from(table.stride);
        bytes.u32("guard function", offset).ok()
    };
    (0..table.count).filter_map(entry).collect()
}

/// Where addresses in data lead to.
fn relocated(image: &Image) -> Vec<u32> {
    let bytes = image.placed.reader();
    let mut targets = Vec::new();
    let directory = image.headers.directory(Directory::RELOCATION);
    // The image was parsed, so this succeeds.
    let _ = relocation::walk(bytes, directory, |relocation| {
        if let Relocation::Dir64(field) = relocation
            && let Ok(address) = bytes.u64("address", field.into())
        {
            let rva = address.wrapping_sub(image.preferred_base());
            targets.extend(u32::try_from(rva));
        }
        Ok(())
    });
    targets
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::builder::{Pe, at};

    /// The blocks of `code`, which has unwind data for its first `length` bytes.
    fn found(code: &[u8], length: u32, names: &[u32]) -> String {
        let mut pe = Pe::driver();
        pe.put(at::TEXT, code);
        let unwound = [at::TEXT, at::TEXT + length, at::UNWIND, 0, 0, 0];
        pe.words(at::PDATA, if length == 0 { &[0; 6] } else { &unwound });
        let image = Image::parse(&pe.build()).unwrap();
        let mut text = String::new();
        let names = names.iter().map(|name| at::TEXT + name);
        for block in blocks(&image, names) {
            if let Some(begin) = block.begin.checked_sub(at::TEXT)
                && begin < code.len() as u32
            {
                let (end, of) = (block.end - at::TEXT, block.function - at::TEXT);
                let _ = write!(text, "{begin:x}..{end:x} of {of:x}; ");
            }
        }
        text
    }

    /// `test ecx, ecx; je 6; xor eax, eax; ret; int3`
    const BRANCH: [u8; 8] = [0x85, 0xC9, 0x74, 0x02, 0x31, 0xC0, 0xC3, 0xCC];

    #[test]
    fn a_branch_ends_a_block_and_its_target_begins_one() {
        assert_eq!(found(&BRANCH, 8, &[]), "0..4 of 0; 4..6 of 0; 6..7 of 0; ");
    }

    #[test]
    fn a_branch_leads_to_two_blocks() {
        let mut pe = Pe::driver();
        pe.put(at::TEXT, &BRANCH);
        let image = Image::parse(&pe.build()).unwrap();
        let to = |begin: u32, end: u32| {
            let (begin, end) = (at::TEXT + begin, at::TEXT + end);
            let function = at::TEXT;
            leads_to(
                &image,
                &Block {
                    begin,
                    end,
                    function,
                },
            )
        };
        assert_eq!(to(0, 4), [at::TEXT + 6, at::TEXT + 4]);
        assert_eq!(to(4, 6), [at::TEXT + 6]);
        assert_eq!(to(6, 7), [0_u32; 0]);
    }

    #[test]
    fn a_function_without_unwind_data_is_read_as_far_as_its_branches_lead() {
        // The entry point is at the start.
        assert_eq!(found(&BRANCH, 0, &[]), "0..4 of 0; 4..6 of 0; 6..7 of 0; ");
    }

    #[test]
    fn a_symbol_and_a_call_make_functions_known() {
        // call 8; ret; int3; int3; ret (at 8); int3 …; ret (at 0x10)
        let mut code = [0xCC; 0x11];
        code[..6].copy_from_slice(&[0xE8, 3, 0, 0, 0, 0xC3]);
        code[8] = 0xC3;
        code[0x10] = 0xC3;
        assert_eq!(found(&code, 6, &[]), "0..6 of 0; 8..9 of 8; ");
        assert_eq!(
            found(&code, 6, &[0x10]),
            "0..6 of 0; 8..9 of 8; 10..11 of 10; "
        );
    }

    #[test]
    fn a_jump_table_inside_a_function_is_no_code() {
        // test ecx, ecx; je 0x20; lea rax, [rip + 5]; jmp rax; the table at 0x10; ret at 0x20
        let mut code = [0x06; 0x21];
        code[..0x10].copy_from_slice(&[
            0x85, 0xC9, 0x74, 0x1C, 0x48, 0x8D, 0x05, 5, 0, 0, 0, 0xFF, 0xE0, 0xCC, 0xCC, 0xCC,
        ]);
        code[0x20] = 0xC3;
        assert_eq!(
            found(&code, 0x21, &[]),
            "0..4 of 0; 4..d of 0; 20..21 of 0; "
        );
    }

    /// A jump through a table of two offsets at 0x80, counted from the table if `near` is that,
    /// or from the image.
    fn switch(near: u32) -> String {
        let rva = |offset: u32| at::TEXT + offset;
        let mut code = vec![0x90; 0x88];
        // lea rdx, [rip + …]; mov ecx, [rdx + rax * 4 + …]; add rcx, rdx; jmp rcx
        code[..3].copy_from_slice(&[0x48, 0x8D, 0x15]);
        code[3..7].copy_from_slice(&near.wrapping_sub(rva(7)).to_le_bytes());
        code[7..10].copy_from_slice(&[0x8B, 0x8C, 0x82]);
        code[10..14].copy_from_slice(&rva(0x80).wrapping_sub(near).to_le_bytes());
        code[14..19].copy_from_slice(&[0x48, 0x01, 0xD1, 0xFF, 0xE1]);
        // xor eax, eax (at 0x20); inc eax (at 0x22); ret
        code[0x20..0x25].copy_from_slice(&[0x31, 0xC0, 0xFF, 0xC0, 0xC3]);
        for (index, case) in [0x20, 0x22].into_iter().enumerate() {
            let entry = 0x80 + 4 * index;
            code[entry..entry + 4].copy_from_slice(&rva(case).wrapping_sub(near).to_le_bytes());
        }
        found(&code, 0x88, &[])
    }

    #[test]
    fn what_a_jump_table_leads_to_begins_a_block() {
        let cases = "0..13 of 0; 20..22 of 0; 22..25 of 0; ";
        assert_eq!(switch(at::TEXT + 0x80), cases);
        assert_eq!(switch(0), cases);
    }

    #[test]
    fn what_only_fills_up_is_in_front_of_a_block() {
        // test ecx, ecx; je 8; nop; nop; ret; int3; nop (at 8); xor eax, eax; ret
        let code = [
            0x85, 0xC9, 0x74, 0x04, 0x90, 0x90, 0xC3, 0xCC, 0x90, 0x31, 0xC0, 0xC3,
        ];
        assert_eq!(found(&code, 12, &[]), "0..4 of 0; 6..7 of 0; 9..c of 0; ");
        let mut pe = Pe::driver();
        pe.put(at::TEXT, &code);
        let image = Image::parse(&pe.build()).unwrap();
        let first = Block {
            begin: at::TEXT,
            end: at::TEXT + 4,
            function: at::TEXT,
        };
        assert_eq!(leads_to(&image, &first), [at::TEXT + 9, at::TEXT + 6]);
    }

    #[test]
    fn text_that_something_points_to_is_no_code() {
        // lea rcx, [rip + 1]; ret; "a file\0\0"
        let mut code = vec![0x48, 0x8D, 0x0D, 1, 0, 0, 0, 0xC3];
        code.extend(b"no code\0\0");
        assert_eq!(found(&code, 8, &[]), "0..8 of 0; ");
    }

    #[test]
    fn a_loop_is_a_block_of_its_own() {
        // xor eax, eax; inc eax (at 2); cmp eax, ecx; jne 2; ret
        let code = [0x31, 0xC0, 0xFF, 0xC0, 0x39, 0xC8, 0x75, 0xFA, 0xC3];
        assert_eq!(found(&code, 9, &[]), "0..2 of 0; 2..8 of 0; 8..9 of 0; ");
    }

    #[test]
    fn a_branch_out_of_the_function_makes_no_block_in_it() {
        // jmp far away; ret
        let code = [0xE9, 0x40, 0, 0, 0, 0xC3];
        assert_eq!(found(&code, 6, &[]), "0..5 of 0; 5..6 of 0; ");
    }
}
