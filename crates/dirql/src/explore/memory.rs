//! Which instructions of a driver meet others in memory.
//!
//! Two accesses meet if they are to the same byte, by code of different contexts, and one of
//! them writes. Contexts are told apart as far as they can run at the same time or inside one
//! another: threads, ISRs by vector and processor, DPCs and critical sections by processor.
//!
//! What code reaches only in some orders is seen only there, so the set grows while a search
//! goes on; a search whose set has grown is not over.
//!
//! What a thread does while nothing else could happen meets nobody: it comes before everything that
//! it starts later, in every order.
//!
//! Not seen: what is on a thread's stack and was handed to somebody else. Stacks are left out,
//! because an ISR uses the stack of whom it interrupts.

use std::collections::{BTreeMap, BTreeSet};

use dirql_host::MemoryAccess;
use dirql_kernel::mm::layout::{IMAGES, STACKS};
use dirql_rules::Context;

/// Bytes of one access that are looked at, at most: enough for every structure, and a driver that
/// clears a megabyte does not take the bench's time.
const MOST_BYTES: u64 = 0x1000;

/// Who accesses memory: context, and processor where that makes a difference.
type Actor = (Context, u16);

/// What is known of eight bytes of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Word {
    /// By whom which bytes are read and written.
    by: BTreeMap<Actor, (u8, u8)>,
    /// Instructions that access it.
    instructions: BTreeSet<u32>,
}

impl Word {
    fn is_met(&self) -> bool {
        self.by.iter().any(|(actor, (_, written))| {
            self.by
                .iter()
                .any(|(other, (read, also))| other != actor && (read | also) & written != 0)
        })
    }
}

/// What driver code has accessed in all runs so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    words: BTreeMap<u64, Word>,
}

impl Memory {
    /// Adds the accesses of a run.
    pub(super) fn learn(&mut self, accesses: &[MemoryAccess]) {
        let matters = |access: &&MemoryAccess| !access.alone && !STACKS.contains(&access.address);
        for access in accesses.iter().filter(matters) {
            let actor = actor(access);
            let end = access.address.saturating_add(access.bytes.min(MOST_BYTES));
            let mut start = access.address & !7;
            while start < end {
                let first = access.address.saturating_sub(start).min(8);
                let last = (end - start).min(8);
                let mask = ((1_u16 << last) - (1 << first)) as u8;
                let word = self.words.entry(start).or_default();
                let (read, written) = word.by.entry(actor).or_default();
                *read |= if access.reads { mask } else { 0 };
                *written |= if access.writes { mask } else { 0 };
                word.instructions
                    .insert((access.instruction - IMAGES.start) as u32);
                start = start.saturating_add(8);
            }
        }
    }

    /// The instructions that meet others, by their place in the area of images, in order.
    pub(super) fn met(&self) -> Vec<u32> {
        let met = self.words.values().filter(|word| word.is_met());
        let instructions: BTreeSet<u32> = met
            .flat_map(|word| word.instructions.iter().copied())
            .collect();
        instructions.into_iter().collect()
    }
}

fn actor(access: &MemoryAccess) -> Actor {
    match access.context {
        // A thread is the same wherever it runs.
        Context::Thread(_) => (access.context, 0),
        context => (context, access.processor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(
        context: Context,
        place: u64,
        address: u64,
        bytes: u64,
        writes: bool,
    ) -> MemoryAccess {
        MemoryAccess {
            step: 0,
            events: 0,
            processor: 0,
            irql: 0,
            context,
            instruction: IMAGES.start + place,
            address,
            bytes,
            reads: !writes,
            writes,
            alone: false,
            interlocked: false,
        }
    }

    const THREAD: Context = Context::Thread(1);
    const ISR: Context = Context::Isr(0x60);

    fn met(accesses: &[MemoryAccess]) -> Vec<u32> {
        let mut memory = Memory::default();
        memory.learn(accesses);
        memory.met()
    }

    #[test]
    fn a_write_meets_a_read_of_the_same_byte_by_somebody_else() {
        let write = access(THREAD, 1, 0x5003, 2, true);
        assert_eq!(met(&[write, access(ISR, 2, 0x5000, 4, false)]), [1, 2]);
        assert_eq!(met(&[write, access(ISR, 2, 0x5000, 3, false)]), [0_u32; 0]);
        assert_eq!(
            met(&[write, access(THREAD, 2, 0x5000, 4, false)]),
            [0_u32; 0]
        );
    }

    #[test]
    fn two_reads_do_not_meet() {
        let reads = [
            access(THREAD, 1, 0x5000, 8, false),
            access(ISR, 2, 0x5000, 8, false),
        ];
        assert_eq!(met(&reads), [0_u32; 0]);
    }

    #[test]
    fn an_access_over_a_word_s_end_meets_in_both() {
        let wide = access(THREAD, 1, 0x5006, 4, true);
        assert_eq!(met(&[wide, access(ISR, 2, 0x5008, 1, false)]), [1, 2]);
        assert_eq!(met(&[wide, access(ISR, 2, 0x500A, 1, false)]), [0_u32; 0]);
    }

    #[test]
    fn what_comes_before_everything_else_meets_nobody() {
        let first = MemoryAccess {
            alone: true,
            ..access(THREAD, 1, 0x5000, 8, true)
        };
        assert_eq!(met(&[first, access(ISR, 2, 0x5000, 8, false)]), [0_u32; 0]);
    }

    #[test]
    fn stacks_are_left_out() {
        let write = access(THREAD, 1, STACKS.start, 8, true);
        assert_eq!(
            met(&[write, access(ISR, 2, STACKS.start, 8, true)]),
            [0_u32; 0]
        );
    }
}
