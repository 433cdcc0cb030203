//! Requests that are made before they are sent.
//!
//! What the I/O manager does for a request before a driver sees it (a buffer of the user's, the IRP,
//! the system buffer with the user's data) takes longer than what most drivers do with it, and has
//! one order. Who tries many orders of what a driver does prepares the request before them.

use alloc::boxed::Box;

use dirql_abi::NtStatus;
use dirql_abi::io::work_queue_type;
use dirql_abi::irp::Irp;

use super::irp::Origin;
use super::request::{FileHandle, Request, RequestKind, failed};
use super::work_item::Job;
use crate::{Ddi, DriverPtr, Kernel, at};

/// A request that is made and not sent; see [`Kernel::prepare_request`].
#[derive(Debug)]
#[must_use = "a request that is not sent keeps its memory"]
pub struct PreparedRequest {
    request: Request,
    /// Where it goes; `None` if it cannot be sent and has ended already.
    to: Option<Destination>,
}

#[derive(Debug)]
struct Destination {
    irp: u64,
    device: u64,
    file: u64,
}

impl Kernel {
    /// Makes a request that [`Kernel::send_prepared`] sends: everything up to the call of the
    /// driver's dispatch routine. It goes to the device that is at the top of the stack now. On a
    /// thread, which is to send it: the IRP is that thread's.
    ///
    /// # Errors
    /// The run's end.
    pub fn prepare_request(&self, file: FileHandle, kind: &RequestKind) -> Ddi<PreparedRequest> {
        let request = self.new_request()?;
        let ended = |status| {
            self.settle(request, failed(status))?;
            Ok(PreparedRequest { request, to: None })
        };
        if self.ob_of_handle(file.handle) != Some(file.file) {
            return ended(NtStatus::INVALID_HANDLE);
        }
        let device = self.top_of_stack(self.device_of_file(file.file)?);
        let irp = self.irp_for(device, Origin::Manager)?;
        if irp == 0 || !self.fill(request, irp, device, kind)? {
            if irp != 0 {
                self.release_irp(irp)?;
            }
            return ended(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.address(request, irp, Some(file.file))?;
        self.hold_file(request, file.file)?;
        let to = Destination {
            irp,
            device,
            file: file.file,
        };
        Ok(PreparedRequest {
            request,
            to: Some(to),
        })
    }

    /// A request that is under way refers to its file, so that IRP_MJ_CLOSE comes after its end.
    ///
    /// Source: WDK reference, "IRP_MJ_CLOSE".
    fn hold_file(&self, request: Request, file: u64) -> Ddi<()> {
        self.obf_reference_object(file)?;
        if let Some(pending) = self.io.requests.pending.borrow_mut().get_mut(&request) {
            pending.file = Some(file);
        }
        Ok(())
    }

    /// The request that held a file has ended. If its handle was closed meanwhile, IRP_MJ_CLOSE is
    /// due: not inside of the driver's call that completed the request, but on another thread.
    pub(super) fn let_file_go(&self, file: u64) -> Ddi<()> {
        if self.ob_references(file) > 1 {
            self.obf_dereference_object(file)?;
            return Ok(());
        }
        let let_go = move |kernel: &Self| kernel.obf_dereference_object(file).map(|_| ());
        self.queue_job(
            work_queue_type::DelayedWorkQueue,
            Job::Native(Box::new(let_go)),
        )
    }

    /// Sends a request that was prepared; it may be under way when this returns. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn send_prepared(&self, prepared: PreparedRequest) -> Ddi<Request> {
        let PreparedRequest { request, to } = prepared;
        if let Some(to) = to {
            let mode = at!(DriverPtr::<Irp>::new(to.irp), Irp, requestor_mode);
            let send = || self.dispatch_addressed(request, to.irp, to.device, Some(to.file));
            if self.read(mode)? == 0 {
                send()?;
            } else {
                self.as_application(send)?;
            }
        }
        Ok(request)
    }

    /// Sends a request; it may be under way when this returns. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn submit(&self, file: FileHandle, kind: &RequestKind) -> Ddi<Request> {
        let prepared = self.prepare_request(file, kind)?;
        self.send_prepared(prepared)
    }
}
