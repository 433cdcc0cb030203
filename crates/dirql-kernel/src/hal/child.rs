//! Devices that a driver reports: no registers and no wires of their own, but what they ask for is
//! theirs.
//!
//! Who reports a device knows how it is wired. Its interrupt is a line of the machine, which
//! whatever is behind the bus drives; the line is one of those asked for that nobody else has
//! alone. Registers are where they are asked for.
//!
//! Source: WDK, "Hardware Resources for Devices", "Sharing Interrupts".

use alloc::string::String;
use alloc::vec::Vec;

use dirql_chips::pci::Space;
use dirql_chips::{Polarity, Trigger, WiredOr};

use crate::Kernel;
use crate::hal::machine::{LineWish, MessageWish, PINS, Slot, SlotKind};
use crate::hal::want::{Alternative, Want};
use crate::hal::{Assignment, DeviceId, InterruptPolicy};

impl Kernel {
    /// A place for a device that a driver has reported.
    pub(crate) fn plug_reported(&self, name: String) -> DeviceId {
        let mut slots = self.hal.slots.borrow_mut();
        let id = DeviceId(slots.len() as u32);
        let kind = SlotKind::Reported {
            windows: Vec::new(),
        };
        slots.push(Slot::new(name, kind, MessageWish::Line, Vec::new()));
        id
    }

    /// Gives a reported device the first list that can be given.
    pub(crate) fn assign_reported(
        &self,
        device: DeviceId,
        policy: &InterruptPolicy,
        alternatives: &[Alternative],
    ) -> Option<Assignment> {
        self.take_resources(device);
        alternatives.iter().find_map(|list| {
            let lines = self.lines_asked_for(list);
            let windows = windows_asked_for(list);
            self.with_slot(device, |slot| {
                slot.lines = lines;
                slot.kind = SlotKind::Reported { windows };
            });
            self.assign(device, policy, core::slice::from_ref(list))
        })
    }

    /// A line for each interrupt of a list, as far as there are any.
    fn lines_asked_for(&self, list: &Alternative) -> Vec<(u32, LineWish)> {
        let mut lines: Vec<(u32, LineWish)> = Vec::new();
        for want in list.iter().flatten() {
            let Want::Line {
                minimum,
                maximum,
                latched,
                shared,
                ..
            } = want
            else {
                continue;
            };
            let highest = (*maximum).min(u32::from(PINS) - 1);
            let free = (*minimum..=highest).find(|gsi| {
                self.line_may_be_had(*gsi, *shared) && lines.iter().all(|(line, _)| line != gsi)
            });
            let Some(gsi) = free else { continue };
            let trigger = if *latched {
                Trigger::Edge
            } else {
                Trigger::Level
            };
            let wish = LineWish {
                gsi: Some(gsi),
                trigger,
                shared: *shared,
            };
            let wire = &mut self.hal.lines.borrow_mut()[gsi as usize];
            wire.get_or_insert(WiredOr::new(Polarity::ActiveHigh));
            lines.push((gsi, wish));
        }
        lines
    }

    /// Nobody has been given the line, or everybody shares it.
    fn line_may_be_had(&self, gsi: u32, shared: bool) -> bool {
        let sources = self.hal.sources.borrow();
        let mut given = sources
            .iter()
            .filter(|source| source.assigned && source.is_line(gsi));
        given.all(|source| shared && source.shared)
    }
}

/// Each range of a list where it may begin first.
fn windows_asked_for(list: &Alternative) -> Vec<(Space, u64, u64)> {
    let wants = list.iter().flatten();
    wants
        .filter_map(|want| match want {
            Want::Range(range) => Some((range.space, range.minimum, range.length.into())),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::hal::testing::Rig;
    use crate::hal::{Resource, Targets};

    fn line(minimum: u32, maximum: u32, shared: bool) -> Alternative {
        let want = Want::Line {
            minimum,
            maximum,
            latched: false,
            shared,
            targets: Targets::default(),
        };
        vec![vec![want]]
    }

    /// The lines that a reported device is given, beside one that has line 5 and shares it, and
    /// one that has line 6 alone.
    fn given(alternatives: &[Alternative]) -> Option<Vec<u32>> {
        let rig = Rig::new(1);
        rig.line("shares", 5);
        rig.lines("alone", &[(6, Trigger::Edge)], false);
        let kernel = rig.kernel();
        let device = kernel.plug_reported("reported".into());
        let policy = InterruptPolicy::default();
        let assignment = kernel.assign_reported(device, &policy, alternatives)?;
        let lines = assignment
            .resources
            .iter()
            .filter_map(|resource| match resource {
                Resource::Interrupt(grant) => Some(grant.line),
                _ => None,
            });
        Some(lines.collect())
    }

    #[test]
    fn a_line_is_had_by_those_that_share_it_or_by_one() {
        assert_eq!(given(&[line(5, 5, true)]), Some(vec![5]));
        assert_eq!(given(&[line(5, 5, false)]), None);
        assert_eq!(given(&[line(6, 6, true)]), None);
        assert_eq!(given(&[line(5, 7, false)]), Some(vec![7]));
        let last = u32::from(PINS) - 1;
        assert_eq!(given(&[line(last, u32::MAX, false)]), Some(vec![last]));
        assert_eq!(given(&[line(last + 1, u32::MAX, false)]), None);
    }

    #[test]
    fn the_next_list_counts_if_one_cannot_be_given() {
        let lists = [line(6, 6, false), line(7, 7, false)];
        assert_eq!(given(&lists), Some(vec![7]));
        let two = [line(5, 7, true), line(5, 7, true)].concat();
        assert_eq!(given(&[two]), Some(vec![5, 7]), "each has one of its own");
        assert_eq!(given(&[Alternative::new()]), Some(vec![]));
    }

    /// There is nothing that could send messages for it.
    #[test]
    fn messages_are_not_to_be_had() {
        let messages = Want::Messages {
            count: 1,
            targets: Targets::default(),
        };
        assert_eq!(given(&[vec![vec![messages]]]), None);
    }
}
