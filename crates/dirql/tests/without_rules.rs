//! `--no-rules`: what happens is the same, and only what Windows itself would show is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Standard output and exit code.
fn dirql(arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dirql"));
    let output = command
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("the command line can be started");
    let out = String::from_utf8(output.stdout).expect("output is UTF-8");
    (out, output.status.code())
}

/// With rules, and without.
fn both(arguments: &[&str]) -> [(String, Option<i32>); 2] {
    [
        dirql(arguments),
        dirql(&[arguments, &["--no-rules"]].concat()),
    ]
}

/// The rules that a report in JSON says are broken.
fn rules(json: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(json).expect("the report is JSON");
    let findings = report["findings"].as_array().expect("it has findings");
    findings
        .iter()
        .map(|finding| finding["rule"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_event_of_a_driver_that_breaks_no_rule_is_the_same() {
    let samples = std::fs::read_dir(root().join("samples")).expect("there are samples");
    let mut names: Vec<String> = samples
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.is_dir() && !path.ends_with("build"))
        .map(|path| path.file_name().unwrap_or_default().display().to_string())
        .collect();
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let file = format!("samples/{name}/{name}.sys");
        let [with, without] = both(&["run", &file, "--processors", "2", "--trace", "-"]);
        assert_eq!(with.1, Some(0), "{name}");
        assert!(with.0.lines().count() > 100, "{name} has a trace");
        assert!(with == without, "{name} is another run without rules");
    }
}

#[test]
fn the_orders_of_a_driver_that_breaks_no_rule_are_the_same() {
    let driver = "samples/edu-message-based/edu-message-based.sys";
    for more in [
        &["--preemptions", "1"][..],
        &["--granularity", "access", "--preemptions", "1"],
        &["--strategy", "random", "--seeds", "0..20"],
    ] {
        let all = [&["explore", driver, "--format", "json"], more].concat();
        let [with, without] = both(&all);
        assert_eq!(with.1, Some(0), "{more:?}: {}", with.0);
        assert_eq!(with, without, "{more:?}");
    }
}

#[test]
fn a_rule_that_windows_does_not_enforce_is_not_told() {
    let driver = "crates/dirql/tests/drivers/careless.sys";
    let [with, without] = both(&["run", driver, "--format", "json"]);
    assert!(rules(&with.0).contains(&"DQ0136".into()), "{}", with.0);
    assert_eq!(without.1, Some(0), "{}", without.0);
}

#[test]
fn a_lost_update_shows_as_the_answer_that_is_wrong() {
    let folder = "zoo/lost-update-isr";
    let driver = format!("{folder}/lost-update-isr.sys");
    let scenario = format!("{folder}/lost-update-isr.toml");
    let arguments = [
        "explore",
        &driver,
        "--scenario",
        &scenario,
        "--granularity",
        "access",
        "--format",
        "json",
    ];
    let found = both(&arguments).map(|(out, code)| {
        assert_eq!(code, Some(1), "{out}");
        out
    });
    assert!(found[0].contains("DQ0555"), "{}", found[0]);
    assert!(!found[1].contains("DQ0555"), "{}", found[1]);
    assert!(found[1].contains("DQ0180"), "{}", found[1]);
}

#[test]
fn a_deadlock_is_told_and_the_order_of_locks_is_not() {
    let folder = "zoo/lock-inversion";
    let driver = format!("{folder}/lock-inversion.sys");
    let scenario = format!("{folder}/lock-inversion.toml");
    let arguments = [
        "explore",
        &driver,
        "--scenario",
        &scenario,
        "--keep-going",
        "--preemptions",
        "1",
        "--format",
        "json",
    ];
    let [with, without] = both(&arguments);
    assert_eq!((with.1, without.1), (Some(1), Some(1)));
    assert!(with.0.contains("DQ0111"), "{}", with.0);
    assert!(without.0.contains("DQ0111"), "{}", without.0);
    let order = "DQ0490";
    assert!(with.0.contains(order), "{}", with.0);
    assert!(!without.0.contains(order), "{}", without.0);
}

#[test]
fn the_command_that_shows_it_again_says_so() {
    let folder = "zoo/lock-inversion";
    let driver = format!("{folder}/lock-inversion.sys");
    let scenario = format!("{folder}/lock-inversion.toml");
    let (out, code) = dirql(&["explore", &driver, "--scenario", &scenario, "--no-rules"]);
    assert_eq!(code, Some(1), "{out}");
    let again = out.lines().find(|line| line.contains("dirql replay"));
    let (_, again) = again
        .and_then(|line| line.split_once("dirql "))
        .expect("a command");
    assert!(again.contains("--no-rules"), "{again}");
    let words: Vec<&str> = again.split(' ').collect();
    let (shown, code) = dirql(&words);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("DQ0111"), "{shown}");
}
