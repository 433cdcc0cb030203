//! What else is asked about files by handle, or about a file that is only named.
//!
//! Not modelled: waiting for changes of a directory, quotas, extended attributes, locks.
//!
//! Source: WDK reference, ntifs.ZwQueryVolumeInformationFile,
//! ntifs.ZwQueryDirectoryFile, wdm.ZwDeleteFile, wdm.ZwQueryFullAttributesFile.

use dirql_abi::NtStatus;
use dirql_abi::device::DeviceObject;
use dirql_abi::io::create_disposition::FILE_OPEN;
use dirql_abi::irp::{IoStatusBlock, major};
use dirql_abi::object::ObjectAttributes;
use dirql_abi::stack_parameters::{StackParametersQueryDirectory, StackParametersQueryFile};
use dirql_rules::ids;

use super::volume::DELETE_ON_CLOSE;
use super::{Completion, CreateRequest, class};
use crate::io::RequestOutcome;
use crate::rtl::CountedString;
use crate::{Ddi, DriverPtr, Kernel, at};

/// `FileFsDeviceInformation`, and its bytes.
const FS_DEVICE: u32 = 4;
const FS_DEVICE_BYTES: u32 = 8;

/// `IRP_MN_QUERY_DIRECTORY`, `SL_RESTART_SCAN`, `SL_RETURN_SINGLE_ENTRY`.
const QUERY_DIRECTORY: u8 = 1;
pub(super) const RESTART_SCAN: u8 = 1;
pub(super) const SINGLE_ENTRY: u8 = 2;

/// `DELETE` and `FILE_READ_ATTRIBUTES`.
const DELETE: u32 = 0x1_0000;
const READ_ATTRIBUTES: u32 = 0x80;

/// Bytes of a FILE_BASIC_INFORMATION and of a FILE_STANDARD_INFORMATION.
const BASIC_BYTES: usize = 40;
const STANDARD_BYTES: usize = 24;

/// Bytes for a status block and either of the two, in memory of our own.
const SCRATCH_BYTES: u64 = 128;

/// What ZwQueryDirectoryFile is asked for.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryRequest {
    /// Where the entries go, and the room there.
    pub buffer: (u64, u32),
    /// `FILE_INFORMATION_CLASS`.
    pub class: u32,
    /// One entry only.
    pub single: bool,
    /// Which names; null for all, or those of the first call.
    pub name: DriverPtr<CountedString>,
    /// From the beginning.
    pub restart: bool,
}

