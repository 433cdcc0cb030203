//! Pool by its public names.
//!
//! Source: WDK reference, wdm.ExAllocatePoolWithTag, wdm.ExAllocatePool2, wdm.ExFreePoolWithTag
//! and their relatives.

use dirql_abi::NtStatus;
use dirql_abi::memory::{pool_flags, pool_type};

use crate::mm::Fill;
use crate::{Ddi, DriverPtr, Kernel, Stop};

/// The tag of allocations without one.
const NO_TAG: u32 = u32::from_le_bytes(*b"None");

/// `POOL_FLAG_...` of ExAllocatePool2.
mod flag {
    pub(super) const UNINITIALIZED: u64 = 0x02;
    pub(super) const CACHE_ALIGNED: u64 = 0x08;
    pub(super) const RAISE_ON_FAILURE: u64 = 0x20;
    pub(super) const NON_PAGED: u64 = 0x40;
    pub(super) const NON_PAGED_EXECUTE: u64 = 0x80;
    pub(super) const PAGED: u64 = 0x100;
    /// The low half: what is not known there is an error; in the high half it is ignored.
    pub(super) const REQUIRED: u64 = 0xFFFF_FFFF;
    pub(super) const KNOWN: u64 = 0x1EF;
}

/// `POOL_EXTENDED_PARAMETER`: its bytes, and the bits of its first member.
mod parameter {
    pub(super) const BYTES: u64 = 16;
    pub(super) const KIND: u64 = 0xFF;
    pub(super) const OPTIONAL: u64 = 0x100;
    pub(super) const PRIORITY: u64 = 1;
    pub(super) const NODE: u64 = 3;
}

impl Kernel {
    /// `PVOID ExAllocatePoolWithTag(POOL_TYPE, SIZE_T, ULONG Tag)`
    ///
    /// Allocates pool. What it holds is not defined; here it is a pattern (0x5A) that is no
    /// address.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Returns: the address (page-aligned from 4,065 bytes on, else 16-aligned and inside one
    ///   page), or NULL.
    /// - Findings: `POOL_LEVEL`, `POOL_ZERO_BYTES`.
    /// - Source: WDK reference, wdm.ExAllocatePoolWithTag.
    ///
    /// # Errors
    /// Raises `STATUS_INSUFFICIENT_RESOURCES` in place of NULL if the type says so.
    pub fn ex_allocate_pool_with_tag(&self, pool_type: u32, bytes: u64, tag: u32) -> Ddi<u64> {
        self.pool_allocate(pool_type, bytes, tag)
    }

    /// `PVOID ExAllocatePool(POOL_TYPE, SIZE_T)`
    ///
    /// As [`Kernel::ex_allocate_pool_with_tag`] with the tag `None`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Returns: the address or NULL.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.ExAllocatePool.
    ///
    /// # Errors
    /// As there.
    pub fn ex_allocate_pool(&self, pool_type: u32, bytes: u64) -> Ddi<u64> {
        self.pool_allocate(pool_type, bytes, NO_TAG)
    }

    /// `PVOID ExAllocatePoolWithTagPriority(POOL_TYPE, SIZE_T, ULONG Tag, EX_POOL_PRIORITY)`
    ///
    /// As [`Kernel::ex_allocate_pool_with_tag`]; the priority makes no difference, because
    /// memory is never short.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Returns: the address or NULL.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.ExAllocatePoolWithTagPriority.
    ///
    /// # Errors
    /// As there.
    pub fn ex_allocate_pool_with_tag_priority(
        &self,
        pool_type: u32,
        bytes: u64,
        tag: u32,
        _priority: u32,
    ) -> Ddi<u64> {
        self.pool_allocate(pool_type, bytes, tag)
    }

