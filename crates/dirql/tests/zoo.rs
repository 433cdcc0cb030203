//! The drivers of the zoo: each mistake is found, and each twin is clean.

use std::path::{Path, PathBuf};
use std::process::Command;

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../zoo")
}

fn dirql(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(zoo())
        .args(arguments)
        .output()
        .expect("the command line can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (
        text(output.stdout) + &text(output.stderr),
        output.status.code(),
    )
}

/// What is said about a finding under `rule`, to the command that shows it again.
fn about<'a>(out: &'a str, rule: &str) -> &'a str {
    let start = out.find(&format!("[{rule}]"));
    let rest = &out[start.unwrap_or_else(|| panic!("{rule} is found: {out}"))..];
    let again = rest.find("again: ").expect("how to see it again");
    let end = rest[again..].find('\n').expect("a whole line");
    &rest[..again + end]
}

/// The mistake is found under `rule` and needs `switches`; the string that is printed shows it
/// again, and again the same; the twin is clean.
///
/// What is found at granularity `access` cannot be seen at `ddi`, which says so.
fn check(name: &str, rule: &str, switches: usize, granularity: &str) {
    let image = format!("{name}/{name}.sys");
    let scenario = format!("{name}/{name}.toml");
    let granularity = ["--granularity", granularity];
    if granularity[1] == "access" {
        let (out, code) = dirql(&["explore", &image, "--preemptions", "1"]);
        assert!(
            code < Some(2) && !out.contains(&format!("[{rule}]")),
            "{out}"
        );
    }
    let (out, code) = dirql(&["explore", &image, granularity[0], granularity[1]]);
    assert_eq!(code, Some(1), "{out}");
    let finding = about(&out, rule);
    let needs = match switches {
        0 => "needs no switch".into(),
        1 => "needs 1 switch\n".into(),
        _ => format!("needs {switches} switches\n"),
    };
    assert!(finding.contains(&needs), "{finding}");

    let mut words = finding.split_whitespace();
    let schedule = words
        .find(|word| word.starts_with("d1-"))
        .expect("a schedule");
    let replay = ["replay", schedule, &image, "--scenario", &scenario];
    let first = dirql(&replay);
    assert_eq!(first.1, Some(1), "{}", first.0);
    assert!(first.0.contains(&format!("[{rule}]")), "{}", first.0);
    for _ in 0..3 {
        assert_eq!(dirql(&replay), first);
    }

    let twin = format!("{name}/{name}-fixed.sys");
    let explore = [
        "explore",
        &twin,
        "--scenario",
        &scenario,
        granularity[0],
        granularity[1],
    ];
    let all = |more: &[&str]| dirql(&[&explore[..], more].concat());
    let (out, code) = all(&["--preemptions", "1"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("clean: all "), "{out}");
    // Those with few orders are done with two switches, too.
    let (out, code) = all(&["--preemptions", "2", "--budget", "120"]);
    assert!(code == Some(0) || code == Some(4), "{out}");
}

/// What is wrong with memory is told from an order in which nothing went wrong, before any search.
#[track_caller]
fn told_by_itself(name: &str, rule: &str) {
    let image = format!("{name}/{name}.sys");
    let (out, code) = dirql(&["explore", &image, "--preemptions", "0"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(!out.contains("[DQ0180]"), "{out}");
    let finding = about(&out, rule);
    let mut words = finding.split_whitespace();
    let schedule = words.find(|word| word.starts_with("d1-"));
    let scenario = format!("{name}/{name}.toml");
    let schedule = schedule.expect("a schedule");
    let (out, code) = dirql(&["replay", schedule, &image, "--scenario", &scenario]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains(&format!("[{rule}]")), "{out}");
}

#[test]
fn lost_updates_are_told_without_the_order_in_which_they_happen() {
    told_by_itself("lost-update-dpc", "DQ0555");
    told_by_itself("lost-update-isr", "DQ0555");
    told_by_itself("lost-update-plain", "DQ0555");
    told_by_itself("lost-update-threads", "DQ0555");
    told_by_itself("wrong-lock", "DQ0555");
}

#[test]
fn a_test_before_setting_is_told_without_the_order_in_which_it_goes_wrong() {
    told_by_itself("busy-flag", "DQ0556");
    told_by_itself("two-starts", "DQ0556");
}

#[test]
fn words_read_apart_are_told_without_the_order_in_which_they_are_torn() {
    told_by_itself("torn-read", "DQ0557");
}

macro_rules! zoo {
    ($($test:ident: $name:literal, $rule:literal, $switches:literal, $granularity:literal;)*) => {
        $(#[test] fn $test() { check($name, $rule, $switches, $granularity); })*

        #[test]
        fn every_driver_of_the_zoo_is_checked() {
            let entries = std::fs::read_dir(zoo()).expect("the zoo is there");
            let mut found: Vec<String> = entries
                .map(|entry| entry.expect("it can be listed"))
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            found.sort();
            assert_eq!(found, [$($name),*]);
        }
    };
}

zoo! {
    acknowledge_all: "acknowledge-all", "DQ0180", 1, "ddi";
    allocated_twice: "allocated-twice", "DQ0150", 1, "ddi";
    armed_late: "armed-late", "DQ0180", 1, "ddi";
    busy_flag: "busy-flag", "DQ0180", 2, "ddi";
    cancel_and_drain: "cancel-and-drain", "DQ0579", 2, "ddi";
    dpc_after_free: "dpc-after-free", "DQ0535", 0, "ddi";
    dpc_arguments: "dpc-arguments", "DQ0143", 1, "ddi";
    dpc_initialised_again: "dpc-initialised-again", "DQ0140", 1, "ddi";
    dpc_on_two_processors: "dpc-on-two-processors", "DQ0180", 1, "ddi";
    empty_list: "empty-list", "DQ0151", 1, "ddi";
    event_initialised_late: "event-initialised-late", "DQ0180", 1, "ddi";
    index_of_gone: "index-of-gone", "DQ0301", 2, "ddi";
    initialised_twice: "initialised-twice", "DQ0180", 1, "access";
    interrupt_after_disconnect: "interrupt-after-disconnect", "DQ0001", 1, "ddi";
    isr_before_init: "isr-before-init", "DQ0001", 1, "ddi";
    isr_takes_lock: "isr-takes-lock", "DQ0110", 2, "ddi";
    list_reused: "list-reused", "DQ0180", 1, "access";
    lock_inversion: "lock-inversion", "DQ0490", 0, "ddi";
    lost_update_dpc: "lost-update-dpc", "DQ0180", 2, "ddi";
    lost_update_isr: "lost-update-isr", "DQ0180", 2, "ddi";
    lost_update_plain: "lost-update-plain", "DQ0180", 1, "access";
    lost_update_threads: "lost-update-threads", "DQ0180", 1, "ddi";
    missed_wakeup: "missed-wakeup", "DQ0180", 1, "ddi";
    reference_count: "reference-count", "DQ0151", 1, "ddi";
    reference_plain: "reference-plain", "DQ0180", 2, "access";
    remove_queue_dpc: "remove-queue-dpc", "DQ0585", 2, "ddi";
    ring_torn: "ring-torn", "DQ0180", 1, "access";
    state_word: "state-word", "DQ0180", 2, "access";
    stop_and_write: "stop-and-write", "DQ0001", 2, "ddi";
    synchronize_inversion: "synchronize-inversion", "DQ0490", 0, "ddi";
    thread_after_free: "thread-after-free", "DQ0302", 2, "ddi";
    timeout_and_completion: "timeout-and-completion", "DQ0170", 2, "ddi";
    timer_after_free: "timer-after-free", "DQ0535", 1, "ddi";
    timer_rearmed: "timer-rearmed", "DQ0535", 1, "ddi";
    torn_read: "torn-read", "DQ0180", 1, "ddi";
    two_starts: "two-starts", "DQ0180", 2, "ddi";
    work_item_after_free: "work-item-after-free", "DQ0302", 1, "ddi";
    wrong_lock: "wrong-lock", "DQ0180", 2, "ddi";
}
