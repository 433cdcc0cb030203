//! Several listeners for one run.

use dirql_kernel::{Event, EventSink, Stamp};

/// Gives every event to two sinks, in this order.
#[derive(Clone, Copy, Debug)]
pub struct Both<A, B>(
    /// The one that is told first.
    pub A,
    /// The one that is told second.
    pub B,
);

impl<A: EventSink, B: EventSink> EventSink for Both<A, B> {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        self.0.record(stamp, event);
        self.1.record(stamp, event);
    }
}

/// Gives every event to each of some sinks, in order.
#[derive(Default)]
pub struct All(
    /// The sinks.
    pub Vec<Box<dyn EventSink>>,
);

impl std::fmt::Debug for All {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("All").field(&self.0.len()).finish()
    }
}

impl EventSink for All {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        for sink in &mut self.0 {
            sink.record(stamp, event);
        }
    }
}
