//! Where things are in the simulated computer's memory.
//!
//! Physical memory appears to drivers through one window: physical address `p` is at
//! virtual address [`PHYSICAL_WINDOW`]` + p`. Below [`DEVICE_PHYSICAL`] it is RAM, above it
//! are device registers, where every access faults and is carried out by the machine.
//! The addresses are fixed, so that two runs agree to the byte. A real system has its
//! kernel half at the top of the address space, which a Linux process cannot map; the
//! exported boundaries (`MmHighestUserAddress` and its relatives) say where it is here.

use core::ops::Range;

/// Bytes in a page.
pub const PAGE: u64 = 0x1000;

/// Where physical address 0 is visible.
pub const PHYSICAL_WINDOW: u64 = 0x2000_0000_0000;

/// The first physical address that is not RAM: 3 GiB, where a PC has its PCI hole.
pub const DEVICE_PHYSICAL: u64 = 0xC000_0000;

/// One past the last physical address of the window.
pub const PHYSICAL_END: u64 = 0x1_0000_0000;

/// The window's RAM.
pub const RAM: Range<u64> = PHYSICAL_WINDOW..PHYSICAL_WINDOW + DEVICE_PHYSICAL;

/// The window's device registers.
pub const DEVICE: Range<u64> = PHYSICAL_WINDOW + DEVICE_PHYSICAL..PHYSICAL_WINDOW + PHYSICAL_END;

/// RAM for buffers that devices with short addresses reach: 16 MiB to 256 MiB.
pub const CONTIGUOUS: Range<u64> = ram(0x0100_0000)..ram(0x1000_0000);

/// Driver images.
pub const IMAGES: Range<u64> = ram(0x1000_0000)..ram(0x2000_0000);

/// Nonpaged pool.
pub const NONPAGED_POOL: Range<u64> = ram(0x2000_0000)..ram(0x4000_0000);

/// Paged pool.
pub const PAGED_POOL: Range<u64> = ram(0x4000_0000)..ram(0x6000_0000);

/// Kernel stacks, each with a guard page below.
pub const STACKS: Range<u64> = ram(0x6000_0000)..ram(0x8000_0000);

/// What the kernel itself lays out for drivers to see: KPCRs, KTHREADs, object types.
pub const SYSTEM: Range<u64> = ram(0x8000_0000)..ram(0x9000_0000);

/// User buffers of requests.
pub const USER: Range<u64> = 0x1000_0000_0000..0x1000_1000_0000;

/// The highest address that drivers are to take for a user's.
pub const HIGHEST_USER_ADDRESS: u64 = PHYSICAL_WINDOW - 0x1_0001;

/// KUSER_SHARED_DATA: in the kernel half, so every access faults and is carried out.
pub const SHARED_DATA: u64 = 0xFFFF_F780_0000_0000;

const fn ram(physical: u64) -> u64 {
    PHYSICAL_WINDOW + physical
}

/// The physical address of a virtual one, if it lies in the window.
#[must_use]
pub const fn physical(address: u64) -> Option<u64> {
    if address >= PHYSICAL_WINDOW && address < PHYSICAL_WINDOW + PHYSICAL_END {
        Some(address - PHYSICAL_WINDOW)
    } else {
        None
    }
}
