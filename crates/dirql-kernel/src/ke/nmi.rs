//! Non-maskable interrupts and the routines that drivers register for them.
//!
//! Source: WDK reference, wdm.KeRegisterNmiCallback, wdm.KeDeregisterNmiCallback; Bug Check
//! Code Reference, 0x80.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::bugcheck::code;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::BugCheck;

use crate::Kernel;
use crate::ke::ProcessorId;
use crate::ke::processor::asked;
use crate::stop::Ddi;

#[derive(Clone, Copy, Debug)]
struct Callback {
    handle: u64,
    routine: u64,
    context: u64,
}

#[derive(Default)]
pub(crate) struct Nmi {
    callbacks: RefCell<Vec<Callback>>,
    last: Cell<u64>,
}

impl Kernel {
    /// `PVOID KeRegisterNmiCallback(PNMI_CALLBACK, PVOID)`
    ///
    /// From now on `routine(context, handled)` is called for each non-maskable interrupt, on
    /// the processor that takes it.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: a handle; NULL for a NULL routine.
    pub fn ke_register_nmi_callback(&self, routine: u64, context: u64) -> Ddi<u64> {
        if routine == 0 {
            return Ok(0);
        }
        let nmi = &self.ke.nmi;
        nmi.last.set(nmi.last.get() + 1);
        // Not an address, so that a driver that follows it faults.
        let handle = nmi.last.get() << 4;
        nmi.callbacks.borrow_mut().push(Callback {
            handle,
            routine,
            context,
        });
        Ok(handle)
    }

    /// `NTSTATUS KeDeregisterNmiCallback(PVOID)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: STATUS_INVALID_HANDLE for a handle that is none.
    pub fn ke_deregister_nmi_callback(&self, handle: u64) -> Ddi<NtStatus> {
        let mut callbacks = self.ke.nmi.callbacks.borrow_mut();
        match callbacks
            .iter()
            .position(|callback| callback.handle == handle)
        {
            Some(at) => {
                callbacks.remove(at);
                Ok(NtStatus::SUCCESS)
            }
            None => Ok(NtStatus::INVALID_HANDLE),
        }
    }

    /// Whether a registered routine is in a range of addresses.
    pub(crate) fn nmi_callbacks_into(&self, code: &core::ops::Range<u64>) -> bool {
        self.ke
            .nmi
            .callbacks
            .borrow()
            .iter()
            .any(|callback| code.contains(&callback.routine))
    }

    /// A non-maskable interrupt reaches a processor, which takes it at its next yield point
    /// whatever its IRQL is and whether or not its interrupts are off.
    pub fn send_nmi(&self, target: ProcessorId) {
        if let Some(processor) = self.processor_by_id(target) {
            processor.ask(asked::NMI);
            self.wake(target);
        }
    }

    /// Calls every routine at HIGH_LEVEL. The system stops if none knows why it came.
    pub(super) fn take_nmi(&self) -> Ddi<()> {
        /// What Windows gives as the first parameter, the letters "ODT" backwards.
        const NOT_HANDLED: u64 = 0x4F_4454;
        let ddi = self.report.suspend_ddi();
        let level = self.set_irql(Irql::HIGH);
        let callbacks = self.ke.nmi.callbacks.borrow().clone();
        let mut handled = 0;
        for callback in callbacks {
            let arguments = [callback.context, u64::from(handled)];
            handled |= self.call_at_same_level("NmiCallback", callback.routine, &arguments)? as u8;
        }
        if handled == 0 {
            let bug_check = BugCheck::new(code::NMI_HARDWARE_FAILURE, [NOT_HANDLED, 0, 0, 0]);
            return Err(self.stop_system(bug_check));
        }
        self.set_irql(level);
        self.report.resume_ddi(ddi);
        Ok(())
    }
}
