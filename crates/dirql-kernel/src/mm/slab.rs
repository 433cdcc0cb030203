//! A page of pool that is cut into blocks of equal size.
//!
//! In front of each block lie 16 bytes that belong to nobody, the fence, where Windows has its
//! pool header; the bytes between the end of an allocation and the next fence are filled like
//! it. A driver that writes there damages a header on Windows; here it is found when the block
//! is freed.

use alloc::vec::Vec;

use dirql_rules::Place;

use super::layout::PAGE;

/// Bytes of the fence in front of each block.
pub(super) const FENCE: u64 = 16;

/// How a page is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Offset of the first block.
    pub first: u64,
    /// Bytes from one block to the next, fence included.
    pub stride: u64,
    /// Whether the blocks may hold code: those that may share no page with those that may not.
    pub may_hold_code: bool,
}

impl Cut {
    /// The cut for blocks of `bytes` at multiples of 16, or of 64 if they are to begin a
    /// cache line. `None` if not one fits in a page, or if Windows would give it pages of its
    /// own: one that leaves no room for another header and the smallest block.
    pub(super) fn for_bytes(bytes: u64, cache_aligned: bool) -> Option<Self> {
        if bytes > PAGE - 2 * FENCE {
            return None;
        }
        let alignment = if cache_aligned { 64 } else { 16 };
        let cut = Self {
            first: alignment,
            stride: (bytes.max(1) + FENCE).next_multiple_of(alignment),
            may_hold_code: false,
        };
        (cut.blocks() > 0).then_some(cut)
    }

    /// The same cut for blocks that may hold code, or may not.
    pub(super) const fn for_code(mut self, may_hold_code: bool) -> Self {
        self.may_hold_code = may_hold_code;
        self
    }

    /// How many blocks a page has.
    pub(super) const fn blocks(self) -> u64 {
        (PAGE + FENCE - self.first) / self.stride
    }

    /// Bytes of a block that an allocation can have.
    pub(super) const fn usable(self) -> u64 {
        self.stride - FENCE
    }

    /// The cut's number: its list of free blocks. Below [`CLASSES`].
    pub(super) const fn class(self) -> usize {
        let mut list = (self.stride / 16) as usize;
        if self.first == 64 {
            list += CLASSES / 4;
        }
        if self.may_hold_code {
            list += CLASSES / 2;
        }
        list
    }
}

/// Number of lists of free blocks.
pub(super) const CLASSES: usize = 4 * (PAGE as usize / 16 + 1);

/// One allocation from pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolBlock {
    /// Where it begins.
    pub address: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Its tag as a driver writes it, first character in the low byte.
    pub tag: u32,
    /// `POOL_TYPE` that was asked for.
    pub pool_type: u32,
    /// Where it was allocated.
    pub place: Place,
}

/// A block that was freed.
#[derive(Clone, Debug)]
pub(super) struct Freed {
    pub block: PoolBlock,
    /// Where it was freed.
    pub place: Place,
}

/// What a block is at the moment.
#[derive(Clone, Debug, Default)]
pub(super) enum BlockState {
    /// Never allocated so far.
    #[default]
    Fresh,
    /// Allocated.
    Live(PoolBlock),
    /// Freed; `held` while it is kept from being allocated again.
    Freed { freed: Freed, held: bool },
}

/// A page of blocks.
#[derive(Debug)]
pub(super) struct Slab {
    pub cut: Cut,
    states: Vec<BlockState>,
}

impl Slab {
    pub(super) fn new(cut: Cut) -> Self {
        Self {
            cut,
            states: alloc::vec![BlockState::Fresh; cut.blocks() as usize],
        }
    }

    /// The block that begins at `offset` of the page.
    pub(super) fn block(&mut self, offset: u64) -> Option<&mut BlockState> {
        let from_first = offset.checked_sub(self.cut.first)?;
        if !from_first.is_multiple_of(self.cut.stride) {
            return None;
        }
        self.states.get_mut((from_first / self.cut.stride) as usize)
    }

    /// The block whose bytes, fence in front included, cover `offset`.
    pub(super) fn covering(&self, offset: u64) -> Option<&BlockState> {
        let index = (offset + FENCE).checked_sub(self.cut.first)? / self.cut.stride;
        self.states.get(index as usize)
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &BlockState> {
        self.states.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_block_crosses_the_end_of_its_page_and_each_has_room() {
        for bytes in 0..=PAGE {
            for cache_aligned in [false, true] {
                let Some(cut) = Cut::for_bytes(bytes, cache_aligned) else {
                    continue;
                };
                let last = cut.first + (cut.blocks() - 1) * cut.stride;
                assert!(last + cut.usable() <= PAGE, "{bytes} {cut:?}");
                assert!(cut.usable() >= bytes.max(1), "{bytes} {cut:?}");
                assert!(cut.class() < CLASSES);
                assert_eq!(cut.first % if cache_aligned { 64 } else { 16 }, 0);
                assert_eq!(cut.stride % if cache_aligned { 64 } else { 16 }, 0);
            }
        }
    }

    #[test]
    fn blocks_that_leave_room_for_another_share_a_page() {
        assert!(Cut::for_bytes(4064, false).is_some());
        assert!(Cut::for_bytes(4065, false).is_none());
    }

    #[test]
    fn an_address_between_two_blocks_begins_none() {
        let mut slab = Slab::new(Cut::for_bytes(32, false).unwrap());
        assert!(slab.block(16).is_some() && slab.block(64).is_some());
        assert!(slab.block(0).is_none() && slab.block(17).is_none() && slab.block(32).is_none());
        assert!(slab.block(16 + 48 * 85).is_none());
        assert!(slab.covering(0).is_some() && slab.covering(PAGE - 1).is_none());
    }
}
