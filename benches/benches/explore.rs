//! Exploring: executions a second of "the dispatch routine and the ISR share a counter and a lock",
//! machine code of a driver, everything reset between executions, against the same model in Rust
//! under shuttle and under loom; and how many executions each strategy needs to find an update that
//! is lost after many that are not.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::disallowed_types, reason = "measuring is what this is for")]

use std::time::Instant;

use dirql::scenario::DeviceSpec;
use dirql::{Bench, BenchError, Builder, Driver, Explorer, Strategy};

#[path = "explore/models.rs"]
mod models;

const COUNTER: &[u8] = include_bytes!("../drivers/counter.sys");

/// In what is written to the driver: one update without the lock, behind the others.
const UNLOCKED: u32 = 0x1_0000;

/// Executions of a batch, and how many batches take turns.
const EXECUTIONS: u64 = 2_000;
const BATCHES: usize = 15;

/// Executions in which a lost update is looked for.
const MOST: u64 = 200_000;

/// Seeds with which it is looked for, to say how many executions that takes in the middle.
const SEARCHES: u64 = 15;

fn build() -> Result<Builder, BenchError> {
    let button = DeviceSpec::new("button0", "button").option("trigger", "edge");
    Ok(Bench::builder()
        .processors(2)
        .without_counters()
        .device(button)
        .driver(Driver::image("counter.sys", COUNTER)))
}

/// The device interrupts and a request updates the counter: with the lock `updates` times, and
/// once without it if that is wanted. Nothing may be lost.
fn test(bench: &Bench, updates: u32) -> Result<(), BenchError> {
    bench.load()?;
    bench.start("button0")?;
    bench.open("button0")?;
    bench.press("button0")?;
    bench
        .write("button0", &updates.to_le_bytes())?
        .expect_success()?;
    bench.run_until_idle()?;
    let count = bench.read("button0", 4)?.expect_success()?.data;
    let expected = 1 + (updates & 0xFFFF) + updates / UNLOCKED;
    if count == expected.to_le_bytes() {
        Ok(())
    } else {
        Err(BenchError::NoDevice("an update was lost".into()))
    }
}

/// At least so many executions, with the whole search again if it is over before; how many.
fn explore(strategy: &Strategy, least: u64) -> u64 {
    let mut executions = 0;
    while executions < least {
        let coverage = Explorer::new(strategy.clone())
            .runs(least)
            .check(build, |bench| test(bench, 1))
            .expect("nothing is lost");
        executions += coverage.runs + coverage.redundant;
    }
    executions
}

/// Executions a second of one of those that are compared.
struct Measured {
    name: &'static str,
    /// Returns how many executions it was.
    batch: Box<dyn FnMut() -> u64>,
    rates: Vec<f64>,
}

impl Measured {
    fn new(name: &'static str, batch: impl FnMut() -> u64 + 'static) -> Self {
        Self {
            name,
            batch: Box::new(batch),
            rates: Vec::new(),
        }
    }

    fn turn(&mut self) {
        let start = Instant::now();
        let executions = (self.batch)();
        self.rates
            .push(executions as f64 / start.elapsed().as_secs_f64());
    }

    fn median(&self) -> f64 {
        let mut sorted = self.rates.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

fn rates() {
    let seeds = 0..EXECUTIONS;
    let strategies = [
        (
            "dirql, random, ddi",
            Strategy::Random {
                seeds: seeds.clone(),
            },
        ),
        ("dirql, pct, ddi", Strategy::Pct { seeds, depth: 3 }),
        (
            "dirql, at most 2 switches, ddi",
            Strategy::Bounded { switches: 2 },
        ),
        ("dirql, exhaustive, ddi", Strategy::Exhaustive),
    ];
    let mut all: Vec<Measured> = strategies
        .into_iter()
        .map(|(name, strategy)| Measured::new(name, move || explore(&strategy, EXECUTIONS)))
        .collect();
    let (shuttle, loom) = (all.len(), all.len() + 2);
    let many = 10 * EXECUTIONS;
    all.push(Measured::new("shuttle, random", move || {
        models::shuttle_random(1, 0, many)
    }));
    all.push(Measured::new("shuttle, pct", move || {
        models::shuttle_pct(1, 0, many)
    }));
    all.push(Measured::new("loom", || models::loom_many(EXECUTIONS)));
    for _ in 0..BATCHES {
        for measured in &mut all {
            measured.turn();
        }
    }
    let (shuttle, loom) = (all[shuttle].median(), all[loom].median());
    println!(
        "{:<40} {:>14} {:>12} {:>12}",
        "executions", "a second", "/ shuttle", "/ loom"
    );
    for measured in &all {
        let rate = measured.median();
        println!(
            "{:<40} {:>14.0} {:>12.2} {:>12.2}",
            measured.name,
            rate,
            rate / shuttle,
            rate / loom
        );
    }
}

/// The execution that shows the lost update first.
fn needed(strategy: Strategy, locked: u32) -> Option<u64> {
    let ended = Explorer::new(strategy)
        .runs(MOST)
        .check(build, |bench| test(bench, locked | UNLOCKED));
    ended.err().map(|failed| failed.run)
}

fn print_needed(name: &str, mut found: Vec<Option<u64>>) {
    found.sort_by_key(|run| run.unwrap_or(u64::MAX));
    let middle = found[found.len() / 2];
    let text = middle.map_or_else(|| format!("more than {MOST}"), |run| run.to_string());
    println!("{name:<40} {text:>14}");
}

fn searches() {
    for locked in [20, 100] {
        println!("executions to find an update that is lost after {locked} that are not");
        let seeds = |search: u64| search * MOST..(search + 1) * MOST;
        let sampled = |strategy: &dyn Fn(std::ops::Range<u64>) -> Strategy| {
            (0..SEARCHES)
                .map(|search| needed(strategy(seeds(search)), locked))
                .collect()
        };
        print_needed(
            "dirql, random (median)",
            sampled(&|seeds| Strategy::Random { seeds }),
        );
        print_needed(
            "dirql, pct of depth 3 (median)",
            sampled(&|seeds| Strategy::Pct { seeds, depth: 3 }),
        );
        print_needed(
            "dirql, at most 2 switches",
            vec![needed(Strategy::Bounded { switches: 2 }, locked)],
        );
        print_needed(
            "dirql, exhaustive",
            vec![needed(Strategy::Exhaustive, locked)],
        );
        print_needed(
            "shuttle, random (median)",
            (0..SEARCHES)
                .map(|seed| models::shuttle_random_needs(locked, seed, MOST))
                .collect(),
        );
        print_needed(
            "shuttle, pct of depth 3 (median)",
            (0..SEARCHES)
                .map(|seed| models::shuttle_pct_needs(locked, seed, MOST))
                .collect(),
        );
        print_needed("loom", vec![models::loom_needs(locked, MOST)]);
    }
}

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| {
        only.as_deref()
            .is_none_or(|only| only == name || only == "--bench")
    };
    if wanted("rates") {
        rates();
    }
    if wanted("searches") {
        searches();
    }
}