    /// `PVOID ExAllocatePoolWithQuotaTag(POOL_TYPE, SIZE_T, ULONG Tag)`
    ///
    /// As [`Kernel::ex_allocate_pool_with_tag`]; the process has quota enough. Failure is an
    /// exception unless the type says `POOL_QUOTA_FAIL_INSTEAD_OF_RAISE`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Returns: the address or, with that flag, NULL.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.ExAllocatePoolWithQuotaTag.
    ///
    /// # Errors
    /// Raises `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn ex_allocate_pool_with_quota_tag(
        &self,
        pool_type: u32,
        bytes: u64,
        tag: u32,
    ) -> Ddi<u64> {
        let quiet = pool_type & pool_flags::POOL_QUOTA_FAIL_INSTEAD_OF_RAISE != 0;
        let pool_type = pool_type & !pool_flags::POOL_QUOTA_FAIL_INSTEAD_OF_RAISE;
        match self.pool_allocate(pool_type, bytes, tag)? {
            0 if !quiet => Err(raise(NtStatus::INSUFFICIENT_RESOURCES)),
            address => Ok(address),
        }
    }

    /// `PVOID ExAllocatePoolWithQuota(POOL_TYPE, SIZE_T)`
    ///
    /// As [`Kernel::ex_allocate_pool_with_quota_tag`] with the tag `None`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Returns: the address, or NULL as there.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.ExAllocatePoolWithQuota.
    ///
    /// # Errors
    /// As there.
    pub fn ex_allocate_pool_with_quota(&self, pool_type: u32, bytes: u64) -> Ddi<u64> {
        self.ex_allocate_pool_with_quota_tag(pool_type, bytes, NO_TAG)
    }

    /// `PVOID ExAllocatePool2(POOL_FLAGS, SIZE_T, ULONG Tag)`
    ///
    /// Allocates zeroed pool, or with `POOL_FLAG_UNINITIALIZED` pool that holds the pattern.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Returns: the address; NULL for no memory, no tag, not exactly one kind of pool, or a
    ///   flag in the low half that is not known.
    /// - Findings: `POOL_LEVEL`, `POOL_ZERO_BYTES`.
    /// - Source: WDK reference, wdm.ExAllocatePool2, "POOL_FLAGS".
    ///
    /// # Errors
    /// With `POOL_FLAG_RAISE_ON_FAILURE` raises `STATUS_INVALID_PARAMETER` or
    /// `STATUS_INSUFFICIENT_RESOURCES` in place of NULL.
    pub fn ex_allocate_pool2(&self, flags: u64, bytes: u64, tag: u32) -> Ddi<u64> {
        let raises = flags & flag::RAISE_ON_FAILURE != 0;
        let kind = match flags & (flag::NON_PAGED | flag::NON_PAGED_EXECUTE | flag::PAGED) {
            flag::NON_PAGED => Some(pool_type::NonPagedPoolNx),
            flag::NON_PAGED_EXECUTE => Some(pool_type::NonPagedPool),
            flag::PAGED => Some(pool_type::PagedPool),
            _ => None,
        };
        let unknown = flags & flag::REQUIRED & !flag::KNOWN != 0;
        let Some(kind) = kind.filter(|_| tag != 0 && !unknown) else {
            return if raises {
                Err(raise(NtStatus::INVALID_PARAMETER))
            } else {
                Ok(0)
            };
        };
        let aligned = if flags & flag::CACHE_ALIGNED == 0 {
            0
        } else {
            pool_type::NonPagedPoolCacheAligned
        };
        let fill = if flags & flag::UNINITIALIZED == 0 {
            Fill::Zero
        } else {
            Fill::Pattern
        };
        match self.pool_allocate_filled(kind | aligned, bytes, tag, fill)? {
            0 if raises => Err(raise(NtStatus::INSUFFICIENT_RESOURCES)),
            address => Ok(address),
        }
    }

    /// `PVOID ExAllocatePool3(POOL_FLAGS, SIZE_T, ULONG Tag, PCPOOL_EXTENDED_PARAMETER, ULONG Count)`
    ///
    /// As [`Kernel::ex_allocate_pool2`], with parameters: a priority and a preferred node make no
    /// difference; there is no secure pool.
    ///
    /// - IRQL: as there.
    /// - Returns: as there; NULL for a parameter that is not optional and cannot be obeyed.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.ExAllocatePool3, `POOL_EXTENDED_PARAMETER`.
    ///
    /// # Errors
    /// As there; parameters that are not memory.
    pub fn ex_allocate_pool3(
        &self,
        flags: u64,
        bytes: u64,
        tag: u32,
        (parameters, count): (u64, u32),
    ) -> Ddi<u64> {
        for index in 0..u64::from(count) {
            let at = parameters.wrapping_add(index.wrapping_mul(parameter::BYTES));
            let word: u64 = self.read(DriverPtr::new(at))?;
            let kind = word & parameter::KIND;
            let known = [parameter::PRIORITY, parameter::NODE].contains(&kind);
            if !known && word & parameter::OPTIONAL == 0 {
                return if flags & flag::RAISE_ON_FAILURE == 0 {
                    Ok(0)
                } else {
                    Err(raise(NtStatus::INVALID_PARAMETER))
                };
            }
        }
        self.ex_allocate_pool2(flags, bytes, tag)
    }

    /// `VOID ExFreePool(PVOID)`
    ///
    /// Frees pool. It is held back for a while with another pattern (0xDD) in it; whole pages
    /// fault.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Findings: `BAD_FREE`, `POOL_OVERRUN`, `USE_AFTER_FREE`, `POOL_LEVEL`; `FREED_ACTIVE` for
    ///   what the system still uses in it.
    /// - Source: WDK reference, ntddk.ExFreePool.
    ///
    /// # Errors
    /// Bug checks 0xC2 and 0x19 after their findings.
    pub fn ex_free_pool(&self, address: u64) -> Ddi<()> {
        self.pool_free_of_driver(address, None, "pool")
    }

    /// `VOID ExFreePoolWithTag(PVOID, ULONG Tag)`
    ///
    /// As [`Kernel::ex_free_pool`]; a tag other than 0 must be the allocation's.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; at or below APC_LEVEL for paged pool.
    /// - Findings: as there.
    /// - Source: WDK reference, wdm.ExFreePoolWithTag; Bug Check 0xC2, parameter 1 of 0xA.
    ///
    /// # Errors
    /// As there.
    pub fn ex_free_pool_with_tag(&self, address: u64, tag: u32) -> Ddi<()> {
        self.pool_free_of_driver(address, Some(tag).filter(|tag| *tag != 0), "pool")
    }
}

