//! A bench for Windows driver code.

mod bench;
pub mod scenario;

pub use bench::{Bench, BenchError, Builder, CodePlace, Completion, Driver, Pending};
