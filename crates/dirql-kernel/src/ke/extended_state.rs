//! Saving registers beyond those of SSE, before a driver uses them.
//!
//! The registers that driver code uses belong to its strand, and are kept around every ISR: there
//! is nothing to store. What is left of the routines is where they may be called.

use alloc::string::String;

use dirql_abi::bugcheck::code;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::{BugCheck, ids};

use crate::Kernel;
use crate::stop::Ddi;

/// Subcode of bug check 0x131: the level is too high.
const TOO_HIGH: u64 = 1;

impl Kernel {
    /// `NTSTATUS KeSaveExtendedProcessorState(ULONG64 Mask, PXSTATE_SAVE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL, so not in an ISR.
    /// - Returns: STATUS_SUCCESS.
    /// - Findings: DQ0100, with bug check 0x131 (1), above it.
    /// - Source: "Using Extended Processor Features in Windows Drivers"; Bug Check Code
    ///   Reference, 0x131.
    pub fn ke_save_extended_processor_state(&self) -> Ddi<NtStatus> {
        self.check_extended_state("KeSaveExtendedProcessorState")?;
        Ok(NtStatus::SUCCESS)
    }

    /// `VOID KeRestoreExtendedProcessorState(PXSTATE_SAVE)`: as above.
    pub fn ke_restore_extended_processor_state(&self) -> Ddi<()> {
        self.check_extended_state("KeRestoreExtendedProcessorState")
    }

    /// Driver code uses registers beyond those of SSE in the instruction at `instruction`, which is
    /// next.
    ///
    /// Findings: DQ0577 an ISR does. One at PASSIVE_LEVEL is part of a thread.
    ///
    /// # Errors
    /// [`crate::Stop::Ended`] if the finding ends the run.
    pub fn use_extended_state(&self, instruction: u64) -> Ddi<()> {
        let Some(isr) = self.running_isr().filter(|isr| !isr.passive) else {
            return Ok(());
        };
        let connected = self.connection_place(isr.object);
        self.find_at(
            ids::ISR_EXTENDED_STATE,
            String::from("an ISR uses registers beyond those of SSE, which nobody saves around it"),
            self.here_at(instruction),
            connected.map(|place| (String::from("the interrupt was connected here"), place)),
        )
    }

    fn check_extended_state(&self, routine: &str) -> Ddi<()> {
        if self.irql() <= Irql::DISPATCH {
            return Ok(());
        }
        let message = String::from(routine) + " was called above DISPATCH_LEVEL";
        self.find(ids::ENTRY_LEVEL, message, None)?;
        let parameters = [TOO_HIGH, 0, 0, 0];
        Err(BugCheck::new(code::INVALID_EXTENDED_PROCESSOR_STATE, parameters).into())
    }
}
