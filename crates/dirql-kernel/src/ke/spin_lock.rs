//! Spin locks: executive, in-stack queued, and the words behind interrupt objects.
//!
//! A lock word is 0 when free. Held, it is 1 if an ordinary routine took it, and the address
//! of the holder's queue entry, whose own word for the lock has bit 1 set then, if a queued one
//! did; drivers that look into their locks see the same on Windows. Who holds it is kept
//! beside, so that a wait that can never end is found instead of waited.
//!
//! Source: WDK reference, "Introduction to Spin Locks", "Queued Spin Locks", "Preventing
//! Errors and Deadlocks While Using Spin Locks".

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::Irql;
use dirql_abi::dispatcher::KLockQueueHandle;
use dirql_rules::{Context, Place, ids};

use crate::at;
use crate::ke::ProcessorId;
use crate::ke::processor::Spin;
use crate::stop::Ddi;
use crate::{DriverPtr, Event, Kernel};

/// Which routines a lock is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the kernel itself: around ISRs, and for the ExInterlocked routines.
    Bare,
    /// `KeAcquireSpinLock` and its relatives.
    Ordinary,
    /// In-stack queued.
    Queued,
}

/// A lock that a processor holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    lock: u64,
    processor: ProcessorId,
    kind: Kind,
    /// The level before, if taking it raised the level.
    pub(super) before: Option<Irql>,
    pub(super) place: Place,
}

#[derive(Default)]
pub(crate) struct Locks {
    /// Few at any time; the latest is at the end.
    held: RefCell<Vec<Held>>,
    /// Processors that wait for queued locks, first come first.
    waiting: RefCell<Vec<(u64, ProcessorId)>>,
    /// The level that is due when a processor's last lock is released, where one was released
    /// without coming down to it, and in what that was.
    owed: RefCell<Vec<(ProcessorId, Context, Irql)>>,
    /// Address of the system's locks, an array; 0 before it is needed.
    pub(super) system: Cell<u64>,
}

/// A lock word that an ordinary routine took.
pub(super) const HELD: u64 = 1;

/// Set in a queue entry's word for its lock while the entry is the holder's:
/// LOCK_QUEUE_OWNER.
const QUEUE_OWNER: u64 = 2;

impl Kernel {
    /// Waits until the lock word is free and takes it.
    #[inline]
    pub(crate) fn acquire_lock_word(&self, lock: u64) -> Ddi<()> {
        self.acquire(lock, Kind::Bare, HELD, None)
    }

    /// Takes an interrupt's lock for a driver, which was at `before`.
    pub(super) fn acquire_interrupt_lock(&self, lock: u64, before: Irql) -> Ddi<()> {
        self.acquire(lock, Kind::Bare, HELD, Some(before))
    }

    /// Frees an interrupt's lock for a driver, which goes on at `new`.
    pub(super) fn release_interrupt_lock(&self, lock: u64, new: u8) -> Ddi<()> {
        let fits = |held: &Held| held.before.is_none_or(|before| before.0 == new);
        let Some(held) = self.release(lock, Kind::Bare, fits)? else {
            return Ok(());
        };
        let message = format!(
            "KeReleaseInterruptSpinLock was given {}; KeAcquireInterruptSpinLock returned {}",
            Irql(new),
            held.before.unwrap_or(Irql::PASSIVE)
        );
        let earlier = (String::from("it was taken here"), held.place);
        self.find(ids::INTERRUPT_LOCK_IRQL, message, Some(earlier))
    }

    /// `mark` is what the word holds from then on.
    #[inline]
    pub(super) fn acquire(
        &self,
        lock: u64,
        kind: Kind,
        mark: u64,
        before: Option<Irql>,
    ) -> Ddi<()> {
        if self.is_exploring() {
            self.choose_before_lock(lock)?;
        }
        loop {
            if self.try_acquire(lock, kind, mark, before)? {
                return Ok(());
            }
            self.spin_on(lock, kind)?;
        }
    }

