//! Measurements as ratios against a reference taken in the same run, since machines differ.
//!
//! `cargo bench -p dirql-benches` runs all of them. Each prints a line per measurement: what,
//! nanoseconds, its reference, and the ratio of the two.
#![expect(
    clippy::disallowed_types,
    reason = "measuring is what this crate is for"
)]
#![expect(clippy::print_stdout, reason = "the table is the result")]

pub mod scale;

use std::time::Instant;

/// Samples of which the median is taken. Odd.
const SAMPLES: usize = 31;

/// Nanoseconds that one call of `body` takes: the median of samples of `calls` each, after one
/// that does not count.
pub fn nanoseconds(calls: u32, mut body: impl FnMut()) -> f64 {
    let mut sample = || {
        let start = Instant::now();
        for _ in 0..calls {
            body();
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    sample();
    let mut samples: Vec<f64> = (0..SAMPLES).map(|_| sample()).collect();
    samples.sort_by(f64::total_cmp);
    samples[SAMPLES / 2]
}

/// One line of the result. `target` is the ratio that is aimed at, if there is one.
pub fn report(
    what: &str,
    measured_ns: f64,
    reference: &str,
    reference_ns: f64,
    target: Option<f64>,
) {
    let ratio = measured_ns / reference_ns;
    let aim = target
        .map(|target| format!("   (aim: at most {target})"))
        .unwrap_or_default();
    println!(
        "{what:<52} {measured_ns:>9.1} ns   {reference:<34} {reference_ns:>8.2} ns   x{ratio:.2}{aim}"
    );
}
