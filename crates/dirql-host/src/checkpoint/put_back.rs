//! Putting back what hot pages held at a mark.

use std::ptr;

use dirql_kernel::mm::layout::PAGE;

use super::arena::Untaken;
use super::tracker::{LINE, Tracker};
use super::ways::{Line, Lines};

impl Tracker {
    /// Puts back the hot pages that are open to what they held at a mark, of which `pages` were saved
    /// there, but those that are said to be untaken.
    pub(super) fn put_pages(&self, pages: &[u8], untaken: Option<&Untaken>) {
        for number in 0..self.hot_pages() {
            let page = self.hot_page(number);
            if !self.is_open(page) {
                // It was closed at the mark and ever since.
                continue;
            }
            if untaken.is_some_and(|untaken| untaken.contains(page)) {
                spoil(page);
                continue;
            }
            let to = ptr::with_exposed_provenance_mut::<u8>(page as usize);
            // SAFETY: the page is open, both are a page long, and they are apart. No code that
            // refers to what is in it goes on, but the life at the mark, to which it is right.
            unsafe { ptr::copy_nonoverlapping(self.content(number, pages), to, PAGE as usize) };
        }
    }

    /// As [`Tracker::put_pages`], by comparing: what was changed, and what it held.
    pub(super) fn put_changed(&self, pages: &[u8]) -> Lines {
        let mut changed = Lines::default();
        let mut numbers: Vec<usize> = (0..self.hot_pages()).collect();
        numbers.sort_unstable_by_key(|number| self.hot_page(*number));
        for number in numbers {
            let page = self.hot_page(number);
            if !self.is_open(page) {
                continue;
            }
            let then = self.content(number, pages);
            for line in (page..page + PAGE).step_by(LINE as usize) {
                let place = ptr::with_exposed_provenance_mut::<Line>(line as usize);
                // SAFETY: the page is open, and nothing else uses it: the life has paused.
                let now = unsafe { place.read() };
                // SAFETY: as far into what the page held, which may lie anywhere.
                let then = unsafe { then.add((line - page) as usize) };
                // SAFETY: as above; any bytes are words.
                let then = unsafe { then.cast::<Line>().read_unaligned() };
                if now != then {
                    // SAFETY: as for `now`; the life at the mark goes on with this.
                    unsafe { place.write(then) };
                    changed.push(line, then);
                }
            }
        }
        changed
    }

    /// Puts back what is known to have been changed.
    #[inline]
    pub(super) fn put_lines(&self, lines: &Lines) {
        /// More lines than these are copied faster by a call.
        const FEW: usize = 4;
        for (start, run) in lines.runs() {
            debug_assert!(self.is_open(start & !(PAGE - 1)));
            let to = ptr::with_exposed_provenance_mut::<Line>(start as usize);
            if run.len() > FEW {
                // SAFETY: the lines are of hot pages that were open when they were found and still
                // are: no page has had another access since. Nothing else uses them: the life has
                // paused.
                unsafe { ptr::copy_nonoverlapping(run.as_ptr(), to, run.len()) };
                continue;
            }
            for (number, line) in run.iter().enumerate() {
                // SAFETY: as many lines as are in the run are there.
                let to = unsafe { to.add(number) };
                // SAFETY: as above.
                unsafe { to.write(*line) };
            }
        }
    }

    /// What a hot page held at a mark at which the first of them were saved as `pages`.
    #[inline]
    fn content(&self, number: usize, pages: &[u8]) -> *const u8 {
        match pages.get(number * PAGE as usize) {
            Some(first) => ptr::from_ref(first),
            None => self.saved_page(number),
        }
    }
}

/// Nobody reads what is in a page of the heap of which nothing was taken; whoever does, tests of
/// builds with assertions find.
fn spoil(page: u64) {
    if cfg!(debug_assertions) {
        let place = ptr::with_exposed_provenance_mut::<u8>(page as usize);
        // SAFETY: the page is open and holds nothing at the mark that is put back to.
        unsafe { place.write_bytes(0xA5, PAGE as usize) };
    }
}
