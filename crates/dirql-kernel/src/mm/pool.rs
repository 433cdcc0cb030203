//! Paged and nonpaged pool: who owns which block.
//!
//! Pure bookkeeping; [`super::pool_memory`] fills and checks the memory. Blocks below a page share
//! pages with blocks of the same size ([`super::slab`]); larger ones have pages of their own
//! with an inaccessible page behind, so that a write past the end faults at once.
//!
//! With special pool every block has pages of its own: a small one ends where its page does, so that
//! an access past its end faults, as does one after it was freed.
//!
//! A freed block is held back for a while before it is allocated again, so that a driver that
//! still uses it meets the pattern of freed memory (or, for whole pages, faults) and not a
//! stranger's data.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::Place;

use super::layout::{self, PAGE};
use super::page_runs::{Limits, PageRuns};
use super::slab::{BlockState, CLASSES, Cut, Freed, Slab};

pub use super::slab::PoolBlock;

/// Small blocks that are held after they were freed.
const HELD_SMALL: usize = 256;

/// Blocks with pages of their own that are held after they were freed.
const HELD_LARGE: usize = 16;

/// The same with special pool, where every block is such a one.
const HELD_SPECIAL: usize = 512;

/// Pages that such blocks may have together.
const HELD_PAGES: u64 = 4096;

/// One of the two pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NonPaged,
    Paged,
}

/// `POOL_NX_ALLOCATION`, which makes `NonPagedPoolNx` of `NonPagedPool`.
const NO_EXECUTE: u32 = 0x200;

/// Whether blocks of a `POOL_TYPE` may hold code. They share pages with none that may not.
///
/// Source: WDK, "NX and Execute Pool Types".
pub(super) fn may_hold_code(pool_type: u32) -> bool {
    Kind::of_type(pool_type) == Kind::NonPaged && pool_type & NO_EXECUTE == 0
}

impl Kind {
    /// As told by a `POOL_TYPE`: bit 0 of the base type is set for paged pool.
    pub(super) const fn of_type(pool_type: u32) -> Self {
        if pool_type & 1 == 0 {
            Self::NonPaged
        } else {
            Self::Paged
        }
    }

    /// The pool that an address belongs to.
    pub(super) fn of_address(address: u64) -> Option<Self> {
        [Self::NonPaged, Self::Paged]
            .into_iter()
            .find(|kind| kind.region().contains(&address))
    }

    pub(super) const fn region(self) -> Range<u64> {
        match self {
            Self::NonPaged => layout::NONPAGED_POOL,
            Self::Paged => layout::PAGED_POOL,
        }
    }
}

/// What a page of pool is used for.
#[derive(Debug, Default)]
enum PageUse {
    /// Free, or inside a large block.
    #[default]
    Other,
    /// Blocks of equal size.
    Slab(Box<Slab>),
    /// The first page of a large block.
    Large(Box<Large>),
}

#[derive(Debug)]
struct Large {
    /// Accessible pages; one more follows that is not.
    pages: u64,
    /// Where in the first page the block begins.
    offset: u64,
    state: BlockState,
}

/// A block was allocated; the memory is still to be prepared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub address: u64,
    /// Bytes that belong to the block, at least those asked for.
    pub usable: u64,
    /// Bytes in front of it that belong to nobody.
    pub before: u64,
    /// Pages to be made accessible first, and to be fenced if they are a new slab's.
    pub new_pages: Option<(Range<u64>, Option<Cut>)>,
}

/// A block was freed, or leaves the held ones.
#[derive(Debug)]
pub(super) struct Extent {
    pub address: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Bytes that belong to the block.
    pub usable: u64,
    /// Bytes in front of it that belong to nobody, if it has pages of its own.
    pub before: u64,
    /// Its pages, if it has pages of its own.
    pub pages: Option<Range<u64>>,
}

/// Why a block cannot be freed.
#[derive(Debug)]
pub(super) enum BadFree {
    /// No pool.
    NotPool,
    /// In a pool, but no allocation begins there; the one that covers it, if any.
    NotTheStart(Option<Box<PoolBlock>>),
    /// It was freed before.
    Twice(Box<Freed>),
}

/// One pool.
#[derive(Debug)]
struct Pool {
    region: Range<u64>,
    runs: PageRuns,
    uses: Vec<PageUse>,
    free: Vec<Vec<u64>>,
    held_small: VecDeque<u64>,
    held_large: VecDeque<u64>,
    held_pages: u64,
    /// Blocks with pages of their own that are held at most.
    most_held: usize,
}

