//! Vector clocks.
//!
//! Source: C. Fidge, "Timestamps in Message-Passing Systems That Preserve the Partial Ordering",
//! 1988; F. Mattern, "Virtual Time and Global States of Distributed Systems", 1989.

/// For each actor, by its index, how much of what it did comes before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock(Vec<u32>);

impl Clock {
    pub(super) fn of(&self, actor: usize) -> u32 {
        self.0.get(actor).copied().unwrap_or(0)
    }

    /// What `actor` has done up to `number` comes before.
    pub(super) fn add(&mut self, actor: usize, number: u32) {
        if self.0.len() <= actor {
            self.0.resize(actor + 1, 0);
        }
        self.0[actor] = self.0[actor].max(number);
    }

    /// Whether all that comes before `other` comes before this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers = |(actor, number): (usize, &u32)| self.of(actor) >= *number;
        other.0.iter().enumerate().all(covers)
    }

    /// What comes before `other` comes before this, too.
    pub(super) fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*other);
        }
    }
}
