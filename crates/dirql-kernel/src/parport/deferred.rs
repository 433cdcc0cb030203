//! Deferred port checks: a client whose ISR could not have the port is told when it is free.
//!
//! Source: WDK, "Connecting an Interrupt Service Routine to a Parallel Port": after the port is
//! freed and nobody waits for it, in the order of connecting. That it is free is looked at once,
//! before the first routine: one that takes the port does not keep the others from being told.

use alloc::vec::Vec;

use dirql_abi::Irql;

use super::settings::DeferredChecks;
use crate::{Ddi, Kernel};

impl Kernel {
    /// Calls all checks, if the port is free and nobody waits.
    pub(super) fn check_deferred(&self, context: u64) -> Ddi<()> {
        let object = self.with_port(context, |port| port.object)?;
        if object == 0 {
            return Ok(());
        }
        match self.config().parallel_port.deferred_checks {
            DeferredChecks::Dirql => {
                self.synchronized(object, |kernel| kernel.call_checks(context))
            }
            DeferredChecks::Dispatch => {
                let level = self.raise_irql(Irql::DISPATCH.max(self.irql()));
                self.call_checks(context)?;
                self.lower_irql(level)
            }
        }
    }

    fn call_checks(&self, context: u64) -> Ddi<()> {
        let due: Vec<(u64, u64)> = self.with_port(context, |port| {
            let is_due = port.queue.is_free() && port.queue.waiters() == 0;
            let checks = port
                .clients
                .iter()
                .filter(|client| is_due && client.check != 0);
            checks
                .map(|client| (client.check, client.check_context))
                .collect()
        })?;
        for (routine, argument) in due {
            self.call_at_same_level("DeferredPortCheck", routine, &[argument])?;
        }
        Ok(())
    }
}
