//! Each target with inputs that are always the same: enough to notice what breaks at once.
//! `DIRQL_FUZZ_INPUTS=N` runs N inputs per target in place of that.

use std::fs;
use std::path::{Path, PathBuf};

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

fn run(target: fn(&[u8]), seeds: &[Vec<u8>], count: u64) {
    let count = match std::env::var("DIRQL_FUZZ_INPUTS") {
        Ok(text) => text.parse().expect("DIRQL_FUZZ_INPUTS is a number"),
        Err(_) => count,
    };
    for seed in seeds {
        target(seed);
    }
    for number in 0..count {
        target(&input(seeds, number));
    }
}

#[test]
fn connect() {
    run(dirql_fuzz::connect, &dirql_fuzz::connect_seeds(), 300);
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

/// What libFuzzer begins with are the inputs that the target's own tests know to come through.
#[test]
fn the_seeds_of_connect_are_files() {
    let files = ["line", "messages"].map(|name| {
        let path = repository().join("fuzz/seeds/connect").join(name);
        fs::read(path).expect("the seeds are here")
    });
    assert_eq!(files.to_vec(), dirql_fuzz::connect_seeds());
}
