//! Words that are read again, to see whether somebody has written meanwhile.
//!
//! A reader without a lock reads a count, or the upper half of a number, before what belongs to it
//! and once more after that, and begins again if the two differ.
//!
//! Source: L. Lamport, "Concurrent Reading and Writing", CACM 20(11), 1977.
//!
//! Whether it compares is not looked at: who reads a word twice around others has a reason to.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Access, Conflict};

/// One call of a routine by one actor, and an address that it accesses.
type Key = (usize, u32, u64);

/// What calls of routines read more than once, and what they write.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The numbers of the first and the last read.
    reads: BTreeMap<Key, (u32, u32)>,
    writes: BTreeSet<Key>,
}

impl Again {
    /// Adds an access.
    pub(super) fn add(&mut self, access: &Access, reads: bool, writes: bool) {
        let key = (access.actor, access.activation(), access.address);
        // What counts users is read to be changed, and says nothing of what was written meanwhile.
        if reads && !writes {
            let read = self
                .reads
                .entry(key)
                .or_insert((access.number, access.number));
            read.1 = access.number;
        }
        if writes {
            self.writes.insert(key);
        }
    }

    /// Whether who reads two words sees that they were written meanwhile.
    pub(super) fn sees(&self, conflict: &Conflict) -> bool {
        let Conflict::Torn {
            second_write,
            first_read,
            second_read,
            ..
        } = conflict
        else {
            return false;
        };
        let call = (first_read.actor, first_read.activation());
        let own = (call.0, call.1, 0)..=(call.0, call.1, u64::MAX);
        self.reads
            .range(own)
            .any(|((_, _, address), (first, last))| {
                let around = *first <= first_read.number && *last >= second_read.number;
                let writer = (second_write.actor, second_write.activation(), *address);
                around && first < last && self.writes.contains(&writer)
            })
    }
}