/// Bytes in front of a block with pages of its own.
fn before(address: u64, pages: Option<&Range<u64>>) -> u64 {
    pages.map_or(0, |pages| address - pages.start)
}

impl Pool {
    fn new(region: Range<u64>) -> Self {
        Self {
            runs: PageRuns::new(region.clone()),
            region,
            uses: Vec::new(),
            free: alloc::vec![Vec::new(); CLASSES],
            held_small: VecDeque::new(),
            held_large: VecDeque::new(),
            held_pages: 0,
            most_held: HELD_LARGE,
        }
    }

    fn page_use(&mut self, address: u64) -> Option<&mut PageUse> {
        let index = (address.checked_sub(self.region.start)? / PAGE) as usize;
        self.uses.get_mut(index)
    }

    fn set_page_use(&mut self, address: u64, page_use: PageUse) {
        let index = ((address - self.region.start) / PAGE) as usize;
        if index >= self.uses.len() {
            self.uses.resize_with(index + 1, PageUse::default);
        }
        self.uses[index] = page_use;
    }

    fn state(&mut self, address: u64) -> Option<&mut BlockState> {
        match self.page_use(address)? {
            PageUse::Slab(slab) => slab.block(address % PAGE),
            PageUse::Large(large) if address % PAGE == large.offset => Some(&mut large.state),
            PageUse::Large(_) | PageUse::Other => None,
        }
    }

    /// Bytes that belong to the block at `address`, and its pages if it has its own.
    fn extent(&mut self, address: u64) -> (u64, Option<Range<u64>>) {
        match self.page_use(address) {
            Some(PageUse::Slab(slab)) => (slab.cut.usable(), None),
            Some(PageUse::Large(large)) => {
                let bytes = large.pages * PAGE;
                let first = address - large.offset;
                (bytes - large.offset, Some(first..first + bytes))
            }
            Some(PageUse::Other) | None => (0, None),
        }
    }

    fn allocate_small(&mut self, cut: Cut) -> Option<Grant> {
        let usable = cut.usable();
        if let Some(address) = self.free[cut.class()].pop() {
            return Some(Grant {
                address,
                usable,
                before: 0,
                new_pages: None,
            });
        }
        let page = self.runs.allocate(1, Limits::NONE)?;
        self.set_page_use(page, PageUse::Slab(Box::new(Slab::new(cut))));
        let blocks = (1..cut.blocks())
            .rev()
            .map(|index| page + cut.first + index * cut.stride);
        self.free[cut.class()].extend(blocks);
        Some(Grant {
            address: page + cut.first,
            usable,
            before: 0,
            new_pages: Some((page..page + PAGE, Some(cut))),
        })
    }

    /// Pages for one block, which begins at `offset` of the first.
    fn allocate_large(&mut self, bytes: u64, offset: u64) -> Option<Grant> {
        let pages = bytes.checked_add(offset)?.div_ceil(PAGE);
        let first = self.runs.allocate(pages.checked_add(1)?, Limits::NONE)?;
        self.set_page_use(
            first,
            PageUse::Large(Box::new(Large {
                pages,
                offset,
                state: BlockState::Fresh,
            })),
        );
        let all = pages * PAGE;
        Some(Grant {
            address: first + offset,
            usable: all - offset,
            before: offset,
            new_pages: Some((first..first + all, None)),
        })
    }

    fn free(&mut self, address: u64, place: Place) -> Result<Extent, BadFree> {
        let Some(state) = self.state(address) else {
            return Err(BadFree::NotTheStart(
                self.covering(address).cloned().map(Box::new),
            ));
        };
        let bytes = match core::mem::take(state) {
            BlockState::Live(block) => {
                let bytes = block.bytes;
                let freed = Freed { block, place };
                *state = BlockState::Freed { freed, held: true };
                bytes
            }
            BlockState::Fresh => return Err(BadFree::NotTheStart(None)),
            BlockState::Freed { freed, held } => {
                *state = BlockState::Freed {
                    freed: freed.clone(),
                    held,
                };
                return Err(BadFree::Twice(Box::new(freed)));
            }
        };
        let (usable, pages) = self.extent(address);
        match &pages {
            Some(pages) => {
                self.held_large.push_back(address);
                self.held_pages += (pages.end - pages.start) / PAGE;
            }
            None => self.held_small.push_back(address),
        }
        Ok(Extent {
            address,
            bytes,
            usable,
            before: before(address, pages.as_ref()),
            pages,
        })
    }

