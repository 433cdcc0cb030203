//! A driver's pageable sections, touched below and above APC_LEVEL.

mod entry;

use dirql_abi::NtStatus;
use dirql_host::Host;
use dirql_kernel::{Config, Outcome};
use dirql_rules::ids;

/// Runs an export of the driver as its entry point.
fn run(export: &str) -> (Host, Option<NtStatus>) {
    let host = Host::new(Config::default()).unwrap();
    let (_, status, _) = entry::run(&host, "paging.sys", export);
    (host, status)
}

fn is_right(export: &str) {
    let (host, status) = run(export);
    assert_eq!(status, Some(NtStatus(1)), "{:?}", host.kernel().outcome());
    assert_eq!(host.kernel().findings(), []);
}

/// The finding, and the bug check that a Windows without luck gives.
fn is_found(export: &str, code: u32) {
    let (host, status) = run(export);
    assert_eq!(status, None);
    let findings = host.kernel().findings();
    let rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules.first(), Some(&ids::PAGEABLE_TOUCHED), "{findings:?}");
    let Some(Outcome::BugCheck { bug_check, .. }) = host.kernel().outcome() else {
        panic!("a bug check")
    };
    assert_eq!(bug_check.code, code);
}

#[test]
fn below_dispatch_level_pageable_code_and_data_can_be_used() {
    is_right("below");
}

#[test]
fn pageable_code_is_not_run_at_dispatch_level() {
    is_found("code_above", 0xD1);
}

#[test]
fn pageable_data_is_not_touched_at_dispatch_level() {
    is_found("data_above", 0xD1);
}

#[test]
fn a_kernel_routine_does_not_touch_it_either() {
    is_found("argument_above", 0xA);
}

#[test]
fn a_locked_section_can_be_used_at_dispatch_level_until_it_is_unlocked() {
    is_right("locked");
    is_found("unlocked", 0xD1);
}
