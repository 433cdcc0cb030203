//! Kernel queues.

use dirql_abi::dispatcher::KQueue;
use dirql_kernel::DriverPtr;

use super::{Nothing, Signed, exports};

type Queue = DriverPtr<KQueue>;

exports! {
    fn KeInitializeQueue(queue: Queue, count: u32) -> Nothing = |k| k.ke_initialize_queue(queue, count).map(Nothing::from);
    fn KeInsertQueue(queue: Queue, entry: u64) -> Signed = |k| k.ke_insert_queue(queue, entry, false).map(Signed);
    fn KeInsertHeadQueue(queue: Queue, entry: u64) -> Signed = |k| k.ke_insert_queue(queue, entry, true).map(Signed);
    fn KeReadStateQueue(queue: Queue) -> Signed = |k| k.ke_read_state_queue(queue).map(Signed);
    fn KeRemoveQueue(queue: Queue, _mode: u8, timeout: DriverPtr<i64>) -> u64 = |k| k.ke_remove_queue(queue, timeout);
    fn KeRemoveQueueEx(queue: Queue, _mode: u8, _alertable: u8, timeout: DriverPtr<i64>, entries: DriverPtr<u64>, count: u32) -> u32
        = |k| k.ke_remove_queue_ex(queue, timeout, entries, count);
    fn KeRundownQueue(queue: Queue) -> u64 = |k| k.ke_rundown_queue(queue);
}
