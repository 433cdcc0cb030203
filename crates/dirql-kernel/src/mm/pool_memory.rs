//! The memory of pool blocks: what a driver finds in it, and what it must not change.
//!
//! Source: WDK reference, wdm.ExAllocatePoolWithTag and wdm.ExFreePoolWithTag; "Bug Check 0xC2:
//! BAD_POOL_CALLER", "Bug Check 0x19: BAD_POOL_HEADER".

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, Place, ids};

use super::layout::{self, PAGE};
use super::pool::{BadFree, Extent, Kind, PoolBlock, may_hold_code};
use super::slab::{Cut, FENCE};
use crate::platform::Access;
use crate::{Ddi, Kernel, Stop};

/// What new pool holds. As a pointer it is no address of x64.
const NEW: u8 = 0x5A;

/// What freed pool holds. As a pointer it is no address of x64.
const FREED: u8 = 0xDD;

/// What lies between blocks.
const BETWEEN: u8 = 0xFD;

/// Most bytes between the end of an allocation and the end of the fence behind it, within a
/// page shared with others.
const MAX_BETWEEN: usize = 64 + 64 + FENCE as usize;

/// `POOL_QUOTA_FAIL_INSTEAD_OF_RAISE` is 8 and means nothing without quota.
const RAISE_IF_ALLOCATION_FAILURE: u32 = 16;
/// Base types 4 to 6: begin a cache line.
const CACHE_ALIGNED: u32 = 4;
/// `PROTECTED_POOL`: the top bit of a tag, which the freeing tag must have too.
const PROTECTED: u32 = 0x8000_0000;

/// What an allocation is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// The pattern of memory that nobody initialised.
    Pattern,
    /// Zeros.
    Zero,
}

/// A page of one byte, then what lies between blocks.
static NEW_BLOCK: [u8; PAGE as usize + MAX_BETWEEN] = template(NEW);
static ZERO_BLOCK: [u8; PAGE as usize + MAX_BETWEEN] = template(0);
static FREED_BLOCK: [u8; PAGE as usize] = [FREED; PAGE as usize];
static BETWEEN_BLOCK: [u8; PAGE as usize] = [BETWEEN; PAGE as usize];

const fn template(byte: u8) -> [u8; PAGE as usize + MAX_BETWEEN] {
    let mut bytes = [byte; PAGE as usize + MAX_BETWEEN];
    let mut at = PAGE as usize;
    while at < bytes.len() {
        bytes[at] = BETWEEN;
        at += 1;
    }
    bytes
}

/// What a free has to be in accordance with.
#[derive(Clone, Copy)]
struct Owner {
    bytes: u64,
    tag: u32,
    pool_type: u32,
}

/// What a report says of a block: its description, and where it was allocated and freed.
struct BlockReport {
    text: String,
    allocated: Option<(String, Place)>,
    freed: Option<(String, Place)>,
}

/// A tag as people read it.
pub(super) fn tag_text(tag: u32) -> String {
    let shown = |byte: u8| {
        if byte.is_ascii_graphic() || byte == b' ' {
            char::from(byte)
        } else {
            '.'
        }
    };
    let text: String = (tag & !PROTECTED)
        .to_le_bytes()
        .into_iter()
        .map(shown)
        .collect();
    format!("'{text}'")
}

fn describe(block: &PoolBlock) -> String {
    format!(
        "{} bytes of pool at {:#x}, tag {}",
        block.bytes,
        block.address,
        tag_text(block.tag)
    )
}

fn allocated(block: &PoolBlock) -> Option<(String, Place)> {
    Some((String::from("allocated here"), block.place.clone()))
}

