//! Which pages a run changes.
//!
//! When tracking begins, every page that could be written is made readable alone. The first
//! write to one faults; the handler saves it and opens it. From then on the page is **hot**: it
//! stays open, and whoever puts the computer back copies it. So after a few runs nothing faults
//! any more. A page that was never hot is as it was when tracking began.
//!
//! What one computer's runs have changed those of the next one will likely change, too: such pages
//! are hot from the beginning, since a fault takes longer than to save a page. If they are not
//! changed after all, that costs time and changes nothing else.
//!
//! What the kernel does to the access of pages meanwhile is noted, to be undone.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::ptr;

use dirql_kernel::Access;
use dirql_kernel::mm::layout::{PAGE, RAM, USER};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};

use super::arena::{self, ARENA};
use crate::memory;

/// What can be put back.
const WINDOWS: [Range<u64>; 3] = [RAM, USER, ARENA];

/// Bytes that are looked at together.
pub(super) const LINE: u64 = 64;

/// Pages that can be hot.
const MOST_HOT: usize = 1 << 16;

/// With more than these the memory that was used is given back to Linux.
const MOST_KEPT: usize = 1 << 10;

/// Bytes of the stack of whoever answers.
const OTHER_STACK: usize = 1 << 20;

/// Entries of the map that are cleared together.
const BLOCK: usize = 1 << 12;

/// In the map: the page is hot.
const HOT: u8 = 1 << 7;
/// In the map: the page was zero when tracking began, and is still if it is not hot.
const ZERO: u8 = 1 << 6;
/// In the map: what the page may be used for, see [`code`].
const ACCESS: u8 = 7;

/// Pages by index: the windows one behind the other.
#[inline]
fn index(address: u64) -> Option<usize> {
    let mut before = 0;
    for window in &WINDOWS {
        if window.contains(&address) {
            return Some(((address - window.start) / PAGE) as usize + before);
        }
        before += ((window.end - window.start) / PAGE) as usize;
    }
    None
}

const PAGES: usize = {
    let mut pages = 0;
    let mut window = 0;
    while window < WINDOWS.len() {
        pages += ((WINDOWS[window].end - WINDOWS[window].start) / PAGE) as usize;
        window += 1;
    }
    pages
};

const fn code(access: Access) -> u8 {
    match access {
        Access::None => 0,
        Access::Read => 1,
        Access::ReadWrite => 2,
        Access::ReadExecute => 3,
        Access::ReadWriteExecute => 4,
    }
}

const fn access(code: u8) -> Access {
    match code & ACCESS {
        1 => Access::Read,
        2 => Access::ReadWrite,
        3 => Access::ReadExecute,
        4 => Access::ReadWriteExecute,
        _ => Access::None,
    }
}

const fn is_writable(code: u8) -> bool {
    matches!(code & ACCESS, 2 | 4)
}

/// What a writable page that is not hot may be used for.
const fn without_write(access: Access) -> Access {
    match access {
        Access::ReadWrite => Access::Read,
        Access::ReadWriteExecute => Access::ReadExecute,
        other => other,
    }
}

/// The access of pages was something else before.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) region: Range<u64>,
    before: Access,
}

/// Memory of this process that is backed when it is used.
struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping where Linux wants to put it touches nothing else.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), length, access, flags) }?;
        Ok(Self {
            start: start.cast(),
            length,
        })
    }

    /// A stack, whose lowest page is its guard.
    fn new_stack(length: usize) -> io::Result<Self> {
        let stack = Self::new(length)?;
        // SAFETY: nothing is in this mapping yet.
        unsafe { mprotect(stack.start.cast(), PAGE as usize, MprotectFlags::empty()) }?;
        Ok(stack)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nobody refers to it any more.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.length) };
    }
}

/// The pages of one computer, and then of another one.
pub(super) struct Tracker {
    map: Mapping,
    /// The blocks of the map that are not all zero.
    used: Vec<Cell<bool>>,
    /// What hot pages held when tracking began, in the order of `hot`.
    saved: Mapping,
    hot: Mapping,
    count: Cell<usize>,
    /// The stack of whoever answers what a life asks.
    other_stack: Mapping,
    pub(super) journal: RefCell<Vec<Changed>>,
    /// Of earlier computers: the first writes to pages that are likely written to again.
    expected: RefCell<Vec<u64>>,
}

