//! `dirql audit` on every sample and every driver of the zoo: nothing is found where nothing is
//! wrong, and what was planted is found.
//!
//! Small budgets here, so that it is cheap; `DIRQL_AUDIT=usual` (or `quick`) tries as much as a
//! user does.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs when nothing else is asked for.
const RUNS: &str = "24";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `DIRQL_AUDIT` asks for, as arguments.
fn effort() -> Vec<String> {
    match std::env::var("DIRQL_AUDIT").as_deref() {
        Ok("usual") => Vec::new(),
        Ok("quick") => vec!["--quick".into()],
        _ => vec!["--budget".into(), RUNS.into()],
    }
}

fn dirql(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("the command line can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (
        text(output.stdout) + &text(output.stderr),
        output.status.code(),
    )
}

fn audit(arguments: &[&str]) -> (String, Option<i32>) {
    let effort = effort();
    let effort = effort.iter().map(String::as_str);
    let all: Vec<&str> = ["audit"]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(effort)
        .collect();
    dirql(&all)
}

/// The directories of a directory, in order.
fn names(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(directory)).expect("it is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("it can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_found_in_a_sample() {
    for name in names("samples") {
        let (out, code) = audit(&[&format!("samples/{name}/{name}.sys")]);
        assert_eq!(code, Some(0), "{name}\n{out}");
    }
}

/// Twins that have another mistake besides the one that was put right, and the rule under which
/// the audit finds it: their scenarios never come there.
const OTHER_MISTAKES: [(&str, &str); 7] = [
    // A number from the application is an index, unchecked.
    ("acknowledge-all", "DQ0001"),
    // Requests that wait for the device cannot be cancelled.
    ("armed-late", "DQ0460"),
    ("missed-wakeup", "DQ0460"),
    ("timeout-and-completion", "DQ0460"),
    // What no request has taken is not freed when the device is removed.
    ("empty-list", "DQ0150"),
    ("reference-count", "DQ0150"),
    // A second interrupt queues the work item while it is queued.
    ("work-item-after-free", "DQ0216"),
];

#[test]
fn nothing_is_found_in_what_was_put_right() {
    for name in names("zoo") {
        let scenario = format!("zoo/{name}/{name}.toml");
        let twin = format!("zoo/{name}/{name}-fixed.sys");
        let (out, code) = audit(&[&twin, "--scenario", &scenario]);
        let other = OTHER_MISTAKES.iter().find(|(twin, _)| *twin == name);
        match other {
            None => assert_eq!(code, Some(0), "{name}\n{out}"),
            Some((_, rule)) => {
                assert_eq!(code, Some(1), "{name}\n{out}");
                assert!(out.contains(&format!("[{rule}]")), "{name}\n{out}");
            }
        }
    }
}

#[test]
fn what_was_planted_is_found_with_its_functions_and_shown_again() {
    for (name, rule, function, runs) in [
        ("isr-before-init", "DQ0001", "!ZooIsr", "120"),
        ("lock-inversion", "DQ0490", "!ZooWrite", RUNS),
        ("synchronize-inversion", "DQ0490", "!ZooWrite", RUNS),
    ] {
        let image = format!("zoo/{name}/{name}.sys");
        let (out, code) = dirql(&["audit", &image, "--budget", runs]);
        assert_eq!(code, Some(1), "{name}\n{out}");
        let found = out
            .split("\n\n")
            .find(|part| part.contains(&format!("[{rule}]")) && part.contains(function));
        let found = found.unwrap_or_else(|| panic!("{name}\n{out}"));
        let again = found
            .split("again: dirql ")
            .nth(1)
            .expect("the command that shows it again");
        let words: Vec<&str> = again.split_whitespace().collect();
        let (first, code) = dirql(&words);
        assert_eq!(code, Some(1), "{name}\n{first}");
        assert!(first.contains(&format!("[{rule}]")), "{name}\n{first}");
        assert_eq!(dirql(&words), (first, code));
    }
}

#[test]
fn workers_make_no_difference() {
    let image = "zoo/lock-inversion/lock-inversion.sys";
    let run = |jobs| dirql(&["audit", image, "--budget", "24", "--jobs", jobs]);
    assert_eq!(run("1"), run("3"));
}

#[test]
fn a_driver_without_a_description_of_its_hardware_is_audited() {
    let directory = std::env::temp_dir().join(format!("dirql-audit-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let image = directory.join("unknown.sys");
    std::fs::copy(root().join("zoo/torn-read/torn-read-fixed.sys"), &image).expect("a copy");
    let (out, code) = dirql(&["audit", &image.display().to_string(), "--budget", "24"]);
    std::fs::remove_dir_all(&directory).expect("it is there");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("device device0 (hostile)"), "{out}");
}

#[test]
fn a_trial_that_is_none_is_a_usage_error() {
    let image = "samples/edu-line-based/edu-line-based.sys";
    let (out, code) = dirql(&["audit", image, "--trial", "spurius=3"]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("`spurius=3` is no part of a trial"), "{out}");
}

#[test]
fn a_trial_can_be_looked_at() {
    let image = "samples/edu-line-based/edu-line-based.sys";
    let trial = ["audit", image, "--trial", "life,spurious=40"];
    let (out, code) = dirql(&[&trial[..], &["--timeline"]].concat());
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("ISR for vector 0x60 returned FALSE"), "{out}");
    let (out, code) = dirql(&[&trial[..], &["--trace", "-"]].concat());
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("thread 0: start edu0"), "{out}");
    let (out, code) = dirql(&["audit", image, "--timeline"]);
    assert_eq!(code, Some(2), "{out}");
}
