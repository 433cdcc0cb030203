//! Completing a request: up the stack locations, and what the I/O manager does at the top.
//!
//! Source: WDK, "Completing IRPs", "Using IoCompletion Routines", "IoCompletion routines in
//! a driver stack"; Bug checks 0x44 and 0xC9.
//!
//! At the top Windows queues an APC to the requesting thread for what follows. There are no
//! APCs here: it is done at once, at the level of the completing code. A thread that waits
//! for the request cannot tell the difference.

use alloc::format;
use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp, irp_flags, stack_control};
use dirql_rules::{BugCheck, ids};

use super::irp::{LOCATION, Origin, Progress};
use crate::{Ddi, DriverPtr, Kernel, at};

/// What a completion routine returns to keep the request.
const MORE_PROCESSING: NtStatus = NtStatus::MORE_PROCESSING_REQUIRED;

impl Kernel {
    /// `VOID IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost)` (`IoCompleteRequest`)
    ///
    /// Gives the request back: calls the completion routines that drivers above have set for
    /// its outcome, from the current stack location upwards, until one keeps it or the top is
    /// reached.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Findings: DQ0170 completed before (bug check 0x44); DQ0210 completed with
    ///   STATUS_PENDING or -1; DQ0207 a cancel routine is set; DQ0200 a completion routine
    ///   returned at another level; DQ0211 a completion routine did not pass the pending bit
    ///   on.
    /// - Yields: around the completion routines, by what they call.
    /// - Source: WDK reference, wdm.IofCompleteRequest.
    ///
    /// # Errors
    /// The bug check.
    pub fn iof_complete_request(&self, irp: u64, boost: u8) -> Ddi<()> {
        let pointer = DriverPtr::<Irp>::new(irp);
        self.check_completable(irp)?;
        self.check_no_lock_held(irp)?;
        let location = self.read(at!(pointer, Irp, current_location))?;
        self.note_completion(irp, location, true)?;
        let count = self.read(at!(pointer, Irp, stack_count))?;
        loop {
            let passed = self.read(at!(pointer, Irp, current_location))?;
            if passed > count {
                break;
            }
            if !self.leave_location(irp, passed, count)? {
                return Ok(());
            }
            if passed < count {
                self.note_completion(irp, passed + 1, false)?;
            }
        }
        self.finish_irp(irp, boost)
    }

    /// The findings about a request that is being completed.
    fn check_completable(&self, irp: u64) -> Ddi<()> {
        let record = self.expect_irp(irp, 3)?;
        if let Progress::Completed(place) = record.progress {
            let message = format!("the IRP {irp:#x} was completed twice");
            self.find(
                ids::IRP_COMPLETED_TWICE,
                message,
                Some((String::from("it was completed here"), place)),
            )?;
            return Err(BugCheck::new(0x44, [irp, 0, 0, 0]).into());
        }
        let pointer = DriverPtr::<Irp>::new(irp);
        let location = self.read(at!(pointer, Irp, current_location))?;
        let count = self.read(at!(pointer, Irp, stack_count))?;
        if i16::from(location) > i16::from(count) + 1 || location <= 0 {
            let message =
                format!("the IRP {irp:#x} was completed at stack location {location} of {count}");
            self.find(ids::IRP_COMPLETED_TWICE, message, None)?;
            return Err(BugCheck::new(0x44, [irp, 0, 0, 0]).into());
        }
        let status = self.read(at!(pointer, Irp, io_status.status))?;
        if status == NtStatus::PENDING || status == NtStatus(-1) {
            let message = format!("the IRP {irp:#x} was completed with {status}");
            self.find(ids::COMPLETED_PENDING, message, None)?;
        }
        self.check_cancel_routine(irp, ids::CANCEL_ROUTINE_LEFT, "completed")
    }

