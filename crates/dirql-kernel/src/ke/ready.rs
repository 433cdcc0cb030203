//! The queues of threads that are ready, one for each priority.

use alloc::collections::VecDeque;

use crate::ke::thread::ThreadId;

/// Priorities of threads: 0..=31.
const PRIORITIES: usize = 32;

/// Threads that are ready, by priority and then by how long they have been.
#[derive(Debug, Default)]
pub(super) struct ReadyQueues {
    queues: [VecDeque<ThreadId>; PRIORITIES],
    /// A bit for each priority whose queue is not empty.
    occupied: u32,
}

/// A thread's place in the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    priority: u8,
    at: usize,
}

impl ReadyQueues {
    /// Whether no thread is ready.
    #[inline]
    pub(super) const fn are_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Puts a thread behind all others of its priority, 0..=31.
    pub(super) fn push(&mut self, priority: u8, thread: ThreadId) {
        self.queues[usize::from(priority)].push_back(thread);
        self.occupied |= 1 << priority;
    }

    /// The first thread that may run, of the highest priority that is at least `lowest`.
    pub(super) fn find(&self, lowest: u8, may_run: impl Fn(ThreadId) -> bool) -> Option<Place> {
        let mut left = match lowest {
            0..32 => self.occupied & (u32::MAX << lowest),
            _ => 0,
        };
        while left != 0 {
            let priority = (31 - left.leading_zeros()) as u8;
            let queue = &self.queues[usize::from(priority)];
            if let Some(at) = queue.iter().position(|thread| may_run(*thread)) {
                return Some(Place { priority, at });
            }
            left &= !(1 << priority);
        }
        None
    }

    /// Takes the thread at a place that [`ReadyQueues::find`] has just found.
    pub(super) fn take(&mut self, place: Place) -> Option<ThreadId> {
        let thread = self.queues[usize::from(place.priority)].remove(place.at);
        self.note(place.priority);
        thread
    }

    /// Takes a thread out of the queue of a priority.
    pub(super) fn remove(&mut self, priority: u8, thread: ThreadId) {
        self.queues[usize::from(priority)].retain(|queued| *queued != thread);
        self.note(priority);
    }

    fn note(&mut self, priority: u8) {
        if self.queues[usize::from(priority)].is_empty() {
            self.occupied &= !(1 << priority);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn anybody(_: ThreadId) -> bool {
        true
    }

    fn queues(threads: &[(u8, u32)]) -> ReadyQueues {
        let mut queues = ReadyQueues::default();
        for (priority, thread) in threads {
            queues.push(*priority, ThreadId(*thread));
        }
        queues
    }

    #[test]
    fn the_highest_priority_is_first_and_within_it_who_waited_longest() {
        let mut queues = queues(&[(0, 1), (31, 2), (8, 3), (31, 4)]);
        let mut order = Vec::new();
        while let Some(place) = queues.find(0, anybody) {
            order.extend(queues.take(place));
        }
        assert_eq!(order, [2, 4, 3, 1].map(ThreadId));
    }

    #[test]
    fn who_may_not_run_is_passed_over_also_down_to_the_next_priority() {
        let queues = queues(&[(9, 1), (9, 2), (8, 3)]);
        let find = |allowed: u32| queues.find(0, |thread| thread == ThreadId(allowed));
        assert_eq!(find(2), Some(Place { priority: 9, at: 1 }));
        assert_eq!(find(3), Some(Place { priority: 8, at: 0 }));
        assert_eq!(find(4), None);
    }

    #[test]
    fn lower_priorities_than_asked_for_are_not_found() {
        let queues = queues(&[(8, 1)]);
        assert!(queues.find(8, anybody).is_some());
        assert_eq!(queues.find(9, anybody), None);
        assert_eq!(queues.find(32, anybody), None);
    }

    #[test]
    fn a_thread_can_be_taken_out_of_the_middle() {
        let mut queues = queues(&[(8, 1), (8, 2)]);
        queues.remove(8, ThreadId(1));
        queues.remove(8, ThreadId(2));
        assert_eq!(queues.find(0, anybody), None);
    }
}