impl Kernel {
    /// Allocates pool. Returns 0 if there is none; raises `STATUS_INSUFFICIENT_RESOURCES` in
    /// place of it if the type says so. The memory holds the pattern of uninitialised memory.
    ///
    /// Findings: `POOL_LEVEL` for paged pool above APC_LEVEL, `POOL_ZERO_BYTES`.
    ///
    /// # Errors
    /// [`Stop::Exception`] as said, [`Stop::Ended`] if a finding ends the run.
    pub(crate) fn pool_allocate(&self, pool_type: u32, bytes: u64, tag: u32) -> Ddi<u64> {
        self.pool_allocate_filled(pool_type, bytes, tag, Fill::Pattern)
    }

    /// As [`Kernel::pool_allocate`], with a choice of what the memory holds.
    pub(crate) fn pool_allocate_filled(
        &self,
        pool_type: u32,
        bytes: u64,
        tag: u32,
        fill: Fill,
    ) -> Ddi<u64> {
        let kind = Kind::of_type(pool_type);
        if kind == Kind::Paged && self.irql() > Irql::APC {
            let message = format!(
                "{bytes} bytes of paged pool were asked for at {}",
                self.irql()
            );
            self.find(ids::POOL_LEVEL, message, self.raised_here())?;
        }
        if bytes == 0 {
            let message = format!("no bytes of pool were asked for, tag {}", tag_text(tag));
            self.find(ids::POOL_ZERO_BYTES, message, None)?;
        }
        let address = self.pool_block(kind, pool_type, bytes.max(1), tag, fill)?;
        if address == 0 && pool_type & RAISE_IF_ALLOCATION_FAILURE != 0 {
            let code = NtStatus::INSUFFICIENT_RESOURCES;
            return Err(Stop::Exception {
                code,
                parameters: [0; 4],
            });
        }
        Ok(address)
    }

    /// Takes all that is left of nonpaged pool, for a test.
    #[cfg(test)]
    pub(crate) fn exhaust_nonpaged_pool(&self) {
        let mut pools = self.mm.pools.borrow_mut();
        let mut bytes = 1 << 30;
        while bytes >= 1 {
            if pools.allocate(0, bytes, false).is_none() {
                bytes /= 2;
            }
        }
    }

    fn pool_block(&self, kind: Kind, pool_type: u32, bytes: u64, tag: u32, fill: Fill) -> Ddi<u64> {
        if self.allocation_fails() {
            return Ok(0);
        }
        let place = self.here();
        let cache_aligned = pool_type & CACHE_ALIGNED != 0;
        let grant = {
            let mut pools = self.mm.pools.borrow_mut();
            if self.config().special_pool {
                pools.allocate_special(kind, bytes, cache_aligned)
            } else {
                pools.allocate(pool_type, bytes, cache_aligned)
            }
        };
        let Some(grant) = grant else { return Ok(0) };
        let address = grant.address;
        let block = PoolBlock {
            address,
            bytes,
            tag,
            pool_type,
            place,
        };
        self.mm.pools.borrow_mut().set_owner(block);
        if let Some((pages, cut)) = grant.new_pages {
            self.platform().protect(pages.clone(), Access::ReadWrite);
            if self.judges() {
                if let Some(cut) = cut {
                    self.fence_page(pages.start, cut)?;
                }
                self.fill_range(address - grant.before..address, &BETWEEN_BLOCK)?;
            }
        }
        self.fill_block(address, bytes, grant.usable, fill)?;
        Ok(address)
    }

    /// Fences every block of a new page, and what is left at its end.
    fn fence_page(&self, page: u64, cut: Cut) -> Ddi<()> {
        let between = &BETWEEN_BLOCK[..cut.first as usize];
        self.platform().write(page, between)?;
        for index in 1..=cut.blocks() {
            let fence = cut.first + index * cut.stride - FENCE;
            let length = FENCE.min(PAGE - fence) as usize;
            self.platform()
                .write(page + fence, &BETWEEN_BLOCK[..length])?;
        }
        Ok(())
    }

