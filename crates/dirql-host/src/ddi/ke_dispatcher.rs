//! Dispatcher objects: events, mutexes, semaphores, timers, and waiting for them.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KEvent, KGuardedMutex, KMutant, KSemaphore, KTimer};
use dirql_abi::dpc::KDpc;
use dirql_abi::processor::KApc;
use dirql_kernel::DriverPtr;
use dirql_kernel::ke::{ApcRequest, WaitMode};

use super::{Nothing, Signed, exports};

type Guarded = DriverPtr<KGuardedMutex>;

exports! {
    fn KeInitializeEvent(event: DriverPtr<KEvent>, kind: u32, state: u8) -> Nothing
        = |k| k.ke_initialize_event(event, kind, state).map(Nothing::from);
    fn KeSetEvent(event: DriverPtr<KEvent>, increment: i32, wait: u8) -> Signed
        = |k| k.ke_set_event(event, increment, wait).map(Signed);
    fn KeClearEvent(event: DriverPtr<KEvent>) -> Nothing = |k| k.ke_clear_event(event).map(Nothing::from);
    fn KeResetEvent(event: DriverPtr<KEvent>) -> Signed = |k| k.ke_reset_event(event).map(Signed);
    fn KeReadStateEvent(event: DriverPtr<KEvent>) -> Signed = |k| k.ke_read_state_event(event).map(Signed);
    fn KePulseEvent(event: DriverPtr<KEvent>, increment: i32, wait: u8) -> Signed
        = |k| k.ke_pulse_event(event, increment, wait).map(Signed);

    fn KeInitializeMutex(mutex: DriverPtr<KMutant>, _level: u32) -> Nothing
        = |k| k.ke_initialize_mutex(mutex).map(Nothing::from);
    fn KeInitializeMutant(mutant: DriverPtr<KMutant>, owned: u8) -> Nothing
        = |k| k.ke_initialize_mutant(mutant, owned).map(Nothing::from);
    fn KeReleaseMutex(mutex: DriverPtr<KMutant>, wait: u8) -> Signed
        = |k| k.ke_release_mutex(mutex, wait).map(Signed);
    fn KeReleaseMutant(mutant: DriverPtr<KMutant>, _increment: i32, _abandoned: u8, wait: u8) -> Signed
        = |k| k.ke_release_mutex(mutant, wait).map(Signed);
    fn KeReadStateMutex(mutex: DriverPtr<KMutant>) -> Signed = |k| k.ke_read_state_mutex(mutex).map(Signed);
    fn KeReadStateMutant(mutant: DriverPtr<KMutant>) -> Signed = |k| k.ke_read_state_mutex(mutant).map(Signed);

    fn KeInitializeSemaphore(semaphore: DriverPtr<KSemaphore>, count: i32, limit: i32) -> Nothing
        = |k| k.ke_initialize_semaphore(semaphore, count, limit).map(Nothing::from);
    fn KeReleaseSemaphore(semaphore: DriverPtr<KSemaphore>, increment: i32, adjustment: i32, _wait: u8) -> Signed
        = |k| k.ke_release_semaphore(semaphore, increment, adjustment).map(Signed);
    fn KeReadStateSemaphore(semaphore: DriverPtr<KSemaphore>) -> Signed
        = |k| k.ke_read_state_semaphore(semaphore).map(Signed);

    fn KeInitializeGuardedMutex(mutex: Guarded) -> Nothing
        = |k| k.ke_initialize_guarded_mutex(mutex).map(Nothing::from);
    fn KeAcquireGuardedMutex(mutex: Guarded) -> Nothing = |k| k.ke_acquire_guarded_mutex(mutex).map(Nothing::from);
    fn KeAcquireGuardedMutexUnsafe(mutex: Guarded) -> Nothing
        = |k| k.ke_acquire_guarded_mutex_unsafe(mutex).map(Nothing::from);
    fn KeTryToAcquireGuardedMutex(mutex: Guarded) -> u8 = |k| k.ke_try_to_acquire_guarded_mutex(mutex);
    fn KeReleaseGuardedMutex(mutex: Guarded) -> Nothing = |k| k.ke_release_guarded_mutex(mutex).map(Nothing::from);
    fn KeReleaseGuardedMutexUnsafe(mutex: Guarded) -> Nothing
        = |k| k.ke_release_guarded_mutex_unsafe(mutex).map(Nothing::from);

    fn KeInitializeTimer(timer: DriverPtr<KTimer>) -> Nothing
        = |k| k.ke_initialize_timer_ex(timer, 0).map(Nothing::from);
    fn KeInitializeTimerEx(timer: DriverPtr<KTimer>, kind: u32) -> Nothing
        = |k| k.ke_initialize_timer_ex(timer, kind).map(Nothing::from);
    fn KeSetTimer(timer: DriverPtr<KTimer>, due: i64, dpc: DriverPtr<KDpc>) -> u8
        = |k| k.ke_set_timer_ex(timer, due, 0, dpc);
    fn KeSetTimerEx(timer: DriverPtr<KTimer>, due: i64, period_ms: i32, dpc: DriverPtr<KDpc>) -> u8
        = |k| k.ke_set_timer_ex(timer, due, period_ms, dpc);
    fn KeCancelTimer(timer: DriverPtr<KTimer>) -> u8 = |k| k.ke_cancel_timer(timer);
    fn KeReadStateTimer(timer: DriverPtr<KTimer>) -> u8 = |k| k.ke_read_state_timer(timer);

    fn KeWaitForSingleObject(object: u64, reason: u32, mode: u8, alertable: u8, timeout: DriverPtr<i64>) -> NtStatus
        = |k| k.ke_wait_for_single_object(object, reason, mode, alertable, timeout);
    fn KeWaitForMutexObject(object: u64, reason: u32, mode: u8, alertable: u8, timeout: DriverPtr<i64>) -> NtStatus
        = |k| k.ke_wait_for_single_object(object, reason, mode, alertable, timeout);
    fn KeWaitForMultipleObjects(
        count: u32,
        objects: u64,
        wait_type: u32,
        _reason: u32,
        mode: u8,
        alertable: u8,
        timeout: DriverPtr<i64>,
        wait_blocks: u64,
    ) -> NtStatus = |k| k.ke_wait_for_multiple_objects(
        count, objects, wait_type, WaitMode::new(mode, alertable), timeout, wait_blocks,
    );
    fn KeDelayExecutionThread(mode: u8, alertable: u8, interval: DriverPtr<i64>) -> NtStatus
        = |k| k.ke_delay_execution_thread(WaitMode::new(mode, alertable), interval);
    fn KeAlertThread(thread: u64, mode: u8) -> u8 = |k| k.ke_alert_thread(thread, mode);
    fn KeTestAlertThread(mode: u8) -> u8 = |k| k.ke_test_alert_thread(mode);

    fn KeInitializeApc(
        apc: DriverPtr<KApc>, thread: u64, environment: u32, kernel_routine: u64, rundown_routine: u64,
        normal_routine: u64, mode: u8, normal_context: u64,
    ) -> Nothing = |k| k.ke_initialize_apc(apc, ApcRequest {
        thread, environment, kernel_routine, rundown_routine, normal_routine, mode, normal_context,
    }).map(Nothing::from);
    fn KeInsertQueueApc(apc: DriverPtr<KApc>, argument1: u64, argument2: u64, increment: i32) -> u8
        = |k| k.ke_insert_queue_apc(apc, argument1, argument2, increment);
}
