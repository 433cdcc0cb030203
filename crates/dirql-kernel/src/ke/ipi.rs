//! `KeIpiGenericCall`: a routine on all processors at once.

use core::cell::Cell;

use dirql_abi::Irql;
use dirql_rules::Context;

use crate::Kernel;
use crate::ke::processor::{Spin, vectors};
use crate::stop::Ddi;

/// The call that is being made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call {
    routine: u64,
    context: u64,
    /// Processors that have come.
    arrived: u16,
    /// Processors that have run the routine.
    done: u16,
}

#[derive(Default)]
pub(crate) struct Ipi {
    call: Cell<Option<Call>>,
    /// Counts calls.
    number: Cell<u64>,
    /// Address of the lock over all of this; 0 before it is needed.
    lock: Cell<u64>,
}

impl Kernel {
    /// `ULONG_PTR KeIpiGenericCall(PKIPI_BROADCAST_WORKER, ULONG_PTR)`
    ///
    /// Runs `routine(context)` at IPI_LEVEL on every processor. All processors have come before
    /// the first one runs it, and none goes on before the last one has.
    ///
    /// - IRQL: below IPI_LEVEL.
    /// - Returns: what the routine returned on the calling processor.
    /// - Findings: DQ0200 the routine returns at another level; DQ0111 a processor does not
    ///   come.
    /// - Yields: while it waits for the other processors.
    /// - Source: WDK reference, wdm.KeIpiGenericCall.
    pub fn ke_ipi_generic_call(&self, routine: u64, context: u64) -> Ddi<u64> {
        if routine == 0 {
            return Err(self.call_of_nothing());
        }
        let old = self.raise_irql(Irql::DISPATCH);
        let lock = self.ipi_lock();
        self.acquire_lock_word(lock)?;
        self.ke.ipi.number.set(self.ke.ipi.number.get() + 1);
        self.ke.ipi.call.set(Some(Call {
            routine,
            context,
            arrived: 0,
            done: 0,
        }));
        self.raise_irql(Irql::IPI);
        let me = self.processor().id;
        for other in self.processors().iter().filter(|other| other.id != me) {
            self.request_vector(other.id, vectors::IPI, dirql_chips::Trigger::Edge);
        }
        let result = self.take_part_in_ipi()?;
        self.ke.ipi.call.set(None);
        self.release_lock_word(lock)?;
        self.lower_irql(old)?;
        Ok(result)
    }

    fn ipi_lock(&self) -> u64 {
        let lock = &self.ke.ipi.lock;
        if lock.get() == 0 {
            lock.set(self.allocate_system(8));
        }
        lock.get()
    }

    /// The inter-processor interrupt has come.
    pub(super) fn answer_ipi(&self) -> Ddi<()> {
        if self.ke.ipi.call.get().is_none() {
            // A driver's own doing; nobody waits.
            return Ok(());
        }
        self.processor().context.set(Context::Isr(vectors::IPI.0));
        self.take_part_in_ipi().map(|_| ())
    }

    fn take_part_in_ipi(&self) -> Ddi<u64> {
        let ipi = &self.ke.ipi;
        let number = ipi.number.get();
        self.change_ipi(|call| call.arrived += 1);
        while !self.ipi_has_gathered() {
            self.spin(Spin::Gather)?;
        }
        let Some(call) = ipi.call.get() else {
            return Ok(0);
        };
        let result =
            self.call_at_same_level("IpiBroadcastWorker", call.routine, &[call.context])?;
        self.change_ipi(|call| call.done += 1);
        while !self.ipi_is_over(number) {
            self.spin(Spin::Disperse(number))?;
        }
        Ok(result)
    }

    fn change_ipi(&self, change: impl FnOnce(&mut Call)) {
        if let Some(mut call) = self.ke.ipi.call.get() {
            change(&mut call);
            self.ke.ipi.call.set(Some(call));
        }
    }

    /// Whether every processor has come.
    pub(super) fn ipi_has_gathered(&self) -> bool {
        let all = self.processors().len();
        self.ke
            .ipi
            .call
            .get()
            .is_none_or(|call| usize::from(call.arrived) >= all)
    }

    /// Whether every processor has run the routine of call `number`.
    pub(super) fn ipi_is_over(&self, number: u64) -> bool {
        let all = self.processors().len();
        self.ke.ipi.number.get() != number
            || self
                .ke
                .ipi
                .call
                .get()
                .is_none_or(|call| usize::from(call.done) >= all)
    }
}
