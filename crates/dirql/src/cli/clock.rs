//! Real time, which only a limit on it looks at.

use std::time::Duration;

/// Counts from its start to a limit.
pub(super) struct Clock {
    #[expect(
        clippy::disallowed_types,
        reason = "a limit of real time was asked for"
    )]
    start: std::time::Instant,
    most: Option<Duration>,
}

impl Clock {
    pub(super) fn start(most: Option<Duration>) -> Self {
        #[expect(
            clippy::disallowed_types,
            reason = "a limit of real time was asked for"
        )]
        let start = std::time::Instant::now();
        Self { start, most }
    }

    /// Whole seconds to the limit, rounded up; `None` without one.
    pub(super) fn seconds_left(&self) -> Option<u32> {
        let left = self.most?.saturating_sub(self.start.elapsed());
        Some(u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX))
    }

    pub(super) fn is_over(&self) -> bool {
        self.most.is_some_and(|most| self.start.elapsed() >= most)
    }
}
