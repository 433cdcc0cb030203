//! DPCs.

use dirql_abi::NtStatus;
use dirql_abi::dpc::{KDpc, KDpcWatchdogInformation};
use dirql_abi::processor::ProcessorNumber;
use dirql_kernel::DriverPtr;

use super::{Nothing, exports};

type Dpc = DriverPtr<KDpc>;

exports! {
    fn KeInitializeDpc(dpc: Dpc, routine: u64, context: u64) -> Nothing
        = |k| k.ke_initialize_dpc(dpc, routine, context).map(Nothing::from);
    fn KeInitializeThreadedDpc(dpc: Dpc, routine: u64, context: u64) -> Nothing
        = |k| k.ke_initialize_threaded_dpc(dpc, routine, context).map(Nothing::from);
    fn KeInsertQueueDpc(dpc: Dpc, argument1: u64, argument2: u64) -> u8
        = |k| k.ke_insert_queue_dpc(dpc, argument1, argument2);
    fn KeRemoveQueueDpc(dpc: Dpc) -> u8 = |k| k.ke_remove_queue_dpc(dpc);
    fn KeFlushQueuedDpcs() -> Nothing = |k| k.ke_flush_queued_dpcs().map(Nothing::from);
    fn KeSetImportanceDpc(dpc: Dpc, importance: u32) -> Nothing
        = |k| k.ke_set_importance_dpc(dpc, importance).map(Nothing::from);
    fn KeSetTargetProcessorDpc(dpc: Dpc, number: u8) -> Nothing
        = |k| k.ke_set_target_processor_dpc(dpc, number).map(Nothing::from);
    fn KeSetTargetProcessorDpcEx(dpc: Dpc, number: DriverPtr<ProcessorNumber>) -> NtStatus
        = |k| k.ke_set_target_processor_dpc_ex(dpc, number);
    fn KeIsExecutingDpc() -> u32 = |k| k.ke_is_executing_dpc();
    fn KeQueryDpcWatchdogInformation(information: DriverPtr<KDpcWatchdogInformation>) -> NtStatus
        = |k| k.ke_query_dpc_watchdog_information(information);
}
