//! What a device that nobody has described is on the bus: the windows and interrupts that drivers
//! of PCI devices ask for most.
//!
//! | window | what |
//! |---|---|
//! | 0 | memory, 64 KiB unless another size is said |
//! | 2 | memory, 4 KiB |
//! | 3 | memory for the MSI-X table and its pending bits, if there is one |
//! | 4 | 256 ports |

use alloc::vec;

use crate::pci::{Bar, Description, Identity, IntPin, MsiOffer, MsixOffer};

/// Vendor ID unless another is said: nobody's.
pub const VENDOR: u16 = 0x1234;
/// Device ID unless another is said.
pub const DEVICE: u16 = 0xD1FF;
/// Bytes of window 0 unless another size is said.
pub const MEMORY: u32 = 0x1_0000;
/// The largest window 0.
pub const MOST_MEMORY: u32 = 0x0100_0000;
/// The most entries of the MSI-X table.
pub const MAX_ENTRIES: u16 = 2048;

/// Where the pending bits are, behind the largest table.
const PENDING: u32 = 0x8000;

/// Who it says it is, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Class code, 24 bits.
    pub class: u32,
    /// Bytes of window 0, a power of two.
    pub memory: u32,
    /// Messages of its MSI capability, a power of two up to 32; 0 for none.
    pub msi: u8,
    /// Entries of its MSI-X table, up to [`MAX_ENTRIES`]; 0 for none.
    pub msix: u16,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            vendor: VENDOR,
            device: DEVICE,
            // Not fitting any defined class.
            class: 0xFF_0000,
            memory: MEMORY,
            msi: 8,
            msix: 0,
        }
    }
}

impl Shape {
    /// How many sources of interrupts it has.
    #[must_use]
    pub fn sources(&self) -> u16 {
        self.msix.max(self.msi.into()).max(1)
    }

    /// What it is on the bus.
    #[must_use]
    pub fn description(&self) -> Description {
        let memory = |size| Bar::Memory32 {
            size,
            prefetchable: false,
        };
        let mut bars = vec![(0, memory(self.memory)), (2, memory(0x1000))];
        if self.msix > 0 {
            bars.push((3, memory(0x1_0000)));
        }
        bars.push((4, Bar::Io { size: 0x100 }));
        Description {
            identity: Identity {
                vendor: self.vendor,
                device: self.device,
                revision: 1,
                class: self.class,
                subsystem_vendor: self.vendor,
                subsystem: self.device,
            },
            bars,
            pin: Some(IntPin::A),
            msi: (self.msi > 0).then_some(MsiOffer {
                messages: self.msi,
                address_64: true,
                per_vector_mask: true,
            }),
            msix: (self.msix > 0).then_some(MsixOffer {
                messages: self.msix,
                table_bar: 3,
                table_offset: 0,
                pending_bar: 3,
                pending_offset: PENDING,
            }),
        }
    }
}
