//! Making something fail once: the n-th allocation of a run, the n-th call of a routine that can
//! fail, or connecting an interrupt, in the n-th way.
//!
//! A run counts each; a [`FailurePoint`] in the [`Config`](crate::Config) makes one of them fail.
//! The same image, scenario and settings give the same counts, so whoever drives this runs once to
//! learn them, and then once for each number.
//!
//! - An allocation is pool or contiguous memory, for the driver or for what the kernel needs to
//!   serve it. What depends on it fails as it does when memory is used up.
//! - A call is one of a routine in the table of `table.rs`. It does nothing and returns what
//!   its page says for failure.
//! - A connect fails with each status of its page in turn, in `connect.rs`.
//!
//! Not made to fail: what boots the computer, and memory of the user's.

mod connect;
mod table;

use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::str::FromStr;

use dirql_rules::Place;

use crate::{Ddi, Kernel};

pub(crate) use connect::{EX as CONNECT_EX_FAILURES, OLD as CONNECT_FAILURES};
pub use table::failure_of;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// An allocation of memory.
    Allocation,
    /// A driver's call of a routine that can fail.
    Call,
    /// A driver's connect of an interrupt, with one of its statuses.
    Connect,
}

impl FailureKind {
    /// The name used in scenario files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allocation => "allocation",
            Self::Call => "call",
            Self::Connect => "connect",
        }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePoint {
    /// What fails.
    pub kind: FailureKind,
    /// Which, counted from 1.
    pub number: u64,
}

impl fmt::Display for FailurePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.number)
    }
}

/// The text is no failure point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not something that can fail; use allocation:N, call:N or connect:N, with N from 1")]
pub struct UnknownFailurePoint;

impl FromStr for FailurePoint {
    type Err = UnknownFailurePoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, number) = text.split_once(':').ok_or(UnknownFailurePoint)?;
        let kinds = [
            FailureKind::Allocation,
            FailureKind::Call,
            FailureKind::Connect,
        ];
        let kind = kinds.into_iter().find(|kind| kind.name() == name);
        match (kind, number.parse()) {
            (Some(kind), Ok(number)) if number > 0 => Ok(Self { kind, number }),
            _ => Err(UnknownFailurePoint),
        }
    }
}

/// How many points there have been so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCounts {
    /// Allocations.
    pub allocations: u64,
    /// Calls of routines that can fail.
    pub calls: u64,
    /// Connects of interrupts, each once for every status.
    pub connects: u64,
}

/// The state of this part of the kernel.
#[derive(Default)]
pub(crate) struct Failures {
    counts: Cell<FailureCounts>,
    happened: RefCell<Option<(String, Place)>>,
}

impl Kernel {
    /// How many points of each kind the run has passed.
    #[must_use]
    pub fn failure_counts(&self) -> FailureCounts {
        self.failures.counts.get()
    }

    /// What was made to fail, and where, once that has happened.
    #[must_use]
    pub fn failure(&self) -> Option<(String, Place)> {
        self.failures.happened.borrow().clone()
    }

    /// Memory is about to be allocated: whether there is to be none.
    pub(crate) fn allocation_fails(&self) -> bool {
        // What the system needs to stop or remove a device it has kept in reserve.
        if self
            .here()
            .ddi
            .is_none_or(|name| name.starts_with("dirql:"))
        {
            return false;
        }
        let mut counts = self.failures.counts.get();
        counts.allocations += 1;
        self.failures.counts.set(counts);
        self.is_due(FailureKind::Allocation, counts.allocations)
    }

    /// A driver has called a routine that can fail: carries it out, unless it is the one that
    /// fails. `failed` makes an answer of what the routine returns then.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn unless_it_fails<R>(
        &self,
        failed: impl FnOnce() -> R,
        body: impl FnOnce(&Self) -> Ddi<R>,
    ) -> Ddi<R> {
        let mut counts = self.failures.counts.get();
        counts.calls += 1;
        self.failures.counts.set(counts);
        if self.is_due(FailureKind::Call, counts.calls) {
            return Ok(failed());
        }
        body(self)
    }

    fn is_due(&self, kind: FailureKind, number: u64) -> bool {
        if self.config().fail != Some(FailurePoint { kind, number }) {
            return false;
        }
        let place = self.here();
        let what = match (kind, place.ddi) {
            (FailureKind::Call | FailureKind::Connect, Some(name)) => String::from(name),
            (FailureKind::Allocation, Some(name)) => alloc::format!("the allocation in {name}"),
            (FailureKind::Allocation, None) => String::from("an allocation of the system's"),
            (FailureKind::Call | FailureKind::Connect, None) => String::from("a call"),
        };
        *self.failures.happened.borrow_mut() = Some((what, place));
        true
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    fn bench(fail: &str) -> Bench {
        Bench::new(Config {
            fail: Some(fail.parse().expect("a failure point")),
            ..Config::default()
        })
    }

    #[test]
    fn a_point_is_written_as_it_is_read() {
        for text in ["allocation:1", "call:18446744073709551615", "connect:7"] {
            let point: FailurePoint = text.parse().expect("a failure point");
            assert_eq!(point.to_string(), text);
        }
        for text in [
            "",
            "allocation",
            "allocation:0",
            "call:-1",
            "cal:1",
            "call:1:2",
        ] {
            assert_eq!(text.parse::<FailurePoint>(), Err(UnknownFailurePoint));
        }
    }

    #[test]
    fn only_the_one_allocation_fails() {
        let bench = bench("allocation:2");
        let kernel = &bench.kernel;
        let before = kernel.failure_counts().allocations;
        assert_eq!(before, 0, "booting is not counted");
        let allocate = || {
            kernel
                .ddi("ExAllocatePoolWithTag", None, |kernel| {
                    kernel.pool_allocate(0, 16, 1)
                })
                .expect("no finding ends the run")
        };
        assert_ne!(allocate(), 0);
        assert_eq!(kernel.failure(), None);
        assert_eq!(allocate(), 0);
        assert!(kernel.failure().is_some());
        assert_ne!(allocate(), 0);
        assert_eq!(kernel.failure_counts().allocations, 3);
    }

    #[test]
    fn a_failing_allocation_raises_if_the_caller_wants_that() {
        let bench = bench("allocation:1");
        let raised = bench
            .kernel
            .ddi("ExAllocatePoolWithQuotaTag", None, |kernel| {
                kernel.pool_allocate(16, 16, 1)
            });
        assert!(
            matches!(raised, Err(crate::Stop::Exception { .. })),
            "{raised:?}"
        );
    }

    #[test]
    fn only_the_one_call_fails_and_does_nothing() {
        let bench = bench("call:2");
        let mut done = alloc::vec::Vec::new();
        for number in 1..=3 {
            let result = bench.kernel.unless_it_fails(
                || 0,
                |_| {
                    done.push(number);
                    Ok(number)
                },
            );
            assert_eq!(result, Ok(if number == 2 { 0 } else { number }));
        }
        assert_eq!(done, [1, 3]);
        assert_eq!(bench.kernel.failure_counts().calls, 3);
    }
}