    /// The oldest held block, if more are held than should be; it can now be allocated again.
    fn release_one(&mut self) -> Option<Extent> {
        let address = if self.held_small.len() > HELD_SMALL {
            self.held_small.pop_front()?
        } else if self.held_large.len() > self.most_held || self.held_pages > HELD_PAGES {
            self.held_large.pop_front()?
        } else {
            return None;
        };
        let (usable, pages) = self.extent(address);
        let BlockState::Freed { freed, held } = self.state(address)? else {
            return None;
        };
        *held = false;
        let bytes = freed.block.bytes;
        match &pages {
            Some(range) => {
                let pages = (range.end - range.start) / PAGE;
                self.held_pages -= pages;
                self.set_page_use(range.start, PageUse::Other);
                self.runs.free(range.start, pages + 1);
            }
            None => {
                if let Some(PageUse::Slab(slab)) = self.page_use(address) {
                    let class = slab.cut.class();
                    self.free[class].push(address);
                }
            }
        }
        Some(Extent {
            address,
            bytes,
            usable,
            before: before(address, pages.as_ref()),
            pages,
        })
    }

    fn live(&self) -> impl Iterator<Item = &PoolBlock> {
        self.states().filter_map(|state| match state {
            BlockState::Live(block) => Some(block),
            BlockState::Fresh | BlockState::Freed { .. } => None,
        })
    }

    fn states(&self) -> impl Iterator<Item = &BlockState> {
        self.uses.iter().flat_map(|page_use| {
            let (slab, large) = match page_use {
                PageUse::Slab(slab) => (Some(slab.states()), None),
                PageUse::Large(large) => (None, Some(&large.state)),
                PageUse::Other => (None, None),
            };
            slab.into_iter().flatten().chain(large)
        })
    }

    /// The live block that covers `address`.
    fn covering(&self, address: u64) -> Option<&PoolBlock> {
        match self.covering_state(address)? {
            BlockState::Live(block) => Some(block),
            BlockState::Fresh | BlockState::Freed { .. } => None,
        }
    }

    fn covering_state(&self, address: u64) -> Option<&BlockState> {
        let index = (address.checked_sub(self.region.start)? / PAGE) as usize;
        if let Some(PageUse::Slab(slab)) = self.uses.get(index) {
            return slab.covering(address % PAGE);
        }
        // A page of a large block, the one behind it included, or of nobody.
        let known = self.uses.len().min(index + 1);
        let first = (0..known)
            .rev()
            .find(|at| !matches!(self.uses[*at], PageUse::Other))?;
        match &self.uses[first] {
            PageUse::Large(large) if index as u64 <= first as u64 + large.pages => {
                Some(&large.state)
            }
            _ => None,
        }
    }
}

/// Both pools.
#[derive(Debug)]
pub(super) struct Pools {
    nonpaged: Pool,
    paged: Pool,
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            nonpaged: Pool::new(layout::NONPAGED_POOL),
            paged: Pool::new(layout::PAGED_POOL),
        }
    }
}

impl Pools {
    fn pool(&mut self, kind: Kind) -> &mut Pool {
        match kind {
            Kind::NonPaged => &mut self.nonpaged,
            Kind::Paged => &mut self.paged,
        }
    }

    /// Takes `bytes` for a block of a `POOL_TYPE`. `None` if there is no room.
    pub(super) fn allocate(
        &mut self,
        pool_type: u32,
        bytes: u64,
        cache_aligned: bool,
    ) -> Option<Grant> {
        let pool = self.pool(Kind::of_type(pool_type));
        match Cut::for_bytes(bytes, cache_aligned) {
            Some(cut) => pool.allocate_small(cut.for_code(may_hold_code(pool_type))),
            None => pool.allocate_large(bytes, 0),
        }
    }

    /// As [`Pools::allocate`], with pages of its own for every block: special pool. A block below a
    /// page ends with its page, as close as its alignment lets it.
    pub(super) fn allocate_special(
        &mut self,
        kind: Kind,
        bytes: u64,
        cache_aligned: bool,
    ) -> Option<Grant> {
        let pool = self.pool(kind);
        pool.most_held = HELD_SPECIAL;
        let alignment = if cache_aligned { 64 } else { 16 };
        let rounded = bytes.max(1).checked_next_multiple_of(alignment)?;
        pool.allocate_large(bytes, PAGE.saturating_sub(rounded))
    }

