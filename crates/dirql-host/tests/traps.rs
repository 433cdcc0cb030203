//! A driver does what needs no import: privileged instructions, device memory, shared data,
//! and mistakes.

mod entry;

use dirql_abi::NtStatus;
use dirql_host::{Host, Stops, Watch};
use dirql_kernel::ke::RunState;
use dirql_kernel::{Config, Outcome};
use dirql_rules::{BugCheck, RuleId, ids};

/// How an export of the driver ended.
#[derive(Debug, PartialEq)]
struct Ended {
    status: Option<NtStatus>,
    /// Offset of the export, in the image as it was loaded.
    export: u64,
    bug_check: Option<BugCheck>,
    /// Of the bug check.
    address: u64,
    findings: Vec<(RuleId, String)>,
}

impl Ended {
    fn code(&self) -> Option<u32> {
        self.bug_check.map(|bug_check| bug_check.code)
    }

    /// Whether `address` is near the start of the export.
    fn is_in_export(&self, address: u64) -> bool {
        (self.export..self.export + 0x40).contains(&address)
    }
}

/// Runs an export of the driver as its entry point, as it is and as twins that are watched,
/// which must make no difference.
fn run(export: &str) -> Ended {
    let plain = run_watched(export, None);
    for (record, stops) in [
        (false, Stops::Nowhere),
        (true, Stops::Nowhere),
        (false, Stops::Everywhere),
    ] {
        let watch = Watch { record, stops };
        let twin = run_watched(export, Some(watch.clone()));
        assert_eq!(twin, plain, "{watch:?}");
    }
    plain
}

fn run_watched(export: &str, watch: Option<Watch>) -> Ended {
    let host = Host::new(Config::default()).unwrap();
    if let Some(watch) = watch {
        host.watch(watch).unwrap();
    }
    let (state, status, export) = entry::run(&host, "traps.sys", export);
    let outcome = host.kernel().outcome();
    assert_eq!(state == RunState::Ended, outcome.is_some());
    let (bug_check, address) = match outcome {
        Some(Outcome::BugCheck { bug_check, place }) => (Some(bug_check), place.address),
        _ => (None, 0),
    };
    let findings = host.kernel().findings().into_iter();
    let findings = findings
        .map(|finding| (finding.rule, finding.message))
        .collect();
    Ended {
        status,
        export,
        bug_check,
        address,
        findings,
    }
}

#[track_caller]
fn is_right(export: &str) {
    let ended = run(export);
    assert_eq!(
        (ended.status, ended.bug_check),
        (Some(NtStatus(1)), None),
        "{:?}",
        ended.findings
    );
}

#[test]
fn the_irql_is_raised_and_lowered_by_instructions() {
    is_right("levels");
}

#[test]
fn the_interrupt_flag_is_saved_and_restored_in_functions_of_their_own() {
    is_right("interrupt_flag");
}

#[test]
fn ports_and_memory_that_nothing_answers_read_as_ones() {
    is_right("nothing_answers");
}

#[test]
fn shared_data_tells_the_time_and_the_version() {
    is_right("shared_data");
}

#[test]
fn a_register_that_does_not_exist_is_an_exception() {
    is_right("bad_msr");
}

#[test]
fn an_unhandled_access_violation_stops_the_system() {
    let ended = run("nowhere");
    assert_eq!(ended.code(), Some(0x7E));
    assert_eq!(ended.bug_check.unwrap().parameters[0] as u32, 0xC000_0005);
    assert!(ended.is_in_export(ended.bug_check.unwrap().parameters[1]));
    assert!(ended.is_in_export(ended.address));
}

#[test]
fn an_access_to_nothing_at_a_raised_irql_is_told_with_level_and_instruction() {
    let ended = run("raised");
    let [address, level, access, instruction] = ended.bug_check.unwrap().parameters;
    assert_eq!(
        (ended.code(), address, level, access),
        (Some(0xD1), 0x2000_B000_0000, 2, 0)
    );
    assert!(ended.is_in_export(instruction));
}

