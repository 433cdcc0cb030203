//! Spin locks: executive, in-stack queued, and the words behind interrupt objects.
//!
//! A lock word is 0 when free and has bit 0 set when held, as in every Windows build. Who
//! holds it is kept beside, so that a wait that can never end is found instead of waited.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_abi::dispatcher::KLockQueueHandle;
use dirql_rules::{Place, ids};

use crate::at;
use crate::ke::ProcessorId;
use crate::ke::processor::Spin;
use crate::stop::{Ddi, Stop};
use crate::{DriverPtr, Event, Kernel};

/// A lock that a processor holds.
#[derive(Clone, Debug)]
struct Held {
    lock: u64,
    processor: ProcessorId,
    place: Place,
}

#[derive(Default)]
pub(crate) struct Locks {
    /// Few at any time; the latest is at the end.
    held: RefCell<Vec<Held>>,
    /// The cancel spin lock's word.
    cancel: Cell<u64>,
}

impl Kernel {
    /// Waits until the lock word is free and takes it.
    #[inline]
    pub(crate) fn acquire_lock_word(&self, lock: u64) -> Ddi<()> {
        let word = DriverPtr::<u64>::new(lock);
        loop {
            let value = self.read(word)?;
            if value & 1 == 0 {
                self.write(word, value | 1)?;
                let processor = self.processor().id;
                let place = self.here();
                self.ke.locks.held.borrow_mut().push(Held { lock, processor, place });
                if self.report.is_recording() {
                    self.event(Event::LockTaken(lock));
                }
                return Ok(());
            }
            self.spin_on(lock)?;
        }
    }

    /// Frees a lock word that the current processor holds.
    #[inline]
    pub(crate) fn release_lock_word(&self, lock: u64) -> Ddi<()> {
        let word = DriverPtr::<u64>::new(lock);
        let processor = self.processor().id;
        let taken = {
            let mut held = self.ke.locks.held.borrow_mut();
            let at = held.iter().rposition(|held| held.lock == lock && held.processor == processor);
            at.map(|at| held.remove(at))
        };
        if taken.is_none() {
            self.released_without_owning(lock)?;
        }
        let value = self.read(word)?;
        self.write(word, value & !1)?;
        if self.report.is_recording() {
            self.event(Event::LockReleased(lock));
        }
        Ok(())
    }

    fn released_without_owning(&self, lock: u64) -> Ddi<()> {
        let owner = self.holder(lock);
        let message = match &owner {
            Some((processor, _)) => {
                format!("a spin lock was released that processor {} holds", processor.0)
            }
            None => String::from("a spin lock was released that nobody holds"),
        };
        let earlier = owner.map(|(_, place)| (String::from("it was taken here"), place));
        self.find(ids::RELEASE_NOT_OWNED, message, earlier)
    }

    /// Who holds a lock, and where it was taken.
    pub(crate) fn holder(&self, lock: u64) -> Option<(ProcessorId, Place)> {
        let held = self.ke.locks.held.borrow();
        held.iter().rev().find(|held| held.lock == lock).map(|held| (held.processor, held.place.clone()))
    }

    /// Forgets who holds a lock: a driver wrote to the word itself.
    pub(crate) fn forget_lock(&self, lock: u64) {
        self.ke.locks.held.borrow_mut().retain(|held| held.lock != lock);
    }

    /// The locks that a processor holds, oldest first.
    pub(crate) fn locks_held_by(&self, processor: ProcessorId) -> Vec<(u64, Place)> {
        let held = self.ke.locks.held.borrow();
        held.iter()
            .filter(|held| held.processor == processor)
            .map(|held| (held.lock, held.place.clone()))
            .collect()
    }

    #[cold]
    fn spin_on(&self, lock: u64) -> Ddi<()> {
        if self.report.is_recording() {
            self.event(Event::LockWanted(lock));
        }
        if let Some((owner, place)) = self.holder(lock)
            && owner == self.processor().id
        {
            return Err(self.find_fatal(
                ids::SELF_DEADLOCK,
                String::from("this processor waits for a spin lock that it already holds"),
                Some((String::from("it was taken here"), place)),
            ));
        }
        self.spin(Spin::Lock(lock))
    }

    /// Called when every processor that could go on waits for a lock.
    pub(crate) fn deadlock(&self, lock: u64) -> Stop {
        let earlier = self.holder(lock).map(|(_, place)| (String::from("the lock was taken here"), place));
        let message = match earlier {
            Some(_) => "this processor waits for a spin lock whose holder never goes on",
            None => "this processor waits for a spin lock that is marked held, but nobody took it; was it initialised?",
        };
        self.find_fatal(ids::DEADLOCK, String::from(message), earlier)
    }

    /// `VOID KeInitializeSpinLock(PKSPIN_LOCK)`: the word becomes free. Any IRQL.
    /// Source: WDK reference, wdm.KeInitializeSpinLock.
    pub fn ke_initialize_spin_lock(&self, lock: u64) -> Ddi<()> {
        self.forget_lock(lock);
        Ok(self.write(DriverPtr::<u64>::new(lock), 0)?)
    }

    /// `KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK)`, also behind `KeAcquireSpinLock`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; runs at DISPATCH_LEVEL afterwards.
    /// - Returns: the level before.
    /// - Findings: DQ0110 this processor holds it already; DQ0111 its holder never goes on.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.KeAcquireSpinLock.
    #[inline]
    pub fn ke_acquire_spin_lock_raise_to_dpc(&self, lock: u64) -> Ddi<u8> {
        let old = self.raise_irql(Irql::DISPATCH);
        self.acquire_lock_word(lock)?;
        Ok(old.0)
    }

