//! Connecting interrupts, and synchronising with their ISRs.

use dirql_abi::Irql;
use dirql_abi::NtStatus;
use dirql_abi::interrupt::{
    IoConnectInterruptParameters, IoDisconnectInterruptParameters,
    IoReportInterruptActiveStateParameters,
};
use dirql_abi::processor::GroupAffinity;
use dirql_kernel::DriverPtr;
use dirql_kernel::io::interrupt::ConnectArguments;

use super::{Nothing, exports};

type ActiveState = DriverPtr<IoReportInterruptActiveStateParameters>;

exports! {
    fn IoConnectInterrupt(
        object: DriverPtr<u64>,
        service_routine: u64,
        service_context: u64,
        spin_lock: u64,
        vector: u32,
        irql: u8,
        synchronize_irql: u8,
        interrupt_mode: u32,
        share_vector: u8,
        processor_enable_mask: u64,
        floating_save: u8,
    ) -> NtStatus = |k| k.check_floating_save(floating_save).and_then(|()| k.io_connect_interrupt(object, ConnectArguments {
        service_routine,
        service_context,
        spin_lock,
        vector,
        irql: Irql(irql),
        synchronize_irql: Irql(synchronize_irql),
        interrupt_mode,
        share_vector,
        processor_enable_mask,
    }));
    fn IoConnectInterruptEx(parameters: DriverPtr<IoConnectInterruptParameters>) -> NtStatus
        = |k| k.io_connect_interrupt_ex(parameters);
    fn IoDisconnectInterrupt(object: u64) -> Nothing = |k| k.io_disconnect_interrupt(object).map(Nothing::from);
    fn IoDisconnectInterruptEx(parameters: DriverPtr<IoDisconnectInterruptParameters>) -> Nothing
        = |k| k.io_disconnect_interrupt_ex(parameters).map(Nothing::from);
    fn IoReportInterruptActive(parameters: ActiveState) -> Nothing
        = |k| k.io_report_interrupt_active(parameters).map(Nothing::from);
    fn IoReportInterruptInactive(parameters: ActiveState) -> Nothing
        = |k| k.io_report_interrupt_inactive(parameters).map(Nothing::from);
    fn IoGetAffinityInterrupt(object: u64, affinity: DriverPtr<GroupAffinity>) -> NtStatus
        = |k| k.io_get_affinity_interrupt(object, affinity);

    fn KeSynchronizeExecution(object: u64, routine: u64, context: u64) -> u8
        = |k| k.ke_synchronize_execution(object, routine, context);
    fn KeAcquireInterruptSpinLock(object: u64) -> u8 = |k| k.ke_acquire_interrupt_spin_lock(object);
    fn KeReleaseInterruptSpinLock(object: u64, old: u8) -> Nothing
        = |k| k.ke_release_interrupt_spin_lock(object, old).map(Nothing::from);
}
