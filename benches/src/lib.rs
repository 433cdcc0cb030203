//! Measurements as ratios against a reference taken in the same run, since machines differ.
//!
//! `cargo bench -p dirql-benches` runs all of them. Batches of what is measured and of its
//! reference take turns, many and short, so that both see the same machine, whatever else it does
//! meanwhile. Each measurement prints the median and the shortest time of a call, the same of its
//! reference, and the ratio of each. On a machine that is left alone the two agree; on a busy one
//! the shortest batches are those that nothing came between.
#![expect(
    clippy::disallowed_types,
    reason = "measuring is what this crate is for"
)]
#![expect(clippy::print_stdout, reason = "the table is the result")]

pub mod scale;

use std::process::{Command, Stdio};
use std::time::Instant;

/// Batches of each of the two. Odd, so that there is one in the middle.
const BATCHES: usize = 501;

/// What one side took, in nanoseconds a call.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Of half of the batches a call took no longer.
    pub median: f64,
    /// The fastest batch.
    pub shortest: f64,
}

impl Times {
    fn of(batches: &[f64]) -> Self {
        Self {
            median: median(batches),
            shortest: batches.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }
}

/// What was measured beside what.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// What is of interest.
    pub measured: Times,
    /// What it is compared with.
    pub reference: Times,
}

impl Comparison {
    /// How many times as long as a call of the reference a call takes.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.measured.median / self.reference.median
    }

    /// As [`Comparison::ratio`], of the fastest batches.
    #[must_use]
    pub fn shortest_ratio(&self) -> f64 {
        self.measured.shortest / self.reference.shortest
    }
}

/// Times `measured` and `reference`, which make as many calls as they are told: enough that reading
/// the clock does not matter, few enough that a batch mostly fits between two switches of the
/// machine to something else, some 100 microseconds.
pub fn compare(measured: (u32, impl FnMut(u32)), reference: (u32, impl FnMut(u32))) -> Comparison {
    compare_in(BATCHES, measured, reference)
}

/// As [`compare`], in fewer batches, for what takes long. An odd number.
pub fn compare_in(
    batches: usize,
    (measured_calls, mut measured): (u32, impl FnMut(u32)),
    (reference_calls, mut reference): (u32, impl FnMut(u32)),
) -> Comparison {
    // Caches, branch predictors and lazy initialisation are not what is asked for.
    time(measured_calls, &mut measured);
    time(reference_calls, &mut reference);
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..batches)
        .map(|_| {
            (
                time(measured_calls, &mut measured),
                time(reference_calls, &mut reference),
            )
        })
        .unzip();
    Comparison {
        measured: Times::of(&ours),
        reference: Times::of(&theirs),
    }
}

/// Times `body` by itself, where what it is compared with cannot be there at the same time.
pub fn alone(calls: u32, mut body: impl FnMut(u32)) -> Times {
    time(calls, &mut body);
    let batches: Vec<_> = (0..BATCHES).map(|_| time(calls, &mut body)).collect();
    Times::of(&batches)
}

/// Makes a body that is called `calls` times of one that is called once.
pub fn each(mut body: impl FnMut()) -> impl FnMut(u32) {
    move |calls| {
        for _ in 0..calls {
            body();
        }
    }
}

fn time(calls: u32, body: &mut impl FnMut(u32)) -> f64 {
    let start = Instant::now();
    body(calls);
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Runs a program to its end, without output.
///
/// # Panics
/// If it cannot be started, or fails.
pub fn start_to_exit(program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{program} {arguments:?}: {status:?}"
    );
}

/// The reference for what takes as long as processes do.
pub const EMPTY_PROCESS: &str = "the command `true`, start to exit";

/// Prints the two lines of a result. `aim` says in words what is to be reached.
pub fn report(what: &str, reference: &str, comparison: &Comparison, aim: &str) {
    let line = |name: &str, times: Times| {
        println!(
            "{name:<56} {:>12} {:>12}",
            with_unit(times.median),
            with_unit(times.shortest)
        );
    };
    println!("{:<56} {:>12} {:>12}", "", "median", "shortest");
    line(what, comparison.measured);
    line(reference, comparison.reference);
    println!(
        "{:<56} {:>12.2} {:>12.2}",
        format!("ratio (aim: {aim})"),
        comparison.ratio(),
        comparison.shortest_ratio()
    );
}

fn with_unit(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 {
        format!("{nanoseconds:.2} ns")
    } else if nanoseconds < 10_000_000.0 {
        format!("{:.1} us", nanoseconds / 1e3)
    } else {
        format!("{:.2} ms", nanoseconds / 1e6)
    }
}