    #[inline]
    pub(super) fn try_acquire(
        &self,
        lock: u64,
        kind: Kind,
        mark: u64,
        before: Option<Irql>,
    ) -> Ddi<bool> {
        let word = DriverPtr::<u64>::new(lock);
        let processor = self.processor().id;
        let content = self.read(word)?;
        if self.is_held(lock, kind, content)
            || kind == Kind::Queued && !self.leave_queue(lock, processor)
        {
            return Ok(false);
        }
        self.take_lock(lock);
        self.write(word, mark)?;
        if self.notes_holder(kind) {
            let place = self.here();
            let inside = self.hold(Held {
                lock,
                processor,
                kind,
                before,
                place,
            });
            if inside && self.judges() {
                self.note_lock_order(lock)?;
            }
        }
        if self.report.is_recording() {
            self.event(Event::LockTaken(lock));
        }
        Ok(true)
    }

    /// Whether it is noted who holds a lock. The kernel itself asks about those of interrupts.
    #[inline]
    fn notes_holder(&self, kind: Kind) -> bool {
        self.judges() || kind == Kind::Bare
    }

    /// Notes a lock as held; whether its processor holds others.
    #[inline]
    fn hold(&self, lock: Held) -> bool {
        let mut held = self.ke.locks.held.borrow_mut();
        let inside = held.iter().any(|held| held.processor == lock.processor);
        held.push(lock);
        inside
    }

    /// The locks that a processor holds, in the order in which it took them, and where.
    pub(crate) fn held_by(&self, processor: ProcessorId) -> Vec<(u64, Place)> {
        let held = self.ke.locks.held.borrow();
        held.iter()
            .filter(|held| held.processor == processor)
            .map(|held| (held.lock, held.place.clone()))
            .collect()
    }

    /// Whether all the locks that the current processor holds are such ones.
    pub(super) fn holds_only(&self, is_such: impl Fn(u64) -> bool) -> bool {
        let me = self.processor().id;
        let held = self.ke.locks.held.borrow();
        let mut mine = held.iter().filter(|held| held.processor == me);
        mine.all(|held| is_such(held.lock))
    }

    /// Ordinary routines look at bit 0 of the word only, queued ones at all of it.
    #[inline]
    fn is_held(&self, lock: u64, kind: Kind, content: u64) -> bool {
        match content {
            0 => false,
            _ if kind == Kind::Queued => true,
            _ => content & HELD != 0 || self.holder(lock).is_some(),
        }
    }

    /// Frees a lock word that the current processor holds.
    #[inline]
    pub(crate) fn release_lock_word(&self, lock: u64) -> Ddi<()> {
        self.release(lock, Kind::Bare, |_| true).map(|_| ())
    }

    /// Frees a lock. Returns how it was taken if this processor took it in a manner that does not
    /// fit.
    #[inline]
    fn release(
        &self,
        lock: u64,
        kind: Kind,
        fits: impl FnOnce(&Held) -> bool,
    ) -> Ddi<Option<Box<Held>>> {
        let misfit = match self.notes_holder(kind) {
            true => self.let_go(lock, fits)?,
            false => None,
        };
        self.free_lock(lock);
        self.write(DriverPtr::<u64>::new(lock), 0)?;
        if self.report.is_recording() {
            self.event(Event::LockReleased(lock));
        }
        Ok(misfit)
    }

    /// Notes a lock as no longer held; how it was taken if that does not fit.
    #[inline]
    fn let_go(&self, lock: u64, fits: impl FnOnce(&Held) -> bool) -> Ddi<Option<Box<Held>>> {
        let processor = self.processor().id;
        let mut misfit = None;
        let is_taken = {
            let mut held = self.ke.locks.held.borrow_mut();
            let at = held
                .iter()
                .rposition(|held| held.lock == lock && held.processor == processor);
            if let Some(at) = at {
                // Looked at where it is: moving it out costs more than all the rest.
                if !fits(&held[at]) {
                    misfit = Some(Box::new(held[at].clone()));
                }
                if at + 1 == held.len() {
                    held.truncate(at);
                } else {
                    held.remove(at);
                }
            }
            at.is_some()
        };
        if !is_taken {
            self.released_without_owning(lock)?;
        }
        Ok(misfit)
    }

