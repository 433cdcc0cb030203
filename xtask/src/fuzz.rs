//! `cargo xtask fuzz`: an entry function of `dirql-fuzz` under libFuzzer, where coverage decides
//! which inputs are kept.
//!
//! The instrumentation is LLVM's own pass, which a stable compiler has too
//! (`fuzz/libfuzzer/instrument`); what is missing there is the address sanitizer. `fuzz/libfuzzer` is
//! a workspace of its own, so that nothing else needs libFuzzer and the C++ compiler that it takes.
//!
//! Building all that takes longer than a change has to wait. So a change is asked for a minute for
//! each of [`OF_CHANGE`] without coverage instead, by the tests of `dirql-fuzz`, which are there
//! already, and of inputs that the commit's name decides: each commit has others, and the same ones
//! again.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::setup;
use crate::task::Task;
use crate::tree::Tree;

/// The entry function that takes the most, and the seconds for it.
pub(crate) const USUAL: (&str, &str) = ("connect", "60");

/// Faults are ours to handle: driver code has them. What a run that ended early leaves behind is
/// memory.
const ARGUMENTS: [&str; 6] = [
    "-handle_segv=0",
    "-handle_bus=0",
    "-handle_ill=0",
    "-handle_fpe=0",
    "-rss_limit_mb=0",
    "-print_final_stats=1",
];

/// Inputs are as long as the longest seed, and at least this many bytes.
const LEAST_LENGTH: u64 = 1024;

/// The tests of what takes files and arguments from outside.
const OF_CHANGE: [&str; 8] = [
    "connect",
    "images",
    "infs",
    "reports",
    "scenarios",
    "schedules",
    "search_results",
    "traces",
];

/// Targets that begin with the samples' files of an extension, as the tests of them do.
const OF_SAMPLES: [(&str, &str); 3] = [("image", "sys"), ("inf", "inf"), ("scenario", "toml")];

/// What a change is asked for.
///
/// # Errors
/// An input breaks a target.
pub(crate) fn of_change(tree: &Tree) -> Result<()> {
    let (_, seconds) = USUAL;
    let name = Task::new("git")
        .args(["rev-parse", "HEAD"])
        .dir(tree.root())
        .output()?;
    // All of the workspace, as its tests were built: of one package, features would differ.
    Task::cargo(tree.root())
        .args(["test", "--locked", "--workspace", "--test", "inputs"])
        .args(["--", "--exact", "--nocapture"])
        .args(OF_CHANGE)
        .env("DIRQL_FUZZ_FIRST", first_input(&name)?.to_string())
        .env("DIRQL_FUZZ_SECONDS", seconds)
        .run()
}

/// The input with which a commit of this name begins.
fn first_input(commit: &str) -> Result<u64> {
    let digits = commit.get(..16).context("git named no commit")?;
    u64::from_str_radix(digits, 16)
        .with_context(|| format!("{digits} is no part of a commit's name"))
}

/// Builds the fuzzer and runs it on a target for so many seconds. What it finds is a file below
/// `target/fuzz`, and an error.
///
/// # Errors
/// Something cannot be built, the target does not exist, or an input breaks it.
pub(crate) fn run(tree: &Tree, (target, seconds): (&str, &str)) -> Result<()> {
    if seconds.parse::<u32>().is_err() {
        bail!("{seconds} is not a number of seconds");
    }
    setup::fuzzing()?;
    // The versions are the workspace's; cargo adds libFuzzer to them.
    let lock = tree.root().join("fuzz/libfuzzer/Cargo.lock");
    fs::copy(tree.root().join("Cargo.lock"), lock).context("Cargo.lock")?;
    let output = tree.target().join("fuzz");
    Task::cargo(tree.root())
        .args(["build", "--manifest-path", "fuzz/libfuzzer/Cargo.toml"])
        .arg("--target-dir")
        .arg(&output)
        .env(
            "RUSTC_WRAPPER",
            tree.root().join("fuzz/libfuzzer/instrument"),
        )
        .run()?;
    let corpus = output.join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let seeds = seeds(tree, target)?;
    let mut task = Task::new(output.join("debug/dirql-libfuzzer"))
        .args(ARGUMENTS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", longest(&seeds)?))
        .arg(format!("-artifact_prefix={}/{target}-", output.display()));
    if !seeds.is_empty() {
        let names: Vec<&OsStr> = seeds.iter().map(|path| path.as_os_str()).collect();
        let mut list = OsString::from("-seed_inputs=");
        list.push(names.join(OsStr::new(",")));
        task = task.arg(list);
    }
    task.arg(corpus).env("DIRQL_FUZZ_TARGET", target).run()
}

/// The files that a target begins with.
fn seeds(tree: &Tree, target: &str) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let own = tree.root().join("fuzz/seeds").join(target);
    if own.is_dir() {
        all.extend(files(&own)?);
    }
    if let Some((_, extension)) = OF_SAMPLES.iter().find(|(name, _)| *name == target) {
        for directory in files(&tree.root().join("samples"))? {
            if directory.is_dir() {
                all.extend(files(&directory)?);
            }
        }
        all.retain(|path| path.extension().is_some_and(|own| own == *extension));
    }
    all.sort();
    Ok(all)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("cannot list {}", directory.display()))
}

fn longest(seeds: &[PathBuf]) -> Result<u64> {
    let mut longest = LEAST_LENGTH;
    for path in seeds {
        let length = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()));
        longest = longest.max(length?.len());
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_is_asked_for_are_tests() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/tests/inputs.rs");
        let tests = fs::read_to_string(path).unwrap();
        for name in OF_CHANGE {
            let test = format!("#[test]\nfn {name}() {{");
            assert!(tests.contains(&test), "{name}");
        }
    }

    #[test]
    fn the_first_input_is_the_beginning_of_a_commits_name() {
        let name = "7fb3337000000001aaaaaaaaaaaaaaaaaaaaaaaa\n";
        assert_eq!(first_input(name).unwrap(), 0x7FB3_3370_0000_0001);
        assert!(first_input("").is_err());
        assert!(first_input("fatal: not a git repository").is_err());
    }
}
