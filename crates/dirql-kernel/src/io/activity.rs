//! Identifiers of activities, by which events of several drivers are told to belong together, and
//! other marks on requests.
//!
//! A request has what it was given until it is freed, a thread until it is cleared.
//!
//! Source: WDK reference, wdm.IoGetActivityIdIrp, wdm.IoSetActivityIdIrp, wdm.IoGetActivityIdThread,
//! wdm.IoSetActivityIdThread, wdm.IoClearActivityIdThread, wdm.IoPropagateActivityIdToThread;
//! wdm.PoSetSystemWake, wdm.PoGetSystemWake.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cell::RefCell;

use dirql_abi::NtStatus;

use crate::{Ddi, DriverPtr, Kernel};

/// A GUID's bytes.
type Id = [u8; 16];

/// What requests and threads are marked with.
#[derive(Debug, Default)]
pub(super) struct Activities {
    requests: RefCell<BTreeMap<u64, Id>>,
    /// Requests that wake the system.
    wakes: RefCell<BTreeSet<u64>>,
    /// Where each thread's identifier lies, in memory of the driver's.
    threads: RefCell<BTreeMap<u64, u64>>,
}

impl Activities {
    /// A request is freed, or begins anew.
    pub(super) fn forget(&self, irp: u64) {
        self.requests.borrow_mut().remove(&irp);
        self.wakes.borrow_mut().remove(&irp);
    }
}

impl Kernel {
    /// `NTSTATUS IoGetActivityIdIrp(PIRP, LPGUID)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: NOT_FOUND if the request has none.
    /// - Source: WDK reference, wdm.IoGetActivityIdIrp.
    ///
    /// # Errors
    /// The result is not memory.
    pub fn io_get_activity_id_irp(&self, irp: u64, id: DriverPtr<Id>) -> Ddi<NtStatus> {
        let known = self.io.activities.requests.borrow().get(&irp).copied();
        let Some(known) = known else {
            return Ok(NtStatus::NOT_FOUND);
        };
        self.write(id, known)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS IoSetActivityIdIrp(PIRP, LPCGUID)`; without an identifier it takes it away
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: SUCCESS.
    /// - Source: WDK reference, wdm.IoSetActivityIdIrp.
    ///
    /// # Errors
    /// The identifier is not memory.
    pub fn io_set_activity_id_irp(&self, irp: u64, id: DriverPtr<Id>) -> Ddi<NtStatus> {
        if id.is_null() {
            self.io.activities.requests.borrow_mut().remove(&irp);
        } else {
            let id = self.read(id)?;
            self.io.activities.requests.borrow_mut().insert(irp, id);
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `LPCGUID IoGetActivityIdThread(VOID)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: where the thread's identifier is, or NULL.
    /// - Source: WDK reference, wdm.IoGetActivityIdThread.
    ///
    /// # Errors
    /// None.
    pub fn io_get_activity_id_thread(&self) -> Ddi<u64> {
        let thread = self.current_kthread();
        let threads = self.io.activities.threads.borrow();
        Ok(threads.get(&thread).copied().unwrap_or(0))
    }

    /// `LPCGUID IoSetActivityIdThread(LPCGUID ActivityId)`, and with what it returned
    /// `IoClearActivityIdThread`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: where the identifier before is, or NULL.
    /// - Source: WDK reference, wdm.IoSetActivityIdThread, wdm.IoClearActivityIdThread.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_set_activity_id_thread(&self, id: u64) -> Ddi<u64> {
        let thread = self.current_kthread();
        let mut threads = self.io.activities.threads.borrow_mut();
        let before = match id {
            0 => threads.remove(&thread),
            _ => threads.insert(thread, id),
        };
        Ok(before.unwrap_or(0))
    }

    /// `NTSTATUS IoPropagateActivityIdToThread(PIRP, LPGUID PropagatedId, LPCGUID *OriginalId)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: NOT_FOUND if the request has no identifier.
    /// - Source: WDK reference, wdm.IoPropagateActivityIdToThread.
    ///
    /// # Errors
    /// A result is not memory.
    pub fn io_propagate_activity_id_to_thread(
        &self,
        irp: u64,
        id: DriverPtr<Id>,
        original: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        let status = self.io_get_activity_id_irp(irp, id)?;
        if status.is_success() {
            let before = self.io_set_activity_id_thread(id.address())?;
            self.write(original, before)?;
        }
        Ok(status)
    }

    /// `VOID PoSetSystemWake(PIRP)`
    ///
    /// Marks a wait/wake request as one that woke the system.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, wdm.PoSetSystemWake.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn po_set_system_wake(&self, irp: u64) -> Ddi<()> {
        self.io.activities.wakes.borrow_mut().insert(irp);
        Ok(())
    }

    /// `BOOLEAN PoGetSystemWake(PIRP)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: whether the request was marked so.
    /// - Source: WDK reference, wdm.PoGetSystemWake.
    ///
    /// # Errors
    /// None.
    pub fn po_get_system_wake(&self, irp: u64) -> Ddi<u8> {
        Ok(self.io.activities.wakes.borrow().contains(&irp).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn a_request_keeps_its_marks_until_it_is_freed() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let id = DriverPtr::<Id>::new(bench.variable(16));
        let irp = kernel.io_allocate_irp(1, 0).unwrap();
        assert_eq!(
            kernel.io_get_activity_id_irp(irp, id),
            Ok(NtStatus::NOT_FOUND)
        );
        kernel.write(id, [7; 16]).unwrap();
        kernel.io_set_activity_id_irp(irp, id).unwrap();
        kernel.po_set_system_wake(irp).unwrap();
        kernel.write(id, [0; 16]).unwrap();
        assert_eq!(
            kernel.io_get_activity_id_irp(irp, id),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.read(id), Ok([7; 16]));
        assert_eq!(kernel.po_get_system_wake(irp), Ok(1));
        kernel.io_free_irp(irp).unwrap();
        assert_eq!(
            kernel.io_get_activity_id_irp(irp, id),
            Ok(NtStatus::NOT_FOUND)
        );
        assert_eq!(kernel.po_get_system_wake(irp), Ok(0));
    }

    #[test]
    fn a_thread_takes_the_identifier_of_a_request_and_gives_it_back() {
        let bench = Bench::new(Config::default());
        let id = DriverPtr::<Id>::new(bench.variable(16));
        let original = DriverPtr::<u64>::new(bench.variable(8));
        bench.on_thread(move |kernel| {
            let irp = kernel.io_allocate_irp(1, 0)?;
            let propagate = || kernel.io_propagate_activity_id_to_thread(irp, id, original);
            assert_eq!(propagate(), Ok(NtStatus::NOT_FOUND));
            kernel.io_set_activity_id_irp(irp, id)?;
            assert_eq!(propagate(), Ok(NtStatus::SUCCESS));
            assert_eq!(kernel.read(original), Ok(0));
            assert_eq!(kernel.io_get_activity_id_thread(), Ok(id.address()));
            assert_eq!(kernel.io_set_activity_id_thread(0), Ok(id.address()));
            assert_eq!(kernel.io_get_activity_id_thread(), Ok(0));
            kernel.io_set_activity_id_irp(irp, DriverPtr::NULL)?;
            assert_eq!(propagate(), Ok(NtStatus::NOT_FOUND));
            kernel.io_free_irp(irp)
        });
    }
}
