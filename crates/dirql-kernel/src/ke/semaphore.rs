//! Semaphores.

use dirql_abi::NtStatus;
use dirql_abi::dispatcher::{KSemaphore, object_type};

use crate::at;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Kernel};

impl Kernel {
    /// `VOID KeInitializeSemaphore(PRKSEMAPHORE, LONG Count, LONG Limit)`. Any IRQL.
    pub fn ke_initialize_semaphore(
        &self,
        semaphore: DriverPtr<KSemaphore>,
        count: i32,
        limit: i32,
    ) -> Ddi<()> {
        self.check_resident(semaphore.address(), "the semaphore")?;
        let size = size_of::<KSemaphore>();
        self.write_header(
            semaphore.address(),
            object_type::SemaphoreObject,
            size,
            count,
        )?;
        Ok(self.write(at!(semaphore, KSemaphore, limit), limit)?)
    }

    /// `LONG KeReleaseSemaphore(PRKSEMAPHORE, KPRIORITY, LONG Adjustment, BOOLEAN Wait)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the count before.
    /// - Raises STATUS_SEMAPHORE_LIMIT_EXCEEDED when the count would pass its limit or would
    ///   become smaller.
    /// - Source: WDK reference, wdm.KeReleaseSemaphore, Remarks.
    pub fn ke_release_semaphore(
        &self,
        semaphore: DriverPtr<KSemaphore>,
        increment: i32,
        adjustment: i32,
    ) -> Ddi<i32> {
        let state = Self::signal_state(semaphore.address());
        let before = self.read(state)?;
        let limit = self.read(at!(semaphore, KSemaphore, limit))?;
        match before.checked_add(adjustment) {
            Some(after) if after <= limit && after >= before => {
                self.write(state, after)?;
                if before == 0 {
                    self.signal_with(semaphore.address(), increment)?;
                }
                Ok(before)
            }
            _ => Err(Stop::Exception {
                code: NtStatus::SEMAPHORE_LIMIT_EXCEEDED,
                parameters: [0; 4],
            }),
        }
    }

    /// `LONG KeReadStateSemaphore(PRKSEMAPHORE)`: the count.
    pub fn ke_read_state_semaphore(&self, semaphore: DriverPtr<KSemaphore>) -> Ddi<i32> {
        Ok(self.read(Self::signal_state(semaphore.address()))?)
    }
}
