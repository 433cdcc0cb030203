//! Queues in memory: where entries are, and who is ahead of whom.
//!
//! Source: NVM Express Base Specification 1.4, "Submission Queue & Completion Queue Definition".

use super::spec::{COMPLETION_ENTRY, SUBMISSION_ENTRY};

/// A submission queue: the host puts in at the tail, the controller takes from the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubmissionQueue {
    pub(super) base: u64,
    /// Entries.
    pub(super) size: u32,
    pub(super) head: u32,
    pub(super) tail: u32,
    /// The completion queue it belongs to.
    pub(super) completion: usize,
}

impl SubmissionQueue {
    pub(super) const fn new(base: u64, size: u32, completion: usize) -> Self {
        Self {
            base,
            size,
            head: 0,
            tail: 0,
            completion,
        }
    }

    /// Whether the tail may become `tail`: entries are added, and no more than fit. "A queue is
    /// full when the head equals one more than the tail."
    pub(super) const fn has_room_up_to(&self, tail: u32) -> bool {
        let added = (tail + self.size - self.tail) % self.size;
        let used = (self.tail + self.size - self.head) % self.size;
        added != 0 && added + used < self.size
    }

    /// Where the next entry is, if there is one. It is the controller's from now on.
    pub(super) fn take(&mut self) -> Option<u64> {
        if self.head == self.tail {
            return None;
        }
        let address = self
            .base
            .wrapping_add(u64::from(self.head) * SUBMISSION_ENTRY);
        self.head = (self.head + 1) % self.size;
        Some(address)
    }
}

/// A completion queue: the controller puts in at the tail, the host takes from the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompletionQueue {
    pub(super) base: u64,
    /// Entries.
    pub(super) size: u32,
    pub(super) head: u32,
    pub(super) tail: u32,
    /// The phase tag of new entries: inverted each time around.
    pub(super) phase: bool,
    /// Its interrupt vector, if it interrupts.
    pub(super) vector: Option<u16>,
}

impl CompletionQueue {
    pub(super) const fn new(base: u64, size: u32, vector: Option<u16>) -> Self {
        Self {
            base,
            size,
            head: 0,
            tail: 0,
            phase: true,
            vector,
        }
    }

    /// "A queue is full when the head equals one more than the tail."
    pub(super) const fn is_full(&self) -> bool {
        (self.tail + 1) % self.size == self.head
    }

    /// Whether the head may become `head`: entries are taken, and only those that are there.
    pub(super) const fn has_entries_up_to(&self, head: u32) -> bool {
        let taken = (head + self.size - self.head) % self.size;
        let there = (self.tail + self.size - self.head) % self.size;
        taken != 0 && taken <= there
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.tail == self.head
    }

    /// Where the next entry goes, and its phase tag.
    pub(super) fn put(&mut self) -> (u64, bool) {
        let address = self
            .base
            .wrapping_add(u64::from(self.tail) * COMPLETION_ENTRY);
        let phase = self.phase;
        self.tail = (self.tail + 1) % self.size;
        if self.tail == 0 {
            self.phase = !phase;
        }
        (address, phase)
    }
}
