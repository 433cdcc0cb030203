//! Which vector stands for which source of interrupts.
//!
//! On x64 a vector's upper four bits are its IRQL, so handing out vectors is handing out
//! DIRQLs: device vectors are 0x30..=0xBF.

use alloc::boxed::Box;
use core::ops::RangeInclusive;

use dirql_abi::Irql;
use dirql_chips::{Trigger, Vector};

use crate::Kernel;
use crate::hal::DeviceId;
use crate::ke::ProcessorId;

/// What sends an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A line.
    Line {
        /// System-wide number.
        gsi: u32,
        /// Edge or level.
        trigger: Trigger,
    },
    /// A message of a PCI function.
    Message {
        /// Its number.
        message: u16,
        /// In the MSI-X table rather than the MSI capability.
        table: bool,
    },
}

/// An interrupt that was given to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) device: DeviceId,
    pub(crate) kind: SourceKind,
    pub(crate) vector: Vector,
    /// Processors that may take it.
    pub(crate) group: u16,
    pub(crate) affinity: u64,
    pub(crate) shared: bool,
    /// Still given: a stopped device's sources are not.
    pub(crate) assigned: bool,
    /// Its level is PASSIVE_LEVEL: a thread calls its ISRs.
    pub(crate) passive: bool,
    /// Connections that use it and are active.
    pub(crate) users: u32,
    /// Processors with an interrupt object for it.
    pub(crate) connected: u64,
}

impl Source {
    /// The level that its device is told.
    pub(crate) const fn irql(&self) -> Irql {
        if self.passive {
            Irql::PASSIVE
        } else {
            Irql(self.vector.class())
        }
    }

    pub(crate) const fn is_a_line(&self) -> bool {
        matches!(self.kind, SourceKind::Line { .. })
    }

    pub(crate) const fn is_line(&self, gsi: u32) -> bool {
        matches!(self.kind, SourceKind::Line { gsi: line, .. } if line == gsi)
    }

    /// Whether NT calls it Latched.
    pub(crate) const fn is_latched(&self) -> bool {
        match self.kind {
            SourceKind::Line { trigger, .. } => matches!(trigger, Trigger::Edge),
            SourceKind::Message { .. } => true,
        }
    }
}

/// Groups of processors.
const GROUPS: usize = 4;

/// Which processors have each vector in use.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    used: Box<[[u64; GROUPS]; 256]>,
    /// How many each processor has in use, by group and number.
    load: Box<[[u16; 64]; GROUPS]>,
    /// The class at which the next search begins.
    next: u8,
}

impl Default for Vectors {
    fn default() -> Self {
        Self {
            used: Box::new([[0; GROUPS]; 256]),
            load: Box::new([[0; 64]; GROUPS]),
            next: FIRST_CHOICE,
        }
    }
}

/// Where the first device's interrupts go: the middle of the device levels, so that there
/// is something above and below.
const FIRST_CHOICE: u8 = 6;

impl Vectors {
    /// Finds `count` vectors in a row and of one of `levels`, free on `affinity`, aligned as MSI
    /// wants it. Successive calls go through the levels, so that devices differ in DIRQL.
    fn allocate(
        &mut self,
        count: u8,
        group: u16,
        affinity: u64,
        levels: RangeInclusive<u8>,
    ) -> Option<Vector> {
        let (lowest, span) = (*levels.start(), levels.end() - levels.start() + 1);
        let start = if levels.contains(&self.next) {
            self.next
        } else {
            lowest
        };
        let step = count.next_power_of_two();
        for turn in 0..span {
            let class = lowest + (start - lowest + turn) % span;
            for first in (0..16).step_by(usize::from(step)) {
                let base = class << 4 | first as u8;
                if first as u8 + count > 16 || !self.is_free(base, count, group, affinity) {
                    continue;
                }
                for vector in base..base + count {
                    self.used[usize::from(vector)][usize::from(group)] |= affinity;
                }
                self.change_load(group, affinity, |load| load + u16::from(count));
                self.next = lowest + (class + 1 - lowest) % span;
                return Some(Vector(base));
            }
        }
        None
    }

    /// How many vectors a processor has in use.
    pub(super) fn load(&self, group: u16, number: u16) -> u16 {
        self.load[usize::from(group)][usize::from(number)]
    }

    fn change_load(&mut self, group: u16, affinity: u64, change: impl Fn(u16) -> u16) {
        for (bit, load) in self.load[usize::from(group)].iter_mut().enumerate() {
            if affinity >> bit & 1 != 0 {
                *load = change(*load);
            }
        }
    }

