//! Requests that drivers have the I/O manager build.
//!
//! Source: WDK, "Creating IRPs for Lower-Level Drivers"; the pages of the routines.

use alloc::format;

use dirql_abi::device::{DeviceObject, device_flags};
use dirql_abi::io::{ControlCode, method};
use dirql_abi::irp::{IoStackLocation, Irp, irp_flags, major};
use dirql_abi::memory::lock_operation;
use dirql_abi::stack_parameters::{StackParametersDeviceIoControl, StackParametersReadWrite};
use dirql_rules::ids;

use super::irp::{LOCATION, Origin};
use crate::{Ddi, DriverPtr, Kernel, at};

/// The buffers of a device control request, as its caller gives them.
#[derive(Clone, Copy)]
pub(super) struct ControlBuffers {
    pub(super) input: u64,
    pub(super) input_length: u32,
    pub(super) output: u64,
    pub(super) output_length: u32,
    /// KernelMode or UserMode.
    pub(super) mode: u8,
}

impl Kernel {
    /// `PIRP IoBuildDeviceIoControlRequest(IoControlCode, DeviceObject, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength, InternalDeviceIoControl, Event, IoStatusBlock)`
    ///
    /// Builds a request that the I/O manager frees when it is complete, after it has written
    /// the status block and set the event.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request, or NULL.
    /// - Source: WDK reference, wdm.IoBuildDeviceIoControlRequest.
    ///
    /// # Errors
    /// A buffer that is not memory; the bug check if the device is none.
    #[expect(clippy::too_many_arguments, reason = "the signature is the DDI's")]
    pub fn io_build_device_io_control_request(
        &self,
        code: u32,
        device: u64,
        input: u64,
        input_length: u32,
        output: u64,
        output_length: u32,
        internal: u8,
        event: u64,
        io_status: u64,
    ) -> Ddi<u64> {
        let irp = self.irp_for(device, Origin::Threaded)?;
        if irp == 0 {
            return Ok(0);
        }
        let buffers = ControlBuffers {
            input,
            input_length,
            output,
            output_length,
            mode: 0,
        };
        if !self.fill_control(irp, code, internal != 0, buffers)? {
            self.release_irp(irp)?;
            return Ok(0);
        }
        let pointer = DriverPtr::<Irp>::new(irp);
        self.write(at!(pointer, Irp, user_iosb), io_status)?;
        self.write(at!(pointer, Irp, user_event), event)?;
        Ok(irp)
    }

    /// A request with as many stack locations as the device wants, on behalf of the current
    /// thread; 0 without memory.
    pub(super) fn irp_for(&self, device: u64, origin: Origin) -> Ddi<u64> {
        self.expect_device(device)?;
        let locations = self.read(at!(
            DriverPtr::<DeviceObject>::new(device),
            DeviceObject,
            stack_size
        ))?;
        if locations <= 0 {
            self.find(
                ids::IRP_MISUSE,
                format!("StackSize of {} is {locations}", self.device_text(device)),
                None,
            )?;
            return Ok(0);
        }
        let irp = self.new_irp(locations as u8, origin)?;
        if irp != 0 {
            let thread = self.current_kthread();
            self.write(at!(DriverPtr::<Irp>::new(irp), Irp, thread), thread)?;
        }
        Ok(irp)
    }

