//! The MSI capability.
//!
//! Source: PCI Local Bus Specification 3.0, "MSI Capability Structure".
//!
//! Invariant: all state is in configuration space; this is where it lies and what it means.

use super::config::Config;
use super::spec::{capability, msi};
use crate::device::Width;
use crate::wire::MessageWrite;

/// What a function's MSI capability offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiOffer {
    /// How many messages: 1, 2, 4, 8, 16 or 32.
    pub messages: u8,
    /// The address register has 64 bits.
    pub address_64: bool,
    /// There are mask and pending bits.
    pub per_vector_mask: bool,
}

/// An installed MSI capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msi {
    at: u16,
    offer: MsiOffer,
}

impl Msi {
    /// Whether `offer` can be.
    pub(super) const fn is_valid(offer: MsiOffer) -> bool {
        offer.messages.is_power_of_two() && offer.messages <= 32
    }

    /// Bytes of the capability.
    pub(super) const fn length(offer: MsiOffer) -> u16 {
        let address = if offer.address_64 { 4 } else { 0 };
        let mask = if offer.per_vector_mask { 10 } else { 0 };
        10 + address + mask
    }

    pub(super) fn install(config: &mut Config, at: u16, offer: MsiOffer) -> Self {
        let capable = offer.messages.trailing_zeros() as u16;
        let mut control = capable << msi::CAPABLE_SHIFT;
        if offer.address_64 {
            control |= msi::ADDRESS_64;
        }
        if offer.per_vector_mask {
            control |= msi::PER_VECTOR_MASK;
        }
        let this = Self { at, offer };
        config.set(at, Width::U8, capability::MSI.into());
        config.set(at + 2, Width::U16, control.into());
        let writable = msi::ENABLE | msi::COUNT_MASK << msi::ENABLED_SHIFT;
        config.set_writable(at + 2, Width::U16, writable.into());
        // "The lower two bits are always zero": messages are aligned to 4 bytes.
        config.set_writable(at + 4, Width::U32, 0xFFFF_FFFC);
        if offer.address_64 {
            config.set_writable(at + 8, Width::U32, 0xFFFF_FFFF);
        }
        config.set_writable(this.data(), Width::U16, 0xFFFF);
        if offer.per_vector_mask {
            let bits = u32::MAX >> (32 - offer.messages);
            config.set_writable(this.mask(), Width::U32, bits.into());
        }
        this
    }

    pub(super) fn is_enabled(&self, config: &Config) -> bool {
        self.control(config) & msi::ENABLE != 0
    }

    /// How many messages the function was given; never more than it offered.
    pub(super) fn granted(&self, config: &Config) -> u8 {
        let log2 = self.control(config) >> msi::ENABLED_SHIFT & msi::COUNT_MASK;
        // 6 and 7 are reserved encodings.
        (1u8 << log2.min(5)).min(self.offer.messages)
    }

    /// Which message a source sends: its own, or message 0 if the function was given fewer.
    pub(super) fn message_of(&self, config: &Config, source: u16) -> u8 {
        match u8::try_from(source) {
            Ok(message) if message < self.granted(config) => message,
            _ => 0,
        }
    }

    /// The write that sends `message`, or `None` and its pending bit if it is masked.
    pub(super) fn trigger(&self, config: &mut Config, message: u8) -> Option<MessageWrite> {
        if self.offer.per_vector_mask && config.read32(self.mask()) >> message & 1 != 0 {
            let pending = config.read32(self.pending()) | 1 << message;
            config.set(self.pending(), Width::U32, pending.into());
            return None;
        }
        Some(self.write_of(config, message))
    }

    /// The condition behind `message` went away before it could be sent.
    pub(super) fn withdraw(&self, config: &mut Config, message: u8) {
        if self.offer.per_vector_mask {
            let pending = config.read32(self.pending()) & !(1 << message);
            config.set(self.pending(), Width::U32, pending.into());
        }
    }

    /// The first message that is pending and not masked any more; its pending bit is cleared.
    pub(super) fn take_pending(&self, config: &mut Config) -> Option<(u16, MessageWrite)> {
        if !self.offer.per_vector_mask || !self.is_enabled(config) {
            return None;
        }
        let ready = config.read32(self.pending()) & !config.read32(self.mask());
        let message = ready.trailing_zeros() as u8;
        if ready == 0 {
            return None;
        }
        self.withdraw(config, message);
        Some((message.into(), self.write_of(config, message)))
    }

    /// The address, and the data with the message's number in its low bits.
    fn write_of(&self, config: &Config, message: u8) -> MessageWrite {
        let width = if self.offer.address_64 {
            Width::U64
        } else {
            Width::U32
        };
        let low_bits = u32::from(self.granted(config)) - 1;
        let data = u32::from(config.read16(self.data()));
        MessageWrite {
            address: config.read(self.at + 4, width),
            data: data & !low_bits | u32::from(message) & low_bits,
        }
    }

    fn control(&self, config: &Config) -> u16 {
        config.read16(self.at + 2)
    }

    const fn data(&self) -> u16 {
        self.at + if self.offer.address_64 { 0x0C } else { 0x08 }
    }

    const fn mask(&self) -> u16 {
        self.data() + 4
    }

    const fn pending(&self) -> u16 {
        self.data() + 8
    }
}
