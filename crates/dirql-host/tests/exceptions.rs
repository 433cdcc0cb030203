//! Drivers that were built by clang in MSVC mode handle exceptions.

mod entry;

use dirql_abi::NtStatus;
use dirql_host::{Host, Stops, Watch};
use dirql_kernel::ke::RunState;
use dirql_kernel::{Config, Outcome};
use dirql_rules::ids;

use entry::run;

/// The export finds that all was right, as it is and as twins that are watched.
fn is_right(driver: &str, export: &str) {
    let watch = |record, stops| Some(Watch { record, stops });
    for watch in [
        None,
        watch(false, Stops::Nowhere),
        watch(true, Stops::Nowhere),
        watch(false, Stops::Everywhere),
    ] {
        let host = Host::new(Config::default()).unwrap();
        if let Some(watch) = watch.clone() {
            host.watch(watch).unwrap();
        }
        let (state, status, _) = run(&host, driver, export);
        assert_eq!(
            (state, status, host.kernel().outcome()),
            (RunState::Idle, Some(NtStatus(1)), None),
            "{watch:?}"
        );
    }
}

macro_rules! behaviours {
    ($driver:literal: $($test:ident = $export:literal;)*) => { $(
        #[test]
        fn $test() {
            is_right($driver, $export);
        }
    )* };
}

behaviours! { "seh.sys":
    a_fault_in_a_function_without_a_frame_is_handled_by_its_caller = "without_frame";
    termination_handlers_of_three_frames_run_from_the_inside_out = "three_frames";
    a_routine_that_raises_does_so_where_it_was_called = "raised";
    a_bad_pointer_given_to_a_routine_is_an_exception = "bad_argument";
    a_filter_that_declines_leaves_it_to_the_next = "search_goes_on";
    a_filter_can_repair_the_registers = "continues";
    an_exception_in_a_handler_goes_further_out = "in_handler";
    a_filter_can_handle_an_exception_of_its_own = "in_filter";
    an_exception_in_a_termination_handler_takes_over = "in_finally";
    a_division_by_zero_is_an_exception = "divides";
    a_thousand_exceptions_are_as_good_as_one = "often";
    vector_registers_are_restored = "floats";
    a_context_is_captured_as_the_caller_sees_it = "captures";
}

#[test]
fn an_exception_that_nobody_handles_stops_the_system() {
    let host = Host::new(Config::default()).unwrap();
    let (state, status, entry) = run(&host, "seh.sys", "unhandled");
    assert_eq!((state, status), (RunState::Ended, None));
    let Some(Outcome::BugCheck { bug_check, place }) = host.kernel().outcome() else {
        panic!("a bug check")
    };
    assert_eq!(bug_check.code, 0x7E);
    assert_eq!(bug_check.parameters[0] as u32, 0xE000_0001);
    let address = bug_check.parameters[1];
    assert!(
        (entry..entry + 64).contains(&address),
        "after the call of ExRaiseStatus"
    );
    assert_eq!(place.address, address);
    assert_eq!(
        host.describe(address).unwrap().section.as_deref(),
        Some(".text")
    );
}

behaviours! { "crossing.sys":
    an_exception_leaves_a_callback_through_the_kernel = "out_of_callback";
    so_does_a_fault = "fault_in_callback";
    a_thousand_that_cross_the_kernel_are_as_good_as_one = "often";
    a_filter_beyond_the_kernel_can_repair_the_registers = "continues";
    a_filter_can_cross_the_kernel_itself = "in_filter";
    a_termination_handler_between_two_kernel_routines_can_raise = "in_finally";
    an_exception_in_a_dispatch_routine_reaches_the_caller_of_the_device = "out_of_dispatch";
    an_exception_in_a_dpc_is_handled_there = "in_dpc";
    an_exception_passes_three_frames_of_a_dpc_and_none_of_what_it_interrupts = "deep_in_dpc";
    an_exception_in_a_filter_is_one_in_the_frames_around_it = "out_of_filter";
    an_exception_that_is_handled_while_unwinding_does_not_end_that = "while_unwinding";
    a_record_of_the_drivers_own_is_raised = "own_record";
    a_context_is_restored = "restores";
    a_jump_without_a_frame_runs_no_handler = "jumps_directly";
    a_jump_runs_the_termination_handlers_of_what_it_leaves = "jumps_out_of_frames";
    a_jump_leaves_callbacks_of_the_kernel = "jumps_out_of_callbacks";
    a_jump_leaves_filters_and_handlers = "jumps_out_of_handlers";
    a_jump_buffer_that_is_no_memory_is_an_exception = "jumps_nowhere";
    a_consolidated_unwinding_goes_on_where_its_routine_says = "consolidated";
    a_back_trace_shows_frames_on_both_sides_of_the_kernel = "back_trace";
}

#[test]
fn nothing_is_undone_when_an_exception_leaves_a_critical_section() {
    let host = Host::new(Config::default()).unwrap();
    let (_, status, _) = run(&host, "crossing.sys", "out_of_critical_section");
    assert_eq!(status, Some(NtStatus(1)), "{:?}", host.kernel().outcome());
    let rules: Vec<_> = host
        .kernel()
        .findings()
        .iter()
        .map(|one| one.rule)
        .collect();
    assert_eq!(rules.first(), Some(&ids::CRITICAL_SECTION_LEFT));
}

#[test]
fn an_exception_is_handled_inside_a_critical_section() {
    let host = Host::new(Config::default()).unwrap();
    let (_, status, _) = run(&host, "crossing.sys", "inside_critical_section");
    assert_eq!(status, Some(NtStatus(1)), "{:?}", host.kernel().outcome());
    assert!(host.kernel().findings().is_empty());
}

#[test]
fn a_dpc_does_not_raise_in_what_it_interrupts() {
    stops_the_system("unhandled_in_dpc", 0x1E);
}

#[test]
fn nor_does_an_apc() {
    stops_the_system("unhandled_in_apc", 0x7E);
}

fn stops_the_system(export: &str, code: u32) {
    let host = Host::new(Config::default()).unwrap();
    let (state, status, _) = run(&host, "crossing.sys", export);
    assert_eq!((state, status), (RunState::Ended, None));
    let Some(Outcome::BugCheck { bug_check, .. }) = host.kernel().outcome() else {
        panic!("a bug check")
    };
    assert_eq!(bug_check.code, code);
    assert_eq!(bug_check.parameters[0] as u32, 0xC000_0094);
}

#[test]
fn a_jump_to_what_is_no_stack_stops_the_system() {
    let host = Host::new(Config::default()).unwrap();
    let (state, status, _) = run(&host, "crossing.sys", "jumps_to_no_stack");
    assert_eq!((state, status), (RunState::Ended, None));
    let Some(Outcome::BugCheck { bug_check, .. }) = host.kernel().outcome() else {
        panic!("a bug check")
    };
    assert_eq!(
        (bug_check.code, bug_check.parameters[0] as u32),
        (0x7E, 0xC000_0029)
    );
}

#[test]
fn the_stack_of_a_bug_check_goes_through_the_kernel() {
    let host = Host::new(Config::default()).unwrap();
    let (_, _, entry) = run(&host, "crossing.sys", "unhandled");
    let stack = host.kernel().stack_at_end();
    // The function that touches memory, the comparison, the one that sorts, the entry point.
    assert_eq!(stack.len(), 4, "{stack:x?}");
    assert!((entry..entry + 64).contains(&stack[3]), "{stack:x?}");
}
