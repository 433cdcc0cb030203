//! Which pages are open, and for what.

use std::collections::BTreeMap;
use std::ops::Range;

use dirql_kernel::Access;

/// Extents of pages with one access, keyed by their start; they do not overlap. Pages that
/// were open once and have no access now are kept too, since they still hold something.
#[derive(Debug, Default)]
pub(super) struct Pages {
    extents: BTreeMap<u64, Extent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    end: u64,
    access: Access,
}

impl Pages {
    /// Records that `region` has `access` from now on. Pages that never had one are
    /// not recorded as having none.
    pub(super) fn set(&mut self, region: Range<u64>, access: Access) {
        let held = access != Access::None || self.overlaps(&region);
        self.forget(region.clone());
        if held {
            self.insert(region, access);
        }
    }

    /// Records that `region` holds nothing any more.
    pub(super) fn forget(&mut self, region: Range<u64>) {
        if region.is_empty() {
            return;
        }
        self.split(region.start);
        self.split(region.end);
        let inside: Vec<u64> = self
            .extents
            .range(region)
            .map(|(start, _)| *start)
            .collect();
        for start in inside {
            self.extents.remove(&start);
        }
    }

    /// The access of the page that holds `address`.
    pub(super) fn access(&self, address: u64) -> Access {
        match self.extents.range(..=address).next_back() {
            Some((_, extent)) if address < extent.end => extent.access,
            _ => Access::None,
        }
    }

    /// Every extent that can hold something, in order of address.
    pub(super) fn touched(&self) -> impl Iterator<Item = (Range<u64>, Access)> {
        self.extents
            .iter()
            .map(|(&start, extent)| (start..extent.end, extent.access))
    }

    /// The parts of `region` that can hold something, in order of address.
    pub(super) fn touched_in(
        &self,
        region: &Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, Access)> {
        let (start, end) = (region.start, region.end);
        let before = self.extents.range(..start).next_back();
        before
            .into_iter()
            .chain(self.extents.range(start..end))
            .map(move |(&first, extent)| (first.max(start)..extent.end.min(end), extent.access))
            .filter(|(part, _)| part.start < part.end)
    }

    fn overlaps(&self, region: &Range<u64>) -> bool {
        let before = self.extents.range(..region.end).next_back();
        before.is_some_and(|(_, extent)| extent.end > region.start)
    }

    fn insert(&mut self, region: Range<u64>, access: Access) {
        let Range { mut start, mut end } = region;
        if let Some((&before, extent)) = self.extents.range(..start).next_back()
            && extent.end == start
            && extent.access == access
        {
            start = before;
        }
        if let Some(after) = self.extents.get(&end)
            && after.access == access
        {
            let last = after.end;
            self.extents.remove(&end);
            end = last;
        }
        self.extents.insert(start, Extent { end, access });
    }

    /// Makes an extent end at `at`, if one goes through it.
    fn split(&mut self, at: u64) {
        if let Some((_, extent)) = self.extents.range_mut(..at).next_back()
            && extent.end > at
        {
            let rest = *extent;
            extent.end = at;
            self.extents.insert(at, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pages: &Pages) -> String {
        let rows: Vec<String> = pages
            .touched()
            .map(|(r, a)| format!("{:x}-{:x} {a:?}", r.start, r.end))
            .collect();
        rows.join(", ")
    }

    #[test]
    fn neighbours_with_the_same_access_are_one_extent() {
        let mut pages = Pages::default();
        pages.set(0x1000..0x2000, Access::ReadWrite);
        pages.set(0x3000..0x4000, Access::ReadWrite);
        pages.set(0x2000..0x3000, Access::ReadWrite);
        assert_eq!(text(&pages), "1000-4000 ReadWrite");
    }

    #[test]
    fn a_part_with_another_access_splits_its_extent() {
        let mut pages = Pages::default();
        pages.set(0x1000..0x5000, Access::ReadWrite);
        pages.set(0x2000..0x3000, Access::ReadExecute);
        assert_eq!(
            text(&pages),
            "1000-2000 ReadWrite, 2000-3000 ReadExecute, 3000-5000 ReadWrite"
        );
        assert_eq!(pages.access(0x1fff), Access::ReadWrite);
        assert_eq!(pages.access(0x2000), Access::ReadExecute);
        assert_eq!(pages.access(0x3000), Access::ReadWrite);
        assert_eq!(pages.access(0x5000), Access::None);
        assert_eq!(pages.access(0xfff), Access::None);
    }

    #[test]
    fn what_a_region_holds_is_cut_to_it() {
        let mut pages = Pages::default();
        pages.set(0x1000..0x4000, Access::ReadWrite);
        pages.set(0x5000..0x9000, Access::Read);
        let parts: Vec<_> = pages.touched_in(&(0x2000..0x6000)).collect();
        assert_eq!(
            parts,
            [
                (0x2000..0x4000, Access::ReadWrite),
                (0x5000..0x6000, Access::Read)
            ]
        );
        assert_eq!(pages.touched_in(&(0x4000..0x5000)).count(), 0);
        assert_eq!(
            pages.touched_in(&(0x6000..0x7000)).collect::<Vec<_>>(),
            [(0x6000..0x7000, Access::Read)]
        );
    }

    #[test]
    fn closed_pages_are_remembered_until_they_are_forgotten() {
        let mut pages = Pages::default();
        pages.set(0x1000..0x2000, Access::None);
        assert_eq!(text(&pages), "", "never open");
        pages.set(0x1000..0x3000, Access::ReadWrite);
        pages.set(0x1000..0x2000, Access::None);
        assert_eq!(text(&pages), "1000-2000 None, 2000-3000 ReadWrite");
        pages.forget(0x1000..0x2000);
        assert_eq!(text(&pages), "2000-3000 ReadWrite");
    }
}
