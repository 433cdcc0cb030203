//! Which order of events to try next.
//!
//! A run asks at each of its points which of several [`Alternative`]s happens. A [`Strategy`]
//! answers, run after run, and says when nothing is left to try. What was answered is a list of
//! [`Deviation`]s from what happens by itself, which has a printable form ([`Schedule`]) and can
//! be made shorter ([`shrink`]).
//!
//! # Invariants
//! - Nothing here knows what an alternative means. It has a number for who acts and what it
//!   touches, and that is all that orders are compared by.
//! - The same seed, number of run and answers of the program give the same choices, for good: the
//!   generator is frozen.
#![forbid(unsafe_code)]

mod order;
mod random;
mod recorder;
mod schedule;
mod shrink;
pub mod strategy;
#[cfg(test)]
mod tests;

pub use order::{Access, Touch};
pub use random::Random;
pub use recorder::{Place, Recorder, Run};
pub use schedule::{Deviation, Points, Schedule, ScheduleError, fingerprint};
pub use shrink::shrink;
pub use strategy::{Coverage, Strategy};

/// Something that may happen next.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Alternative {
    /// Who acts. What one actor does is in order in every run.
    pub actor: u64,
    /// Which of the things that it could do.
    pub variant: u8,
}

impl Alternative {
    /// The only thing that an actor could do.
    #[must_use]
    pub const fn of(actor: u64) -> Self {
        Self { actor, variant: 0 }
    }
}
