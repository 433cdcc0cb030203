//! Registers of `ivshmem-doorbell`, revision 1.
//!
//! Source: QEMU documentation, "Device Specification for Inter-VM shared memory device"
//! (docs/specs/ivshmem-spec.rst).

use crate::pci::{Bar, Description, Identity, MsixOffer};

/// Bytes of the register window.
pub const REGISTERS: u32 = 0x100;
/// The most vectors that fit into the MSI-X window here.
pub const MAX_VECTORS: u16 = 64;
/// Bytes of the window with the MSI-X table and the pending bits.
const MSIX_WINDOW: u32 = 0x1000;
/// Where the pending bits are in it.
const PENDING: u32 = 0x800;

/// Offsets in window 0, 4-byte registers.
pub mod register {
    /// Interrupt mask: reserved in revision 1.
    pub const MASK: u64 = 0x0;
    /// Interrupt status: reserved in revision 1.
    pub const STATUS: u64 = 0x4;
    /// The device's own ID, read only.
    pub const POSITION: u64 = 0x8;
    /// Write only: a peer's ID in bits 31:16, its vector in bits 15:0.
    pub const DOORBELL: u64 = 0xC;
}

/// What it is on the bus: memory, as its class says. It has no interrupt pin.
#[must_use]
pub fn description(vectors: u16, memory: u64) -> Description {
    let window = |size| Bar::Memory32 {
        size,
        prefetchable: false,
    };
    Description {
        identity: Identity {
            vendor: 0x1AF4,
            device: 0x1110,
            revision: 1,
            class: 0x05_0000,
            subsystem_vendor: 0x1AF4,
            subsystem: 0x1100,
        },
        bars: alloc::vec![
            (0, window(REGISTERS)),
            (1, window(MSIX_WINDOW)),
            (
                2,
                Bar::Memory64 {
                    size: memory,
                    prefetchable: true,
                }
            ),
        ],
        pin: None,
        msi: None,
        msix: Some(MsixOffer {
            messages: vectors,
            table_bar: 1,
            table_offset: 0,
            pending_bar: 1,
            pending_offset: PENDING,
        }),
    }
}
