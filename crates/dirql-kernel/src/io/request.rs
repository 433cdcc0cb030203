//! Requests that the bench makes, as an application would, and the ones that plug and play
//! and power management make.
//!
//! All of these run on kernel threads and may wait.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp, irp_flags, major};
use dirql_rules::Place;

use super::build::ControlBuffers;
use super::cancelling::Cancelling;
use super::irp::Origin;
use super::user::UserBuffer;
use crate::ke::ThreadId;
use crate::{Ddi, DriverPtr, Kernel, at};

/// FILE_READ_DATA, FILE_WRITE_DATA and SYNCHRONIZE: what an application opens a device with.
const ACCESS: u32 = 0x10_0003;

/// An open device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHandle {
    pub(super) handle: u64,
    pub(super) file: u64,
}

impl FileHandle {
    /// Address of the file object.
    #[must_use]
    pub const fn file_object(self) -> u64 {
        self.file
    }
}

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request(u64);

/// What to ask of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// IRP_MJ_READ.
    Read {
        /// Bytes wanted.
        length: u32,
        /// Byte offset.
        offset: i64,
    },
    /// IRP_MJ_WRITE.
    Write {
        /// What to write.
        data: Vec<u8>,
        /// Byte offset.
        offset: i64,
    },
    /// IRP_MJ_DEVICE_CONTROL, or IRP_MJ_INTERNAL_DEVICE_CONTROL.
    Control {
        /// The control code, whose method decides how data is passed.
        code: u32,
        /// Input data.
        input: Vec<u8>,
        /// What the output buffer holds before, zeros after it. For METHOD_IN_DIRECT the output
        /// buffer is data for the driver, too.
        output: Vec<u8>,
        /// Bytes of the output buffer.
        output_length: u32,
        /// As another driver would send it, from kernel mode.
        internal: bool,
    },
    /// IRP_MJ_FLUSH_BUFFERS.
    Flush,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `IoStatus.Status`.
    pub status: NtStatus,
    /// `IoStatus.Information`.
    pub information: u64,
    /// What the caller's output buffer holds: at most `information` bytes of it, and nothing
    /// after an error.
    pub data: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Pending {
    pub(super) irp: u64,
    /// The file that it holds.
    pub(super) file: Option<u64>,
    event: u64,
    input: Option<UserBuffer>,
    output: Option<UserBuffer>,
    pub(super) outcome: Option<Outcome>,
    /// Where it was completed.
    place: Option<Place>,
}

/// All requests that are under way or not yet looked at.
#[derive(Default)]
pub(super) struct Requests {
    last: Cell<u64>,
    pub(super) pending: RefCell<BTreeMap<Request, Pending>>,
    by_irp: RefCell<BTreeMap<u64, Request>>,
    /// Files of the requests whose dispatch routine has not returned, also if they are complete.
    pub(super) dispatching: RefCell<Vec<u64>>,
    pub(super) cancelling: Cancelling,
    /// Where the request that a thread has waited for last was completed.
    pub(super) completed: RefCell<BTreeMap<ThreadId, Place>>,
}

impl Kernel {
    /// Opens a device by name, as an application does. On a thread.
    ///
    /// # Errors
    /// The run's end. The inner result is the status of opening.
    pub fn open(&self, name: &str) -> Ddi<Result<FileHandle, NtStatus>> {
        let file = match self.as_application(|| self.open_by_name(name, ACCESS))? {
            Ok(file) => file,
            Err(status) => return Ok(Err(status)),
        };
        self.handle_to(file).map(Ok)
    }

    /// Opens a device by its object, as one opens a device interface. On a thread.
    ///
    /// # Errors
    /// As [`Kernel::open`].
    pub fn open_object(&self, device: u64) -> Ddi<Result<FileHandle, NtStatus>> {
        if !self.is_device(device) {
            return Ok(Err(NtStatus::NO_SUCH_DEVICE));
        }
        match self.as_application(|| self.open_device(device, "", ACCESS))? {
            Ok(file) => self.handle_to(file).map(Ok),
            Err(status) => Ok(Err(status)),
        }
    }

