//! Cancel-safe queues: the driver brings the queue and its lock, the kernel brings the
//! handling of cancellation.
//!
//! Source: WDK, "Cancel-Safe IRP Queues"; the pages of the routines.

use dirql_abi::io::{IoCsq, IoCsqIrpContext, csq_type};
use dirql_abi::irp::Irp;
use dirql_abi::{Irql, NtStatus};

use crate::{Ddi, DriverPtr, Kernel, at};

/// Element of `DriverContext` that the queue uses for itself, as its page says.
const CONTEXT: u64 = core::mem::offset_of!(Irp, driver_context) as u64 + 3 * 8;

type Csq = DriverPtr<IoCsq>;

fn slot(irp: u64) -> DriverPtr<u64> {
    DriverPtr::new(irp.wrapping_add(CONTEXT))
}

impl Kernel {
    /// `NTSTATUS IoCsqInitialize(PIO_CSQ, InsertIrp, RemoveIrp, PeekNextIrp, AcquireLock, ReleaseLock, CompleteCanceledIrp)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS.
    /// - Source: WDK reference, wdm.IoCsqInitialize; `IoCsqInitializeEx` differs in what
    ///   InsertIrp is given and returns.
    ///
    /// # Errors
    /// The queue is not memory.
    pub fn io_csq_initialize(&self, csq: Csq, routines: [u64; 6], extended: bool) -> Ddi<NtStatus> {
        let [insert, remove, peek, acquire, release, complete] = routines;
        let body = IoCsq {
            type_: if extended {
                csq_type::IO_TYPE_CSQ_EX
            } else {
                csq_type::IO_TYPE_CSQ
            },
            csq_insert_irp: insert,
            csq_remove_irp: remove,
            csq_peek_next_irp: peek,
            csq_acquire_lock: acquire,
            csq_release_lock: release,
            csq_complete_canceled_irp: complete,
            ..super::driver::zeroed()
        };
        self.write(csq, body)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID IoCsqInsertIrp(PIO_CSQ, PIRP, PIO_CSQ_IRP_CONTEXT)`
    ///
    /// Queues the request and marks it pending.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.IoCsqInsertIrp.
    ///
    /// # Errors
    /// As [`Kernel::io_csq_insert_irp_ex`].
    pub fn io_csq_insert_irp(
        &self,
        csq: Csq,
        irp: u64,
        context: DriverPtr<IoCsqIrpContext>,
    ) -> Ddi<()> {
        self.io_csq_insert_irp_ex(csq, irp, context, 0)?;
        Ok(())
    }

    /// `NTSTATUS IoCsqInsertIrpEx(PIO_CSQ, PIRP, PIO_CSQ_IRP_CONTEXT, PVOID InsertContext)`
    ///
    /// Queues the request with the queue's lock held, marks it pending and gives it a cancel
    /// routine; if it was cancelled before, takes it out again and has it completed. A request
    /// that an extended queue refuses is not marked.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: what an extended queue's InsertIrp returned, else SUCCESS.
    /// - Source: WDK reference, wdm.IoCsqInsertIrpEx.
    ///
    /// # Errors
    /// An argument that is not memory; the bug check if the request is none.
    pub fn io_csq_insert_irp_ex(
        &self,
        csq: Csq,
        irp: u64,
        context: DriverPtr<IoCsqIrpContext>,
        insert_context: u64,
    ) -> Ddi<NtStatus> {
        self.expect_irp(irp, 3)?;
        let body = self.read(csq)?;
        if context.is_null() {
            self.write(slot(irp), csq.address())?;
        } else {
            let value = IoCsqIrpContext {
                type_: csq_type::IO_TYPE_CSQ_IRP_CONTEXT,
                padding4: 0,
                irp,
                csq: csq.address(),
            };
            self.write(context, value)?;
            self.write(slot(irp), context.address())?;
        }
        let level = self.csq_lock(csq, &body)?;
        let mut status = NtStatus::SUCCESS;
        if body.type_ == csq_type::IO_TYPE_CSQ_EX {
            let arguments = [csq.address(), irp, insert_context];
            status = NtStatus(self.call("CsqInsertIrpEx", body.csq_insert_irp, &arguments) as i32);
            if !status.is_success() {
                self.csq_unlock(csq, &body, level)?;
                return Ok(status);
            }
        } else {
            self.call("CsqInsertIrp", body.csq_insert_irp, &[csq.address(), irp]);
        }
        self.mark_pending(irp)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        let cancel = self.kernel_routine("dirql:CsqCancel");
        self.write(at!(pointer, Irp, cancel_routine), cancel)?;
        if self.read(at!(pointer, Irp, cancel))? != 0 && self.take_cancel_routine(irp)? {
            self.csq_forget(irp)?;
            self.call("CsqRemoveIrp", body.csq_remove_irp, &[csq.address(), irp]);
            self.csq_unlock(csq, &body, level)?;
            self.call(
                "CsqCompleteCanceledIrp",
                body.csq_complete_canceled_irp,
                &[csq.address(), irp],
            );
            return Ok(status);
        }
        self.csq_unlock(csq, &body, level)?;
        Ok(status)
    }

    /// `PIRP IoCsqRemoveIrp(PIO_CSQ, PIO_CSQ_IRP_CONTEXT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the request that the context names, taken out of the queue, or NULL if it
    ///   is not there any more.
    /// - Source: WDK reference, wdm.IoCsqRemoveIrp.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_csq_remove_irp(&self, csq: Csq, context: DriverPtr<IoCsqIrpContext>) -> Ddi<u64> {
        let body = self.read(csq)?;
        let level = self.csq_lock(csq, &body)?;
        let irp = self.read(at!(context, IoCsqIrpContext, irp))?;
        let mut removed = 0;
        if irp != 0 && self.take_cancel_routine(irp)? {
            self.csq_forget(irp)?;
            self.call("CsqRemoveIrp", body.csq_remove_irp, &[csq.address(), irp]);
            removed = irp;
        }
        self.csq_unlock(csq, &body, level)?;
        Ok(removed)
    }

    /// `PIRP IoCsqRemoveNextIrp(PIO_CSQ, PVOID PeekContext)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the next request that matches, taken out of the queue, or NULL. Requests
    ///   that are being cancelled are passed over.
    /// - Source: WDK reference, wdm.IoCsqRemoveNextIrp.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn io_csq_remove_next_irp(&self, csq: Csq, peek_context: u64) -> Ddi<u64> {
        let body = self.read(csq)?;
        let level = self.csq_lock(csq, &body)?;
        let peek = |after: u64| {
            self.call(
                "CsqPeekNextIrp",
                body.csq_peek_next_irp,
                &[csq.address(), after, peek_context],
            )
        };
        let mut irp = peek(0);
        while irp != 0 {
            if self.take_cancel_routine(irp)? {
                self.csq_forget(irp)?;
                self.call("CsqRemoveIrp", body.csq_remove_irp, &[csq.address(), irp]);
                break;
            }
            irp = peek(irp);
        }
        self.csq_unlock(csq, &body, level)?;
        Ok(irp)
    }

