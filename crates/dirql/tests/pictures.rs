//! What traces and drawings of real runs show.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

fn dirql(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The command that shows a zoo driver's finding again, and its switches.
fn found(driver: &str) -> (Vec<String>, usize) {
    let explored = dirql(&[
        "explore",
        &format!("zoo/{driver}/{driver}.sys"),
        "--format",
        "json",
    ]);
    let result: Value = serde_json::from_slice(&explored.stdout).unwrap();
    let found = &result["discoveries"][0];
    let words = found["replay"].as_str().unwrap().split(' ').skip(1);
    (
        words.map(Into::into).collect(),
        found["switches"].as_u64().unwrap() as usize,
    )
}

/// The events of a run that is replayed with a trace.
fn traced(test: &str, driver: &str) -> (Vec<Value>, usize) {
    let (command, switches) = found(driver);
    let trace = file(&format!("{test}.jsonl"));
    let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
    let path = trace.display().to_string();
    words.extend(["--trace", &path]);
    assert_eq!(dirql(&words).status.code(), Some(1));
    let text = std::fs::read_to_string(&trace).unwrap();
    let lines = text.lines().skip(1);
    (
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        switches,
    )
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["event"] == kind)
        .collect()
}

#[test]
fn a_replayed_run_shows_each_switch_and_both_places() {
    let (events, switches) = traced("places", "isr-takes-lock");
    assert_eq!(of_kind(&events, "switch").len(), switches);
    let arrival = &of_kind(&events, "switch")[1];
    assert_eq!(arrival["choice"], "arrival");
    assert!(
        arrival["at"].as_str().unwrap().contains("!ZooRead+"),
        "{arrival}"
    );
    let [finding] = of_kind(&events, "finding")[..] else {
        panic!("one finding")
    };
    assert!(
        finding["place"]["at"]
            .as_str()
            .unwrap()
            .contains("!ZooIsr+")
    );
    assert!(
        finding["earlier"]["at"]
            .as_str()
            .unwrap()
            .contains("!ZooRead+")
    );
    // The code at both places is in the trace.
    let places: Vec<&str> = events
        .iter()
        .filter_map(|line| line["place"].as_str())
        .collect();
    for place in ["place", "earlier"] {
        let at = finding[place]["at"].as_str().unwrap();
        assert!(places.contains(&at), "{at}");
    }
}

/// What is told of recorded accesses when a run is over is shown where they were.
#[test]
fn a_race_is_shown_where_the_accesses_were() {
    let (events, _) = traced("race", "lost-update-isr");
    let [finding] = of_kind(&events, "finding")[..] else {
        panic!("one finding")
    };
    assert_eq!(finding["rule"], "DQ0555");
    for (place, routine) in [("place", "!ZooCount+"), ("earlier", "!ZooIsr+")] {
        let at = finding[place]["at"].as_str().unwrap();
        assert!(at.contains(routine), "{at}");
        let known = events.iter().any(|line| line["place"] == at);
        assert!(known, "the code at {at} is in the trace");
    }
    let (command, _) = found("lost-update-isr");
    let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
    words.push("--timeline");
    let drawn = text(&dirql(&words).stdout);
    let notes = [
        "ISR lost-update-isr.sys!ZooIsr",
        "earlier: the same place is written here",
        "ISR for vector 0x60 returned TRUE",
        "FINDING DQ0555",
        "== wait_idle",
    ];
    let lines = drawn.lines().filter(|line| line.contains("  step "));
    let seen: Vec<&str> = lines
        .filter_map(|line| notes.into_iter().find(|note| line.contains(note)))
        .collect();
    assert_eq!(seen, notes, "{drawn}");
}

#[test]
fn accesses_to_devices_are_at_the_drivers_instructions() {
    let (events, _) = traced("accesses", "isr-takes-lock");
    for kind in ["device_read", "device_write"] {
        let accesses = of_kind(&events, kind);
        assert!(!accesses.is_empty(), "{kind}");
        for access in accesses {
            let at = access["at"].as_str().unwrap();
            assert!(at.starts_with("isr-takes-lock.sys!Zoo"), "{access}");
        }
    }
    let masks: Vec<bool> = of_kind(&events, "line_masked")
        .iter()
        .map(|mask| mask["masked"].as_bool().unwrap())
        .collect();
    assert_eq!(masks, [false], "connecting turns the line on");
}

#[test]
fn a_bug_check_is_in_the_trace_and_on_the_page() {
    let (events, _) = traced("stops", "isr-before-init");
    let [stop] = of_kind(&events, "bug_check")[..] else {
        panic!("one bug check")
    };
    assert!(stop["text"].as_str().unwrap().contains("(0xD1)"), "{stop}");
    let page = file("isr-before-init.html");
    let made = dirql(&[
        "report",
        &file("stops.jsonl").display().to_string(),
        "--output",
        &page.display().to_string(),
    ]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(r#""rule":"DQ0001","severity":"error""#));
    assert!(
        page.contains(r#""run":[0,0]"#),
        "the finding is tied to its run"
    );
}

#[test]
fn a_drawing_does_not_disturb_what_programs_read() {
    let sample = "samples/edu-line-based/edu-line-based.sys";
    let human = dirql(&["run", sample, "--timeline"]);
    let drawing = text(&human.stdout);
    assert!(drawing.contains("ISR EduIsr ─"), "{drawing}");
    assert!(drawing.contains("processor 0  DIRQL 6"), "{drawing}");
    let json = dirql(&["run", sample, "--timeline", "--format", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["verdict"], "clean");
    assert!(text(&json.stderr).contains("ISR EduIsr ─"));
}

#[test]
fn two_pages_of_a_run_are_the_same() {
    let sample = "samples/edu-line-based/edu-line-based.sys";
    let page = |name: &str| {
        let path = file(name);
        let ran = dirql(&["run", sample, "--report", &path.display().to_string()]);
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        std::fs::read(path).unwrap()
    };
    assert_eq!(page("one.html"), page("two.html"));
}

#[test]
fn what_is_no_trace_is_refused() {
    let path = file("wrong.jsonl");
    std::fs::write(&path, "{}\n").unwrap();
    let refused = dirql(&["report", &path.display().to_string()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("it is not a trace in JSON lines"));
}

/// Its DriverEntry ends its process behind our back.
#[test]
fn a_run_that_destroys_its_process_is_seen_as_far_as_it_came() {
    let driver = file("exit.sys");
    std::fs::copy(
        root().join("crates/dirql/tests/drivers/hostile.sys"),
        &driver,
    )
    .unwrap();
    let (driver, page) = (driver.display().to_string(), file("exit.html"));
    let ran = dirql(&[
        "run",
        &driver,
        "--timeline",
        "--report",
        &page.display().to_string(),
    ]);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(
        text(&ran.stdout).contains("processor 0  PASSIVE"),
        "{}",
        text(&ran.stdout)
    );
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("DriverEntry"),
        "the timeline has what was called last"
    );
}

/// As the one above; a trace ends with what the driver did last.
#[test]
fn a_trace_has_what_happened_until_the_process_was_destroyed() {
    // The driver does what it is called after.
    let directory = file("traced");
    std::fs::create_dir_all(&directory).unwrap();
    let driver = directory.join("exit.sys");
    std::fs::copy(
        root().join("crates/dirql/tests/drivers/hostile.sys"),
        &driver,
    )
    .unwrap();
    let (driver, trace) = (driver.display().to_string(), file("exit.jsonl"));
    let ran = dirql(&["run", &driver, "--trace", &trace.display().to_string()]);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("DriverEntry"), "{trace}");
}
