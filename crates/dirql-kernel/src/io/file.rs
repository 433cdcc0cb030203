//! File objects: open instances of devices.
//!
//! Source: wdm.FILE_OBJECT; WDK, "DispatchCreate, DispatchClose, and DispatchCreateClose
//! Routines", "IRP_MJ_CLEANUP".

use alloc::boxed::Box;
use alloc::vec::Vec;

use dirql_abi::device::{DeviceObject, device_flags, io_type};
use dirql_abi::io::{create_disposition, work_queue_type};
use dirql_abi::irp::{FileObject, IoSecurityContext, file_object_flags, major};
use dirql_abi::stack_parameters::StackParametersCreate;
use dirql_abi::string::UnicodeString;
use dirql_abi::{Irql, NtStatus};

use super::RequestOutcome;
use super::driver::zeroed;
use super::work_item::Job;
use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel, at};

/// FILE_READ_ATTRIBUTES.
pub(super) const READ_ATTRIBUTES: u32 = 0x80;

/// FILE_READ_DATA and FILE_WRITE_DATA.
const READ_DATA: u32 = 1;
const WRITE_DATA: u32 = 2;
const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;

/// FILE_SHARE_READ and FILE_SHARE_WRITE.
const SHARE_ALL: u16 = 3;

/// How a device is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// ACCESS_MASK.
    pub(super) access: u32,
    /// FILE_ATTRIBUTE_.
    pub(super) attributes: u16,
    /// FILE_SHARE_.
    pub(super) share: u16,
    /// Disposition in the top byte, create options below.
    pub(super) options: u32,
}

impl Opening {
    /// As an application opens a device.
    const fn existing(access: u32) -> Self {
        Self {
            access,
            attributes: 0,
            share: SHARE_ALL,
            options: create_disposition::FILE_OPEN << 24,
        }
    }
}

/// What is kept about a file object.
pub(super) struct File {
    /// The device that was named, not the top of its stack.
    device: u64,
    /// Opened: cleanup and close are due.
    opened: bool,
    cleaned_up: bool,
    /// The last reference is gone. The device is held until IRP_MJ_CLOSE has returned.
    closing: bool,
}

impl Kernel {
    /// Opens what a name stands for: IRP_MJ_CREATE to the top of the device's stack.
    ///
    /// - Returns: the file object with one reference, or the status of the name or of the
    ///   driver.
    ///
    /// # Errors
    /// As the driver's dispatch routine.
    pub(super) fn open_by_name(&self, name: &str, access: u32) -> Ddi<Result<u64, NtStatus>> {
        let found = match self.name_resolve(name) {
            Ok(found) => found,
            Err(status) => return Ok(Err(status)),
        };
        if self.ob_kind(found.object) != Some(ObjectKind::Device) {
            return Ok(Err(NtStatus::OBJECT_TYPE_MISMATCH));
        }
        self.open_device(found.object, &found.rest, access)
    }

    /// Opens a device, with what follows its name.
    pub(super) fn open_device(
        &self,
        device: u64,
        rest: &str,
        access: u32,
    ) -> Ddi<Result<u64, NtStatus>> {
        let (file, outcome) = self.open_device_as(device, rest, Opening::existing(access))?;
        Ok(if outcome.status.is_success() {
            Ok(file)
        } else {
            Err(outcome.status)
        })
    }

