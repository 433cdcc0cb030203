//! What a function is made of, beside its device.

use alloc::vec::Vec;
use core::fmt;

use super::bar::{Bar, BarError, Bars, Space};
use super::config::Config;
use super::msi::{Msi, MsiOffer};
use super::msix::{Msix, MsixOffer};
use super::spec::{command, msix, offset, status};
use crate::device::Width;

/// Who a function says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class code, 24 bits: base class, subclass, programming interface.
    pub class: u32,
    /// Subsystem vendor ID.
    pub subsystem_vendor: u16,
    /// Subsystem ID.
    pub subsystem: u16,
}

/// One of the four interrupt pins of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IntPin {
    /// INTA#.
    A = 1,
    /// INTB#.
    B = 2,
    /// INTC#.
    C = 3,
    /// INTD#.
    D = 4,
}

/// What a function is made of, beside its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Who it says it is.
    pub identity: Identity,
    /// Its base address registers, by number.
    pub bars: Vec<(u8, Bar)>,
    /// The pin it interrupts with.
    pub pin: Option<IntPin>,
    /// Messages.
    pub msi: Option<MsiOffer>,
    /// Messages by a table.
    pub msix: Option<MsixOffer>,
}

/// Why a description cannot be a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// A base address register.
    Bar(BarError),
    /// The MSI capability does not offer 1, 2, 4, 8, 16 or 32 messages.
    MsiCount {
        /// What it offers.
        messages: u8,
    },
    /// The MSI-X capability does not offer 1..=2048 messages.
    MsixCount {
        /// What it offers.
        messages: u16,
    },
    /// The MSI-X table or its pending bits are not in a memory window, or overlap.
    MsixPlace,
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(error) => error.fmt(f),
            Self::MsiCount { messages } => {
                write!(
                    f,
                    "MSI cannot offer {messages} messages, only 1, 2, 4, 8, 16 or 32"
                )
            }
            Self::MsixCount { messages } => {
                write!(f, "MSI-X cannot offer {messages} messages, only 1 to 2048")
            }
            Self::MsixPlace => {
                f.write_str("the MSI-X table and pending bits are not apart in memory windows")
            }
        }
    }
}

impl core::error::Error for DescriptionError {}

impl From<BarError> for DescriptionError {
    fn from(error: BarError) -> Self {
        Self::Bar(error)
    }
}

/// A description that configuration space can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) description: Description,
    pub(super) bars: Bars,
}

impl Layout {
    pub(super) fn new(description: Description) -> Result<Self, DescriptionError> {
        let bars = Bars::new(&description.bars)?;
        if let Some(offer) = description.msi
            && !Msi::is_valid(offer)
        {
            return Err(DescriptionError::MsiCount {
                messages: offer.messages,
            });
        }
        if let Some(offer) = description.msix {
            check_msix(&bars, offer)?;
        }
        Ok(Self { description, bars })
    }

    /// Configuration space after power-up, and its capabilities.
    pub(super) fn power_up(&self) -> (Config, Option<Msi>, Option<Msix>) {
        let mut config = self.header();
        self.bars.install(&mut config);
        let (mut pointer, mut at) = (offset::CAPABILITIES, offset::FIRST_CAPABILITY);
        let mut link = |config: &mut Config, length: u16| {
            config.set(pointer, Width::U8, at.into());
            config.set(offset::STATUS, Width::U16, status::CAPABILITIES.into());
            let here = at;
            pointer = here + 1;
            at = (here + length).next_multiple_of(4);
            here
        };
        let msi = self.description.msi.map(|offer| {
            let at = link(&mut config, Msi::length(offer));
            Msi::install(&mut config, at, offer)
        });
        let msix = self.description.msix.map(|offer| {
            let at = link(&mut config, Msix::LENGTH);
            Msix::install(&mut config, at, offer)
        });
        (config, msi, msix)
    }

    fn header(&self) -> Config {
        let (mut config, identity) = (Config::new(), &self.description.identity);
        for (at, value) in [
            (offset::VENDOR, identity.vendor),
            (offset::DEVICE, identity.device),
            (offset::SUBSYSTEM_VENDOR, identity.subsystem_vendor),
            (offset::SUBSYSTEM, identity.subsystem),
        ] {
            config.set(at, Width::U16, value.into());
        }
        let class = identity.class << 8 | u32::from(identity.revision);
        config.set(offset::REVISION, Width::U32, class.into());
        let pin = self.description.pin.map_or(0, |pin| pin as u8);
        config.set(offset::INTERRUPT_PIN, Width::U8, pin.into());
        config.set_writable(offset::COMMAND, Width::U16, command::WRITABLE.into());
        config.set_writable(offset::CACHE_LINE, Width::U8, 0xFF);
        config.set_writable(offset::INTERRUPT_LINE, Width::U8, 0xFF);
        config
    }
}

/// Both structures are inside memory windows, aligned, and do not overlap.
fn check_msix(bars: &Bars, offer: MsixOffer) -> Result<(), DescriptionError> {
    if !(1..=msix::MAX_ENTRIES).contains(&offer.messages) {
        return Err(DescriptionError::MsixCount {
            messages: offer.messages,
        });
    }
    let (table, pending) = (
        u64::from(offer.table_offset),
        u64::from(offer.pending_offset),
    );
    let (table_end, pending_end) = (table + offer.table_size(), pending + offer.pending_size());
    let fits = |bar: u8, begin: u64, end: u64| {
        bars.get(bar).is_some_and(|bar| {
            bar.space() == Space::Memory && begin.is_multiple_of(8) && end <= bar.size()
        })
    };
    let apart =
        offer.table_bar != offer.pending_bar || table_end <= pending || pending_end <= table;
    if fits(offer.table_bar, table, table_end)
        && fits(offer.pending_bar, pending, pending_end)
        && apart
    {
        Ok(())
    } else {
        Err(DescriptionError::MsixPlace)
    }
}
