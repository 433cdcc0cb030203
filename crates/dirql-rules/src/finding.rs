//! One report against one rule.

use alloc::string::String;

use crate::RuleId;

/// What a processor was running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Nothing: the bench itself, between driver calls.
    #[default]
    Bench,
    /// A thread, numbered in order of creation.
    Thread(u32),
    /// An interrupt service routine on this vector.
    Isr(u8),
    /// A DPC routine.
    Dpc,
    /// A critical section of an interrupt (`KeSynchronizeExecution`).
    CriticalSection,
    /// The processor's idle loop.
    Idle,
}

/// Where and when something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the step at which it happened.
    pub step: u64,
    /// Virtual time, 100 ns units since the start of the run.
    pub time_100ns: u64,
    /// Processor index.
    pub processor: u16,
    /// IRQL at that moment, 0..=15.
    pub irql: u8,
    /// What was running.
    pub context: Context,
    /// The DDI that was called, if one was.
    pub ddi: Option<&'static str>,
    /// Address of the driver's instruction (after the call, for a DDI), 0 if unknown.
    pub address: u64,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that was broken.
    pub rule: RuleId,
    /// What this driver did, in one sentence.
    pub message: String,
    /// Where it did it.
    pub place: Place,
    /// Where the other half was, with what happened there.
    pub earlier: Option<(String, Place)>,
}