    fn fill_block(&self, address: u64, bytes: u64, usable: u64, fill: Fill) -> Ddi<()> {
        if !self.judges() {
            return self.zero_if_asked(address, bytes, fill);
        }
        let template = match fill {
            Fill::Pattern => &NEW_BLOCK,
            Fill::Zero => &ZERO_BLOCK,
        };
        let page = PAGE as usize;
        let whole = bytes - bytes % PAGE;
        for at in (0..whole).step_by(page) {
            self.platform().write(address + at, &template[..page])?;
        }
        let rest = (bytes - whole) as usize;
        let between = (usable - bytes) as usize;
        if between <= MAX_BETWEEN {
            self.platform()
                .write(address + whole, &template[page - rest..page + between])?;
        } else {
            self.platform()
                .write(address + whole, &template[page - rest..page])?;
            self.platform()
                .write(address + bytes, &BETWEEN_BLOCK[..between])?;
        }
        Ok(())
    }

    /// A block of a run that is not judged holds what was there before, as on Windows, or the zeros
    /// that were asked for.
    fn zero_if_asked(&self, address: u64, bytes: u64, fill: Fill) -> Ddi<()> {
        if fill == Fill::Zero {
            let mut at = address;
            while at < address + bytes {
                let chunk = (address + bytes - at).min(PAGE);
                self.platform().write(at, &ZERO_BLOCK[..chunk as usize])?;
                at += chunk;
            }
        }
        Ok(())
    }

    /// Frees pool. `tag` is the one that the driver gave, if it gave one other than 0.
    ///
    /// Findings: `BAD_FREE` for what is not an allocation, was freed before, or has another
    /// tag; `POOL_OVERRUN` if bytes around the block were written; `USE_AFTER_FREE` if a
    /// block that was freed earlier was; `POOL_LEVEL` for paged pool above APC_LEVEL.
    ///
    /// # Errors
    /// Bug checks 0xC2 (after `BAD_FREE`) and 0x19 (after `POOL_OVERRUN` in front of a block),
    /// as Windows has them.
    pub(crate) fn pool_free(&self, address: u64, tag: Option<u32>) -> Ddi<()> {
        self.free_block(address, tag, self.owner(address))
    }

    /// Whose the block at `address` is, if one begins there.
    fn owner(&self, address: u64) -> Option<Owner> {
        let mut pools = self.mm.pools.borrow_mut();
        pools.find(address).map(|block| Owner {
            bytes: block.bytes,
            tag: block.tag,
            pool_type: block.pool_type,
        })
    }

    fn free_block(&self, address: u64, tag: Option<u32>, owner: Option<Owner>) -> Ddi<()> {
        let place = self.here();
        if let Some(owner) = owner {
            self.check_free(address, owner, tag)?;
        }
        let extent = self.mm.pools.borrow_mut().free(address, place);
        match extent {
            Ok(extent) => {
                if self.judges() {
                    self.check_around(&extent)?;
                }
                self.wipe(&extent)?;
            }
            Err(bad) => return Err(self.bad_free(address, bad)),
        }
        loop {
            let released = self.mm.pools.borrow_mut().release_one(address);
            let Some(extent) = released else {
                return Ok(());
            };
            match extent.pages {
                None if !self.judges() => {}
                None => self.check_freed(extent.address, extent.bytes)?,
                Some(pages) => self.platform().discard(pages),
            }
        }
    }

