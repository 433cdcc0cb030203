//! What a device is given at its start.

use alloc::vec;
use alloc::vec::Vec;

use dirql_abi::Irql;
use dirql_abi::interrupt::irq_device_policy;
use dirql_chips::Vector;
use dirql_chips::pci::Space;

use crate::Kernel;
use crate::hal::choose::Width;
use crate::hal::machine::{DeviceId, LineWish};
use crate::hal::policy::{InterruptPolicy, Targets};
use crate::hal::want::{Alternative, Choice, MOST_MSI, MessageOffer, Want, WantedRange};
use crate::hal::{Source, SourceKind};

/// An interrupt resource, as the raw and the translated list say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterruptGrant {
    /// The sources of the machine, in order of their messages.
    pub(crate) sources: Vec<u32>,
    /// Messages rather than a line.
    pub message: bool,
    /// Latched rather than level-sensitive.
    pub latched: bool,
    /// Others may be on it.
    pub shared: bool,
    /// The line's number as the bus knows it: vector and level of the raw list.
    pub line: u32,
    /// Vector of the translated list; the first of several messages.
    pub vector: Vector,
    /// DIRQL of the translated list.
    pub irql: Irql,
    /// Processor group.
    pub group: u16,
    /// Processors that may take it.
    pub affinity: u64,
}

impl InterruptGrant {
    /// How many vectors it stands for: one for a line, one for each message.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sources.len()
    }
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Ports.
    Port {
        /// First port.
        base: u64,
        /// How many.
        length: u32,
    },
    /// Device registers.
    Memory {
        /// Physical address.
        base: u64,
        /// Bytes.
        length: u32,
    },
    /// An interrupt.
    Interrupt(InterruptGrant),
    /// What the bus driver, or one above it, put into the list for itself.
    Private([u32; 3]),
}

/// Everything that a device was given: windows first, interrupts after, as for PCI.
/// Source: WDK reference, "Order of Resources in Start-Device IRP".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The resources in order.
    pub resources: Vec<Resource>,
}

/// How hard it is tried to give a list. Each is tried when the one before cannot be had.
///
/// Messages come in full number or as exactly one, never in part. Source: WDK, "Introduction to
/// Message-Signaled Interrupts".
const SUPPLIES: [(Supply, Width); 5] = [
    (Supply::All, Width::Wide),
    (Supply::All, Width::Narrow),
    (Supply::OneMessage, Width::Wide),
    (Supply::OneMessage, Width::Narrow),
    (Supply::NoMessage, Width::Narrow),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    All,
    OneMessage,
    /// What stands in for the messages.
    NoMessage,
}

/// A list that is being given.
struct Attempt {
    device: DeviceId,
    supply: Supply,
    width: Width,
    offer: Option<MessageOffer>,
    /// The most messages that the registry allows.
    limit: u32,
    windows: Vec<(Space, u64, u64)>,
    lines: Vec<(u32, LineWish)>,
    /// Messages given so far.
    messages: u32,
    /// How many of them each processor has, by group and number.
    taken: [[u16; 64]; 4],
}

impl Kernel {
    /// Gives a device what is asked for by the first list of `alternatives` that can be given.
    /// What it had before is taken back. `None`: none can be.
    pub(crate) fn assign(
        &self,
        device: DeviceId,
        policy: &InterruptPolicy,
        alternatives: &[Alternative],
    ) -> Option<Assignment> {
        self.take_resources(device);
        let given = alternatives
            .iter()
            .find_map(|list| self.assign_list(device, policy, list));
        let assignment = Assignment { resources: given? };
        self.with_slot(device, |slot| slot.assignment = Some(assignment.clone()));
        self.map_table(device);
        Some(assignment)
    }

    /// Gives a device what its bus asks for; nothing if that cannot be given.
    #[cfg(test)]
    pub(crate) fn assign_resources(&self, device: DeviceId) -> Assignment {
        let policy = InterruptPolicy::default();
        let alternatives = self.offer(device, &policy);
        self.assign(device, &policy, &alternatives)
            .unwrap_or_default()
    }

    /// What a device has now; `None` while it is not started.
    #[must_use]
    pub fn assignment(&self, device: DeviceId) -> Option<Assignment> {
        self.with_slot(device, |slot| slot.assignment.clone())?
    }

