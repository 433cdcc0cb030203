//! Cancelling requests.
//!
//! Source: WDK, "Canceling IRPs", "Using the System's Cancel Spin Lock".

use alloc::format;
use alloc::string::String;

use dirql_abi::Irql;
use dirql_abi::irp::{IoStackLocation, Irp};
use dirql_rules::{BugCheck, ids};

use crate::{Ddi, DriverPtr, Kernel, at};

impl Kernel {
    /// `BOOLEAN IoCancelIrp(PIRP Irp)`
    ///
    /// Sets the cancel bit and, if the request has a cancel routine, takes it off and calls
    /// it with the cancel spin lock held; the routine releases the lock.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: TRUE if there was a cancel routine.
    /// - Findings: DQ0206 no request; DQ0212 the routine returned at another level, as it does when
    ///   it keeps the cancel spin lock. Bug check 0x48 if a completed request has a cancel
    ///   routine.
    /// - Source: WDK reference, wdm.IoCancelIrp; Bug check 0x48.
    ///
    /// # Errors
    /// The bug check.
    pub fn io_cancel_irp(&self, irp: u64) -> Ddi<u8> {
        self.cancel_irp(irp, |_| Ok(()))
    }

    /// As [`Kernel::io_cancel_irp`]. `decided` is called with the lock held, when it is known
    /// whether there is a cancel routine.
    pub(super) fn cancel_irp(&self, irp: u64, decided: impl FnOnce(&Self) -> Ddi<()>) -> Ddi<u8> {
        self.expect_irp(irp, 3)?;
        let pointer = DriverPtr::<Irp>::new(irp);
        let level = self.take_cancel_lock()?;
        self.write(at!(pointer, Irp, cancel), 1)?;
        let routine = self.read(at!(pointer, Irp, cancel_routine))?;
        decided(self)?;
        if routine == 0 {
            self.io_release_cancel_spin_lock(level)?;
            return Ok(0);
        }
        self.write(at!(pointer, Irp, cancel_routine), 0)?;
        let location = self.read(at!(pointer, Irp, current_location))?;
        let count = self.read(at!(pointer, Irp, stack_count))?;
        if i16::from(location) > i16::from(count) + 1 {
            self.io_release_cancel_spin_lock(level)?;
            return Err(BugCheck::new(0x48, [irp, routine, 0, 0]).into());
        }
        self.write(at!(pointer, Irp, cancel_irql), Irql(level))?;
        let device = if location > count {
            0
        } else {
            let stack = self.current_location(irp)?;
            self.read(at!(stack, IoStackLocation, device_object))?
        };
        self.call_cancel_routine(routine, device, irp, level)?;
        Ok(1)
    }

    /// Calls a cancel routine, which must release the cancel spin lock to `level`.
    pub(super) fn call_cancel_routine(
        &self,
        routine: u64,
        device: u64,
        irp: u64,
        level: u8,
    ) -> Ddi<()> {
        let cancelled = self.here();
        self.call("Cancel", routine, &[device, irp]);
        let now = self.irql();
        if now == Irql(level) {
            return Ok(());
        }
        self.find_at(
            ids::CANCEL_LOCK_KEPT,
            format!(
                "the cancel routine returned at {now}, not at {}; it must call IoReleaseCancelSpinLock with Irp->CancelIrql",
                Irql(level)
            ),
            self.here_at(routine),
            Some((String::from("the IRP was cancelled here"), cancelled)),
        )?;
        if now > Irql(level) {
            self.lower_irql(Irql(level))
        } else {
            self.raise_irql(Irql(level));
            Ok(())
        }
    }

    /// Takes the cancel spin lock; gives the level from before.
    pub(crate) fn take_cancel_lock(&self) -> Ddi<u8> {
        let cell = self.io.cells.borrow_mut().pop();
        let cell = cell.unwrap_or_else(|| self.allocate_system(16));
        let level = DriverPtr::<u8>::new(cell);
        self.io_acquire_cancel_spin_lock(level)?;
        let level = self.read(level)?;
        self.io.cells.borrow_mut().push(cell);
        Ok(level)
    }
}