    /// As [`Kernel::pool_free`], of memory in which a driver may have left what the system uses.
    ///
    /// Findings: `FREED_ACTIVE` too.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn pool_free_of_driver(
        &self,
        address: u64,
        tag: Option<u32>,
        what: &str,
    ) -> Ddi<()> {
        let owner = self.owner(address);
        if let Some(owner) = owner.filter(|_| self.judges()) {
            self.find_active_in(&(address..address + owner.bytes), what)?;
        }
        self.free_block(address, tag, owner)
    }

    /// What a report says of the block at `address`.
    #[cold]
    fn block_report(&self, address: u64) -> BlockReport {
        let known = self.mm.pools.borrow().covering(address);
        let Some((block, freed)) = known else {
            return BlockReport {
                text: format!("{address:#x}"),
                allocated: None,
                freed: None,
            };
        };
        BlockReport {
            text: describe(&block),
            allocated: allocated(&block),
            freed: freed.map(|place| (String::from("freed here"), place)),
        }
    }

    /// Level and tag of a free.
    fn check_free(&self, address: u64, owner: Owner, tag: Option<u32>) -> Ddi<()> {
        if Kind::of_type(owner.pool_type) == Kind::Paged && self.irql() > Irql::APC {
            let BlockReport {
                text, allocated, ..
            } = self.block_report(address);
            let message = format!("{text} were freed at {}", self.irql());
            self.find(ids::POOL_LEVEL, message, allocated)?;
        }
        let wrong = match tag {
            Some(tag) => tag != owner.tag && tag | PROTECTED != owner.tag,
            None => owner.tag & PROTECTED != 0,
        };
        if wrong {
            let tag = tag.unwrap_or(0);
            let BlockReport {
                text, allocated, ..
            } = self.block_report(address);
            let message = format!("{text} were freed with tag {}", tag_text(tag));
            self.find(ids::BAD_FREE, message, allocated)?;
            let parameters = [0xA, address, owner.tag.into(), tag.into()];
            self.outlive(BugCheck::new(0xC2, parameters))?;
        }
        Ok(())
    }

    fn bad_free(&self, address: u64, bad: BadFree) -> Stop {
        let (message, earlier, parameters) = match bad {
            BadFree::Twice(freed) => (
                format!("{} were freed a second time", describe(&freed.block)),
                Some((String::from("freed here"), freed.place)),
                [0x7, 0, 0, address],
            ),
            BadFree::NotTheStart(Some(block)) => (
                format!(
                    "{address:#x} was freed, which lies inside {}",
                    describe(&block)
                ),
                allocated(&block),
                [0x99, address, 0, 0],
            ),
            BadFree::NotTheStart(None) => (
                format!("{address:#x} was freed, where no allocation begins"),
                None,
                [0x99, address, 0, 0],
            ),
            BadFree::NotPool if address <= layout::HIGHEST_USER_ADDRESS => (
                format!("{address:#x} was freed, which is not pool but a user's address"),
                None,
                [0x40, address, layout::PHYSICAL_WINDOW, 0],
            ),
            BadFree::NotPool => (
                format!("{address:#x} was freed, which is not pool"),
                None,
                [0x42, address, 0, 0],
            ),
        };
        match self.find(ids::BAD_FREE, message, earlier) {
            Ok(()) => BugCheck::new(0xC2, parameters).into(),
            Err(stop) => stop,
        }
    }

    /// Whether what lies around a block is as it was.
    fn check_around(&self, extent: &Extent) -> Ddi<()> {
        let fenced = extent.pages.is_none();
        let end = extent.address + extent.bytes;
        let block_end = extent.address + extent.usable;
        // The fence behind the last block of a full page is the next page's.
        let fence = if fenced && !block_end.is_multiple_of(PAGE) {
            FENCE
        } else {
            0
        };
        if let Some(at) = self.first_other(end..block_end + fence, &BETWEEN_BLOCK)? {
            let BlockReport {
                text, allocated, ..
            } = self.block_report(extent.address);
            let message = format!("{text} were written past the end, at {at:#x}");
            self.find(ids::POOL_OVERRUN, message, allocated)?;
            self.fill_range(end..block_end + fence, &BETWEEN_BLOCK)?;
            if at >= block_end {
                return Err(bad_header(extent.address, block_end));
            }
        }
        let front = if fenced { FENCE } else { extent.before };
        let front = extent.address - front..extent.address;
        if let Some(at) = self.first_other(front.clone(), &BETWEEN_BLOCK)? {
            let BlockReport {
                text, allocated, ..
            } = self.block_report(extent.address);
            let message = format!("memory just before {text} was written, at {at:#x}");
            self.find(ids::POOL_OVERRUN, message, allocated)?;
            self.fill_range(front, &BETWEEN_BLOCK)?;
            return Err(bad_header(extent.address, block_end));
        }
        Ok(())
    }

    /// Makes use of a freed block visible.
    fn wipe(&self, extent: &Extent) -> Ddi<()> {
        match &extent.pages {
            Some(pages) => self.platform().protect(pages.clone(), Access::None),
            None if !self.judges() => {}
            None => self.fill_range(extent.address..extent.address + extent.bytes, &FREED_BLOCK)?,
        }
        Ok(())
    }

    /// Whether a freed block is as it was left.
    fn check_freed(&self, address: u64, bytes: u64) -> Ddi<()> {
        let Some(at) = self.first_other(address..address + bytes, &FREED_BLOCK)? else {
            return Ok(());
        };
        let BlockReport { text, freed, .. } = self.block_report(address);
        let offset = at - address;
        let message = format!("{text} were written after they were freed, at offset {offset:#x}");
        self.find(ids::USE_AFTER_FREE, message, freed)
    }

    /// Looks at all pool: whether the bytes between blocks and the freed blocks that are held
    /// are as they were left. For the moment at which a driver is unloaded.
    ///
    /// # Errors
    /// [`Stop::Ended`] if a finding ends the run.
    pub(crate) fn pool_check(&self) -> Ddi<()> {
        let held = self.mm.pools.borrow_mut().held();
        for (address, bytes) in held {
            self.check_freed(address, bytes)?;
        }
        let live: alloc::vec::Vec<PoolBlock> = self.mm.pools.borrow().live().cloned().collect();
        for block in live {
            let usable = self.mm.pools.borrow_mut().usable(block.address);
            let end = block.address + block.bytes;
            if let Some(at) = self.first_other(end..block.address + usable, &BETWEEN_BLOCK)? {
                let message = format!("{} were written past the end, at {at:#x}", describe(&block));
                self.find(ids::POOL_OVERRUN, message, allocated(&block))?;
                self.fill_range(end..block.address + usable, &BETWEEN_BLOCK)?;
            }
        }
        Ok(())
    }

    /// Every allocation of pool there is, by address.
    #[must_use]
    pub fn pool_allocations(&self) -> alloc::vec::Vec<PoolBlock> {
        self.mm.pools.borrow().live().cloned().collect()
    }

    /// The pool that covers `address`, also if it was freed (then with the place where), for
    /// reports on bad accesses.
    #[must_use]
    pub fn pool_at(&self, address: u64) -> Option<(PoolBlock, Option<Place>)> {
        self.mm.pools.borrow().covering(address)
    }

    /// Gives the pages of the block at `address` the right to be executed, if it is of the kind of
    /// nonpaged pool that has it, NonPagedPool as opposed to NonPagedPoolNx. Done when a driver
    /// first executes what is there, as hardly any does; blocks that share a page are of that kind, too.
    ///
    /// Source: WDK, "NX and Execute Pool Types".
    pub fn make_pool_executable(&self, address: u64) -> bool {
        let Some((block, None)) = self.pool_at(address) else {
            return false;
        };
        let end = block.address + block.bytes;
        if !may_hold_code(block.pool_type) || !(block.address..end).contains(&address) {
            return false;
        }
        let pages = layout::page_of(block.address)..end.next_multiple_of(PAGE);
        self.platform().protect(pages, Access::ReadWriteExecute);
        true
    }

    /// A pool tag as people read it, in quotes.
    #[must_use]
    pub fn pool_tag_text(&self, tag: u32) -> String {
        tag_text(tag)
    }

    /// Whether `address` is in paged pool.
    #[must_use]
    pub fn is_paged_pool(&self, address: u64) -> bool {
        Kind::of_address(address) == Some(Kind::Paged)
    }

    /// The first address of `range` that does not hold the byte that `pattern` is full of.
    fn first_other(&self, range: Range<u64>, pattern: &[u8; PAGE as usize]) -> Ddi<Option<u64>> {
        let mut at = range.start;
        while at < range.end {
            let left = range.end - at;
            // Fences and small blocks are what is looked at most.
            let found = match left {
                ..=32 => self.first_other_of::<32>(at, left, pattern)?,
                33..=128 => self.first_other_of::<128>(at, left, pattern)?,
                _ => self.first_other_of::<512>(at, left.min(512), pattern)?,
            };
            if found.is_some() {
                return Ok(found);
            }
            at += left.min(512);
        }
        Ok(None)
    }

    /// The same for `length` bytes, at most `N`.
    fn first_other_of<const N: usize>(
        &self,
        at: u64,
        length: u64,
        pattern: &[u8; PAGE as usize],
    ) -> Ddi<Option<u64>> {
        let mut bytes = [0; N];
        let bytes = &mut bytes[..length as usize];
        self.platform().read(at, bytes)?;
        let pattern = &pattern[..bytes.len()];
        if bytes == pattern {
            return Ok(None);
        }
        let other = bytes
            .iter()
            .zip(pattern)
            .position(|(found, expected)| found != expected);
        Ok(other.map(|other| at + other as u64))
    }

    /// Fills `range` from a page of one byte.
    fn fill_range(&self, range: Range<u64>, page: &'static [u8; PAGE as usize]) -> Ddi<()> {
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(PAGE);
            self.platform().write(at, &page[..length as usize])?;
            at += length;
        }
        Ok(())
    }
}

