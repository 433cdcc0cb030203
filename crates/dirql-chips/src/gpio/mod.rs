//! `gpio`: a controller of pins that interrupt.
//!
//! Each pin that is enabled asserts an interrupt source from the moment at which its edge or level
//! was there until software clears its status. The sources are lines of their own, or all are one
//! line. Where such a controller sits on a slow bus its registers can only be reached at
//! PASSIVE_LEVEL, and so drivers of what is on its pins get passive-level interrupts. Source of
//! the need: WDK, "Handling Passive-Level Interrupts". The registers are our own, see [`spec`].

pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use spec::{IDENTIFICATION, MAX_PINS, WINDOW, register};

/// How pins and interrupt sources belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// Pin n asserts source n.
    Each,
    /// Every pin asserts source 0.
    Shared,
}

/// The controller. Bit n of each register is pin n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpio {
    pins: u8,
    wiring: Wiring,
    /// What the world outside drives.
    inputs: u32,
    direction: u32,
    output: u32,
    enabled: u32,
    trigger: u32,
    active: u32,
    both: u32,
    status: u32,
    /// The levels when they were last looked at.
    levels: u32,
    /// Sources that are asserted.
    asserted: u32,
}

impl Gpio {
    /// A controller of so many pins, taken into 1..=32; all are inputs and low.
    #[must_use]
    pub fn new(pins: u8, wiring: Wiring) -> Self {
        Self {
            pins: pins.clamp(1, MAX_PINS),
            wiring,
            inputs: 0,
            direction: 0,
            output: 0,
            enabled: 0,
            trigger: 0,
            active: 0,
            both: 0,
            status: 0,
            levels: 0,
            asserted: 0,
        }
    }

    /// Bits of the pins that exist.
    const fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.pins)
    }

    /// Looks at the pins again after something changed.
    fn update(&mut self, out: &mut Effects) {
        let levels = self.inputs & !self.direction | self.output & self.direction;
        let before = core::mem::replace(&mut self.levels, levels);
        let (rising, falling) = (levels & !before, before & !levels);
        let edges = rising & (self.active | self.both) | falling & (!self.active | self.both);
        let active_levels = !(levels ^ self.active);
        let happened = edges & !self.trigger | active_levels & self.trigger;
        self.status |= happened & self.mask();
        self.drive(self.status & self.enabled, out);
    }

    fn drive(&mut self, pins: u32, out: &mut Effects) {
        let asserted = match self.wiring {
            Wiring::Each => pins,
            Wiring::Shared => u32::from(pins != 0),
        };
        let before = core::mem::replace(&mut self.asserted, asserted);
        for source in 0..u16::from(self.pins) {
            if (before ^ asserted) >> source & 1 != 0 {
                let high = asserted >> source & 1 != 0;
                let level = if high { Level::High } else { Level::Low };
                out.push(Effect::Interrupt { source, level });
            }
        }
    }

    fn set_input(&mut self, pin: u16, high: bool, out: &mut Effects) {
        let bit = 1 << pin;
        self.inputs = if high {
            self.inputs | bit
        } else {
            self.inputs & !bit
        };
        self.update(out);
    }
}

impl Device for Gpio {
    fn model(&self) -> &'static str {
        "gpio"
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, _out: &mut Effects) -> u64 {
        if region != Region(0) || width != Width::U32 || offset >= WINDOW {
            return width.ones();
        }
        let value = match offset {
            register::IDENTIFICATION => IDENTIFICATION,
            register::PINS => self.pins.into(),
            register::LEVELS => self.levels,
            register::DIRECTION => self.direction,
            register::OUTPUT => self.output,
            register::ENABLED => self.enabled,
            register::TRIGGER => self.trigger,
            register::ACTIVE => self.active,
            register::BOTH => self.both,
            register::STATUS => self.status,
            _ => u32::MAX,
        };
        value.into()
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        if region != Region(0) || width != Width::U32 {
            return;
        }
        let value = value as u32 & self.mask();
        match offset {
            register::DIRECTION => self.direction = value,
            register::OUTPUT => self.output = value,
            register::ENABLED => self.enabled = value,
            register::TRIGGER => self.trigger = value,
            register::ACTIVE => self.active = value,
            register::BOTH => self.both = value,
            register::STATUS => self.status &= !value,
            _ => return,
        }
        self.update(out);
    }

    /// [`Stimulus::Press`] and [`Stimulus::Release`] are pin 0. [`Stimulus::Interrupt`] is a
    /// glitch of that pin: to the other level and back.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        match *stimulus {
            Stimulus::Press => self.set_input(0, true, out),
            Stimulus::Release => self.set_input(0, false, out),
            Stimulus::Pin { pin, level } if pin < u16::from(self.pins) => {
                self.set_input(pin, level == Level::High, out);
            }
            Stimulus::Interrupt(pin) if pin < u16::from(self.pins) => {
                let high = self.inputs >> pin & 1 != 0;
                self.set_input(pin, !high, out);
                self.set_input(pin, high, out);
            }
            _ => return false,
        }
        true
    }

    /// What the world outside drives stays.
    fn reset(&mut self, out: &mut Effects) {
        self.drive(0, out);
        *self = Self {
            inputs: self.inputs,
            levels: self.inputs,
            ..Self::new(self.pins, self.wiring)
        };
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}
