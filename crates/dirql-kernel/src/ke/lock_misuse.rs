//! Spin locks that are used wrongly: what is said, and with which other half.

use alloc::format;
use alloc::string::String;

use dirql_abi::Irql;
use dirql_rules::{Place, ids};

use super::spin_lock::Held;
use crate::Kernel;
use crate::stop::{Ddi, Stop};

impl Kernel {
    #[cold]
    pub(super) fn released_without_owning(&self, lock: u64) -> Ddi<()> {
        let owner = self.holder(lock);
        let message = match &owner {
            Some((processor, _)) => {
                format!(
                    "a spin lock was released that processor {} holds",
                    processor.0
                )
            }
            None => String::from("a spin lock was released that nobody holds"),
        };
        // Its owner will release it again; that is the same mistake.
        self.forget_lock(lock);
        let earlier = owner.map(|(_, place)| (String::from("it was taken here"), place));
        self.find(ids::RELEASE_NOT_OWNED, message, earlier)
    }

    /// A lock that was taken at DISPATCH_LEVEL, or at SYNCH_LEVEL, is released at that level.
    #[cold]
    pub(super) fn away_from_its_level(&self, taken: &Place) -> Ddi<()> {
        let here = self.here();
        let message = format!(
            "{} was called at {}; the lock was taken at {}",
            here.ddi.unwrap_or("the release"),
            Irql(here.irql),
            Irql(taken.irql)
        );
        let earlier = (String::from("it was taken here"), taken.clone());
        self.find(ids::ENTRY_LEVEL, message, Some(earlier))
    }

    #[cold]
    pub(super) fn other_kind(&self, taken: Place) -> Ddi<()> {
        self.find(
            ids::LOCK_KIND,
            String::from("a spin lock is used with routines of two kinds, queued and not"),
            Some((String::from("it was taken here"), taken)),
        )
    }

    #[cold]
    pub(super) fn other_level(&self, held: &Held, new: Option<u8>) -> Ddi<()> {
        let message = match (held.before, new) {
            (Some(before), Some(new)) => {
                format!(
                    "the lock was taken at {before} and is released to {}",
                    Irql(new)
                )
            }
            (Some(before), None) => {
                format!(
                    "the lock was taken at {before} with a routine that raises the level and is released with one that does not lower it"
                )
            }
            (None, _) => String::from(
                "the lock was taken with a routine that leaves the level alone and is released with one that sets it",
            ),
        };
        self.find(
            ids::RELEASE_LEVEL,
            message,
            Some((String::from("it was taken here"), held.place.clone())),
        )
    }

    /// Called when every processor that could go on waits for a lock.
    pub(crate) fn deadlock(&self, lock: u64) -> Stop {
        let earlier = self
            .holder(lock)
            .map(|(_, place)| (String::from("the lock was taken here"), place));
        let message = match earlier {
            Some(_) => "this processor waits for a spin lock whose holder never goes on",
            None if !self.judges() => {
                "this processor waits for a spin lock that nobody releases; which code took it is known to a run with rules"
            }
            None => {
                "this processor waits for a spin lock that is marked held, but nobody took it; was it initialised?"
            }
        };
        self.find_fatal(ids::DEADLOCK, String::from(message), earlier)
    }
}