    /// Takes everything back from a device that was stopped or removed.
    pub(crate) fn take_resources(&self, device: DeviceId) {
        for source in self.sources_of(device) {
            self.release_source(source);
        }
        self.with_slot(device, |slot| {
            slot.assignment = None;
            slot.table.clear();
        });
    }

    fn assign_list(
        &self,
        device: DeviceId,
        policy: &InterruptPolicy,
        list: &Alternative,
    ) -> Option<Vec<Resource>> {
        let wants_messages = list.iter().flatten().any(is_message);
        let offer = self.message_offer(device, policy.messages);
        for (supply, width) in SUPPLIES {
            if supply == Supply::OneMessage && !wants_messages {
                continue;
            }
            let mut attempt = Attempt {
                device,
                supply,
                width,
                offer,
                limit: policy
                    .messages
                    .and_then(|policy| policy.limit)
                    .unwrap_or(u32::MAX),
                windows: self.windows_of(device),
                lines: self
                    .with_slot(device, |slot| slot.lines.clone())
                    .unwrap_or_default(),
                messages: 0,
                taken: [[0; 64]; 4],
            };
            if let Some(resources) = self.try_list(&mut attempt, list) {
                return Some(resources);
            }
            for source in self.sources_of(device) {
                self.release_source(source);
            }
        }
        None
    }

    fn try_list(&self, attempt: &mut Attempt, list: &Alternative) -> Option<Vec<Resource>> {
        let asked: u64 = list
            .iter()
            .filter_map(|choice| choice.iter().find_map(messages_of))
            .sum();
        if asked > u64::from(self.most_messages()) && attempt.supply != Supply::NoMessage {
            return None;
        }
        let mut resources = Vec::with_capacity(list.len());
        for choice in list {
            if attempt.is_beyond_supply(choice) {
                continue;
            }
            let messages_first =
                attempt.supply != Supply::NoMessage && choice.iter().any(is_message);
            let given = choice
                .iter()
                .filter(|want| is_message(want) == messages_first)
                .find_map(|want| self.give_one(attempt, want));
            resources.push(given?);
        }
        Some(resources)
    }

    fn give_one(&self, attempt: &mut Attempt, want: &Want) -> Option<Resource> {
        match want {
            Want::Range(range) => attempt.take_window(range),
            Want::Private(data) => Some(Resource::Private(*data)),
            Want::Line {
                minimum,
                maximum,
                targets,
                ..
            } => {
                let wanted = *minimum..=*maximum;
                let at = attempt
                    .lines
                    .iter()
                    .position(|(gsi, _)| wanted.contains(gsi))?;
                let (gsi, wish) = attempt.lines.remove(at);
                self.give_line(attempt, gsi, wish, *targets)
                    .map(Resource::Interrupt)
            }
            Want::Messages { count, targets } => self
                .give_messages(attempt, *count, *targets)
                .map(Resource::Interrupt),
        }
    }

    fn give_line(
        &self,
        attempt: &Attempt,
        gsi: u32,
        wish: LineWish,
        targets: Targets,
    ) -> Option<InterruptGrant> {
        let passive = self.hal.passive_lines.borrow().contains(&gsi);
        // Devices on one line share its vector.
        let neighbour = self
            .sources()
            .into_iter()
            .find(|(_, source)| source.is_line(gsi))
            .map(|(_, source)| (source.group, source.affinity, source.vector));
        let targets = as_default_if_spread(targets);
        let found = neighbour
            .or_else(|| self.choose_vectors(1, &targets, attempt.width, &attempt.taken))?;
        let (group, affinity, vector) = found;
        let source = self.add_source(Source {
            device: attempt.device,
            kind: SourceKind::Line {
                gsi,
                trigger: wish.trigger,
            },
            vector,
            group,
            affinity,
            shared: wish.shared,
            assigned: true,
            passive,
            users: 0,
            connected: 0,
        });
        Some(InterruptGrant {
            sources: vec![source],
            message: false,
            latched: wish.trigger == dirql_chips::Trigger::Edge,
            shared: wish.shared,
            line: gsi,
            vector,
            irql: if passive {
                Irql::PASSIVE
            } else {
                Irql(vector.class())
            },
            group,
            affinity,
        })
    }

