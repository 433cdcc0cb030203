//! In which order locks are taken.
//!
//! Two locks that are taken in one order in one place and in the other order in another one can
//! stop two processors for good, whether or not that has happened in this run. So every pair that
//! one processor holds is noted, ordinary locks and those of interrupts alike, and a pair that
//! closes a circle is told, with both places. An ISR counts as taking its lock inside of whatever
//! its processor held.
//!
//! Source: WDK reference, "Preventing Errors and Deadlocks While Using Spin Locks"; Driver Verifier,
//! "Deadlock Detection" (bug check 0xC4, 0x1001).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_rules::{Place, ids};

use crate::Kernel;
use crate::stop::Ddi;

/// The pairs seen so far.
#[derive(Default)]
pub(super) struct LockOrder {
    /// For each lock, those that were taken inside of it, and where.
    inside: RefCell<BTreeMap<u64, BTreeMap<u64, Place>>>,
    /// The ISR for which the dispatch of an interrupt takes a lock, or 0.
    acts_for: Cell<u64>,
}

impl LockOrder {
    /// The dispatch of an interrupt takes a lock for the ISR at this address, or (0) no longer does.
    #[inline]
    pub(super) fn acts_for(&self, routine: u64) {
        self.acts_for.set(routine);
    }

    /// The memory of a lock is used anew.
    pub(super) fn forget(&self, lock: u64) {
        let mut inside = self.inside.borrow_mut();
        inside.remove(&lock);
        for others in inside.values_mut() {
            others.remove(&lock);
        }
    }

    /// Whether `second` was taken inside of `first` before.
    fn knows(&self, first: u64, second: u64) -> bool {
        let inside = self.inside.borrow();
        inside
            .get(&first)
            .is_some_and(|others| others.contains_key(&second))
    }

    /// Notes that `second` was taken inside of `first`; `false` if that is known.
    fn add(&self, first: u64, second: u64, place: &Place) -> bool {
        let mut inside = self.inside.borrow_mut();
        let others = inside.entry(first).or_default();
        if others.contains_key(&second) {
            return false;
        }
        others.insert(second, place.clone());
        true
    }

    /// Where the first step from `from` towards `to` was taken, if there is a way.
    fn way(&self, from: u64, to: u64) -> Option<Place> {
        let inside = self.inside.borrow();
        let first = inside.get(&from)?;
        first
            .iter()
            .find(|(next, _)| leads(&inside, **next, to))
            .map(|(_, place)| place.clone())
    }
}

fn leads(inside: &BTreeMap<u64, BTreeMap<u64, Place>>, from: u64, to: u64) -> bool {
    let mut seen = BTreeSet::new();
    let mut left: Vec<u64> = alloc::vec![from];
    while let Some(lock) = left.pop() {
        if lock == to {
            return true;
        }
        if seen.insert(lock)
            && let Some(others) = inside.get(&lock)
        {
            left.extend(others.keys());
        }
    }
    false
}

impl Kernel {
    /// The memory of a lock is used for a new one.
    pub(crate) fn forget_lock_order(&self, lock: u64) {
        self.ke.lock_order.forget(lock);
    }

    /// The current processor has taken `lock` while it held others.
    pub(super) fn note_lock_order(&self, lock: u64) -> Ddi<()> {
        let order = &self.ke.lock_order;
        if self.holds_only(|outer| outer == lock || order.knows(outer, lock)) {
            Ok(())
        } else {
            self.note_new_lock_order(lock)
        }
    }

    #[cold]
    fn note_new_lock_order(&self, lock: u64) -> Ddi<()> {
        let mut held = self.held_by(self.processor().id);
        let Some((_, mut place)) = held.pop() else {
            return Ok(());
        };
        let order = &self.ke.lock_order;
        if place.address == 0 {
            place.address = order.acts_for.get();
        }
        for (outer, _) in held.into_iter().filter(|(outer, _)| *outer != lock) {
            if !order.add(outer, lock, &place) {
                continue;
            }
            if let Some(other) = order.way(lock, outer) {
                let message = String::from(
                    "a spin lock is taken while another one is held; elsewhere they are taken the other way round",
                );
                let earlier = Some((String::from("the other order was here"), other));
                self.find_at(ids::LOCK_ORDER, message, place.clone(), earlier)?;
            }
        }
        Ok(())
    }
}
