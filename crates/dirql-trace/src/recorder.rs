//! The last events of a run, in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use dirql_kernel::{Event, EventSink, Stamp};

/// One event with its time and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When and where.
    pub stamp: Stamp,
    /// What.
    pub event: Event,
}

/// Keeps the last events, up to a limit.
#[derive(Debug)]
pub struct Recorder(Rc<RefCell<Kept>>);

/// What a [`Recorder`] has kept.
#[derive(Clone, Debug)]
pub struct Recording(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    entries: VecDeque<Entry>,
    limit: usize,
    dropped: u64,
}

impl Recorder {
    /// A recorder that keeps at most `limit` events, and the view of what it keeps.
    #[must_use]
    pub fn new(limit: usize) -> (Self, Recording) {
        let kept = Kept {
            entries: VecDeque::new(),
            limit,
            dropped: 0,
        };
        let kept = Rc::new(RefCell::new(kept));
        (Self(kept.clone()), Recording(kept))
    }
}

impl EventSink for Recorder {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        let mut kept = self.0.borrow_mut();
        if kept.entries.len() >= kept.limit {
            kept.dropped += 1;
            if kept.entries.pop_front().is_none() {
                return;
            }
        }
        kept.entries.push_back(Entry {
            stamp,
            event: event.clone(),
        });
    }
}

impl Recording {
    /// The events, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.0.borrow().entries.iter().cloned().collect()
    }

    /// How many events before them were dropped to stay under the limit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.borrow().dropped
    }

    /// Forgets what has been kept so far.
    pub fn clear(&self) {
        let mut kept = self.0.borrow_mut();
        kept.entries.clear();
        kept.dropped = 0;
    }
}
