//! Makes instructions trap that look at the interrupt flag without trapping.
//!
//! `pushfq` and `popfq` are not privileged, so in this process they read IF as 1 and leave
//! it alone. That is right as long as interrupts are enabled; only after a `cli` (which
//! traps) can they tell. So when the flag is cleared, the code that can run with it
//! cleared is searched, and the first byte of each `pushfq`, `popfq` and `iretq` in it is
//! replaced by `hlt`, which traps. Where that code leaves for an address that only the
//! running program knows (a return to its caller, a jump or call through a register), that
//! instruction is replaced too, and the search goes on at its target when it traps.
//!
//! Not modelled: a `popfq` or `iretq` that clears the flag although no `cli` was before
//! it; code outside the image that was searched; code that reads its own bytes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{Code, FlowControl, Instruction, OpKind};

use super::decode::decode;
use super::machine::Machine;
use crate::checkpoint;

/// `hlt`.
const TRAP: u8 = 0xF4;

/// Instructions that one search looks at, at most.
const LIMIT: u32 = 0x2000;

/// The longest instruction.
const LONGEST: u64 = 15;

/// Replaced bytes and where they were.
#[derive(Default)]
pub(super) struct Patches {
    original: RefCell<BTreeMap<u64, u8>>,
    /// Where searches have started.
    searched: RefCell<BTreeSet<u64>>,
}

/// What was known of replaced bytes at some time.
#[derive(Debug, Default)]
pub(crate) struct SavedPatches {
    original: BTreeMap<u64, u8>,
    searched: BTreeSet<u64>,
}

/// A place to search on from. Behind a call that was followed, returns are known.
type Start = (u64, bool);

impl Patches {
    /// The interrupt flag is cleared and the code at `start` is about to run.
    pub(super) fn watch(&self, machine: &dyn Machine, start: u64) {
        if !checkpoint::outside(|| self.searched.borrow_mut().insert(start)) {
            return;
        }
        let Some(image) = machine.image_of(start) else {
            return;
        };
        let mut search = Search {
            patches: self,
            machine,
            image,
            seen: BTreeSet::new(),
            left: LIMIT,
        };
        let mut open: Vec<Start> = vec![(start, false)];
        while let Some(place) = open.pop() {
            search.follow(place, &mut open);
        }
    }

    /// Puts the original bytes into `bytes`, which were read at `address`. Whether the first
    /// of them was replaced.
    pub(super) fn restore(&self, address: u64, bytes: &mut [u8]) -> bool {
        let originals = self.original.borrow();
        let end = address.saturating_add(bytes.len() as u64);
        for (place, original) in originals.range(address..end) {
            bytes[(place - address) as usize] = *original;
        }
        originals.contains_key(&address)
    }

    /// What there is now, for [`Patches::put`].
    pub(super) fn save(&self) -> SavedPatches {
        SavedPatches {
            original: self.original.borrow().clone(),
            searched: self.searched.borrow().clone(),
        }
    }

    /// The computer's memory is as it was when `saved` was.
    pub(super) fn put(&self, saved: &SavedPatches) {
        if *self.original.borrow() != saved.original || *self.searched.borrow() != saved.searched {
            self.original.borrow_mut().clone_from(&saved.original);
            self.searched.borrow_mut().clone_from(&saved.searched);
        }
    }

    /// The code in `range` is gone.
    pub(super) fn forget(&self, range: &Range<u64>) {
        self.original
            .borrow_mut()
            .retain(|address, _| !range.contains(address));
        self.searched
            .borrow_mut()
            .retain(|address| !range.contains(address));
    }
}

struct Search<'a> {
    patches: &'a Patches,
    machine: &'a dyn Machine,
    image: Range<u64>,
    seen: BTreeSet<Start>,
    left: u32,
}

impl Search<'_> {
    /// Searches from `place` to where control leaves; adds where it may go to besides.
    fn follow(&mut self, place: Start, open: &mut Vec<Start>) {
        let (mut address, called) = place;
        while self.left > 0 && self.seen.insert((address, called)) {
            self.left -= 1;
            let Some(instruction) = self.instruction(address) else {
                return;
            };
            match self.step(&instruction, called, open) {
                Some(next) => address = next,
                None => return,
            }
        }
    }

    /// Looks at one instruction. Returns where the search goes on.
    fn step(&self, instruction: &Instruction, called: bool, open: &mut Vec<Start>) -> Option<u64> {
        let next = instruction.next_ip();
        match instruction.code() {
            Code::Pushfq => self.replace(instruction.ip()),
            // What follows is searched when it has trapped and the flag is still clear.
            Code::Popfq | Code::Iretq => {
                self.replace(instruction.ip());
                return None;
            }
            Code::Sti => return None,
            _ => {}
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::XbeginXabortXend => Some(next),
            FlowControl::UnconditionalBranch => branch_target(instruction),
            FlowControl::ConditionalBranch => {
                open.extend(branch_target(instruction).map(|target| (target, called)));
                Some(next)
            }
            FlowControl::Call => {
                open.extend(branch_target(instruction).map(|target| (target, true)));
                Some(next)
            }
            FlowControl::IndirectCall => {
                match self.pointer(instruction) {
                    Some(target) => open.push((target, true)),
                    None => self.replace(instruction.ip()),
                }
                Some(next)
            }
            FlowControl::IndirectBranch => {
                self.replace(instruction.ip());
                None
            }
            FlowControl::Return => {
                if !called {
                    self.replace(instruction.ip());
                }
                None
            }
            // Assertions and debug services may go on; a fail-fast does not, but then what
            // follows it never runs and nothing is lost.
            FlowControl::Interrupt => Some(next),
            FlowControl::Exception => None,
        }
    }

    fn instruction(&self, address: u64) -> Option<Instruction> {
        if !self.image.contains(&address) {
            return None;
        }
        let mut bytes = [0; LONGEST as usize];
        let length = LONGEST.min(self.image.end - address) as usize;
        let bytes = &mut bytes[..length];
        // Near the end of a section, fewer bytes than the longest instruction's can be read.
        if self.machine.read(address, bytes).is_err() {
            let page_end = (4096 - address % 4096) as usize;
            self.machine
                .read(address, bytes.get_mut(..page_end)?)
                .ok()?;
        }
        self.patches.restore(address, bytes);
        decode(bytes, address)
    }

    /// What the pointer holds that an instruction goes through, if it is at a fixed place.
    fn pointer(&self, instruction: &Instruction) -> Option<u64> {
        if instruction.op0_kind() != OpKind::Memory || !instruction.is_ip_rel_memory_operand() {
            return None;
        }
        let mut pointer = [0; 8];
        self.machine
            .read(instruction.ip_rel_memory_address(), &mut pointer)
            .ok()?;
        Some(u64::from_le_bytes(pointer))
    }

    /// Makes the instruction at `address` trap.
    fn replace(&self, address: u64) {
        let mut original = [0];
        if self.patches.original.borrow().contains_key(&address)
            || self.machine.read(address, &mut original).is_err()
        {
            return;
        }
        if self.machine.patch_code(address, TRAP) {
            checkpoint::outside(|| {
                let mut known = self.patches.original.borrow_mut();
                known.insert(address, original[0]);
            });
        }
    }
}

/// Where a direct branch or call goes; nowhere for the far forms.
fn branch_target(instruction: &Instruction) -> Option<u64> {
    (instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch64())
}
