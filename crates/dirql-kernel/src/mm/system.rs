//! What the kernel itself lays out for drivers to see.

use core::ops::Range;

use super::layout::{self, PAGE};
use crate::Kernel;
use crate::platform::Access;

/// Bytes that are made accessible at once: one call to the host for 16 pages.
const STEP: u64 = 16 * PAGE;

/// Memory that is handed out once and never freed.
#[derive(Debug)]
pub(super) struct System {
    next: u64,
    accessible: u64,
}

impl Default for System {
    fn default() -> Self {
        Self {
            next: layout::SYSTEM.start,
            accessible: layout::SYSTEM.start,
        }
    }
}

impl System {
    /// Takes `bytes`; returns them and the pages that are to be made accessible first.
    fn take(&mut self, bytes: u64, alignment: u64) -> Option<(u64, Range<u64>)> {
        let start = self.next.checked_next_multiple_of(alignment)?;
        let end = start
            .checked_add(bytes)
            .filter(|end| *end <= layout::SYSTEM.end)?;
        self.next = end;
        let missing = self.accessible..end.next_multiple_of(STEP).max(self.accessible);
        self.accessible = missing.end;
        Some((start, missing))
    }
}

impl Kernel {
    /// Takes `bytes` of memory for a structure that drivers can see: zeroed, 16-aligned,
    /// never freed. Returns 0 when the region of 256 MiB is used up.
    #[must_use]
    pub fn allocate_system(&self, bytes: u64) -> u64 {
        self.allocate_system_aligned(bytes, 16)
    }

    /// As [`Kernel::allocate_system`], whole pages.
    #[must_use]
    pub fn allocate_system_pages(&self, bytes: u64) -> u64 {
        let Some(bytes) = bytes.checked_next_multiple_of(PAGE) else {
            return 0;
        };
        self.allocate_system_aligned(bytes, PAGE)
    }

    fn allocate_system_aligned(&self, bytes: u64, alignment: u64) -> u64 {
        let taken = self.mm.system.borrow_mut().take(bytes, alignment);
        let Some((start, missing)) = taken else {
            return 0;
        };
        if !missing.is_empty() {
            self.platform().protect(missing, Access::ReadWrite);
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_aligned_and_pages_are_asked_for_once() {
        let mut system = System::default();
        let start = layout::SYSTEM.start;
        assert_eq!(system.take(1, 16), Some((start, start..start + STEP)));
        let (second, missing) = system.take(STEP - 16, 16).unwrap();
        assert_eq!((second, missing.is_empty()), (start + 16, true));
        assert_eq!(
            system.take(1, 16),
            Some((start + STEP, start + STEP..start + 2 * STEP))
        );
        let (page, _) = system.take(PAGE, PAGE).unwrap();
        assert_eq!(page, start + STEP + PAGE);
    }

    #[test]
    fn the_last_byte_can_be_taken_and_no_more() {
        let all = layout::SYSTEM.end - layout::SYSTEM.start;
        assert_eq!(System::default().take(all + 1, 16), None);
        assert_eq!(System::default().take(u64::MAX, 16), None);
        let mut system = System::default();
        assert!(system.take(all, 16).is_some());
        assert_eq!(system.take(1, 16), None);
    }
}
