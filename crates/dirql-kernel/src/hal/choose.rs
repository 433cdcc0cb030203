//! Which processors, and which vector on them, an interrupt is given.
//!
//! Source: WDK reference, wdm.IRQ_DEVICE_POLICY, wdm.IRQ_PRIORITY; note N0140.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use dirql_abi::Irql;
use dirql_abi::interrupt::{irq_device_policy, irq_priority};
use dirql_abi::resource::ALL_PROCESSOR_GROUPS;
use dirql_chips::Vector;

use crate::Kernel;
use crate::hal::policy::Targets;

/// Groups of processors.
const GROUPS: u16 = 4;

/// Levels of devices of low, normal and high priority.
const LOW: RangeInclusive<u8> = 3..=5;
const NORMAL: RangeInclusive<u8> = 6..=8;
const HIGH: RangeInclusive<u8> = 9..=11;

/// How many processors an interrupt may take where the policy says many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// All of a group.
    Wide,
    /// One is enough, because vectors are short.
    Narrow,
}

impl Kernel {
    /// `count` vectors in a row with the group and mask of their processors. `taken`: what each
    /// processor has of the same device already.
    pub(super) fn choose_vectors(
        &self,
        count: u8,
        targets: &Targets,
        width: Width,
        taken: &[[u16; 64]; 4],
    ) -> Option<(u16, u64, Vector)> {
        let masks = self.masks(targets, width, taken);
        let whole = Irql::DEVICE_MIN.0..=Irql::DEVICE_MAX.0;
        let levels = match targets.priority {
            irq_priority::IrqPriorityLow => [LOW, whole],
            irq_priority::IrqPriorityNormal => [NORMAL, whole],
            irq_priority::IrqPriorityHigh => [HIGH, whole],
            _ => [whole.clone(), whole],
        };
        levels.iter().find_map(|levels| {
            masks.iter().find_map(|(group, mask)| {
                let vector = self.allocate_vectors(count, *group, *mask, levels.clone())?;
                Some((*group, *mask, vector))
            })
        })
    }

    /// The masks that a policy allows, best first.
    fn masks(&self, targets: &Targets, width: Width, taken: &[[u16; 64]; 4]) -> Vec<(u16, u64)> {
        let groups = if targets.group == ALL_PROCESSOR_GROUPS {
            0..GROUPS
        } else if self.active_mask(targets.group) != 0 {
            targets.group..targets.group + 1
        } else {
            0..1
        };
        let specified = targets.processors & self.active_mask(groups.start);
        let one_each = || self.single_processors(groups.clone(), taken);
        match targets.policy {
            irq_device_policy::IrqPolicySpecifiedProcessors if specified != 0 => {
                alloc::vec![(groups.start, specified)]
            }
            irq_device_policy::IrqPolicyOneCloseProcessor
            | irq_device_policy::IrqPolicySpreadMessagesAcrossAllProcessors => one_each(),
            _ if width == Width::Narrow => one_each(),
            _ => groups
                .map(|group| (group, self.active_mask(group)))
                .filter(|(_, mask)| *mask != 0)
                .collect(),
        }
    }

    /// Each processor by itself: first those with the fewest interrupts of this device, then
    /// those with the fewest of all.
    fn single_processors(
        &self,
        groups: core::ops::Range<u16>,
        taken: &[[u16; 64]; 4],
    ) -> Vec<(u16, u64)> {
        let vectors = self.hal.vectors.borrow();
        let mut processors = Vec::new();
        for group in groups {
            let active = self.active_mask(group);
            let of_group = (0..64_u16).filter(|number| active >> number & 1 != 0);
            processors.extend(of_group.map(|number| {
                let own = taken[usize::from(group)][usize::from(number)];
                (own, vectors.load(group, number), group, number)
            }));
        }
        processors.sort_unstable();
        processors
            .into_iter()
            .map(|(_, _, group, number)| (group, 1 << number))
            .collect()
    }
}
