//! What steps touch, and which of them may change places.

use serde::{Deserialize, Serialize};

/// An object, or a part of one, is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// A number for the object.
    pub object: u64,
    /// Which parts of it.
    pub parts: u64,
    /// What is done to them.
    pub access: Access,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It is looked at.
    Look,
    /// It is changed.
    Change,
    /// A lock is taken, which was free.
    Take,
    /// A lock is freed, which nobody else could have taken before.
    Free,
}

impl Touch {
    /// Whether the order of two touches makes a difference.
    #[must_use]
    pub const fn conflicts(&self, other: &Self) -> bool {
        self.object == other.object
            && self.parts & other.parts != 0
            && !matches!((self.access, other.access), (Access::Look, Access::Look))
    }

    /// Whether the two can come in either order. A lock that is held is not taken.
    pub(crate) const fn is_race(&self, later: &Self) -> bool {
        self.conflicts(later) && !matches!(self.access, Access::Free)
    }
}

/// Whether the order of two steps of different actors makes a difference.
pub(crate) fn conflict(one: &[Touch], other: &[Touch]) -> bool {
    one.iter()
        .any(|touch| other.iter().any(|other| touch.conflicts(other)))
}