    /// Moves from stack location `location` to the one above and calls the completion routine
    /// that lies in between. Whether to go on.
    fn leave_location(&self, irp: u64, location: i8, count: i8) -> Ddi<bool> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let stack = self.current_location(irp)?;
        let body = self.read(stack)?;
        let pending = body.control & stack_control::SL_PENDING_RETURNED;
        let above = DriverPtr::<IoStackLocation>::new(stack.address().wrapping_add(LOCATION));
        self.write(at!(pointer, Irp, current_location), location + 1)?;
        self.write(at!(pointer, Irp, current_stack_location), above.address())?;
        self.write(at!(pointer, Irp, pending_returned), pending)?;
        let status = self.read(at!(pointer, Irp, io_status.status))?;
        let cancelled = self.read(at!(pointer, Irp, cancel))? != 0;
        let top = location >= count;
        if !is_invoked(body.control, status, cancelled) {
            if pending != 0 && !top {
                self.mark_pending(irp)?;
            }
            self.clear_location(stack)?;
            return Ok(true);
        }
        self.clear_location(stack)?;
        let device = if top {
            0
        } else {
            self.read(at!(above, IoStackLocation, device_object))?
        };
        let arguments = [device, irp, body.context];
        let kept = self.call_at_same_level("IoCompletion", body.completion_routine, &arguments)?;
        if NtStatus(kept as i32) == MORE_PROCESSING {
            return Ok(false);
        }
        if pending != 0 && !top {
            let control = self.read(at!(above, IoStackLocation, control))?;
            if control & stack_control::SL_PENDING_RETURNED == 0 {
                self.find_at(
                    ids::PENDING_NOT_PASSED_ON,
                    format!("the completion routine for IRP {irp:#x} saw PendingReturned and did not mark the IRP pending"),
                    self.here_at(body.completion_routine),
                    None,
                )?;
            }
        }
        Ok(true)
    }

    /// What is left of a stack location after its driver: all but its major function, device
    /// and completion routine, as Windows does it.
    fn clear_location(&self, stack: DriverPtr<IoStackLocation>) -> Ddi<()> {
        let mut body = self.read(stack)?;
        body.minor_function = 0;
        body.flags = 0;
        body.control &= stack_control::SL_ERROR_RETURNED;
        body.parameter_bytes = [0; 4];
        body.file_object = 0;
        Ok(self.write(stack, body)?)
    }

    /// The request has come back to whoever made it.
    fn finish_irp(&self, irp: u64, boost: u8) -> Ddi<()> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let flags = self.read(at!(pointer, Irp, flags))?;
        let record = self.expect_irp(irp, 3)?;
        let place = self.here();
        self.set_progress(irp, Progress::Completed(place));
        if flags & irp_flags::IRP_ASSOCIATED_IRP != 0 {
            return self.finish_associated(irp, boost);
        }
        match record.origin {
            Origin::Manager => self.finish_request(irp),
            Origin::Threaded => self.finish_threaded(irp),
            Origin::Allocated | Origin::Asynchronous | Origin::Initialized => {
                let message = format!(
                    "the IRP {irp:#x} went up past the driver that made it; that driver's completion routine must return STATUS_MORE_PROCESSING_REQUIRED"
                );
                self.find(
                    ids::IRP_NOT_TAKEN_BACK,
                    message,
                    Some((String::from("it was made here"), record.made)),
                )?;
                if record.origin == Origin::Asynchronous {
                    self.finish_threaded(irp)?;
                }
                Ok(())
            }
        }
    }

    /// One of a master request's associated requests is done.
    fn finish_associated(&self, irp: u64, boost: u8) -> Ddi<()> {
        let master = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, associated_irp))?;
        self.free_mdls(irp)?;
        self.release_irp(irp)?;
        let count = at!(DriverPtr::<Irp>::new(master), Irp, associated_irp).cast::<i32>();
        let left = self.read(count)?.wrapping_sub(1);
        self.write(count, left)?;
        if left == 0 {
            self.iof_complete_request(master, boost)?;
        }
        Ok(())
    }

    /// The end of a request of IoBuildDeviceIoControlRequest or IoBuildSynchronousFsdRequest:
    /// data, status block, event. One of IoBuildAsynchronousFsdRequest that its driver does not
    /// take back ends in the same way.
    ///
    /// A request that failed without having been pending leaves status block and event
    /// alone: whoever waits for the event although IoCallDriver did not return
    /// STATUS_PENDING waits for ever.
    fn finish_threaded(&self, irp: u64) -> Ddi<()> {
        let body = self.read(DriverPtr::<Irp>::new(irp))?;
        self.return_buffered_data(irp)?;
        self.free_mdls(irp)?;
        if !body.io_status.status.is_error() || body.pending_returned != 0 {
            if body.user_iosb != 0 {
                self.write(DriverPtr::new(body.user_iosb), body.io_status)?;
            }
            if body.user_event != 0 {
                self.ke_set_event(DriverPtr::new(body.user_event), 0, 0)?;
            }
        }
        self.release_irp(irp)
    }

    /// Copies what a driver put into the system buffer to the caller's, and frees the system
    /// buffer.
    pub(super) fn return_buffered_data(&self, irp: u64) -> Ddi<()> {
        let body = self.read(DriverPtr::<Irp>::new(irp))?;
        if body.flags & irp_flags::IRP_BUFFERED_IO == 0 {
            return Ok(());
        }
        let wanted =
            body.flags & irp_flags::IRP_INPUT_OPERATION != 0 && !body.io_status.status.is_error();
        if wanted && body.io_status.information != 0 {
            let room = self
                .irp_record(irp)
                .map_or(0, |record| record.output_length);
            if body.io_status.information > room {
                let message = format!(
                    "the IRP {irp:#x} was completed with Information {}, but its caller has a buffer of {room} bytes",
                    body.io_status.information
                );
                self.find(ids::INFORMATION_TOO_LARGE, message, None)?;
            }
            let bytes = self.read_bytes(
                body.associated_irp,
                body.io_status.information.min(room) as usize,
            )?;
            self.write_bytes(body.user_buffer, &bytes)?;
        }
        if body.flags & irp_flags::IRP_DEALLOCATE_BUFFER != 0 {
            self.pool_free(body.associated_irp, None)?;
        }
        Ok(())
    }

    /// Unlocks and frees the request's memory descriptor lists.
    pub(super) fn free_mdls(&self, irp: u64) -> Ddi<()> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let mut mdl = self.read(at!(pointer, Irp, mdl_address))?;
        self.write(at!(pointer, Irp, mdl_address), 0)?;
        while mdl != 0 {
            let next = self.next_mdl(mdl)?;
            self.unlock_and_free_mdl(mdl)?;
            mdl = next;
        }
        Ok(())
    }

    /// `PIRP IoMakeAssociatedIrp(PIRP Irp, CCHAR StackSize)`
    ///
    /// Allocates a request that belongs to a master request, which is completed when all of
    /// its associated requests are.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the request, or NULL. The caller sets `AssociatedIrp.IrpCount` of the
    ///   master.
    /// - Source: WDK reference, ntddk.IoMakeAssociatedIrp.
    ///
    /// # Errors
    /// The bug check if the master is no request.
    pub fn io_make_associated_irp(&self, master: u64, stack_size: u8) -> Ddi<u64> {
        self.expect_irp(master, 3)?;
        if stack_size as i8 <= 0 {
            return Ok(0);
        }
        let irp = self.new_irp(stack_size, Origin::Allocated)?;
        if irp != 0 {
            let pointer = DriverPtr::<Irp>::new(irp);
            let thread = self.read(at!(DriverPtr::<Irp>::new(master), Irp, thread))?;
            self.write(at!(pointer, Irp, flags), irp_flags::IRP_ASSOCIATED_IRP)?;
            self.write(at!(pointer, Irp, associated_irp), master)?;
            self.write(at!(pointer, Irp, thread), thread)?;
        }
        Ok(irp)
    }

    /// `NTSTATUS IoSetCompletionRoutineEx(DeviceObject, Irp, CompletionRoutine, Context, OnSuccess, OnError, OnCancel)`
    ///
    /// Sets a completion routine and keeps the device, and so its driver, until it has run.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS; INSUFFICIENT_RESOURCES.
    /// - Source: WDK reference, wdm.IoSetCompletionRoutineEx.
    ///
    /// # Errors
    /// The bug check if device or request is none.
    #[expect(clippy::too_many_arguments, reason = "the signature is the DDI's")]
    pub fn io_set_completion_routine_ex(
        &self,
        device: u64,
        irp: u64,
        routine: u64,
        context: u64,
        on_success: u8,
        on_error: u8,
        on_cancel: u8,
    ) -> Ddi<NtStatus> {
        self.expect_irp(irp, 3)?;
        self.expect_device(device)?;
        let block = self.allocate_zeroed(size_of::<[u64; 3]>() as u64, super::tag(b"Usco"))?;
        if block == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(DriverPtr::new(block), [device, routine, context])?;
        self.obf_reference_object(device)?;
        let own = self.kernel_routine("dirql:UnloadSafeCompletion");
        let invoke = [on_success != 0, on_error != 0, on_cancel != 0];
        self.set_completion_routine(irp, own, block, invoke)?;
        Ok(NtStatus::SUCCESS)
    }

    /// The completion routine behind [`Kernel::io_set_completion_routine_ex`].
    ///
    /// # Errors
    /// As the driver's routine.
    pub fn unload_safe_completion(&self, device: u64, irp: u64, block: u64) -> Ddi<NtStatus> {
        let [kept, routine, context] = self.read(DriverPtr::<[u64; 3]>::new(block))?;
        self.pool_free(block, None)?;
        let status = self.call_at_same_level("IoCompletion", routine, &[device, irp, context])?;
        self.obf_dereference_object(kept)?;
        Ok(NtStatus(status as i32))
    }

    /// `IoSetCompletionRoutine`, which drivers have inlined: on success, error, cancel.
    pub(crate) fn set_completion_routine(
        &self,
        irp: u64,
        routine: u64,
        context: u64,
        [success, error, cancel]: [bool; 3],
    ) -> Ddi<()> {
        let stack = self.next_location(irp)?;
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let control = bit(success, stack_control::SL_INVOKE_ON_SUCCESS)
            | bit(error, stack_control::SL_INVOKE_ON_ERROR)
            | bit(cancel, stack_control::SL_INVOKE_ON_CANCEL);
        self.write(at!(stack, IoStackLocation, completion_routine), routine)?;
        self.write(at!(stack, IoStackLocation, context), context)?;
        Ok(self.write(at!(stack, IoStackLocation, control), control)?)
    }
}

/// Whether a completion routine that was set with these bits is called.
const fn is_invoked(control: u8, status: NtStatus, cancelled: bool) -> bool {
    let outcome = if status.is_success() {
        stack_control::SL_INVOKE_ON_SUCCESS
    } else {
        stack_control::SL_INVOKE_ON_ERROR
    };
    control & outcome != 0 || cancelled && control & stack_control::SL_INVOKE_ON_CANCEL != 0
}
