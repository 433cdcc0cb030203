//! A device of registers that somebody describes: for hardware that has no model.
//!
//! A register has a reset value, bits that software cannot change, bits that a write of ones
//! clears, and bits that a read clears. A write, or a read, can have consequences in other
//! registers, at once or after a delay. An interrupt source is asserted while bits of a register
//! are set, perhaps only those that are set in another one, too.
//!
//! Not modelled: DMA, and anything that depends on more than the register that is accessed.

mod text;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;

pub use text::DescriptionError;

/// What such a device is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    registers: Vec<Register>,
    consequences: Vec<Consequence>,
    sources: Vec<Source>,
}

/// A register.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Register {
    region: Region,
    offset: u64,
    width: Width,
    reset: u64,
    /// Bits that software does not change.
    read_only: u64,
    /// Bits that a write of ones clears, and a write of zeros leaves.
    clear_by_one: u64,
    /// Bits that are zero after a read.
    clear_by_read: u64,
}

/// What an access leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Consequence {
    /// The register that is accessed.
    of: usize,
    trigger: Trigger,
    after_100ns: u64,
    /// The register that changes, the bits that become one, and those that become zero.
    changes: usize,
    set: u64,
    clear: u64,
}

/// Which accesses have consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Read,
    /// A write with any of these bits; of anything if there are none.
    Write(u64),
}

/// When an interrupt source is asserted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    register: usize,
    bits: u64,
    enable: Option<usize>,
}

/// The device.
#[derive(Clone, Debug)]
pub struct Registers {
    layout: Layout,
    values: Vec<u64>,
    asserted: Vec<bool>,
}

impl Registers {
    /// The device after reset.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let values = layout.registers.iter().map(|register| register.reset);
        Self {
            values: values.collect(),
            // What is asserted from the beginning is told with the first access.
            asserted: vec![false; layout.sources.len()],
            layout,
        }
    }

    /// How many sources of interrupts it has, 1 or more.
    #[must_use]
    pub fn sources(&self) -> u16 {
        // There are fewer than `text::MOST`.
        self.layout.sources.len().max(1) as u16
    }

    fn find(&self, region: Region, offset: u64, width: Width) -> Option<usize> {
        self.layout.registers.iter().position(|register| {
            register.region == region && register.offset == offset && register.width == width
        })
    }

    fn follow(&mut self, index: usize, is_it: impl Fn(Trigger) -> bool, out: &mut Effects) {
        for number in 0..self.layout.consequences.len() {
            let consequence = &self.layout.consequences[number];
            if consequence.of != index || !is_it(consequence.trigger) {
                continue;
            }
            match consequence.after_100ns {
                0 => self.carry_out(number),
                after_100ns => out.push(Effect::Timer {
                    after_100ns,
                    // There are fewer than `text::MOST`.
                    token: number as u32,
                }),
            }
        }
    }

    fn carry_out(&mut self, number: usize) {
        let Some(consequence) = self.layout.consequences.get(number) else {
            return;
        };
        if let Some(value) = self.values.get_mut(consequence.changes) {
            *value = *value & !consequence.clear | consequence.set;
        }
    }

    /// Says which sources are asserted now and were not, and the reverse.
    fn drive(&mut self, out: &mut Effects) {
        for (number, source) in self.layout.sources.iter().enumerate() {
            let mut bits = self.values[source.register] & source.bits;
            if let Some(enable) = source.enable {
                bits &= self.values[enable];
            }
            if (bits != 0) != self.asserted[number] {
                self.asserted[number] = bits != 0;
                out.push(Effect::Interrupt {
                    source: number as u16,
                    level: if bits != 0 { Level::High } else { Level::Low },
                });
            }
        }
    }
}

impl Device for Registers {
    fn model(&self) -> &'static str {
        "registers"
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, out: &mut Effects) -> u64 {
        let Some(index) = self.find(region, offset, width) else {
            return width.ones();
        };
        let value = self.values[index];
        self.values[index] &= !self.layout.registers[index].clear_by_read;
        self.follow(index, |trigger| trigger == Trigger::Read, out);
        self.drive(out);
        value
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        let Some(index) = self.find(region, offset, width) else {
            return;
        };
        let value = value & width.ones();
        let register = &self.layout.registers[index];
        let kept = register.read_only | register.clear_by_one;
        let old = self.values[index];
        self.values[index] = old & kept & !(value & register.clear_by_one) | value & !kept;
        self.follow(
            index,
            |trigger| matches!(trigger, Trigger::Write(bits) if bits == 0 || value & bits != 0),
            out,
        );
        self.drive(out);
    }

    fn timer(&mut self, token: u32, out: &mut Effects) {
        self.carry_out(token as usize);
        self.drive(out);
    }

    /// [`Stimulus::Interrupt`]: an interrupt without a cause.
    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        let Stimulus::Interrupt(source) = *stimulus else {
            return false;
        };
        if source >= self.sources() {
            return false;
        }
        let level = |level| Effect::Interrupt { source, level };
        out.push(level(Level::High));
        if !self
            .asserted
            .get(usize::from(source))
            .is_some_and(|asserted| *asserted)
        {
            out.push(level(Level::Low));
        }
        true
    }

    fn reset(&mut self, out: &mut Effects) {
        for (source, asserted) in self.asserted.iter().enumerate() {
            if *asserted {
                out.push(Effect::Interrupt {
                    source: source as u16,
                    level: Level::Low,
                });
            }
        }
        *self = Self::new(core::mem::take(&mut self.layout));
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}
