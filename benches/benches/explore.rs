//! Exploring: executions per second of processor time of "the dispatch routine and the ISR share a
//! counter and a lock", machine code of a driver, everything reset between executions, against the
//! same model in Rust under shuttle and under loom; and how many executions each strategy needs to
//! find an update that is lost after many that are not.
//!
//! # What is in an execution
//! - Here: the computer is put back. The interrupt is on its way from the device; the driver's
//!   dispatch routine has the request, takes the interrupt's lock, counts, drops the lock, and
//!   returns; the interrupt arrives at one of the moments at which it can, and the ISR, which the
//!   kernel calls with the lock held, counts. All rules are on. When nothing more can happen the
//!   counter is read: an update that is lost is an error.
//! - There: both threads are made, and each takes the lock, counts and drops it. One is joined. The
//!   counter is read: an update that is lost is a failed assertion.
//! - In neither: what comes before the first choice. The driver is loaded and started once, and the
//!   request with its buffers is made once; an execution begins where they first differ. What comes
//!   after the check is in neither either: the request stays with the driver. The row "completed too"
//!   has the driver complete it, and the I/O manager take it back and wake who waits for it.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(unsafe_code, reason = "asks Linux for processor time")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use dirql::scenario::DeviceSpec;
use dirql::{Bench, BenchError, Builder, Driver, Explorer, Strategy};
use dirql_chips::Stimulus;
use dirql_host::{MemoryAccess, Stops, Watch};
use dirql_kernel::io::RequestKind;
use dirql_kernel::{DriverPtr, Kernel};
use dirql_rules::Context;

#[path = "explore/models.rs"]
mod models;

use models::Needs;

#[global_allocator]
static ALLOCATOR: dirql::Arena = dirql::Arena;

const COUNTER: &[u8] = include_bytes!("../drivers/counter.sys");

/// In what is written to the driver: one update without the lock, behind the others.
const UNLOCKED: u32 = 0x1_0000;

/// In what is written to the driver: it keeps the request, which is still under way at the end of a run.
const STAYS: u32 = 0x2_0000;

/// One update with the lock by the dispatch routine, and nothing else.
const ONE: u32 = 1 | STAYS;

/// Asks the driver where its counter is.
const PLACE: RequestKind = RequestKind::Read {
    length: 8,
    offset: 0,
};

/// Executions of a batch, so many that to begin a search is little beside them, and how many batches
/// take turns.
const EXECUTIONS: u64 = 400_000;
const BATCHES: usize = 15;

/// Executions of a batch of loom's, which begins one search after the other anyway.
const OF_LOOM: u64 = 10_000;

/// Executions of a batch of what takes longer.
const FEW: u64 = 1_000;

/// Updates with the lock before the one that is lost.
const LOCKED: [u32; 2] = [20, 100];

/// Executions in which a lost update is looked for.
const MOST: u64 = 200_000;

/// How long it is looked for with one strategy; a search that has begun before goes on for as long
/// again at most.
const CELL: Duration = Duration::from_secs(4);

/// Executions that show how long one takes.
const PROBE: u64 = 300;

/// Seeds with which it is looked for, to say how many executions that takes in the middle.
const SEARCHES: u64 = 15;

/// Updates with which everything is tried, so that a search is long beside its set-up.
const EVERYTHING: u32 = 20;

/// The instructions of the driver at which the ISR and the dispatch routine meet in memory.
static MEETING: OnceLock<BTreeSet<u64>> = OnceLock::new();

fn build() -> Result<Builder, BenchError> {
    let button = DeviceSpec::new("button0", "button").option("trigger", "edge");
    Ok(Bench::builder()
        .processors(2)
        .without_counters()
        .explored_later()
        .device(button)
        .driver(Driver::image("counter.sys", COUNTER)))
}

/// As [`build`], with points before the instructions at which contexts meet too.
fn build_for_access() -> Result<Builder, BenchError> {
    let stops = MEETING.get().cloned().unwrap_or_default();
    Ok(build()?.watch(Watch {
        record: false,
        stops: Stops::At(stops),
    }))
}

