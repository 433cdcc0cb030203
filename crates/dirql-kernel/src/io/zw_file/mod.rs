//! Files by handle: opening, reading, writing, asking.
//!
//! Every call becomes a request to the device that the name leads to; for a name on drive C: that
//! is [`volume`], which keeps files in memory. A call waits until its request is complete, also
//! on a handle that was opened for asynchronous use, so that it never returns STATUS_PENDING.
//!
//! Not modelled: APC routines, extended attributes, share access and locks; they end the run or
//! are granted, as each routine says.
//!
//! Source: WDK reference, "Using Files in a Driver", wdm.ZwCreateFile and its relatives.

mod ask;
mod directory;
mod dos_name;
pub(super) mod volume;

#[cfg(test)]
mod tests;

pub use ask::DirectoryRequest;

use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::irp::{FileObject, IoStatusBlock, file_object_flags, major};
use dirql_abi::object::ObjectAttributes;
use dirql_abi::stack_parameters::{StackParametersQueryFile, StackParametersSetFile};
use dirql_rules::ids;

use super::RequestOutcome;
use super::file::Opening;
use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel, Stop, at};

/// FILE_SYNCHRONOUS_IO_ALERT and FILE_SYNCHRONOUS_IO_NONALERT.
const SYNCHRONOUS: u32 = 0x30;

/// FILE_USE_FILE_POINTER_POSITION and FILE_WRITE_TO_END_OF_FILE, as the low word of an offset
/// whose high word is -1.
const USE_POSITION: i64 = -2;
pub(super) const WRITE_TO_END: i64 = -1;

/// `FILE_INFORMATION_CLASS`.
pub(super) mod class {
    pub(in super::super) const BASIC: u32 = 4;
    pub(in super::super) const STANDARD: u32 = 5;
    pub(in super::super) const NAME: u32 = 9;
    pub(in super::super) const DISPOSITION: u32 = 13;
    pub(in super::super) const POSITION: u32 = 14;
    pub(in super::super) const END_OF_FILE: u32 = 20;
}

/// Where a request's end is told.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Handle of an event to signal, or 0.
    pub event: u64,
    /// An APC routine; only 0 is implemented.
    pub apc_routine: u64,
    /// Status and information.
    pub status_block: DriverPtr<IoStatusBlock>,
}

/// What ZwCreateFile is asked for besides the name.
#[derive(Clone, Copy, Debug)]
pub struct CreateRequest {
    /// ACCESS_MASK.
    pub access: u32,
    /// FILE_ATTRIBUTE_.
    pub attributes: u32,
    /// FILE_SHARE_.
    pub share: u32,
    /// FILE_OPEN and so on.
    pub disposition: u32,
    /// FILE_DIRECTORY_FILE and so on.
    pub options: u32,
}