    /// Releases a lock of a driver, which says what it takes it for. `new` is the level that
    /// the routine sets, if it does.
    #[inline]
    pub(super) fn release_as(&self, lock: u64, kind: Kind, new: Option<u8>) -> Ddi<()> {
        let level = self.irql();
        let is_at_its_level = |held: &Held| new.is_none() || held.place.irql == level.0;
        let fits = |held: &Held| {
            held.kind == kind && held.before.map(|irql| irql.0) == new && is_at_its_level(held)
        };
        match self.release(lock, kind, fits)? {
            None => Ok(()),
            Some(held) if held.kind != kind => self.other_kind(held.place),
            Some(held) if !is_at_its_level(&held) => self.away_from_its_level(&held.place),
            Some(held) if self.is_handed_on(&held, new) => Ok(()),
            Some(held) => self.other_level(&held, new),
        }
    }

    /// Whether the level at which a lock was taken goes over to another lock, or has come from
    /// one: of locks that overlap, the one that is released last brings the level down. What follows
    /// the cancel spin lock may do it, too.
    ///
    /// Source: "Canceling IRPs"; the function driver of the toaster sample, its cancel routine.
    #[cold]
    fn is_handed_on(&self, taken: &Held, new: Option<u8>) -> bool {
        let (Some(before), Some(new)) = (taken.before, new) else {
            return false;
        };
        let (me, context) = (self.processor().id, self.context());
        let holds_more = {
            let held = self.ke.locks.held.borrow();
            held.iter().any(|held| held.processor == me)
        };
        let mut owed = self.ke.locks.owed.borrow_mut();
        if new == Irql::DISPATCH.0 {
            let goes_on = holds_more || self.is_cancel_lock(taken.lock);
            if goes_on {
                owed.retain(|(processor, ..)| *processor != me);
                owed.push((me, context, before));
            }
            return goes_on;
        }
        let is_due = owed.contains(&(me, context, Irql(new)));
        let comes_down = before == Irql::DISPATCH && !holds_more && is_due;
        if comes_down {
            owed.retain(|(processor, ..)| *processor != me);
        }
        comes_down
    }

    /// Who holds a lock, and where it was taken.
    pub(crate) fn holder(&self, lock: u64) -> Option<(ProcessorId, Place)> {
        let held = self.ke.locks.held.borrow();
        held.iter()
            .rev()
            .find(|held| held.lock == lock)
            .map(|held| (held.processor, held.place.clone()))
    }

    /// Gives `found` each lock in a range of memory that is held, and where it was taken.
    pub(crate) fn spin_locks_held_in(
        &self,
        range: &core::ops::Range<u64>,
        mut found: impl FnMut(u64, &Place),
    ) {
        let all = self.ke.locks.held.borrow();
        for held in all.iter().filter(|held| range.contains(&held.lock)) {
            found(held.lock, &held.place);
        }
    }

    /// Forgets who holds a lock: a driver wrote to the word itself.
    pub(crate) fn forget_lock(&self, lock: u64) {
        self.ke
            .locks
            .held
            .borrow_mut()
            .retain(|held| held.lock != lock);
    }

    #[cold]
    fn spin_on(&self, lock: u64, kind: Kind) -> Ddi<()> {
        if self.report.is_recording() {
            self.event(Event::LockWanted(lock));
        }
        let me = self.processor().id;
        let holder = {
            let held = self.ke.locks.held.borrow();
            held.iter().rev().find(|held| held.lock == lock).cloned()
        };
        if let Some(held) = holder {
            if held.processor == me {
                let mut earlier = (String::from("it was taken here"), held.place);
                if earlier.1.address == 0
                    && let Some(isr) = self.running_isr().filter(|isr| isr.lock == lock)
                {
                    earlier.0 = String::from("it was taken to call this ISR");
                    earlier.1.address = isr.routine;
                }
                return Err(self.find_fatal(
                    ids::SELF_DEADLOCK,
                    String::from("this processor waits for a spin lock that it already holds"),
                    Some(earlier),
                ));
            }
            if held.kind != kind && kind != Kind::Bare && held.kind != Kind::Bare {
                self.other_kind(held.place)?;
            }
        }
        if kind != Kind::Queued {
            return self.spin(Spin::Lock(lock));
        }
        self.ke.locks.waiting.borrow_mut().push((lock, me));
        while !self.is_next_for_lock(lock, me) {
            self.spin(Spin::QueuedLock(lock))?;
        }
        Ok(())
    }

