//! What is fuzzed: a function for each part that takes bytes from outside.
//!
//! Each takes any bytes and comes back. A panic is a defect of ours, and so is an answer that is
//! not the same the second time. What the bytes make a driver do wrong is not: that is a finding.
//!
//! The tests of this crate call these functions with inputs made by a generator that stays as it is.
#![forbid(unsafe_code)]

mod chips;
mod connect;
mod files;
pub mod generate;
mod input;

pub use chips::{device, io_apic, local_apic, pic};
pub use connect::{connect, connect_seeds};
pub use files::{image, inf, report, scenario, schedule, search_result, trace};

/// A part that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// Every part that is fuzzed.
pub const TARGETS: &[Target] = &[
    target("connect", connect),
    target("device", device),
    target("image", image),
    target("inf", inf),
    target("io_apic", io_apic),
    target("local_apic", local_apic),
    target("pic", pic),
    target("report", report),
    target("scenario", scenario),
    target("schedule", schedule),
    target("search_result", search_result),
    target("trace", trace),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}