impl Kernel {
    /// `NTSTATUS ZwCreateFile(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PIO_STATUS_BLOCK,
    /// PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess, ULONG
    /// CreateDisposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength)`, also behind
    /// `ZwOpenFile` and `IoCreateFile`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: what the name or the device's driver says. `Information` of the status block says
    ///   what was done.
    /// - Source: WDK reference, wdm.ZwCreateFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_create_file(
        &self,
        handle: DriverPtr<u64>,
        attributes: DriverPtr<ObjectAttributes>,
        status_block: DriverPtr<IoStatusBlock>,
        request: CreateRequest,
    ) -> Ddi<NtStatus> {
        let name = match self.file_name(attributes)? {
            Ok(name) => name,
            Err(status) => return Ok(status),
        };
        if volume::is_on_drive(&name) {
            self.mount_volume()?;
        }
        let found = match self.name_resolve(&name) {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        if self.ob_kind(found.object) != Some(ObjectKind::Device) {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        let opening = Opening {
            access: request.access,
            attributes: request.attributes as u16,
            share: request.share as u16,
            options: request.disposition << 24 | request.options & 0xFF_FFFF,
        };
        let (file, outcome) =
            self.in_kernel_mode(|| self.open_device_as(found.object, &found.rest, opening))?;
        let block = IoStatusBlock {
            status: outcome.status,
            padding4: 0,
            information: outcome.information,
        };
        self.write(status_block, block)?;
        if !outcome.status.is_success() {
            return Ok(outcome.status);
        }
        if request.options & SYNCHRONOUS != 0 {
            let flags = at!(DriverPtr::<FileObject>::new(file), FileObject, flags);
            self.write(
                flags,
                self.read(flags)? | file_object_flags::FO_SYNCHRONOUS_IO,
            )?;
        }
        let value = self.ob_create_handle(file, request.access)?;
        self.obf_dereference_object(file)?;
        self.write(handle, value)?;
        Ok(outcome.status)
    }

    /// The whole name: relative to a handle of a file, or absolute.
    fn file_name(&self, attributes: DriverPtr<ObjectAttributes>) -> Ddi<Result<String, NtStatus>> {
        let attributes = self.read(attributes)?;
        if attributes.object_name == 0 {
            return Ok(Err(NtStatus::OBJECT_PATH_SYNTAX_BAD));
        }
        let name = self.text_of(DriverPtr::new(attributes.object_name))?;
        if attributes.root_directory == 0 {
            return Ok(Ok(name));
        }
        let file = match self.file_of_handle(attributes.root_directory) {
            Ok(file) => file,
            Err(status) => return Ok(Err(status)),
        };
        if name.starts_with('\\') {
            return Ok(Err(NtStatus::OBJECT_NAME_INVALID));
        }
        let device = self.device_of_file(file)?;
        let Some(device_name) = self.ob_name(device) else {
            return Ok(Err(NtStatus::OBJECT_NAME_INVALID));
        };
        let rest = at!(DriverPtr::<FileObject>::new(file), FileObject, file_name);
        let rest = self.text_of(rest)?;
        Ok(Ok(alloc::format!(
            "{device_name}{}\\{name}",
            rest.trim_end_matches('\\')
        )))
    }

    pub(crate) fn file_of_handle(&self, handle: u64) -> Result<u64, NtStatus> {
        let body = self.ob_of_handle(handle).ok_or(NtStatus::INVALID_HANDLE)?;
        match self.ob_kind(body) {
            Some(ObjectKind::File) => Ok(body),
            _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    /// `NTSTATUS ZwReadFile(HANDLE, HANDLE Event, PIO_APC_ROUTINE, PVOID ApcContext,
    /// PIO_STATUS_BLOCK, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key)`, and
    /// `ZwWriteFile` with the same arguments; `function` says which
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request's status; INVALID_PARAMETER without an offset on a handle that was not
    ///   opened for synchronous use.
    /// - Findings: DQ0002 with an APC routine.
    /// - Source: WDK reference, wdm.ZwReadFile, wdm.ZwWriteFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_transfer_file(
        &self,
        handle: u64,
        function: u8,
        completion: Completion,
        buffer: u64,
        length: u32,
        offset: DriverPtr<i64>,
    ) -> Ddi<NtStatus> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let object = DriverPtr::<FileObject>::new(file);
        let flags = self.read(at!(object, FileObject, flags))?;
        let synchronous = flags & file_object_flags::FO_SYNCHRONOUS_IO != 0;
        let given = if offset.is_null() {
            None
        } else {
            Some(self.read(offset)?)
        };
        let position = match given.filter(|given| *given != USE_POSITION) {
            Some(given) => given,
            None if synchronous => self.read(at!(object, FileObject, current_byte_offset))?,
            None => return Ok(NtStatus::INVALID_PARAMETER),
        };
        let outcome = self.transfer(file, function, buffer, length, position)?;
        if synchronous && !outcome.status.is_error() {
            let after = position.max(0).saturating_add_unsigned(outcome.information);
            self.write(at!(object, FileObject, current_byte_offset), after)?;
        }
        self.complete_call(completion, &outcome)
    }

    /// `NTSTATUS ZwDeviceIoControlFile(HANDLE, HANDLE Event, PIO_APC_ROUTINE, PVOID ApcContext,
    /// PIO_STATUS_BLOCK, ULONG IoControlCode, PVOID InputBuffer, ULONG, PVOID OutputBuffer, ULONG)`,
    /// and `ZwFsControlFile` with the same arguments, whose `function` is
    /// `IRP_MJ_FILE_SYSTEM_CONTROL`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request's status; the file system of drive C: has no control codes.
    /// - Findings: DQ0002 with an APC routine.
    /// - Source: WDK reference, ntifs.ZwDeviceIoControlFile, ntifs.ZwFsControlFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_control_file(
        &self,
        handle: u64,
        function: u8,
        completion: Completion,
        code: u32,
        input: (u64, u32),
        output: (u64, u32),
    ) -> Ddi<NtStatus> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let outcome = self.control(file, function, code, input, output)?;
        self.complete_call(completion, &outcome)
    }

    /// `NTSTATUS ZwQueryInformationFile(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG Length,
    /// FILE_INFORMATION_CLASS)`, and `ZwSetInformationFile` with the same arguments
    ///
    /// The position of a handle is answered here; the rest is the driver's to answer.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request's status; INFO_LENGTH_MISMATCH for a buffer that is too small for a
    ///   position.
    /// - Source: WDK reference, wdm.ZwQueryInformationFile, wdm.ZwSetInformationFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_information_file(
        &self,
        handle: u64,
        set: bool,
        status_block: DriverPtr<IoStatusBlock>,
        buffer: (u64, u32),
        class: u32,
    ) -> Ddi<NtStatus> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let (address, length) = buffer;
        let outcome = if class == class::POSITION {
            if length < 8 {
                return Ok(NtStatus::INFO_LENGTH_MISMATCH);
            }
            let position = at!(
                DriverPtr::<FileObject>::new(file),
                FileObject,
                current_byte_offset
            );
            let given = DriverPtr::<i64>::new(address);
            if set {
                self.write(position, self.read(given)?)?;
            } else {
                self.write(given, self.read(position)?)?;
            }
            RequestOutcome {
                status: NtStatus::SUCCESS,
                information: if set { 0 } else { 8 },
                data: alloc::vec::Vec::new(),
            }
        } else if set {
            self.file_information(file, buffer, true, |stack| {
                stack.major_function = major::IRP_MJ_SET_INFORMATION;
                stack.set_parameters(&StackParametersSetFile {
                    length,
                    padding4: 0,
                    file_information_class: class,
                    padding12: 0,
                    file_object: 0,
                    delete_handle: 0,
                });
            })?
        } else {
            self.file_information(file, buffer, false, |stack| {
                stack.major_function = major::IRP_MJ_QUERY_INFORMATION;
                stack.set_parameters(&StackParametersQueryFile {
                    length,
                    padding4: 0,
                    file_information_class: class,
                    padding12: 0,
                });
            })?
        };
        let completion = Completion {
            event: 0,
            apc_routine: 0,
            status_block,
        };
        self.complete_call(completion, &outcome)
    }

    /// `NTSTATUS ZwFlushBuffersFile(HANDLE, PIO_STATUS_BLOCK)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntifs.ZwFlushBuffersFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_flush_buffers_file(
        &self,
        handle: u64,
        status_block: DriverPtr<IoStatusBlock>,
    ) -> Ddi<NtStatus> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let top = self.top_of_stack(self.device_of_file(file)?);
        let outcome = self.send_request(top, Some(file), |stack| {
            stack.major_function = major::IRP_MJ_FLUSH_BUFFERS;
        })?;
        let completion = Completion {
            event: 0,
            apc_routine: 0,
            status_block,
        };
        self.complete_call(completion, &outcome)
    }

    /// Tells the caller how its request ended.
    pub(super) fn complete_call(
        &self,
        completion: Completion,
        outcome: &RequestOutcome,
    ) -> Ddi<NtStatus> {
        if completion.apc_routine != 0 {
            return Err(self.no_apc());
        }
        let block = IoStatusBlock {
            status: outcome.status,
            padding4: 0,
            information: outcome.information,
        };
        self.write(completion.status_block, block)?;
        if completion.event != 0 {
            match self.ob_of_handle(completion.event) {
                Some(event) if self.ob_kind(event) == Some(ObjectKind::Event) => {
                    self.ke_set_event(DriverPtr::new(event), 0, 0)?;
                }
                _ => return Ok(NtStatus::INVALID_HANDLE),
            }
        }
        Ok(outcome.status)
    }

    /// A routine was to be called in the thread's context later, which nothing does here.
    pub(crate) fn no_apc(&self) -> Stop {
        let message = String::from("an APC routine was given, and APCs are not implemented");
        self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message, None)
    }
}
