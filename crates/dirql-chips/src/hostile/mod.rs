//! A device that does what it likes: for drivers whose hardware nobody has described, and for
//! devices that are broken or meant to do harm.
//!
//! What it reads and when it interrupts comes from a seed and from the accesses so far, so that
//! the same run is the same again. It may stand in front of an honest device, which answers
//! whenever this one does not lie; the seed says how often it does.
//!
//! What it does not do: write to memory by itself. A device that may be a bus master and writes
//! anywhere does harm that no driver can keep away.

mod random;
pub mod spec;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::device::{Device, Effect, Effects, Region, Stimulus, Width};
use crate::wire::Level;
use random::Random;

/// Bit of a timer's token that says that it is this device's own, not the honest one's.
const OWN_TIMER: u32 = 1 << 31;

/// The longest delay after which it interrupts by itself: a millisecond, in units of 100 ns.
const LONGEST_DELAY: u64 = 10_000;

/// Registers that it remembers at most.
const MOST_REGISTERS: usize = 1024;

/// A device that lies, and interrupts when it likes.
#[derive(Clone, Debug)]
pub struct Hostile {
    seed: u64,
    sources: u16,
    /// One answer in so many is a lie.
    lies: u64,
    honest: Option<Box<dyn Device>>,
    random: Random,
    /// What was written where.
    written: BTreeMap<(Region, u64), u64>,
}

impl Hostile {
    /// A device with this many sources of interrupts, 1 or more. `honest` is what answers when it
    /// does not lie; without one it always does.
    #[must_use]
    pub fn new(seed: u64, sources: u16, honest: Option<Box<dyn Device>>) -> Self {
        let lies = match (&honest, seed % 4) {
            (None, _) | (_, 0) => 1,
            (_, 1) => 4,
            (_, 2) => 16,
            _ => 64,
        };
        Self {
            seed,
            sources: sources.max(1),
            lies,
            honest,
            random: Random::new(seed),
            written: BTreeMap::new(),
        }
    }

    /// What a register reads if it is a lie: the patterns that drivers trip over more often than
    /// numbers at random.
    fn lie(&mut self, register: (Region, u64), width: Width) -> u64 {
        let value = match self.random.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 | 3 => self.written.get(&register).copied().unwrap_or_default(),
            4 => 1 << self.random.below(8 * width.bytes()),
            5 => self.random.below(64),
            _ => self.random.next(),
        };
        value & width.ones()
    }

    /// A pulse on one of its sources, perhaps.
    fn perhaps_interrupt(&mut self, one_in: u64, out: &mut Effects) {
        if self.random.below(one_in) == 0 {
            let source = self.random.below(self.sources.into()) as u16;
            pulse(source, out);
        }
    }
}

fn pulse(source: u16, out: &mut Effects) {
    for level in [Level::High, Level::Low] {
        out.push(Effect::Interrupt { source, level });
    }
}

impl Device for Hostile {
    fn model(&self) -> &'static str {
        self.honest
            .as_ref()
            .map_or("hostile", |honest| honest.model())
    }

    fn can_be_silenced(&self) -> bool {
        false
    }

    fn read(&mut self, region: Region, offset: u64, width: Width, out: &mut Effects) -> u64 {
        self.perhaps_interrupt(16, out);
        let truth = self
            .honest
            .as_mut()
            .map(|honest| honest.read(region, offset, width, out));
        match truth {
            Some(truth) if self.random.below(self.lies) != 0 => truth,
            _ => self.lie((region, offset), width),
        }
    }

    fn write(&mut self, region: Region, offset: u64, width: Width, value: u64, out: &mut Effects) {
        if self.written.len() < MOST_REGISTERS {
            self.written.insert((region, offset), value);
        }
        if let Some(honest) = &mut self.honest {
            honest.write(region, offset, width, value, out);
        }
        self.perhaps_interrupt(8, out);
        if self.random.below(4) == 0 {
            out.push(Effect::Timer {
                after_100ns: 1 + self.random.below(LONGEST_DELAY),
                token: OWN_TIMER,
            });
        }
    }

    fn timer(&mut self, token: u32, out: &mut Effects) {
        if token == OWN_TIMER {
            self.perhaps_interrupt(1, out);
        } else if let Some(honest) = &mut self.honest {
            honest.timer(token, out);
        }
    }

    fn dma_data(&mut self, token: u32, bytes: &[u8], out: &mut Effects) {
        if let Some(honest) = &mut self.honest {
            honest.dma_data(token, bytes, out);
        }
    }

    fn stimulate(&mut self, stimulus: &Stimulus, out: &mut Effects) -> bool {
        if let Some(honest) = &mut self.honest {
            return honest.stimulate(stimulus, out);
        }
        match *stimulus {
            Stimulus::Interrupt(source) if source < self.sources => pulse(source, out),
            _ => return false,
        }
        true
    }

    fn reset(&mut self, out: &mut Effects) {
        if let Some(honest) = &mut self.honest {
            honest.reset(out);
        }
        self.random = Random::new(self.seed);
        self.written.clear();
    }

    fn clone_device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}