    /// Whether nobody has waited for the lock for longer than this processor, which does not
    /// wait any more then.
    fn leave_queue(&self, lock: u64, processor: ProcessorId) -> bool {
        let mut waiting = self.ke.locks.waiting.borrow_mut();
        match waiting.iter().position(|(other, _)| *other == lock) {
            None => true,
            Some(first) if waiting[first].1 == processor => {
                waiting.remove(first);
                true
            }
            Some(_) => false,
        }
    }

    /// Whether a processor that waits for a queued lock may take it now.
    pub(crate) fn is_next_for_lock(&self, lock: u64, processor: ProcessorId) -> bool {
        let first = {
            let waiting = self.ke.locks.waiting.borrow();
            waiting
                .iter()
                .find(|(other, _)| *other == lock)
                .map(|(_, processor)| *processor)
        };
        first == Some(processor)
            && self
                .read(DriverPtr::<u64>::new(lock))
                .is_ok_and(|word| word == 0)
    }

    /// `VOID KeInitializeSpinLock(PKSPIN_LOCK)`: the word becomes free. Any IRQL.
    /// Source: WDK reference, wdm.KeInitializeSpinLock.
    pub fn ke_initialize_spin_lock(&self, lock: u64) -> Ddi<()> {
        self.check_resident(lock, "the spin lock")?;
        self.forget_lock(lock);
        self.ke.lock_order.forget(lock);
        Ok(self.write(DriverPtr::<u64>::new(lock), 0)?)
    }

    /// `KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK)`, also behind `KeAcquireSpinLock`.
    ///
    /// - IRQL: at or below DISPATCH_LEVEL; runs at DISPATCH_LEVEL afterwards.
    /// - Returns: the level before.
    /// - Findings: DQ0110 this processor holds it already; DQ0111 its holder never goes on;
    ///   DQ0113 its holder took it with a queued routine.
    /// - Yields: while it waits.
    /// - Source: WDK reference, wdm.KeAcquireSpinLock.
    #[inline]
    pub fn ke_acquire_spin_lock_raise_to_dpc(&self, lock: u64) -> Ddi<u8> {
        let old = self.enter_lock_level(Irql::DISPATCH)?;
        self.acquire(lock, Kind::Ordinary, HELD, Some(old))?;
        Ok(old.0)
    }

    /// `KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK)`: as above, at SYNCH_LEVEL.
    pub fn ke_acquire_spin_lock_raise_to_synch(&self, lock: u64) -> Ddi<u8> {
        let old = self.enter_lock_level(Irql::SYNCH)?;
        self.acquire(lock, Kind::Ordinary, HELD, Some(old))?;
        Ok(old.0)
    }

    /// The routines set the level of their lock and do not look at the one before: a driver
    /// that is above it has been told so, and is below from then on.
    #[inline]
    pub(crate) fn enter_lock_level(&self, level: Irql) -> Ddi<Irql> {
        let old = self.irql();
        if old <= level {
            return Ok(self.raise_irql(level));
        }
        self.lower_irql(level)?;
        Ok(old)
    }

    /// The level after a lock; as it comes in, whatever it is.
    #[inline]
    pub(crate) fn leave_lock_level(&self, new: u8) -> Ddi<()> {
        let (current, new) = (self.irql(), Irql(new & 0xF));
        if new <= current {
            return self.lower_irql(new);
        }
        self.find(
            ids::RAISE_BELOW,
            format!("a lock is released to {new} at {current}"),
            None,
        )?;
        self.set_irql(new);
        Ok(())
    }

    /// `VOID KeReleaseSpinLock(PKSPIN_LOCK, KIRQL NewIrql)`
    ///
    /// - IRQL: DISPATCH_LEVEL; `new` afterwards.
    /// - Findings: DQ0112 not held by this processor; DQ0113 taken with a queued routine;
    ///   DQ0114 taken at another level than `new`, which is not that of a lock before; DQ0105
    ///   `new` is above the level.
    /// - Yields: interrupts held back by the level are taken.
    /// - Source: WDK reference, wdm.KeReleaseSpinLock; rule IrqlKeReleaseSpinLock.
    #[inline]
    pub fn ke_release_spin_lock(&self, lock: u64, new: u8) -> Ddi<()> {
        self.release_as(lock, Kind::Ordinary, Some(new))?;
        self.leave_lock_level(new)
    }