/// What [`MEETING`] is, from a run that is recorded.
fn meeting() -> Result<BTreeSet<u64>, BenchError> {
    let recording = Watch {
        record: true,
        stops: Stops::Nowhere,
    };
    let bench = build()?.watch(recording).build()?;
    test::<ONE>(&bench)?;
    let accesses = bench.take_accesses();
    let is_isr = |access: &&MemoryAccess| matches!(access.context, Context::Isr(_));
    let of_isr: BTreeSet<u64> = accesses
        .iter()
        .filter(is_isr)
        .map(|access| access.address)
        .collect();
    let of_request = |access: &&MemoryAccess| !is_isr(access) && of_isr.contains(&access.address);
    let both: BTreeSet<u64> = accesses
        .iter()
        .filter(of_request)
        .map(|access| access.address)
        .collect();
    let meets = |access: &&MemoryAccess| both.contains(&access.address);
    Ok(accesses
        .iter()
        .filter(meets)
        .map(|access| access.instruction)
        .collect())
}

/// The device interrupts and a request updates the counter: with the lock as often as `UPDATES` says
/// in its low 16 bits, and once without it if that is wanted. Nothing may be lost.
///
/// All that is asked of the driver is asked by one thread, so that a run is about the interrupt and
/// the driver and not about threads that ask.
fn test<const UPDATES: u32>(bench: &Bench) -> Result<(), BenchError> {
    bench.load()?;
    bench.start("button0")?;
    bench.open("button0")?;
    let (device, file) = (bench.device_id("button0")?, bench.file("button0")?);
    let written = |updates: u32| RequestKind::Write {
        data: updates.to_le_bytes().into(),
        offset: 0,
    };
    let prepare = move |kernel: &Kernel| {
        // What is used for the first time costs memory that a run would have to give back.
        kernel.request(file, &written(1))?;
        let place = kernel.request(file, &PLACE)?.data;
        let place = place.try_into().map(u64::from_le_bytes);
        let counter = DriverPtr::<u32>::new(place.unwrap_or_default());
        let before = kernel.read(counter)?;
        let request = kernel.prepare_request(file, &written(UPDATES))?;
        Ok((counter, before, request))
    };
    let explored = move |kernel: &Kernel, (counter, before, request)| {
        kernel.stimulate(device, &Stimulus::Press);
        Ok((counter, before, kernel.send_prepared(request)?))
    };
    bench.explore_on_kernel_thread(prepare, explored, |kernel, (counter, before, request)| {
        let counted = kernel.read(counter)?;
        let expected = before + 1 + (UPDATES & 0xFFFF) + UPDATES / UNLOCKED % 2;
        let is_done = UPDATES & STAYS == 0;
        let is_right = counted == expected && kernel.request_is_done(request) == is_done;
        Ok(is_right.then_some(()).ok_or_else(lost))
    })
}

fn lost() -> BenchError {
    BenchError::Check("an update was lost".into())
}

/// At least so many executions, with the whole search again if it is over before; how many.
fn explore(
    strategy: &Strategy,
    least: u64,
    build: fn() -> Result<Builder, BenchError>,
    test: fn(&Bench) -> Result<(), BenchError>,
) -> u64 {
    let mut executions = 0;
    while executions < least {
        let coverage = Explorer::new(strategy.clone())
            .runs(least)
            .check_functions(build, test)
            .expect("nothing is lost");
        executions += coverage.runs + coverage.redundant;
    }
    executions
}

/// As many executions at random.
fn explore_random(
    build: fn() -> Result<Builder, BenchError>,
    test: fn(&Bench) -> Result<(), BenchError>,
) -> u64 {
    let seeds = 0..EXECUTIONS;
    explore(&Strategy::Random { seeds }, EXECUTIONS, build, test)
}

