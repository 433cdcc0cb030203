//! Requests to a device: open, close, read, write, control, and those that stay pending.

use dirql_kernel::io::{FileHandle, RequestKind};

use super::{Bench, BenchError, Completion, Pending};
use crate::scenario::Target;

impl Bench {
    /// Opens a device as an application does: its first interface, or it by its own name. A name
    /// that begins with a backslash is one of the object manager's namespace.
    ///
    /// # Errors
    /// There is nothing to open, or the driver did not open.
    pub fn open(&self, name: &str) -> Result<(), BenchError> {
        self.open_as(name, name)
    }

    /// As [`Bench::open`], and calls what was opened `handle`: a device may be open more than
    /// once.
    ///
    /// # Errors
    /// As [`Bench::open`].
    pub fn open_as(&self, name: &str, handle: &str) -> Result<(), BenchError> {
        let target = if name.starts_with('\\') {
            Target::Path(name.into())
        } else {
            Target::Device(name.into())
        };
        let (state, handle) = (self.state.clone(), handle.to_owned());
        self.on_thread("opening", move |kernel| {
            state.open(kernel, &target, &handle)
        })
    }

    /// Closes what was opened: IRP_MJ_CLEANUP, and IRP_MJ_CLOSE when no request is under way.
    ///
    /// # Errors
    /// Nothing of this name is open.
    pub fn close(&self, handle: &str) -> Result<(), BenchError> {
        let (state, handle) = (self.state.clone(), handle.to_owned());
        self.on_thread("closing", move |kernel| state.close(kernel, &handle))
    }

    /// Reads at most `length` bytes.
    ///
    /// # Errors
    /// Nothing of this name is open, or the request does not come to its end.
    pub fn read(&self, handle: &str, length: u32) -> Result<Completion, BenchError> {
        self.request(handle, RequestKind::Read { length, offset: 0 })
    }

    /// Writes.
    ///
    /// # Errors
    /// As [`Bench::read`].
    pub fn write(&self, handle: &str, data: &[u8]) -> Result<Completion, BenchError> {
        self.request(
            handle,
            RequestKind::Write {
                data: data.to_vec(),
                offset: 0,
            },
        )
    }

    /// Sends a device control request.
    ///
    /// # Errors
    /// As [`Bench::read`].
    pub fn ioctl(
        &self,
        handle: &str,
        code: u32,
        input: &[u8],
        output_length: u32,
    ) -> Result<Completion, BenchError> {
        let input = input.to_vec();
        self.request(
            handle,
            RequestKind::Control {
                code,
                input,
                output: Vec::new(),
                output_length,
                internal: false,
            },
        )
    }

    /// Sends a request and waits for its end.
    ///
    /// # Errors
    /// As [`Bench::read`].
    pub fn request(&self, handle: &str, request: RequestKind) -> Result<Completion, BenchError> {
        let pending = self.submit(handle, request)?;
        match self.poll(&pending)? {
            Some(completion) => Ok(completion),
            None => Err(BenchError::StillWaiting("the request")),
        }
    }

    /// Sends a request, and lets it be under way.
    ///
    /// # Errors
    /// Nothing of this name is open.
    pub fn submit(&self, handle: &str, request: RequestKind) -> Result<Pending, BenchError> {
        let file = self.state.handle(handle)?;
        let request = self.on_thread("sending", move |kernel| {
            kernel.submit(file, &request).map(Ok)
        })?;
        Ok(Pending {
            request,
            handle: handle.into(),
        })
    }

    /// The kernel's name of what was opened as `handle`, for requests on a thread of one's own; see
    /// [`Bench::on_kernel_thread`].
    ///
    /// # Errors
    /// Nothing of this name is open.
    pub fn file(&self, handle: &str) -> Result<FileHandle, BenchError> {
        self.state.handle(handle)
    }

    /// How a request has ended, after everything that can happen by itself has happened; `None`
    /// while it is under way.
    ///
    /// # Errors
    /// The run has ended.
    pub fn poll(&self, pending: &Pending) -> Result<Option<Completion>, BenchError> {
        let request = pending.request;
        self.run(|kernel| kernel.request_is_done(request))?;
        if !self.kernel().request_is_done(request) {
            return Ok(None);
        }
        let outcome = self.on_thread("the request", move |kernel| {
            kernel.wait_request(request).map(Ok)
        })?;
        Ok(Some(Completion::new(&pending.handle, outcome)))
    }

    /// Cancels a request that is under way, as closing an application does. Whether it could be
    /// cancelled.
    ///
    /// # Errors
    /// The run has ended.
    pub fn cancel(&self, pending: &Pending) -> Result<bool, BenchError> {
        let request = pending.request;
        self.on_thread("cancelling", move |kernel| {
            kernel.cancel_request(request).map(Ok)
        })
    }
}
