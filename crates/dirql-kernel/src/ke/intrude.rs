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
    /// The step from which on the intruder acts.
    pub(super) due: Cell<u64>,
    intruder: RefCell<Option<Rc<dyn Intruder>>>,
}

impl Default for Intrusion {
    fn default() -> Self {
        Self {
            due: Cell::new(u64::MAX),
            intruder: RefCell::default(),
        }
    }
}

impl Kernel {
    /// From step `first` on, `intruder` acts.
    pub fn set_intruder(&self, first: u64, intruder: Rc<dyn Intruder>) {
        *self.ke.intrusion.intruder.borrow_mut() = Some(intruder);
        self.ke.intrusion.due.set(first);
    }

    #[cold]
    pub(super) fn intrude(&self) {
        // What it does is not a step of its own.
        self.ke.intrusion.due.set(u64::MAX);
        let intruder = self.ke.intrusion.intruder.borrow().clone();
        if let Some(intruder) = intruder {
            self.ke.intrusion.due.set(intruder.intrude(self));
        }
    }
}