impl Kernel {
    /// `NTSTATUS ZwQueryVolumeInformationFile(HANDLE, PIO_STATUS_BLOCK, PVOID FsInformation, ULONG
    /// Length, FS_INFORMATION_CLASS)`
    ///
    /// Type and characteristics of the device are answered here, as on Windows; the rest is for
    /// the driver to answer.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request's status; INFO_LENGTH_MISMATCH.
    /// - Source: WDK reference, ntifs.ZwQueryVolumeInformationFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_query_volume_information_file(
        &self,
        handle: u64,
        status_block: DriverPtr<IoStatusBlock>,
        buffer: (u64, u32),
        class: u32,
    ) -> Ddi<NtStatus> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let (address, length) = buffer;
        let outcome = if class == FS_DEVICE {
            if length < FS_DEVICE_BYTES {
                return Ok(NtStatus::INFO_LENGTH_MISMATCH);
            }
            let device = DriverPtr::<DeviceObject>::new(self.device_of_file(file)?);
            let kind = self.read(at!(device, DeviceObject, device_type))?;
            let characteristics = self.read(at!(device, DeviceObject, characteristics))?;
            self.write(DriverPtr::<[u32; 2]>::new(address), [kind, characteristics])?;
            RequestOutcome {
                status: NtStatus::SUCCESS,
                information: FS_DEVICE_BYTES.into(),
                data: alloc::vec::Vec::new(),
            }
        } else {
            self.file_information(file, buffer, false, |stack| {
                stack.major_function = major::IRP_MJ_QUERY_VOLUME_INFORMATION;
                stack.set_parameters(&StackParametersQueryFile {
                    length,
                    padding4: 0,
                    file_information_class: class,
                    padding12: 0,
                });
            })?
        };
        self.complete_call(to_block(status_block), &outcome)
    }

    /// `NTSTATUS ZwQueryDirectoryFile(HANDLE, HANDLE Event, PIO_APC_ROUTINE, PVOID ApcContext,
    /// PIO_STATUS_BLOCK, PVOID FileInformation, ULONG Length, FILE_INFORMATION_CLASS, BOOLEAN
    /// ReturnSingleEntry, PUNICODE_STRING FileName, BOOLEAN RestartScan)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: the request's status: NO_SUCH_FILE if nothing has such a name, NO_MORE_FILES at the end.
    /// - Findings: DQ0002 with an APC routine.
    /// - Source: WDK reference, ntifs.ZwQueryDirectoryFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_query_directory_file(
        &self,
        handle: u64,
        completion: Completion,
        request: DirectoryRequest,
    ) -> Ddi<NtStatus> {
        let file = match self.file_of_handle(handle) {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let single = if request.single { SINGLE_ENTRY } else { 0 };
        let restart = if request.restart { RESTART_SCAN } else { 0 };
        let outcome = self.file_information(file, request.buffer, false, |stack| {
            stack.major_function = major::IRP_MJ_DIRECTORY_CONTROL;
            stack.minor_function = QUERY_DIRECTORY;
            stack.flags = single | restart;
            stack.set_parameters(&StackParametersQueryDirectory {
                length: request.buffer.1,
                padding4: 0,
                file_name: request.name.address(),
                file_information_class: request.class,
                padding20: 0,
                file_index: 0,
                padding28: 0,
            });
        })?;
        self.complete_call(completion, &outcome)
    }

    /// `NTSTATUS ZwDeleteFile(POBJECT_ATTRIBUTES)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: what opening it brings.
    /// - Source: WDK reference, ntifs.ZwDeleteFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_delete_file(&self, attributes: DriverPtr<ObjectAttributes>) -> Ddi<NtStatus> {
        let opened = self.open_named(attributes, DELETE, DELETE_ON_CLOSE)?;
        match opened {
            Ok(handle) => self.zw_close(handle),
            Err(status) => Ok(status),
        }
    }

    /// `NTSTATUS ZwQueryFullAttributesFile(POBJECT_ATTRIBUTES, PFILE_NETWORK_OPEN_INFORMATION)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: what opening and asking the file brings.
    /// - Source: WDK reference, wdm.ZwQueryFullAttributesFile.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_query_full_attributes_file(
        &self,
        attributes: DriverPtr<ObjectAttributes>,
        result: DriverPtr<[u8; 56]>,
    ) -> Ddi<NtStatus> {
        let handle = match self.open_named(attributes, READ_ATTRIBUTES, 0)? {
            Ok(handle) => handle,
            Err(status) => return Ok(status),
        };
        let answer = self.network_open_information(handle)?;
        self.zw_close(handle)?;
        Ok(match answer {
            Ok(bytes) => {
                self.write(result, bytes)?;
                NtStatus::SUCCESS
            }
            Err(status) => status,
        })
    }

    /// A file's times, sizes and attributes, as FILE_NETWORK_OPEN_INFORMATION has them.
    fn network_open_information(&self, handle: u64) -> Ddi<Result<[u8; 56], NtStatus>> {
        let memory = self.take_scratch();
        let block = DriverPtr::new(memory);
        let buffer = memory + size_of::<IoStatusBlock>() as u64;
        let mut parts = [alloc::vec::Vec::new(), alloc::vec::Vec::new()];
        let asked = [
            (class::BASIC, BASIC_BYTES),
            (class::STANDARD, STANDARD_BYTES),
        ];
        let mut status = NtStatus::SUCCESS;
        for (part, (class, bytes)) in parts.iter_mut().zip(asked) {
            let room = (buffer, bytes as u32);
            status = self.zw_information_file(handle, false, block, room, class)?;
            if !status.is_success() {
                break;
            }
            *part = self.read_bytes(buffer, bytes)?;
        }
        self.give_scratch(memory);
        let [basic, standard] = parts;
        if !status.is_success() {
            return Ok(Err(status));
        }
        // Four times; bytes allocated and used; attributes.
        let mut all = [0; 56];
        all[..32].copy_from_slice(&basic[..32]);
        all[32..48].copy_from_slice(&standard[..16]);
        all[48..52].copy_from_slice(&basic[32..36]);
        Ok(Ok(all))
    }

    /// Opens what is named, for a call that closes it again.
    fn open_named(
        &self,
        attributes: DriverPtr<ObjectAttributes>,
        access: u32,
        options: u32,
    ) -> Ddi<Result<u64, NtStatus>> {
        let memory = self.take_scratch();
        let (handle, block) = (DriverPtr::<u64>::new(memory), DriverPtr::new(memory + 8));
        let request = CreateRequest {
            access,
            attributes: 0,
            share: 7,
            disposition: FILE_OPEN,
            options,
        };
        let status = self.zw_create_file(handle, attributes, block, request)?;
        let value = self.read(handle)?;
        self.give_scratch(memory);
        Ok(if status.is_success() {
            Ok(value)
        } else {
            Err(status)
        })
    }

    fn take_scratch(&self) -> u64 {
        let known = self.io.scratch.borrow_mut().pop();
        known.unwrap_or_else(|| self.allocate_system(SCRATCH_BYTES))
    }

    fn give_scratch(&self, memory: u64) {
        self.io.scratch.borrow_mut().push(memory);
    }

    /// `NTSTATUS ZwCancelIoFile(HANDLE, PIO_STATUS_BLOCK)`
    ///
    /// Cancels what the calling thread has under way to a file: nothing, because every call waits
    /// for its request.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_HANDLE, OBJECT_TYPE_MISMATCH.
    /// - Source: ntifs.h, which declares it; winternl.h; "Canceling Pending I/O Operations".
    ///
    /// # Errors
    /// The block is not memory.
    pub fn zw_cancel_io_file(
        &self,
        handle: u64,
        status_block: DriverPtr<IoStatusBlock>,
    ) -> Ddi<NtStatus> {
        if let Err(status) = self.file_of_handle(handle) {
            return Ok(status);
        }
        let nothing = RequestOutcome {
            status: NtStatus::SUCCESS,
            information: 0,
            data: alloc::vec::Vec::new(),
        };
        self.complete_call(to_block(status_block), &nothing)
    }

    /// A file was to be opened below a given device of its stack, which nothing does here.
    ///
    /// # Errors
    /// Always: the run ends.
    pub fn no_device_hint(&self) -> Ddi<()> {
        let message =
            "a file was to be opened at a given device of the stack, which is not implemented";
        Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message.into(), None))
    }
}

fn to_block(status_block: DriverPtr<IoStatusBlock>) -> Completion {
    Completion {
        event: 0,
        apc_routine: 0,
        status_block,
    }
}