    /// Notes whose the block of a [`Grant`] is.
    pub(super) fn set_owner(&mut self, block: PoolBlock) {
        let Some(kind) = Kind::of_address(block.address) else {
            return;
        };
        if let Some(state) = self.pool(kind).state(block.address) {
            *state = BlockState::Live(block);
        }
    }

    /// The allocation that begins at `address`.
    pub(super) fn find(&mut self, address: u64) -> Option<&PoolBlock> {
        match self.pool(Kind::of_address(address)?).state(address)? {
            BlockState::Live(block) => Some(block),
            BlockState::Fresh | BlockState::Freed { .. } => None,
        }
    }

    /// Frees the allocation that begins at `address`; it is held for a while.
    pub(super) fn free(&mut self, address: u64, place: Place) -> Result<Extent, BadFree> {
        let kind = Kind::of_address(address).ok_or(BadFree::NotPool)?;
        self.pool(kind).free(address, place)
    }

    /// As `Pool::release_one`, of the pool to which `address` belongs.
    pub(super) fn release_one(&mut self, address: u64) -> Option<Extent> {
        self.pool(Kind::of_address(address)?).release_one()
    }

    /// Every allocation, by address.
    pub(super) fn live(&self) -> impl Iterator<Item = &PoolBlock> {
        self.nonpaged.live().chain(self.paged.live())
    }

    /// Every small block that is held: where it begins and the bytes that were asked for.
    pub(super) fn held(&mut self) -> Vec<(u64, u64)> {
        let mut held = Vec::new();
        for pool in [&mut self.nonpaged, &mut self.paged] {
            for address in pool.held_small.clone() {
                if let Some(BlockState::Freed { freed, .. }) = pool.state(address) {
                    held.push((address, freed.block.bytes));
                }
            }
        }
        held
    }

    /// Bytes that belong to the block at `address`.
    pub(super) fn usable(&mut self, address: u64) -> u64 {
        Kind::of_address(address).map_or(0, |kind| self.pool(kind).extent(address).0)
    }

