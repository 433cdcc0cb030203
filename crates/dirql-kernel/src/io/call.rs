//! Sending a request to a driver, and what its dispatch routine must have done when it
//! returns.
//!
//! # The checks
//! A frame is kept for each dispatch routine that runs. The routine must have completed the
//! request, passed it on, or marked it pending, and what it returns must say which:
//!
//! | request is | marked pending | must return |
//! |---|---|---|
//! | completed by this driver | no | the status it was completed with |
//! | completed or kept | yes | STATUS_PENDING |
//! | completed | yes, before the routine was given it | either |
//! | passed on | | not checked here; see `complete` for the pending bit |
//!
//! Source: WDK, "Rules for returning status", "Handling IRPs: What Every Driver Writer Needs
//! to Know"; Bug check 0xC9, parameters 0x224 to 0x229.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;
use dirql_abi::device::{DriverObject, MAJOR_FUNCTIONS};
use dirql_abi::irp::{IoStackLocation, Irp, major, stack_control};
use dirql_rules::{BugCheck, Place, ids};

use super::irp::Progress;
use crate::{Ddi, DriverPtr, Kernel, at};

/// A dispatch routine that runs.
struct Frame {
    id: u64,
    irp: u64,
    serial: u64,
    /// Where the request was sent from.
    sent: Place,
    /// Stack location that the routine was given, by number and address.
    location: i8,
    address: u64,
    /// The location was marked pending when the routine was given it: a driver above has marked
    /// the request, and skipped its own location.
    was_marked: bool,
    /// The request went on to the next driver and has not come back to this one.
    passed_on: bool,
    completed: Option<Completed>,
}

/// How a request left a driver upwards.
#[derive(Clone)]
struct Completed {
    status: NtStatus,
    marked_pending: bool,
    place: Place,
}

/// All dispatch routines that run, innermost last per thread.
#[derive(Default)]
pub(super) struct Frames {
    open: RefCell<Vec<Frame>>,
    last: Cell<u64>,
}

/// What a trace calls the dispatch routine of a major function.
pub(super) const fn dispatch_name(major_function: u8) -> &'static str {
    match major_function {
        major::IRP_MJ_CREATE => "DispatchCreate",
        major::IRP_MJ_CLOSE => "DispatchClose",
        major::IRP_MJ_READ => "DispatchRead",
        major::IRP_MJ_WRITE => "DispatchWrite",
        major::IRP_MJ_FLUSH_BUFFERS => "DispatchFlushBuffers",
        major::IRP_MJ_DEVICE_CONTROL => "DispatchDeviceControl",
        major::IRP_MJ_INTERNAL_DEVICE_CONTROL => "DispatchInternalDeviceControl",
        major::IRP_MJ_SHUTDOWN => "DispatchShutdown",
        major::IRP_MJ_CLEANUP => "DispatchCleanup",
        major::IRP_MJ_POWER => "DispatchPower",
        major::IRP_MJ_SYSTEM_CONTROL => "DispatchSystemControl",
        major::IRP_MJ_PNP => "DispatchPnp",
        _ => "Dispatch",
    }
}

impl Kernel {
    /// `NTSTATUS IofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp)` (`IoCallDriver`)
    ///
    /// Makes the next stack location current and calls the dispatch routine of the device's
    /// driver.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: what the dispatch routine returned.
    /// - Findings: DQ0203 no device; DQ0206 no request; DQ0207 a cancel routine is set; DQ0200
    ///   the routine returned at another level; DQ0171 request forgotten; DQ0208 and DQ0209 the
    ///   status and the pending bit or the completion status differ; DQ0608 sent too high. Bug check 0x35 without a
    ///   stack location left.
    /// - Yields: around the dispatch routine, by what it calls.
    /// - Source: WDK reference, wdm.IofCallDriver; Bug checks 0x35 and 0xC9.
    ///
    /// # Errors
    /// The bug checks.
    pub fn iof_call_driver(&self, device: u64, irp: u64) -> Ddi<NtStatus> {
        let record = self.expect_irp(irp, 3)?;
        self.expect_device(device)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        self.check_cancel_routine(irp, ids::CANCEL_ROUTINE_LEFT, "sent to the next driver")?;
        let location = self
            .read(at!(pointer, Irp, current_location))?
            .wrapping_sub(1);
        if location <= 0 {
            let message = format!(
                "the IRP {irp:#x} has no stack location left for {}",
                self.device_text(device)
            );
            self.find(ids::NO_STACK_LOCATION, message, None)?;
            return Err(BugCheck::new(0x35, [irp, 0, 0, 0]).into());
        }
        let stack = self.next_location(irp)?;
        self.write(at!(pointer, Irp, current_location), location)?;
        self.write(at!(pointer, Irp, current_stack_location), stack.address())?;
        self.write(at!(stack, IoStackLocation, device_object), device)?;
        let function = self.read(at!(stack, IoStackLocation, major_function))?;
        let routine = self.dispatch_routine(device, function)?;
        self.check_forwarding(function)?;
        self.set_progress(irp, Progress::Sent(routine));
        let frame = self.open_frame(irp, record.serial, location, stack.address())?;
        let status = self.on_path(stack, || {
            self.call_at_same_level(dispatch_name(function), routine, &[device, irp])
        })?;
        let status = NtStatus(status as i32);
        self.close_frame(frame, status, routine)?;
        Ok(status)
    }

