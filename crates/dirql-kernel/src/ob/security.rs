//! Security descriptors of objects: kept and given back, never looked at.
//!
//! Every open is granted, so a descriptor changes nothing here but what is asked later.
//!
//! Source: WDK reference, ntifs.ZwSetSecurityObject, ntifs.ObGetObjectSecurity; "Securing Device
//! Objects".

use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_rules::ids;

use crate::rtl::SecurityDescriptor;
use crate::{Ddi, DriverPtr, Kernel};

/// Tag of the pool that descriptors are in.
const TAG: u32 = u32::from_le_bytes(*b"SeSd");

impl Kernel {
    /// `NTSTATUS ZwSetSecurityObject(HANDLE, SECURITY_INFORMATION, PSECURITY_DESCRIPTOR)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, INVALID_SECURITY_DESCR. The parts that are not named by the
    ///   information are replaced as well: objects begin without any.
    /// - Source: WDK reference, ntifs.ZwSetSecurityObject.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_set_security_object(
        &self,
        handle: u64,
        _information: u32,
        descriptor: DriverPtr<SecurityDescriptor>,
    ) -> Ddi<NtStatus> {
        let Some(object) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        if self.rtl_valid_security_descriptor(descriptor)? == 0 {
            return Ok(NtStatus::INVALID_SECURITY_DESCR);
        }
        let copy = self.capture_descriptor(descriptor, 1)?;
        if copy == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let length = self.rtl_length_security_descriptor(DriverPtr::new(copy))?;
        let bytes = self.read_bytes(copy, length as usize)?;
        self.pool_free(copy, Some(TAG))?;
        self.io.ob.security.borrow_mut().insert(object, bytes);
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR, KPROCESSOR_MODE, POOL_TYPE,
    /// BOOLEAN CaptureIfKernel, PSECURITY_DESCRIPTOR *Captured)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_SECURITY_DESCR; else a self-relative copy in pool, or the descriptor
    ///   itself for kernel mode if that is not to be captured.
    /// - Source: exported, not documented; its declaration in public headers.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn se_capture_security_descriptor(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
        mode: u8,
        pool_type: u32,
        capture_if_kernel: u8,
        captured: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        if descriptor.is_null() || (mode == 0 && capture_if_kernel == 0) {
            self.write(captured, descriptor.address())?;
            return Ok(NtStatus::SUCCESS);
        }
        if self.rtl_valid_security_descriptor(descriptor)? == 0 {
            return Ok(NtStatus::INVALID_SECURITY_DESCR);
        }
        let copy = self.capture_descriptor(descriptor, pool_type)?;
        if copy == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.write(captured, copy)?;
        Ok(NtStatus::SUCCESS)
    }

    /// A self-relative copy in pool, 0 without pool.
    fn capture_descriptor(
        &self,
        descriptor: DriverPtr<SecurityDescriptor>,
        pool_type: u32,
    ) -> Ddi<u64> {
        let room = self.rtl_length_security_descriptor(descriptor)?;
        let copy = self.pool_allocate(pool_type, room.into(), TAG)?;
        if copy == 0 {
            return Ok(0);
        }
        let length = DriverPtr::<u32>::new(self.allocate_zeroed(4, TAG)?);
        self.write(length, room)?;
        let status = self.rtl_absolute_to_self_relative_sd(descriptor, copy, length)?;
        self.pool_free(length.address(), Some(TAG))?;
        if !status.is_success() {
            // It is self-relative already.
            let bytes = self.read_bytes(descriptor.address(), room as usize)?;
            self.write_bytes(copy, &bytes)?;
        }
        Ok(copy)
    }

    /// `NTSTATUS ObGetObjectSecurity(PVOID, PSECURITY_DESCRIPTOR *, PBOOLEAN MemoryAllocated)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: SUCCESS. The descriptor is NULL until somebody sets one.
    /// - Source: WDK reference, ntifs.ObGetObjectSecurity.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn ob_get_object_security(
        &self,
        object: u64,
        descriptor: DriverPtr<u64>,
        allocated: DriverPtr<u8>,
    ) -> Ddi<NtStatus> {
        let known: Option<Vec<u8>> = self.io.ob.security.borrow().get(&object).cloned();
        let mut copy = 0;
        if let Some(bytes) = &known {
            copy = self.pool_allocate(1, bytes.len() as u64, TAG)?;
            if copy == 0 {
                return Ok(NtStatus::INSUFFICIENT_RESOURCES);
            }
            self.write_bytes(copy, bytes)?;
        }
        self.write(descriptor, copy)?;
        self.write(allocated, u8::from(copy != 0))?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID ObReleaseObjectSecurity(PSECURITY_DESCRIPTOR, BOOLEAN MemoryAllocated)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: DQ0220 for a descriptor that did not come from
    ///   [`Kernel::ob_get_object_security`].
    /// - Source: WDK reference, ntifs.ObReleaseObjectSecurity.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if a finding ends the run.
    pub fn ob_release_object_security(&self, descriptor: u64) -> Ddi<()> {
        if descriptor == 0 {
            return Ok(());
        }
        let ours = self.pool_at(descriptor).is_some_and(|(block, freed)| {
            block.address == descriptor && block.tag == TAG && freed.is_none()
        });
        if ours {
            return self.pool_free(descriptor, Some(TAG));
        }
        let message = alloc::format!("{descriptor:#x} is not what ObGetObjectSecurity gave");
        self.find(ids::OBJECT_COUNT, message, None)
    }
}