    fn handle_to(&self, file: u64) -> Ddi<FileHandle> {
        let handle = self.ob_create_handle(file, ACCESS)?;
        self.obf_dereference_object(file)?;
        Ok(FileHandle { handle, file })
    }

    /// Closes an open device: IRP_MJ_CLEANUP, and IRP_MJ_CLOSE when no request holds the file
    /// any more. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn close(&self, file: FileHandle) -> Ddi<NtStatus> {
        self.as_application(|| self.zw_close(file.handle))
    }

    /// The application gives its last handle back while something in the system still refers to
    /// the file: IRP_MJ_CLEANUP. IRP_MJ_CLOSE follows with [`Kernel::close_cleaned`]. On a
    /// thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn cleanup(&self, file: FileHandle) -> Ddi<NtStatus> {
        if self.ob_of_handle(file.handle) != Some(file.file) {
            return Ok(NtStatus::INVALID_HANDLE);
        }
        self.obf_reference_object(file.file)?;
        self.close(file)
    }

    /// Drops the reference that [`Kernel::cleanup`] left: IRP_MJ_CLOSE, when no request holds the
    /// file any more. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn close_cleaned(&self, file: FileHandle) -> Ddi<()> {
        self.as_application(|| self.obf_dereference_object(file.file))?;
        Ok(())
    }

    /// Waits until a request is complete. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn wait_request(&self, request: Request) -> Ddi<Outcome> {
        let Some(event) = self.event_of(request) else {
            return Ok(failed(NtStatus::INVALID_HANDLE));
        };
        self.wait_for(event, None)?;
        Ok(self.end_of(request, event))
    }

    /// As [`Kernel::wait_request`], for at most this long, in units of 100 ns; `None` if the
    /// request is under way still, which it stays.
    ///
    /// # Errors
    /// The run's end.
    pub fn wait_request_within(&self, request: Request, most_100ns: u64) -> Ddi<Option<Outcome>> {
        let Some(event) = self.event_of(request) else {
            return Ok(Some(failed(NtStatus::INVALID_HANDLE)));
        };
        let waited = self.wait_for(event, Some(most_100ns))?;
        Ok((waited != NtStatus::TIMEOUT).then(|| self.end_of(request, event)))
    }

    /// The event that is signalled when a request is complete.
    fn event_of(&self, request: Request) -> Option<u64> {
        let pending = self.io.requests.pending.borrow();
        pending.get(&request).map(|pending| pending.event)
    }

    /// How a request that is complete has ended; it is forgotten.
    fn end_of(&self, request: Request, event: u64) -> Outcome {
        let done = self.io.requests.pending.borrow_mut().remove(&request);
        self.give_event(event);
        if let Some(thread) = self.current_thread() {
            let place = done.as_ref().and_then(|pending| pending.place.clone());
            let mut completed = self.io.requests.completed.borrow_mut();
            match place {
                Some(place) => drop(completed.insert(thread, place)),
                None => drop(completed.remove(&thread)),
            }
        }
        done.and_then(|pending| pending.outcome)
            .unwrap_or(failed(NtStatus::UNSUCCESSFUL))
    }

    /// Sends a request and waits until it is complete. On a thread.
    ///
    /// # Errors
    /// The run's end.
    pub fn request(&self, file: FileHandle, kind: &RequestKind) -> Ddi<Outcome> {
        let request = self.submit(file, kind)?;
        self.wait_request(request)
    }

    /// Reads or writes a file for a driver, with its buffer, and waits.
    pub(super) fn transfer(
        &self,
        file: u64,
        function: u8,
        buffer: u64,
        length: u32,
        offset: i64,
    ) -> Ddi<Outcome> {
        self.request_for_driver(file, |kernel, irp, device| {
            let flags = if function == major::IRP_MJ_READ {
                irp_flags::IRP_READ_OPERATION
            } else {
                irp_flags::IRP_WRITE_OPERATION
            };
            kernel.write(at!(DriverPtr::<Irp>::new(irp), Irp, flags), flags)?;
            kernel.fill_transfer(irp, device, function, buffer, length, offset, 0)
        })
    }

    /// Sends a control request of a major function for a driver, with its buffers, and waits.
    pub(super) fn control(
        &self,
        file: u64,
        function: u8,
        code: u32,
        input: (u64, u32),
        output: (u64, u32),
    ) -> Ddi<Outcome> {
        let buffers = ControlBuffers {
            input: input.0,
            input_length: input.1,
            output: output.0,
            output_length: output.1,
            mode: 0,
        };
        self.request_for_driver(file, |kernel, irp, _| {
            let is_filled = kernel.fill_control(irp, code, false, buffers)?;
            let next = kernel.next_location(irp)?;
            kernel.write(at!(next, IoStackLocation, major_function), function)?;
            Ok(is_filled)
        })
    }

    /// Asks or tells a file's driver something about it, in the driver's buffer, and waits.
    pub(super) fn file_information(
        &self,
        file: u64,
        buffer: (u64, u32),
        set: bool,
        fill: impl FnOnce(&mut IoStackLocation),
    ) -> Ddi<Outcome> {
        let (address, length) = buffer;
        self.request_for_driver(file, |kernel, irp, _| {
            let next = kernel.next_location(irp)?;
            let mut stack = kernel.read(next)?;
            fill(&mut stack);
            kernel.write(next, stack)?;
            kernel.write(at!(DriverPtr::<Irp>::new(irp), Irp, user_buffer), address)?;
            kernel.set_output_length(irp, length.into());
            let (data, flags) = if set {
                (address, 0)
            } else {
                (0, irp_flags::IRP_INPUT_OPERATION)
            };
            kernel.give_system_buffer(irp, length, data, length, flags)
        })
    }

    /// Sends what `fill` makes to the top of a file's device stack, from kernel mode.
    fn request_for_driver(
        &self,
        file: u64,
        fill: impl FnOnce(&Self, u64, u64) -> Ddi<bool>,
    ) -> Ddi<Outcome> {
        let device = self.top_of_stack(self.device_of_file(file)?);
        let request = self.new_request()?;
        let irp = self.irp_for(device, Origin::Manager)?;
        if irp == 0 || !fill(self, irp, device)? {
            if irp != 0 {
                self.release_irp(irp)?;
            }
            self.settle(request, failed(NtStatus::INSUFFICIENT_RESOURCES))?;
        } else {
            self.in_kernel_mode(|| self.dispatch(request, irp, device, Some(file)))?;
        }
        self.wait_request(request)
    }

    /// Sends a request without data to `device` and waits for it. `fill` writes the stack
    /// location. The status begins as NOT_SUPPORTED.
    pub(crate) fn send_request(
        &self,
        device: u64,
        file: Option<u64>,
        fill: impl FnOnce(&mut IoStackLocation),
    ) -> Ddi<Outcome> {
        self.send_request_with(device, file, 0, fill)
    }

    /// As [`Kernel::send_request`], with a first value for `IoStatus.Information`.
    pub(crate) fn send_request_with(
        &self,
        device: u64,
        file: Option<u64>,
        information: u64,
        fill: impl FnOnce(&mut IoStackLocation),
    ) -> Ddi<Outcome> {
        let request = self.new_request()?;
        let irp = self.irp_for(device, Origin::Manager)?;
        if irp == 0 {
            self.settle(request, failed(NtStatus::INSUFFICIENT_RESOURCES))?;
        } else {
            let next = self.next_location(irp)?;
            let mut stack = self.read(next)?;
            fill(&mut stack);
            self.write(next, stack)?;
            let pointer = DriverPtr::<Irp>::new(irp);
            if stack.major_function == major::IRP_MJ_CREATE {
                self.write(at!(pointer, Irp, requestor_mode), self.previous_mode())?;
            }
            self.write(at!(pointer, Irp, io_status.status), NtStatus::NOT_SUPPORTED)?;
            self.write(at!(pointer, Irp, io_status.information), information)?;
            self.dispatch(request, irp, device, file)?;
        }
        self.wait_request(request)
    }

    /// Sends a request of this kind without parameters; its status.
    pub(crate) fn send_simple(&self, device: u64, function: u8, minor: u8) -> Ddi<NtStatus> {
        let outcome = self.send_request(device, None, |stack| {
            stack.major_function = function;
            stack.minor_function = minor;
        })?;
        Ok(outcome.status)
    }

    pub(super) fn new_request(&self) -> Ddi<Request> {
        let requests = &self.io.requests;
        let request = Request(requests.last.get() + 1);
        requests.last.set(request.0);
        let pending = Pending {
            event: self.take_event()?,
            ..Pending::default()
        };
        requests.pending.borrow_mut().insert(request, pending);
        Ok(request)
    }

    fn dispatch(&self, request: Request, irp: u64, device: u64, file: Option<u64>) -> Ddi<()> {
        self.address(request, irp, file)?;
        self.dispatch_addressed(request, irp, device, file)
    }

    /// What the I/O manager notes of a request before it is sent.
    pub(super) fn address(&self, request: Request, irp: u64, file: Option<u64>) -> Ddi<()> {
        self.io.requests.by_irp.borrow_mut().insert(irp, request);
        if let Some(file) = file {
            let stack = self.next_location(irp)?;
            self.write(at!(stack, IoStackLocation, file_object), file)?;
            self.write(
                at!(DriverPtr::<Irp>::new(irp), Irp, original_file_object),
                file,
            )?;
        }
        Ok(())
    }

    /// Sends a request that is addressed; it is under way from now on.
    #[inline]
    pub(super) fn dispatch_addressed(
        &self,
        request: Request,
        irp: u64,
        device: u64,
        file: Option<u64>,
    ) -> Ddi<()> {
        if let Some(pending) = self.io.requests.pending.borrow_mut().get_mut(&request) {
            pending.irp = irp;
        }
        if let Some(file) = file {
            self.io.requests.dispatching.borrow_mut().push(file);
        }
        self.iof_call_driver(device, irp)?;
        if let Some(file) = file {
            let mut dispatching = self.io.requests.dispatching.borrow_mut();
            if let Some(at) = dispatching.iter().position(|other| *other == file) {
                dispatching.swap_remove(at);
            }
        }
        Ok(())
    }

    /// Fills in a request of an application. Whether there was memory.
    pub(super) fn fill(
        &self,
        request: Request,
        irp: u64,
        device: u64,
        kind: &RequestKind,
    ) -> Ddi<bool> {
        let pointer = DriverPtr::<Irp>::new(irp);
        match kind {
            RequestKind::Flush => {
                self.fill_transfer(irp, device, major::IRP_MJ_FLUSH_BUFFERS, 0, 0, 0, 1)
            }
            RequestKind::Read { length, offset } => {
                let Some(output) = self.output_for(request, *length)? else {
                    return Ok(false);
                };
                self.write(at!(pointer, Irp, flags), irp_flags::IRP_READ_OPERATION)?;
                self.fill_transfer(irp, device, major::IRP_MJ_READ, output, *length, *offset, 1)
            }
            RequestKind::Write { data, offset } => {
                let Some(input) = self.input_for(request, data)? else {
                    return Ok(false);
                };
                self.write(at!(pointer, Irp, flags), irp_flags::IRP_WRITE_OPERATION)?;
                self.fill_transfer(
                    irp,
                    device,
                    major::IRP_MJ_WRITE,
                    input,
                    data.len() as u32,
                    *offset,
                    1,
                )
            }
            RequestKind::Control {
                code,
                input,
                output: before,
                output_length,
                internal,
            } => {
                let Some(input_buffer) = self.input_for(request, input)? else {
                    return Ok(false);
                };
                let Some(output) = self.output_for(request, *output_length)? else {
                    return Ok(false);
                };
                let before = &before[..before.len().min(*output_length as usize)];
                if !before.is_empty() {
                    self.write_bytes(output, before)?;
                }
                let buffers = ControlBuffers {
                    input: input_buffer,
                    input_length: input.len() as u32,
                    output,
                    output_length: *output_length,
                    mode: u8::from(!internal),
                };
                self.fill_control(irp, *code, *internal, buffers)
            }
        }
    }

    /// The user's output buffer: its address, 0 for none; `None` without memory.
    fn output_for(&self, request: Request, length: u32) -> Ddi<Option<u64>> {
        if length == 0 {
            return Ok(Some(0));
        }
        let Some(buffer) = self.user_buffer(length)? else {
            return Ok(None);
        };
        if let Some(pending) = self.io.requests.pending.borrow_mut().get_mut(&request) {
            pending.output = Some(buffer);
        }
        Ok(Some(buffer.address))
    }

    /// The user's input buffer with its data; as [`Kernel::output_for`].
    fn input_for(&self, request: Request, data: &[u8]) -> Ddi<Option<u64>> {
        if data.is_empty() {
            return Ok(Some(0));
        }
        let Ok(length) = u32::try_from(data.len()) else {
            return Ok(None);
        };
        let Some(buffer) = self.user_buffer(length)? else {
            return Ok(None);
        };
        self.write_bytes(buffer.address, data)?;
        if let Some(pending) = self.io.requests.pending.borrow_mut().get_mut(&request) {
            pending.input = Some(buffer);
        }
        Ok(Some(buffer.address))
    }

    /// The end of a request that the bench or the system made.
    pub(super) fn finish_request(&self, irp: u64) -> Ddi<()> {
        self.return_buffered_data(irp)?;
        self.free_mdls(irp)?;
        let body = self.read(DriverPtr::<Irp>::new(irp))?;
        let request = self.io.requests.by_irp.borrow_mut().remove(&irp);
        if let Some(request) = request {
            let place = self.here();
            if let Some(pending) = self.io.requests.pending.borrow_mut().get_mut(&request) {
                pending.place = Some(place);
            }
        }
        if !self.io.requests.cancelling.has_to_stay(irp) {
            self.release_irp(irp)?;
        }
        let Some(request) = request else {
            return Ok(());
        };
        let output = self
            .io
            .requests
            .pending
            .borrow()
            .get(&request)
            .and_then(|pending| pending.output);
        let data = match output {
            Some(output) if !body.io_status.status.is_error() => {
                let length = body.io_status.information.min(output.length.into());
                self.read_bytes(output.address, length as usize)?
            }
            _ => Vec::new(),
        };
        let outcome = Outcome {
            status: body.io_status.status,
            information: body.io_status.information,
            data,
        };
        self.settle(request, outcome)
    }

    /// Stores how a request ended and wakes whoever waits for it.
    pub(super) fn settle(&self, request: Request, outcome: Outcome) -> Ddi<()> {
        let settled = {
            let mut pending = self.io.requests.pending.borrow_mut();
            pending.get_mut(&request).map(|pending| {
                pending.outcome = Some(outcome);
                let buffers = [pending.input.take(), pending.output.take()];
                (pending.event, buffers, pending.file.take())
            })
        };
        let Some((event, buffers, file)) = settled else {
            return Ok(());
        };
        for buffer in buffers.into_iter().flatten() {
            self.free_user_buffer(buffer);
        }
        self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        file.map_or(Ok(()), |file| self.let_file_go(file))
    }
}

/// A request that has come to no driver.
pub(super) fn failed(status: NtStatus) -> Outcome {
    Outcome {
        status,
        information: 0,
        data: Vec::new(),
    }
}
