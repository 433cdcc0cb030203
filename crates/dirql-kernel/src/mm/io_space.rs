//! Device registers and other physical memory that drivers map.
//!
//! Every physical address has one virtual address ([`layout`]), so mapping makes nothing
//! accessible that was not before; what is kept is who mapped what.
//!
//! Source: WDK reference, wdm.MmMapIoSpace, wdm.MmMapIoSpaceEx, wdm.MmUnmapIoSpace.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use dirql_rules::{Place, ids};

use super::layout::{self, PAGE, PHYSICAL_END};
use crate::platform::Access;
use crate::{Ddi, Kernel};

/// One mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub bytes: u64,
    pub place: Place,
}

/// Mappings by virtual address; several may begin at one address.
#[derive(Debug, Default)]
pub(super) struct IoSpace {
    mappings: BTreeMap<u64, Vec<Mapping>>,
    /// What has been mapped and is not any more, with where it was unmapped.
    gone: Vec<(Range<u64>, Place)>,
    firmware_accessible: bool,
}

impl IoSpace {
    /// Removes a mapping of `bytes` at `address`, the newest of several; if none has this
    /// size, the newest of another.
    fn unmap(&mut self, address: u64, bytes: u64) -> Option<Mapping> {
        let mappings = self.mappings.get_mut(&address)?;
        let index = mappings
            .iter()
            .rposition(|mapping| mapping.bytes == bytes)
            .unwrap_or(mappings.len().checked_sub(1)?);
        let mapping = mappings.remove(index);
        if mappings.is_empty() {
            self.mappings.remove(&address);
        }
        Some(mapping)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (u64, &Mapping)> {
        self.mappings
            .iter()
            .flat_map(|(address, all)| all.iter().map(|one| (*address, one)))
    }

    fn covers(&self, address: u64) -> bool {
        self.live()
            .any(|(start, mapping)| pages_of(start, mapping.bytes).contains(&address))
    }

    /// Where the page of an address was unmapped, if it was mapped and is not any more.
    fn unmapped(&self, address: u64) -> Option<&Place> {
        let mut gone = self.gone.iter();
        let (_, place) = gone.find(|(range, _)| range.contains(&address))?;
        (!self.covers(address)).then_some(place)
    }
}

/// A page is what can be mapped, so what is beside a range in its pages comes with it.
fn pages_of(start: u64, bytes: u64) -> Range<u64> {
    let first = layout::page_of(start);
    first..first + layout::pages_spanned(start, bytes) * PAGE
}

impl Kernel {
    /// `PVOID MmMapIoSpace(PHYSICAL_ADDRESS, SIZE_T, MEMORY_CACHING_TYPE)`, and
    /// `MmMapIoSpaceEx`, whose last argument is a page protection
    ///
    /// Maps a physical range. The caching type makes no difference here.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the virtual address, with the same offset in its page; NULL for no bytes or
    ///   a range that does not lie below 4 GiB, where this computer has nothing.
    /// - Findings: none of its own.
    /// - Source: WDK reference, wdm.MmMapIoSpace.
    pub fn mm_map_io_space(&self, physical: u64, bytes: u64, _cache_type: u32) -> Ddi<u64> {
        let end = physical
            .checked_add(bytes)
            .filter(|end| bytes > 0 && *end <= PHYSICAL_END);
        let (Some(end), Some(address)) = (end, layout::virtual_address(physical)) else {
            return Ok(0);
        };
        if !layout::is_device(end - 1) {
            self.make_firmware_accessible(address);
        }
        let mapping = Mapping {
            bytes,
            place: self.here(),
        };
        self.mm
            .io_space
            .borrow_mut()
            .mappings
            .entry(address)
            .or_default()
            .push(mapping);
        Ok(address)
    }

    /// The first megabyte is RAM that nobody allocates.
    fn make_firmware_accessible(&self, address: u64) {
        let already = self.mm.io_space.borrow().firmware_accessible;
        if !already && layout::FIRMWARE.contains(&address) {
            self.mm.io_space.borrow_mut().firmware_accessible = true;
            self.platform().protect(layout::FIRMWARE, Access::ReadWrite);
        }
    }

    /// `VOID MmUnmapIoSpace(PVOID, SIZE_T)`
    ///
    /// Ends a mapping.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: `IO_SPACE_UNMAP` if nothing is mapped there, or with another size.
    /// - Source: WDK reference, wdm.MmUnmapIoSpace.
    pub fn mm_unmap_io_space(&self, address: u64, bytes: u64) -> Ddi<()> {
        let mapping = self.mm.io_space.borrow_mut().unmap(address, bytes);
        if let Some(mapping) = &mapping {
            let range = pages_of(address, mapping.bytes);
            let place = self.here();
            let mut space = self.mm.io_space.borrow_mut();
            space.gone.retain(|(other, _)| *other != range);
            space.gone.push((range, place));
        }
        match mapping {
            Some(mapping) if mapping.bytes == bytes => Ok(()),
            Some(mapping) => {
                let message = format!(
                    "{bytes:#x} bytes at {address:#x} were unmapped, where {:#x} are mapped",
                    mapping.bytes
                );
                self.find(
                    ids::IO_SPACE_UNMAP,
                    message,
                    Some((String::from("mapped here"), mapping.place)),
                )
            }
            None => {
                let message = format!("{address:#x} was unmapped, where nothing is mapped");
                self.find(ids::IO_SPACE_UNMAP, message, self.unmapped_at(address))
            }
        }
    }

