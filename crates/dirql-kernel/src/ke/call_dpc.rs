//! `KeGenericCallDpc`: a DPC on every processor, and a caller who waits for all of them.
//!
//! What the routines share lies in memory, because the routines of the driver hand its addresses
//! back: a count of processors that are not done, and a barrier.
//!
//! Source: WDK headers, ntddk.h, `KeGenericCallDpc`, `KeSignalCallDpcDone`,
//! `KeSignalCallDpcSynchronize`, `DEFERRED_REVERSE_BARRIER`; note N0194.

use core::cell::Cell;

use dirql_abi::Irql;
use dirql_abi::dpc::{KDpc, importance};

use crate::at;
use crate::ke::processor::Spin;
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Where things are in the shared memory: how many are not done; the barrier, which is the number
/// of those that are to come, the number of all, and how often all have come; a DPC for each
/// processor.
const COUNT: u64 = 0;
const BARRIER: u64 = 8;
const BARRIER_ALL: u64 = 4;
const BARRIER_PASSED: u64 = 8;
const DPCS: u64 = 32;

#[derive(Default)]
pub(crate) struct CallDpc {
    /// The shared memory; 0 before it is needed.
    shared: Cell<u64>,
    /// The event that callers take in turns.
    turn: Cell<u64>,
}

impl Kernel {
    /// `VOID KeGenericCallDpc(PKDEFERRED_ROUTINE Routine, PVOID Context)`
    ///
    /// Runs `Routine(Dpc, Context, Done, Barrier)` in a DPC on every processor, and returns when
    /// each has called `KeSignalCallDpcDone(Done)`.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0111 if a routine does not say that it is done.
    /// - Yields: while it waits.
    /// - Source: WDK headers, ntddk.h.
    ///
    /// # Errors
    /// As the routine.
    pub fn ke_generic_call_dpc(&self, routine: u64, context: u64) -> Ddi<()> {
        if routine == 0 {
            return Err(self.call_of_nothing());
        }
        if self.ke.call_dpc.turn.get() == 0 {
            let processors = self.processors().len() as u64;
            let bytes = DPCS + processors * size_of::<KDpc>() as u64;
            self.ke.call_dpc.turn.set(self.new_event_lock()?);
            self.ke.call_dpc.shared.set(self.allocate_system(bytes));
        }
        let (turn, shared) = (self.ke.call_dpc.turn.get(), self.ke.call_dpc.shared.get());
        self.acquire_event_lock(turn)?;
        let old = self.raise_irql(Irql::DISPATCH);
        let all = self.processors().len() as u32;
        let barrier = shared + BARRIER;
        self.write(DriverPtr::new(shared + COUNT), all)?;
        self.write(DriverPtr::new(barrier), all)?;
        self.write(DriverPtr::new(barrier + BARRIER_ALL), all)?;
        for (index, processor) in self.processors().iter().enumerate() {
            let dpc = DriverPtr::<KDpc>::new(shared + DPCS).element(index);
            self.ke_initialize_dpc(dpc, routine, context)?;
            self.set_dpc_target(dpc, processor.id)?;
            self.write(at!(dpc, KDpc, importance), importance::HighImportance)?;
            self.ke_insert_queue_dpc(dpc, shared + COUNT, barrier)?;
        }
        // This processor's runs now.
        self.lower_irql(old)?;
        while !self.call_dpc_is_done(shared + COUNT) {
            self.spin(Spin::CallDpcDone(shared + COUNT))?;
        }
        self.release_event_lock(turn)
    }

    /// `VOID KeSignalCallDpcDone(PVOID SystemArgument1)`: this processor has done its part.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Source: WDK headers, ntddk.h.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ke_signal_call_dpc_done(&self, count: DriverPtr<u32>) -> Ddi<()> {
        let left = self.read(count)?;
        Ok(self.write(count, left.wrapping_sub(1))?)
    }

    /// `LOGICAL KeSignalCallDpcSynchronize(PVOID SystemArgument2)`
    ///
    /// Returns when every processor has called it.
    ///
    /// - IRQL: DISPATCH_LEVEL.
    /// - Returns: TRUE on one processor, the last to come.
    /// - Findings: DQ0111 if a processor does not come.
    /// - Yields: while it waits.
    /// - Source: WDK headers, ntddk.h.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn ke_signal_call_dpc_synchronize(&self, barrier: u64) -> Ddi<u32> {
        let to_come = DriverPtr::<u32>::new(barrier);
        let all: u32 = self.read(DriverPtr::new(barrier + BARRIER_ALL))?;
        let passed = DriverPtr::<u32>::new(barrier + BARRIER_PASSED);
        let before = self.read(passed)?;
        let left = self.read(to_come)?.wrapping_sub(1);
        if left == 0 {
            self.write(to_come, all)?;
            self.write(passed, before.wrapping_add(1))?;
            return Ok(1);
        }
        self.write(to_come, left)?;
        while !self.barrier_is_passed(barrier, before) {
            self.spin(Spin::CallDpcBarrier(barrier, before))?;
        }
        Ok(0)
    }

    /// Whether every processor has done its part. A count that a driver has made nonsense of
    /// counts as such.
    pub(super) fn call_dpc_is_done(&self, count: u64) -> bool {
        self.read(DriverPtr::<i32>::new(count))
            .is_ok_and(|left| left <= 0)
    }

    /// Whether every processor has come to the barrier since it was passed for the `before`th
    /// time.
    pub(super) fn barrier_is_passed(&self, barrier: u64, before: u32) -> bool {
        self.read(DriverPtr::<u32>::new(barrier + BARRIER_PASSED))
            .is_ok_and(|passed| passed != before)
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    use dirql_rules::ids;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn bench(processors: u16) -> Bench {
        Bench::new(Config {
            processors,
            ..Config::default()
        })
    }

    #[test]
    fn every_processor_runs_it_once_and_all_meet_at_the_barrier() {
        let bench = bench(3);
        let log = Rc::new(RefCell::new(Vec::new()));
        let calls = log.clone();
        let routine = bench.routine(move |kernel, arguments| {
            calls.borrow_mut().push(('a', kernel.processor().id.0, 0));
            let last = kernel.ke_signal_call_dpc_synchronize(arguments[3])?;
            calls
                .borrow_mut()
                .push(('b', kernel.processor().id.0, last));
            assert_eq!((arguments[1], kernel.irql()), (7, Irql::DISPATCH));
            kernel.ke_signal_call_dpc_done(DriverPtr::new(arguments[2]))?;
            Ok(0)
        });
        for _ in 0..2 {
            bench.on_thread(move |kernel| kernel.ke_generic_call_dpc(routine, 7));
            let log = core::mem::take(&mut *log.borrow_mut());
            let (before, after) = log.split_at(3);
            assert!(before.iter().all(|(step, _, _)| *step == 'a'));
            assert_eq!(after.iter().map(|(_, _, last)| last).sum::<u32>(), 1);
            let mut ids: Vec<u16> = after.iter().map(|(_, id, _)| *id).collect();
            ids.sort_unstable();
            assert_eq!(ids, [0, 1, 2]);
        }
        assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
    }

    #[test]
    fn a_routine_that_is_never_done_is_found() {
        let bench = bench(2);
        let routine = bench.routine(|_, _| Ok(0));
        let ended = bench.try_on_thread(move |kernel| kernel.ke_generic_call_dpc(routine, 0));
        assert!(!matches!(ended, Some(Ok(()))));
        assert_eq!(bench.rules(), [ids::DEADLOCK]);
    }
}
