//! What threads of the bench have opened, and the requests that they send there.

use dirql_abi::NtStatus;
use dirql_kernel::io::{FileHandle, Request, RequestKind, RequestOutcome};
use dirql_kernel::{Ddi, Kernel};

use super::error::BenchError;
use super::state::{Answer, State, inner};
use crate::scenario::Target;

/// Something that was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle {
    file: FileHandle,
    /// The handle was given back; the file is still referred to.
    is_cleaned: bool,
}

impl State {
    pub(crate) fn handle(&self, name: &str) -> Result<FileHandle, BenchError> {
        self.opened(name).map(|handle| handle.file)
    }

    fn opened(&self, name: &str) -> Result<Handle, BenchError> {
        self.handles
            .borrow()
            .get(name)
            .copied()
            .ok_or_else(|| BenchError::NotOpen(name.into()))
    }

    /// Opens what a device offers and keeps it as `handle`.
    pub(crate) fn open(&self, kernel: &Kernel, target: &Target, handle: &str) -> Answer<()> {
        let (name, path) = match target {
            Target::Path(path) => (path, Some(path.clone())),
            Target::Device(name) => {
                let (physical, _) = inner!(self.named(kernel, name)?);
                (
                    name,
                    kernel
                        .interfaces_of(physical)
                        .into_iter()
                        .next()
                        .or_else(|| kernel.name_of_stack(physical)),
                )
            }
        };
        let Some(path) = path else {
            return Ok(Err(BenchError::NothingToOpen(name.clone())));
        };
        match kernel.open(&path)? {
            Ok(file) => {
                let opened = Handle {
                    file,
                    is_cleaned: false,
                };
                let replaced = self.handles.borrow_mut().insert(handle.into(), opened);
                if let Some(replaced) = replaced {
                    close(kernel, replaced)?;
                }
                Ok(Ok(()))
            }
            Err(status) => Ok(Err(BenchError::Status {
                target: name.clone(),
                what: "opening",
                status,
            })),
        }
    }

    /// Closes what was opened as `handle`.
    pub(crate) fn close(&self, kernel: &Kernel, handle: &str) -> Answer<()> {
        let opened = inner!(self.opened(handle));
        self.handles.borrow_mut().remove(handle);
        let status = close(kernel, opened)?;
        Ok(closed(handle, status))
    }

    /// Gives the handle back and keeps the file.
    pub(crate) fn cleanup(&self, kernel: &Kernel, handle: &str) -> Answer<()> {
        let opened = inner!(self.opened(handle));
        if opened.is_cleaned {
            return Ok(Err(BenchError::NotOpen(handle.into())));
        }
        let cleaned = Handle {
            is_cleaned: true,
            ..opened
        };
        self.handles.borrow_mut().insert(handle.into(), cleaned);
        let status = kernel.cleanup(opened.file)?;
        Ok(closed(handle, status))
    }

    /// Sends a request and waits for its end.
    pub(crate) fn request(
        &self,
        kernel: &Kernel,
        handle: &str,
        request: &RequestKind,
    ) -> Answer<RequestOutcome> {
        let file = inner!(self.handle(handle));
        kernel.request(file, request).map(Ok)
    }

    /// The names of what is open.
    pub(crate) fn handle_names(&self) -> Vec<String> {
        self.handles.borrow().keys().cloned().collect()
    }

    /// Sends a request that is then called `name`.
    pub(crate) fn send(
        &self,
        kernel: &Kernel,
        handle: &str,
        request: &RequestKind,
        name: &str,
    ) -> Answer<Request> {
        let file = inner!(self.handle(handle));
        if self.requests.borrow().contains_key(name) {
            return Ok(Err(BenchError::SentAlready(name.into())));
        }
        let request = kernel.submit(file, request)?;
        self.requests.borrow_mut().insert(name.into(), request);
        Ok(Ok(request))
    }

    /// A request that was sent and not awaited.
    pub(crate) fn request_named(&self, name: &str) -> Result<Request, BenchError> {
        let requests = self.requests.borrow();
        let request = requests.get(name).copied();
        request.ok_or_else(|| BenchError::NotSent(name.into()))
    }

    /// Waits for the end of a request that was sent. It has no name any more then.
    pub(crate) fn wait_request(&self, kernel: &Kernel, name: &str) -> Answer<RequestOutcome> {
        let request = inner!(self.request_named(name));
        self.requests.borrow_mut().remove(name);
        kernel.wait_request(request).map(Ok)
    }

    /// As [`State::wait_request`], for at most this long in units of 100 ns of virtual time; `None`
    /// if the request is under way still.
    pub(crate) fn wait_request_within(
        &self,
        kernel: &Kernel,
        name: &str,
        most_100ns: u64,
    ) -> Ddi<Option<Result<RequestOutcome, BenchError>>> {
        let request = match self.request_named(name) {
            Ok(request) => request,
            Err(error) => return Ok(Some(Err(error))),
        };
        self.requests.borrow_mut().remove(name);
        let outcome = kernel.wait_request_within(request, most_100ns)?;
        Ok(outcome.map(Ok))
    }
}

fn close(kernel: &Kernel, handle: Handle) -> Ddi<NtStatus> {
    if handle.is_cleaned {
        kernel.close_cleaned(handle.file)?;
        return Ok(NtStatus::SUCCESS);
    }
    kernel.close(handle.file)
}

fn closed(handle: &str, status: NtStatus) -> Result<(), BenchError> {
    if status.is_success() {
        return Ok(());
    }
    Err(BenchError::Status {
        target: handle.into(),
        what: "closing",
        status,
    })
}
