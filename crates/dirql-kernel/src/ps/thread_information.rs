//! What can be set about a thread by its handle.
//!
//! Source: ntifs.ZwSetInformationThread; winternl.h, THREADINFOCLASS.

use dirql_abi::NtStatus;

use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel};

/// `ThreadPriority` and `ThreadBasePriority`.
const PRIORITY: u32 = 2;
const BASE_PRIORITY: u32 = 3;

/// The priority that a base priority is relative to: that of a normal process.
const NORMAL: i32 = 8;

impl Kernel {
    /// `NTSTATUS ZwSetInformationThread(HANDLE, THREADINFOCLASS, PVOID, ULONG)`, which is also
    /// `NtSetInformationThread`
    ///
    /// Sets the priority, or the priority relative to that of the process.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH, INFO_LENGTH_MISMATCH; INVALID_PARAMETER for
    ///   a priority out of range; INVALID_INFO_CLASS for another class.
    /// - Source: WDK reference, ntifs.ZwSetInformationThread.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_set_information_thread(
        &self,
        handle: u64,
        class: u32,
        information: u64,
        length: u32,
    ) -> Ddi<NtStatus> {
        if class != PRIORITY && class != BASE_PRIORITY {
            return Ok(NtStatus::INVALID_INFO_CLASS);
        }
        if length != 4 {
            return Ok(NtStatus::INFO_LENGTH_MISMATCH);
        }
        let value: i32 = self.read(DriverPtr::new(information))?;
        let Some(thread) = self.ob_of_handle(handle) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        if self.ob_kind(thread) != Some(ObjectKind::Thread) {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        let priority = if class == PRIORITY {
            value
        } else {
            NORMAL.saturating_add(value)
        };
        if !(1..=31).contains(&priority) {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        self.ke_set_priority_thread(thread, priority)?;
        Ok(NtStatus::SUCCESS)
    }
}