    /// The cancel routine of queued requests.
    ///
    /// # Errors
    /// The queue is not memory any more.
    pub fn csq_cancel(&self, _device: u64, irp: u64) -> Ddi<()> {
        let level = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_irql))?;
        self.io_release_cancel_spin_lock(level.0)?;
        let named = self.read(slot(irp))?;
        let csq = match self.read(DriverPtr::<u32>::new(named))? {
            csq_type::IO_TYPE_CSQ_IRP_CONTEXT => self.read(at!(
                DriverPtr::<IoCsqIrpContext>::new(named),
                IoCsqIrpContext,
                csq
            ))?,
            _ => named,
        };
        let csq = Csq::new(csq);
        let body = self.read(csq)?;
        let level = self.csq_lock(csq, &body)?;
        self.csq_forget(irp)?;
        self.call("CsqRemoveIrp", body.csq_remove_irp, &[csq.address(), irp]);
        self.csq_unlock(csq, &body, level)?;
        self.call(
            "CsqCompleteCanceledIrp",
            body.csq_complete_canceled_irp,
            &[csq.address(), irp],
        );
        Ok(())
    }

    /// Takes the cancel routine off a request; whether it still had one.
    fn take_cancel_routine(&self, irp: u64) -> Ddi<bool> {
        let routine = at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine);
        let had = self.read(routine)? != 0;
        self.write(routine, 0)?;
        Ok(had)
    }

    /// A request leaves its queue: the context that names it does not any more.
    fn csq_forget(&self, irp: u64) -> Ddi<()> {
        let named = self.read(slot(irp))?;
        if named != 0
            && self.read(DriverPtr::<u32>::new(named))? == csq_type::IO_TYPE_CSQ_IRP_CONTEXT
        {
            self.write(
                at!(
                    DriverPtr::<IoCsqIrpContext>::new(named),
                    IoCsqIrpContext,
                    irp
                ),
                0,
            )?;
        }
        Ok(self.write(slot(irp), 0)?)
    }

    /// The driver's lock routine writes the level to a variable of ours; each holder has its
    /// own.
    fn csq_lock(&self, csq: Csq, body: &IoCsq) -> Ddi<u64> {
        let level = self.io.cells.borrow_mut().pop();
        let level = level.unwrap_or_else(|| self.allocate_system(16));
        self.write(DriverPtr::new(level), Irql::PASSIVE)?;
        self.call(
            "CsqAcquireLock",
            body.csq_acquire_lock,
            &[csq.address(), level],
        );
        Ok(level)
    }

    fn csq_unlock(&self, csq: Csq, body: &IoCsq, level: u64) -> Ddi<()> {
        let value = self.read(DriverPtr::<Irql>::new(level))?;
        self.io.cells.borrow_mut().push(level);
        self.call(
            "CsqReleaseLock",
            body.csq_release_lock,
            &[csq.address(), u64::from(value.0)],
        );
        Ok(())
    }
}
