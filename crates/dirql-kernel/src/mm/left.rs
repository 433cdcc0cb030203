//! What a driver leaves behind when it is unloaded.
//!
//! Source: WDK reference, "Writing an Unload Routine"; "Bug Check 0xC4", parameter 1 of 0x62.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::{Place, ids};

use crate::{Ddi, Kernel};

/// What kind of memory was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLeftKind {
    /// Pool with this tag.
    Pool {
        /// The tag as a number.
        tag: u32,
    },
    /// Pages of a routine other than the pool's; the text names them.
    Pages(&'static str),
    /// A mapping of physical memory.
    IoSpace,
    /// Pages that are locked; the address is the MDL's.
    LockedPages,
}

/// Memory that is allocated or mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLeft {
    /// What it is.
    pub kind: MemoryLeftKind,
    /// Virtual address.
    pub address: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Where it was asked for.
    pub place: Place,
}

impl Kernel {
    /// What the driver whose image is `image` has allocated or mapped and not given back:
    /// what its calls asked for, also through routines that allocate on its behalf.
    #[must_use]
    pub fn memory_left_by(&self, image: &Range<u64>) -> Vec<MemoryLeft> {
        let devices = [self.physical_devices(), self.living_devices()].concat();
        let pools = self.mm.pools.borrow();
        let contiguous = self.mm.contiguous.borrow();
        let io_space = self.mm.io_space.borrow();
        let locked = self.mm.locked.borrow();
        let reserved = self.mm.reserved.borrow();
        let secured = self.mm.secured.borrow();
        let pool = pools.live().map(|block| MemoryLeft {
            kind: MemoryLeftKind::Pool { tag: block.tag },
            address: block.address,
            bytes: block.bytes,
            place: block.place.clone(),
        });
        let pages = contiguous.live().map(|(address, run)| MemoryLeft {
            kind: MemoryLeftKind::Pages(run.kind.name()),
            address,
            bytes: run.bytes,
            place: run.place.clone(),
        });
        let mapped = io_space.live().map(|(address, mapping)| MemoryLeft {
            kind: MemoryLeftKind::IoSpace,
            address,
            bytes: mapping.bytes,
            place: mapping.place.clone(),
        });
        let locked = locked.live().map(|(mdl, place)| MemoryLeft {
            kind: MemoryLeftKind::LockedPages,
            address: mdl,
            bytes: 0,
            place: place.clone(),
        });
        let reserved = reserved.live().map(|(address, bytes, place)| MemoryLeft {
            kind: MemoryLeftKind::Pages("reserved addresses"),
            address,
            bytes,
            place: place.clone(),
        });
        let secured = secured.live().map(|(address, bytes, place)| MemoryLeft {
            kind: MemoryLeftKind::Pages("secured memory"),
            address,
            bytes,
            place: place.clone(),
        });
        pool.chain(pages)
            .chain(mapped)
            .chain(locked)
            .chain(reserved)
            .chain(secured)
            .filter(|left| image.contains(&left.place.address))
            .filter(|left| {
                // Plug and play's, although the driver's call made them; and devices that were
                // not deleted, which are told of as devices.
                let block = left.address..left.address + left.bytes;
                !devices.iter().any(|device| block.contains(device))
            })
            .collect()
    }

    /// Reports everything that `driver`, whose image is `image`, has left behind with `mm`,
    /// `ex`, `cm` and `ps`. For the moment after its Unload routine has returned, before its image
    /// is freed.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub(crate) fn find_left_behind(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        self.find_threads_left(driver, image)?;
        self.find_work_items_left(driver, image)?;
        self.find_callbacks_left(driver, image)?;
        self.find_notify_left(driver, image)?;
        self.find_registry_callbacks_left(driver, image)?;
        self.find_object_callbacks_left(driver, image)?;
        self.find_lookasides_left(driver, image)?;
        self.find_keys_left(driver, image)?;
        self.find_providers_left(driver, image)?;
        self.find_power_left(driver, image)?;
        self.find_memory_left(driver, image)
    }

    /// Reports memory that `driver`, whose image is `image`, has left behind, and damage to pool that
    /// was not noticed before. For the moment after its Unload routine has returned.
    ///
    /// Findings: `POOL_LEAK`, `IO_SPACE_LEFT`, `MDL_STATE`, `POOL_OVERRUN`, `USE_AFTER_FREE`.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub(crate) fn find_memory_left(&self, driver: &str, image: &Range<u64>) -> Ddi<()> {
        self.pool_check()?;
        for left in self.memory_left_by(image) {
            let (rule, what, earlier) = match left.kind {
                MemoryLeftKind::Pool { tag } => {
                    let tag = super::pool_memory::tag_text(tag);
                    (
                        ids::POOL_LEAK,
                        format!("{} bytes of pool, tag {tag},", left.bytes),
                        "allocated here",
                    )
                }
                MemoryLeftKind::Pages(name) => (
                    ids::POOL_LEAK,
                    format!("{} bytes of {name}", left.bytes),
                    "allocated here",
                ),
                MemoryLeftKind::IoSpace => (
                    ids::IO_SPACE_LEFT,
                    format!("{} bytes mapped", left.bytes),
                    "mapped here",
                ),
                MemoryLeftKind::LockedPages => (
                    ids::MDL_STATE,
                    String::from("locked pages of the MDL"),
                    "locked here",
                ),
            };
            let message = format!(
                "{driver} was unloaded and left {what} at {:#x}",
                left.address
            );
            let earlier = Some((String::from(earlier), left.place));
            self.find(rule, message, earlier)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn what_was_asked_for_by_the_image_and_not_given_back_is_reported() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        kernel
            .pool_allocate(0, 24, u32::from_le_bytes(*b"Drql"))
            .unwrap();
        kernel.mm_allocate_contiguous_memory(24, u64::MAX).unwrap();
        kernel.mm_map_io_space(0xFEB0_0000, 0x1000, 0).unwrap();
        // The test double's calls come from address 0.
        assert!(kernel.memory_left_by(&(1..u64::MAX)).is_empty());
        kernel.find_memory_left("sample", &(0..1)).unwrap();
        assert_eq!(
            bench.rules(),
            [ids::POOL_LEAK, ids::POOL_LEAK, ids::IO_SPACE_LEFT]
        );
        assert!(
            kernel.findings()[0]
                .message
                .contains("24 bytes of pool, tag 'Drql'")
        );
    }
}
