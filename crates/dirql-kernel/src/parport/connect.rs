//! Connecting clients to the port's interrupt.
//!
//! The line is connected when the first client comes and disconnected when the last one goes.
//!
//! Source: WDK reference, IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT and its counterpart;
//! "Connecting an Interrupt Service Routine to a Parallel Port". The order of the checks is the
//! sample's; that a failure leaves nothing behind, and that a client's entry is freed, is not.

use alloc::format;
use alloc::string::String;

use dirql_abi::interrupt::interrupt_mode;
use dirql_abi::parallel::{ParallelInterruptInformation, ParallelInterruptServiceRoutine};
use dirql_abi::{Irql, NtStatus};
use dirql_rules::ids;

use super::request::{Answer, Call};
use super::{Client, extension};
use crate::io::interrupt::ConnectArguments;
use crate::{Ddi, DriverPtr, Kernel};

/// Pool of an entry: a LIST_ENTRY and the client's four values, as in the sample.
const ENTRY_BYTES: u64 = 48;

impl Kernel {
    /// STATUS_UNSUCCESSFUL unless the registry allows clients to connect.
    pub(super) fn port_connect_gate(&self, context: u64) -> Ddi<Option<NtStatus>> {
        let physical_device = self.with_port(context, |port| port.physical_device)?;
        let enabled = self.port_connect_is_enabled(physical_device);
        Ok((!enabled).then_some(NtStatus::UNSUCCESSFUL))
    }

    /// `IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT`
    ///
    /// - IRQL: PASSIVE_LEVEL, since the first client makes the driver connect the line.
    /// - Returns: the structure's size in Information. STATUS_NOT_SUPPORTED if the port was given
    ///   no interrupt; what IoConnectInterrupt returned; STATUS_INSUFFICIENT_RESOURCES.
    /// - Findings: DQ0474 above PASSIVE_LEVEL; DQ0476 no ISR.
    pub(super) fn port_connect(&self, call: &Call) -> Ddi<Answer> {
        self.expect_passive(call, "connect")?;
        self.one_at_a_time(call.context, |kernel| kernel.connect_client(call))
    }

    fn connect_client(&self, call: &Call) -> Ddi<Answer> {
        // Input and output share the buffer.
        let wish = self.read(DriverPtr::<ParallelInterruptServiceRoutine>::new(
            call.buffer,
        ))?;
        let is_first = self.with_port(call.context, |port| port.object)? == 0;
        if is_first {
            let status = self.connect_line(call.context)?;
            if !status.is_success() {
                return Ok(Answer::failed(status));
            }
        }
        let entry = self.allocate_zeroed(ENTRY_BYTES, crate::io::tag(b"ParP"))?;
        if entry == 0 {
            if is_first {
                self.disconnect_line(call.context)?;
            }
            return Ok(Answer::failed(NtStatus::INSUFFICIENT_RESOURCES));
        }
        self.write(DriverPtr::new(entry + 16), wish)?;
        if wish.interrupt_service_routine == 0 {
            self.find_without_isr(call)?;
        }
        let client = Client {
            entry,
            isr: wish.interrupt_service_routine,
            isr_context: wish.interrupt_service_context,
            check: wish.deferred_port_check_routine,
            check_context: wish.deferred_port_check_context,
            place: call.place.clone(),
        };
        let object = self.with_port_locked(call.context, |port| {
            port.clients.push(client);
            port.object
        })?;
        let information = ParallelInterruptInformation {
            interrupt_object: object,
            try_allocate_port_at_interrupt_level: self
                .kernel_routine("dirql:ParportTryAllocateAtInterruptLevel"),
            free_port_from_interrupt_level: self
                .kernel_routine("dirql:ParportFreeFromInterruptLevel"),
            context: call.context,
        };
        self.write(DriverPtr::new(call.buffer), information)?;
        Ok(Answer::Done(
            NtStatus::SUCCESS,
            size_of::<ParallelInterruptInformation>() as u64,
        ))
    }

