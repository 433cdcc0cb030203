//! Pageable sections above APC_LEVEL: what may be on disk then.
//!
//! When a processor rises to DISPATCH_LEVEL, the pageable sections that are not locked become
//! inaccessible, so that touching one there is found every time and not only when memory was
//! short. Below that level the first access makes them all accessible again; until the next
//! rise that costs nothing more.
//!
//! Not modelled: paged pool stays accessible; the routines that are given its addresses check
//! the level. Code that runs as a copy, because it is watched, is not noticed; data are.
//!
//! Source: WDK reference, "Making Drivers Pageable", "When Should Code and Data Be Pageable?".

use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

use dirql_abi::Irql;

use crate::Kernel;

/// Whether pageable sections can be touched.
#[derive(Debug, Default)]
pub(super) struct Pageable {
    /// There are some, and they can be.
    visible: Cell<bool>,
}

impl Kernel {
    /// A processor has come to DISPATCH_LEVEL or above.
    #[inline]
    pub(crate) fn hide_pageable(&self) {
        if self.mm.pageable.visible.get() {
            self.mm.pageable.visible.set(false);
            self.platform().hide(&self.pageable_regions());
        }
    }

    /// All pageable sections can be touched from now on. Called before and after the set of
    /// them changes.
    pub(crate) fn show_pageable(&self) {
        let regions = self.pageable_regions();
        self.platform().show(&regions);
        self.mm.pageable.visible.set(!regions.is_empty());
    }

    /// Driver code, or a routine on its behalf, could not access `address`. Whether it can if it
    /// tries again.
    pub fn touch_pageable(&self, address: u64) -> bool {
        let hidden = !self.mm.pageable.visible.get() && self.is_pageable_section(address);
        let allowed = self.irql() < Irql::DISPATCH || !self.platform().on_strand();
        if hidden && allowed {
            self.show_pageable();
        }
        hidden && allowed
    }

    fn pageable_regions(&self) -> Vec<Range<u64>> {
        self.mm.sections.borrow().pageable()
    }
}