/// What is compared: its name, and at least so many executions of it; how many.
type Batch = (&'static str, fn() -> u64);

const BATCHES_OF: &[Batch] = &[
    ("dirql, random, ddi", || explore_random(build, test::<ONE>)),
    ("dirql, random, ddi, completed too", || {
        explore_random(build, test::<1>)
    }),
    ("dirql, random, access", || {
        let met = MEETING.get_or_init(|| meeting().expect("the driver runs"));
        assert!(!met.is_empty(), "the ISR and the request share a counter");
        explore_random(build_for_access, test::<ONE>)
    }),
    ("dirql, pct, ddi", || {
        let seeds = 0..EXECUTIONS;
        let strategy = Strategy::Pct { seeds, depth: 3 };
        explore(&strategy, EXECUTIONS, build, test::<ONE>)
    }),
    ("dirql, at most 2 switches, set-up too", || {
        let strategy = Strategy::Bounded { switches: 2 };
        explore(&strategy, FEW, build, test::<ONE>)
    }),
    ("dirql, exhaustive, ddi, set-up too", || {
        explore(&Strategy::Exhaustive, FEW, build, test::<ONE>)
    }),
    ("dirql, exhaustive, ddi, 20 updates", || {
        explore(
            &Strategy::Exhaustive,
            FEW,
            build,
            test::<{ EVERYTHING | STAYS }>,
        )
    }),
    (SHUTTLE, || models::shuttle_random(1, 0, EXECUTIONS)),
    ("shuttle, pct", || models::shuttle_pct(1, 0, EXECUTIONS)),
    (LOOM, || models::loom_many(1, OF_LOOM)),
    ("shuttle, random, 20 updates", || {
        models::shuttle_random(EVERYTHING, 0, FEW)
    }),
    ("loom, 20 updates", || models::loom_many(EVERYTHING, FEW)),
];

const SHUTTLE: &str = "shuttle, random";
const LOOM: &str = "loom";

/// At the end of the names of those that are compared with each other alone.
const MANY: &str = ", 20 updates";

/// Executions a second of a batch in a process of its own: shuttle and loom have handlers of
/// signals, too. The first batch in it is not counted.
fn rate(name: &str) -> f64 {
    let program = std::env::current_exe().expect("this program has a file");
    let output = Command::new(program).args(["batch", name]).output();
    let output = output.expect("it can be started").stdout;
    let text = String::from_utf8(output).expect("a number is text");
    text.trim().parse().expect("a rate")
}

/// The rate of [`rate`], in its process.
fn batch(name: &str) {
    let (_, run) = BATCHES_OF
        .iter()
        .find(|(other, _)| *other == name)
        .expect("one of those");
    run();
    let start = processor_time();
    let executions = run();
    let took = processor_time() - start;
    println!("{}", executions as f64 / took.as_secs_f64());
}

/// How long this process has been running on processors: others that want them, too, make it
/// no longer.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock is one that every Linux has, and the place for its time is valid.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn rates() {
    let mut all: Vec<(&str, Vec<f64>)> = BATCHES_OF
        .iter()
        .map(|(name, _)| (*name, Vec::new()))
        .collect();
    for _ in 0..BATCHES {
        for (name, rates) in &mut all {
            rates.push(rate(name));
        }
    }
    let median = |name: &str| {
        let (_, rates) = all.iter().find(|(other, _)| *other == name)?;
        let mut sorted = rates.clone();
        sorted.sort_by(f64::total_cmp);
        Some(sorted[sorted.len() / 2])
    };
    println!(
        "{:<40} {:>14} {:>12} {:>12}",
        "executions", "a second", "/ shuttle", "/ loom"
    );
    for (name, _) in &all {
        let rate = median(name).unwrap_or_default();
        let many = if name.ends_with(MANY) { MANY } else { "" };
        let times = |other: &str| rate / median(&format!("{other}{many}")).unwrap_or(f64::NAN);
        println!(
            "{name:<40} {rate:>14.0} {:>12.2} {:>12.2}",
            times(SHUTTLE),
            times(LOOM)
        );
    }
}

