//! Each target with inputs that are always the same: enough to notice what breaks at once.
//! `DIRQL_FUZZ_INPUTS=N` runs N inputs per target in place of that, and `DIRQL_FUZZ_SECONDS=N` as
//! many as fit into so many seconds. `DIRQL_FUZZ_FIRST=N` begins with input number N.
#![expect(
    clippy::disallowed_types,
    reason = "how long it takes is what a time is asked for"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test's output says what was tried, and which input broke the target"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dirql_fuzz::generate::input;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of the samples that end so.
fn samples(extension: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(repository().join("samples"))
        .expect("the samples are here")
        .flat_map(|entry| {
            let directory = entry.expect("it can be listed").path();
            fs::read_dir(directory).into_iter().flatten()
        })
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no sample ends with .{extension}");
    let read = |path: &PathBuf| fs::read(path).expect("it can be read");
    paths.iter().map(read).collect()
}

/// What libFuzzer begins with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = repository().join("fuzz/seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the seeds are here")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| fs::read(path).expect("it can be read");
    paths.iter().map(read).collect()
}

/// The number in a variable of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

/// Says which input broke a target.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "input number {}: DIRQL_FUZZ_FIRST={0} DIRQL_FUZZ_INPUTS=1",
                self.0
            );
        }
    }
}

fn run(target: fn(&[u8]), seeds: &[Vec<u8>], usual: u64) {
    let count = number("DIRQL_FUZZ_INPUTS").unwrap_or(usual);
    let end =
        number("DIRQL_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let first = number("DIRQL_FUZZ_FIRST").unwrap_or(0);
    for seed in seeds {
        target(seed);
    }
    let mut done = 0;
    while end.map_or(done < count, |end| Instant::now() < end) {
        let named = Named(first.wrapping_add(done));
        target(&input(seeds, named.0));
        done += 1;
    }
    println!("{done} inputs from number {first} on");
}

#[test]
fn connect() {
    run(dirql_fuzz::connect, &dirql_fuzz::connect_seeds(), 300);
}

#[test]
fn connect_from_nothing() {
    run(dirql_fuzz::connect, &[], 100);
}

#[test]
fn devices() {
    run(dirql_fuzz::device, &[], 5_000);
}

#[test]
fn images() {
    run(dirql_fuzz::image, &samples("sys"), 2_000);
}

#[test]
fn infs() {
    run(dirql_fuzz::inf, &samples("inf"), 3_000);
}

#[test]
fn io_apics() {
    run(dirql_fuzz::io_apic, &[], 3_000);
}

#[test]
fn local_apics() {
    run(dirql_fuzz::local_apic, &[], 3_000);
}

#[test]
fn pics() {
    run(dirql_fuzz::pic, &[], 3_000);
}

#[test]
fn scenarios() {
    run(dirql_fuzz::scenario, &samples("toml"), 3_000);
}

#[test]
fn schedules() {
    let seeds = seeds("schedule");
    for seed in &seeds {
        let seed = String::from_utf8_lossy(seed);
        assert!(seed.parse::<dirql::Schedule>().is_ok(), "{seed}");
    }
    run(dirql_fuzz::schedule, &seeds, 5_000);
}

#[test]
fn reports() {
    let seeds = seeds("report");
    for seed in &seeds {
        assert!(serde_json::from_slice::<dirql::report::Report>(seed).is_ok());
    }
    run(dirql_fuzz::report, &seeds, 5_000);
}

#[test]
fn search_results() {
    let seeds = seeds("search_result");
    for seed in &seeds {
        assert!(dirql::report::SearchResult::from_json(seed).is_ok());
    }
    run(dirql_fuzz::search_result, &seeds, 2_000);
}

#[test]
fn traces() {
    let seeds = seeds("trace");
    for seed in &seeds {
        assert!(dirql_trace::read(&seed[..]).is_ok());
    }
    run(dirql_fuzz::trace, &seeds, 300);
}

/// What libFuzzer begins with are the inputs that the target's own tests know to come through.
#[test]
fn the_seeds_of_connect_are_files() {
    let files = ["line", "messages"].map(|name| {
        let path = repository().join("fuzz/seeds/connect").join(name);
        fs::read(path).expect("the seeds are here")
    });
    assert_eq!(files.to_vec(), dirql_fuzz::connect_seeds());
}
