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

/// What a PC's firmware leaves in the first megabyte: the BIOS data area, video memory, ROMs.
pub const FIRMWARE: Range<u64> = ram(0)..ram(0x10_0000);

/// RAM for buffers that devices with 24 address lines reach: 1 MiB to 16 MiB.
pub const LOW_CONTIGUOUS: Range<u64> = ram(0x0010_0000)..ram(0x0100_0000);

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

/// Addresses that drivers reserve for mappings; never accessible.
pub const RESERVED: Range<u64> = ram(0x9000_0000)..ram(0xA000_0000);

/// What the platform itself puts in sight of drivers: thunks, exported variables.
pub const PLATFORM: Range<u64> = ram(0xA000_0000)..ram(0xB000_0000);

/// User buffers of requests.
pub const USER: Range<u64> = 0x1000_0000_0000..0x1000_1000_0000;

/// The part of [`USER`] that ZwAllocateVirtualMemory gives out.
pub const PROCESS: Range<u64> = USER.end - 0x400_0000..USER.end;

/// The physical address of the first byte of [`USER`]: user pages lie above 4 GiB, out of
/// reach of devices with 32 address lines, as on a PC with more than 4 GiB.
pub const USER_PHYSICAL: u64 = PHYSICAL_END;

/// The highest address that drivers are to take for a user's.
pub const HIGHEST_USER_ADDRESS: u64 = PHYSICAL_WINDOW - 0x1_0001;

/// KUSER_SHARED_DATA: in the kernel half, so every access faults and is carried out.
pub const SHARED_DATA: u64 = 0xFFFF_F780_0000_0000;

const fn ram(physical: u64) -> u64 {
    PHYSICAL_WINDOW + physical
}

/// The physical address of a virtual one, if it lies in the window or among the user pages.
#[must_use]
pub const fn physical(address: u64) -> Option<u64> {
    if address >= PHYSICAL_WINDOW && address < PHYSICAL_WINDOW + PHYSICAL_END {
        Some(address - PHYSICAL_WINDOW)
    } else if address >= USER.start && address < USER.end {
        Some(address - USER.start + USER_PHYSICAL)
    } else {
        None
    }
}

/// The virtual address of a physical one, if there is anything: the reverse of [`physical`].
#[must_use]
pub const fn virtual_address(physical: u64) -> Option<u64> {
    if physical < PHYSICAL_END {
        Some(PHYSICAL_WINDOW + physical)
    } else if physical - USER_PHYSICAL < USER.end - USER.start {
        Some(USER.start + (physical - USER_PHYSICAL))
    } else {
        None
    }
}

/// Whether a physical address is in the part of the window where device registers are.
#[must_use]
pub const fn is_device(physical: u64) -> bool {
    physical >= DEVICE_PHYSICAL && physical < PHYSICAL_END
}

/// The first address of the page that holds `address`.
#[must_use]
pub const fn page_of(address: u64) -> u64 {
    address & !(PAGE - 1)
}

/// How many pages the `bytes` from `address` on touch, as `ADDRESS_AND_SIZE_TO_SPAN_PAGES`.
#[must_use]
pub const fn pages_spanned(address: u64, bytes: u64) -> u64 {
    let offset = address & (PAGE - 1);
    // Neither addition can overflow for the lengths that an MDL can hold.
    (offset + bytes).div_ceil(PAGE)
}

const _: () = {
    let parts = [
        CONTIGUOUS,
        IMAGES,
        NONPAGED_POOL,
        PAGED_POOL,
        STACKS,
        SYSTEM,
        RESERVED,
        PLATFORM,
    ];
    let mut at = 1;
    while at < parts.len() {
        assert!(
            parts[at - 1].end <= parts[at].start,
            "the parts of RAM do not overlap"
        );
        at += 1;
    }
    assert!(PLATFORM.end <= RAM.end);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn physical_and_virtual_addresses_are_each_others_reverse_up_to_the_ends() {
        for address in [
            RAM.start,
            RAM.end - 1,
            DEVICE.start,
            DEVICE.end - 1,
            USER.start,
            USER.end - 1,
        ] {
            assert_eq!(physical(address).and_then(virtual_address), Some(address));
        }
        for address in [
            RAM.start - 1,
            DEVICE.end,
            USER.start - 1,
            USER.end,
            0,
            u64::MAX,
        ] {
            assert_eq!(physical(address), None);
        }
        assert_eq!(
            virtual_address(USER_PHYSICAL + (USER.end - USER.start)),
            None
        );
        assert_eq!(virtual_address(u64::MAX), None);
    }

    #[test]
    fn the_device_window_begins_at_3_gib_and_ends_at_4() {
        assert!(!is_device(DEVICE_PHYSICAL - 1) && is_device(DEVICE_PHYSICAL));
        assert!(is_device(PHYSICAL_END - 1) && !is_device(PHYSICAL_END));
    }

    #[test]
    fn a_byte_over_a_page_spans_two() {
        assert_eq!(pages_spanned(0x1000, 0), 0);
        assert_eq!(pages_spanned(0x1000, 0x1000), 1);
        assert_eq!(pages_spanned(0x1001, 0x1000), 2);
        assert_eq!(pages_spanned(0x1FFF, 1), 1);
        assert_eq!(pages_spanned(0x1FFF, 2), 2);
    }
}