    /// As [`Kernel::open_device`], in a way of the caller's; also what the driver answered.
    pub(super) fn open_device_as(
        &self,
        device: u64,
        rest: &str,
        opening: Opening,
    ) -> Ddi<(u64, RequestOutcome)> {
        let flags = self.device_flags(device)?;
        if flags & device_flags::DO_DEVICE_INITIALIZING != 0 || self.is_deleted(device) {
            return Ok(refused(NtStatus::NO_SUCH_DEVICE));
        }
        let references = at!(
            DriverPtr::<DeviceObject>::new(device),
            DeviceObject,
            reference_count
        );
        let count = self.read(references)?;
        if flags & device_flags::DO_EXCLUSIVE != 0 && count > 0 {
            return Ok(refused(NtStatus::ACCESS_DENIED));
        }
        let file = self.new_file(device, rest, opening.access)?;
        if file == 0 {
            return Ok(refused(NtStatus::INSUFFICIENT_RESOURCES));
        }
        self.write(references, count.wrapping_add(1))?;
        self.obf_reference_object(device)?;
        let outcome = self.send_create(device, file, opening)?;
        if !outcome.status.is_success() {
            self.obf_dereference_object(file)?;
            return Ok((0, outcome));
        }
        let object = DriverPtr::<FileObject>::new(file);
        let flags = self.read(at!(object, FileObject, flags))?;
        self.write(
            at!(object, FileObject, flags),
            flags | file_object_flags::FO_HANDLE_CREATED,
        )?;
        if let Some(record) = self.io.files.borrow_mut().get_mut(&file) {
            record.opened = true;
        }
        Ok((file, outcome))
    }

    fn is_deleted(&self, device: u64) -> bool {
        self.with_device(device, |d| d.deleted.is_some())
            .unwrap_or(true)
    }

    fn new_file(&self, device: u64, rest: &str, access: u32) -> Ddi<u64> {
        let units: Vec<u8> = rest
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let bytes = size_of::<FileObject>() as u64 + units.len() as u64;
        let file = self.allocate_zeroed(bytes, super::tag(b"File"))?;
        if file == 0 {
            return Ok(0);
        }
        let buffer = file + size_of::<FileObject>() as u64;
        self.write_bytes(buffer, &units)?;
        let length = units.len() as u16;
        let name = UnicodeString {
            length: length - 2,
            maximum_length: length,
            padding4: 0,
            buffer,
        };
        let body = FileObject {
            type_: io_type::IO_TYPE_FILE,
            size: size_of::<FileObject>() as i16,
            device_object: device,
            read_access: u8::from(access & (READ_DATA | GENERIC_READ) != 0),
            write_access: u8::from(access & (WRITE_DATA | GENERIC_WRITE) != 0),
            shared_read: 1,
            shared_write: 1,
            flags: if rest.is_empty() {
                file_object_flags::FO_DIRECT_DEVICE_OPEN
            } else {
                0
            },
            file_name: name,
            ..zeroed()
        };
        let object = DriverPtr::<FileObject>::new(file);
        self.write(object, body)?;
        self.ke_initialize_event(at!(object, FileObject, lock), 1, 0)?;
        self.ke_initialize_event(at!(object, FileObject, event), 0, 0)?;
        self.ob_register(file, ObjectKind::File, Self::delete_file);
        self.io.files.borrow_mut().insert(
            file,
            File {
                device,
                opened: false,
                cleaned_up: false,
                closing: false,
            },
        );
        Ok(file)
    }

    fn send_create(&self, device: u64, file: u64, opening: Opening) -> Ddi<RequestOutcome> {
        let context =
            self.allocate_zeroed(size_of::<IoSecurityContext>() as u64, super::tag(b"IoSc"))?;
        if context == 0 {
            return Ok(refused(NtStatus::INSUFFICIENT_RESOURCES).1);
        }
        let security = DriverPtr::<IoSecurityContext>::new(context);
        self.write(
            at!(security, IoSecurityContext, desired_access),
            opening.access,
        )?;
        let parameters = StackParametersCreate {
            security_context: context,
            options: opening.options,
            file_attributes: opening.attributes,
            share_access: opening.share,
            ..zeroed()
        };
        let top = self.top_of_stack(device);
        let outcome = self.send_request(top, Some(file), move |stack| {
            stack.major_function = major::IRP_MJ_CREATE;
            stack.set_parameters(&parameters);
        })?;
        self.pool_free(context, None)?;
        Ok(outcome)
    }

