//! What a device is given at its start.

use alloc::vec::Vec;

use dirql_abi::Irql;
use dirql_chips::Vector;
use dirql_chips::pci::Space;

use crate::Kernel;
use crate::config::WindowsVersion;
use crate::hal::machine::{DeviceId, LineWish, MessageWish, SlotKind, Target};
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
}

/// Everything that a device was given: windows first, interrupts after, as for PCI.
/// Source: WDK reference, "Order of Resources in Start-Device IRP".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The resources in order.
    pub resources: Vec<Resource>,
}

/// Messages that the INF or the registry allows a device.
/// Source: "Enabling Message-Signaled Interrupts in the Registry".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePolicy {
    /// `MSISupported` is 1.
    pub supported: bool,
    /// `MessageNumberLimit`.
    pub limit: Option<u32>,
}

impl Kernel {
    /// Gives a device its resources for a start. What it had before is taken back.
    ///
    /// `policy` is what its INF says; `None` if nobody knows, and then the scenario decides.
    pub(crate) fn assign_resources(
        &self,
        device: DeviceId,
        policy: Option<MessagePolicy>,
    ) -> Assignment {
        self.take_resources(device);
        let mut resources = self.windows_of(device);
        resources.extend(
            self.interrupts_for(device, policy)
                .into_iter()
                .map(Resource::Interrupt),
        );
        let assignment = Assignment { resources };
        self.with_slot(device, |slot| slot.assignment = Some(assignment.clone()));
        assignment
    }

    /// As [`Kernel::assign_resources`], without an interrupt.
    pub(crate) fn assign_windows(&self, device: DeviceId) -> Assignment {
        self.take_resources(device);
        let assignment = Assignment {
            resources: self.windows_of(device),
        };
        self.with_slot(device, |slot| slot.assignment = Some(assignment.clone()));
        assignment
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
        self.with_slot(device, |slot| slot.assignment = None);
    }

    fn windows_of(&self, device: DeviceId) -> Vec<Resource> {
        let windows: Vec<(Space, u64, u64)> = match self.pci_address(device) {
            Some(_) => self.pci_windows(device),
            None => self
                .with_slot(device, |slot| match &slot.kind {
                    SlotKind::Legacy { windows, .. } => windows.clone(),
                    SlotKind::Pci(_) => Vec::new(),
                })
                .unwrap_or_default(),
        };
        windows
            .into_iter()
            .map(|(space, base, size)| match space {
                Space::Port => Resource::Port {
                    base,
                    length: size as u32,
                },
                Space::Memory => Resource::Memory {
                    base,
                    length: size as u32,
                },
            })
            .collect()
    }

    /// A function's windows answer only while decoding is on; their addresses stay.
    fn pci_windows(&self, device: DeviceId) -> Vec<(Space, u64, u64)> {
        self.set_decoding(device, true);
        let windows = self.input(device, |target, _, _| match target {
            Target::Pci(function) => function
                .windows()
                .map(|window| (window.space, window.base, window.size))
                .collect(),
            Target::Legacy(_) => Vec::new(),
        });
        windows.unwrap_or_default()
    }

    fn interrupts_for(
        &self,
        device: DeviceId,
        policy: Option<MessagePolicy>,
    ) -> Vec<InterruptGrant> {
        if let Some(grants) = self.messages_for(device, policy) {
            return grants;
        }
        let lines = self
            .with_slot(device, |slot| slot.lines.clone())
            .unwrap_or_default();
        lines
            .into_iter()
            .filter_map(|(gsi, wish)| self.line_for(device, gsi, wish))
            .collect()
    }

