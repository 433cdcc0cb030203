//! Bug checks that drivers ask for, the routines that they register for them, and the kernel
//! debugger that is not there.
//!
//! Not modelled: the registered routines are not called, because a bug check ends the run.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

use dirql_abi::NtStatus;
use dirql_rules::{BugCheck, Place};

use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// Members of a KBUGCHECK_CALLBACK_RECORD (64 bytes). Source: wdm.h.
mod record {
    /// `CallbackRoutine`, 8 bytes.
    pub(super) const ROUTINE: u64 = 16;
    /// `Buffer`, 8 bytes.
    pub(super) const BUFFER: u64 = 24;
    /// `Length`, 4 bytes.
    pub(super) const LENGTH: u64 = 32;
    /// `Component`, 8 bytes.
    pub(super) const COMPONENT: u64 = 40;
    /// `Checksum`, 8 bytes.
    pub(super) const CHECKSUM: u64 = 48;
    /// `State`, 1 byte.
    pub(super) const STATE: u64 = 56;
}

/// Members of a KBUGCHECK_REASON_CALLBACK_RECORD (48 bytes). Source: wdm.h.
mod reason_record {
    /// `CallbackRoutine`, 8 bytes.
    pub(super) const ROUTINE: u64 = 16;
    /// `Component`, 8 bytes.
    pub(super) const COMPONENT: u64 = 24;
    /// `Checksum`, 8 bytes.
    pub(super) const CHECKSUM: u64 = 32;
    /// `Reason`, 4 bytes.
    pub(super) const REASON: u64 = 40;
    /// `State`, 1 byte.
    pub(super) const STATE: u64 = 44;
}

/// The highest reason there is, `KbCallbackTriageDumpData`.
const LAST_REASON: u32 = 6;

/// `BufferEmpty` of KBUGCHECK_BUFFER_DUMP_STATE, what `KeInitializeCallbackRecord` sets.
const EMPTY: u8 = 0;

/// `BufferInserted`: registered.
const INSERTED: u8 = 1;

/// A registered routine.
#[derive(Clone, Debug)]
struct Callback {
    routine: u64,
    place: Place,
}

#[derive(Default)]
pub(crate) struct BugChecks {
    /// By the address of their records.
    callbacks: RefCell<BTreeMap<u64, Callback>>,
}

impl Kernel {
    /// `VOID KeBugCheckEx(ULONG, ULONG_PTR, ULONG_PTR, ULONG_PTR, ULONG_PTR)`, also behind
    /// `KeBugCheck`: the system stops. Any IRQL. Source: WDK reference, wdm.KeBugCheckEx.
    pub fn ke_bug_check_ex(&self, code: u32, parameters: [u64; 4]) -> Ddi<()> {
        Err(self.stop_system(BugCheck::new(code, parameters)))
    }

    /// `BOOLEAN KeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD, PKBUGCHECK_CALLBACK_ROUTINE,
    /// PVOID Buffer, ULONG Length, PUCHAR Component)`
    ///
    /// - IRQL: any.
    /// - Returns: FALSE if the record is not one that `KeInitializeCallbackRecord` has just made.
    /// - Source: WDK reference, wdm.KeRegisterBugCheckCallback.
    pub fn ke_register_bug_check_callback(
        &self,
        record: u64,
        routine: u64,
        (buffer, length): (u64, u32),
        component: u64,
    ) -> Ddi<u8> {
        if self.read(DriverPtr::<u8>::new(record + record::STATE))? != EMPTY {
            return Ok(0);
        }
        let checksum = routine
            .wrapping_add(buffer)
            .wrapping_add(u64::from(length))
            .wrapping_add(component);
        self.write(DriverPtr::new(record + record::ROUTINE), routine)?;
        self.write(DriverPtr::new(record + record::BUFFER), buffer)?;
        self.write(DriverPtr::new(record + record::LENGTH), length)?;
        self.write(DriverPtr::new(record + record::COMPONENT), component)?;
        self.write(DriverPtr::new(record + record::CHECKSUM), checksum)?;
        self.write(DriverPtr::new(record + record::STATE), INSERTED)?;
        self.remember_callback(record, routine);
        Ok(1)
    }

