//! Registers of the `edu` device.
//!
//! Source: QEMU documentation, "EDU device" (docs/specs/edu.rst). Where it is silent, what
//! QEMU's model does is said in the text of [`super`].

use crate::pci::{Bar, Description, Identity, IntPin, MsiOffer};

/// Bytes of the only window.
pub const WINDOW: u32 = 0x10_0000;

/// What the identification register reads: version 1.0.
pub const IDENTIFICATION: u32 = 0x0100_00ED;

/// Offsets in the window.
pub mod register {
    /// Identification, read only.
    pub const IDENTIFICATION: u64 = 0x00;
    /// Reads as the complement of what was written.
    pub const LIVENESS: u64 = 0x04;
    /// A number; later its factorial.
    pub const FACTORIAL: u64 = 0x08;
    /// Status.
    pub const STATUS: u64 = 0x20;
    /// Why the device interrupts, read only.
    pub const INTERRUPT_STATUS: u64 = 0x24;
    /// Bits written here are set in the interrupt status, write only.
    pub const INTERRUPT_RAISE: u64 = 0x60;
    /// Bits written here are cleared in the interrupt status, write only.
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    /// From here on accesses of 8 bytes are allowed, too.
    pub const FIRST_WIDE: u64 = 0x80;
    /// Where DMA reads.
    pub const DMA_SOURCE: u64 = 0x80;
    /// Where DMA writes.
    pub const DMA_DESTINATION: u64 = 0x88;
    /// How many bytes.
    pub const DMA_COUNT: u64 = 0x90;
    /// Start and options.
    pub const DMA_COMMAND: u64 = 0x98;
}

/// Bits of the status register.
pub mod status {
    /// A factorial is being computed, read only.
    pub const COMPUTING: u32 = 0x01;
    /// Interrupt when it is done.
    pub const INTERRUPT: u32 = 0x80;
}

/// Bits of the interrupt status that the device sets by itself.
pub mod cause {
    /// A factorial is done.
    pub const FACTORIAL: u32 = 0x001;
    /// A transfer is done.
    pub const DMA: u32 = 0x100;
}

/// Bits of the DMA command register.
pub mod dma {
    /// Start; reads as set while the transfer runs.
    pub const RUN: u64 = 0x1;
    /// From the device to memory.
    pub const TO_MEMORY: u64 = 0x2;
    /// Interrupt when it is done.
    pub const INTERRUPT: u64 = 0x4;
}

/// Where DMA addresses the device's own buffer.
pub const BUFFER: u64 = 0x40000;
/// Bytes of the buffer.
pub const BUFFER_SIZE: usize = 4096;

/// Bits of a DMA address that leave the device by default: 28, so 256 MiB.
pub const DMA_MASK: u64 = (1 << 28) - 1;

/// How long a factorial takes, in units of 100 ns: 1 microsecond. The documentation gives no
/// number; it only says that one has to wait.
pub const FACTORIAL_100NS: u64 = 10;
/// How long a transfer takes to begin, in units of 100 ns: 100 ms, as in QEMU's model.
pub const DMA_100NS: u64 = 1_000_000;

/// What it is on the bus: 1234:11e8 with one window, INTA# and one 64-bit message.
///
/// Revision, class and subsystem are QEMU's ("PCI IDs for QEMU" for the subsystem).
#[must_use]
pub fn description() -> Description {
    Description {
        identity: Identity {
            vendor: 0x1234,
            device: 0x11E8,
            revision: 0x10,
            class: 0x00_FF00,
            subsystem_vendor: 0x1AF4,
            subsystem: 0x1100,
        },
        bars: alloc::vec![(
            0,
            Bar::Memory32 {
                size: WINDOW,
                prefetchable: false
            }
        )],
        pin: Some(IntPin::A),
        msi: Some(MsiOffer {
            messages: 1,
            address_64: true,
            per_vector_mask: false,
        }),
        msix: None,
    }
}
