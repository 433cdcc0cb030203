//! A driver that does one thing after the other for which Windows stops
//! (`tests/drivers/stubborn.c`): a run that keeps going tells all of them, and ends where nothing can
//! go on.

use std::path::Path;

use dirql::report::Report;
use dirql::scenario::Scenario;
use dirql::{Settings, play};

const OPEN: &str = r"{ open = '\Device\Stubborn', handle = 's' }";

fn played(steps: &str, keep_going: bool) -> Report {
    let text = format!(
        r#"
        driver = [{{ image = "stubborn.sys" }}]

        [[thread]]
        steps = [{OPEN}, {steps}]
        "#
    );
    let scenario = Scenario::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers");
    let mut settings = Settings::default();
    settings.keep_going = keep_going;
    play(&scenario.in_directory(&directory), settings).expect("it can be played")
}

/// The bug checks, each with where it happened.
fn stops(report: &Report) -> Vec<(u32, String)> {
    let stopped = report.findings.iter().filter_map(|finding| {
        let ddi = finding.place.ddi.clone().unwrap_or_default();
        Some((finding.bug_check.as_ref()?.code, ddi))
    });
    stopped.collect()
}

fn stop(code: u32, ddi: &str) -> (u32, String) {
    (code, ddi.to_owned())
}

#[test]
fn without_it_the_first_bug_check_is_the_end() {
    let report = played("{ read = 's', length = 16 }", false);
    assert_eq!(stops(&report), [stop(0xC2, "ExFreePoolWithTag")]);
    assert!(report.ended_early.is_some());
    assert_eq!(report.outlived, 0);
}

#[test]
fn with_it_all_are_told_and_routines_say_that_they_failed() {
    let report = played(
        "{ read = 's', length = 16 }, { close = 's' }, { unload = true }",
        true,
    );
    assert_eq!(
        stops(&report),
        [
            stop(0xC2, "ExFreePoolWithTag"),
            stop(0xC2, "ExFreePoolWithTag"),
            stop(0x0C, "KeWaitForMultipleObjects"),
            stop(0x09, "KfRaiseIrql"),
            stop(0x18, "ObfDereferenceObject"),
            stop(0x44, "IofCompleteRequest"),
        ]
    );
    assert_eq!((report.ended_early, report.outlived), (None, 6));
    // STATUS_UNSUCCESSFUL of the wait; the level, which the failed raise returned and left; a count
    // of nothing.
    let read = &report.steps[1].result;
    let expected = "STATUS_SUCCESS (0x00000000), 16 bytes: 0100 00c0 0200 0000 0200 0000 0000 0000";
    assert_eq!(read.as_deref(), Some(expected));
    // The block that was freed with a wrong tag is freed: nothing is left.
    assert!(report.findings.iter().all(|one| one.rule != "DQ0150"));
}

#[test]
fn a_bug_check_of_the_drivers_own_is_the_end() {
    let report = played("{ write = 's', data = '00' }, { close = 's' }", true);
    assert_eq!(stops(&report).last(), Some(&stop(0xE2, "KeBugCheckEx")));
    assert!(report.ended_early.is_some());
    assert_eq!(report.steps[1].result, None);
}

#[test]
fn a_fault_is_the_end() {
    let report = played("{ ioctl = 's', code = 0x222000 }, { close = 's' }", true);
    assert_eq!(stops(&report).last(), Some(&stop(0x50, "")));
    assert!(report.ended_early.is_some());
}