    fn line_for(&self, device: DeviceId, gsi: u32, wish: LineWish) -> Option<InterruptGrant> {
        let (group, affinity) = (0, self.active_mask(0));
        let passive = self.hal.passive_lines.borrow().contains(&gsi);
        // Devices on one line share its vector.
        let neighbour = self
            .sources()
            .into_iter()
            .find(|(_, source)| source.is_line(gsi))
            .map(|(_, source)| source.vector);
        let vector = neighbour.or_else(|| self.allocate_vectors(1, group, affinity))?;
        let source = self.add_source(Source {
            device,
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
            sources: alloc::vec![source],
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

    /// How many messages a device is given, and of which capability; `None` leaves the line.
    fn messages_for(
        &self,
        device: DeviceId,
        policy: Option<MessagePolicy>,
    ) -> Option<Vec<InterruptGrant>> {
        if self.config().windows < WindowsVersion::Vista {
            return None;
        }
        let (msi, msix) = self.input(device, |target, _, _| match target {
            Target::Pci(function) => {
                let description = function.description();
                (
                    description.msi.map(|offer| u16::from(offer.messages)),
                    description.msix.map(|offer| offer.messages),
                )
            }
            Target::Legacy(_) => (None, None),
        })?;
        let wish = self.with_slot(device, |slot| slot.wish)?;
        let limit = match policy {
            Some(MessagePolicy {
                supported: false, ..
            }) => return None,
            Some(MessagePolicy { limit, .. }) => limit.unwrap_or(u32::MAX).min(2048) as u16,
            None => u16::MAX,
        };
        match wish {
            MessageWish::Line => None,
            MessageWish::Msix(count) => self.msix_for(device, msix?.min(limit).min(count)),
            MessageWish::Msi(count) => self.msi_for(device, msi?.min(limit).min(count)),
            MessageWish::Default => match (msix, msi) {
                (Some(count), _) => self.msix_for(device, count.min(limit)),
                (None, Some(count)) => self.msi_for(device, count.min(limit)),
                (None, None) => None,
            },
        }
    }

    /// One descriptor for all messages of an MSI capability: a power of two of them, or one.
    fn msi_for(&self, device: DeviceId, count: u16) -> Option<Vec<InterruptGrant>> {
        // 16 vectors are one level; the page on MSI gives the same limit.
        let wanted = 1u8 << count.min(16).checked_ilog2()?;
        let (group, affinity) = (0, self.active_mask(0));
        let (count, vector) = match self.allocate_vectors(wanted, group, affinity) {
            Some(vector) => (wanted, vector),
            // Not enough messages: the device gets exactly one.
            None => (1, self.allocate_vectors(1, group, affinity)?),
        };
        let sources = (0..count)
            .map(|message| {
                self.add_message(
                    device,
                    message.into(),
                    false,
                    Vector(vector.0 + message),
                    (group, affinity),
                )
            })
            .collect();
        Some(alloc::vec![message_grant(sources, vector, group, affinity)])
    }

    /// A descriptor for each message of an MSI-X table.
    fn msix_for(&self, device: DeviceId, count: u16) -> Option<Vec<InterruptGrant>> {
        let (group, affinity) = (0, self.active_mask(0));
        let mut grants = Vec::new();
        for message in 0..count {
            let Some(vector) = self.allocate_vectors(1, group, affinity) else {
                // Not enough messages: the device gets exactly one.
                for grant in grants
                    .drain(1.min(grants.len())..)
                    .collect::<Vec<InterruptGrant>>()
                {
                    for source in grant.sources {
                        self.release_source(source);
                    }
                }
                break;
            };
            let source = self.add_message(device, message, true, vector, (group, affinity));
            grants.push(message_grant(alloc::vec![source], vector, group, affinity));
        }
        (!grants.is_empty()).then_some(grants)
    }

    fn add_message(
        &self,
        device: DeviceId,
        message: u16,
        table: bool,
        vector: Vector,
        (group, affinity): (u16, u64),
    ) -> u32 {
        self.add_source(Source {
            device,
            kind: SourceKind::Message { message, table },
            vector,
            group,
            affinity,
            shared: true,
            assigned: true,
            passive: false,
            users: 0,
            connected: 0,
        })
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
