//! Who made a request, and with which rights.
//!
//! Source: WDK reference, ntddk.IoGetRequestorProcess, wdm.IoIs32bitProcess,
//! wdm.IoValidateDeviceIoControlAccess, wdm.IoIsOperationSynchronous.

use dirql_abi::irp::{FileObject, IoStackLocation, Irp, file_object_flags, irp_flags};
use dirql_abi::{NtStatus, is_true};

use crate::{Ddi, DriverPtr, Kernel, at};

/// FILE_READ_ACCESS and FILE_WRITE_ACCESS.
const READ: u32 = 1;
const WRITE: u32 = 2;

impl Kernel {
    /// `NTSTATUS IoValidateDeviceIoControlAccess(PIRP, ULONG RequiredAccess)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: ACCESS_DENIED if the file was not opened with the access; SUCCESS for a request
    ///   from kernel mode; INVALID_PARAMETER for other bits than those of read and write.
    /// - Source: WDK reference, wdm.IoValidateDeviceIoControlAccess.
    ///
    /// # Errors
    /// A request that is not memory.
    pub fn io_validate_device_io_control_access(&self, irp: u64, required: u32) -> Ddi<NtStatus> {
        if required & !(READ | WRITE) != 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let pointer = DriverPtr::<Irp>::new(irp);
        let stack = self.current_location(irp)?;
        let file = self.read(at!(stack, IoStackLocation, file_object))?;
        if self.read(at!(pointer, Irp, requestor_mode))? == 0 || file == 0 {
            return Ok(NtStatus::SUCCESS);
        }
        let file = DriverPtr::<FileObject>::new(file);
        let reads = is_true(self.read(at!(file, FileObject, read_access))?);
        let writes = is_true(self.read(at!(file, FileObject, write_access))?);
        let denied = (required & READ != 0 && !reads) || (required & WRITE != 0 && !writes);
        Ok(if denied {
            NtStatus::ACCESS_DENIED
        } else {
            NtStatus::SUCCESS
        })
    }

    /// `BOOLEAN IoIsOperationSynchronous(PIRP)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: whether the request, or its file, is for synchronous use.
    /// - Source: WDK reference, ntifs.IoIsOperationSynchronous.
    ///
    /// # Errors
    /// A request that is not memory.
    pub fn io_is_operation_synchronous(&self, irp: u64) -> Ddi<u8> {
        let flags = self.read(at!(DriverPtr::<Irp>::new(irp), Irp, flags))?;
        let stack = self.current_location(irp)?;
        let file = self.read(at!(stack, IoStackLocation, file_object))?;
        let file_is = file != 0 && {
            let flags = at!(DriverPtr::<FileObject>::new(file), FileObject, flags);
            self.read(flags)? & file_object_flags::FO_SYNCHRONOUS_IO != 0
        };
        let request_is = flags & irp_flags::IRP_SYNCHRONOUS_API != 0;
        Ok(u8::from(file_is || request_is))
    }

    /// `BOOLEAN IoWithinStackLimits(ULONG_PTR RegionStart, SIZE_T RegionSize)`
    ///
    /// - IRQL: any level.
    /// - Source: WDK reference, ntifs.IoWithinStackLimits.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_within_stack_limits(&self, start: u64, bytes: u64) -> Ddi<u8> {
        let stack = self.current_stack().unwrap_or_default();
        let inside =
            start >= stack.start && start.checked_add(bytes).is_some_and(|end| end <= stack.end);
        Ok(u8::from(inside))
    }
}
