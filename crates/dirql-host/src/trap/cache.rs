//! Decoded instructions by address.
//!
//! A small table in front is looked up with one comparison; behind it a map keeps
//! everything. An entry holds for as long as the bytes at its address are the same, so
//! code that changes without [`Cache::forget`] is decoded again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;

use super::operation::Operation;

/// Entries in front; a power of two.
const FRONT: usize = 512;

/// No instruction is here.
const NOWHERE: u64 = u64::MAX;

/// A decoded instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where it is.
    pub(super) address: u64,
    /// Its bytes in memory, zeros behind them.
    pub(super) bytes: u128,
    /// How many bytes it has.
    pub(super) length: u8,
    /// What it does.
    pub(super) operation: Operation,
}

impl Entry {
    const EMPTY: Self = Self {
        address: NOWHERE,
        bytes: 0,
        length: 0,
        operation: Operation::Ordinary,
    };

    fn is_at(&self, address: u64, window: u128) -> bool {
        self.address == address && self.bytes == first(window, self.length)
    }
}

/// The first `length` bytes of `window`, zeros behind them.
pub(super) const fn first(window: u128, length: u8) -> u128 {
    if length == 0 || length > 15 {
        window
    } else {
        window & ((1 << (8 * length as u32)) - 1)
    }
}

/// Decoded instructions by address.
pub(super) struct Cache {
    front: Box<[Cell<Entry>]>,
    all: RefCell<BTreeMap<u64, Entry>>,
}

impl Cache {
    pub(super) fn new() -> Self {
        let front = std::iter::repeat_with(|| Cell::new(Entry::EMPTY))
            .take(FRONT)
            .collect();
        Self {
            front,
            all: RefCell::default(),
        }
    }

    /// The instruction at `address`, if it is known and starts with the bytes in `window`.
    #[inline]
    pub(super) fn get(&self, address: u64, window: u128) -> Option<Entry> {
        let front = &self.front[place(address)];
        let entry = front.get();
        if entry.is_at(address, window) {
            return Some(entry);
        }
        let known = self.all.borrow().get(&address).copied()?;
        known.is_at(address, window).then(|| {
            front.set(known);
            known
        })
    }

    pub(super) fn insert(&self, entry: Entry) {
        self.front[place(entry.address)].set(entry);
        self.all.borrow_mut().insert(entry.address, entry);
    }

    /// The code in `range` is gone.
    pub(super) fn forget(&self, range: &Range<u64>) {
        for front in &self.front {
            if range.contains(&front.get().address) {
                front.set(Entry::EMPTY);
            }
        }
        self.all
            .borrow_mut()
            .retain(|address, _| !range.contains(address));
    }

    pub(super) fn clear(&self) {
        self.front.iter().for_each(|front| front.set(Entry::EMPTY));
        self.all.borrow_mut().clear();
    }
}

/// Neighbouring instructions get different places, whatever the distance of their images.
fn place(address: u64) -> usize {
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize % FRONT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: u64, bytes: u128, length: u8) -> Entry {
        Entry {
            address,
            bytes,
            length,
            operation: Operation::Halt,
        }
    }

    #[test]
    fn an_entry_is_found_by_address_and_bytes() {
        let cache = Cache::new();
        cache.insert(entry(0x1000, 0x22_11, 2));
        assert!(cache.get(0x1000, 0x99_22_11).is_some());
        assert!(cache.get(0x1000, 0x99_23_11).is_none());
        assert!(cache.get(0x1001, 0x99_22_11).is_none());
    }

    #[test]
    fn more_entries_than_the_front_has_are_kept() {
        let cache = Cache::new();
        let addresses = (0..4 * FRONT as u64).map(|number| 0x1000 + 3 * number);
        addresses
            .clone()
            .for_each(|address| cache.insert(entry(address, 0xEC, 1)));
        assert!(
            addresses
                .clone()
                .all(|address| cache.get(address, 0xEC).is_some())
        );
        cache.forget(&(0x1000..0x1003));
        assert!(cache.get(0x1000, 0xEC).is_none());
        assert!(cache.get(0x1003, 0xEC).is_some());
    }

    #[test]
    fn an_instruction_of_fifteen_bytes_is_compared_in_full() {
        let cache = Cache::new();
        let bytes = first(u128::MAX, 15);
        cache.insert(entry(0x1000, bytes, 15));
        assert!(cache.get(0x1000, u128::MAX).is_some());
        assert!(cache.get(0x1000, u128::MAX ^ (1 << 119)).is_none());
    }
}
