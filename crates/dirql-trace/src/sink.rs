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