    /// `BOOLEAN KeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD)`
    ///
    /// - IRQL: any.
    /// - Returns: FALSE if the record is not registered.
    /// - Source: WDK reference, wdm.KeDeregisterBugCheckCallback.
    pub fn ke_deregister_bug_check_callback(&self, record: u64) -> Ddi<u8> {
        self.forget_callback(record, record::STATE)
    }

    /// `BOOLEAN KeRegisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD,
    /// PKBUGCHECK_REASON_CALLBACK_ROUTINE, KBUGCHECK_CALLBACK_REASON, PUCHAR Component)`
    ///
    /// - IRQL: any.
    /// - Returns: FALSE for no reason that there is, or if the record is not one that
    ///   `KeInitializeCallbackRecord` has just made.
    /// - Source: WDK reference, wdm.KeRegisterBugCheckReasonCallback.
    pub fn ke_register_bug_check_reason_callback(
        &self,
        record: u64,
        routine: u64,
        reason: u32,
        component: u64,
    ) -> Ddi<u8> {
        use reason_record::{CHECKSUM, COMPONENT, REASON, ROUTINE, STATE};
        let state = DriverPtr::<u8>::new(record.wrapping_add(STATE));
        if !(1..=LAST_REASON).contains(&reason) || self.read(state)? != EMPTY {
            return Ok(0);
        }
        let checksum = routine
            .wrapping_add(u64::from(reason))
            .wrapping_add(component);
        self.write(DriverPtr::new(record + ROUTINE), routine)?;
        self.write(DriverPtr::new(record + COMPONENT), component)?;
        self.write(DriverPtr::new(record + CHECKSUM), checksum)?;
        self.write(DriverPtr::new(record + REASON), reason)?;
        self.write(state, INSERTED)?;
        self.remember_callback(record, routine);
        Ok(1)
    }

    /// `BOOLEAN KeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD)`: as
    /// [`Kernel::ke_deregister_bug_check_callback`].
    pub fn ke_deregister_bug_check_reason_callback(&self, record: u64) -> Ddi<u8> {
        self.forget_callback(record, reason_record::STATE)
    }

    fn remember_callback(&self, record: u64, routine: u64) {
        let callback = Callback {
            routine,
            place: self.here(),
        };
        let callbacks = &self.ke.bug_checks.callbacks;
        callbacks.borrow_mut().insert(record, callback);
    }

    fn forget_callback(&self, record: u64, state: u64) -> Ddi<u8> {
        let callbacks = &self.ke.bug_checks.callbacks;
        let known = callbacks.borrow_mut().remove(&record).is_some();
        if known {
            self.write(DriverPtr::new(record + state), EMPTY)?;
        }
        Ok(u8::from(known))
    }

    /// Where routines were registered that lie, or whose records lie, in a range of addresses.
    pub(crate) fn bug_check_callbacks_in(&self, range: &Range<u64>) -> Vec<Place> {
        let callbacks = self.ke.bug_checks.callbacks.borrow();
        callbacks
            .iter()
            .filter(|(record, callback)| {
                range.contains(record) || range.contains(&callback.routine)
            })
            .map(|(_, callback)| callback.place.clone())
            .collect()
    }

    /// `NTSTATUS KeStartDynamicProcessor(...)`: no processor can be added while the system runs.
    pub fn ke_start_dynamic_processor(&self) -> Ddi<NtStatus> {
        Ok(NtStatus::NOT_SUPPORTED)
    }

    /// `NTSTATUS KdChangeOption(...)`: no debugger is connected.
    pub fn kd_change_option(&self) -> Ddi<NtStatus> {
        Ok(NtStatus::DEBUGGER_INACTIVE)
    }
}
