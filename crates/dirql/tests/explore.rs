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
/// All of its orders are few.
const ARMED: &str = "../zoo/armed-late/armed-late.sys";
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

/// By itself a search has as many switches as give few orders, and all of them if everything is asked
/// for.
#[test]
fn few_orders_are_tried_with_one_switch_more() {
    let few = "../zoo/isr-takes-lock/isr-takes-lock-fixed.sys";
    let few_scenario = "../zoo/isr-takes-lock/isr-takes-lock.toml";
    let many = "../zoo/work-item-after-free/work-item-after-free-fixed.sys";
    let many_scenario = "../zoo/work-item-after-free/work-item-after-free.toml";
    let head = |driver: &str, scenario: &str, more: &[&str]| {
        let (text, ..) =
            explore(&[&[driver, "--scenario", scenario, "--budget", "1"], more].concat());
        text.lines().next().unwrap_or_default().to_owned()
    };
    assert!(head(few, few_scenario, &[]).contains(": exhaustive, at most 3 switches,"));
    assert!(head(many, many_scenario, &[]).contains(": exhaustive, at most 2 switches,"));
    let everything = ["--strategy", "exhaustive"];
    assert!(head(few, few_scenario, &everything).contains(": exhaustive, granularity"));
    let bounded = ["--strategy", "exhaustive", "--preemptions", "1"];
    assert!(head(few, few_scenario, &bounded).contains(": exhaustive, at most 1 switch,"));
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

/// Without the number of runs that repeat others: pieces do not know of each other.
fn without_redundant(json: &str) -> String {
    let lines = json.lines().filter(|line| !line.contains("\"redundant\":"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A search with these arguments as a whole, and in four shards that are merged.
fn shards_are_the_whole(name: &str, search: &[&str]) {
    let directory = format!("dirql-explore-{name}-{}", std::process::id());
    let directory = std::env::temp_dir().join(directory);
    std::fs::create_dir_all(&directory).unwrap();
    let part = |name: &str, more: &[&str]| {
        let file = directory.join(name).display().to_string();
        let mut arguments = search.to_vec();
        arguments.extend(["--keep-going", "--output", &file]);
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
    let whole = std::fs::read_to_string(&whole).unwrap();
    assert!(whole.contains("\"complete\": true"), "{whole}");
    assert_eq!(without_redundant(&merged), without_redundant(&whole));
    let (_, err, code) = merge(&[&parts[0], &parts[0]]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("it has shard 1, which is there already"),
        "{err}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn shards_merged_are_the_whole() {
    shards_are_the_whole("few", &[REARMED, "--preemptions", "1"]);
}

#[test]
fn shards_of_everything_merged_are_the_whole() {
    shards_are_the_whole("all", &[ARMED, "--preemptions", "all"]);
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

/// Runs that repeat others count for a budget, and not as interleavings.
#[test]
fn a_budget_that_is_used_up_by_runs_that_repeat_others_gives_no_verdict() {
    let fixed = ARMED.replace(".sys", "-fixed.sys");
    let scenario = ARMED.replace(".sys", ".toml");
    let (out, err, code) = explore(&[
        &fixed,
        "--scenario",
        &scenario,
        "--preemptions",
        "all",
        "--budget",
        "150",
    ]);
    assert!(out.contains("repeated what others had done"), "{out}{err}");
    assert_eq!(code, Some(4), "{out}{err}");
}

/// A search with these arguments says the same if it is killed again and again.
fn killed_again_and_again(name: &str, kills: usize, search: &[&str]) {
    let directory = format!("dirql-resume-{name}-{}", std::process::id());
    let directory = std::env::temp_dir().join(directory);
    std::fs::create_dir_all(&directory).unwrap();
    let journal = directory.join("journal").display().to_string();
    let more = ["--keep-going", "--jobs", "2", "--format", "json"];
    let arguments = [search, &more].concat();
    let (whole, err, code) = explore(&arguments);
    assert_eq!(code, Some(1), "{whole}{err}");
    let resumed = [&arguments[..], &["--resume", &journal]].concat();
    let lines = || {
        let text = std::fs::read(&journal).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count()
    };
    // Each is killed when it has written one more line, or has begun to.
    for kill in 0..kills {
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
    assert_eq!(without_redundant(&first.0), without_redundant(&whole));
    assert_eq!((&first.1, first.2), (&err, code));
    // Nothing is left to do, and it says the same.
    let all = std::fs::read(&journal).unwrap();
    assert_eq!(explore(&resumed), first);
    assert_eq!(std::fs::read(&journal).unwrap(), all);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_search_that_is_killed_again_and_again_says_what_an_undisturbed_one_says() {
    killed_again_and_again("few", 4, &[REARMED, "--preemptions", "1"]);
}

#[test]
fn a_search_of_everything_that_is_killed_says_what_an_undisturbed_one_says() {
    killed_again_and_again("all", 2, &[ARMED, "--preemptions", "all"]);
}

/// The first part that finds something is the last one that counts, whoever is done first.
#[test]
fn the_number_of_workers_makes_no_difference() {
    let search = |jobs| {
        let common = [ARMED, "--preemptions", "all", "--format", "json"];
        explore(&[&common[..], &["--jobs", jobs]].concat())
    };
    let two = search("2");
    assert_eq!(two.2, Some(1), "{}{}", two.0, two.1);
    assert_eq!(search("3"), two);
}

/// A scenario that says which part of it is explored has fewer orders, and shows in them what it
/// shows as a whole if that is there.
#[test]
fn a_scenario_says_which_part_of_it_is_explored() {
    let whole = samples().join("../zoo/armed-late/armed-late.toml");
    let whole = std::fs::read_to_string(whole).unwrap();
    let image = samples().join("../zoo/armed-late/armed-late.sys");
    let image = image.canonicalize().unwrap().display().to_string();
    let whole = whole.replace("armed-late.sys", &image);
    let write = "  { write = \"edu0\", data = \"0300 0000\" },\n";
    let open = "  { open = \"edu0\" },\n";
    let (from, until) = (
        "  { explore = \"from_here\" },\n",
        "  { explore = \"until_here\" },\n",
    );
    let part = |explored: String| {
        let name = format!("dirql-part-{}.toml", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, explored).unwrap();
        let file_name = file.display().to_string();
        let (out, err, code) = explore(&[
            "--scenario",
            &file_name,
            &image,
            "--preemptions",
            "1",
            "--keep-going",
            "--format",
            "json",
        ]);
        std::fs::remove_file(&file).unwrap();
        assert!(code < Some(2), "{out}{err}");
        let runs = out.lines().find(|line| line.contains("\"runs\":"));
        let runs = runs.unwrap().trim_matches(|c: char| !c.is_ascii_digit());
        (runs.parse::<u64>().unwrap(), code)
    };
    let (all, found) = part(whole.clone());
    assert_eq!(found, Some(1));
    let the_write = whole.replace(write, &format!("{from}{write}{until}"));
    let (runs, found) = part(the_write);
    assert!(runs < all, "{runs} of {all}");
    assert_eq!(found, Some(1), "the mistake is in the write");
    let before = whole.replace(open, &format!("{from}{open}{until}"));
    let (runs, found) = part(before);
    assert!(runs < all, "{runs} of {all}");
    assert_eq!(found, Some(0), "the mistake comes later");
}