/// What Windows says when the header behind a block is damaged: parameter 1 is 0x20, 2 the
/// entry that should have been within the page, 3 the next one.
fn bad_header(block: u64, next: u64) -> Stop {
    BugCheck::new(0x19, [0x20, block - FENCE, next, 0]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    const TAG: u32 = u32::from_le_bytes(*b"Drql");

    fn bug_check(result: Ddi<()>) -> [u64; 5] {
        match result {
            Err(Stop::BugCheck(BugCheck {
                code,
                parameters: [a, b, c, d],
                ..
            })) => [code.into(), a, b, c, d],
            other => panic!("{other:?}"),
        }
    }

    fn bench() -> Bench {
        Bench::new(Config::default())
    }

    #[test]
    fn new_pool_holds_the_pattern_or_zeros_at_every_size() {
        let bench = bench();
        let kernel = &bench.kernel;
        for bytes in [1, 15, 16, 4064, 4065, 4095, 4096, 4097, 10_000] {
            for pool_type in [0, 1, 4, 5, 512, 516] {
                let address = kernel.pool_allocate(pool_type, bytes, TAG).unwrap();
                assert_eq!(
                    kernel.first_other(address..address + bytes, &[NEW; PAGE as usize]),
                    Ok(None)
                );
                kernel.pool_free(address, Some(TAG)).unwrap();
                let address = kernel
                    .pool_allocate_filled(pool_type, bytes, TAG, Fill::Zero)
                    .unwrap();
                assert_eq!(
                    kernel.first_other(address..address + bytes, &[0; PAGE as usize]),
                    Ok(None)
                );
                assert_eq!(address % if bytes > 4064 { PAGE } else { 16 }, 0);
                kernel.pool_free(address, None).unwrap();
            }
        }
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn freed_pool_holds_its_pattern_and_freed_pages_fault() {
        let bench = bench();
        let kernel = &bench.kernel;
        let small = kernel.pool_allocate(0, 24, TAG).unwrap();
        kernel.pool_free(small, None).unwrap();
        assert_eq!(kernel.read_bytes(small, 24).unwrap(), [FREED; 24]);
        let large = kernel.pool_allocate(0, PAGE, TAG).unwrap();
        assert!(kernel.write_bytes(large + PAGE, &[0]).is_err());
        kernel.pool_free(large, None).unwrap();
        assert!(kernel.read_bytes(large, 1).is_err());
    }

    #[test]
    fn a_second_free_is_a_finding_with_both_places_and_stops_the_system() {
        let bench = bench();
        let address = bench.kernel.pool_allocate(0, 24, TAG).unwrap();
        bench.kernel.pool_free(address, Some(TAG)).unwrap();
        assert_eq!(
            bug_check(bench.kernel.pool_free(address, Some(TAG))),
            [0xC2, 7, 0, 0, address]
        );
        let finding = &bench.kernel.findings()[0];
        assert_eq!(finding.rule, ids::BAD_FREE);
        assert_eq!(finding.earlier.as_ref().unwrap().0, "freed here");
    }

    #[test]
    fn frees_of_other_addresses_stop_the_system_with_their_own_code() {
        let bench = bench();
        let kernel = &bench.kernel;
        let address = kernel.pool_allocate(0, 24, TAG).unwrap();
        assert_eq!(
            bug_check(kernel.pool_free(address + 16, None)),
            [0xC2, 0x99, address + 16, 0, 0]
        );
        let system = layout::SYSTEM.start;
        assert_eq!(
            bug_check(kernel.pool_free(system, None)),
            [0xC2, 0x42, system, 0, 0]
        );
        let user = layout::USER.start;
        assert_eq!(
            bug_check(kernel.pool_free(user, None)),
            [0xC2, 0x40, user, layout::PHYSICAL_WINDOW, 0]
        );
        assert_eq!(bench.rules(), [ids::BAD_FREE; 3]);
    }

    #[test]
    fn the_tag_of_a_free_is_the_tag_of_the_allocation() {
        let bench = bench();
        let kernel = &bench.kernel;
        let other = u32::from_le_bytes(*b"Othr");
        let address = kernel.pool_allocate(0, 24, TAG).unwrap();
        let parameters = [0xC2, 0xA, address, TAG.into(), other.into()];
        assert_eq!(
            bug_check(kernel.pool_free(address, Some(other))),
            parameters
        );
        let protected = kernel.pool_allocate(0, 24, TAG | PROTECTED).unwrap();
        bug_check(kernel.pool_free(protected, None));
        kernel.pool_free(protected, Some(TAG | PROTECTED)).unwrap();
    }

    #[test]
    fn a_byte_past_the_end_is_found_at_the_free() {
        let bench = bench();
        let kernel = &bench.kernel;
        for bytes in [20, PAGE + 20] {
            let address = kernel.pool_allocate(0, bytes, TAG).unwrap();
            kernel.write_bytes(address + bytes - 1, &[0]).unwrap();
            kernel.write_bytes(address + bytes, &[0]).unwrap();
            kernel.pool_free(address, None).unwrap();
        }
        assert_eq!(bench.rules(), [ids::POOL_OVERRUN; 2]);
    }

    #[test]
    fn a_write_over_the_place_of_a_pool_header_stops_the_system_at_the_free() {
        let bench = bench();
        let kernel = &bench.kernel;
        let blocks: alloc::vec::Vec<u64> = (0..3)
            .map(|_| kernel.pool_allocate(0, 32, TAG).unwrap())
            .collect();
        kernel.write_bytes(blocks[0] + 32, &[0]).unwrap();
        let parameters = [0x19, 0x20, blocks[0] - 16, blocks[0] + 32, 0];
        assert_eq!(bug_check(kernel.pool_free(blocks[0], None)), parameters);
        kernel.write_bytes(blocks[2] - 1, &[0]).unwrap();
        let parameters = [0x19, 0x20, blocks[2] - 16, blocks[2] + 32, 0];
        assert_eq!(bug_check(kernel.pool_free(blocks[2], None)), parameters);
        assert_eq!(bench.rules(), [ids::POOL_OVERRUN; 2]);
    }

    #[test]
    fn special_pool_faults_past_a_block_and_after_it_was_freed() {
        let bench = Bench::new(Config {
            special_pool: true,
            ..Config::default()
        });
        let kernel = &bench.kernel;
        let address = kernel.pool_allocate(0, 32, TAG).unwrap();
        assert_eq!(kernel.read_bytes(address, 32).unwrap(), [NEW; 32]);
        assert!(kernel.write_bytes(address + 32, &[1]).is_err());
        let odd = kernel.pool_allocate(0, 30, TAG).unwrap();
        kernel.write_bytes(odd + 31, &[1]).unwrap();
        kernel.pool_free(odd, None).unwrap();
        assert!(kernel.read_bytes(odd, 1).is_err());
        let front = kernel.pool_allocate(1, 8, TAG).unwrap();
        kernel.write_bytes(front - 100, &[1]).unwrap();
        assert!(kernel.pool_free(front, None).is_err());
        kernel.pool_free(address, None).unwrap();
        assert!(kernel.pool_free(address, None).is_err());
        assert_eq!(
            bench.rules(),
            [ids::POOL_OVERRUN, ids::POOL_OVERRUN, ids::BAD_FREE]
        );
    }

    #[test]
    fn a_write_to_freed_pool_is_found_when_it_is_looked_at() {
        let bench = bench();
        let kernel = &bench.kernel;
        let address = kernel.pool_allocate(0, 32, TAG).unwrap();
        kernel.pool_free(address, None).unwrap();
        kernel.pool_check().unwrap();
        assert!(bench.rules().is_empty());
        kernel.write_bytes(address + 31, &[1]).unwrap();
        for _ in 0..300 {
            let next = kernel.pool_allocate(0, 32, TAG).unwrap();
            kernel.pool_free(next, None).unwrap();
        }
        assert_eq!(bench.rules(), [ids::USE_AFTER_FREE]);
        assert!(
            kernel.findings()[0].message.contains("offset 0x1f"),
            "{:?}",
            kernel.findings()
        );
    }

    #[test]
    fn paged_pool_above_apc_level_is_a_finding() {
        let bench = bench();
        let kernel = &bench.kernel;
        kernel.raise_irql(Irql::APC);
        let address = kernel.pool_allocate(1, 8, TAG).unwrap();
        assert!(bench.rules().is_empty());
        kernel.raise_irql(Irql::DISPATCH);
        kernel.pool_allocate(0, 8, TAG).unwrap();
        assert!(bench.rules().is_empty());
        kernel.pool_allocate(1, 8, TAG).unwrap();
        kernel.pool_free(address, None).unwrap();
        assert_eq!(bench.rules(), [ids::POOL_LEVEL; 2]);
    }

    #[test]
    fn no_room_is_null_or_an_exception_as_the_type_says() {
        let bench = bench();
        assert_eq!(bench.kernel.pool_allocate(0, 1 << 40, TAG), Ok(0));
        let raised = bench
            .kernel
            .pool_allocate(RAISE_IF_ALLOCATION_FAILURE, u64::MAX, TAG);
        assert!(matches!(
            raised,
            Err(Stop::Exception {
                code: NtStatus::INSUFFICIENT_RESOURCES,
                ..
            })
        ));
        assert_ne!(bench.kernel.pool_allocate(0, 0, TAG), Ok(0));
        assert_eq!(bench.rules(), [ids::POOL_ZERO_BYTES]);
    }

    #[test]
    fn the_last_block_of_every_page_is_fenced_too() {
        let bench = bench();
        let kernel = &bench.kernel;
        // Sizes whose blocks fill the page to the end, leave less than a fence, and more.
        for bytes in [16, 4080, 32, 1000, 2016, 2032] {
            for pool_type in [0, 4] {
                let all: alloc::vec::Vec<u64> = (0..130)
                    .map(|_| kernel.pool_allocate(pool_type, bytes, TAG).unwrap())
                    .collect();
                for address in all {
                    kernel.pool_free(address, None).unwrap();
                }
            }
        }
        assert!(bench.rules().is_empty(), "{:?}", kernel.findings());
    }
}
