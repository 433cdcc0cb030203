//! How often things happened.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dirql_kernel::{Event, EventSink, Stamp};

/// What one vector led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorCounters {
    /// Times a processor took it, by processor.
    pub delivered: BTreeMap<u16, u64>,
    /// ISRs that were called for it.
    pub isr_calls: u64,
    /// Calls that returned TRUE.
    pub claimed: u64,
}

impl VectorCounters {
    /// Times any processor took it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.delivered.values().sum()
    }

    /// Calls of ISRs that returned FALSE.
    #[must_use]
    pub const fn unclaimed(&self) -> u64 {
        self.isr_calls - self.claimed
    }
}

/// Counts events. A clone counts into the same counters.
#[derive(Clone, Debug, Default)]
pub struct Counters(Rc<RefCell<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    vectors: BTreeMap<u8, VectorCounters>,
    dpcs: u64,
    ddi_calls: BTreeMap<&'static str, u64>,
    messages: u64,
    thread_switches: u64,
}

impl Counters {
    /// What was counted for each vector that a processor took, by vector.
    #[must_use]
    pub fn vectors(&self) -> BTreeMap<u8, VectorCounters> {
        self.0.borrow().vectors.clone()
    }

    /// What was counted for one vector.
    #[must_use]
    pub fn vector(&self, vector: u8) -> VectorCounters {
        self.0
            .borrow()
            .vectors
            .get(&vector)
            .cloned()
            .unwrap_or_default()
    }

    /// DPC routines that were called.
    #[must_use]
    pub fn dpcs(&self) -> u64 {
        self.0.borrow().dpcs
    }

    /// Calls of each export, by name.
    #[must_use]
    pub fn ddi_calls(&self) -> BTreeMap<&'static str, u64> {
        self.0.borrow().ddi_calls.clone()
    }

    /// Messages that devices sent.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.0.borrow().messages
    }

    /// Times a processor went on with another thread.
    #[must_use]
    pub fn thread_switches(&self) -> u64 {
        self.0.borrow().thread_switches
    }
}

impl EventSink for Counters {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        let mut counts = self.0.borrow_mut();
        match event {
            Event::Delivered(vector) => {
                let vector = counts.vectors.entry(vector.0).or_default();
                *vector.delivered.entry(stamp.processor).or_default() += 1;
            }
            Event::IsrLeave { vector, claimed } => {
                let vector = counts.vectors.entry(vector.0).or_default();
                vector.isr_calls += 1;
                vector.claimed += u64::from(*claimed);
            }
            Event::DpcEnter { .. } => counts.dpcs += 1,
            Event::DdiEnter { name, .. } => *counts.ddi_calls.entry(name).or_default() += 1,
            Event::Message(_) => counts.messages += 1,
            Event::ThreadSwitch(_) => counts.thread_switches += 1,
            _ => {}
        }
    }
}
