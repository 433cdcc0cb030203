//! A set of vectors, as the local APIC's three 256-bit registers hold one.

use core::fmt;

use crate::wire::Vector;

/// 256 bits, one for each vector.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VectorSet {
    words: [u64; 4],
}

impl VectorSet {
    /// No vector.
    pub const EMPTY: Self = Self { words: [0; 4] };

    /// Whether `vector` is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(&self, vector: Vector) -> bool {
        self.words[(vector.0 >> 6) as usize] & 1 << (vector.0 & 63) != 0
    }

    /// Puts `vector` in.
    #[inline]
    pub const fn insert(&mut self, vector: Vector) {
        self.words[(vector.0 >> 6) as usize] |= 1 << (vector.0 & 63);
    }

    /// Takes `vector` out.
    #[inline]
    pub const fn remove(&mut self, vector: Vector) {
        self.words[(vector.0 >> 6) as usize] &= !(1 << (vector.0 & 63));
    }

    /// The highest vector in the set.
    #[inline]
    #[must_use]
    pub fn highest(&self) -> Option<Vector> {
        let word = (0u8..4)
            .rev()
            .find(|&word| self.words[usize::from(word)] != 0)?;
        let bit = 63 - self.words[usize::from(word)].leading_zeros() as u8;
        Some(Vector(word << 6 | bit))
    }

    /// The 32-bit register `index`, 0..=7, that holds vectors `32 * index` and up.
    #[must_use]
    pub const fn register(&self, index: u8) -> u32 {
        let index = index & 7;
        (self.words[(index >> 1) as usize] >> ((index & 1) * 32)) as u32
    }

    /// Every vector in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Vector> + '_ {
        (0..=u8::MAX)
            .map(Vector)
            .filter(|vector| self.contains(*vector))
    }
}

impl fmt::Debug for VectorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|vector| vector.0))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn register_words_are_32_vectors_each() {
        let mut set = VectorSet::EMPTY;
        for vector in [0, 31, 32, 63, 64, 255] {
            set.insert(Vector(vector));
        }
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7].map(|index| set.register(index)),
            [0x8000_0001, 0x8000_0001, 1, 0, 0, 0, 0, 0x8000_0000]
        );
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_set(steps: Vec<(bool, u8)>) {
            let (mut set, mut model) = (VectorSet::EMPTY, BTreeSet::new());
            for (insert, vector) in steps {
                if insert {
                    set.insert(Vector(vector));
                    model.insert(Vector(vector));
                } else {
                    set.remove(Vector(vector));
                    model.remove(&Vector(vector));
                }
                prop_assert_eq!(set.highest(), model.last().copied());
                prop_assert!(set.iter().eq(model.iter().copied()));
            }
        }
    }
}