    /// The block that covers `address`, and where it was freed if it was.
    pub(super) fn covering(&self, address: u64) -> Option<(PoolBlock, Option<Place>)> {
        let pool = match Kind::of_address(address)? {
            Kind::NonPaged => &self.nonpaged,
            Kind::Paged => &self.paged,
        };
        match pool.covering_state(address)? {
            BlockState::Live(block) => Some((block.clone(), None)),
            BlockState::Freed { freed, .. } => {
                Some((freed.block.clone(), Some(freed.place.clone())))
            }
            BlockState::Fresh => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(address: u64, bytes: u64) -> PoolBlock {
        PoolBlock {
            address,
            bytes,
            tag: 0x6C72_7144,
            pool_type: 0,
            place: Place::default(),
        }
    }

    fn allocate(pools: &mut Pools, bytes: u64) -> u64 {
        let grant = pools.allocate(0, bytes, false).unwrap();
        pools.set_owner(block(grant.address, bytes));
        grant.address
    }

    #[test]
    fn small_blocks_of_one_size_share_a_page_and_come_in_order() {
        let mut pools = Pools::default();
        let first = allocate(&mut pools, 40);
        assert_eq!(first, layout::NONPAGED_POOL.start + 16);
        assert_eq!(allocate(&mut pools, 41), first + 64);
        assert_eq!(pools.live().count(), 2);
    }

    #[test]
    fn a_page_and_more_is_page_aligned_with_a_page_between() {
        let mut pools = Pools::default();
        let first = allocate(&mut pools, PAGE);
        assert_eq!(first % PAGE, 0);
        assert_eq!(allocate(&mut pools, PAGE + 1), first + 2 * PAGE);
        assert_eq!(
            pools.covering(first + 2 * PAGE - 1).unwrap().0.address,
            first
        );
        assert_eq!(
            pools.covering(first + 4 * PAGE).unwrap().0.address,
            first + 2 * PAGE
        );
        assert!(pools.covering(first + 5 * PAGE).is_none());
    }

    #[test]
    fn a_freed_block_is_used_again_only_after_it_was_held() {
        let mut pools = Pools::default();
        let first = allocate(&mut pools, 100);
        pools.free(first, Place::default()).unwrap();
        for _ in 0..HELD_SMALL {
            let next = allocate(&mut pools, 100);
            assert_ne!(next, first);
            assert!(pools.release_one(next).is_none());
            pools.free(next, Place::default()).unwrap();
        }
        let released = pools.release_one(first).unwrap();
        assert_eq!(released.address, first);
        assert_eq!(allocate(&mut pools, 100), first);
    }

    #[test]
    fn large_blocks_are_held_up_to_their_number_and_their_pages() {
        let mut pools = Pools::default();
        let first = allocate(&mut pools, (HELD_PAGES + 1) * PAGE);
        pools.free(first, Place::default()).unwrap();
        assert!(pools.release_one(first).is_some());
        assert!(pools.release_one(first).is_none());
        for _ in 0..=HELD_LARGE {
            let next = allocate(&mut pools, PAGE);
            pools.free(next, Place::default()).unwrap();
        }
        assert_eq!(pools.release_one(first).unwrap().address, first);
    }

    #[test]
    fn a_bad_free_says_what_is_there() {
        let mut pools = Pools::default();
        let place = Place::default;
        assert!(matches!(pools.free(0, place()), Err(BadFree::NotPool)));
        assert!(matches!(
            pools.free(layout::NONPAGED_POOL.start, place()),
            Err(BadFree::NotTheStart(None))
        ));
        let address = allocate(&mut pools, 100);
        let inside = pools.free(address + 16, place());
        assert!(
            matches!(inside, Err(BadFree::NotTheStart(Some(block))) if block.address == address)
        );
        assert!(matches!(
            pools.free(address + 128, place()),
            Err(BadFree::NotTheStart(None))
        ));
        pools.free(address, place()).unwrap();
        assert!(matches!(
            pools.free(address, place()),
            Err(BadFree::Twice(_))
        ));
        assert!(pools.covering(address).unwrap().1.is_some());
    }

    #[test]
    fn a_special_block_ends_with_its_page_and_is_held_long() {
        let mut pools = Pools::default();
        let grant = pools.allocate_special(Kind::NonPaged, 40, false).unwrap();
        assert_eq!((grant.address % PAGE, grant.usable), (PAGE - 48, 48));
        pools.set_owner(block(grant.address, 40));
        assert_eq!(
            pools.covering(grant.address + 47).unwrap().0.address,
            grant.address
        );
        let extent = pools.free(grant.address, Place::default()).unwrap();
        assert_eq!(extent.before, PAGE - 48);
        let first = grant.address / PAGE * PAGE;
        assert_eq!(extent.pages, Some(first..first + PAGE));
        for _ in 0..HELD_SPECIAL {
            let next = pools.allocate_special(Kind::NonPaged, 8, true).unwrap();
            assert_eq!(next.address % PAGE, PAGE - 64);
            pools.set_owner(block(next.address, 8));
            assert!(pools.release_one(next.address).is_none());
            pools.free(next.address, Place::default()).unwrap();
        }
        let released = pools.release_one(grant.address).unwrap();
        assert_eq!(released.address, grant.address);
        let large = pools
            .allocate_special(Kind::Paged, PAGE + 1, false)
            .unwrap();
        assert_eq!((large.address % PAGE, large.usable), (0, 2 * PAGE));
    }

    #[test]
    fn there_is_no_room_for_more_than_the_region() {
        let mut pools = Pools::default();
        for bytes in [u64::MAX, u64::MAX - PAGE, 512 << 20] {
            assert!(pools.allocate(1, bytes, false).is_none());
        }
        assert!(pools.allocate(1, (512 << 20) - PAGE, false).is_some());
        assert!(pools.allocate(1, 1, false).is_none());
    }

    #[test]
    fn cache_aligned_blocks_begin_cache_lines() {
        let mut pools = Pools::default();
        for bytes in [1, 48, 49, 2000, 4000, 4096] {
            assert_eq!(pools.allocate(1, bytes, true).unwrap().address % 64, 0);
        }
    }

    #[test]
    fn pool_for_code_and_pool_for_data_share_no_page() {
        for aligned in [false, true] {
            let mut pools = Pools::default();
            let mut page = |pool_type| {
                layout::page_of(pools.allocate(pool_type, 24, aligned).unwrap().address)
            };
            let (code, data) = (page(0), page(NO_EXECUTE));
            assert_ne!(code, data);
            assert_eq!((page(0), page(NO_EXECUTE)), (code, data));
        }
    }
}