    /// Fills in a device control request by its code's method. Whether there was memory.
    pub(super) fn fill_control(
        &self,
        irp: u64,
        code: u32,
        internal: bool,
        buffers: ControlBuffers,
    ) -> Ddi<bool> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let mut stack = self.read(self.next_location(irp)?)?;
        stack.major_function = if internal {
            major::IRP_MJ_INTERNAL_DEVICE_CONTROL
        } else {
            major::IRP_MJ_DEVICE_CONTROL
        };
        let method = u32::from(ControlCode::of(code).method);
        stack.set_parameters(&StackParametersDeviceIoControl {
            output_buffer_length: buffers.output_length,
            padding4: 0,
            input_buffer_length: buffers.input_length,
            padding12: 0,
            io_control_code: code,
            padding20: 0,
            type3_input_buffer: if method == method::METHOD_NEITHER {
                buffers.input
            } else {
                0
            },
        });
        self.write(self.next_location(irp)?, stack)?;
        self.write(at!(pointer, Irp, requestor_mode), buffers.mode)?;
        self.set_output_length(irp, buffers.output_length.into());
        match method {
            method::METHOD_NEITHER => {
                self.write(at!(pointer, Irp, user_buffer), buffers.output)?;
                Ok(true)
            }
            method::METHOD_BUFFERED => {
                let room = buffers.input_length.max(buffers.output_length);
                let flags = if buffers.output == 0 {
                    0
                } else {
                    irp_flags::IRP_INPUT_OPERATION
                };
                self.write(at!(pointer, Irp, user_buffer), buffers.output)?;
                self.give_system_buffer(irp, room, buffers.input, buffers.input_length, flags)
            }
            _ => {
                if buffers.input != 0
                    && !self.give_system_buffer(
                        irp,
                        buffers.input_length,
                        buffers.input,
                        buffers.input_length,
                        0,
                    )?
                {
                    return Ok(false);
                }
                if buffers.output_length == 0 {
                    return Ok(true);
                }
                let operation = if method == method::METHOD_IN_DIRECT {
                    lock_operation::IoReadAccess
                } else {
                    lock_operation::IoWriteAccess
                };
                self.give_mdl(
                    irp,
                    buffers.output,
                    buffers.output_length,
                    operation,
                    buffers.mode,
                )
            }
        }
    }

    /// Allocates the system buffer and copies the caller's data to it. Whether there was
    /// memory. The buffer is freed at completion.
    pub(super) fn give_system_buffer(
        &self,
        irp: u64,
        room: u32,
        data: u64,
        length: u32,
        flags: u32,
    ) -> Ddi<bool> {
        let pointer = DriverPtr::<Irp>::new(irp);
        if room == 0 {
            return Ok(true);
        }
        let buffer = self.pool_allocate(super::NONPAGED, room.into(), super::tag(b"IoSb"))?;
        if buffer == 0 {
            return Ok(false);
        }
        if data != 0 {
            let bytes = self.read_bytes(data, length as usize)?;
            self.write_bytes(buffer, &bytes)?;
        }
        self.write(at!(pointer, Irp, associated_irp), buffer)?;
        let flags = irp_flags::IRP_BUFFERED_IO | irp_flags::IRP_DEALLOCATE_BUFFER | flags;
        let all = self.read(at!(pointer, Irp, flags))? | flags;
        self.write(at!(pointer, Irp, flags), all)?;
        Ok(true)
    }

    /// Describes the caller's buffer by an MDL with its pages locked. Whether there was
    /// memory.
    fn give_mdl(&self, irp: u64, buffer: u64, length: u32, operation: u32, mode: u8) -> Ddi<bool> {
        let mdl = self.io_allocate_mdl(buffer, length, 0, 0, DriverPtr::new(irp))?;
        if mdl.is_null() {
            return Ok(false);
        }
        self.mm_probe_and_lock_pages(mdl, mode, operation)?;
        Ok(true)
    }

    /// Fills in a read or write request by the device's flags. Whether there was memory.
    #[expect(clippy::too_many_arguments, reason = "each is a member of the request")]
    pub(super) fn fill_transfer(
        &self,
        irp: u64,
        device: u64,
        function: u8,
        buffer: u64,
        length: u32,
        offset: i64,
        mode: u8,
    ) -> Ddi<bool> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let mut stack = self.read(self.next_location(irp)?)?;
        stack.major_function = function;
        let carries_data = matches!(function, major::IRP_MJ_READ | major::IRP_MJ_WRITE);
        if carries_data {
            stack.set_parameters(&StackParametersReadWrite {
                length,
                padding4: 0,
                key: 0,
                flags: 0,
                byte_offset: offset,
            });
        }
        self.write(self.next_location(irp)?, stack)?;
        self.write(at!(pointer, Irp, requestor_mode), mode)?;
        if !carries_data {
            return Ok(true);
        }
        let reads = function == major::IRP_MJ_READ;
        self.set_output_length(irp, length.into());
        let flags = self.device_flags(device)?;
        self.write(at!(pointer, Irp, user_buffer), buffer)?;
        if flags & device_flags::DO_BUFFERED_IO != 0 {
            let (data, data_length) = if reads { (0, 0) } else { (buffer, length) };
            let input = if reads {
                irp_flags::IRP_INPUT_OPERATION
            } else {
                0
            };
            self.give_system_buffer(irp, length, data, data_length, input)
        } else if flags & device_flags::DO_DIRECT_IO != 0 {
            if length == 0 {
                return Ok(true);
            }
            let operation = if reads {
                lock_operation::IoWriteAccess
            } else {
                lock_operation::IoReadAccess
            };
            self.give_mdl(irp, buffer, length, operation, mode)
        } else {
            Ok(true)
        }
    }

    /// `PIRP IoBuildAsynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, IoStatusBlock)`
    ///
    /// Builds a read, write, flush, shutdown or plug and play request that the caller's
    /// completion routine frees, with what hangs on it.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: the request, or NULL.
    /// - Source: WDK reference, wdm.IoBuildAsynchronousFsdRequest.
    ///
    /// # Errors
    /// A buffer that is not memory; the bug check if the device is none.
    pub fn io_build_asynchronous_fsd_request(
        &self,
        function: u32,
        device: u64,
        buffer: u64,
        length: u32,
        offset: DriverPtr<i64>,
        io_status: u64,
    ) -> Ddi<u64> {
        self.build_fsd(
            Origin::Asynchronous,
            function,
            device,
            buffer,
            length,
            offset,
            io_status,
        )
    }

    /// `PIRP IoBuildSynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, Event, IoStatusBlock)`
    ///
    /// As [`Kernel::io_build_asynchronous_fsd_request`], but the I/O manager frees the request
    /// when it is complete, after it has written the status block and set the event.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request, or NULL.
    /// - Source: WDK reference, wdm.IoBuildSynchronousFsdRequest.
    ///
    /// # Errors
    /// As [`Kernel::io_build_asynchronous_fsd_request`].
    #[expect(clippy::too_many_arguments, reason = "the signature is the DDI's")]
    pub fn io_build_synchronous_fsd_request(
        &self,
        function: u32,
        device: u64,
        buffer: u64,
        length: u32,
        offset: DriverPtr<i64>,
        event: u64,
        io_status: u64,
    ) -> Ddi<u64> {
        let irp = self.build_fsd(
            Origin::Threaded,
            function,
            device,
            buffer,
            length,
            offset,
            io_status,
        )?;
        if irp != 0 {
            self.write(at!(DriverPtr::<Irp>::new(irp), Irp, user_event), event)?;
        }
        Ok(irp)
    }

    #[expect(clippy::too_many_arguments, reason = "as the DDIs that it serves")]
    fn build_fsd(
        &self,
        origin: Origin,
        function: u32,
        device: u64,
        buffer: u64,
        length: u32,
        offset: DriverPtr<i64>,
        io_status: u64,
    ) -> Ddi<u64> {
        let irp = self.irp_for(device, origin)?;
        if irp == 0 {
            return Ok(0);
        }
        let offset = if offset.is_null() {
            0
        } else {
            self.read(offset)?
        };
        let function = (function & 0xFF) as u8;
        if !self.fill_transfer(irp, device, function, buffer, length, offset, 0)? {
            self.release_irp(irp)?;
            return Ok(0);
        }
        self.write(at!(DriverPtr::<Irp>::new(irp), Irp, user_iosb), io_status)?;
        Ok(irp)
    }

    /// `BOOLEAN IoForwardIrpSynchronously(PDEVICE_OBJECT DeviceObject, PIRP Irp)`
    ///
    /// Copies the stack location, sends the request down and waits until it is back. The
    /// caller still owns it then.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: TRUE; FALSE, and nothing done, if there is no stack location left.
    /// - Source: WDK reference, ntddk.IoForwardIrpSynchronously.
    ///
    /// # Errors
    /// As [`Kernel::iof_call_driver`].
    pub fn io_forward_irp_synchronously(&self, device: u64, irp: u64) -> Ddi<u8> {
        self.expect_irp(irp, 3)?;
        let location = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, current_location))?;
        if location <= 1 {
            return Ok(0);
        }
        self.copy_location(irp)?;
        self.send_and_wait(device, irp)?;
        Ok(1)
    }

    /// Sends a request down and waits until it is back at this stack location.
    pub(crate) fn send_and_wait(&self, device: u64, irp: u64) -> Ddi<dirql_abi::NtStatus> {
        let event = self.take_event()?;
        let routine = self.kernel_routine("dirql:SignalCompletion");
        self.set_completion_routine(irp, routine, event, [true; 3])?;
        self.iof_call_driver(device, irp)?;
        self.wait_for(event, None)?;
        self.give_event(event);
        Ok(self.read(at!(DriverPtr::<Irp>::new(irp), Irp, io_status.status))?)
    }

    /// An event of our own that is not signaled, to be given back.
    pub(crate) fn take_event(&self) -> Ddi<u64> {
        let event = self.io.events.borrow_mut().pop();
        let event = event.unwrap_or_else(|| self.allocate_system(32));
        self.ke_initialize_event(DriverPtr::new(event), 0, 0)?;
        Ok(event)
    }

    pub(crate) fn give_event(&self, event: u64) {
        self.io.events.borrow_mut().push(event);
    }

    /// Completion routine of `send_and_wait`: sets the event and keeps the request.
    ///
    /// # Errors
    /// The event is not memory.
    pub fn signal_completion(
        &self,
        _device: u64,
        _irp: u64,
        event: u64,
    ) -> Ddi<dirql_abi::NtStatus> {
        self.ke_set_event(DriverPtr::new(event), 0, 0)?;
        Ok(dirql_abi::NtStatus::MORE_PROCESSING_REQUIRED)
    }

    /// `IoCopyCurrentIrpStackLocationToNext`, which drivers have inlined.
    pub(crate) fn copy_location(&self, irp: u64) -> Ddi<()> {
        let current = self.current_location(irp)?;
        let mut stack = self.read(current)?;
        stack.control = 0;
        let next = DriverPtr::<IoStackLocation>::new(current.address().wrapping_sub(LOCATION));
        let kept = self.read(next)?;
        // The macro copies up to, not including, CompletionRoutine.
        stack.completion_routine = kept.completion_routine;
        stack.context = kept.context;
        Ok(self.write(next, stack)?)
    }

    pub(super) fn next_mdl(&self, mdl: u64) -> Ddi<u64> {
        Ok(self.read(at!(
            DriverPtr::<dirql_abi::memory::Mdl>::new(mdl),
            dirql_abi::memory::Mdl,
            next
        ))?)
    }

    /// What the end of a direct request does to each of its MDLs.
    pub(super) fn unlock_and_free_mdl(&self, mdl: u64) -> Ddi<()> {
        use dirql_abi::memory::{Mdl, mdl_flags};
        let mdl = DriverPtr::<Mdl>::new(mdl);
        if self.read(at!(mdl, Mdl, mdl_flags))? & mdl_flags::MDL_PAGES_LOCKED != 0 {
            self.mm_unlock_pages(mdl)?;
        }
        self.io_free_mdl(mdl)
    }
}
