//! IRQL, spin locks, and the cancel spin lock.

use dirql_abi::dispatcher::KLockQueueHandle;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

type Handle = DriverPtr<KLockQueueHandle>;

exports! {
    fn KeGetCurrentIrql() -> u8 = |k| Ok(k.irql().0);
    fn KfRaiseIrql(new: u8) -> u8 = |k| k.ke_raise_irql(new);
    fn KeLowerIrql(new: u8) -> Nothing = |k| k.ke_lower_irql(new).map(Nothing::from);
    fn KeRaiseIrqlToDpcLevel() -> u8 = |k| k.ke_raise_irql_to_dpc_level();
    fn KeRaiseIrqlToSynchLevel() -> u8 = |k| k.ke_raise_irql(dirql_abi::Irql::SYNCH.0);

    fn KeInitializeSpinLock(lock: u64) -> Nothing = |k| k.ke_initialize_spin_lock(lock).map(Nothing::from);
    fn KeAcquireSpinLockRaiseToDpc(lock: u64) -> u8 = |k| k.ke_acquire_spin_lock_raise_to_dpc(lock);
    fn KeAcquireSpinLockRaiseToSynch(lock: u64) -> u8 = |k| k.ke_acquire_spin_lock_raise_to_synch(lock);
    fn KeReleaseSpinLock(lock: u64, new: u8) -> Nothing = |k| k.ke_release_spin_lock(lock, new).map(Nothing::from);
    fn KeAcquireSpinLockAtDpcLevel(lock: u64) -> Nothing
        = |k| k.ke_acquire_spin_lock_at_dpc_level(lock).map(Nothing::from);
    fn KeReleaseSpinLockFromDpcLevel(lock: u64) -> Nothing
        = |k| k.ke_release_spin_lock_from_dpc_level(lock).map(Nothing::from);
    fn KeTryToAcquireSpinLockAtDpcLevel(lock: u64) -> u8 = |k| k.ke_try_to_acquire_spin_lock_at_dpc_level(lock);
    fn KeTestSpinLock(lock: u64) -> u8 = |k| k.ke_test_spin_lock(lock);
    fn KeAcquireSpinLockForDpc(lock: u64) -> u8 = |k| k.ke_acquire_spin_lock_for_dpc(lock);
    fn KeReleaseSpinLockForDpc(lock: u64, new: u8) -> Nothing
        = |k| k.ke_release_spin_lock(lock, new).map(Nothing::from);

    fn KeAcquireInStackQueuedSpinLock(lock: u64, handle: Handle) -> Nothing
        = |k| k.ke_acquire_in_stack_queued_spin_lock(lock, handle).map(Nothing::from);
    fn KeAcquireInStackQueuedSpinLockRaiseToSynch(lock: u64, handle: Handle) -> Nothing
        = |k| k.ke_acquire_in_stack_queued_spin_lock_raise_to_synch(lock, handle).map(Nothing::from);
    fn KeAcquireInStackQueuedSpinLockAtDpcLevel(lock: u64, handle: Handle) -> Nothing
        = |k| k.ke_acquire_in_stack_queued_spin_lock_at_dpc_level(lock, handle).map(Nothing::from);
    fn KeAcquireInStackQueuedSpinLockForDpc(lock: u64, handle: Handle) -> Nothing
        = |k| k.ke_acquire_in_stack_queued_spin_lock(lock, handle).map(Nothing::from);
    fn KeReleaseInStackQueuedSpinLock(handle: Handle) -> Nothing
        = |k| k.ke_release_in_stack_queued_spin_lock(handle).map(Nothing::from);
    fn KeReleaseInStackQueuedSpinLockForDpc(handle: Handle) -> Nothing
        = |k| k.ke_release_in_stack_queued_spin_lock(handle).map(Nothing::from);
    fn KeReleaseInStackQueuedSpinLockFromDpcLevel(handle: Handle) -> Nothing
        = |k| k.ke_release_in_stack_queued_spin_lock_from_dpc_level(handle).map(Nothing::from);

    fn IoAcquireCancelSpinLock(old: DriverPtr<u8>) -> Nothing
        = |k| k.io_acquire_cancel_spin_lock(old).map(Nothing::from);
    fn IoReleaseCancelSpinLock(old: u8) -> Nothing = |k| k.io_release_cancel_spin_lock(old).map(Nothing::from);

    fn KeAcquireQueuedSpinLock(number: u32) -> u8 = |k| k.ke_acquire_queued_spin_lock(number);
    fn KeAcquireQueuedSpinLockRaiseToSynch(number: u32) -> u8
        = |k| k.ke_acquire_queued_spin_lock_raise_to_synch(number);
    fn KeTryToAcquireQueuedSpinLock(number: u32, old: DriverPtr<u8>) -> u32
        = |k| k.ke_try_to_acquire_queued_spin_lock(number, old);
    fn KeTryToAcquireQueuedSpinLockRaiseToSynch(number: u32, old: DriverPtr<u8>) -> u32
        = |k| k.ke_try_to_acquire_queued_spin_lock_raise_to_synch(number, old);
    fn KeReleaseQueuedSpinLock(number: u32, old: u8) -> Nothing
        = |k| k.ke_release_queued_spin_lock(number, old).map(Nothing::from);

    fn KeIpiGenericCall(routine: u64, context: u64) -> u64 = |k| k.ke_ipi_generic_call(routine, context);
}