/// The execution that shows the lost update first; or how many did not.
fn needed(strategy: Strategy, locked: u32, most: u64) -> Needs {
    let explorer = Explorer::new(strategy).runs(most);
    let ended = match locked {
        20 => explorer.check_functions(build, test::<{ 20 | UNLOCKED | STAYS }>),
        _ => explorer.check_functions(build, test::<{ 100 | UNLOCKED | STAYS }>),
    };
    match ended {
        Ok(coverage) => Err(coverage.runs + coverage.redundant),
        Err(failed) => Ok(failed.run),
    }
}

/// As many runs of a strategy as fit into the time of a cell.
fn fit(strategy: Strategy, locked: u32) -> u64 {
    let start = processor_time();
    let runs = match needed(strategy, locked, PROBE) {
        Ok(runs) | Err(runs) => runs.max(1),
    };
    let each = (processor_time() - start).as_secs_f64() / runs as f64;
    ((CELL.as_secs_f64() / each) as u64).clamp(PROBE, MOST)
}

/// Searches with one seed after the other until the time of the cell is over.
fn sampled(mut search: impl FnMut(u64) -> Needs) -> Vec<Needs> {
    let start = processor_time();
    let in_time = |_: &u64| processor_time() - start < CELL;
    (0..SEARCHES)
        .take_while(|seed| *seed == 0 || in_time(seed))
        .map(&mut search)
        .collect()
}

/// What half of the searches need at most. Where the one in the middle has found nothing, it needs
/// more than the fewest executions after which one was given up.
fn print_needed(name: &str, mut found: Vec<Needs>) {
    let given_up = found.iter().filter_map(|needs| needs.err()).min();
    found.sort_by_key(|needs| needs.unwrap_or(u64::MAX));
    let text = match (found[found.len() / 2], given_up) {
        (Ok(run), _) => run.to_string(),
        (Err(runs), least) => format!("> {}", least.unwrap_or(runs)),
    };
    println!("{name:<40} {text:>14} {:>10}", found.len());
}

/// Who is compared comes last: loom and shuttle keep handlers of signals, which dirql needs.
fn searches() {
    let head = |text: &str| println!("{text:<40} {:>14} {:>10}", "executions", "searches");
    for locked in LOCKED {
        head(&format!("lost after {locked} that are not, dirql"));
        let seeds = |search: u64| search * MOST..(search + 1) * MOST;
        let random = |search| Strategy::Random {
            seeds: seeds(search),
        };
        let pct = |search| Strategy::Pct {
            seeds: seeds(search),
            depth: 3,
        };
        let most = fit(random(SEARCHES), locked);
        let found = sampled(|search| needed(random(search), locked, most));
        print_needed("random (median)", found);
        let most = fit(pct(SEARCHES), locked);
        let found = sampled(|search| needed(pct(search), locked, most));
        print_needed("pct of depth 3 (median)", found);
        for (name, strategy) in [
            ("at most 2 switches", Strategy::Bounded { switches: 2 }),
            ("exhaustive", Strategy::Exhaustive),
        ] {
            let most = fit(strategy.clone(), locked);
            print_needed(name, vec![needed(strategy, locked, most)]);
        }
    }
    let bound = (MOST, CELL);
    for locked in LOCKED {
        head(&format!("lost after {locked} that are not, elsewhere"));
        let found = sampled(|seed| models::shuttle_random_needs(locked, seed, bound));
        print_needed("shuttle, random (median)", found);
        let found = sampled(|seed| models::shuttle_pct_needs(locked, seed, bound));
        print_needed("shuttle, pct of depth 3 (median)", found);
        print_needed("loom", vec![models::loom_needs(locked, bound)]);
    }
    println!(">: not found in so many executions, at most {MOST} or {CELL:?} for each row");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let only = arguments.next();
    if only.as_deref() == Some("batch") {
        batch(&arguments.next().unwrap_or_default());
        return;
    }
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
