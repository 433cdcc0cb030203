//! Runs of pages inside one region of memory.

use alloc::collections::BTreeMap;
use core::ops::Range;

use super::layout::PAGE;

/// Which runs of a region are free. First fit from the lowest address, so that two runs of a
/// schedule agree.
#[derive(Debug)]
pub(super) struct PageRuns {
    /// Free runs: start to end, page-aligned, neither overlapping nor adjoining.
    free: BTreeMap<u64, u64>,
}

/// What a run must satisfy besides its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Lowest address of the first byte.
    pub lowest: u64,
    /// Highest address of the last byte.
    pub highest: u64,
    /// The run crosses no multiple of this; 0 for no such limit. A power of two otherwise.
    pub boundary: u64,
    /// The first byte is a multiple of this power of two.
    pub alignment: u64,
}

impl Limits {
    /// Any page-aligned place.
    pub(super) const NONE: Self = Self {
        lowest: 0,
        highest: u64::MAX,
        boundary: 0,
        alignment: PAGE,
    };

    /// The lowest start in `start..end` at which `bytes` fit.
    fn fit(&self, start: u64, end: u64, bytes: u64) -> Option<u64> {
        let mut at = start
            .max(self.lowest)
            .checked_next_multiple_of(self.alignment)?;
        if self.boundary != 0 {
            if bytes > self.boundary {
                return None;
            }
            let last = at.checked_add(bytes - 1)?;
            if at / self.boundary != last / self.boundary {
                at = at.checked_next_multiple_of(self.boundary)?;
            }
        }
        let last = at.checked_add(bytes - 1)?;
        (last < end && last <= self.highest).then_some(at)
    }
}

impl PageRuns {
    /// All of `region` is free.
    pub(super) fn new(region: Range<u64>) -> Self {
        Self {
            free: BTreeMap::from([(region.start, region.end)]),
        }
    }

    /// Takes a run of `pages`, at least 1. `None` if no free run fits.
    pub(super) fn allocate(&mut self, pages: u64, limits: Limits) -> Option<u64> {
        let bytes = pages.checked_mul(PAGE).filter(|bytes| *bytes > 0)?;
        let (start, end, at) = self
            .free
            .iter()
            .find_map(|(&start, &end)| limits.fit(start, end, bytes).map(|at| (start, end, at)))?;
        self.free.remove(&start);
        if start < at {
            self.free.insert(start, at);
        }
        if at + bytes < end {
            self.free.insert(at + bytes, end);
        }
        Some(at)
    }

    /// Gives back a run that [`PageRuns::allocate`] returned.
    pub(super) fn free(&mut self, start: u64, pages: u64) {
        let mut start = start;
        let mut end = start + pages * PAGE;
        if let Some(after) = self.free.remove(&end) {
            end = after;
        }
        if let Some((&before, &before_end)) = self.free.range(..start).next_back()
            && before_end == start
        {
            self.free.remove(&before);
            start = before;
        }
        self.free.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x10_0000;

    fn runs() -> PageRuns {
        PageRuns::new(BASE..BASE + 16 * PAGE)
    }

    #[test]
    fn freed_runs_join_their_neighbours_on_both_sides() {
        let mut runs = runs();
        let taken: alloc::vec::Vec<u64> = (0..4)
            .map(|_| runs.allocate(4, Limits::NONE).unwrap())
            .collect();
        assert_eq!(runs.allocate(1, Limits::NONE), None);
        for index in [0, 2, 1, 3] {
            runs.free(taken[index], 4);
        }
        assert_eq!(runs.allocate(16, Limits::NONE), Some(BASE));
    }

    #[test]
    fn a_run_ends_at_or_below_the_highest_address() {
        let at_most = |highest| Limits {
            highest,
            ..Limits::NONE
        };
        assert_eq!(runs().allocate(2, at_most(BASE + 2 * PAGE - 1)), Some(BASE));
        assert_eq!(runs().allocate(2, at_most(BASE + 2 * PAGE - 2)), None);
    }

    #[test]
    fn a_run_begins_at_or_above_the_lowest_address() {
        let from = |lowest| Limits {
            lowest,
            ..Limits::NONE
        };
        assert_eq!(runs().allocate(15, from(BASE + 1)), Some(BASE + PAGE));
        assert_eq!(runs().allocate(16, from(BASE + 1)), None);
    }

    #[test]
    fn a_run_crosses_no_boundary() {
        let mut runs = runs();
        assert_eq!(runs.allocate(3, Limits::NONE), Some(BASE));
        let limits = Limits {
            boundary: 4 * PAGE,
            ..Limits::NONE
        };
        assert_eq!(runs.allocate(2, limits), Some(BASE + 4 * PAGE));
        assert_eq!(runs.allocate(1, limits), Some(BASE + 3 * PAGE));
        assert_eq!(runs.allocate(5, limits), None);
    }

    #[test]
    fn no_pages_and_too_many_pages_fail() {
        assert_eq!(runs().allocate(0, Limits::NONE), None);
        assert_eq!(runs().allocate(17, Limits::NONE), None);
        assert_eq!(runs().allocate(u64::MAX, Limits::NONE), None);
    }
}
