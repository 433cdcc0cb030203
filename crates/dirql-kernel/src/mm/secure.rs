//! Memory of a user's that a driver has kept from being freed.
//!
//! Windows refuses to free or to protect pages that a driver has secured. The one way in which
//! a user's pages go away here is ZwFreeVirtualMemory, which refuses it too.
//!
//! Source: WDK reference, ntddk.MmSecureVirtualMemory, ntddk.MmUnsecureVirtualMemory.

use alloc::collections::BTreeMap;
use alloc::format;
use core::ops::Range;

use dirql_rules::{Place, ids};

use super::layout::{self, PAGE};
use crate::{Ddi, Kernel};

/// `PAGE_READONLY` and `PAGE_READWRITE`, the two that may be probed for.
const READONLY: u32 = 2;
const READWRITE: u32 = 4;

/// What handles begin with; they are no addresses of anything.
const FIRST_HANDLE: u64 = 0x5EC0_0000;

#[derive(Debug)]
struct One {
    pages: Range<u64>,
    place: Place,
}

/// What is secured, by handle.
#[derive(Debug, Default)]
pub(super) struct Secured {
    live: BTreeMap<u64, One>,
    count: u64,
}

impl Secured {
    /// Whether a page of `range` is secured.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        self.live
            .values()
            .any(|one| one.pages.start < range.end && range.start < one.pages.end)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (u64, u64, &Place)> {
        self.live.values().map(|one| {
            let bytes = one.pages.end - one.pages.start;
            (one.pages.start, bytes, &one.place)
        })
    }
}

impl Kernel {
    /// `HANDLE MmSecureVirtualMemory(PVOID Address, SIZE_T Size, ULONG ProbeMode)`
    ///
    /// Keeps a range of the user's memory as it is until MmUnsecureVirtualMemory.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: a handle; NULL for a range that is not the user's, is empty, cannot be accessed
    ///   as the mode says, or for another mode.
    /// - Source: WDK reference, ntddk.MmSecureVirtualMemory.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn mm_secure_virtual_memory(&self, address: u64, bytes: u64, mode: u32) -> Ddi<u64> {
        let end = address.saturating_add(bytes);
        let is_users = bytes != 0 && end <= layout::HIGHEST_USER_ADDRESS;
        if !is_users || !matches!(mode, READONLY | READWRITE) {
            return Ok(0);
        }
        let mut at = address;
        while at < end {
            let mut byte = [0];
            let is_readable = self.platform().read(at, &mut byte).is_ok();
            if !is_readable || (mode == READWRITE && self.platform().write(at, &byte).is_err()) {
                return Ok(0);
            }
            at = layout::page_of(at) + PAGE;
        }
        let place = self.here();
        let mut secured = self.mm.secured.borrow_mut();
        secured.count += 1;
        let handle = FIRST_HANDLE + 0x10 * secured.count;
        let pages = layout::page_of(address)..end.next_multiple_of(PAGE);
        secured.live.insert(handle, One { pages, place });
        Ok(handle)
    }

    /// `VOID MmUnsecureVirtualMemory(HANDLE)`
    ///
    /// Ends what [`Kernel::mm_secure_virtual_memory`] began.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: `BAD_FREE` for what is no handle of that routine's, or not any more.
    /// - Source: WDK reference, ntddk.MmUnsecureVirtualMemory.
    ///
    /// # Errors
    /// None but the end of the run.
    pub fn mm_unsecure_virtual_memory(&self, handle: u64) -> Ddi<()> {
        let known = self.mm.secured.borrow_mut().live.remove(&handle);
        if known.is_none() {
            let message = format!("no memory is secured with the handle {handle:#x}");
            self.find(ids::BAD_FREE, message, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dirql_abi::NtStatus;

    use super::*;
    use crate::testing::Bench;
    use crate::{Config, DriverPtr};

    #[test]
    fn secured_memory_is_not_freed_until_it_is_unsecured() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let (base, size) = (
            DriverPtr::<u64>::new(bench.variable(8)),
            DriverPtr::<u64>::new(bench.variable(8)),
        );
        kernel.write(size, PAGE).unwrap();
        kernel
            .zw_allocate_virtual_memory(u64::MAX, base, size, 0x1000, 2)
            .unwrap();
        let address = kernel.read(base).unwrap();
        assert_eq!(
            kernel.mm_secure_virtual_memory(address, 8, READWRITE),
            Ok(0)
        );
        let handle = kernel
            .mm_secure_virtual_memory(address, 8, READONLY)
            .unwrap();
        assert_ne!(handle, 0);
        let free = || kernel.zw_free_virtual_memory(u64::MAX, base, size, 0x8000);
        assert_eq!(free(), Ok(NtStatus::INVALID_PAGE_PROTECTION));
        kernel.mm_unsecure_virtual_memory(handle).unwrap();
        assert_eq!(free(), Ok(NtStatus::SUCCESS));
        assert!(bench.rules().is_empty());
        kernel.mm_unsecure_virtual_memory(handle).unwrap();
        assert_eq!(bench.rules(), [ids::BAD_FREE]);
    }

    #[test]
    fn only_accessible_memory_of_the_users_is_secured() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let pool = kernel.pool_allocate(0, 16, 1).unwrap();
        for (address, bytes, mode) in [
            (pool, 16, READONLY),
            (layout::USER.start, 16, READONLY),
            (layout::USER.start, 0, READONLY),
            (u64::MAX, 2, READONLY),
            (layout::USER.start, 16, 0x40),
        ] {
            assert_eq!(kernel.mm_secure_virtual_memory(address, bytes, mode), Ok(0));
        }
    }
}
