//! Real time, which only a limit on it looks at.

use std::time::Duration;

use dirql_host::real_time;

/// Counts from its start to a limit.
pub(super) struct Clock {
    start: Duration,
    most: Option<Duration>,
}

impl Clock {
    pub(super) fn start(most: Option<Duration>) -> Self {
        let start = real_time();
        Self { start, most }
    }

    /// Whole seconds to the limit, rounded up; `None` without one.
    pub(super) fn seconds_left(&self) -> Option<u32> {
        let left = self.most?.saturating_sub(self.passed());
        Some(u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX))
    }

    pub(super) fn is_over(&self) -> bool {
        self.most.is_some_and(|most| self.passed() >= most)
    }

    fn passed(&self) -> Duration {
        real_time().saturating_sub(self.start)
    }
}
