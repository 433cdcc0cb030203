//! The last events of a run, in memory.

use std::cell::RefCell;
use std::rc::Rc;

use dirql_kernel::{Event, EventSink, Stamp};

use crate::tape::Tape;

/// One event with its time and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When and where.
    pub stamp: Stamp,
    /// What.
    pub event: Event,
}

/// Keeps the last events, up to a limit, in some ten bytes each.
#[derive(Debug)]
pub struct Recorder(Rc<RefCell<Kept>>);

/// What a [`Recorder`] has kept.
#[derive(Clone, Debug)]
pub struct Recording(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    tape: Tape,
    limit: usize,
    seen: u64,
}

impl Recorder {
    /// A recorder that keeps at most `limit` events, and the view of what it keeps.
    #[must_use]
    pub fn new(limit: usize) -> (Self, Recording) {
        let kept = Kept {
            tape: Tape::default(),
            limit,
            seen: 0,
        };
        let kept = Rc::new(RefCell::new(kept));
        (Self(kept.clone()), Recording(kept))
    }
}

impl EventSink for Recorder {
    fn record(&mut self, stamp: Stamp, event: &Event) {
        let kept = &mut *self.0.borrow_mut();
        kept.tape.push(stamp, event, kept.limit);
        kept.seen += 1;
    }
}

impl Kept {
    fn count(&self) -> usize {
        self.tape.len().min(self.limit)
    }
}

impl Recording {
    /// The events, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.0.borrow().count());
        self.each(|stamp, event| entries.push(Entry { stamp, event }));
        entries
    }

    /// Tells the events to `each`, oldest first.
    pub fn each(&self, each: impl FnMut(Stamp, Event)) {
        let kept = self.0.borrow();
        kept.tape.play(kept.count(), each);
    }

    /// How many events before them were dropped to stay under the limit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let kept = self.0.borrow();
        kept.seen - kept.count() as u64
    }

    /// Forgets what has been kept so far.
    pub fn clear(&self) {
        let kept = &mut *self.0.borrow_mut();
        kept.tape.clear();
        kept.seen = 0;
    }
}