    /// The routine of a device's driver for a major function.
    pub(super) fn dispatch_routine(&self, device: u64, function: u8) -> Ddi<u64> {
        let driver = self.driver_of_device(device).unwrap_or(0);
        let function = usize::from(function);
        if function >= MAJOR_FUNCTIONS {
            let message = format!("{function:#x} is not a major function code");
            self.find(ids::IRP_MISUSE, message, None)?;
            return Ok(self.kernel_routine("dirql:InvalidDeviceRequest"));
        }
        let table = at!(
            DriverPtr::<DriverObject>::new(driver),
            DriverObject,
            major_function
        );
        Ok(self.read(table.cast::<u64>().element(function))?)
    }

    /// Windows' own dispatch routine for what a driver does not handle.
    ///
    /// - Returns: INVALID_DEVICE_REQUEST, with which the request was completed. Power
    ///   requests are handed on to the next driver's part of the rule: they are completed
    ///   with the status that they hold.
    ///
    /// # Errors
    /// As [`Kernel::iof_complete_request`].
    pub fn invalid_device_request(&self, _device: u64, irp: u64) -> Ddi<NtStatus> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let stack = self.current_location(irp)?;
        if self.read(at!(stack, IoStackLocation, major_function))? == major::IRP_MJ_POWER {
            self.po_start_next_power_irp(irp)?;
        }
        self.write(
            at!(pointer, Irp, io_status.status),
            NtStatus::INVALID_DEVICE_REQUEST,
        )?;
        self.write(at!(pointer, Irp, io_status.information), 0)?;
        self.iof_complete_request(irp, 0)?;
        Ok(NtStatus::INVALID_DEVICE_REQUEST)
    }

    /// A finding, and no cancel routine any more, if the request has one where it must not.
    pub(super) fn check_cancel_routine(
        &self,
        irp: u64,
        rule: dirql_rules::RuleId,
        what: &str,
    ) -> Ddi<()> {
        let routine = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine))?;
        if routine == 0 {
            return Ok(());
        }
        let message =
            format!("the IRP {irp:#x} was {what} and its cancel routine {routine:#x} is still set");
        self.find(rule, message, None)
    }

    fn open_frame(&self, irp: u64, serial: u64, location: i8, address: u64) -> Ddi<u64> {
        let sent = self.here();
        let control =
            DriverPtr::<u8>::new(address + core::mem::offset_of!(IoStackLocation, control) as u64);
        let was_marked = self.read(control)? & stack_control::SL_PENDING_RETURNED != 0;
        let frames = &self.io.frames;
        let id = frames.last.get() + 1;
        frames.last.set(id);
        let mut open = frames.open.borrow_mut();
        for frame in open
            .iter_mut()
            .filter(|frame| (frame.irp, frame.serial) == (irp, serial))
        {
            if frame.location >= location && frame.completed.is_none() {
                frame.passed_on = true;
            }
        }
        open.push(Frame {
            id,
            irp,
            serial,
            sent,
            location,
            address,
            was_marked,
            passed_on: false,
            completed: None,
        });
        Ok(id)
    }

    /// A request leaves the driver that has stack location `location` upwards. `by_it`: that
    /// driver itself completed it; else it passed it on and a lower one did.
    pub(super) fn note_completion(&self, irp: u64, location: i8, by_it: bool) -> Ddi<()> {
        let Some(record) = self.irp_record(irp) else {
            return Ok(());
        };
        let pointer = DriverPtr::<Irp>::new(irp);
        let status = self.read(at!(pointer, Irp, io_status.status))?;
        let place = self.here();
        let mut open = self.io.frames.open.borrow_mut();
        for frame in open
            .iter_mut()
            .filter(|f| (f.irp, f.serial, f.location) == (irp, record.serial, location))
        {
            let control = DriverPtr::<u8>::new(
                frame.address + core::mem::offset_of!(IoStackLocation, control) as u64,
            );
            let marked_pending = self.read(control)? & stack_control::SL_PENDING_RETURNED != 0;
            frame.passed_on &= !by_it;
            frame.completed = Some(Completed {
                status,
                marked_pending,
                place: place.clone(),
            });
        }
        Ok(())
    }

    /// The dispatch routine has returned `status`: the checks of the module's table.
    fn close_frame(&self, id: u64, status: NtStatus, routine: u64) -> Ddi<()> {
        let frame = {
            let mut open = self.io.frames.open.borrow_mut();
            let Some(at) = open.iter().position(|frame| frame.id == id) else {
                return Ok(());
            };
            open.remove(at)
        };
        if frame.passed_on {
            return Ok(());
        }
        match &frame.completed {
            Some(completed) => self.check_completed(&frame, completed, status, routine),
            None => self.check_kept(&frame, status, routine),
        }
    }

    fn check_completed(
        &self,
        frame: &Frame,
        completed: &Completed,
        status: NtStatus,
        routine: u64,
    ) -> Ddi<()> {
        let pending = status == NtStatus::PENDING;
        let (rule, message) = match (completed.marked_pending, pending) {
            (true, true) => return Ok(()),
            (false, false) if status == completed.status => return Ok(()),
            (true, false) if frame.was_marked && status == completed.status => return Ok(()),
            (true, false) if !frame.was_marked => (
                ids::PENDING_MISMATCH,
                format!(
                    "the dispatch routine marked IRP {:#x} pending and returned {status}",
                    frame.irp
                ),
            ),
            (false, true) => (
                ids::PENDING_MISMATCH,
                format!(
                    "the dispatch routine returned STATUS_PENDING and did not mark IRP {:#x} pending",
                    frame.irp
                ),
            ),
            (_, false) => (
                ids::STATUS_MISMATCH,
                format!(
                    "the dispatch routine completed IRP {:#x} with {} and returned {status}",
                    frame.irp, completed.status
                ),
            ),
        };
        let earlier = (
            String::from("the IRP was completed here"),
            completed.place.clone(),
        );
        self.find_at(rule, message, self.here_at(routine), Some(earlier))
    }

    fn check_kept(&self, frame: &Frame, status: NtStatus, routine: u64) -> Ddi<()> {
        let current = self.irp_record(frame.irp);
        if current.is_none_or(|record| {
            record.serial != frame.serial || matches!(record.progress, Progress::Freed(_))
        }) {
            return Ok(());
        }
        let stack = DriverPtr::<IoStackLocation>::new(frame.address);
        let control = self.read(at!(stack, IoStackLocation, control))?;
        let marked = control & stack_control::SL_PENDING_RETURNED != 0;
        let (rule, message) = match (marked, status == NtStatus::PENDING) {
            (true, true) => return Ok(()),
            (true, false) if !frame.was_marked => (
                ids::PENDING_MISMATCH,
                format!(
                    "the dispatch routine marked IRP {:#x} pending and returned {status}",
                    frame.irp
                ),
            ),
            (false, true) => (
                ids::PENDING_MISMATCH,
                format!(
                    "the dispatch routine returned STATUS_PENDING and did not mark IRP {:#x} pending",
                    frame.irp
                ),
            ),
            (_, false) => (
                ids::IRP_FORGOTTEN,
                format!(
                    "the dispatch routine returned {status}, but did not complete IRP {:#x}, pass it on, or mark it pending",
                    frame.irp
                ),
            ),
        };
        self.find_at(rule, message, self.here_at(routine), None)
    }

    /// Where a request was sent from that a dispatch routine has now.
    pub(crate) fn sent_from(&self, irp: u64) -> Option<Place> {
        let open = self.io.frames.open.borrow();
        let frame = open.iter().rfind(|frame| frame.irp == irp);
        frame.map(|frame| frame.sent.clone())
    }

    /// `IoSkipCurrentIrpStackLocation`, which drivers have inlined.
    pub(crate) fn skip_stack_location(&self, irp: u64) -> Ddi<()> {
        let pointer = DriverPtr::<Irp>::new(irp);
        let location = at!(pointer, Irp, current_location);
        let stack = at!(pointer, Irp, current_stack_location);
        self.write(location, self.read(location)?.wrapping_add(1))?;
        Ok(self.write(stack, self.read(stack)?.wrapping_add(super::irp::LOCATION))?)
    }

    /// `IoMarkIrpPending`, which drivers have inlined.
    pub(crate) fn mark_pending(&self, irp: u64) -> Ddi<()> {
        let control = at!(self.current_location(irp)?, IoStackLocation, control);
        let value = self.read(control)? | stack_control::SL_PENDING_RETURNED;
        Ok(self.write(control, value)?)
    }
}
