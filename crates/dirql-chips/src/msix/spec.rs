//! Registers of `msix`: a PCI device of our own with many queues and as many messages.
//!
//! Window 0, 4-byte accesses:
//!
//! | offset | read | write |
//! |---|---|---|
//! | 0x00 | [`IDENTIFICATION`] | |
//! | 0x04 | number of queues | |
//! | 0x08 | number of queues with completions | |
//! | 0x100 + 16 q | requests of queue q that are not done | posts that many more |
//! | 0x104 + 16 q | completions of queue q | takes that many away |
//!
//! Anything else reads as ones and ignores writes. Window 1 holds the MSI-X table at 0 and the
//! pending bits at 0x8000.

use crate::pci::{Bar, Description, Identity, IntPin, MsiOffer, MsixOffer};

/// What the identification register reads: "MSIX" as little-endian text.
pub const IDENTIFICATION: u32 = u32::from_le_bytes(*b"MSIX");
/// The most queues.
pub const MAX_QUEUES: u16 = 2048;
/// How long posted requests take, in units of 100 ns: 10 microseconds.
pub const WORK_100NS: u64 = 100;

/// Offsets in window 0.
pub mod register {
    /// Identification.
    pub const IDENTIFICATION: u64 = 0x00;
    /// Number of queues.
    pub const QUEUES: u64 = 0x04;
    /// Number of queues with completions.
    pub const BUSY_QUEUES: u64 = 0x08;
    /// First queue.
    pub const FIRST_QUEUE: u64 = 0x100;
    /// Bytes of a queue.
    pub const QUEUE_SIZE: u64 = 0x10;
    /// In a queue: requests.
    pub const REQUESTS: u64 = 0x0;
    /// In a queue: completions.
    pub const COMPLETIONS: u64 = 0x4;
}

/// Bytes of each window.
const WINDOW: u32 = 0x1_0000;
/// Where the pending bits are in window 1, behind the largest table.
const PENDING: u32 = 0x8000;

/// What it is on the bus. Vendor 1234 is nobody's; class "base system peripheral, other".
///
/// `messages` is the size of the MSI-X table; `msi` adds an MSI capability.
#[must_use]
pub fn description(messages: u16, msi: Option<MsiOffer>) -> Description {
    let window = Bar::Memory32 {
        size: WINDOW,
        prefetchable: false,
    };
    Description {
        identity: Identity {
            vendor: 0x1234,
            device: 0xD142,
            revision: 1,
            class: 0x08_8000,
            subsystem_vendor: 0x1234,
            subsystem: 0xD142,
        },
        bars: alloc::vec![(0, window), (1, window)],
        pin: Some(IntPin::A),
        msi,
        msix: Some(MsixOffer {
            messages,
            table_bar: 1,
            table_offset: 0,
            pending_bar: 1,
            pending_offset: PENDING,
        }),
    }
}
