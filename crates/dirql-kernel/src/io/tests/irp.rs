//! Requests: sending, completing, and the checks.

use dirql_abi::NtStatus;
use dirql_abi::irp::{IoStackLocation, Irp, major, stack_control};
use dirql_rules::{RuleId, ids};

use super::{Log, bench, complete, device, driver, on, pass};
use crate::testing::Bench;
use crate::{DriverPtr, Kernel, Stop, at};

const READ: u8 = major::IRP_MJ_READ;

fn status_of(kernel: &Kernel, irp: u64) -> NtStatus {
    kernel
        .read(at!(DriverPtr::<Irp>::new(irp), Irp, io_status.status))
        .expect("an IRP")
}

/// Sends a read request of the kernel's own to a device; the status it ended with.
fn read(bench: &Bench, device: u64) -> NtStatus {
    bench.on_thread(move |kernel| kernel.send_simple(device, READ, 0))
}

/// The rules that a dispatch routine breaks.
fn broken(
    code: impl Fn(&Kernel, u64, u64) -> crate::Ddi<NtStatus> + 'static,
) -> alloc::vec::Vec<RuleId> {
    let bench = bench();
    let driver = driver(&bench, "a");
    on(&bench, driver, READ, code);
    let device = device(&bench, driver, "");
    bench.try_on_thread(move |kernel| kernel.send_simple(device, READ, 0));
    bench.rules()
}

#[test]
fn a_request_completed_at_once_breaks_no_rule() {
    assert!(broken(|kernel, _, irp| complete(kernel, irp, NtStatus::SUCCESS, 0)).is_empty());
    assert!(broken(|kernel, _, irp| complete(kernel, irp, NtStatus::UNSUCCESSFUL, 0)).is_empty());
}

#[test]
fn a_request_marked_pending_and_completed_breaks_no_rule() {
    let rules = broken(|kernel, _, irp| {
        kernel.mark_pending(irp)?;
        complete(kernel, irp, NtStatus::SUCCESS, 0)?;
        Ok(NtStatus::PENDING)
    });
    assert!(rules.is_empty());
}

#[test]
fn a_forgotten_request_is_found() {
    assert_eq!(
        broken(|_, _, _| Ok(NtStatus::SUCCESS)),
        [ids::IRP_FORGOTTEN]
    );
}

#[test]
fn pending_without_the_mark_is_found() {
    assert_eq!(
        broken(|_, _, _| Ok(NtStatus::PENDING)),
        [ids::PENDING_MISMATCH]
    );
    let completed = broken(|kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)?;
        Ok(NtStatus::PENDING)
    });
    assert_eq!(completed, [ids::PENDING_MISMATCH]);
}

#[test]
fn the_mark_without_pending_is_found() {
    let rules = broken(|kernel, _, irp| {
        kernel.mark_pending(irp)?;
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    assert_eq!(rules, [ids::PENDING_MISMATCH]);
    let kept = broken(|kernel, _, irp| {
        kernel.mark_pending(irp)?;
        Ok(NtStatus::SUCCESS)
    });
    assert_eq!(kept, [ids::PENDING_MISMATCH]);
}

#[test]
fn a_status_other_than_the_completed_one_is_found() {
    let rules = broken(|kernel, _, irp| {
        complete(kernel, irp, NtStatus::UNSUCCESSFUL, 0)?;
        Ok(NtStatus::SUCCESS)
    });
    assert_eq!(rules, [ids::STATUS_MISMATCH]);
}

#[test]
fn completing_with_pending_is_found() {
    let rules = broken(|kernel, _, irp| {
        kernel.mark_pending(irp)?;
        complete(kernel, irp, NtStatus::PENDING, 0)
    });
    assert_eq!(rules, [ids::COMPLETED_PENDING]);
}

#[test]
fn completing_twice_is_bug_check_44() {
    let bench = bench();
    let driver = driver(&bench, "a");
    on(&bench, driver, READ, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)?;
        kernel.iof_complete_request(irp, 0)?;
        Ok(NtStatus::SUCCESS)
    });
    let device = device(&bench, driver, "");
    assert!(
        bench
            .try_on_thread(move |kernel| kernel.send_simple(device, READ, 0))
            .is_none()
    );
    assert!(matches!(bench.stop(), Some(Stop::BugCheck(bug_check)) if bug_check.code == 0x44));
    assert_eq!(bench.rules(), [ids::IRP_COMPLETED_TWICE]);
    assert!(bench.kernel.findings()[0].earlier.is_some());
}

