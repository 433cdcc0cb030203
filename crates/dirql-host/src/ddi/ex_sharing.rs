//! Locks that several can hold: push locks, reader/writer spin locks, and what enters a critical
//! region with a resource.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::EResource;
use dirql_kernel::DriverPtr;
use dirql_kernel::ex::Hold;

use super::{Nothing, exports};

type Push = DriverPtr<u64>;
type Spin = DriverPtr<u32>;
type Resource = DriverPtr<EResource>;

exports! {
    fn ExInitializePushLock(lock: Push) -> Nothing = |k| k.ex_initialize_push_lock(lock).map(Nothing::from);
    fn ExAcquirePushLockExclusiveEx(lock: Push, _flags: u32) -> Nothing
        = |k| k.ex_acquire_push_lock(lock, Hold::Exclusive).map(Nothing::from);
    fn ExAcquirePushLockSharedEx(lock: Push, _flags: u32) -> Nothing
        = |k| k.ex_acquire_push_lock(lock, Hold::Shared).map(Nothing::from);
    fn ExTryAcquirePushLockExclusiveEx(lock: Push, _flags: u32) -> u8
        = |k| k.ex_try_acquire_push_lock(lock, Hold::Exclusive);
    fn ExTryAcquirePushLockSharedEx(lock: Push, _flags: u32) -> u8
        = |k| k.ex_try_acquire_push_lock(lock, Hold::Shared);
    fn ExReleasePushLockEx(lock: Push, _flags: u32) -> Nothing
        = |k| k.ex_release_push_lock(lock, None).map(Nothing::from);
    fn ExReleasePushLockExclusiveEx(lock: Push, _flags: u32) -> Nothing
        = |k| k.ex_release_push_lock(lock, Some(Hold::Exclusive)).map(Nothing::from);
    fn ExReleasePushLockSharedEx(lock: Push, _flags: u32) -> Nothing
        = |k| k.ex_release_push_lock(lock, Some(Hold::Shared)).map(Nothing::from);
    fn ExfAcquirePushLockExclusive(lock: Push) -> Nothing
        = |k| k.ex_acquire_push_lock(lock, Hold::Exclusive).map(Nothing::from);
    fn ExfAcquirePushLockShared(lock: Push) -> Nothing
        = |k| k.ex_acquire_push_lock(lock, Hold::Shared).map(Nothing::from);
    fn ExfTryAcquirePushLockShared(lock: Push) -> u8 = |k| k.ex_try_acquire_push_lock(lock, Hold::Shared);
    fn ExfReleasePushLock(lock: Push) -> Nothing = |k| k.ex_release_push_lock(lock, None).map(Nothing::from);
    fn ExfReleasePushLockExclusive(lock: Push) -> Nothing
        = |k| k.ex_release_push_lock(lock, Some(Hold::Exclusive)).map(Nothing::from);
    fn ExfReleasePushLockShared(lock: Push) -> Nothing
        = |k| k.ex_release_push_lock(lock, Some(Hold::Shared)).map(Nothing::from);

    fn ExAcquireSpinLockExclusive(lock: Spin) -> u8 = |k| k.ex_acquire_spin_lock(lock, true);
    fn ExAcquireSpinLockShared(lock: Spin) -> u8 = |k| k.ex_acquire_spin_lock(lock, false);
    fn ExAcquireSpinLockExclusiveAtDpcLevel(lock: Spin) -> Nothing
        = |k| k.ex_acquire_spin_lock_at_dpc_level(lock, true).map(Nothing::from);
    fn ExAcquireSpinLockSharedAtDpcLevel(lock: Spin) -> Nothing
        = |k| k.ex_acquire_spin_lock_at_dpc_level(lock, false).map(Nothing::from);
    fn ExTryAcquireSpinLockExclusiveAtDpcLevel(lock: Spin) -> u32
        = |k| k.ex_try_acquire_spin_lock_at_dpc_level(lock, true);
    fn ExTryAcquireSpinLockSharedAtDpcLevel(lock: Spin) -> u32
        = |k| k.ex_try_acquire_spin_lock_at_dpc_level(lock, false);
    fn ExTryConvertSharedSpinLockExclusive(lock: Spin) -> u32
        = |k| k.ex_try_convert_shared_spin_lock_exclusive(lock);
    fn ExReleaseSpinLockExclusive(lock: Spin, old: u8) -> Nothing
        = |k| k.ex_release_spin_lock(lock, true, Some(old)).map(Nothing::from);
    fn ExReleaseSpinLockShared(lock: Spin, old: u8) -> Nothing
        = |k| k.ex_release_spin_lock(lock, false, Some(old)).map(Nothing::from);
    fn ExReleaseSpinLockExclusiveFromDpcLevel(lock: Spin) -> Nothing
        = |k| k.ex_release_spin_lock(lock, true, None).map(Nothing::from);
    fn ExReleaseSpinLockSharedFromDpcLevel(lock: Spin) -> Nothing
        = |k| k.ex_release_spin_lock(lock, false, None).map(Nothing::from);

    // What these return is for the window system.
    fn ExEnterCriticalRegionAndAcquireResourceExclusive(resource: Resource) -> u64
        = |k| {
            k.ke_enter_critical_region()?;
            k.ex_acquire_resource_exclusive_lite(resource, 1).map(|_| 0)
        };
    fn ExEnterCriticalRegionAndAcquireResourceShared(resource: Resource) -> u64
        = |k| {
            k.ke_enter_critical_region()?;
            k.ex_acquire_resource_shared_lite(resource, 1).map(|_| 0)
        };
    fn ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(resource: Resource) -> u64
        = |k| {
            k.ke_enter_critical_region()?;
            k.ex_acquire_shared_wait_for_exclusive(resource, 1).map(|_| 0)
        };
    fn ExReleaseResourceAndLeaveCriticalRegion(resource: Resource) -> Nothing
        = |k| {
            k.ex_release_resource_lite(resource)?;
            k.ke_leave_critical_region().map(Nothing::from)
        };
    fn ExReinitializeResourceLite(resource: Resource) -> NtStatus
        = |k| {
            k.ex_delete_resource_lite(resource)?;
            k.ex_initialize_resource_lite(resource)
        };
}
