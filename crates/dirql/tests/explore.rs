//! `dirql explore`, `replay` and `merge`, as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples")
}

fn dirql(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("the command line can be started")
}

/// Standard output, standard error, exit code.
fn texts(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

fn explore(arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut all = vec!["explore"];
    all.extend(arguments);
    texts(&dirql(&samples(), &all))
}

const REARMED: &str = "../zoo/timer-rearmed/timer-rearmed.sys";
const LINE: &str = "edu-line-based/edu-line-based.sys";
const MESSAGE: &str = "edu-message-based/edu-message-based.sys";

fn schedule_of_a_finding() -> String {
    let (out, err, code) = explore(&[REARMED, "--preemptions", "1"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("needs 1 switch\n"), "{out}");
    let words = out.split_whitespace();
    let schedule = words.skip_while(|word| *word != "replay").nth(1);
    schedule.expect("the command that replays it").to_owned()
}

#[test]
fn everything_with_one_switch_is_said_to_be_complete() {
    let (out, err, code) = explore(&[MESSAGE, "--preemptions", "1"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("clean: all "), "{out}");
    assert!(out.ends_with(" interleavings, no finding\n"), "{out}");
    assert_eq!(err, "");
}

/// The sample ends a request before it counts it out, so it refuses a stop that comes between.
#[test]
fn a_driver_that_refuses_a_stop_while_it_is_busy_is_asked_again() {
    let (out, err, code) = explore(&[LINE, "--preemptions", "1"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("clean: all "), "{out}");
}

/// Everything with one switch, for a client of the parallel port.
fn port_client_is_clean(name: &str) {
    let (out, err, code) = explore(&[&format!("{name}/{name}.sys"), "--preemptions", "1"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("clean: all "), "{out}");
}

#[test]
fn a_port_client_that_receives_is_clean_in_every_order_with_one_switch() {
    port_client_is_clean("parport-reader");
}

#[test]
fn port_clients_that_compete_are_clean_in_every_order_with_one_switch() {
    port_client_is_clean("parport-rival");
}

#[test]
fn a_port_client_that_prints_is_clean_in_every_order_with_one_switch() {
    port_client_is_clean("parport-fifo");
}

/// Its timeout of 5 seconds does not end inside its ISR, however the processors take turns.
#[test]
fn a_timeout_of_seconds_does_not_end_while_the_port_is_busy() {
    let fifo = "parport-fifo/parport-fifo.sys";
    let (out, err, code) = explore(&[fifo, "--strategy", "pct", "--seeds", "0..60"]);
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn a_finding_is_replayed_from_its_string_alone() {
    let schedule = schedule_of_a_finding();
    let replay = || texts(&dirql(&samples(), &["replay", &schedule, REARMED]));
    let (out, err, code) = replay();
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("error[DQ0535]"), "{out}");
    assert!(
        out.contains(&format!("again: dirql replay {schedule} {REARMED}")),
        "{out}"
    );
    for _ in 0..20 {
        assert_eq!(replay(), (out.clone(), err.clone(), code));
    }
}

#[test]
fn a_schedule_is_refused_for_anything_else() {
    let schedule = schedule_of_a_finding();
    let refused = |arguments: &[&str]| {
        let mut all = vec!["replay"];
        all.extend(arguments);
        let (out, err, code) = texts(&dirql(&samples(), &all));
        assert_eq!(code, Some(2), "{out}{err}");
        err
    };
    assert!(refused(&[&schedule, MESSAGE]).contains("is of another driver"));
    let other = refused(&[&schedule, REARMED, "--processors", "3"]);
    assert!(
        other.contains("is of another scenario or other settings"),
        "{other}"
    );
    let version = schedule.replacen("d1-", "d9-", 1);
    assert!(refused(&[&version, REARMED]).contains("format version 9"));
    let mut damaged = schedule.clone();
    damaged.pop();
    damaged.push(if schedule.ends_with('0') { '1' } else { '0' });
    assert!(refused(&[&damaged, REARMED]).contains("is damaged"));
    assert!(refused(&["d1-nonsense", REARMED]).contains("this is no schedule"));
}

#[test]
fn the_same_search_says_the_same() {
    for strategy in ["random", "pct", "exhaustive"] {
        let arguments = [
            REARMED,
            "--strategy",
            strategy,
            "--seeds",
            "0..8",
            "--keep-going",
            "--preemptions",
            "1",
        ];
        let first = explore(&arguments);
        assert_eq!(explore(&arguments), first);
        let mut several = arguments.to_vec();
        several.extend(["--jobs", "3"]);
        let several = explore(&several);
        assert_eq!(several.2, first.2, "{}{}", several.0, several.1);
    }
}

#[test]
fn shards_merged_are_the_whole() {
    let directory = std::env::temp_dir().join(format!("dirql-explore-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let part = |name: &str, more: &[&str]| {
        let file = directory.join(name).display().to_string();
        let mut arguments = vec![
            REARMED,
            "--preemptions",
            "1",
            "--keep-going",
            "--output",
            &file,
        ];
        arguments.extend(more);
        let (out, err, code) = explore(&arguments);
        assert!(code < Some(2), "{out}{err}");
        file
    };
    let whole = part("whole.json", &[]);
    let parts: Vec<String> = (1..=4)
        .map(|shard| {
            part(
                &format!("{shard}.json"),
                &["--shard", &format!("{shard}/4")],
            )
        })
        .collect();
    let merge = |files: &[&String]| {
        let mut arguments = vec!["merge", "--format", "json"];
        arguments.extend(files.iter().map(|file| file.as_str()));
        texts(&dirql(&samples(), &arguments))
    };
    let (merged, err, code) = merge(&parts.iter().collect::<Vec<_>>());
    assert_eq!(code, Some(1), "{merged}{err}");
    assert_eq!(merged, std::fs::read_to_string(&whole).unwrap());
    let (_, err, code) = merge(&[&parts[0], &parts[0]]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("it has shard 1, which is there already"),
        "{err}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_budget_that_is_used_up_gives_no_verdict() {
    let (out, err, code) = explore(&[MESSAGE, "--preemptions", "1", "--budget", "5"]);
    assert_eq!(code, Some(4), "{out}{err}");
    assert!(
        out.contains("no verdict: 5 interleavings, no finding, and at least "),
        "{out}"
    );
}

#[test]
fn what_does_not_go_together_is_said() {
    let (_, err, code) = explore(&[REARMED, "--preemptions", "all", "--shard", "1/2"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("cannot be cut into parts"), "{err}");
}

#[test]
fn a_search_that_is_killed_again_and_again_says_what_an_undisturbed_one_says() {
    let directory = std::env::temp_dir().join(format!("dirql-resume-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let journal = directory.join("journal").display().to_string();
    let arguments = [
        REARMED,
        "--preemptions",
        "1",
        "--keep-going",
        "--jobs",
        "2",
        "--format",
        "json",
    ];
    let (whole, err, code) = explore(&arguments);
    assert_eq!(code, Some(1), "{whole}{err}");
    let resumed = [&arguments[..], &["--resume", &journal]].concat();
    let lines = || {
        let text = std::fs::read(&journal).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count()
    };
    // Each is killed when it has written one more line, or has begun to.
    for kill in 0..4 {
        let mut search = Command::new(env!("CARGO_BIN_EXE_dirql"))
            .current_dir(samples())
            .arg("explore")
            .args(&resumed)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let before = lines();
        while lines() < before + 1 + kill && search.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        search.kill().unwrap();
        search.wait().unwrap();
    }
    let done = lines();
    assert!(done > 1);
    let first = explore(&resumed);
    assert_eq!(first, (whole, err, code));
    // Nothing is left to do, and it says the same.
    let all = std::fs::read(&journal).unwrap();
    assert_eq!(explore(&resumed), first);
    assert_eq!(std::fs::read(&journal).unwrap(), all);
    std::fs::remove_dir_all(&directory).unwrap();
}