#[test]
fn completing_with_a_cancel_routine_set_is_found() {
    let rules = broken(|kernel, _, irp| {
        kernel.write(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine), 0x1000)?;
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    assert_eq!(rules, [ids::CANCEL_ROUTINE_LEFT]);
}

#[test]
fn a_dispatch_routine_that_returns_at_another_level_is_found() {
    let rules = broken(|kernel, _, irp| {
        kernel.raise_irql(dirql_abi::Irql::DISPATCH);
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    assert_eq!(rules, [ids::ROUTINE_IRQL]);
}

#[test]
fn what_a_driver_does_not_handle_is_an_invalid_request() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    assert_eq!(read(&bench, device), NtStatus::INVALID_DEVICE_REQUEST);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_skipping_filter_is_invisible() {
    let bench = bench();
    let (lower, filter) = (driver(&bench, "lower"), driver(&bench, "filter"));
    let bottom = device(&bench, lower, "");
    let top = device(&bench, filter, "");
    bench
        .kernel
        .io_attach_device_to_device_stack(top, bottom)
        .expect("devices");
    on(&bench, lower, READ, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::END_OF_FILE, 0)
    });
    on(&bench, filter, READ, move |kernel, _, irp| {
        pass(kernel, bottom, irp)
    });
    assert_eq!(read(&bench, top), NtStatus::END_OF_FILE);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_filter_that_changes_the_status_of_a_skipped_request_is_found() {
    let bench = bench();
    let (lower, filter) = (driver(&bench, "lower"), driver(&bench, "filter"));
    let bottom = device(&bench, lower, "");
    let top = device(&bench, filter, "");
    bench
        .kernel
        .io_attach_device_to_device_stack(top, bottom)
        .expect("devices");
    on(&bench, lower, READ, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::END_OF_FILE, 0)
    });
    on(&bench, filter, READ, move |kernel, _, irp| {
        pass(kernel, bottom, irp)?;
        Ok(NtStatus::SUCCESS)
    });
    read(&bench, top);
    assert_eq!(bench.rules(), [ids::STATUS_MISMATCH]);
}

/// A stack of a filter with a completion routine over a driver that completes later, on
/// another thread. What the completion routine does is `completion`.
fn pending_stack(
    bench: &Bench,
    completion: impl Fn(&Kernel, u64) -> crate::Ddi<NtStatus> + 'static,
) -> u64 {
    let (lower, filter) = (driver(bench, "lower"), driver(bench, "filter"));
    let bottom = device(bench, lower, "");
    let top = device(bench, filter, "");
    bench
        .kernel
        .io_attach_device_to_device_stack(top, bottom)
        .expect("devices");
    on(bench, lower, READ, |kernel, _, irp| {
        kernel.mark_pending(irp)?;
        let body = move |kernel: &Kernel| complete(kernel, irp, NtStatus::SUCCESS, 7).map(|_| ());
        let body = crate::ke::ThreadBody::Native(alloc::boxed::Box::new(body));
        kernel.spawn_thread("completer", 8, body);
        Ok(NtStatus::PENDING)
    });
    let completion = bench.routine(move |kernel, arguments| {
        assert_eq!(arguments[2], 0x55);
        completion(kernel, arguments[1]).map(u64::from)
    });
    on(bench, filter, READ, move |kernel, _, irp| {
        kernel.copy_location(irp)?;
        kernel.set_completion_routine(irp, completion, 0x55, [true; 3])?;
        kernel.iof_call_driver(bottom, irp)
    });
    top
}

