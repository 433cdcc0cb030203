//! Families of routines work by the names that a driver imports.

mod entry;

use dirql_abi::NtStatus;
use dirql_host::{Host, Stops, Watch};
use dirql_kernel::ke::RunState;
use dirql_kernel::{Config, Outcome};

use entry::run;

/// The export finds that all was right on two processors, natively and as watched twins.
fn is_right(export: &str) {
    let everywhere = Watch {
        record: true,
        stops: Stops::Everywhere,
    };
    for watch in [None, Some(everywhere)] {
        let config = Config {
            processors: 2,
            ..Config::default()
        };
        let host = Host::new(config).unwrap();
        if let Some(watch) = watch.clone() {
            host.watch(watch).unwrap();
        }
        let (state, status, _) = run(&host, "families.sys", export);
        assert_eq!(
            (state, status, host.kernel().findings().len()),
            (RunState::Idle, Some(NtStatus(1)), 0),
            "{watch:?} {:?} {:?}",
            host.kernel().outcome(),
            host.kernel().findings()
        );
    }
}

macro_rules! behaviours {
    ($($test:ident = $export:literal;)*) => { $(
        #[test]
        fn $test() {
            is_right($export);
        }
    )* };
}

behaviours! {
    a_large_frame_is_checked_and_no_argument_is_lost = "checks_the_stack";
    a_jump_out_of_a_guarded_block_runs_its_termination_handler = "leaves_a_guarded_block";
    a_table_keeps_its_elements_in_order = "keeps_a_table";
    locks_are_shared = "shares_locks";
    every_processor_is_called = "calls_every_processor";
    a_call_gets_the_stack_that_it_asks_for = "expands_the_stack";
    a_setting_is_told_to_who_asks = "hears_of_settings";
    text_is_scanned = "scans_text";
    procedures_run_in_their_thread_when_its_regions_allow = "runs_apcs";
    two_seconds_of_looking_at_a_clock_are_few_turns = "waits_by_looking";
    the_library_converts_splits_searches_and_runs_once = "uses_the_library";
}

#[test]
fn a_frame_larger_than_the_stack_stops_the_system() {
    let host = Host::new(Config::default()).unwrap();
    let (state, status, _) = run(&host, "families.sys", "has_no_such_stack");
    assert_eq!((state, status), (RunState::Ended, None));
    let outcome = host.kernel().outcome();
    let Some(Outcome::BugCheck { bug_check, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(bug_check.code, 0x7F);
}