    /// `VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK)`: as the routine above, but the level
    /// stays. IRQL: DISPATCH_LEVEL (the page says "or above"; rule IrqlDispatch says exactly).
    pub fn ke_acquire_spin_lock_at_dpc_level(&self, lock: u64) -> Ddi<()> {
        self.acquire(lock, Kind::Ordinary, HELD, None)
    }

    /// `VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK)`: the level stays.
    pub fn ke_release_spin_lock_from_dpc_level(&self, lock: u64) -> Ddi<()> {
        self.release_as(lock, Kind::Ordinary, None)
    }

    /// `BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK)`: never waits.
    pub fn ke_try_to_acquire_spin_lock_at_dpc_level(&self, lock: u64) -> Ddi<u8> {
        self.try_acquire(lock, Kind::Ordinary, HELD, None)
            .map(u8::from)
    }

    /// `BOOLEAN KeTestSpinLock(PKSPIN_LOCK)`: whether it is free; takes nothing.
    pub fn ke_test_spin_lock(&self, lock: u64) -> Ddi<u8> {
        Ok(u8::from(self.read(DriverPtr::<u64>::new(lock))? == 0))
    }

    /// `KIRQL KeAcquireSpinLockForDpc(PKSPIN_LOCK)`: right whether the DPC is threaded or not.
    pub fn ke_acquire_spin_lock_for_dpc(&self, lock: u64) -> Ddi<u8> {
        self.ke_acquire_spin_lock_raise_to_dpc(lock)
    }

    /// `VOID KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE)`
    ///
    /// Processors that wait get the lock in the order in which they came.
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

    fn acquire_queued(
        &self,
        lock: u64,
        handle: DriverPtr<KLockQueueHandle>,
        level: Irql,
    ) -> Ddi<()> {
        let old = self.enter_lock_level(level)?;
        self.write(at!(handle, KLockQueueHandle, old_irql), old)?;
        self.acquire_with(lock, handle, Some(old))
    }

    fn acquire_with(
        &self,
        lock: u64,
        handle: DriverPtr<KLockQueueHandle>,
        before: Option<Irql>,
    ) -> Ddi<()> {
        self.write(at!(handle, KLockQueueHandle, lock_queue.next), 0)?;
        self.write(at!(handle, KLockQueueHandle, lock_queue.lock), lock)?;
        self.acquire(
            lock,
            Kind::Queued,
            at!(handle, KLockQueueHandle, lock_queue).address(),
            before,
        )?;
        Ok(self.write(
            at!(handle, KLockQueueHandle, lock_queue.lock),
            lock | QUEUE_OWNER,
        )?)
    }

    /// `VOID KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE)`
    pub fn ke_acquire_in_stack_queued_spin_lock_at_dpc_level(
        &self,
        lock: u64,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        self.acquire_with(lock, handle, None)
    }

    /// `VOID KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE)`: restores the level kept in
    /// the handle.
    pub fn ke_release_in_stack_queued_spin_lock(
        &self,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        let old = self.read(at!(handle, KLockQueueHandle, old_irql))?;
        self.release_with(handle, Some(old.0))?;
        self.leave_lock_level(old.0)
    }

    /// `VOID KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE)`
    pub fn ke_release_in_stack_queued_spin_lock_from_dpc_level(
        &self,
        handle: DriverPtr<KLockQueueHandle>,
    ) -> Ddi<()> {
        self.release_with(handle, None)
    }

    fn release_with(&self, handle: DriverPtr<KLockQueueHandle>, new: Option<u8>) -> Ddi<()> {
        let lock = self.read(at!(handle, KLockQueueHandle, lock_queue.lock))? & !QUEUE_OWNER;
        self.write(at!(handle, KLockQueueHandle, lock_queue.lock), lock)?;
        self.release_as(lock, Kind::Queued, new)
    }
}
