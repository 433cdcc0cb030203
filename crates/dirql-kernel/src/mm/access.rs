//! Memory and registers alike: for routines that drivers also point at device memory.

use core::ops::Range;

use dirql_chips::Width;

use super::layout::{self, PAGE};
use crate::{Ddi, Kernel, Stop};

/// The part of `length` bytes at `address` that lies in `region`, if `address` does.
fn part_in(region: &Range<u64>, address: u64, length: usize) -> Option<usize> {
    region
        .contains(&address)
        .then(|| length.min((region.end - address) as usize))
}

const SHARED: Range<u64> = layout::SHARED_DATA..layout::SHARED_DATA + PAGE;

/// The widest access of a register at `address` that stays inside `length` bytes: 4 or 1
/// bytes, as the original's copying loops make them.
fn register_width(address: u64, length: usize) -> Width {
    if address.is_multiple_of(4) && length >= 4 {
        Width::U32
    } else {
        Width::U8
    }
}

impl Kernel {
    /// Reads memory, device registers or the shared data page, as a load of the driver would.
    ///
    /// # Errors
    /// An address that is none of them.
    pub(crate) fn load(&self, address: u64, into: &mut [u8]) -> Ddi<()> {
        match self.platform().read(address, into) {
            Ok(()) => Ok(()),
            Err(bad) => self
                .load_elsewhere(address, into)
                .unwrap_or(Err(Stop::BadAddress(bad))),
        }
    }

    #[cold]
    fn load_elsewhere(&self, address: u64, into: &mut [u8]) -> Option<Ddi<()>> {
        if let Some(length) = part_in(&SHARED, address, into.len()) {
            let (here, rest) = into.split_at_mut(length);
            self.read_shared_data(address - SHARED.start, here);
            return Some(if rest.is_empty() {
                Ok(())
            } else {
                self.load(SHARED.end, rest)
            });
        }
        let length = part_in(&layout::DEVICE, address, into.len())?;
        let (here, rest) = into.split_at_mut(length);
        let mut at = 0;
        while at < here.len() {
            let address = address + at as u64;
            let width = register_width(address, here.len() - at);
            let bytes = width.bytes() as usize;
            let value = self.read_device(address - layout::PHYSICAL_WINDOW, width);
            here[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            at += bytes;
        }
        Some(if rest.is_empty() {
            Ok(())
        } else {
            self.load(layout::DEVICE.end, rest)
        })
    }

    /// Writes memory or device registers, as a store of the driver would.
    ///
    /// # Errors
    /// An address that is neither.
    pub(crate) fn store(&self, address: u64, from: &[u8]) -> Ddi<()> {
        match self.platform().write(address, from) {
            Ok(()) => Ok(()),
            Err(bad) => self
                .store_elsewhere(address, from)
                .unwrap_or(Err(Stop::BadAddress(bad))),
        }
    }

    #[cold]
    fn store_elsewhere(&self, address: u64, from: &[u8]) -> Option<Ddi<()>> {
        let length = part_in(&layout::DEVICE, address, from.len())?;
        let (here, rest) = from.split_at(length);
        let mut at = 0;
        while at < here.len() {
            let address = address + at as u64;
            let width = register_width(address, here.len() - at);
            let bytes = width.bytes() as usize;
            let mut value = [0; 8];
            value[..bytes].copy_from_slice(&here[at..at + bytes]);
            self.write_device(
                address - layout::PHYSICAL_WINDOW,
                width,
                u64::from_le_bytes(value),
            );
            at += bytes;
        }
        Some(if rest.is_empty() {
            Ok(())
        } else {
            self.store(layout::DEVICE.end, rest)
        })
    }
}