    /// Where a driver unmapped what was at `address`.
    fn unmapped_at(&self, address: u64) -> Option<(String, Place)> {
        let space = self.mm.io_space.borrow();
        let gone = space
            .gone
            .iter()
            .find(|(range, _)| range.contains(&address));
        gone.map(|(_, place)| (String::from("unmapped here"), place.clone()))
    }

    /// Finds an access to registers that a driver has unmapped.
    pub(crate) fn check_mapped(&self, physical: u64) {
        let earlier = {
            let space = self.mm.io_space.borrow();
            if space.gone.is_empty() {
                return;
            }
            match space.unmapped(layout::PHYSICAL_WINDOW + physical) {
                Some(place) => place.clone(),
                None => return,
            }
        };
        let place = match self.instruction() {
            0 => self.here(),
            instruction => self.here_at(instruction),
        };
        let message =
            format!("the registers at physical address {physical:#x} are not mapped any more");
        // The device answers all the same: the run ends only where a finding ends it.
        let _ = self.find_at(
            ids::UNMAPPED_ACCESS,
            message,
            place,
            Some((String::from("unmapped here"), earlier)),
        );
    }

    /// Whether a driver has mapped the page of this virtual address of the device window.
    #[must_use]
    pub fn is_io_space_mapped(&self, address: u64) -> bool {
        self.mm.io_space.borrow().covers(address)
    }
}

#[cfg(test)]
mod tests {
    use dirql_chips::Width;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn mapping(bytes: u64) -> Mapping {
        Mapping {
            bytes,
            place: Place::default(),
        }
    }

    #[test]
    fn the_mapping_of_the_right_size_goes_first() {
        let mut space = IoSpace::default();
        space
            .mappings
            .insert(0x1000, alloc::vec![mapping(8), mapping(16), mapping(16)]);
        assert_eq!(space.unmap(0x1000, 8).map(|one| one.bytes), Some(8));
        assert_eq!(space.unmap(0x1000, 8).map(|one| one.bytes), Some(16));
        assert_eq!(space.unmap(0x1000, 16).map(|one| one.bytes), Some(16));
        assert!(space.unmap(0x1000, 16).is_none());
    }

    #[test]
    fn a_mapping_covers_its_pages_to_the_last_byte() {
        let mut space = IoSpace::default();
        space.mappings.insert(0x1FFF, alloc::vec![mapping(2)]);
        assert!(!space.covers(0xFFF) && space.covers(0x1000) && space.covers(0x2FFF));
        assert!(!space.covers(0x3000));
    }

    #[test]
    fn an_access_after_unmapping_is_found_until_they_are_mapped_again() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let physical = 0xFEB0_0000;
        let first = kernel.mm_map_io_space(physical, 0x100, 0).unwrap();
        let second = kernel.mm_map_io_space(physical + 0x80, 8, 0).unwrap();
        kernel.mm_unmap_io_space(first, 0x100).unwrap();
        kernel.read_device(physical, Width::U32);
        assert!(bench.rules().is_empty(), "its page is mapped once more");
        kernel.mm_unmap_io_space(second, 8).unwrap();
        kernel.read_device(physical + PAGE, Width::U32);
        assert!(bench.rules().is_empty(), "it never was mapped");
        kernel.write_device(physical + 4, Width::U32, 0);
        assert_eq!(bench.rules(), [ids::UNMAPPED_ACCESS]);
        kernel.mm_map_io_space(physical, 0x100, 0).unwrap();
        kernel.read_device(physical + 8, Width::U32);
        assert_eq!(bench.rules(), [ids::UNMAPPED_ACCESS]);
    }

    #[test]
    fn registers_firmware_and_ram_are_mapped_where_they_are() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        assert_eq!(
            kernel.mm_map_io_space(0xFEB0_0010, 4, 0),
            Ok(layout::PHYSICAL_WINDOW + 0xFEB0_0010)
        );
        assert!(kernel.is_io_space_mapped(layout::PHYSICAL_WINDOW + 0xFEB0_0000));
        let bios = kernel.mm_map_io_space(0x408, 2, 0).unwrap();
        assert_eq!(kernel.read_bytes(bios, 2).unwrap(), [0, 0]);
        let pool = kernel.pool_allocate(0, 8, 1).unwrap();
        let physical = kernel.mm_get_physical_address(pool).unwrap();
        assert_eq!(kernel.mm_map_io_space(physical, 8, 1), Ok(pool));
        assert_eq!(kernel.mm_map_io_space(0xFEB0_0000, 0, 0), Ok(0));
        assert_eq!(
            kernel.mm_map_io_space(PHYSICAL_END - 1, 1, 0),
            Ok(layout::DEVICE.end - 1)
        );
        assert_eq!(kernel.mm_map_io_space(PHYSICAL_END - 1, 2, 0), Ok(0));
        assert_eq!(kernel.mm_map_io_space(u64::MAX, 1, 0), Ok(0));
    }

    #[test]
    fn unmapping_what_is_not_mapped_or_not_of_that_size_is_a_finding() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let address = kernel.mm_map_io_space(0xFEB0_0000, 0x100, 0).unwrap();
        kernel.mm_unmap_io_space(address, 0x100).unwrap();
        assert!(bench.rules().is_empty());
        kernel.mm_unmap_io_space(address, 0x100).unwrap();
        kernel.mm_map_io_space(0xFEB0_0000, 0x100, 0).unwrap();
        kernel.mm_unmap_io_space(address, 0x80).unwrap();
        assert_eq!(bench.rules(), [ids::IO_SPACE_UNMAP; 2]);
        assert!(!kernel.is_io_space_mapped(address));
    }
}
