//! Messages that became one, and what their device still has for its ISR afterwards.
//!
//! A local APIC has one bit for a vector that waits, so that messages which come while one waits are
//! that one: the ISR is called once for all of them. One that takes a single piece of work per call
//! leaves the rest to messages that have been sent already. Source: Intel SDM volume 3, "Interrupt
//! Acceptance for Fixed Interrupts".
//!
//! It is told when nothing runs any more, so that work that a DPC or a thread takes counts as taken,
//! and only of a driver that left nothing after calls for one message each: others may leave work in
//! their device on purpose.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::cell::{Cell, RefCell};

use dirql_chips::Vector;
use dirql_rules::ids;

use crate::Kernel;
use crate::hal::SourceKind;
use crate::ke::ProcessorId;
use crate::ke::interrupt::Isr;

/// What is known of sources of messages.
#[derive(Default)]
pub(super) struct Merged {
    /// Something is in one of the sets that is looked at when nothing runs.
    looks: Cell<bool>,
    /// Their ISRs were called since nothing ran last.
    called: RefCell<BTreeSet<u32>>,
    /// Messages of theirs became one since.
    merged: RefCell<BTreeSet<u32>>,
    /// Their device had nothing left when nothing ran.
    quiet: RefCell<BTreeSet<u32>>,
}

impl Kernel {
    /// A vector came to a processor at which it waited already.
    #[cold]
    pub(super) fn vectors_merge(&self, target: ProcessorId, vector: Vector) {
        let merged = &self.ke.merged;
        for (number, source) in self.sources() {
            let is_it = source.vector == vector
                && source.group == target.group()
                && source.users > 0
                && matches!(source.kind, SourceKind::Message { .. });
            if is_it {
                merged.merged.borrow_mut().insert(number);
            }
        }
    }

    /// An ISR has been called for a message.
    #[inline]
    pub(super) fn message_is_served(&self, isr: &Isr) {
        let merged = &self.ke.merged;
        if isr.message.is_some() && self.judges() && merged.called.borrow_mut().insert(isr.source) {
            merged.looks.set(true);
        }
    }

    /// Nothing runs any more, and time is about to pass.
    #[inline]
    pub(super) fn look_for_work_left(&self) {
        if self.ke.merged.looks.take() {
            self.tell_work_left();
        }
    }

    #[cold]
    fn tell_work_left(&self) {
        let (called, merged) = {
            let known = &self.ke.merged;
            (known.called.take(), known.merged.take())
        };
        for number in called {
            let Some(source) = self.source(number) else {
                continue;
            };
            let was_quiet = self.ke.merged.quiet.borrow().contains(&number);
            let is_quiet = !self.asserts_anything(source.device);
            if is_quiet {
                self.ke.merged.quiet.borrow_mut().insert(number);
                continue;
            }
            if !was_quiet
                || !merged.contains(&number)
                || !self.can_be_silenced(source.device)
                || self.is_surprise_removed(source.device)
            {
                continue;
            }
            let objects = self.ke.interrupts.objects();
            let Some(object) = objects.iter().find(|object| object.isr.source == number) else {
                continue;
            };
            let connected = self.connection_place(object.isr.object);
            // Whether it ends the run is seen by whoever runs it.
            let _ = self.find_at(
                ids::MERGED_MESSAGES,
                String::from(
                    "several messages became one call of the ISR, and its device still has something for it when nothing runs any more",
                ),
                self.here_at(object.isr.routine),
                connected.map(|place| (String::from("the interrupt was connected here"), place)),
            );
        }
    }
}
