//! The port's ISR: it asks the clients.

use alloc::vec::Vec;

use super::settings::IsrChain;
use crate::{Ddi, Kernel};

impl Kernel {
    /// The port's ISR, at DIRQL with the interrupt lock held: calls the clients' ISRs with the
    /// shared interrupt object and their own contexts, in the order of connecting.
    ///
    /// A client without an ISR is passed over; the sample calls it all the same.
    ///
    /// - Returns: TRUE if a client claimed the interrupt. Between connecting and the first entry
    ///   of the list there is nobody who could.
    /// - Source: WDK, "Connecting an Interrupt Service Routine to a Parallel Port"; see
    ///   [`IsrChain`].
    ///
    /// # Errors
    /// The run's end.
    pub fn parport_isr(&self, interrupt: u64, context: u64) -> Ddi<u8> {
        let isrs: Vec<(u64, u64)> = self.with_port(context, |port| {
            let connected = port.clients.iter().filter(|client| client.isr != 0);
            connected
                .map(|client| (client.isr, client.isr_context))
                .collect()
        })?;
        let all = self.config().parallel_port.isr_chain == IsrChain::All;
        let mut claimed = false;
        for (routine, argument) in isrs {
            let result = self.call_at_same_level("ClientIsr", routine, &[interrupt, argument])?;
            self.check_interrupt_flag("the client's ISR", routine)?;
            // A BOOLEAN is a byte; what is above it in the register is rubbish.
            claimed |= result as u8 != 0;
            if claimed && !all {
                break;
            }
        }
        Ok(u8::from(claimed))
    }
}
