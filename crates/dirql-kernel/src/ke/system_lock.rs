//! The system's own spin locks, by number, and the one over cancellation.

use alloc::format;

use dirql_abi::Irql;
use dirql_rules::ids;

use crate::ke::spin_lock::{HELD, Kind};
use crate::stop::Ddi;
use crate::{DriverPtr, Kernel};

/// How many locks the system has by number, KSPIN_LOCK_QUEUE_NUMBER of Windows Server 2003.
const SYSTEM_LOCKS: u32 = 17;

/// The one of them that guards cancellation, `LockQueueIoCancelLock`.
const CANCEL_LOCK: u32 = 7;

impl Kernel {
    /// The word of one of the system's own locks.
    fn system_lock(&self, number: u32) -> u64 {
        let system = &self.ke.locks.system;
        if system.get() == 0 {
            system.set(self.allocate_system(u64::from(SYSTEM_LOCKS) * 8));
        }
        system.get() + u64::from(number) * 8
    }

    /// Whether this is the word of the lock over cancellation.
    pub(super) fn is_cancel_lock(&self, lock: u64) -> bool {
        let system = self.ke.locks.system.get();
        system != 0 && lock == system + u64::from(CANCEL_LOCK) * 8
    }

    fn known_system_lock(&self, number: u32) -> Ddi<u64> {
        if number < SYSTEM_LOCKS {
            return Ok(self.system_lock(number));
        }
        Err(self.refuse(
            ids::LOCK_NUMBER,
            format!("{number} is not the number of a queued spin lock; there are {SYSTEM_LOCKS}"),
            None,
        ))
    }

    /// `KIRQL KeAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER)`
    ///
    /// Takes one of the system's own locks, which drivers should leave alone; some that follow
    /// the cancel lock by its number do not.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; DISPATCH_LEVEL afterwards.
    /// - Returns: the level before.
    /// - Findings: DQ0115 no such number.
    /// - Source: ntifs.h of Windows Server 2003 (the routine has no page).
    pub fn ke_acquire_queued_spin_lock(&self, number: u32) -> Ddi<u8> {
        self.acquire_system_lock(number, Irql::DISPATCH)
    }

    /// As [`Kernel::ke_acquire_queued_spin_lock`], at SYNCH_LEVEL.
    pub fn ke_acquire_queued_spin_lock_raise_to_synch(&self, number: u32) -> Ddi<u8> {
        self.acquire_system_lock(number, Irql::SYNCH)
    }

    fn acquire_system_lock(&self, number: u32, level: Irql) -> Ddi<u8> {
        let lock = self.known_system_lock(number)?;
        let old = self.enter_lock_level(level)?;
        self.acquire(lock, Kind::Queued, HELD, Some(old))?;
        Ok(old.0)
    }

    /// `LOGICAL KeTryToAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER, PKIRQL)`: never waits.
    /// The level is raised, and stored, only if the lock was free.
    pub fn ke_try_to_acquire_queued_spin_lock(&self, number: u32, old: DriverPtr<u8>) -> Ddi<u32> {
        self.try_to_acquire_system_lock(number, old, Irql::DISPATCH)
    }

    /// As [`Kernel::ke_try_to_acquire_queued_spin_lock`], at SYNCH_LEVEL.
    pub fn ke_try_to_acquire_queued_spin_lock_raise_to_synch(
        &self,
        number: u32,
        old: DriverPtr<u8>,
    ) -> Ddi<u32> {
        self.try_to_acquire_system_lock(number, old, Irql::SYNCH)
    }

    fn try_to_acquire_system_lock(&self, number: u32, old: DriverPtr<u8>, level: Irql) -> Ddi<u32> {
        let lock = self.known_system_lock(number)?;
        let before = self.enter_lock_level(level)?;
        if self.try_acquire(lock, Kind::Queued, HELD, Some(before))? {
            self.write(old, before.0)?;
            return Ok(1);
        }
        if before <= level {
            self.lower_irql(before)?;
        } else {
            self.set_irql(before);
        }
        Ok(0)
    }

    /// `VOID KeReleaseQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER, KIRQL)`
    pub fn ke_release_queued_spin_lock(&self, number: u32, old: u8) -> Ddi<()> {
        let lock = self.known_system_lock(number)?;
        self.release_as(lock, Kind::Queued, Some(old))?;
        self.leave_lock_level(old)
    }

    /// `VOID IoAcquireCancelSpinLock(PKIRQL)`: the system's lock over cancellation.
    /// IRQL: at or below DISPATCH_LEVEL.
    pub fn io_acquire_cancel_spin_lock(&self, old: DriverPtr<u8>) -> Ddi<()> {
        let level = self.acquire_system_lock(CANCEL_LOCK, Irql::DISPATCH)?;
        Ok(self.write(old, level)?)
    }

    /// `VOID IoReleaseCancelSpinLock(KIRQL)`
    pub fn io_release_cancel_spin_lock(&self, old: u8) -> Ddi<()> {
        self.ke_release_queued_spin_lock(CANCEL_LOCK, old)
    }
}
