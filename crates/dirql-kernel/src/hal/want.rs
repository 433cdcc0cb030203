//! What a device asks for, before anything is given to it.

use alloc::vec;
use alloc::vec::Vec;

use dirql_chips::Trigger;
use dirql_chips::pci::Space;

use crate::Kernel;
use crate::config::WindowsVersion;
use crate::hal::DeviceId;
use crate::hal::inputs::Target;
use crate::hal::machine::{MessageWish, SlotKind};
use crate::hal::policy::{InterruptPolicy, MessagePolicy, Targets};

/// Messages that a function can have. Source: WDK, "Using Interrupt Resource Descriptors".
const MOST_MESSAGES: u32 = 2048;

/// The same before Windows 8.
const MOST_MESSAGES_BEFORE_8: u32 = 910;

/// Messages of an MSI capability: 16 vectors are one level. The page on MSI has the same limit.
pub(super) const MOST_MSI: u32 = 16;

/// Addresses that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WantedRange {
    pub(crate) space: Space,
    pub(crate) length: u32,
    pub(crate) minimum: u64,
    pub(crate) maximum: u64,
    /// 0 and 1 are no restriction.
    pub(crate) alignment: u32,
}

/// One resource that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Range(WantedRange),
    /// One of these lines.
    Line {
        minimum: u32,
        maximum: u32,
        latched: bool,
        shared: bool,
        targets: Targets,
    },
    /// So many messages, with one descriptor.
    Messages {
        count: u32,
        targets: Targets,
    },
    /// A bus driver's own data.
    Private([u32; 3]),
}

/// What may be given in one place of a list, best first: a descriptor and its alternatives.
pub(crate) type Choice = Vec<Want>;

/// An `IO_RESOURCE_LIST`.
pub(crate) type Alternative = Vec<Choice>;

/// What a function's message capability offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageOffer {
    /// MSI-X rather than MSI.
    pub(crate) table: bool,
    /// Messages of the capability.
    pub(crate) count: u32,
}

impl Kernel {
    /// What the bus asks for on behalf of a device: its windows with its messages, or else with
    /// its lines. Windows first, interrupts after, and the bus's own data between two windows.
    /// Source: WDK reference, "Order of Resources in Start-Device IRP".
    pub(crate) fn offer(&self, device: DeviceId, policy: &InterruptPolicy) -> Vec<Alternative> {
        let windows = self.wanted_windows(device);
        let lines = self.wanted_lines(device, policy.targets);
        let mut alternatives = Vec::new();
        if let Some(messages) = self.wanted_messages(device, policy) {
            alternatives.push([windows.clone(), messages].concat());
        }
        // Without a line a device can still be started if it offers nothing else.
        if alternatives.is_empty() || !lines.is_empty() {
            alternatives.push([windows, lines].concat());
        }
        alternatives
    }

    fn wanted_windows(&self, device: DeviceId) -> Alternative {
        let is_pci = self.pci_address(device).is_some();
        let mut wants = Alternative::new();
        for (index, (space, base, size)) in self.windows_of(device).into_iter().enumerate() {
            if is_pci && index > 0 {
                wants.push(vec![Want::Private([1, index as u32, 0])]);
            }
            wants.push(vec![Want::Range(WantedRange {
                space,
                length: size as u32,
                minimum: base,
                maximum: base + size.max(1) - 1,
                alignment: 1,
            })]);
        }
        wants
    }

    fn wanted_lines(&self, device: DeviceId, targets: Targets) -> Alternative {
        let lines = self.with_slot(device, |slot| slot.lines.clone());
        let want = |(gsi, wish): (u32, super::LineWish)| {
            vec![Want::Line {
                minimum: gsi,
                maximum: gsi,
                latched: wish.trigger == Trigger::Edge,
                shared: wish.shared,
                targets,
            }]
        };
        lines.unwrap_or_default().into_iter().map(want).collect()
    }

    /// One descriptor for all messages of MSI, one for each of MSI-X.
    fn wanted_messages(&self, device: DeviceId, policy: &InterruptPolicy) -> Option<Alternative> {
        let offer = self.message_offer(device, policy.messages)?;
        let wish = self.with_slot(device, |slot| slot.wish)?;
        let asked = match wish {
            MessageWish::Msi(count) | MessageWish::Msix(count) => count.into(),
            MessageWish::Line | MessageWish::Default => u32::MAX,
        };
        let limit = policy.messages.and_then(|policy| policy.limit);
        let count = offer.count.min(asked).min(limit.unwrap_or(u32::MAX));
        let targets = policy.targets;
        if count == 0 {
            return None;
        }
        if offer.table {
            let count = count.min(self.most_messages());
            let one = vec![Want::Messages { count: 1, targets }];
            return Some(vec![one; count as usize]);
        }
        let count = 1 << count.min(MOST_MSI).ilog2();
        Some(vec![vec![Want::Messages { count, targets }]])
    }

    /// The capability whose messages a device is given; `None` leaves the line. MSI-X if there
    /// are both. Source: WDK, "Introduction to Message-Signaled Interrupts".
    pub(super) fn message_offer(
        &self,
        device: DeviceId,
        policy: Option<MessagePolicy>,
    ) -> Option<MessageOffer> {
        if self.config().windows < WindowsVersion::Vista
            || policy.is_some_and(|policy| !policy.supported)
        {
            return None;
        }
        let (msi, msix) = self.input(device, |target, _, _| match target {
            Target::Pci(function) => {
                let description = function.description();
                (
                    description.msi.map(|offer| MessageOffer {
                        table: false,
                        count: offer.messages.into(),
                    }),
                    description.msix.map(|offer| MessageOffer {
                        table: true,
                        count: offer.messages.into(),
                    }),
                )
            }
            Target::Legacy(_) => (None, None),
        })?;
        match self.with_slot(device, |slot| slot.wish)? {
            MessageWish::Line => None,
            MessageWish::Msi(_) => msi,
            MessageWish::Msix(_) => msix,
            MessageWish::Default => msix.or(msi),
        }
    }

    /// How many messages a function can have on this Windows.
    pub(super) fn most_messages(&self) -> u32 {
        if self.config().windows < WindowsVersion::Eight {
            MOST_MESSAGES_BEFORE_8
        } else {
            MOST_MESSAGES
        }
    }

    /// Where a device's registers are: space, first address, size.
    pub(super) fn windows_of(&self, device: DeviceId) -> Vec<(Space, u64, u64)> {
        if self.pci_address(device).is_some() {
            return self.pci_windows(device);
        }
        let windows = self.with_slot(device, |slot| match &slot.kind {
            SlotKind::Legacy { windows, .. } | SlotKind::Reported { windows } => windows.clone(),
            SlotKind::Pci(_) => Vec::new(),
        });
        windows.unwrap_or_default()
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
}
