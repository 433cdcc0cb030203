//! Who has the port, and who waits for it: one queue for allocate and select requests.
//!
//! The port goes to whoever asked first. While it is handed from one to the next it is never
//! free, so nobody can come in between.
//!
//! Source: WDK, "Synchronizing the Use of a Parallel Port".

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use dirql_rules::Place;

use super::select::Command;

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// The request.
    pub(super) irp: u64,
    /// The file object in its stack location, 0 for none.
    pub(super) file: u64,
    /// What to select before the request is completed; `None` for a plain allocation.
    pub(super) select: Option<Command>,
    /// Where it was sent.
    pub(super) place: Place,
}

/// How a release went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// The port was free; nothing has changed.
    WasFree,
    /// Nobody waits: the port is free now.
    Free,
    /// The port belongs to the one who has waited longest.
    HandedTo(Waiter),
}

/// The port's owner and its queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// Where the owner asked for it; `None` while it is free.
    owner: Option<Place>,
    waiting: VecDeque<Waiter>,
}

impl Queue {
    /// Where the owner asked for the port.
    pub(super) const fn owner(&self) -> Option<&Place> {
        self.owner.as_ref()
    }

    pub(super) const fn is_free(&self) -> bool {
        self.owner.is_none()
    }

    pub(super) fn waiters(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Takes the port if it is free.
    pub(super) fn try_take(&mut self, place: Place) -> bool {
        let free = self.is_free();
        if free {
            self.owner = Some(place);
        }
        free
    }

    /// Takes the port, or waits at the end of the queue. Whether it has the port.
    pub(super) fn take_or_wait(&mut self, waiter: Waiter) -> bool {
        if self.try_take(waiter.place.clone()) {
            return true;
        }
        self.waiting.push_back(waiter);
        false
    }

    /// The owner gives the port back.
    pub(super) fn release(&mut self) -> Released {
        if self.is_free() {
            return Released::WasFree;
        }
        let next = self.waiting.pop_front();
        self.owner = next.as_ref().map(|waiter| waiter.place.clone());
        next.map_or(Released::Free, Released::HandedTo)
    }

    /// Takes a request out of the queue; `None` if it does not wait.
    pub(super) fn remove(&mut self, irp: u64) -> Option<Waiter> {
        let at = self.waiting.iter().position(|waiter| waiter.irp == irp)?;
        self.waiting.remove(at)
    }

    /// Takes all requests out that `wanted` says, newest first.
    pub(super) fn drain(&mut self, wanted: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let (gone, kept): (Vec<Waiter>, Vec<Waiter>) = core::mem::take(&mut self.waiting)
            .into_iter()
            .partition(wanted);
        self.waiting = kept.into();
        gone.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(irp: u64, file: u64) -> Waiter {
        Waiter {
            irp,
            file,
            select: None,
            place: Place::default(),
        }
    }

    #[test]
    fn what_is_drained_comes_newest_first_and_the_rest_stays_in_order() {
        let mut queue = Queue::default();
        assert!(queue.try_take(Place::default()));
        for irp in 1..=6 {
            assert!(!queue.take_or_wait(waiter(irp, irp % 2)));
        }
        let gone: Vec<u64> = queue
            .drain(|waiter| waiter.file == 0)
            .iter()
            .map(|waiter| waiter.irp)
            .collect();
        assert_eq!(gone, [6, 4, 2]);
        for irp in [1, 3, 5] {
            assert_eq!(queue.release(), Released::HandedTo(waiter(irp, 1)));
        }
        assert_eq!(queue.release(), Released::Free);
        assert_eq!(queue.release(), Released::WasFree);
    }
}
