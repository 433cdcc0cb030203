//! Pageable sections above APC_LEVEL: what may be on disk then.
//!
//! When a processor rises to DISPATCH_LEVEL, the pageable sections that are not locked become
//! inaccessible, so that touching one there is found every time and not only when memory was
//! short. Below that level the first access makes them all accessible again; until the next
//! rise that costs nothing more. A routine that returns into such a section does so as well,
//! which spares the driver's next instruction a fault.
//!
//! Not modelled: paged pool stays accessible; the routines that are given its addresses check
//! the level. Code that runs as a copy, because it is watched, is not noticed; data are.
//!
//! Source: WDK reference, "Making Drivers Pageable", "When Should Code and Data Be Pageable?".

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

use dirql_abi::Irql;
use dirql_rules::{Place, ids};

use crate::{Ddi, Kernel};

/// Whether pageable sections can be touched.
#[derive(Debug, Default)]
pub(super) struct Pageable {
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There are none.
    #[default]
    None,
    Visible,
    Hidden,
}

impl Kernel {
    /// A processor has come to DISPATCH_LEVEL or above.
    #[inline]
    pub(crate) fn hide_pageable(&self) {
        if self.mm.pageable.state.get() == State::Visible {
            self.mm.pageable.state.set(State::Hidden);
            self.platform().hide(&self.pageable_regions());
        }
    }

    /// All pageable sections can be touched from now on. Called before and after the set of
    /// them changes.
    pub(crate) fn show_pageable(&self) {
        let regions = self.pageable_regions();
        self.platform().show(&regions);
        let state = if regions.is_empty() {
            State::None
        } else {
            State::Visible
        };
        self.mm.pageable.state.set(state);
    }

    /// A routine is about to return to driver code at `address`.
    #[inline]
    pub fn return_to_pageable(&self, address: u64) {
        if self.mm.pageable.state.get() == State::Hidden && self.irql() < Irql::DISPATCH {
            self.touch_pageable(address);
        }
    }

    /// Driver code, or a routine on its behalf, could not access `address`. Whether it can if it
    /// tries again.
    pub fn touch_pageable(&self, address: u64) -> bool {
        let hidden =
            self.mm.pageable.state.get() == State::Hidden && self.is_pageable_section(address);
        let allowed = self.irql() < Irql::DISPATCH || !self.platform().on_strand();
        if hidden && allowed {
            self.show_pageable();
        }
        hidden && allowed
    }

    /// The system is going to use what is at `address` at or above DISPATCH_LEVEL.
    ///
    /// Findings: DQ0575 that is pageable.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub(crate) fn check_resident(&self, address: u64, what: &str) -> Ddi<()> {
        if !self.is_pageable(address) {
            return Ok(());
        }
        let message = format!("{what} is at {address:#x}, in pageable memory");
        self.find(ids::NOT_RESIDENT, message, self.memory_from(address))
    }

    /// Where the block of pool was allocated that `address` is in, for findings.
    pub(crate) fn memory_from(&self, address: u64) -> Option<(String, Place)> {
        let (block, _) = self.pool_at(address)?;
        Some((String::from("its memory was allocated here"), block.place))
    }

    fn pageable_regions(&self) -> Vec<Range<u64>> {
        self.mm.sections.borrow().pageable()
    }
}
