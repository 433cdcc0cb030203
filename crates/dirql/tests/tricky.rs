//! Drivers that are right although they look as if they were not (`tests/tricky`): nothing is found,
//! in a run, in every order with one switch, whatever is watched, and in an audit.

#[path = "support/effort.rs"]
mod effort;

use std::path::{Path, PathBuf};
use std::process::Command;

use effort::effort;

/// Orders, of those in which contexts meet between accesses to memory, that are tried.
const ORDERS: &str = "150";

/// Those that are right above another driver.
const FILTERS: &[&str] = &["held-back"];

fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tricky")
}

/// A scenario that has the driver work twice, with a stop in between.
fn scenario(name: &str, processors: u16, answer: &str) -> PathBuf {
    let image = |name: &str| drivers().join(format!("{name}.sys")).display().to_string();
    let (drivers, stack) = if FILTERS.contains(&name) {
        let both = [image("ring-buffer"), image(name)]
            .map(|image| format!("[[driver]]\nimage = '{image}'"));
        let stack = format!("driver = 'ring-buffer'\nupper_filters = ['{name}']");
        (both.join("\n"), stack)
    } else {
        (
            format!("[driver]\nimage = '{}'", image(name)),
            String::new(),
        )
    };
    let text = format!(
        r#"
        [machine]
        processors = {processors}

        {drivers}

        [[device]]
        name = "edu0"
        model = "edu"
        {stack}
        interrupts = {{ kind = "line" }}

        [[thread]]
        steps = [
            {{ start = "edu0" }},
            {{ open = "edu0" }},
            {{ write = "edu0", data = "0100 0000" }},
            {{ wait_idle = true }},
            {{ read = "edu0", length = 4, expect_data = "{answer}" }},
            {{ stop = "edu0" }},
            {{ start = "edu0" }},
            {{ write = "edu0", data = "0100 0000" }},
            {{ wait_idle = true }},
            {{ read = "edu0", length = 4, expect_data = "{answer}" }},
            {{ close = "edu0" }},
            {{ remove = "edu0" }},
            {{ unload = true }},
        ]
        "#,
    );
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tricky-{name}.toml"));
    std::fs::write(&file, text).expect("a scenario for the test");
    file
}

fn check(name: &str, processors: u16, answer: &str) {
    let scenario = scenario(name, processors, answer);
    let number = processors.to_string();
    let effort = effort();
    let effort = effort.iter().map(String::as_str);
    let audit: Vec<&str> = ["audit"].into_iter().chain(effort).collect();
    let commands: [&[&str]; 4] = [
        &["run"],
        &["explore", "--preemptions", "1", "--processors", &number],
        &[
            "explore",
            "--granularity",
            "access",
            "--preemptions",
            "1",
            "--budget",
            ORDERS,
            "--processors",
            &number,
        ],
        &audit,
    ];
    for command in commands {
        // An audit tries other computers than the one that the driver is right on.
        if processors == 1 && command[0] == "audit" {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
            .args(command)
            .arg(&scenario)
            .output()
            .expect("the command line can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let limited = command.contains(&"--budget") && output.status.code() == Some(4);
        assert!(
            output.status.success() || limited,
            "{name} {command:?}\n{text}"
        );
        // Not even advice.
        assert!(!text.contains("[DQ"), "{name} {command:?}\n{text}");
    }
}

macro_rules! tricky {
    ($($test:ident: $name:literal, $processors:literal, $answer:literal;)*) => {
        $(#[test] fn $test() { check($name, $processors, $answer); })*

        #[test]
        fn no_driver_is_forgotten() {
            let mut found: Vec<String> = std::fs::read_dir(drivers())
                .expect("they are there")
                .map(|entry| entry.expect("it can be listed").path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "sys"))
                .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
                .collect();
            found.sort();
            assert_eq!(found, [$($name),*]);
        }
    };
}

tricky! {
    an_object_that_is_counted: "counted-object", 2, "0100 0000";
    what_is_made_at_most_once: "double-checked", 2, "0100 0000";
    lists_with_a_sequence_number: "entry-lists", 2, "0100 0000";
    an_event_on_a_stack: "event-on-stack", 2, "0100 0000";
    a_filter_that_holds_writes_back: "held-back", 2, "0100 0000";
    a_counter_without_a_lock: "interlocked-counter", 2, "0200 0000";
    the_lock_of_the_interrupt: "interrupt-lock", 2, "0200 0000";
    a_list_without_a_lock: "lock-free-list", 2, "0100 0000";
    a_queue_for_each_processor: "network-queues", 2, "0200 0000";
    two_locks_in_the_order_of_their_addresses: "ordered-locks", 2, "0100 0000";
    counters_for_each_processor: "per-processor", 2, "0200 0000";
    a_flag_that_is_polled: "polled-flag", 2, "0100 0000";
    a_dpc_that_queues_itself: "queues-itself", 2, "0100 0000";
    a_level_raised_by_hand: "raised-by-hand", 1, "0200 0000";
    a_ring_without_a_lock: "ring-buffer", 2, "0100 0000";
    words_that_are_read_again: "sequence-counter", 2, "0100 0000";
    a_read_that_isr_timer_and_cancel_end: "serial-port", 2, "0100 0000";
    one_request_at_a_time: "start-io", 2, "0100 0000";
    a_static_dpc: "static-dpc", 2, "0100 0000";
    a_list_that_is_taken_whole: "swapped-list", 2, "0100 0000";
    a_dpc_that_is_a_thread: "threaded-dpc", 2, "0100 0000";
    a_timer_that_sets_itself: "timer-sets-itself", 2, "0100 0000";
    one_work_item_for_many_interrupts: "work-once", 2, "0100 0000";
    a_thread_that_is_told_to_stop: "worker-thread", 2, "0100 0000";
}
