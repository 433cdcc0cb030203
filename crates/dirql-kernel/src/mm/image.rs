//! Room for driver images.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::layout::{self, PAGE};
use super::page_runs::{Limits, PageRuns};
use crate::Kernel;
use crate::platform::Access;

/// Windows loads images at multiples of 64 KiB.
const ALIGNMENT: u64 = 0x1_0000;

/// Who lies where. An unloaded image's pages are used again only when there are no others, so
/// that a jump into a driver that is gone faults.
#[derive(Debug)]
pub(super) struct Images {
    runs: PageRuns,
    live: BTreeMap<u64, u64>,
    unloaded: Vec<(u64, u64)>,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            runs: PageRuns::new(layout::IMAGES),
            live: BTreeMap::new(),
            unloaded: Vec::new(),
        }
    }
}

impl Images {
    fn allocate(&mut self, pages: u64) -> Option<u64> {
        let limits = Limits {
            alignment: ALIGNMENT,
            ..Limits::NONE
        };
        // The page after the image stays inaccessible.
        let wanted = pages.checked_add(1)?;
        let start = self.runs.allocate(wanted, limits).or_else(|| {
            for (start, pages) in self.unloaded.drain(..) {
                self.runs.free(start, pages);
            }
            self.runs.allocate(wanted, limits)
        })?;
        self.live.insert(start, wanted);
        Some(start)
    }

    /// Returns the number of pages that are not to be accessed any more.
    fn free(&mut self, start: u64) -> Option<u64> {
        let pages = self.live.remove(&start)?;
        self.unloaded.push((start, pages));
        Some(pages)
    }
}

impl Kernel {
    /// Room for a driver image of `bytes`, zeroed and writable; the loader narrows the
    /// access of each section afterwards. Returns its base, or 0 if there is no room.
    pub fn allocate_image(&self, bytes: u64) -> u64 {
        let pages = bytes.div_ceil(PAGE);
        if pages == 0 {
            return 0;
        }
        let base = self.mm.images.borrow_mut().allocate(pages);
        let Some(base) = base else { return 0 };
        self.platform()
            .protect(base..base + pages * PAGE, Access::ReadWrite);
        base
    }

    /// Gives back the room of an image. From now on an access to it faults. A base that
    /// [`Kernel::allocate_image`] did not return is ignored.
    pub fn free_image(&self, base: u64) {
        let pages = self.mm.images.borrow_mut().free(base);
        let Some(pages) = pages else { return };
        let region = base..base + pages * PAGE;
        self.platform().protect(region.clone(), Access::None);
        self.platform().discard(region);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_64_kib_aligned_and_not_used_again_while_there_is_other_room() {
        let mut images = Images::default();
        let first = images.allocate(3).unwrap();
        assert_eq!(first % ALIGNMENT, 0);
        assert_eq!(images.free(first), Some(4));
        assert_eq!(images.free(first), None);
        assert_ne!(images.allocate(3), Some(first));
    }

    #[test]
    fn the_room_of_unloaded_images_is_used_when_it_must_be() {
        let mut images = Images::default();
        let all = (layout::IMAGES.end - layout::IMAGES.start) / PAGE;
        let first = images.allocate(all - 1).unwrap();
        assert_eq!(images.allocate(1), None);
        images.free(first);
        assert_eq!(images.allocate(1), Some(first));
        assert_eq!(images.allocate(all), None);
        assert_eq!(images.allocate(u64::MAX), None);
    }
}
