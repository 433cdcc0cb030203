//! Scaling: how long a search takes with one job, and with two. They take turns; the ratio of the
//! medians is what a second processor is worth. Beside it the CPU time of both, whose ratio is what
//! the parts and their processes cost: on a busy machine that is all that can be measured.
#![expect(clippy::disallowed_types, reason = "measuring is what this is for")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How often each search is made.
const TURNS: usize = 5;

/// A name, a driver, and what `dirql explore` is told: searches of some seconds.
const SEARCHES: &[(&str, &str, &[&str])] = &[
    (
        "at most 4 switches",
        "samples/edu-message-based/edu-message-based.sys",
        &["--preemptions", "4"],
    ),
    (
        "random",
        "samples/edu-message-based/edu-message-based.sys",
        &["--strategy", "random", "--seeds", "0..40000"],
    ),
    (
        "pct",
        "samples/edu-message-based/edu-message-based.sys",
        &["--strategy", "pct", "--seeds", "0..40000"],
    ),
    (
        "one of each class",
        "zoo/event-initialised-late/event-initialised-late-fixed.sys",
        &[
            "--scenario",
            "zoo/event-initialised-late/event-initialised-late.toml",
            "--preemptions",
            "all",
        ],
    ),
];

/// Seconds of a search, and seconds of CPU time.
#[derive(Clone, Copy)]
struct Took {
    real: f64,
    cpu: f64,
}

fn search(program: &Path, root: &Path, driver: &str, arguments: &[&str], jobs: &str) -> Took {
    let before = cpu();
    let start = Instant::now();
    let status = Command::new(program)
        .current_dir(root)
        .args(["explore", driver, "--keep-going", "--jobs", jobs])
        .args(arguments)
        .stdout(Stdio::null())
        .status();
    let real = start.elapsed().as_secs_f64();
    let done = status.is_ok_and(|status| matches!(status.code(), Some(0 | 1)));
    assert!(done, "{driver} {arguments:?} is searched to the end");
    Took {
        real,
        cpu: cpu() - before,
    }
}

/// Seconds of CPU time of all processes that this one has waited for, and theirs. Source: proc(5),
/// /proc/pid/stat, cutime and cstime; a tick is a hundredth of a second.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the system says it");
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = behind_name.split_whitespace().skip(13).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--quiet", "--release", "--package", "dirql"])
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "dirql can be built"
    );
    // This program is in `deps` of the folder where the command is.
    let program = std::env::current_exe().expect("a program has a path");
    let program = program
        .ancestors()
        .nth(2)
        .expect("two folders up")
        .join("dirql");
    println!(
        "{:<24} {:>10} {:>10} {:>8} {:>16}",
        "search", "1 job, s", "2 jobs, s", "ratio", "CPU of 2 / of 1"
    );
    for (name, driver, arguments) in SEARCHES {
        let search = |jobs| search(&program, &root, driver, arguments, jobs);
        let (one, two): (Vec<Took>, Vec<Took>) =
            (0..TURNS).map(|_| (search("1"), search("2"))).unzip();
        let real = |took: &[Took]| median(took.iter().map(|took| took.real).collect());
        let cpu = |took: &[Took]| median(took.iter().map(|took| took.cpu).collect());
        println!(
            "{name:<24} {:>10.2} {:>10.2} {:>8.2} {:>16.2}",
            real(&one),
            real(&two),
            real(&one) / real(&two),
            cpu(&two) / cpu(&one),
        );
    }
    println!("aim: a ratio of at least 1.9");
}