    fn is_free(&self, base: u8, count: u8, group: u16, affinity: u64) -> bool {
        (base..base + count)
            .all(|vector| self.used[usize::from(vector)][usize::from(group)] & affinity == 0)
    }

    fn release(&mut self, vector: Vector, group: u16, affinity: u64) {
        self.used[usize::from(vector.0)][usize::from(group)] &= !affinity;
        self.change_load(group, affinity, |load| load.saturating_sub(1));
    }
}

impl Kernel {
    /// Vectors for `count` messages, or for one line, of one of `levels`.
    pub(crate) fn allocate_vectors(
        &self,
        count: u8,
        group: u16,
        affinity: u64,
        levels: RangeInclusive<u8>,
    ) -> Option<Vector> {
        if usize::from(group) >= GROUPS || affinity == 0 || count == 0 || count > 16 {
            return None;
        }
        self.hal
            .vectors
            .borrow_mut()
            .allocate(count, group, affinity, levels)
    }

    #[cfg(test)]
    pub(crate) fn release_vector(&self, vector: Vector, group: u16, affinity: u64) {
        self.hal
            .vectors
            .borrow_mut()
            .release(vector, group, affinity);
    }

    /// The source with this number.
    pub(crate) fn source(&self, source: u32) -> Option<Source> {
        self.hal.sources.borrow().get(source as usize).copied()
    }

    /// The line that a vector stands for, and the device that it was given to or that is wired to
    /// it, if there is one.
    #[must_use]
    pub fn line_of_vector(&self, vector: Vector) -> Option<(u32, Option<DeviceId>)> {
        let sources = self.hal.sources.borrow();
        let found = sources.iter().find_map(|source| match source.kind {
            SourceKind::Line { gsi, .. } if source.vector == vector => Some((gsi, source.device)),
            _ => None,
        });
        let (gsi, device) = found?;
        let is_plugged = self.with_slot(device, |_| ()).is_some();
        Some((gsi, Some(device).filter(|_| is_plugged)))
    }

    /// Every source that is assigned, with its number.
    pub(crate) fn sources(&self) -> alloc::vec::Vec<(u32, Source)> {
        let sources = self.hal.sources.borrow();
        let numbered = sources
            .iter()
            .enumerate()
            .filter(|(_, source)| source.assigned);
        numbered
            .map(|(number, source)| (number as u32, *source))
            .collect()
    }

    /// The sources that a device was given, in order.
    pub(crate) fn sources_of(&self, device: DeviceId) -> alloc::vec::Vec<u32> {
        self.sources()
            .into_iter()
            .filter(|(_, source)| source.device == device)
            .map(|(number, _)| number)
            .collect()
    }

    /// Gives a source its number, that of one which nobody has any more if there is one.
    pub(crate) fn add_source(&self, source: Source) -> u32 {
        let mut sources = self.hal.sources.borrow_mut();
        let free = sources
            .iter()
            .position(|old| !old.assigned && old.users == 0);
        match free {
            Some(number) => {
                sources[number] = source;
                number as u32
            }
            None => {
                sources.push(source);
                sources.len() as u32 - 1
            }
        }
    }

    pub(crate) fn with_source<R>(
        &self,
        number: u32,
        change: impl FnOnce(&mut Source) -> R,
    ) -> Option<R> {
        self.hal
            .sources
            .borrow_mut()
            .get_mut(number as usize)
            .map(change)
    }

    /// Takes a source away from its device. A vector that another device on the line uses too
    /// stays in use.
    pub(crate) fn release_source(&self, number: u32) {
        let Some(source) = self.source(number) else {
            return;
        };
        self.with_source(number, |source| source.assigned = false);
        let still = self.hal.sources.borrow().iter().any(|other| {
            other.assigned
                && other.vector == source.vector
                && other.group == source.group
                && other.affinity & source.affinity != 0
        });
        if !still {
            self.hal
                .vectors
                .borrow_mut()
                .release(source.vector, source.group, source.affinity);
        }
    }

    /// The processors of a mask.
    pub(crate) fn processors_of(
        &self,
        group: u16,
        mask: u64,
    ) -> impl Iterator<Item = ProcessorId> + use<> {
        let mask = mask & self.active_mask(group);
        (0..64)
            .filter(move |bit| mask >> bit & 1 != 0)
            .map(move |bit| ProcessorId(group * 64 + bit))
    }
}
