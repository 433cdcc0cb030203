//! Somebody who does something to the computer between two steps of its code.
//!
//! A chooser ([`crate::ke::Chooser`]) picks among what could happen by itself. An intruder makes
//! something happen that nobody inside the computer has asked for: a device interrupts without a
//! cause, somebody pulls it out.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use crate::Kernel;

/// Does something to the computer at some of its steps.
pub trait Intruder {
    /// Acts at a yield point, before what is pending is taken. Returns the step before which it
    /// is not to be asked again; [`u64::MAX`] for never.
    fn intrude(&self, kernel: &Kernel) -> u64;
}

pub(super) struct Intrusion {
    /// The step from which on somebody is to be asked.
    pub(super) due: Cell<u64>,
    /// The step from which on the intruder acts.
    acts: Cell<u64>,
    intruder: RefCell<Option<Rc<dyn Intruder>>>,
}

impl Default for Intrusion {
    fn default() -> Self {
        Self {
            due: Cell::new(u64::MAX),
            acts: Cell::new(u64::MAX),
            intruder: RefCell::default(),
        }
    }
}

impl Kernel {
    /// From step `first` on, `intruder` acts.
    pub fn set_intruder(&self, first: u64, intruder: Rc<dyn Intruder>) {
        *self.ke.intrusion.intruder.borrow_mut() = Some(intruder);
        self.ke.intrusion.acts.set(first);
        self.ask_at(first);
    }

    /// Somebody wants to be asked at `step`.
    pub(super) fn ask_at(&self, step: u64) {
        let due = &self.ke.intrusion.due;
        due.set(due.get().min(step));
    }

    #[cold]
    pub(super) fn intrude(&self) {
        // What it does is not a step of its own.
        let intrusion = &self.ke.intrusion;
        intrusion.due.set(u64::MAX);
        let intruder = intrusion.intruder.borrow().clone();
        if let Some(intruder) = intruder.filter(|_| self.step() >= intrusion.acts.get()) {
            intrusion.acts.set(intruder.intrude(self));
        }
        if self.step() >= self.ke.livelock.due.get() {
            self.look_for_repetition();
        }
        self.ask_at(intrusion.acts.get().min(self.ke.livelock.due.get()));
    }
}
