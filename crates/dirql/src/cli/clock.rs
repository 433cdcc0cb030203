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

    /// Whether more than one part in `parts` of the time is over.
    pub(super) fn is_past(&self, parts: u32) -> bool {
        self.most.is_some_and(|most| self.passed() >= most / parts)
    }

    fn passed(&self) -> Duration {
        real_time().saturating_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_no_time_are_over_and_those_of_an_hour_are_not() {
        let of = |most| [4, 1].map(|parts| Clock::start(most).is_past(parts));
        assert_eq!(of(Some(Duration::ZERO)), [true, true]);
        assert_eq!(of(Some(Duration::from_secs(3600))), [false, false]);
        assert_eq!(of(None), [false, false]);
    }
}
