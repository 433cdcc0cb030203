//! Watching driver code: what a probe that does nothing and recording cost an instruction, against
//! the same loop watched by nobody.
//!
//! The loop has five instructions a round, two of which access memory; the time of the loop in its
//! twin without probes is taken off.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::disallowed_types, reason = "measuring is what this is for")]

use std::time::Instant;

use dirql::{Bench, BenchError, Driver};
use dirql_host::{Stops, Watch};

const LOOP: &[u8] = include_bytes!("../drivers/loop.sys");

/// Rounds of the loop in a batch, and instructions of a round.
const ROUNDS: u32 = 10_000;
const INSTRUCTIONS: f64 = 5.0;

/// Batches with one computer, and computers of each kind.
const BATCHES: usize = 30;
const COMPUTERS: usize = 5;

/// Nanoseconds a round of each batch.
fn rounds(watch: Option<Watch>) -> Result<Vec<f64>, BenchError> {
    let mut builder = Bench::builder()
        .without_counters()
        .max_steps(u64::MAX)
        .driver(Driver::image("loop.sys", LOOP));
    if let Some(watch) = watch {
        builder = builder.watch(watch);
    }
    let bench = builder.build()?;
    bench.load()?;
    bench.open_as(r"\Device\Loop", "loop")?;
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        bench
            .write("loop", &ROUNDS.to_le_bytes())?
            .expect_success()?;
        batches.push(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
        drop(bench.take_accesses());
    }
    Ok(batches)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Result<(), BenchError> {
    let stops = |stops: Stops| Watch {
        record: false,
        stops,
    };
    let recording = Watch {
        record: true,
        stops: Stops::Nowhere,
    };
    let kinds = [
        ("the driver itself", None),
        ("its twin", Some(stops(Stops::Nowhere))),
        ("a probe that does nothing", Some(stops(Stops::Everywhere))),
        ("recording", Some(recording)),
    ];
    let mut times = vec![Vec::new(); kinds.len()];
    for _ in 0..COMPUTERS {
        for (times, (_, watch)) in times.iter_mut().zip(&kinds) {
            times.extend(rounds(watch.clone())?);
        }
    }
    let times: Vec<f64> = times.into_iter().map(median).collect();
    println!(
        "{:<40} {:>12} {:>20}",
        "a loop of five instructions", "ns a round", "ns an instruction"
    );
    for ((name, _), time) in kinds.iter().zip(&times) {
        let added = (time - times[1]).max(0.0) / INSTRUCTIONS;
        println!("{name:<40} {time:>12.2} {added:>20.2}");
    }
    Ok(())
}