#[test]
fn a_completion_routine_that_passes_the_pending_bit_on_breaks_no_rule() {
    let bench = bench();
    let top = pending_stack(&bench, |kernel, irp| {
        let pending = kernel.read(at!(DriverPtr::<Irp>::new(irp), Irp, pending_returned))?;
        assert_ne!(pending, 0);
        kernel.mark_pending(irp)?;
        Ok(NtStatus::SUCCESS)
    });
    assert_eq!(read(&bench, top), NtStatus::SUCCESS);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_completion_routine_that_swallows_the_pending_bit_is_found() {
    let bench = bench();
    let top = pending_stack(&bench, |_, _| Ok(NtStatus::SUCCESS));
    assert_eq!(read(&bench, top), NtStatus::SUCCESS);
    assert_eq!(bench.rules(), [ids::PENDING_NOT_PASSED_ON]);
}

#[test]
fn a_completion_routine_can_keep_the_request_and_complete_it_later() {
    let bench = bench();
    let log = Log::default();
    let (lower, filter) = (driver(&bench, "lower"), driver(&bench, "filter"));
    let bottom = device(&bench, lower, "");
    let top = device(&bench, filter, "");
    bench
        .kernel
        .io_attach_device_to_device_stack(top, bottom)
        .expect("devices");
    let below = log.clone();
    on(&bench, lower, READ, move |kernel, _, irp| {
        below.add("lower");
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let steps = log.clone();
    on(&bench, filter, READ, move |kernel, _, irp| {
        assert_eq!(kernel.io_forward_irp_synchronously(bottom, irp)?, 1);
        steps.add("filter");
        complete(kernel, irp, NtStatus::DATA_ERROR, 0)
    });
    assert_eq!(read(&bench, top), NtStatus::DATA_ERROR);
    assert_eq!(log.take(), ["lower", "filter"]);
    assert!(bench.rules().is_empty());
}

#[test]
fn completion_routines_are_called_for_the_outcomes_they_want() {
    use stack_control::{SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS};
    let cases = [
        (SL_INVOKE_ON_SUCCESS, NtStatus::SUCCESS, 0, true),
        (SL_INVOKE_ON_SUCCESS, NtStatus::UNSUCCESSFUL, 0, false),
        (SL_INVOKE_ON_SUCCESS, NtStatus::BUFFER_OVERFLOW, 0, false),
        (SL_INVOKE_ON_ERROR, NtStatus::BUFFER_OVERFLOW, 0, true),
        (SL_INVOKE_ON_ERROR, NtStatus::SUCCESS, 0, false),
        (SL_INVOKE_ON_CANCEL, NtStatus::CANCELLED, 0, false),
        (SL_INVOKE_ON_CANCEL, NtStatus::CANCELLED, 1, true),
        (SL_INVOKE_ON_CANCEL, NtStatus::SUCCESS, 1, true),
        (0, NtStatus::SUCCESS, 1, false),
    ];
    for (control, status, cancel, called) in cases {
        let bench = bench();
        let log = Log::default();
        let steps = log.clone();
        let driver = driver(&bench, "a");
        on(&bench, driver, READ, move |kernel, _, irp| {
            complete(kernel, irp, status, 0)
        });
        let device = device(&bench, driver, "");
        let routine = bench.routine(move |_, _| {
            steps.add("called");
            Ok(NtStatus::MORE_PROCESSING_REQUIRED.into())
        });
        bench.try_on_thread(move |kernel| {
            let irp = kernel.io_allocate_irp(1, 0)?;
            let next = kernel.next_location(irp)?;
            kernel.write(at!(next, IoStackLocation, major_function), READ)?;
            kernel.set_completion_routine(irp, routine, 0, [false; 3])?;
            kernel.write(at!(next, IoStackLocation, control), control)?;
            kernel.write(at!(DriverPtr::<Irp>::new(irp), Irp, cancel), cancel)?;
            kernel.iof_call_driver(device, irp)
        });
        assert_eq!(
            log.take().len(),
            usize::from(called),
            "{control:#x} {status} {cancel}"
        );
        // Without the routine, the request goes up past its maker.
        assert_eq!(bench.rules().contains(&ids::IRP_NOT_TAKEN_BACK), !called);
    }
}

#[test]
fn the_extended_completion_routine_keeps_its_device() {
    let bench = bench();
    let driver = driver(&bench, "a");
    on(&bench, driver, READ, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let device = device(&bench, driver, "");
    let routine = bench.routine(move |kernel, arguments| {
        assert_eq!((arguments[0], arguments[2]), (0, 0x77));
        assert_eq!(kernel.ob_references(device), 2);
        Ok(NtStatus::MORE_PROCESSING_REQUIRED.into())
    });
    let references = bench.on_thread(move |kernel| {
        let irp = kernel.io_allocate_irp(1, 0)?;
        kernel.write(
            at!(kernel.next_location(irp)?, IoStackLocation, major_function),
            READ,
        )?;
        let set = kernel.io_set_completion_routine_ex(device, irp, routine, 0x77, 1, 1, 1)?;
        assert_eq!(set, NtStatus::SUCCESS);
        kernel.iof_call_driver(device, irp)?;
        kernel.io_free_irp(irp)?;
        Ok(kernel.ob_references(device))
    });
    assert_eq!(references, 1);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_request_without_a_stack_location_left_is_bug_check_35() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let kernel = &bench.kernel;
    let irp = kernel.io_allocate_irp(1, 0).expect("memory");
    kernel
        .write(at!(DriverPtr::<Irp>::new(irp), Irp, current_location), 1)
        .expect("an IRP");
    let stop = kernel.iof_call_driver(device, irp);
    assert!(
        matches!(stop, Err(Stop::BugCheck(bug_check)) if bug_check.code == 0x35 && bug_check.parameters[0] == irp)
    );
    assert_eq!(bench.rules(), [ids::NO_STACK_LOCATION]);
}

#[test]
fn what_is_no_request_or_no_device_stops_the_system() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "a"), "");
    let irp = kernel.io_allocate_irp(1, 0).expect("memory");
    let code = |stop: crate::Ddi<NtStatus>| match stop {
        Err(Stop::BugCheck(bug_check)) => (bug_check.code, bug_check.parameters[0]),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(kernel.iof_call_driver(device, 0x1234)), (0xC9, 3));
    assert_eq!(code(kernel.iof_call_driver(0x1234, irp)), (0xC9, 4));
    kernel.io_free_irp(irp).expect("an IRP");
    assert_eq!(code(kernel.iof_call_driver(device, irp)), (0x44, irp));
}

#[test]
fn requests_are_allocated_as_the_macros_of_drivers_expect() {
    let bench = bench();
    let kernel = &bench.kernel;
    let irp = kernel.io_allocate_irp(3, 0).expect("memory");
    let body = kernel.read(DriverPtr::<Irp>::new(irp)).expect("an IRP");
    assert_eq!(
        (
            body.type_,
            body.size,
            body.stack_count,
            body.current_location
        ),
        (6, 208 + 3 * 72, 3, 4)
    );
    assert_eq!(body.current_stack_location, irp + 208 + 3 * 72);
    let list = at!(DriverPtr::<Irp>::new(irp), Irp, thread_list_entry).address();
    assert_eq!(
        (body.thread_list_entry.flink, body.thread_list_entry.blink),
        (list, list)
    );
    assert_eq!(kernel.io_allocate_irp(0, 0), Ok(0));
    assert_eq!(kernel.io_allocate_irp(0x80, 0), Ok(0));
}

#[test]
fn a_request_in_the_drivers_own_memory_must_fit() {
    let bench = bench();
    let kernel = &bench.kernel;
    let memory = bench.variable(1024);
    kernel
        .io_initialize_irp(memory, 208 + 72, 1)
        .expect("it fits");
    assert!(bench.rules().is_empty());
    assert!(kernel.io_initialize_irp(memory, 208 + 71, 1).is_err());
    assert_eq!(bench.rules(), [ids::IRP_MISUSE]);
}

#[test]
fn reusing_keeps_the_memory_and_sets_the_status() {
    let bench = bench();
    let kernel = &bench.kernel;
    let irp = kernel.io_allocate_irp(2, 0).expect("memory");
    kernel
        .write(at!(DriverPtr::<Irp>::new(irp), Irp, current_location), 1)
        .expect("an IRP");
    kernel.io_reuse_irp(irp, 0xC000_00BB).expect("an IRP");
    let body = kernel.read(DriverPtr::<Irp>::new(irp)).expect("an IRP");
    assert_eq!((body.current_location, body.stack_count), (3, 2));
    assert_eq!(status_of(kernel, irp), NtStatus::NOT_SUPPORTED);
}

/// A driver that passes a power request on from a work item has returned STATUS_PENDING before.
#[test]
fn a_location_that_was_marked_pending_and_skipped_says_nothing_of_the_lower_driver() {
    for answer in [NtStatus::SUCCESS, NtStatus::UNSUCCESSFUL] {
        let bench = bench();
        let (upper, lower) = (driver(&bench, "upper"), driver(&bench, "lower"));
        let (bottom, top) = (device(&bench, lower, ""), device(&bench, upper, ""));
        on(&bench, lower, READ, move |kernel, _, irp| {
            complete(kernel, irp, NtStatus::SUCCESS, 0)?;
            Ok(answer)
        });
        on(&bench, upper, READ, move |kernel, _, irp| {
            kernel.mark_pending(irp)?;
            kernel.skip_stack_location(irp)?;
            kernel.iof_call_driver(bottom, irp)?;
            Ok(NtStatus::PENDING)
        });
        assert_eq!(read(&bench, top), NtStatus::SUCCESS);
        // What it returns is still to be what it has completed the request with.
        let wrong = (answer != NtStatus::SUCCESS).then_some(ids::STATUS_MISMATCH);
        assert_eq!(bench.rules(), wrong.as_slice());
    }
}

#[test]
fn freeing_what_the_system_frees_is_found() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let stop = bench.try_on_thread(move |kernel| {
        let irp =
            kernel.io_build_device_io_control_request(0x22_2000, device, 0, 0, 0, 0, 0, 0, 0)?;
        kernel.io_free_irp(irp)
    });
    assert!(matches!(stop, Some(Err(Stop::BugCheck(bug_check))) if bug_check.code == 0xC9));
    assert_eq!(bench.rules(), [ids::IRP_MISUSE]);
}

