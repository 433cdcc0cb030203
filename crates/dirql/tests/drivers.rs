//! Drivers that use other drivers, and drivers that deal with resources themselves: scenarios with
//! images that mingw-w64 has compiled, `tests/drivers/build`.

use std::path::{Path, PathBuf};

use dirql::report::Report;
use dirql::scenario::Scenario;
use dirql::{Settings, play};

fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers")
}

fn run(text: &str) -> Report {
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|error| panic!("{error}"));
    play(&scenario.in_directory(&drivers()), Settings::default()).unwrap()
}

/// What the drivers printed; there must be no finding but advice.
fn prints(text: &str) -> Vec<String> {
    let report = run(text);
    let bad: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| finding.severity != "advice")
        .map(|finding| format!("{} {}", finding.rule, finding.message))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}\n{:#?}", report.prints);
    let unmet: Vec<String> = report
        .steps
        .iter()
        .filter(|step| !step.met)
        .map(|step| format!("{step:?}"))
        .collect();
    assert!(unmet.is_empty(), "{unmet:#?}\n{:#?}", report.prints);
    report.prints
}

/// What is expected of a write, and where the driver is at fault.
fn expectation(data: &str, expect: &str) -> (String, String) {
    let report = run(&format!(
        r#"
        driver = [{{ image = "forgetful.sys" }}]
        device = [{{ name = "edu0", model = "edu", interrupts = {{ kind = "line" }} }}]

        [[thread]]
        steps = [
            {{ start = "edu0" }},
            {{ open = "edu0" }},
            {{ write = "edu0", data = "{data}", expect = "{expect}" }},
        ]
        "#
    ));
    let found = report.findings.iter().find(|found| found.rule == "DQ0180");
    let found = found.expect("it is not as expected");
    (
        found.message.clone(),
        found.place.code.clone().unwrap_or_default(),
    )
}

#[test]
fn what_a_request_should_not_have_brought_is_told_where_it_was_completed() {
    let (message, code) = expectation("0100 0000", "STATUS_CANCELLED");
    assert!(message.contains("was: STATUS_SUCCESS"), "{message}");
    assert!(code.starts_with("forgetful.sys"), "{code}");
}

#[test]
fn what_does_not_come_to_its_end_is_told_with_the_dispatch_routine_that_has_it() {
    let (message, code) = expectation("0000 0000", "STATUS_SUCCESS");
    assert!(message.contains("does not come to its end"), "{message}");
    assert!(code.starts_with("forgetful.sys"), "{code}");
}