    /// From the next start of its devices on, a line's interrupts are given PASSIVE_LEVEL, as
    /// those of a controller behind a slow bus. Source: WDK, "Using Passive-Level Interrupt
    /// Service Routines".
    pub fn make_line_passive(&self, gsi: u32) {
        self.hal.passive_lines.borrow_mut().insert(gsi);
    }

    /// Messages of one descriptor: those of MSI, of which there is one, a power of two; or one
    /// of MSI-X.
    fn give_messages(
        &self,
        attempt: &mut Attempt,
        count: u32,
        targets: Targets,
    ) -> Option<InterruptGrant> {
        let MessageOffer { table, count: most } = attempt.offer?;
        let (count, targets) = match (attempt.supply, table) {
            (Supply::OneMessage, _) => (1, targets),
            (_, true) => (count.min(MOST_MSI), targets),
            // The capability has one address and one value for all of them.
            (_, false) if attempt.messages > 0 => return None,
            (_, false) => {
                let most = most.min(attempt.limit).clamp(1, MOST_MSI);
                let count = count.clamp(1, most);
                (1 << count.ilog2(), as_default_if_spread(targets))
            }
        };
        let (group, affinity, vector) =
            self.choose_vectors(count as u8, &targets, attempt.width, &attempt.taken)?;
        let sources = (0..count as u8)
            .map(|message| {
                self.add_source(Source {
                    device: attempt.device,
                    kind: SourceKind::Message {
                        message: attempt.messages as u16 + u16::from(message),
                        table,
                    },
                    vector: Vector(vector.0 + message),
                    group,
                    affinity,
                    shared: true,
                    assigned: true,
                    passive: false,
                    users: 0,
                    connected: 0,
                })
            })
            .collect();
        attempt.messages += count;
        attempt.count_processors(group, affinity);
        Some(message_grant(sources, vector, group, affinity))
    }
}

impl Attempt {
    /// Messages that are not given in this attempt, and whose absence is no failure.
    fn is_beyond_supply(&self, choice: &Choice) -> bool {
        if !choice.iter().any(is_message) {
            return false;
        }
        match self.supply {
            Supply::All => self.messages >= self.limit,
            Supply::OneMessage => self.messages >= 1,
            Supply::NoMessage => false,
        }
    }

    fn take_window(&mut self, range: &WantedRange) -> Option<Resource> {
        let fits = |(space, base, size): &(Space, u64, u64)| {
            let end = base.saturating_add(u64::from(range.length).max(1) - 1);
            *space == range.space
                && *base >= range.minimum
                && end <= range.maximum
                && u64::from(range.length) <= *size
        };
        let at = self.windows.iter().position(fits)?;
        let (space, base, _) = self.windows.remove(at);
        let length = range.length;
        Some(match space {
            Space::Port => Resource::Port { base, length },
            Space::Memory => Resource::Memory { base, length },
        })
    }

    fn count_processors(&mut self, group: u16, affinity: u64) {
        let Some(taken) = self.taken.get_mut(usize::from(group)) else {
            return;
        };
        for (bit, taken) in taken.iter_mut().enumerate() {
            *taken += u16::from(affinity >> bit & 1 != 0);
        }
    }
}

const fn is_message(want: &Want) -> bool {
    matches!(want, Want::Messages { .. })
}

fn messages_of(want: &Want) -> Option<u64> {
    match want {
        Want::Messages { count, .. } => Some(u64::from(*count)),
        _ => None,
    }
}

/// A line, and MSI as a whole, has one mask: there is nothing to spread.
fn as_default_if_spread(targets: Targets) -> Targets {
    if targets.policy == irq_device_policy::IrqPolicySpreadMessagesAcrossAllProcessors {
        Targets {
            policy: irq_device_policy::IrqPolicyMachineDefault,
            ..targets
        }
    } else {
        targets
    }
}

/// Messages are shared by default. Source: wdm.IO_CONNECT_INTERRUPT_PARAMETERS, ShareVector.
fn message_grant(sources: Vec<u32>, vector: Vector, group: u16, affinity: u64) -> InterruptGrant {
    InterruptGrant {
        sources,
        message: true,
        latched: true,
        shared: true,
        line: u32::from(vector.0),
        vector,
        irql: Irql(vector.class()),
        group,
        affinity,
    }
}
