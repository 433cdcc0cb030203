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
        if self.mm.pageable.state.get() == State::Visible && self.judges() {
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

    /// Where the block of pool was freed that `address` was in, for what is given back twice.
    pub(crate) fn given_back(&self, address: u64) -> Option<(String, Place)> {
        let (_, freed) = self.pool_at(address)?;
        freed.map(|place| (String::from("it was given back here"), place))
    }

    fn pageable_regions(&self) -> Vec<Range<u64>> {
        self.mm.sections.borrow().pageable()
    }
}

#[cfg(test)]
mod tests {
    use dirql_rules::RuleId;

    use super::*;
    use crate::testing::Bench;
    use crate::{Config, DriverPtr};

    type Initialize = fn(&Kernel, u64) -> Ddi<()>;

    const NONPAGED: u32 = 0;
    const PAGED: u32 = 1;

    fn found(pool: u32, initialize: Initialize) -> Vec<RuleId> {
        let bench = Bench::new(Config::default());
        bench.on_thread(move |kernel| {
            let address = kernel.pool_allocate(pool, 256, 1)?;
            initialize(kernel, address)
        });
        bench.rules()
    }

    #[test]
    fn what_the_system_uses_above_apc_level_is_not_pageable() {
        let all: [Initialize; 6] = [
            |kernel, at| kernel.ke_initialize_event(DriverPtr::new(at), 0, 0),
            |kernel, at| kernel.ke_initialize_timer_ex(DriverPtr::new(at), 0),
            |kernel, at| kernel.ke_initialize_semaphore(DriverPtr::new(at), 0, 1),
            |kernel, at| kernel.ke_initialize_mutex(DriverPtr::new(at)),
            |kernel, at| kernel.ke_initialize_dpc(DriverPtr::new(at), 1, 0),
            |kernel, at| kernel.ke_initialize_spin_lock(at),
        ];
        for (index, initialize) in all.into_iter().enumerate() {
            assert_eq!(found(PAGED, initialize), [ids::NOT_RESIDENT], "{index}");
            assert_eq!(found(NONPAGED, initialize), [], "{index}");
        }
    }
}
