//! Pageable sections of driver images, and locking them.
//!
//! Source: WDK reference, "Making Drivers Pageable", wdm.MmLockPagableDataSection,
//! wdm.MmUnlockPagableImageSection, wdm.MmPageEntireDriver, wdm.MmResetDriverPaging.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::ids;

use crate::{Ddi, Kernel};

/// A section of a loaded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSection {
    /// Its addresses.
    pub range: Range<u64>,
    /// Whether its name says that it is pageable (it begins with `PAGE`).
    pub pageable: bool,
}

#[derive(Debug)]
struct Image {
    end: u64,
    sections: Vec<ImageSection>,
    /// All of it, by `MmPageEntireDriver`.
    all_pageable: bool,
}

/// Images by base, and locks by the first address of a section, which is the handle.
#[derive(Debug, Default)]
pub(super) struct Sections {
    images: BTreeMap<u64, Image>,
    locks: BTreeMap<u64, u32>,
}

impl Sections {
    fn image(&self, address: u64) -> Option<&Image> {
        let (_, image) = self.images.range(..=address).next_back()?;
        (address < image.end).then_some(image)
    }

    fn image_mut(&mut self, address: u64) -> Option<(u64, &mut Image)> {
        let (base, image) = self.images.range_mut(..=address).next_back()?;
        (address < image.end).then_some((*base, image))
    }

    fn section(&self, address: u64) -> Option<&ImageSection> {
        self.image(address)?
            .sections
            .iter()
            .find(|section| section.range.contains(&address))
    }

    fn is_pageable(&self, address: u64) -> bool {
        let (Some(image), Some(section)) = (self.image(address), self.section(address)) else {
            return false;
        };
        let locked = self
            .locks
            .get(&section.range.start)
            .is_some_and(|count| *count > 0);
        (section.pageable || image.all_pageable) && !locked
    }
}

impl Sections {
    /// What can be paged out.
    pub(super) fn pageable(&self) -> Vec<Range<u64>> {
        let sections = self.images.values().flat_map(|image| &image.sections);
        let ranges = sections.map(|section| section.range.clone());
        ranges
            .filter(|range| self.is_pageable(range.start))
            .collect()
    }
}

impl Kernel {
    /// Tells which sections an image has, once it is loaded at `image`.
    pub fn set_image_sections(&self, image: Range<u64>, sections: Vec<ImageSection>) {
        let entry = Image {
            end: image.end,
            sections,
            all_pageable: false,
        };
        self.mm
            .sections
            .borrow_mut()
            .images
            .insert(image.start, entry);
        self.show_pageable();
    }

    /// Forgets an image's sections, before it is unloaded.
    pub fn forget_image_sections(&self, base: u64) {
        self.show_pageable();
        let mut sections = self.mm.sections.borrow_mut();
        if let Some(image) = sections.images.remove(&base) {
            sections
                .locks
                .retain(|handle, _| !(base..image.end).contains(handle));
        }
    }

    /// Whether an access to `address` could need the pager, and is therefore not allowed above
    /// APC_LEVEL: paged pool, or a pageable section that is not locked.
    #[must_use]
    pub fn is_pageable(&self, address: u64) -> bool {
        self.is_paged_pool(address) || self.is_pageable_section(address)
    }

    pub(super) fn is_pageable_section(&self, address: u64) -> bool {
        self.mm.sections.borrow().is_pageable(address)
    }

    /// `PVOID MmLockPagableDataSection(PVOID)`, which is also `MmLockPagableCodeSection`
    ///
    /// Locks the section that holds an address.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: a handle for [`Kernel::mm_lock_pagable_section_by_handle`] and
    ///   [`Kernel::mm_unlock_pagable_image_section`].
    /// - Findings: `SECTION_LOCK` if the address is in no section of a loaded image (then
    ///   NULL is returned).
    /// - Source: WDK reference, wdm.MmLockPagableDataSection.
    pub fn mm_lock_pagable_data_section(&self, address: u64) -> Ddi<u64> {
        let handle = self
            .mm
            .sections
            .borrow()
            .section(address)
            .map(|section| section.range.start);
        let Some(handle) = handle else {
            let message = format!("{address:#x} is in no section of a driver and was to be locked");
            self.find(ids::SECTION_LOCK, message, None)?;
            return Ok(0);
        };
        self.show_pageable();
        *self
            .mm
            .sections
            .borrow_mut()
            .locks
            .entry(handle)
            .or_default() += 1;
        Ok(handle)
    }

