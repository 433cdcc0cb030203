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
    let seeds = [
        "d1-3ef56fc6-4141c1c5-2.1-9421",
        "d1-aa70e3b0-db555c7b-0.1-4.1-f130",
    ];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    run(dirql_fuzz::schedule, &seeds, 5_000);
}

#[test]
fn reports() {
    let place = r#"{"step":1,"time_100ns":0,"processor":0,"irql":2,"context":"DPC","ddi":null,
        "code":"a.sys!F+0x1 (a.c:3)","image":"a.sys","source":"a.c:3"}"#;
    let seed = format!(
        r#"{{"schema":"dirql-report/1","verdict":"findings","ended_early":"x","replay":"dirql run a.sys",
        "windows":"10","processors":1,"scenario":null,"drivers":[],"devices":[],"steps":[],"interrupts":[],
        "dpcs":0,"ddi_calls":{{"KeSetEvent":1}},"prints":["p"],"findings":[{{"rule":"DQ0104","severity":"error",
        "headline":"h","message":"m","place":{place},"earlier":{{"what":"w","place":{place}}},"help":"","source":"",
        "windows":"","stack":[{{"code":"a.sys+0x1","image":"a.sys","source":null,"interrupted":true}}]}}],
        "step_count":1,"time_100ns":0}}"#
    );
    let seed = seed.into_bytes();
    assert!(serde_json::from_slice::<dirql::report::Report>(&seed).is_ok());
    run(dirql_fuzz::report, &[seed], 5_000);
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