#[test]
fn freeing_a_request_that_a_lower_driver_has_is_found() {
    let bench = bench();
    let driver = driver(&bench, "a");
    on(&bench, driver, READ, |kernel, _, irp| {
        kernel.mark_pending(irp)?;
        Ok(NtStatus::PENDING)
    });
    let device = device(&bench, driver, "");
    bench.on_thread(move |kernel| {
        let irp = kernel.io_allocate_irp(1, 0)?;
        kernel.write(
            at!(kernel.next_location(irp)?, IoStackLocation, major_function),
            READ,
        )?;
        kernel.iof_call_driver(device, irp)?;
        kernel.io_free_irp(irp)
    });
    assert_eq!(bench.rules(), [ids::IRP_MISUSE]);
}

#[test]
fn a_master_is_completed_with_its_last_associated_request() {
    let bench = bench();
    let (upper, lower) = (driver(&bench, "upper"), driver(&bench, "lower"));
    let bottom = device(&bench, lower, "");
    let top = device(&bench, upper, "");
    on(&bench, lower, READ, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    on(&bench, upper, READ, move |kernel, _, irp| {
        kernel.mark_pending(irp)?;
        let master = DriverPtr::<Irp>::new(irp);
        kernel.write(at!(master, Irp, associated_irp).cast::<i32>(), 2)?;
        kernel.write(at!(master, Irp, io_status.status), NtStatus::SUCCESS)?;
        for _ in 0..2 {
            let part = kernel.io_make_associated_irp(irp, 1)?;
            kernel.write(
                at!(kernel.next_location(part)?, IoStackLocation, major_function),
                READ,
            )?;
            kernel.iof_call_driver(bottom, part)?;
        }
        Ok(NtStatus::PENDING)
    });
    assert_eq!(read(&bench, top), NtStatus::SUCCESS);
    assert!(bench.rules().is_empty());
}

#[test]
fn cancelling_calls_the_cancel_routine_with_the_lock_held() {
    let bench = bench();
    let kernel = &bench.kernel;
    let routine = bench.routine(|kernel, arguments| {
        assert_eq!(kernel.irql().0, 2);
        let pointer = DriverPtr::<Irp>::new(arguments[1]);
        let level = kernel.read(at!(pointer, Irp, cancel_irql))?;
        kernel.io_release_cancel_spin_lock(level.0)?;
        Ok(0)
    });
    let irp = kernel.io_allocate_irp(1, 0).expect("memory");
    assert_eq!(bench.on_thread(move |kernel| kernel.io_cancel_irp(irp)), 0);
    let pointer = DriverPtr::<Irp>::new(irp);
    kernel
        .write(at!(pointer, Irp, cancel_routine), routine)
        .expect("an IRP");
    assert_eq!(bench.on_thread(move |kernel| kernel.io_cancel_irp(irp)), 1);
    assert_eq!(kernel.read(at!(pointer, Irp, cancel_routine)), Ok(0));
    assert_eq!(kernel.read(at!(pointer, Irp, cancel)), Ok(1));
    assert!(bench.rules().is_empty());
}

#[test]
fn a_cancel_routine_that_keeps_the_lock_is_found() {
    let bench = bench();
    let routine = bench.routine(|_, _| Ok(0));
    let irp = bench.kernel.io_allocate_irp(1, 0).expect("memory");
    bench
        .kernel
        .write(
            at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine),
            routine,
        )
        .expect("an IRP");
    bench.try_on_thread(move |kernel| kernel.io_cancel_irp(irp));
    assert_eq!(bench.rules()[0], ids::CANCEL_LOCK_KEPT);
}
