//! Interrupts that start in the local APIC itself: its two pins, its LVT and its errors.
//!
//! Sources: Intel SDM volume 3, "Local Vector Table", "Error Handling".

use super::spec::{Lvt, error};
use super::{Lapic, Reception};
use crate::message::{DeliveryMode, InterruptMessage};
use crate::wire::{Level, Polarity, Trigger, Vector};

/// An input pin of a local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LocalPin {
    /// LINT0: on a PC the output of the 8259 pair.
    Lint0 = 0,
    /// LINT1: on a PC the NMI line.
    Lint1 = 1,
}

impl LocalPin {
    const ALL: [Self; 2] = [Self::Lint0, Self::Lint1];

    const fn lvt(self) -> Lvt {
        match self {
            Self::Lint0 => Lvt::Lint0,
            Self::Lint1 => Lvt::Lint1,
        }
    }
}

impl Lapic {
    /// Drives a pin. Returns what this does to the processor, if anything.
    ///
    /// ExtINT is a level, not an event: ask [`Lapic::wants_ext_int`].
    pub fn drive(&mut self, pin: LocalPin, level: Level) -> Option<Reception> {
        let was_active = self.is_active(pin);
        self.pins[pin as usize] = level;
        if !self.is_active(pin) {
            return None;
        }
        if self.is_level(pin) {
            self.offer_level(pin)
        } else if !was_active {
            self.fire(pin.lvt())
        } else {
            None
        }
    }

    /// Whether an 8259-compatible controller asks for the processor through a pin.
    #[must_use]
    pub fn wants_ext_int(&self) -> bool {
        LocalPin::ALL.into_iter().any(|pin| {
            let entry = self.lvt[pin.lvt() as usize];
            entry.delivery() == DeliveryMode::ExtInt && !entry.masked() && self.is_active(pin)
        })
    }

    /// Lets an LVT entry fire: performance counter overflow, thermal sensor.
    pub fn fire(&mut self, lvt: Lvt) -> Option<Reception> {
        let entry = self.lvt[lvt as usize];
        if entry.masked() || entry.delivery() == DeliveryMode::ExtInt {
            return None;
        }
        let message = InterruptMessage {
            delivery: entry.delivery(),
            trigger: self.trigger_of(lvt),
            ..InterruptMessage::fixed(self.id, Vector(entry.vector()))
        };
        Some(self.receive(message))
    }

    /// A level at a pin is delivered once, and again after each EOI while it lasts.
    pub(super) fn offer_level(&mut self, pin: LocalPin) -> Option<Reception> {
        let entry = self.lvt[pin.lvt() as usize];
        if !self.is_level(pin) || !self.is_active(pin) || entry.masked() || entry.remote_irr() {
            return None;
        }
        self.lvt[pin.lvt() as usize].set_remote_irr(true);
        self.fire(pin.lvt())
    }

    pub(super) fn offer_levels(&mut self) {
        for pin in LocalPin::ALL {
            let _ = self.offer_level(pin);
        }
    }

    pub(super) fn end_local_level(&mut self, vector: Vector) {
        for pin in LocalPin::ALL {
            let entry = &mut self.lvt[pin.lvt() as usize];
            if entry.vector() == vector.0 && entry.remote_irr() {
                entry.set_remote_irr(false);
                let _ = self.offer_level(pin);
            }
        }
    }

    /// Records an error; its LVT entry fires when the error is new.
    pub(super) fn record_error(&mut self, bit: u8) {
        let is_new = self.errors & bit == 0;
        self.errors |= bit;
        let entry = self.lvt[Lvt::Error as usize];
        if !is_new || entry.masked() {
            return;
        }
        if entry.vector() < 0x10 {
            self.errors |= error::RECEIVE_ILLEGAL_VECTOR;
        } else if self.is_enabled() {
            let _ = self.request(Vector(entry.vector()), Trigger::Edge);
        }
    }

    fn is_active(&self, pin: LocalPin) -> bool {
        let polarity = Polarity::from_bits(u8::from(self.lvt[pin.lvt() as usize].active_low()));
        self.pins[pin as usize] == polarity.asserted()
    }

    /// Only LINT0 in fixed mode can be level-triggered.
    fn is_level(&self, pin: LocalPin) -> bool {
        self.trigger_of(pin.lvt()) == Trigger::Level
    }

    fn trigger_of(&self, lvt: Lvt) -> Trigger {
        let entry = self.lvt[lvt as usize];
        if lvt == Lvt::Lint0 && entry.delivery() == DeliveryMode::Fixed {
            entry.trigger()
        } else {
            Trigger::Edge
        }
    }
}
