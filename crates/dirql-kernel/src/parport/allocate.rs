//! Whose turn it is: allocating and freeing the port, waiting and no longer waiting.
//!
//! Source: WDK, "Synchronizing the Use of a Parallel Port"; the pages of the callbacks.
//!
//! Levels are those of the Windows Server 2003 DDK's pages: the ordinary callbacks at or below
//! DISPATCH_LEVEL, those for ISRs at DIRQL. A client that gets it wrong is told, and then served
//! in the way that its level allows, since Windows would wait for a lock that the caller holds.

use alloc::format;

use dirql_abi::irp::Irp;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::ids;

use super::queue::{Released, Waiter};
use super::request::{Answer, Call};
use super::select::Command;
use super::settings::Allocation;
use super::{Port, extension};
use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// `IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE`: STATUS_SUCCESS once the caller has the port;
    /// STATUS_CANCELLED.
    pub(super) fn port_allocate(&self, call: &Call) -> Ddi<Answer> {
        match self.take_port_or_wait(call, None)? {
            Answer::SUCCESS => self.select_end_of_chain(call.context)?,
            other => return Ok(other),
        }
        Ok(Answer::SUCCESS)
    }

    /// `IOCTL_INTERNAL_PARALLEL_PORT_FREE`.
    pub(super) fn port_free_request(&self, call: &Call) -> Ddi<Answer> {
        self.free_port(call.context, &call.place)?;
        Ok(Answer::SUCCESS)
    }

    /// Takes the port for a request, or makes the request wait for it.
    pub(super) fn take_port_or_wait(&self, call: &Call, select: Option<Command>) -> Ddi<Answer> {
        let waiter = Waiter {
            irp: call.irp,
            file: call.file,
            select,
            place: call.place.clone(),
        };
        let pointer = DriverPtr::<Irp>::new(call.irp);
        let level = self.take_cancel_lock()?;
        if self.read(at!(pointer, Irp, cancel))? != 0 {
            self.io_release_cancel_spin_lock(level)?;
            return Ok(Answer::failed(NtStatus::CANCELLED));
        }
        let taken = self.with_port_locked(call.context, |port| port.queue.take_or_wait(waiter))?;
        if taken {
            self.io_release_cancel_spin_lock(level)?;
            return Ok(Answer::SUCCESS);
        }
        let routine = self.kernel_routine("dirql:ParportCancel");
        self.write(at!(pointer, Irp, cancel_routine), routine)?;
        self.mark_pending(call.irp)?;
        self.io_release_cancel_spin_lock(level)?;
        Ok(Answer::Pending)
    }

    /// The cancel routine of a request that waits.
    ///
    /// # Errors
    /// The request is not memory.
    pub fn parport_cancel(&self, device: u64, irp: u64) -> Ddi<()> {
        if let Some(context) = self.port_of_device(device) {
            self.with_port_locked(context, |port| port.queue.remove(irp))?;
        }
        let level = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_irql))?;
        self.io_release_cancel_spin_lock(level.0)?;
        self.port_finish(irp, NtStatus::CANCELLED, 0)?;
        Ok(())
    }

    /// Cancels the waiting requests that `wanted` says, newest first.
    pub(super) fn cancel_waiters(&self, context: u64, wanted: impl Fn(&Waiter) -> bool) -> Ddi<()> {
        let level = self.take_cancel_lock()?;
        let gone = self.with_port_locked(context, |port| port.queue.drain(wanted))?;
        for waiter in &gone {
            self.forget_cancel_routine(waiter.irp)?;
        }
        self.io_release_cancel_spin_lock(level)?;
        for waiter in gone {
            self.port_finish(waiter.irp, NtStatus::CANCELLED, 0)?;
        }
        Ok(())
    }

    fn forget_cancel_routine(&self, irp: u64) -> Ddi<()> {
        Ok(self.write(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine), 0)?)
    }

    /// Gives the port back and to the next who waits; `place` is where the owner says so. With
    /// nobody waiting, the deferred port checks follow.
    pub(super) fn free_port(&self, context: u64, place: &dirql_rules::Place) -> Ddi<()> {
        loop {
            let level = self.take_cancel_lock()?;
            let released = self.with_port_locked(context, |port| {
                port.hand_over = false;
                port.queue.release()
            })?;
            if let Released::HandedTo(waiter) = &released {
                self.forget_cancel_routine(waiter.irp)?;
            }
            self.io_release_cancel_spin_lock(level)?;
            match released {
                Released::WasFree => return self.find_freed_twice(context, place),
                Released::Free => return self.check_deferred(context),
                Released::HandedTo(waiter) => {
                    if self.serve(context, &waiter)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Completes a request whose turn it is. Whether the port is its sender's; a selection that
    /// failed is not, and the next one is asked.
    fn serve(&self, context: u64, waiter: &Waiter) -> Ddi<bool> {
        let status = match waiter.select {
            None => {
                self.select_end_of_chain(context)?;
                NtStatus::SUCCESS
            }
            Some(command) => self.select_device(context, command)?,
        };
        self.port_finish(waiter.irp, status, 0)?;
        Ok(status.is_success())
    }

    fn select_end_of_chain(&self, context: u64) -> Ddi<()> {
        if self.config().parallel_port.allocation == Allocation::SelectsEndOfChain {
            self.select_device(context, Command::END_OF_CHAIN)?;
        }
        Ok(())
    }

    #[cold]
    fn find_freed_twice(&self, context: u64, place: &dirql_rules::Place) -> Ddi<()> {
        let message = format!(
            "{} is freed and nobody has allocated it",
            self.port_text(context)
        );
        self.find_at(ids::PORT_FREED_TWICE, message, place.clone(), None)
    }

    /// `BOOLEAN TryAllocatePort(PVOID Context)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: FALSE if the port has an owner; nothing is queued.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL.
    /// - Source: WDK reference, PPARALLEL_TRY_ALLOCATE_ROUTINE.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_try_allocate(&self, context: u64) -> Ddi<u8> {
        self.expect_low_level("TryAllocatePort")?;
        let place = self.here();
        let taken = self.with_port_locked(context, |port| port.queue.try_take(place))?;
        Ok(u8::from(taken))
    }

    /// `VOID FreePort(PVOID Context)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL; DQ0471 nobody has allocated the port.
    /// - Source: WDK reference, PPARALLEL_FREE_ROUTINE.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_free(&self, context: u64) -> Ddi<()> {
        self.expect_low_level("FreePort")?;
        if self.irql() > Irql::DISPATCH {
            return self.free_at_interrupt_level(context);
        }
        let place = self.here();
        self.free_port(context, &place)
    }

    /// `ULONG QueryNumWaiters(PVOID Context)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: how many allocate and select requests wait, and locks.
    /// - Findings: DQ0470 called above DISPATCH_LEVEL.
    /// - Source: WDK reference, PPARALLEL_QUERY_WAITERS_ROUTINE.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_query_waiters(&self, context: u64) -> Ddi<u32> {
        self.expect_low_level("QueryNumWaiters")?;
        self.with_port_locked(context, |port| port.queue.waiters() + port.own_waiters)
    }

    /// `BOOLEAN TryAllocatePortAtInterruptLevel(PVOID Context)`
    ///
    /// - IRQL: DIRQL, in an ISR that is connected to the port.
    /// - Returns: FALSE if the port has an owner; nothing is queued.
    /// - Findings: DQ0470 called outside an ISR of the port.
    /// - Source: WDK reference, PPARALLEL_TRY_ALLOCATE_ROUTINE.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_try_allocate_at_interrupt_level(&self, context: u64) -> Ddi<u8> {
        self.expect_port_lock(context, "TryAllocatePortAtInterruptLevel")?;
        let place = self.here();
        let taken = self.with_port_locked(context, |port| port.queue.try_take(place))?;
        Ok(u8::from(taken))
    }

    /// `VOID FreePortFromInterruptLevel(PVOID Context)`
    ///
    /// With nobody waiting the port is free when this returns, and no deferred port check
    /// follows. Else a DPC hands it on, and it counts as allocated until then.
    ///
    /// - IRQL: DIRQL, in an ISR that is connected to the port.
    /// - Findings: DQ0470 called outside an ISR of the port; DQ0471 nobody has allocated it.
    /// - Source: WDK reference, PPARALLEL_FREE_ROUTINE; the sample.
    ///
    /// # Errors
    /// A context that is no port's.
    pub fn parport_free_from_interrupt_level(&self, context: u64) -> Ddi<()> {
        self.expect_port_lock(context, "FreePortFromInterruptLevel")?;
        self.free_at_interrupt_level(context)
    }

    fn free_at_interrupt_level(&self, context: u64) -> Ddi<()> {
        match self.with_port_locked(context, release_at_interrupt_level)? {
            AtDirql::WasFree => self.find_freed_twice(context, &self.here()),
            AtDirql::Free => Ok(()),
            AtDirql::HandOver => {
                let dpc = DriverPtr::new(context + extension::DPC);
                self.ke_insert_queue_dpc(dpc, 0, 0)?;
                Ok(())
            }
        }
    }

    /// The DPC that frees the port for an ISR.
    ///
    /// # Errors
    /// The run's end.
    pub fn parport_free_dpc(&self, context: u64) -> Ddi<()> {
        if self.parport.ports.borrow().contains_key(&context) {
            let place = self.here();
            self.free_port(context, &place)?;
        }
        Ok(())
    }

    pub(super) fn expect_low_level(&self, name: &str) -> Ddi<()> {
        let level = self.irql();
        if level <= Irql::DISPATCH {
            return Ok(());
        }
        let message = format!(
            "{name} was called at {level}; it is for callers at or below {}",
            Irql::DISPATCH
        );
        self.find(ids::PORT_CALLBACK_LEVEL, message, None)
    }

    fn expect_port_lock(&self, context: u64, name: &str) -> Ddi<()> {
        let object = self.with_port(context, |port| port.object)?;
        if object != 0 && self.is_in_port_lock(object) {
            return Ok(());
        }
        let message = if object == 0 {
            format!("{name} was called and nobody is connected to the port's interrupt")
        } else {
            format!(
                "{name} was called at {}, outside an ISR of the port",
                self.irql()
            )
        };
        self.find(ids::PORT_CALLBACK_LEVEL, message, None)
    }
}

/// How a release in an ISR goes.
enum AtDirql {
    WasFree,
    Free,
    /// Somebody waits.
    HandOver,
}

/// A port that is being handed on is its owner's no longer.
fn release_at_interrupt_level(port: &mut Port) -> AtDirql {
    if port.hand_over || port.queue.is_free() {
        return AtDirql::WasFree;
    }
    if port.queue.waiters() == 0 {
        port.queue.release();
        return AtDirql::Free;
    }
    port.hand_over = true;
    AtDirql::HandOver
}
