//! Handles.

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// Handles of the system process have this part set; drivers test for it by the sign.
const KERNEL_HANDLE: u64 = 0xFFFF_FFFF_8000_0000;

/// `NtCurrentProcess()`.
const CURRENT_PROCESS: u64 = u64::MAX;

/// `NtCurrentThread()`.
const CURRENT_THREAD: u64 = u64::MAX - 1;

/// Options of ZwDuplicateObject.
const DUPLICATE_CLOSE_SOURCE: u32 = 1;
const DUPLICATE_SAME_ACCESS: u32 = 2;

#[derive(Clone, Copy)]
pub(super) struct Handle {
    object: u64,
    access: u32,
}

impl Kernel {
    /// A new handle to `body`, which must be an object. The handle holds a reference.
    ///
    /// # Errors
    /// As [`Kernel::obf_reference_object`].
    pub(crate) fn ob_create_handle(&self, body: u64, access: u32) -> Ddi<u64> {
        self.obf_reference_object(body)?;
        let ob = &self.io.ob;
        ob.last_handle.set(ob.last_handle.get() + 4);
        let handle = KERNEL_HANDLE | ob.last_handle.get();
        ob.handles.borrow_mut().insert(
            handle,
            Handle {
                object: body,
                access,
            },
        );
        if let Some(object) = ob.objects.borrow_mut().get_mut(&body) {
            object.handles += 1;
        }
        Ok(handle)
    }

    /// The object behind a handle.
    pub(crate) fn ob_of_handle(&self, handle: u64) -> Option<u64> {
        match handle {
            CURRENT_PROCESS => Some(self.current_process()),
            CURRENT_THREAD => Some(self.current_kthread()),
            _ => self
                .io
                .ob
                .handles
                .borrow()
                .get(&handle)
                .map(|known| known.object),
        }
    }

    /// The access that a handle grants.
    pub(super) fn access_of_handle(&self, handle: u64) -> u32 {
        let handles = self.io.ob.handles.borrow();
        handles.get(&handle).map_or(0, |known| known.access)
    }

    /// `NTSTATUS ZwClose(HANDLE Handle)`
    ///
    /// Closes a handle of any kind. The last handle to a file sends IRP_MJ_CLEANUP, the
    /// last reference IRP_MJ_CLOSE.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_HANDLE.
    /// - Source: WDK reference, wdm.ZwClose.
    ///
    /// # Errors
    /// What deleting the object brings.
    pub fn zw_close(&self, handle: u64) -> Ddi<NtStatus> {
        if handle == CURRENT_PROCESS || handle == CURRENT_THREAD {
            return Ok(NtStatus::SUCCESS);
        }
        let Some(known) = self.io.ob.handles.borrow_mut().remove(&handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        let last = match self.io.ob.objects.borrow_mut().get_mut(&known.object) {
            Some(object) => {
                object.handles -= 1;
                (object.handles == 0).then_some(object.kind)
            }
            None => None,
        };
        if last == Some(super::ObjectKind::File) {
            self.clean_up_file(known.object)?;
        }
        self.obf_dereference_object(known.object)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ObReferenceObjectByHandle(Handle, DesiredAccess, ObjectType, AccessMode, *Object, HandleInformation)`
    ///
    /// Gives the object behind a handle and adds a reference to it.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_HANDLE; OBJECT_TYPE_MISMATCH. `*Object` is NULL on
    ///   failure.
    /// - Source: WDK reference, wdm.ObReferenceObjectByHandle.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn ob_reference_object_by_handle(
        &self,
        handle: u64,
        _access: u32,
        object_type: u64,
        mode: u8,
        object: DriverPtr<u64>,
        information: DriverPtr<[u32; 2]>,
    ) -> Ddi<NtStatus> {
        self.write(object, 0)?;
        let Some(body) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        if object_type != 0 && !self.is_of_type(body, object_type, mode) {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        if !information.is_null() {
            let access = self.access_of_handle(handle);
            self.write(information, [0, access])?;
        }
        self.obf_reference_object(body)?;
        self.write(object, body)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `ObOpenObjectByPointer(Object, HandleAttributes, AccessState, DesiredAccess, ObjectType, AccessMode, *Handle)`
    ///
    /// Makes a handle to an object.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, ntifs.ObOpenObjectByPointer.
    ///
    /// # Errors
    /// An out pointer that is not memory; as [`Kernel::obf_reference_object`].
    #[expect(clippy::too_many_arguments, reason = "the signature is the DDI's")]
    pub fn ob_open_object_by_pointer(
        &self,
        body: u64,
        _attributes: u32,
        _access_state: u64,
        access: u32,
        object_type: u64,
        mode: u8,
        handle: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if object_type != 0 && !self.is_of_type(body, object_type, mode) {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        let value = self.ob_create_filtered_handle(body, access)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwDuplicateObject(SourceProcess, SourceHandle, TargetProcess, *TargetHandle, DesiredAccess, Attributes, Options)`
    ///
    /// Makes another handle to the object of a handle. There is one process, so the processes
    /// only have to be handles to it. DUPLICATE_CLOSE_SOURCE closes the handle, whatever else
    /// happens; DUPLICATE_SAME_ACCESS takes its access for that of the new one.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INVALID_HANDLE for a handle or a process that is none.
    /// - Source: WDK reference, ntifs.ZwDuplicateObject.
    ///
    /// # Errors
    /// A `target_handle` that is neither memory nor NULL; what closing the handle brings.
    pub fn zw_duplicate_object(
        &self,
        source_process: u64,
        source: u64,
        target_process: u64,
        target_handle: DriverPtr<u64>,
        access: u32,
        options: u32,
    ) -> Ddi<NtStatus> {
        let is_process = |handle| self.ob_process_of_handle(handle).is_some();
        if !is_process(source_process) {
            return Ok(NtStatus::INVALID_HANDLE);
        }
        let known = self.io.ob.handles.borrow().get(&source).copied();
        let Some(object) = self.ob_of_handle(source) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        let mut status = NtStatus::SUCCESS;
        if !is_process(target_process) {
            status = NtStatus::INVALID_HANDLE;
        } else if !target_handle.is_null() {
            let access = match known {
                Some(known) if options & DUPLICATE_SAME_ACCESS != 0 => known.access,
                _ => access,
            };
            let handle = self.ob_create_handle(object, access)?;
            self.write(target_handle, handle)?;
        }
        if options & DUPLICATE_CLOSE_SOURCE != 0 {
            self.zw_close(source)?;
        }
        Ok(status)
    }

    /// The process that a handle is of, NtCurrentProcess() too.
    fn ob_process_of_handle(&self, handle: u64) -> Option<u64> {
        if handle == CURRENT_PROCESS {
            return Some(self.current_process());
        }
        self.ob_of_handle(handle)
            .filter(|object| self.ob_kind(*object) == Some(super::ObjectKind::Process))
    }

    /// `NTSTATUS ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode)`: as
    /// [`Kernel::zw_close`].
    ///
    /// # Errors
    /// As [`Kernel::zw_close`].
    pub fn ob_close_handle(&self, handle: u64, _mode: u8) -> Ddi<NtStatus> {
        self.zw_close(handle)
    }
}
