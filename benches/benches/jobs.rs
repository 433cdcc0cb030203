//! Scaling: how long a search takes with one job, and with two. They take turns; the ratio of the
//! medians is what a second processor is worth.
//!
//! A machine that is busy, or whose processors share what they work with, has no second processor
//! to give. So two searches of one job each are made at the same time, too, which have nothing to do
//! with each other: what that is worth is the most that two jobs of one search could be. The CPU
//! time of both is there for what the parts and their processes cost.
#![expect(clippy::disallowed_types, reason = "measuring is what this is for")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// How often each search is made.
const TURNS: usize = 3;

/// A name, a driver, and what `dirql explore` is told: searches of some seconds, as nobody takes a
/// second processor for less.
const SEARCHES: &[(&str, &str, &[&str])] = &[
    (
        "at most 5 switches",
        "zoo/dpc-after-free/dpc-after-free-fixed.sys",
        &[
            "--scenario",
            "zoo/dpc-after-free/dpc-after-free.toml",
            "--preemptions",
            "5",
        ],
    ),
    (
        "random",
        "samples/edu-message-based/edu-message-based.sys",
        &["--strategy", "random", "--seeds", "0..10000"],
    ),
    (
        "pct",
        "samples/edu-message-based/edu-message-based.sys",
        &["--strategy", "pct", "--seeds", "0..10000"],
    ),
    (
        "one of each class",
        "zoo/dpc-after-free/dpc-after-free-fixed.sys",
        &[
            "--scenario",
            "zoo/dpc-after-free/dpc-after-free.toml",
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

/// One search.
struct Search<'a> {
    program: &'a Path,
    root: &'a Path,
    driver: &'a str,
    arguments: &'a [&'a str],
}

impl Search<'_> {
    fn start(&self, jobs: &str) -> Child {
        let child = Command::new(self.program)
            .current_dir(self.root)
            .args(["explore", self.driver, "--keep-going", "--jobs", jobs])
            .args(self.arguments)
            .stdout(Stdio::null())
            .spawn();
        child.expect("the program can be started")
    }

    /// So many at the same time, with so many jobs each.
    fn take(&self, times: usize, jobs: &str) -> Took {
        let before = cpu();
        let start = Instant::now();
        let children: Vec<Child> = (0..times).map(|_| self.start(jobs)).collect();
        for mut child in children {
            let status = child.wait();
            let done = status.is_ok_and(|status| matches!(status.code(), Some(0 | 1)));
            assert!(done, "{} is searched to the end", self.driver);
        }
        Took {
            real: start.elapsed().as_secs_f64(),
            cpu: cpu() - before,
        }
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

/// The medians of several.
fn median(took: &[Took]) -> Took {
    let middle = |value: fn(&Took) -> f64| {
        let mut values: Vec<f64> = took.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Took {
        real: middle(|took| took.real),
        cpu: middle(|took| took.cpu),
    }
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
        "{:<20} {:>9} {:>9} {:>7} {:>16} {:>16}",
        "search", "1 job, s", "2 jobs, s", "ratio", "2 searches of 1", "CPU of 2 / of 1"
    );
    for (name, driver, arguments) in SEARCHES {
        let search = Search {
            program: &program,
            root: &root,
            driver,
            arguments,
        };
        let (mut one, mut two, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            one.push(search.take(1, "1"));
            two.push(search.take(1, "2"));
            apart.push(search.take(2, "1"));
        }
        let (one, two, apart) = (median(&one), median(&two), median(&apart));
        println!(
            "{name:<20} {:>9.2} {:>9.2} {:>7.2} {:>16.2} {:>16.2}",
            one.real,
            two.real,
            one.real / two.real,
            2.0 * one.real / apart.real,
            two.cpu / one.cpu,
        );
    }
    println!("aim: a ratio of at least 1.9");
}