    /// `VOID MmLockPagableSectionByHandle(PVOID)`
    ///
    /// Locks a section again.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `SECTION_LOCK` if this is not a handle of a section that was locked before.
    /// - Source: WDK reference, ntddk.MmLockPagableSectionByHandle.
    pub fn mm_lock_pagable_section_by_handle(&self, handle: u64) -> Ddi<()> {
        self.show_pageable();
        let mut sections = self.mm.sections.borrow_mut();
        if let Some(count) = sections.locks.get_mut(&handle) {
            *count += 1;
            return Ok(());
        }
        drop(sections);
        let message = format!("{handle:#x} is not a handle of a section that was locked");
        self.find(ids::SECTION_LOCK, message, None)
    }

    /// `VOID MmUnlockPagableImageSection(PVOID)`
    ///
    /// Takes one lock off a section.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `SECTION_LOCK` if the section is not locked.
    /// - Source: WDK reference, wdm.MmUnlockPagableImageSection.
    pub fn mm_unlock_pagable_image_section(&self, handle: u64) -> Ddi<()> {
        let mut sections = self.mm.sections.borrow_mut();
        if let Some(count) = sections.locks.get_mut(&handle).filter(|count| **count > 0) {
            *count -= 1;
            drop(sections);
            self.show_pageable();
            return Ok(());
        }
        drop(sections);
        let message = format!("the section {handle:#x} was unlocked, which is not locked");
        self.find(ids::SECTION_LOCK, message, None)
    }

    /// `PVOID MmPageEntireDriver(PVOID)`
    ///
    /// Makes all of a driver pageable, whatever its sections say.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the image's base, or NULL if the address is in no image.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmPageEntireDriver.
    pub fn mm_page_entire_driver(&self, address: u64) -> Ddi<u64> {
        Ok(self.set_all_pageable(address, true))
    }

    /// `VOID MmResetDriverPaging(PVOID)`
    ///
    /// Makes a driver pageable as its sections say again.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: none.
    /// - Source: WDK reference, ntddk.MmResetDriverPaging.
    pub fn mm_reset_driver_paging(&self, address: u64) -> Ddi<()> {
        self.set_all_pageable(address, false);
        Ok(())
    }

    fn set_all_pageable(&self, address: u64, all_pageable: bool) -> u64 {
        self.show_pageable();
        let mut sections = self.mm.sections.borrow_mut();
        let Some((base, image)) = sections.image_mut(address) else {
            return 0;
        };
        image.all_pageable = all_pageable;
        drop(sections);
        self.show_pageable();
        base
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn bench() -> Bench {
        let bench = Bench::new(Config::default());
        let sections = alloc::vec![
            ImageSection {
                range: 0x1000..0x2000,
                pageable: false
            },
            ImageSection {
                range: 0x2000..0x3000,
                pageable: true
            },
        ];
        bench.kernel.set_image_sections(0..0x3000, sections);
        bench
    }

    #[test]
    fn a_pageable_section_is_not_while_it_is_locked() {
        let bench = bench();
        let kernel = &bench.kernel;
        assert!(
            !kernel.is_pageable(0x1FFF) && kernel.is_pageable(0x2000) && kernel.is_pageable(0x2FFF)
        );
        assert!(!kernel.is_pageable(0x3000));
        let handle = kernel.mm_lock_pagable_data_section(0x2345).unwrap();
        kernel.mm_lock_pagable_section_by_handle(handle).unwrap();
        kernel.mm_unlock_pagable_image_section(handle).unwrap();
        assert!(!kernel.is_pageable(0x2000));
        kernel.mm_unlock_pagable_image_section(handle).unwrap();
        assert!(kernel.is_pageable(0x2000));
        assert!(bench.rules().is_empty());
    }

    #[test]
    fn a_driver_can_be_made_pageable_as_a_whole() {
        let kernel = bench().kernel;
        kernel.mm_page_entire_driver(0x1000).unwrap();
        assert!(kernel.is_pageable(0x1000));
        kernel.mm_reset_driver_paging(0x2000).unwrap();
        assert!(!kernel.is_pageable(0x1000) && kernel.is_pageable(0x2000));
        assert_eq!(kernel.mm_page_entire_driver(0x3000), Ok(0));
    }

    #[test]
    fn locks_of_nothing_are_findings() {
        let bench = bench();
        let kernel = &bench.kernel;
        assert_eq!(kernel.mm_lock_pagable_data_section(0x5000), Ok(0));
        kernel.mm_lock_pagable_section_by_handle(0x1000).unwrap();
        kernel.mm_unlock_pagable_image_section(0x1000).unwrap();
        kernel.forget_image_sections(0);
        assert_eq!(kernel.mm_lock_pagable_data_section(0x1000), Ok(0));
        assert_eq!(bench.rules(), [ids::SECTION_LOCK; 4]);
    }
}
