//! What a request is worth, and for which one a thread works.
//!
//! Source: WDK reference, ntifs.IoGetTopLevelIrp, ntifs.IoSetTopLevelIrp, ntifs.IoIsSystemThread,
//! ntifs.IoGetIoPriorityHint, ntifs.IoSetIoPriorityHint.

use dirql_abi::NtStatus;
use dirql_abi::irp::Irp;

use crate::{Ddi, DriverPtr, Kernel, at};

/// Where in an IRP's flags one more than the hint is.
const HINT_SHIFT: u32 = 17;
const HINT_MASK: u32 = 7 << HINT_SHIFT;

/// `IoPriorityNormal`, of a request without a hint.
const NORMAL: u32 = 2;

/// `IoPriorityCritical`, the highest.
const CRITICAL: u32 = 4;

impl Kernel {
    /// `VOID IoSetTopLevelIrp(PIRP)`: what the calling thread works for.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, ntifs.IoSetTopLevelIrp.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_set_top_level_irp(&self, irp: u64) -> Ddi<()> {
        let thread = self.current_kthread();
        self.io.top_level.borrow_mut().insert(thread, irp);
        Ok(())
    }

    /// `PIRP IoGetTopLevelIrp(VOID)`: what was set, or NULL.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Source: WDK reference, ntifs.IoGetTopLevelIrp.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_get_top_level_irp(&self) -> Ddi<u64> {
        let all = self.io.top_level.borrow();
        Ok(all.get(&self.current_kthread()).copied().unwrap_or(0))
    }

    /// `BOOLEAN IoIsSystemThread(PETHREAD)`: every thread is one of the system's.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.IoIsSystemThread.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn io_is_system_thread(&self, kthread: u64) -> Ddi<u8> {
        Ok(self.thread_at(kthread).is_some().into())
    }

    /// `NTSTATUS IoSetIoPriorityHint(PIRP, IO_PRIORITY_HINT)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: INVALID_PARAMETER for a hint above IoPriorityCritical.
    /// - Source: WDK reference, ntifs.IoSetIoPriorityHint.
    ///
    /// # Errors
    /// The IRP is not memory.
    pub fn io_set_io_priority_hint(&self, irp: DriverPtr<Irp>, hint: u32) -> Ddi<NtStatus> {
        if hint > CRITICAL {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let flags = at!(irp, Irp, flags);
        let value = self.read(flags)? & !HINT_MASK | (hint + 1) << HINT_SHIFT;
        self.write(flags, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `IO_PRIORITY_HINT IoGetIoPriorityHint(PIRP)`: IoPriorityNormal if nothing was set.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Source: WDK reference, ntifs.IoGetIoPriorityHint.
    ///
    /// # Errors
    /// The IRP is not memory.
    pub fn io_get_io_priority_hint(&self, irp: DriverPtr<Irp>) -> Ddi<u32> {
        let stored = (self.read(at!(irp, Irp, flags))? & HINT_MASK) >> HINT_SHIFT;
        Ok(stored.checked_sub(1).unwrap_or(NORMAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    #[test]
    fn each_thread_has_its_own_request_at_the_top() {
        let bench = Bench::new(Config::default());
        bench.on_thread(|kernel| {
            assert_eq!(kernel.io_get_top_level_irp()?, 0);
            kernel.io_set_top_level_irp(4)?;
            assert_eq!(kernel.io_get_top_level_irp()?, 4);
            assert_eq!(kernel.io_is_system_thread(kernel.current_kthread())?, 1);
            assert_eq!(kernel.io_is_system_thread(8)?, 0);
            Ok(())
        });
        let other = bench.on_thread(|kernel| kernel.io_get_top_level_irp());
        assert_eq!(other, 0);
    }

    #[test]
    fn a_hint_is_kept_beside_the_other_flags() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let irp = DriverPtr::<Irp>::new(bench.variable(size_of::<Irp>() as u64));
        let flags = at!(irp, Irp, flags);
        kernel.write(flags, 0x43).unwrap();
        assert_eq!(kernel.io_get_io_priority_hint(irp), Ok(NORMAL));
        assert_eq!(
            kernel.io_set_io_priority_hint(irp, 0),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.io_get_io_priority_hint(irp), Ok(0));
        assert_eq!(
            kernel.io_set_io_priority_hint(irp, CRITICAL),
            Ok(NtStatus::SUCCESS)
        );
        assert_eq!(kernel.io_get_io_priority_hint(irp), Ok(CRITICAL));
        assert_eq!(kernel.read(flags).unwrap() & 0xFFFF, 0x43);
        let too_high = kernel.io_set_io_priority_hint(irp, CRITICAL + 1);
        assert_eq!(too_high, Ok(NtStatus::INVALID_PARAMETER));
    }
}