    /// `IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT`
    ///
    /// Takes off the first client with this ISR and context; no call of that ISR is in progress
    /// afterwards. The deferred members are not compared.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: STATUS_INVALID_PARAMETER if there is no such client.
    /// - Findings: DQ0474 above PASSIVE_LEVEL.
    pub(super) fn port_disconnect(&self, call: &Call) -> Ddi<Answer> {
        self.expect_passive(call, "disconnect")?;
        self.one_at_a_time(call.context, |kernel| kernel.disconnect_client(call))
    }

    fn disconnect_client(&self, call: &Call) -> Ddi<Answer> {
        let wish = self.read(DriverPtr::<ParallelInterruptServiceRoutine>::new(
            call.buffer,
        ))?;
        let (gone, is_last) = self.with_port_locked(call.context, |port| {
            let at = port.clients.iter().position(|client| {
                client.isr == wish.interrupt_service_routine
                    && client.isr_context == wish.interrupt_service_context
            });
            let gone = at.map(|at| port.clients.remove(at));
            (gone, port.clients.is_empty())
        })?;
        let Some(gone) = gone else {
            return Ok(Answer::failed(NtStatus::INVALID_PARAMETER));
        };
        self.pool_free(gone.entry, None)?;
        if is_last {
            self.disconnect_line(call.context)?;
        }
        Ok(Answer::SUCCESS)
    }

    /// The first client and the last must not cross.
    fn one_at_a_time<R>(&self, context: u64, body: impl FnOnce(&Self) -> Ddi<R>) -> Ddi<R> {
        if self.irql() > Irql::APC {
            // It cannot wait here; it has been told.
            return body(self);
        }
        let event = context + extension::CONNECTING;
        self.wait_for(event, None)?;
        let result = body(self)?;
        self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        Ok(result)
    }

    /// Connects the port's own ISR.
    fn connect_line(&self, context: u64) -> Ddi<NtStatus> {
        let Some(line) = self.with_port(context, |port| port.line)? else {
            return Ok(NtStatus::NOT_SUPPORTED);
        };
        let arguments = ConnectArguments {
            service_routine: self.kernel_routine("dirql:ParportIsr"),
            service_context: context,
            spin_lock: 0,
            vector: line.vector,
            irql: line.irql,
            synchronize_irql: line.irql,
            interrupt_mode: if line.latched {
                interrupt_mode::Latched
            } else {
                interrupt_mode::LevelSensitive
            },
            // The sample always says TRUE, also of a line that it has for itself.
            share_vector: u8::from(line.shared),
            processor_enable_mask: line.affinity,
        };
        let result = DriverPtr::<u64>::new(context + extension::INTERRUPT);
        let status = self.io_connect_interrupt(result, arguments)?;
        let object = self.read(result)?;
        self.with_port(context, |port| port.object = object)?;
        Ok(status)
    }

    /// Disconnects the port's own ISR.
    pub(super) fn disconnect_line(&self, context: u64) -> Ddi<()> {
        let object = self.with_port(context, |port| core::mem::take(&mut port.object))?;
        if object != 0 {
            self.io_disconnect_interrupt(object)?;
        }
        Ok(())
    }

    fn expect_passive(&self, call: &Call, what: &str) -> Ddi<()> {
        let level = self.irql();
        if level == Irql::PASSIVE {
            return Ok(());
        }
        let message = format!("the request to {what} a port's interrupt was sent at {level}");
        self.find_at(ids::PORT_CONNECT_LEVEL, message, call.place.clone(), None)
    }

    fn find_without_isr(&self, call: &Call) -> Ddi<()> {
        let message = String::from(
            "a client connects a deferred port check without an ISR; the driver that Windows shipped calls the ISR all the same",
        );
        self.find_at(ids::PORT_WITHOUT_ISR, message, call.place.clone(), None)
    }
}