    /// `KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK)`: as above, at SYNCH_LEVEL.
    pub fn ke_acquire_spin_lock_raise_to_synch(&self, lock: u64) -> Ddi<u8> {
        let old = self.raise_irql(Irql::SYNCH);
        self.acquire_lock_word(lock)?;
        Ok(old.0)
    }

    /// `VOID KeReleaseSpinLock(PKSPIN_LOCK, KIRQL NewIrql)`
    ///
    /// - IRQL: DISPATCH_LEVEL; `new` afterwards.
    /// - Findings: DQ0112 not held by this processor; DQ0105 `new` is above the level.
    /// - Yields: interrupts held back by the level are taken.
    /// - Source: WDK reference, wdm.KeReleaseSpinLock.
    #[inline]
    pub fn ke_release_spin_lock(&self, lock: u64, new: u8) -> Ddi<()> {
        self.release_lock_word(lock)?;
        self.ke_lower_irql(new)
    }

    /// `VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK)`: as the routine above, but the level
    /// stays. IRQL: DISPATCH_LEVEL (the page says "or above"; rule IrqlDispatch says exactly).
    pub fn ke_acquire_spin_lock_at_dpc_level(&self, lock: u64) -> Ddi<()> {
        self.acquire_lock_word(lock)
    }

    /// `VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK)`: the level stays.
    pub fn ke_release_spin_lock_from_dpc_level(&self, lock: u64) -> Ddi<()> {
        self.release_lock_word(lock)
    }

    /// `BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK)`: never waits.
    pub fn ke_try_to_acquire_spin_lock_at_dpc_level(&self, lock: u64) -> Ddi<u8> {
        if self.read(DriverPtr::<u64>::new(lock))? & 1 != 0 {
            return Ok(0);
        }
        self.acquire_lock_word(lock)?;
        Ok(1)
    }

    /// `BOOLEAN KeTestSpinLock(PKSPIN_LOCK)`: whether it is free; takes nothing.
    pub fn ke_test_spin_lock(&self, lock: u64) -> Ddi<u8> {
        Ok(u8::from(self.read(DriverPtr::<u64>::new(lock))? & 1 == 0))
    }

    /// `KIRQL KeAcquireSpinLockForDpc(PKSPIN_LOCK)`: right whether the DPC is threaded or not.
    pub fn ke_acquire_spin_lock_for_dpc(&self, lock: u64) -> Ddi<u8> {
        self.ke_acquire_spin_lock_raise_to_dpc(lock)
    }

    /// `VOID KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; DISPATCH_LEVEL afterwards; the level before is kept
    ///   in the handle.
    /// - Source: WDK reference, wdm.KeAcquireInStackQueuedSpinLock.
    pub fn ke_acquire_in_stack_queued_spin_lock(
        &self,
        lock: u64,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        self.acquire_queued(lock, handle, Irql::DISPATCH)
    }

    /// As [`Kernel::ke_acquire_in_stack_queued_spin_lock`], at SYNCH_LEVEL.
    pub fn ke_acquire_in_stack_queued_spin_lock_raise_to_synch(
        &self,
        lock: u64,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        self.acquire_queued(lock, handle, Irql::SYNCH)
    }

    fn acquire_queued(&self, lock: u64, handle: DriverPtr<KLockQueueHandle>, level: Irql) -> Ddi<()> {
        let old = self.raise_irql(level);
        self.write(at!(handle, KLockQueueHandle, old_irql), old)?;
        self.ke_acquire_in_stack_queued_spin_lock_at_dpc_level(lock, handle)
    }

    /// `VOID KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE)`
    pub fn ke_acquire_in_stack_queued_spin_lock_at_dpc_level(
        &self,
        lock: u64,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        self.write(at!(handle, KLockQueueHandle, lock_queue.next), 0)?;
        self.write(at!(handle, KLockQueueHandle, lock_queue.lock), lock)?;
        self.acquire_lock_word(lock)
    }

    /// `VOID KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE)`: restores the level kept in
    /// the handle.
    pub fn ke_release_in_stack_queued_spin_lock(&self, handle: DriverPtr<KLockQueueHandle>) -> Ddi<()> {
        self.ke_release_in_stack_queued_spin_lock_from_dpc_level(handle)?;
        let old = self.read(at!(handle, KLockQueueHandle, old_irql))?;
        self.ke_lower_irql(old.0)
    }

    /// `VOID KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE)`
    pub fn ke_release_in_stack_queued_spin_lock_from_dpc_level(
        &self,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        let lock = self.read(at!(handle, KLockQueueHandle, lock_queue.lock))?;
        self.release_lock_word(lock)
    }

    fn cancel_lock(&self) -> u64 {
        if self.ke.locks.cancel.get() == 0 {
            self.ke.locks.cancel.set(self.allocate_system(8));
        }
        self.ke.locks.cancel.get()
    }

    /// `VOID IoAcquireCancelSpinLock(PKIRQL)`: the system's lock over cancellation.
    /// IRQL: at or below DISPATCH_LEVEL.
    pub fn io_acquire_cancel_spin_lock(&self, old: DriverPtr<u8>) -> Ddi<()> {
        let level = self.ke_acquire_spin_lock_raise_to_dpc(self.cancel_lock())?;
        Ok(self.write(old, level)?)
    }

    /// `VOID IoReleaseCancelSpinLock(KIRQL)`
    pub fn io_release_cancel_spin_lock(&self, old: u8) -> Ddi<()> {
        self.ke_release_spin_lock(self.cancel_lock(), old)
    }
}