#[test]
fn two_processors_that_try_for_each_others_lock_are_both_named() {
    let report = run(r#"
        driver = [{ image = "standoff.sys" }]
        device = [{ name = "edu0", model = "edu", interrupts = { kind = "line" } }]

        [machine]
        processors = 2
        max_steps = 100_000_000

        [[thread]]
        steps = [{ start = "edu0" }, { signal = "started" }, { open = "edu0" }, { read = "edu0", length = 4 }]

        [[thread]]
        steps = [
            { wait = "started" },
            { open = "edu0", handle = "other" },
            { write = "other", data = "0000 0000" },
        ]
        "#);
    let found = report.findings.iter().find(|found| found.rule == "DQ0579");
    let found = found.unwrap_or_else(|| panic!("{:?}", report.findings));
    let earlier = found.earlier.as_ref().expect("the other one");
    assert!(
        earlier.what.contains("another processor"),
        "{}",
        earlier.what
    );
    assert_ne!(earlier.place.processor, found.place.processor);
    for place in [&found.place, &earlier.place] {
        let code = place.code.as_deref().unwrap_or_default();
        assert!(code.starts_with("standoff.sys"), "{code}");
        assert_eq!(
            place.ddi.as_deref(),
            Some("KeTryToAcquireSpinLockAtDpcLevel")
        );
    }
}

#[test]
fn dpcs_that_queue_each_other_are_a_loop_that_has_no_end() {
    let report = run(r#"
        driver = { image = "perpetual.sys" }

        [[thread]]
        steps = [{ unload = true }]
        "#);
    let found = report.findings.iter().find(|found| found.rule == "DQ0579");
    let found = found.unwrap_or_else(|| panic!("{:?}", report.findings));
    assert_eq!(found.place.ddi.as_deref(), Some("KeInsertQueueDpc"));
    assert_eq!(found.place.context, "DPC");
}

#[test]
fn a_run_that_is_too_short_says_where_it_ended() {
    let report = run(r#"
        driver = { image = "perpetual.sys" }

        [machine]
        max_steps = 1_000

        [[thread]]
        steps = [{ unload = true }]
        "#);
    let early = report.ended_early.unwrap_or_default();
    assert!(
        early.starts_with("its 1000 steps are used up, last in perpetual.sys"),
        "{early}"
    );
}

#[test]
fn a_child_that_says_it_may_be_raw_starts_without_a_driver() {
    let printed = prints(
        r#"
        driver = { image = "bus.sys" }
        device = [{ name = "bus0", model = "edu", driver = "bus", interrupts = { kind = "line" } }]

        [[thread]]
        steps = [
            { start = "bus0" },
            { wait_idle = true },
            { remove = "bus0" },
            { unload = "bus" },
        ]
        "#,
    );
    let expected = [
        "bus: the child starts without a driver",
        "bus: the child is removed",
    ];
    assert_eq!(printed, expected);
}

#[test]
fn a_child_that_is_gone_is_removed_when_its_last_file_is_closed() {
    let printed = prints(
        r#"
        driver = { image = "bus.sys" }
        device = [{ name = "bus0", model = "edu", driver = "bus", interrupts = { kind = "line" } }]
        child = [{ name = "widget0", id = 'TEST\Widget' }]

        [[thread]]
        steps = [
            { start = "bus0" },
            { open = "widget0" },
            { open = '\Device\TestBus', handle = "bus" },
            { ioctl = "bus", code = 0x222004 },
            { wait_idle = true },
            { close = "widget0" },
            { wait_idle = true },
            { close = "bus" },
            { remove = "bus0" },
            { unload = "bus" },
        ]
        "#,
    );
    let expected = [
        "bus: the child starts without a driver",
        "bus: the child is closed",
        "bus: the child is removed for good",
    ];
    assert_eq!(printed, expected);
}

#[test]
fn a_child_of_a_drivers_bus_gets_the_driver_that_is_for_it() {
    let printed = prints(
        r#"
        driver = [{ image = "watcher.sys" }, { image = "bus.sys" }, { image = "widget.sys" }]
        device = [{ name = "bus0", model = "edu", driver = "bus", interrupts = { kind = "line" } }]
        child = [{ name = "widget0", id = 'TEST\Widget', driver = "widget" }]

        [[thread]]
        steps = [
            { start = "bus0" },
            { wait_idle = true },
            { open = "widget0" },
            { close = "widget0" },
            { open = '\Device\TestBus', handle = "bus" },
            { ioctl = "bus", code = 0x222004 },
            { wait_idle = true },
            { ioctl = "bus", code = 0x222004 },
            { wait_idle = true },
            { close = "bus" },
            { query_remove = "bus0" },
            { cancel_remove = "bus0" },
            { remove = "bus0" },
            { wait_idle = true },
            { unload = "widget" },
            { unload = "bus" },
            { unload = "watcher" },
        ]
        "#,
    );
    let arrival = [
        "widget: the bus says 42",
        "widget: interrupts 1",
        "watcher: a widget has arrived, opened with 0x00000000",
        "watcher: below it 42",
    ];
    let expected = [
        &arrival[..],
        &[
            "widget: gone",
            "widget: removed",
            "bus: the child is removed for good",
            "watcher: a widget has left",
        ],
        &arrival[..],
        &[
            "widget: removed",
            // A system thread tells of it as soon as the interface is gone.
            "watcher: a widget has left",
            "bus: the child is removed",
        ],
    ];
    assert_eq!(printed, expected.concat());
}

#[test]
fn filters_lie_where_the_scenario_puts_them_and_import_from_a_driver_that_is_loaded_first() {
    let printed = |filters: &str| {
        prints(&format!(
            r#"
            driver = [{{ image = "shade.sys" }}, {{ image = "bus.sys" }}, {{ image = "widget.sys" }}]
            device = [{{ name = "bus0", model = "edu", driver = "bus", interrupts = {{ kind = "line" }}, {filters} }}]

            [[thread]]
            steps = [{{ start = "bus0" }}, {{ remove = "bus0" }}, {{ unload = "shade" }}]
            "#
        ))
    };
    let library = r"lib: \REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Services\lib";
    let raw = "bus: the child starts without a driver";
    let child = "bus: the child is removed";
    assert_eq!(
        printed("lower_filters = ['shade']"),
        [
            library,
            "shade: directly above the bus",
            "shade: start, 101",
            raw,
            child
        ]
    );
    assert_eq!(
        printed("upper_filters = ['shade']"),
        [
            library,
            "shade: not directly above the bus",
            "shade: start, 101",
            raw,
            child
        ]
    );
}

#[test]
fn a_legacy_driver_claims_what_it_finds_and_is_told_of_conflicts() {
    let printed = prints(
        r#"
        driver = { image = "legacy.sys" }
        device = [{ name = "com1", model = "uart16550", options = { line = 4 } }]

        [[thread]]
        steps = [{ unload = true }]
        "#,
    );
    assert_eq!(
        printed,
        [
            "firmware: bus 1 0, controller 17 0, COM1 at 0x3f8",
            "serial: 0x00000000, 1",
            "parallel: 0xc0000034",
            "claimed: 0x00000000, conflict 0",
            "claimed again: 0x00000000, conflict 0",
            "for another device: 0xc0000018, conflict 1",
            "behind it: 0x00000000, conflict 0",
            "usage, forced 0: 0xc0000018, conflict 1",
            "usage, forced 1: 0x00000000, conflict 1",
            "assigned: port 0x3f8, 8 ports, line 4",
            "interrupts: 1",
            "detected: 0x00000000, a device 1",
        ]
    );
}

#[test]
fn a_driver_gets_more_messages_than_the_table_has_entries_and_points_the_entries_to_them() {
    let printed = prints(
        r#"
        machine = { processors = 4 }
        driver = { image = "spread.sys" }
        device = [{ name = "msix0", model = "msix", options = { queues = 2 } }]

        [[thread]]
        steps = [{ start = "msix0" }, { remove = "msix0" }, { unload = true }]
        "#,
    );
    assert_eq!(
        printed,
        [
            "offered: 2 lists, 2 messages",
            "granted: 4 messages, the last for 0x8",
            "message 0 on processor 0",
            "message 1 on processor 1",
            "entry 1 to message 3: 0x00000000",
            "message 3 on processor 3",
            "mask entry 0: 0x00000000",
            "unmask entry 0: 0x00000000",
            // What was held back, before the next request.
            "message 0 on processor 0",
            "message 0 on processor 0",
            "no entry 2: 0xc000000d",
            "no message 4: 0xc000000d",
        ]
    );
}

/// Two devices of two drivers on one level-sensitive line; both samples look at their own device
/// only.
#[test]
fn two_drivers_share_a_line() {
    let report = run(r#"
        driver = [
            { image = "../../../../samples/edu-line-based/edu-line-based.sys" },
            { image = "../../../../samples/edu-fully-specified/edu-fully-specified.sys" },
        ]
        device = [
            { name = "a", model = "edu", line = 20, driver = "edu-line-based", interrupts = { kind = "line" } },
            { name = "b", model = "edu", line = 20, driver = "edu-fully-specified", interrupts = { kind = "line" } },
        ]

        [[thread]]
        steps = [
            { start = "a" },
            { start = "b" },
            { open = "a" },
            { open = "b" },
            { write = "b", data = "0500 0000" },
            { read = "b", length = 4, expect_data = "7800 0000" },
            { write = "a", data = "0400 0000" },
            { read = "a", length = 4, expect_data = "1800 0000" },
            { close = "a" },
            { close = "b" },
            { rebalance = "a" },
            { query_stop = "b" },
            { cancel_stop = "b" },
            { remove = "a" },
            { remove = "b" },
        ]
        "#);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(
        report.steps.iter().all(|step| step.met),
        "{:#?}",
        report.steps
    );
}

#[test]
fn a_driver_of_gccs_handles_exceptions_of_three_frames_of_a_routine_and_in_a_dpc() {
    let printed = prints(
        r#"
        driver = [{ image = "guarded.sys" }]

        [[thread]]
        steps = [{ unload = true }]
        "#,
    );
    assert_eq!(printed, [""; 0]);
}

#[test]
fn a_driver_reads_a_file_that_the_scenario_puts_there_and_what_it_writes_can_be_kept() {
    let kept = std::env::temp_dir().join(format!("dirql-copy-{}", std::process::id()));
    let text = r#"
        driver = { image = "copier.sys" }
        machine = { file = [
            { path = 'C:\Windows\Firmware\CHIP.BIN', data = { text = "microcode" } },
            { path = 'C:\Temp\copy.bin', output = 'KEPT' },
        ] }

        [[thread]]
        steps = [{ unload = true }]
        "#;
    let printed = prints(&text.replace("KEPT", &kept.display().to_string()));
    assert_eq!(printed, ["9 bytes"]);
    assert_eq!(std::fs::read(&kept).unwrap(), b"microcode");
    std::fs::remove_file(&kept).unwrap();
}

/// What the driver whose ISR raises exceptions does, at the device's level or at PASSIVE_LEVEL.
fn raising(passive: bool, does: u8) -> Report {
    let connect = if passive {
        r#"{ ioctl = "raising", code = 0x222000 },"#
    } else {
        ""
    };
    run(&format!(
        r#"
        driver = {{ image = "raising.sys" }}
        device = [{{ name = "edu0", model = "edu", interrupts = {{ kind = "line" }} }}]

        [[thread]]
        steps = [
            {{ start = "edu0" }},
            {{ open = '\Device\Raising', handle = "raising" }},
            {connect}
            {{ ioctl = "raising", code = 0x222004, in = "0{does}00 0000", out_length = 4, expect = "any" }},
            {{ close = "raising" }},
            {{ remove = "edu0" }},
            {{ unload = true }},
        ]
        "#
    ))
}

/// The rules that were broken, and the answer of the request: each digit in hexadecimal counts how
/// often exceptions were raised and handled, a termination handler ran, a division by zero was
/// handled, an access violation was, and the level was the same afterwards.
fn came_of_it(report: &Report) -> (Vec<&str>, &str) {
    let rules = report.findings.iter().map(|finding| &*finding.rule);
    let mut steps = report.steps.iter();
    let asked = steps.find(|step| step.step.contains("0x222004"));
    let answer = asked.and_then(|step| step.result.as_deref()).unwrap_or("");
    (rules.collect(), answer.rsplit(": ").next().unwrap_or(""))
}

#[test]
fn an_isr_handles_its_exceptions_at_any_level() {
    let at_passive = raising(true, 0);
    assert_eq!(came_of_it(&at_passive), (vec![], "0111 0100"));
    let at_dirql = raising(false, 0);
    // ExRaiseStatus is called too high; what comes of it is the same.
    assert_eq!(came_of_it(&at_dirql), (vec!["DQ0100"], "0111 0100"));
}

/// No exception goes from an ISR to what it has interrupted.
#[test]
fn an_exception_that_an_isr_does_not_handle_stops_the_system() {
    for (passive, does, code) in [
        (false, 1, "KMODE_EXCEPTION_NOT_HANDLED"),
        (false, 2, "KMODE_EXCEPTION_NOT_HANDLED"),
        (true, 1, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"),
        (true, 2, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"),
    ] {
        let report = raising(passive, does);
        let stopped = report
            .findings
            .iter()
            .find(|finding| finding.rule == "DQ0001")
            .unwrap_or_else(|| panic!("{passive} {does}: {:#?}", report.findings));
        assert!(stopped.message.contains(code), "{}", stopped.message);
        assert!(stopped.stack.len() > 1, "{:?}", stopped.stack);
    }
}

/// Nor is a page fault an exception above APC_LEVEL, whoever would handle it.
#[test]
fn an_isr_can_handle_a_page_fault_only_at_passive_level() {
    let at_passive = raising(true, 3);
    assert_eq!(came_of_it(&at_passive), (vec![], "1000 0000"));
    let at_dirql = raising(false, 3);
    let [finding] = &at_dirql.findings[..] else {
        panic!("{:#?}", at_dirql.findings);
    };
    assert!(
        finding.message.contains("DRIVER_IRQL_NOT_LESS_OR_EQUAL"),
        "{}",
        finding.message
    );
}

#[test]
fn time_stamps_are_the_simulated_computers() {
    let text = r#"
        driver = [{ image = "stamps.sys" }]

        [[thread]]
        steps = [{ unload = true }]
    "#;
    let printed = prints(text);
    // 10 us at 2.5 GHz, and the time that looking takes.
    assert_eq!(printed, ["first 2500, then 27500 on 0"]);
    assert_eq!(prints(text), printed);
}
