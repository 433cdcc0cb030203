//! A driver's pageable sections, touched below and above APC_LEVEL.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use dirql_abi::NtStatus;
use dirql_host::{DriverSource, Host};
use dirql_image::ExportTarget;
use dirql_kernel::ke::ThreadBody;
use dirql_kernel::{Config, Kernel, Outcome};
use dirql_rules::ids;

/// Runs an export of the driver as its entry point.
fn run(export: &str) -> (Host, Option<NtStatus>) {
    let host = Host::new(Config::default()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/paging.sys");
    let file = std::fs::read(path).unwrap();
    let loaded = host
        .load_driver("paging.sys", DriverSource::Image(&file))
        .unwrap();
    let mut image = loaded.driver_image().unwrap();
    let exports = loaded.image().image().unwrap().exports();
    let ExportTarget::Rva(rva) = exports.by_name(export).unwrap().target else {
        panic!("it is not forwarded")
    };
    image.entry = image.base + u64::from(rva);
    let object = host.kernel().create_driver(&image).unwrap().unwrap();
    let status = Rc::new(Cell::new(None));
    let slot = status.clone();
    let body = move |kernel: &Kernel| {
        slot.set(Some(kernel.run_driver_entry(object)?));
        Ok(())
    };
    host.kernel()
        .spawn_thread("test", 8, ThreadBody::Native(Box::new(body)));
    host.run_until_idle();
    (host, status.get())
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
