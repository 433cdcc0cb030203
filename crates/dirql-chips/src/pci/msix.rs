//! The MSI-X capability: a table and pending bits in one of the function's windows.
//!
//! Source: PCI Local Bus Specification 3.0, "MSI-X Capability and Table Structures".
//!
//! Tables take aligned accesses of 4 and 8 bytes; the specification leaves others undefined, and
//! here they read 0 and write nothing.

use alloc::vec;
use alloc::vec::Vec;

use super::config::Config;
use super::spec::{capability, msix};
use crate::device::Width;
use crate::wire::MessageWrite;

/// What a function's MSI-X capability offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixOffer {
    /// Table entries, 1..=2048.
    pub messages: u16,
    /// Which base address register the table is behind.
    pub table_bar: u8,
    /// Where it begins, a multiple of 8.
    pub table_offset: u32,
    /// Which base address register the pending bits are behind.
    pub pending_bar: u8,
    /// Where they begin, a multiple of 8.
    pub pending_offset: u32,
}

impl MsixOffer {
    pub(super) fn table_size(&self) -> u64 {
        u64::from(self.messages) * msix::ENTRY_SIZE
    }

    pub(super) fn pending_size(&self) -> u64 {
        u64::from(self.messages).div_ceil(64) * 8
    }
}

/// An installed MSI-X capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msix {
    at: u16,
    offer: MsixOffer,
    table: Vec<Entry>,
    pending: Vec<u64>,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    address: u64,
    data: u32,
    control: u32,
}

impl Entry {
    /// "Vector Control": the mask bit is set after reset.
    const RESET: Self = Self {
        address: 0,
        data: 0,
        control: msix::ENTRY_MASKED,
    };

    const fn is_masked(&self) -> bool {
        self.control & msix::ENTRY_MASKED != 0
    }
}

/// Which of the two structures an offset is in.
enum Place {
    Table(u64),
    Pending(u64),
}

impl Msix {
    /// Bytes of the capability.
    pub(super) const LENGTH: u16 = 12;

    pub(super) fn install(config: &mut Config, at: u16, offer: MsixOffer) -> Self {
        config.set(at, Width::U8, capability::MSIX.into());
        config.set(at + 2, Width::U16, u64::from(offer.messages - 1));
        let writable = msix::ENABLE | msix::FUNCTION_MASK;
        config.set_writable(at + 2, Width::U16, writable.into());
        config.set(
            at + 4,
            Width::U32,
            (offer.table_offset | u32::from(offer.table_bar)).into(),
        );
        let pending = offer.pending_offset | u32::from(offer.pending_bar);
        config.set(at + 8, Width::U32, pending.into());
        Self {
            at,
            offer,
            table: vec![Entry::RESET; usize::from(offer.messages)],
            pending: vec![0; usize::from(offer.messages).div_ceil(64)],
        }
    }

    pub(super) fn is_enabled(&self, config: &Config) -> bool {
        config.read16(self.at + 2) & msix::ENABLE != 0
    }

    /// Which entry a source uses: its own, or entry 0 if the table has none for it.
    pub(super) fn message_of(&self, source: u16) -> u16 {
        if source < self.offer.messages {
            source
        } else {
            0
        }
    }

    /// The write that sends `message`, or `None` and its pending bit if it is masked.
    pub(super) fn trigger(&mut self, config: &Config, message: u16) -> Option<MessageWrite> {
        let entry = *self.table.get(usize::from(message))?;
        if entry.is_masked() || self.is_function_masked(config) {
            self.set_pending(message, true);
            return None;
        }
        Some(MessageWrite {
            address: entry.address,
            data: entry.data,
        })
    }

    /// The condition behind `message` went away before it could be sent.
    pub(super) fn withdraw(&mut self, message: u16) {
        self.set_pending(message, false);
    }

