//! Routines that drivers want called when a processor is added.
//!
//! No processor is added while the computer runs, so that they are called for those that there are,
//! if a driver asks for that, and no more.
//!
//! Choice: for each processor the start and the completion are told, one after the other; the pages
//! do not say which of the states a driver hears for processors that exist.
//!
//! Source: WDK reference, wdm.KeRegisterProcessorChangeCallback,
//! wdm.KeDeregisterProcessorChangeCallback, wdm.KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT;
//! "Registering for Synchronous Driver Notification".

use alloc::collections::BTreeSet;
use core::cell::{Cell, RefCell};

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// `KE_PROCESSOR_CHANGE_ADD_EXISTING`.
const ADD_EXISTING: u32 = 1;

/// `KeProcessorAddStartNotify`, `KeProcessorAddCompleteNotify`, `KeProcessorAddFailureNotify`.
const START: u32 = 0;
const COMPLETE: u32 = 1;
const FAILURE: u32 = 2;

/// KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT (State, NtNumber, Status, ProcNumber), and behind it the
/// status that a routine may change.
const TOLD_BYTES: u64 = 32;
const STATUS: u64 = 16;

#[derive(Default)]
pub(crate) struct ProcessorChanges {
    registered: RefCell<BTreeSet<u64>>,
    last: Cell<u64>,
}

impl Kernel {
    /// `PVOID KeRegisterProcessorChangeCallback(PPROCESSOR_CALLBACK_FUNCTION, PVOID Context, ULONG
    /// Flags)`
    ///
    /// - IRQL: PASSIVE_LEVEL; the routine is called at it.
    /// - Returns: a handle; NULL if the routine gave an error for a processor.
    /// - Source: WDK reference, wdm.KeRegisterProcessorChangeCallback.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ke_register_processor_change_callback(
        &self,
        routine: u64,
        context: u64,
        flags: u32,
    ) -> Ddi<u64> {
        if flags & ADD_EXISTING != 0 && !self.tell_of_processors(routine, context)? {
            return Ok(0);
        }
        let changes = &self.ke.processor_changes;
        let number = changes.last.get() + 1;
        changes.last.set(number);
        changes.registered.borrow_mut().insert(number);
        Ok(number)
    }

    /// Whether the routine took all processors.
    fn tell_of_processors(&self, routine: u64, context: u64) -> Ddi<bool> {
        let told = self.allocate_system(TOLD_BYTES);
        let status = DriverPtr::<NtStatus>::new(told + STATUS);
        for processor in self.processors() {
            let (index, id) = (u32::from(processor.id.0), processor.id);
            let number = u32::from(id.group()) | u32::from(id.number()) << 16;
            let tell = |state: u32, outcome: NtStatus| {
                let words = [state, index, outcome.bits(), number];
                self.write(DriverPtr::new(told), words)?;
                let arguments = [context, told, status.address()];
                self.call_at_same_level("ProcessorCallback", routine, &arguments)
            };
            self.write(status, NtStatus::SUCCESS)?;
            tell(START, NtStatus::SUCCESS)?;
            let answer = self.read(status)?;
            if answer.is_error() {
                tell(FAILURE, answer)?;
                return Ok(false);
            }
            tell(COMPLETE, NtStatus::SUCCESS)?;
        }
        Ok(true)
    }

    /// `VOID KeDeregisterProcessorChangeCallback(PVOID CallbackHandle)`. IRQL: PASSIVE_LEVEL. Source:
    /// WDK reference, wdm.KeDeregisterProcessorChangeCallback.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn ke_deregister_processor_change_callback(&self, handle: u64) -> Ddi<()> {
        let changes = &self.ke.processor_changes;
        changes.registered.borrow_mut().remove(&handle);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::testing::Rig;

    #[test]
    fn a_routine_hears_of_the_processors_that_there_are() {
        let rig = Rig::new(2);
        let log = rig.log.clone();
        let routine = rig.bench.routine(move |kernel, arguments| {
            let told = kernel.read(DriverPtr::<[u32; 4]>::new(arguments[1]))?;
            log.add(alloc::format!("{} of {}", told[0], told[1]));
            Ok(0)
        });
        let kernel = rig.kernel();
        let register = |flags| kernel.ke_register_processor_change_callback(routine, 0, flags);
        assert_ne!(register(0), Ok(0));
        assert_eq!(rig.log.len(), 0);
        assert_ne!(register(ADD_EXISTING), Ok(0));
        assert_eq!(rig.log.take(), ["0 of 0", "1 of 0", "0 of 1", "1 of 1"]);
    }

    #[test]
    fn a_routine_that_refuses_a_processor_is_not_registered() {
        let rig = Rig::new(2);
        let log = rig.log.clone();
        let routine = rig.bench.routine(move |kernel, arguments| {
            let told = kernel.read(DriverPtr::<[u32; 4]>::new(arguments[1]))?;
            log.add(alloc::format!("{} {:#x}", told[0], told[2]));
            let status = DriverPtr::new(arguments[2]);
            kernel.write(status, NtStatus::INSUFFICIENT_RESOURCES)?;
            Ok(0)
        });
        let handle = rig
            .kernel()
            .ke_register_processor_change_callback(routine, 0, ADD_EXISTING);
        assert_eq!(handle, Ok(0));
        assert_eq!(rig.log.take(), ["0 0x0", "2 0xc000009a"]);
    }
}