impl Tracker {
    /// Nothing is tracked yet.
    ///
    /// # Errors
    /// What Linux says when it has no memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            map: Mapping::new(PAGES)?,
            used: vec![Cell::new(false); PAGES.div_ceil(BLOCK)],
            saved: Mapping::new(MOST_HOT * PAGE as usize)?,
            hot: Mapping::new(MOST_HOT * size_of::<u64>())?,
            count: Cell::new(0),
            other_stack: Mapping::new_stack(OTHER_STACK)?,
            journal: RefCell::default(),
            expected: RefCell::default(),
        })
    }

    /// Nothing is tracked any more. Whether it is worth it to track another computer with this.
    pub(super) fn clear(&self) -> bool {
        for (number, used) in self.used.iter().enumerate() {
            if used.replace(false) {
                let start = number * BLOCK;
                // SAFETY: the block, the last one of which may be shorter, is in the map.
                unsafe { self.entry(start).write_bytes(0, BLOCK.min(PAGES - start)) };
            }
        }
        self.journal.borrow_mut().clear();
        self.count.replace(0) <= MOST_KEPT
    }

    /// Notes which pages are different at the end of a computer.
    pub(super) fn expect_again(&self) {
        let mut expected = self.expected.borrow_mut();
        expected.clear();
        for number in 0..self.hot_pages() {
            let page = self.hot_page(number);
            if !self.is_open(page) {
                continue;
            }
            let now = ptr::with_exposed_provenance::<[u64; 512]>(page as usize);
            // SAFETY: the page is readable, and nothing writes to it meanwhile.
            let now = unsafe { &*now };
            // SAFETY: the page was saved.
            let then = unsafe { &*self.saved_page(number).cast::<[u64; 512]>() };
            if now != then {
                expected.push(self.first_address(number));
            }
        }
    }

    /// Pages of the heap will hold something else than those of earlier computers.
    pub(super) fn expect_another_heap(&self) {
        let mut expected = self.expected.borrow_mut();
        expected.retain(|address| !ARENA.contains(address));
    }

    fn entry(&self, index: usize) -> *mut u8 {
        debug_assert!(index < PAGES);
        // SAFETY: the map has an entry for each page.
        unsafe { self.map.start.add(index) }
    }

    fn get(&self, index: usize) -> u8 {
        // SAFETY: the entry is in the map, and only this thread uses it.
        unsafe { self.entry(index).read() }
    }

    fn set(&self, index: usize, value: u8) {
        self.used[index / BLOCK].set(true);
        // SAFETY: as above.
        unsafe { self.entry(index).write(value) };
    }

    /// Sets the entries of all pages of `region`, which is in one window.
    fn fill(&self, region: &Range<u64>, value: u8) {
        let count = ((region.end - region.start) / PAGE) as usize;
        let (Some(first), true) = (index(region.start), count > 0) else {
            return;
        };
        assert!(index(region.end - PAGE) == Some(first + count - 1));
        for used in &self.used[first / BLOCK..=(first + count - 1) / BLOCK] {
            used.set(true);
        }
        // SAFETY: the map has entries from the first page's to the last one's.
        unsafe { self.entry(first).write_bytes(value, count) };
    }

    /// How many pages are hot.
    pub(super) fn hot_pages(&self) -> usize {
        self.count.get()
    }

    /// The address of a hot page.
    #[inline]
    pub(super) fn hot_page(&self, number: usize) -> u64 {
        self.first_address(number) & !(PAGE - 1)
    }

    /// The address of the write that made a page hot.
    #[inline]
    fn first_address(&self, number: usize) -> u64 {
        debug_assert!(number < self.count.get());
        // SAFETY: so many were noted.
        unsafe { self.hot.start.cast::<u64>().add(number).read() }
    }

    /// The lines in hot pages of the heap that are not what they were when tracking began, and
    /// those that were written to first.
    pub(super) fn changed_lines(&self) -> Vec<u64> {
        let mut lines = Vec::new();
        for number in 0..self.hot_pages() {
            let page = self.hot_page(number);
            if page < arena::STACK.end || !ARENA.contains(&page) {
                continue;
            }
            lines.push(self.first_address(number) & !(LINE - 1));
            for line in (page..page + PAGE).step_by(LINE as usize) {
                let offset = (line - page) as usize;
                let now = ptr::with_exposed_provenance::<[u64; 8]>(line as usize);
                // SAFETY: pages of the heap are readable, and nothing writes to it meanwhile.
                let now = unsafe { now.read() };
                // SAFETY: the page was saved.
                let then = unsafe {
                    self.saved_page(number)
                        .add(offset)
                        .cast::<[u64; 8]>()
                        .read()
                };
                if now != then {
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// What a hot page held when tracking began.
    pub(super) fn saved_page(&self, number: usize) -> *const u8 {
        debug_assert!(number < self.count.get());
        // SAFETY: so many were saved.
        unsafe { self.saved.start.add(number * PAGE as usize) }
    }

    /// Where a stack ends on which nothing of the computer is.
    pub(super) fn other_stack(&self) -> u64 {
        self.other_stack.start.expose_provenance() as u64 + self.other_stack.length as u64
    }

    /// Whether a page can be written to at present.
    pub(super) fn is_open(&self, page: u64) -> bool {
        index(page).is_some_and(|index| is_writable(self.get(index)))
    }

    /// From now on `regions` have these accesses, all others of the computer none; whatever of
    /// them can be written to is closed until it is.
    pub(super) fn begin(&self, regions: &[(Range<u64>, Access)]) {
        let heap = (arena::STACK, Access::ReadWrite);
        let rest = (arena::STACK.end..ARENA.end, Access::ReadWrite);
        for (region, access) in regions.iter().chain([&heap, &rest]) {
            self.fill(region, code(*access));
            if is_writable(code(*access)) {
                memory::apply_protection(region, without_write(*access));
            }
        }
        self.open_expected();
    }

    /// Makes those pages hot that were changed in earlier computers.
    fn open_expected(&self) {
        let mut expected = self.expected.borrow_mut();
        expected.sort_unstable();
        let mut opened = Vec::<(Range<u64>, Access)>::new();
        for address in &*expected {
            let page = address & !(PAGE - 1);
            let Some(index) = index(page) else { continue };
            let entry = self.get(index);
            if !is_writable(entry) || entry & HOT != 0 {
                continue;
            }
            self.heat(*address, index);
            match opened.last_mut() {
                Some((region, other)) if region.end == page && *other == access(entry) => {
                    region.end += PAGE;
                }
                _ => opened.push((page..page + PAGE, access(entry))),
            }
        }
        for (region, access) in opened {
            memory::apply_protection(&region, access);
        }
    }

    /// Notes which of the pages of `region`, which are readable, are zero.
    pub(super) fn find_zeros(&self, region: &Range<u64>) {
        populate(region);
        for page in pages(region) {
            let Some(index) = index(page) else { continue };
            let place = ptr::with_exposed_provenance::<[u64; 512]>(page as usize);
            // SAFETY: the caller says that it is readable; nothing writes to it meanwhile.
            let content = unsafe { &*place };
            if content.iter().fold(0, |all, word| all | word) == 0 {
                self.set(index, self.get(index) | ZERO);
            }
        }
    }

    /// Everything can be written to again that may be.
    pub(super) fn end(&self, regions: &[(Range<u64>, Access)]) {
        for (region, access) in regions {
            memory::apply_protection(region, *access);
        }
        memory::apply_protection(&(arena::STACK.start..ARENA.end), Access::ReadWrite);
    }

    /// If the write to `address` that has just faulted is the first one to its page: saves the
    /// page and opens it. For the handler of that fault.
    pub(super) fn first_write(&self, address: u64) -> bool {
        let Some(index) = index(address) else {
            return false;
        };
        let entry = self.get(index);
        if !is_writable(entry) || entry & HOT != 0 {
            return false;
        }
        let page = address & !(PAGE - 1);
        self.heat(address, index);
        memory::apply_protection(&(page..page + PAGE), access(entry));
        true
    }

    /// Saves the page of `address`, which is readable.
    fn heat(&self, address: u64, index: usize) {
        let page = address & !(PAGE - 1);
        let number = self.count.get();
        if number == MOST_HOT {
            // Nothing could be put back any more, and this can be a handler.
            std::process::abort();
        }
        // SAFETY: there is room for so many.
        let place = unsafe { self.saved.start.add(number * PAGE as usize) };
        let from = ptr::with_exposed_provenance::<u8>(page as usize);
        // SAFETY: the page is readable, the place writable, and they are apart.
        unsafe { ptr::copy_nonoverlapping(from, place, PAGE as usize) };
        // SAFETY: there is room for so many.
        unsafe { self.hot.start.cast::<u64>().add(number).write(address) };
        self.count.set(number + 1);
        self.set(index, self.get(index) | HOT);
    }

    /// The pages of `region` get another access.
    pub(super) fn protect(&self, region: &Range<u64>, access: Access) {
        let mut journal = self.journal.borrow_mut();
        let mut start = region.start;
        while start < region.end {
            let Some(first) = index(start) else { break };
            let before = self.get(first) & ACCESS;
            let length = (region.end - start) / PAGE;
            let same =
                (0..length).take_while(|page| self.get(first + *page as usize) & ACCESS == before);
            let end = start + same.count() as u64 * PAGE;
            journal.push(Changed {
                region: start..end,
                before: self::access(before),
            });
            start = end;
        }
        drop(journal);
        self.change(region, access);
    }

    /// What was done to the access of pages since, which is to be undone; the caller puts back
    /// what the pages hold in between.
    ///
    /// Pages whose access is again what it was are left alone: a system call costs as much as
    /// copying tens of pages.
    pub(super) fn begin_undo(&self, changed: &[Changed]) -> Undo {
        let mut pages: Vec<(u64, u8)> = Vec::new();
        for changed in changed {
            pages.extend(self::pages(&changed.region).map(|page| (page, code(changed.before))));
        }
        // The first change of a page, which a stable order keeps in front, tells what it was.
        pages.sort_by_key(|(page, _)| *page);
        pages.dedup_by_key(|(page, _)| *page);
        for (page, _) in &pages {
            self.open_hot(*page);
        }
        Undo(pages)
    }

    /// The pages get the access that they had.
    pub(super) fn end_undo(&self, undo: &Undo) {
        let mut rest = &undo.0[..];
        while let [(start, before), ..] = rest {
            let follows = |(number, (page, other)): (usize, &(u64, u8))| {
                *page == start + number as u64 * PAGE && other == before
            };
            let count = rest
                .iter()
                .enumerate()
                .take_while(|page| follows((page.0, page.1)))
                .count();
            self.change(&(*start..start + count as u64 * PAGE), access(*before));
            rest = &rest[count..];
        }
    }

    fn change(&self, region: &Range<u64>, access: Access) {
        let mut start = region.start;
        while start < region.end {
            let Some(first) = index(start) else { break };
            let of = |entry: u8| entry & (HOT | ACCESS);
            let before = self.get(first);
            let mut end = start;
            while end < region.end {
                let index = first + ((end - start) / PAGE) as usize;
                let entry = self.get(index);
                if of(entry) != of(before) {
                    break;
                }
                self.set(index, entry & !ACCESS | code(access));
                end += PAGE;
            }
            if before & ACCESS == code(access) {
                start = end;
                continue;
            }
            let hot = before & HOT;
            let open = if hot == 0 {
                without_write(access)
            } else {
                access
            };
            memory::apply_protection(&(start..end), open);
            start = end;
        }
    }

    /// The pages of `region` get the access that they are to have, after another one for a time.
    pub(super) fn put_back_access(&self, region: &Range<u64>) {
        for page in pages(region) {
            if let Some(index) = index(page) {
                let access = access(self.get(index));
                memory::apply_protection(&(page..page + PAGE), access);
            }
        }
    }

    /// The pages of `region` are about to lose what they hold, without a write that would tell.
    pub(super) fn keep(&self, region: &Range<u64>) {
        for page in pages(region) {
            let Some(index) = index(page) else { continue };
            let entry = self.get(index);
            if entry & HOT != 0 {
                continue;
            }
            let one = page..page + PAGE;
            if entry & ACCESS == 0 {
                memory::apply_protection(&one, Access::Read);
            }
            self.heat(page, index);
            memory::apply_protection(&one, access(entry));
        }
    }

    /// Zeros the pages of `region`, all of which are writable.
    pub(super) fn zero(&self, region: &Range<u64>) {
        for page in pages(region) {
            let is_zero = index(page).is_some_and(|index| self.get(index) & (HOT | ZERO) == ZERO);
            if !is_zero {
                let place = ptr::with_exposed_provenance_mut::<u8>(page as usize);
                // SAFETY: the page is the computer's and writable, after the first fault at
                // least; no Rust object lives there.
                unsafe { place.write_bytes(0, PAGE as usize) };
            }
        }
    }

    /// Makes a page writable if it is hot, whatever it is for.
    fn open_hot(&self, page: u64) {
        let is_hot = index(page).is_some_and(|index| self.get(index) & HOT != 0);
        if is_hot && !self.is_open(page) {
            self.change(&(page..page + PAGE), Access::ReadWrite);
        }
    }
}

/// What pages are to have access to when they hold again what they held; in order of address.
pub(super) struct Undo(Vec<(u64, u8)>);

/// Has Linux put memory behind readable pages at once, which is sooner than at a fault for each.
fn populate(region: &Range<u64>) {
    let start = ptr::with_exposed_provenance_mut(region.start as usize);
    let length = (region.end - region.start) as usize;
    // SAFETY: what is in memory does not change by this.
    let populated = unsafe { madvise(start, length, Advice::LinuxPopulateRead) };
    // Linux before 5.14 does not know this; then there are the faults.
    let _ = populated;
}

fn pages(region: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    (region.start..region.end).step_by(PAGE as usize)
}
