//! The IO-APIC: pins in, interrupt messages out.
//!
//! Sources: Intel 82093AA (290566-001), "I/O Redirection Table Registers"; Intel I/O Controller
//! Hub datasheets for the EOI register.
//!
//! Not modelled: the serial APIC bus and its arbitration; retries (a message that leaves is taken
//! as accepted, so a level-triggered one sent to nobody keeps its remote IRR bit).
//!
//! Invariants:
//! - Remote IRR is set only on pins whose entry is level-triggered.
//! - A pin's electrical level belongs to the wire, not to the chip: neither reset nor
//!   reprogramming changes it.

mod registers;
pub mod spec;

#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use crate::message::InterruptMessage;
use crate::wire::{Level, Trigger, Vector};
use spec::{DEFAULT_PINS, IMPLEMENTED, MAX_PINS, READ_ONLY, RedirectionEntry};

/// A message and the pin that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageOut {
    /// The pin.
    pub pin: u8,
    /// What goes to the local APICs.
    pub message: InterruptMessage,
}

/// An IO-APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    id: u8,
    /// The register that the window shows.
    selected: u8,
    pins: Vec<Pin>,
    /// Pins whose remote IRR bit is set, one bit each.
    awaiting: [u64; 4],
}

/// One input pin and its redirection entry. Remote IRR is not kept here but in `awaiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pin {
    entry: RedirectionEntry,
    level: Level,
}

impl Pin {
    fn is_active(self) -> bool {
        self.level == self.entry.polarity().asserted()
    }
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new(0, DEFAULT_PINS)
    }
}

impl IoApic {
    /// An IO-APIC after reset: every pin masked and low. `pins` is taken into 1..=240.
    ///
    /// The window reaches 120 pins; those above have only [`IoApic::set_entry`].
    #[must_use]
    pub fn new(id: u8, pins: u8) -> Self {
        let pin = Pin {
            entry: RedirectionEntry::new().with_masked(true),
            level: Level::Low,
        };
        Self {
            id: id & 0xF,
            selected: 0,
            pins: vec![pin; usize::from(pins.clamp(1, MAX_PINS))],
            awaiting: [0; 4],
        }
    }

    /// Back to the state after reset. The ID and the levels at the pins stay.
    pub fn reset(&mut self) {
        let fresh = Self::new(self.id, self.pin_count());
        let pins = core::mem::replace(self, fresh).pins;
        for (pin, before) in self.pins.iter_mut().zip(pins) {
            pin.level = before.level;
        }
    }

    /// How many pins there are.
    #[must_use]
    pub fn pin_count(&self) -> u8 {
        // At most 240 by construction.
        self.pins.len() as u8
    }

    /// Drives a pin and returns the message that leaves the chip, if any.
    ///
    /// An edge on a masked pin is lost ("Interrupt Mask": edge-sensitive interrupts signalled on
    /// a masked pin are ignored, that is, not delivered or held pending). A level is kept and is
    /// looked at again by [`IoApic::set_entry`] and [`IoApic::end_of_interrupt`]. A pin that does
    /// not exist ignores it.
    #[inline]
    #[must_use = "a message dropped here never reaches a processor"]
    pub fn drive(&mut self, pin: u8, level: Level) -> Option<MessageOut> {
        let state = self.pins.get_mut(usize::from(pin))?;
        let was_active = state.is_active();
        state.level = level;
        let state = *state;
        match state.entry.trigger() {
            Trigger::Edge => (!was_active && state.is_active() && !state.entry.masked())
                .then(|| message(pin, state.entry)),
            Trigger::Level => self.offer_level(pin),
        }
    }

    /// The electrical level at a pin, low for one that does not exist.
    #[must_use]
    pub fn level(&self, pin: u8) -> Level {
        self.pins
            .get(usize::from(pin))
            .map_or(Level::Low, |pin| pin.level)
    }

    /// The redirection entry of a pin.
    #[must_use]
    pub fn entry(&self, pin: u8) -> Option<RedirectionEntry> {
        let state = self.pins.get(usize::from(pin))?;
        Some(state.entry.with_remote_irr(self.is_awaiting(pin)))
    }

    /// Writes the redirection entry of a pin, all 64 bits at once.
    ///
    /// Read-only bits are ignored. An active level on a pin that is not masked now is delivered,
    /// unless one still awaits its EOI. An entry that becomes edge-triggered forgets that. A
    /// change of polarity is no edge: edges happen on the wire.
    #[must_use = "a message dropped here never reaches a processor"]
    pub fn set_entry(&mut self, pin: u8, entry: RedirectionEntry) -> Option<MessageOut> {
        let state = self.pins.get_mut(usize::from(pin))?;
        state.entry = RedirectionEntry::from_bits(entry.into_bits() & IMPLEMENTED & !READ_ONLY);
        if entry.trigger() == Trigger::Edge {
            self.set_awaiting(pin, false);
        }
        self.offer_level(pin)
    }

    /// Masks or unmasks a pin and leaves the rest of its entry alone.
    #[must_use = "a message dropped here never reaches a processor"]
    pub fn set_mask(&mut self, pin: u8, masked: bool) -> Option<MessageOut> {
        let entry = self.pins.get(usize::from(pin))?.entry;
        self.set_entry(pin, entry.with_masked(masked))
    }

    /// A local APIC ended `vector`: every pin that sent it may send again.
    ///
    /// Returns the messages of pins whose level is still active, in the order of the pins. Does
    /// not allocate unless there are such.
    #[must_use = "a message dropped here never reaches a processor"]
    pub fn end_of_interrupt(&mut self, vector: Vector) -> Vec<MessageOut> {
        let mut again = Vec::new();
        for word in 0..self.awaiting.len() {
            let mut rest = self.awaiting[word];
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                let pin = word as u8 * 64 + bit as u8;
                if self.pins[usize::from(pin)].entry.vector() == vector.0 {
                    self.set_awaiting(pin, false);
                    again.extend(self.offer_level(pin));
                }
            }
        }
        again
    }

    fn offer_level(&mut self, pin: u8) -> Option<MessageOut> {
        let state = *self.pins.get(usize::from(pin))?;
        let entry = state.entry;
        if entry.trigger() == Trigger::Edge
            || entry.masked()
            || !state.is_active()
            || self.is_awaiting(pin)
        {
            return None;
        }
        self.set_awaiting(pin, true);
        Some(message(pin, entry))
    }

    const fn is_awaiting(&self, pin: u8) -> bool {
        self.awaiting[(pin >> 6) as usize] & 1 << (pin & 63) != 0
    }

    const fn set_awaiting(&mut self, pin: u8, awaiting: bool) {
        let word = &mut self.awaiting[(pin >> 6) as usize];
        *word = *word & !(1 << (pin & 63)) | (awaiting as u64) << (pin & 63);
    }
}

fn message(pin: u8, entry: RedirectionEntry) -> MessageOut {
    let message = InterruptMessage {
        wide_destination: None,
        destination: entry.destination(),
        destination_mode: entry.destination_mode(),
        redirection_hint: false,
        delivery: entry.delivery(),
        vector: Vector(entry.vector()),
        trigger: entry.trigger(),
    };
    MessageOut { pin, message }
}
