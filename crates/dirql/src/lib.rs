//! A bench for Windows driver code.
//!
//! [`Bench`] is a simulated computer with devices and drivers, one call per thing that is done to
//! it. A [`scenario::Scenario`] says the same in a file, [`play`] plays it, and the
//! [`report::Report`] says what happened. The command line is built from these.
//!
//! A driver is a `.sys` file as it ships, or Rust functions with the Win64 convention. It runs
//! natively, in this process: what it does to memory that is not its own can end the process.
//! The command line therefore runs it in a process of its own.
#![forbid(unsafe_code)]

pub mod audit;
mod bench;
pub mod coverage;
mod explore;
mod levels;
mod play;
mod races;
pub mod report;
pub mod scenario;

pub use bench::{Bench, BenchError, Builder, CodePlace, Completion, Driver, Pending};
pub use explore::{
    Discovery, Explorer, Failed, Limits, Plan, ReplayError, Search, Searches, Strategy, explore,
    explore_plan, meeting_points, pieces, survey,
};
pub use levels::{Level, Levels};
pub use play::{
    Film, Found, MakeSink, Progress, Settings, WriteOutput, discover, play, read_drivers,
};

pub use dirql_explore::strategy::{Piece, Pieces, Scouted};
pub use dirql_explore::{Coverage, Deviation, Points, Schedule, ScheduleError, shrink};
pub use dirql_host::{Arena, Footprints, MemoryAccess, Role, Stops, Watch};
pub use dirql_kernel::readings::Reading;
pub use dirql_kernel::{FailureKind, FailurePoint, Outcome, WindowsVersion};

/// The programs of the book's pages that are no tests themselves.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../../docs/src/library.md")]
    mod library {}
    #[doc = include_str!("../../../docs/src/coverage.md")]
    mod coverage {}
}
