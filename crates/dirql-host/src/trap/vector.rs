//! The extent of the x87, SSE, AVX and AVX-512 state that has to survive an interruption.
//!
//! Source: Intel SDM volume 1, Managing State Using the XSAVE Feature Set.
//! Not modelled: AMX tiles and protection keys, which driver code does not use; they are
//! left alone, not saved.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// x87, SSE, AVX upper halves, opmasks, ZMM upper halves, ZMM16 to ZMM31.
const WANTED: u64 = 0b1110_0111;

/// x87 and SSE, which are saved always, so that they can be read and changed.
const LEGACY: u64 = 0b11;

/// The legacy region and the header.
const SMALLEST: usize = 576;

/// Where Linux describes the state in a signal frame: bytes of the legacy region that
/// the processor leaves alone (`struct _fpx_sw_bytes`).
const LINUX_MAGIC: usize = 464;
const LINUX_MAGIC_VALUE: u32 = 0x4650_5853;
const HEADER: usize = 512;

/// What this processor has of the state, and where it puts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct VectorState {
    /// The components that are saved and restored.
    pub(super) components: u64,
    /// One past the last byte of each component in an XSAVE area.
    ends: [usize; 8],
}

impl VectorState {
    /// Asks the processor. `None` if Linux does not use XSAVE on it.
    pub(super) fn of_this_processor() -> Option<Self> {
        let features = __cpuid(1);
        let enabled_by_system = features.ecx & (1 << 27) != 0;
        if !enabled_by_system {
            return None;
        }
        // SAFETY: OSXSAVE is set, so XGETBV exists; XCR0 always does.
        let components = unsafe { xcr0() } & WANTED;
        let mut ends = [0; 8];
        for (component, end) in ends.iter_mut().enumerate().skip(2) {
            if components & (1 << component) != 0 {
                let place = __cpuid_count(0xD, component as u32);
                *end = (place.eax + place.ebx) as usize;
            }
        }
        Some(Self { components, ends })
    }

    /// The components to save for code whose state Linux saved at `state`: the legacy ones
    /// and those that are not in their initial configuration.
    ///
    /// # Safety
    /// `state` is null or what a signal frame's `fpregs` points at.
    pub(super) unsafe fn in_use(&self, state: *const u8) -> u64 {
        // SAFETY: the caller's promise.
        if !unsafe { has_header(state) } {
            return self.components;
        }
        // SAFETY: the magic says that the header follows the legacy region.
        let in_use = unsafe { state.add(HEADER).cast::<u64>().read_unaligned() };
        (in_use | LEGACY) & self.components
    }

    /// Bytes of an XSAVE area for `components`.
    pub(super) fn area(&self, components: u64) -> usize {
        let ends = self.ends.iter().enumerate();
        let needed = ends.filter(|(component, _)| components & (1 << component) != 0);
        needed.map(|(_, end)| *end).fold(SMALLEST, usize::max)
    }
}

/// Whether a signal frame holds an XSAVE area and not only the legacy region.
///
/// # Safety
/// `state` is null or what a signal frame's `fpregs` points at.
pub(super) unsafe fn has_header(state: *const u8) -> bool {
    if state.is_null() {
        return false;
    }
    // SAFETY: a signal frame's state has at least the 512 bytes of the legacy region.
    let magic = unsafe { state.add(LINUX_MAGIC).cast::<u32>().read_unaligned() };
    magic == LINUX_MAGIC_VALUE
}

/// # Safety
/// The processor has XSAVE and the system uses it.
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    unsafe { _xgetbv(0) }
}
