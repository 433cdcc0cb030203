//! What comes before what in a run, and which of it could have come the other way round.

use crate::Alternative;
use crate::order::{Access, Touch};

/// A step of a run.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) option: Alternative,
    pub(super) actor: usize,
    /// The how manyth of its actor, from 1.
    pub(super) number: u32,
    pub(super) touches: Vec<Touch>,
    pub(super) clock: Clock,
}

/// For each actor, how many of its events come before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock(Vec<u32>);

impl Clock {
    fn of(&self, actor: usize) -> u32 {
        self.0.get(actor).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, actor: usize, number: u32) {
        if self.0.len() <= actor {
            self.0.resize(actor + 1, 0);
        }
        self.0[actor] = number;
    }

    pub(super) fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*other);
        }
    }

    pub(super) fn covers(&self, event: &Event) -> bool {
        self.of(event.actor) >= event.number
    }
}

/// How two steps of different actors stand to each other.
pub(super) enum Relation {
    /// Neither makes a difference to the other.
    None,
    /// One may come before the other.
    Race,
    /// The first comes first: it frees a lock that the second takes.
    Order,
}

pub(super) fn relation(earlier: &[Touch], later: &[Touch]) -> Relation {
    let mut relation = Relation::None;
    for touch in earlier {
        for other in later {
            if touch.is_race(other) {
                return Relation::Race;
            }
            if touch.conflicts(other) {
                relation = Relation::Order;
            }
        }
    }
    relation
}

/// Whether one step frees a lock that the other takes.
pub(super) fn is_hand_over(earlier: &[Touch], later: &[Touch]) -> bool {
    let freed = |touch: &&Touch| touch.access == Access::Free;
    earlier.iter().filter(freed).any(|touch| {
        later
            .iter()
            .any(|other| other.object == touch.object && other.access == Access::Take)
    })
}