#[test]
fn shared_data_cannot_be_written() {
    let ended = run("writes_shared_data");
    let [address, access, instruction, _] = ended.bug_check.unwrap().parameters;
    assert_eq!(
        (ended.code(), address, access),
        (Some(0x50), 0xFFFF_F780_0000_0000, 1)
    );
    assert!(ended.is_in_export(instruction));
}

#[test]
fn a_call_through_a_null_pointer_is_told_as_such() {
    let ended = run("jumps");
    assert_eq!(
        (ended.code(), ended.bug_check.unwrap().parameters[1]),
        (Some(0x7E), 0)
    );
    assert!(ended.is_in_export(ended.address), "{ended:?}");
}

/// The place is in the routine that returned: its frame has lost where it was called from. Probes use
/// what is left of the frame; then it is where the last one was that did something.
#[test]
fn a_return_to_nowhere_is_told_in_the_routine_that_returned() {
    for export in ["returns_to_nowhere", "returns_to_no_address"] {
        let quiet = Stops::Nowhere;
        let watched = [false, true].map(|record| Watch {
            record,
            stops: quiet.clone(),
        });
        for watch in [None].into_iter().chain(watched.map(Some)) {
            let ended = run_watched(export, watch);
            assert_eq!(ended.code(), Some(0x7E), "{export}");
            assert!(ended.is_in_export(ended.address), "{export}: {ended:?}");
        }
        let stops = Stops::Everywhere;
        let record = false;
        let ended = run_watched(export, Some(Watch { record, stops }));
        assert_eq!(ended.code(), Some(0x7E), "{export}");
        assert!(ended.address.abs_diff(ended.export) < 0x1000, "{ended:?}");
    }
}

/// The place is that of the call: no line is where it leads.
#[test]
fn a_call_of_nothing_is_told_where_it_is_made() {
    let ended = run("jumps_raised");
    assert_eq!(
        (ended.code(), ended.bug_check.unwrap().parameters),
        (Some(0xD1), [0, 2, 8, 0])
    );
    assert!(ended.is_in_export(ended.address), "{ended:?}");
}

#[test]
fn a_call_of_nothing_is_an_exception_of_the_caller() {
    is_right("catches_a_jump");
}

#[test]
fn data_is_not_run() {
    let ended = run("runs_data");
    assert_eq!(ended.code(), Some(0xFC));
    assert!(ended.is_in_export(ended.address), "{ended:?}");
}

#[test]
fn a_stack_that_overflows_ends_the_run_and_not_the_process() {
    // A watched driver may overflow a little earlier.
    for watch in [None, Some(Stops::Nowhere), Some(Stops::Everywhere)] {
        let watch = watch.map(|stops| Watch {
            record: false,
            stops,
        });
        let ended = run_watched("overflows", watch);
        let [trap, _, _, instruction] = ended.bug_check.unwrap().parameters;
        assert_eq!((ended.code(), trap), (Some(0x7F), 8));
        assert!(ended.is_in_export(instruction), "{instruction:#x}");
    }
    // The next computer is as good as the first.
    is_right("levels");
}

#[test]
fn a_driver_that_fails_fast_says_why() {
    let ended = run("fails_fast");
    assert_eq!(
        (ended.code(), ended.bug_check.unwrap().parameters[0]),
        (Some(0x139), 3)
    );
}

#[test]
fn a_breakpoint_is_a_finding() {
    let ended = run("breaks");
    assert_eq!(ended.findings[0].0, ids::DRIVER_BREAKPOINT);
    assert_eq!(ended.code(), Some(0x7E));
    assert_eq!(ended.bug_check.unwrap().parameters[0] as u32, 0x8000_0003);
}

#[test]
fn an_instruction_without_a_meaning_is_a_finding_that_names_it() {
    let ended = run("loads_descriptors");
    let [(rule, message)] = ended.findings.as_slice() else {
        panic!("{:?}", ended.findings)
    };
    assert_eq!(*rule, ids::UNSUPPORTED_INSTRUCTION);
    assert!(
        message.starts_with("the driver executed lgdt with memory (0f 01 "),
        "{message}"
    );
    assert_eq!(ended.status, None);
}