fn raise(code: NtStatus) -> Stop {
    Stop::Exception {
        code,
        parameters: [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn the_newer_routine_zeroes_unless_told_not_to() {
        let kernel = Bench::new(Config::default()).kernel;
        let zeroed = kernel.ex_allocate_pool2(flag::PAGED, 4, 1).unwrap();
        assert_eq!(kernel.read_bytes(zeroed, 4).unwrap(), [0; 4]);
        let flags = flag::NON_PAGED | flag::UNINITIALIZED | flag::CACHE_ALIGNED;
        let pattern = kernel.ex_allocate_pool2(flags, 4, 1).unwrap();
        assert_eq!(kernel.read_bytes(pattern, 4).unwrap(), [0x5A; 4]);
        assert_eq!(pattern % 64, 0);
    }

    #[test]
    fn the_newer_routine_wants_one_kind_a_tag_and_known_flags() {
        let kernel = Bench::new(Config::default()).kernel;
        let both = flag::NON_PAGED | flag::PAGED;
        for (flags, tag) in [
            (0, 1),
            (both, 1),
            (flag::PAGED, 0),
            (flag::PAGED | 0x200, 1),
        ] {
            assert_eq!(kernel.ex_allocate_pool2(flags, 4, tag), Ok(0));
            let raised = kernel.ex_allocate_pool2(flags | flag::RAISE_ON_FAILURE, 4, tag);
            assert_eq!(raised, Err(raise(NtStatus::INVALID_PARAMETER)));
        }
        assert_ne!(kernel.ex_allocate_pool2(flag::PAGED | 1 << 32, 4, 1), Ok(0));
        let raised = kernel.ex_allocate_pool2(flag::PAGED | flag::RAISE_ON_FAILURE, 1 << 40, 1);
        assert_eq!(raised, Err(raise(NtStatus::INSUFFICIENT_RESOURCES)));
    }

    #[test]
    fn a_parameter_that_cannot_be_obeyed_must_be_optional() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let parameters = bench.variable(16);
        let allocate = |word: u64| {
            kernel.write(DriverPtr::new(parameters), word).unwrap();
            kernel.ex_allocate_pool3(flag::PAGED, 4, 1, (parameters, 1))
        };
        assert_ne!(allocate(parameter::PRIORITY), Ok(0));
        assert_eq!(allocate(2), Ok(0));
        assert_ne!(allocate(2 | parameter::OPTIONAL), Ok(0));
    }

    #[test]
    fn the_quota_routine_raises_unless_told_not_to() {
        let kernel = Bench::new(Config::default()).kernel;
        assert_eq!(
            kernel.ex_allocate_pool_with_quota_tag(0, 1 << 40, 1),
            Err(raise(NtStatus::INSUFFICIENT_RESOURCES))
        );
        assert_eq!(kernel.ex_allocate_pool_with_quota_tag(8, 1 << 40, 1), Ok(0));
        assert_ne!(kernel.ex_allocate_pool_with_quota_tag(0, 8, 1), Ok(0));
    }

    #[test]
    fn a_free_with_tag_0_is_a_free_without() {
        let bench = Bench::new(Config::default());
        let address = bench.kernel.ex_allocate_pool_with_tag(0, 8, 7).unwrap();
        bench.kernel.ex_free_pool_with_tag(address, 0).unwrap();
        assert!(bench.rules().is_empty());
    }
}