    /// The last handle to a file is closed: IRP_MJ_CLEANUP, once.
    pub(crate) fn clean_up_file(&self, file: u64) -> Ddi<()> {
        let due = {
            let mut files = self.io.files.borrow_mut();
            files.get_mut(&file).is_some_and(|record| {
                let due = record.opened && !record.cleaned_up;
                record.cleaned_up |= due;
                due
            })
        };
        if due {
            let top = self.top_of_stack(self.device_of_file(file)?);
            self.send_request(top, Some(file), |stack| {
                stack.major_function = major::IRP_MJ_CLEANUP
            })?;
            let object = DriverPtr::<FileObject>::new(file);
            let flags = self.read(at!(object, FileObject, flags))?;
            self.write(
                at!(object, FileObject, flags),
                flags | file_object_flags::FO_CLEANUP_COMPLETE,
            )?;
        }
        Ok(())
    }

    /// Cleanup, and the end of the caller's reference: close, if it was the last.
    pub(super) fn close_file_object(&self, file: u64) -> Ddi<()> {
        self.clean_up_file(file)?;
        self.obf_dereference_object(file)?;
        Ok(())
    }

    /// The last reference to a file is gone: IRP_MJ_CLOSE at PASSIVE_LEVEL, if need be on
    /// another thread.
    fn delete_file(&self, file: u64) -> Ddi<()> {
        if self.irql() > Irql::PASSIVE {
            let job = Job::Native(Box::new(move |kernel| kernel.close_and_free(file)));
            return self.queue_job(work_queue_type::DelayedWorkQueue, job);
        }
        self.close_and_free(file)
    }

    fn close_and_free(&self, file: u64) -> Ddi<()> {
        let begin = |record: &mut File| {
            let begins = !core::mem::replace(&mut record.closing, true);
            begins.then_some((record.device, record.opened))
        };
        let begun = self.io.files.borrow_mut().get_mut(&file).and_then(begin);
        let Some((opened, is_due)) = begun else {
            return Ok(());
        };
        if is_due {
            let top = self.top_of_stack(opened);
            self.send_request(top, Some(file), |stack| {
                stack.major_function = major::IRP_MJ_CLOSE
            })?;
        }
        self.io.files.borrow_mut().remove(&file);
        let gone = self.gone_below(opened);
        let device = DriverPtr::<DeviceObject>::new(opened);
        let references = at!(device, DeviceObject, reference_count);
        self.write(references, self.read(references)?.wrapping_sub(1))?;
        self.obf_dereference_object(opened)?;
        self.pool_free(file, None)?;
        gone.map_or(Ok(()), |child| self.remove_when_closed(child))
    }

    /// Whether somebody has a handle to a file of one of a driver's devices.
    pub(super) fn has_open_handles(&self, driver: u64) -> bool {
        let files = self.io.files.borrow();
        let mut open = files
            .values()
            .filter(|file| file.opened && !file.cleaned_up);
        open.any(|file| self.driver_of_device(file.device) == Some(driver))
    }

    /// Whether a file of a device of this stack is open, or not closed yet.
    pub(super) fn is_open(&self, physical_device: u64) -> bool {
        let stack = self.stack_of(physical_device);
        let files = self.io.files.borrow();
        files.values().any(|file| stack.contains(&file.device))
    }

    /// The device that was opened.
    pub(super) fn device_of_file(&self, file: u64) -> Ddi<u64> {
        match self.opened_device(file) {
            Some(device) => Ok(device),
            None => Err(self.not_io_object(file, "file object")),
        }
    }

    /// As [`Kernel::device_of_file`], for what may not be a file.
    pub(super) fn opened_device(&self, file: u64) -> Option<u64> {
        self.io
            .files
            .borrow()
            .get(&file)
            .map(|record| record.device)
    }
}

/// The answer of somebody who did not get as far as the driver.
fn refused(status: NtStatus) -> (u64, RequestOutcome) {
    let outcome = RequestOutcome {
        status,
        information: 0,
        data: Vec::new(),
    };
    (0, outcome)
}