    /// The first message that is pending and not masked any more; its pending bit is cleared.
    pub(super) fn take_pending(&mut self, config: &Config) -> Option<(u16, MessageWrite)> {
        if !self.is_enabled(config) || self.is_function_masked(config) {
            return None;
        }
        let message = self.first_ready()?;
        self.set_pending(message, false);
        Some((message, self.trigger(config, message)?))
    }

    /// The first message that is pending and whose entry is not masked.
    fn first_ready(&self) -> Option<u16> {
        for (index, &word) in self.pending.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                let message = 64 * index + rest.trailing_zeros() as usize;
                if !self.table[message].is_masked() {
                    // At most 2047.
                    return Some(message as u16);
                }
                rest &= rest - 1;
            }
        }
        None
    }

    /// Reads the table or the pending bits; `None` if neither is there.
    pub(super) fn read(&self, bar: u8, offset: u64, width: Width) -> Option<u64> {
        let place = self.place(bar, offset)?;
        if !is_whole(offset, width) {
            return Some(0);
        }
        let mut value = u64::from(self.read32(&place, 0));
        if width == Width::U64 {
            value |= u64::from(self.read32(&place, 4)) << 32;
        }
        Some(value)
    }

    /// Writes the table; `None` if neither structure is there. Pending bits are read only.
    pub(super) fn write(&mut self, bar: u8, offset: u64, width: Width, value: u64) -> Option<()> {
        let place = self.place(bar, offset)?;
        if let (true, Place::Table(at)) = (is_whole(offset, width), place) {
            self.write32(at, value as u32);
            if width == Width::U64 {
                self.write32(at + 4, (value >> 32) as u32);
            }
        }
        Some(())
    }

    fn place(&self, bar: u8, offset: u64) -> Option<Place> {
        let within = |own: u8, begin: u32, size: u64| {
            let at = offset.checked_sub(begin.into())?;
            (bar == own && at < size).then_some(at)
        };
        let offer = &self.offer;
        within(offer.table_bar, offer.table_offset, offer.table_size())
            .map(Place::Table)
            .or_else(|| {
                within(
                    offer.pending_bar,
                    offer.pending_offset,
                    offer.pending_size(),
                )
                .map(Place::Pending)
            })
    }

    fn read32(&self, place: &Place, more: u64) -> u32 {
        match *place {
            Place::Table(at) => {
                let at = at + more;
                let Some(entry) = self.table.get((at / msix::ENTRY_SIZE) as usize) else {
                    return 0;
                };
                match at % msix::ENTRY_SIZE / 4 {
                    0 => entry.address as u32,
                    1 => (entry.address >> 32) as u32,
                    2 => entry.data,
                    _ => entry.control,
                }
            }
            Place::Pending(at) => {
                let at = at + more;
                let word = self.pending.get((at / 8) as usize).copied().unwrap_or(0);
                (word >> (8 * (at % 8))) as u32
            }
        }
    }

    fn write32(&mut self, at: u64, value: u32) {
        let Some(entry) = self.table.get_mut((at / msix::ENTRY_SIZE) as usize) else {
            return;
        };
        let (low, high) = (entry.address & 0xFFFF_FFFF, entry.address & !0xFFFF_FFFF);
        match at % msix::ENTRY_SIZE / 4 {
            // "For proper DWORD alignment, software must always write zeroes" to bits 1:0.
            0 => entry.address = high | u64::from(value & !3),
            1 => entry.address = low | u64::from(value) << 32,
            2 => entry.data = value,
            _ => entry.control = value & msix::ENTRY_MASKED,
        }
    }

    fn is_function_masked(&self, config: &Config) -> bool {
        config.read16(self.at + 2) & msix::FUNCTION_MASK != 0
    }

    fn set_pending(&mut self, message: u16, pending: bool) {
        if let Some(word) = self.pending.get_mut(usize::from(message / 64)) {
            *word = *word & !(1 << (message % 64)) | u64::from(pending) << (message % 64);
        }
    }
}

/// Aligned, of 4 or 8 bytes.
const fn is_whole(offset: u64, width: Width) -> bool {
    width.bytes() >= 4 && offset.is_multiple_of(width.bytes())
}
