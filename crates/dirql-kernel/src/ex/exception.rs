//! Raising exceptions.
//!
//! Source: WDK reference, ntddk.ExRaiseStatus, ntddk.ExRaiseAccessViolation,
//! ntddk.ExRaiseDatatypeMisalignment.

use dirql_abi::NtStatus;

use crate::{Ddi, Kernel, Stop};

impl Kernel {
    /// `VOID ExRaiseStatus(NTSTATUS)`
    ///
    /// Raises an exception with this code; it does not return.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: none of its own; without a handler the system stops.
    /// - Source: WDK reference, ntddk.ExRaiseStatus.
    ///
    /// # Errors
    /// The exception.
    pub fn ex_raise_status(&self, code: NtStatus) -> Ddi<()> {
        Err(Stop::Exception {
            code,
            parameters: [0; 4],
        })
    }

    /// `VOID ExRaiseAccessViolation(VOID)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.ExRaiseAccessViolation.
    ///
    /// # Errors
    /// `STATUS_ACCESS_VIOLATION`, always.
    pub fn ex_raise_access_violation(&self) -> Ddi<()> {
        self.ex_raise_status(NtStatus::ACCESS_VIOLATION)
    }

    /// `VOID ExRaiseDatatypeMisalignment(VOID)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Findings: none of its own.
    /// - Source: WDK reference, ntddk.ExRaiseDatatypeMisalignment.
    ///
    /// # Errors
    /// `STATUS_DATATYPE_MISALIGNMENT`, always.
    pub fn ex_raise_datatype_misalignment(&self) -> Ddi<()> {
        self.ex_raise_status(NtStatus::DATATYPE_MISALIGNMENT)
    }
}
