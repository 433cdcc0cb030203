//! Base address registers: what a function asks for, and what it was given.

use core::fmt;

use super::config::Config;
use super::spec::{bar, offset};
use crate::device::Width;

/// What a function's base address register asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Memory below 4 GiB; `size` is a power of two, 16 bytes to 2 GiB.
    Memory32 {
        /// Bytes.
        size: u32,
        /// Reading has no side effects.
        prefetchable: bool,
    },
    /// Memory anywhere; takes the next register too. `size` is a power of two from 16 bytes.
    Memory64 {
        /// Bytes.
        size: u64,
        /// Reading has no side effects.
        prefetchable: bool,
    },
    /// Ports; `size` is a power of two, 4 to 256 ports.
    Io {
        /// Ports.
        size: u32,
    },
}

/// An address space that windows are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Physical memory addresses.
    Memory,
    /// Port numbers.
    Port,
}

/// Where a base address register is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Which register, 0..=5; the lower one of a 64-bit pair.
    pub bar: u8,
    /// In which address space.
    pub space: Space,
    /// First address.
    pub base: u64,
    /// How many addresses.
    pub size: u64,
}

impl Window {
    /// The offset of `address` in this window.
    #[must_use]
    pub fn offset_of(&self, space: Space, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.base)?;
        (space == self.space && offset < self.size).then_some(offset)
    }
}

/// Why a set of base address registers cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarError {
    /// There are six.
    Index {
        /// The register asked for.
        index: u8,
    },
    /// The size is not a power of two in the range of its kind.
    Size {
        /// The register.
        index: u8,
        /// The size asked for.
        size: u64,
    },
    /// Two registers overlap: the upper half of a 64-bit one is used.
    Taken {
        /// The register.
        index: u8,
    },
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index { index } => write!(f, "base address register {index} is not 0..=5"),
            Self::Size { index, size } => {
                write!(
                    f,
                    "base address register {index} cannot have size {size:#x}"
                )
            }
            Self::Taken { index } => write!(f, "base address register {index} is used twice"),
        }
    }
}

impl core::error::Error for BarError {}

impl Bar {
    /// How many addresses it asks for.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match *self {
            Self::Memory32 { size, .. } | Self::Io { size } => size as u64,
            Self::Memory64 { size, .. } => size,
        }
    }

    /// Which address space it is in.
    #[must_use]
    pub const fn space(&self) -> Space {
        match self {
            Self::Memory32 { .. } | Self::Memory64 { .. } => Space::Memory,
            Self::Io { .. } => Space::Port,
        }
    }

    /// Whether it takes two registers.
    #[must_use]
    pub const fn is_64_bit(&self) -> bool {
        matches!(self, Self::Memory64 { .. })
    }

    const fn is_valid(&self) -> bool {
        let size = self.size();
        size.is_power_of_two()
            && match self {
                Self::Io { .. } => size >= 4 && size <= 256,
                Self::Memory32 { .. } | Self::Memory64 { .. } => size >= 16,
            }
    }

    /// The read-only low bits.
    const fn flags(&self) -> u32 {
        match *self {
            Self::Io { .. } => bar::IO,
            Self::Memory32 { prefetchable, .. } => {
                if prefetchable {
                    bar::PREFETCHABLE
                } else {
                    0
                }
            }
            Self::Memory64 { prefetchable, .. } => {
                bar::MEMORY_64 | if prefetchable { bar::PREFETCHABLE } else { 0 }
            }
        }
    }
}

/// The six registers of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bars([Option<Bar>; 6]);

impl Bars {
    pub(super) fn new(wanted: &[(u8, Bar)]) -> Result<Self, BarError> {
        let (mut bars, mut taken) = (Self::default(), [false; 6]);
        for &(index, wanted) in wanted {
            let slot = bars
                .0
                .get_mut(usize::from(index))
                .ok_or(BarError::Index { index })?;
            if !wanted.is_valid() {
                return Err(BarError::Size {
                    index,
                    size: wanted.size(),
                });
            }
            let registers = if wanted.is_64_bit() { 2 } else { 1 };
            for register in index..index + registers {
                let taken = taken
                    .get_mut(usize::from(register))
                    .ok_or(BarError::Index { index: register })?;
                if core::mem::replace(taken, true) {
                    return Err(BarError::Taken { index: register });
                }
            }
            *slot = Some(wanted);
        }
        Ok(bars)
    }

    /// Fills in the registers' fixed bits. The rest is zero: no address was given yet.
    pub(super) fn install(&self, config: &mut Config) {
        for (register, bar) in self.iter() {
            config.set(register, Width::U32, bar.flags().into());
            let mask = !(bar.size() - 1);
            if bar.is_64_bit() {
                config.set_writable(register, Width::U64, mask);
            } else {
                config.set_writable(register, Width::U32, mask & 0xFFFF_FFFF);
            }
        }
    }

    pub(super) fn get(&self, index: u8) -> Option<Bar> {
        self.0.get(usize::from(index)).copied().flatten()
    }

    /// Where each register points, whether or not the command register lets it answer.
    /// Zero is "not given yet".
    pub(super) fn windows<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = Window> + 'a {
        self.iter().filter_map(|(register, bar)| {
            let raw = match bar {
                Bar::Memory64 { .. } => config.read(register, Width::U64),
                Bar::Memory32 { .. } | Bar::Io { .. } => config.read(register, Width::U32),
            };
            let base = raw & !(bar.size() - 1);
            let index = ((register - offset::BAR) / 4) as u8;
            (base != 0).then(|| Window {
                bar: index,
                space: bar.space(),
                base,
                size: bar.size(),
            })
        })
    }

    fn iter(&self) -> impl Iterator<Item = (u16, Bar)> + '_ {
        (offset::BAR..)
            .step_by(4)
            .zip(self.0)
            .filter_map(|(register, bar)| Some((register, bar?)))
    }
}
