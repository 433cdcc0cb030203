//! Work items, timers, logs, shutdown and the rest.

use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::io::{IoErrorLogPacket, work_queue_type};
use dirql_abi::irp::major;
use dirql_rules::ids;

use super::{Log, bench, complete, device, driver, on};
use crate::io::ErrorLogEntry;
use crate::{Config, DriverPtr, Stop, WindowsVersion, at};

const DELAYED: u32 = work_queue_type::DelayedWorkQueue;

#[test]
fn a_work_item_runs_on_a_system_thread_and_keeps_its_device() {
    let bench = bench();
    let log = Log::default();
    let device = device(&bench, driver(&bench, "a"), "");
    let own = log.clone();
    let routine = bench.routine(move |kernel, arguments| {
        assert_eq!((kernel.irql().0, kernel.ob_references(device)), (0, 2));
        own.add(alloc::format!(
            "{} {}",
            arguments[0] == device,
            arguments[1]
        ));
        Ok(0)
    });
    let item = bench
        .kernel
        .io_allocate_work_item(device)
        .expect("a device");
    bench
        .kernel
        .io_queue_work_item(item, routine, DELAYED, 9, false)
        .expect("not queued");
    assert!(log.take().is_empty());
    bench.kernel.run_until_idle();
    assert_eq!(log.take(), ["true 9"]);
    bench
        .kernel
        .io_queue_work_item(item, routine, DELAYED, 10, false)
        .expect("it has run");
    bench.kernel.run_until_idle();
    assert_eq!(log.take(), ["true 10"]);
    bench
        .kernel
        .io_free_work_item(item)
        .expect("it is not queued");
    assert_eq!(bench.kernel.ob_references(device), 1);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_work_item_that_is_queued_is_not_queued_again_by_a_try() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let log = Log::default();
    let own = log.clone();
    let routine = bench.routine(move |_, arguments| {
        own.add(alloc::format!("{}", arguments[1]));
        Ok(0)
    });
    let kernel = &bench.kernel;
    let item = kernel.io_allocate_work_item(device).expect("a device");
    let queue = |context| kernel.io_try_queue_work_item(item, routine, DELAYED, context);
    assert_eq!([queue(1), queue(2)], [Ok(1), Ok(0)]);
    kernel.run_until_idle();
    assert_eq!(queue(3), Ok(1));
    kernel.run_until_idle();
    assert_eq!(log.take(), ["1", "3"]);
    kernel.io_free_work_item(item).expect("it is not queued");
    assert!(bench.rules().is_empty());
}

#[test]
fn a_work_item_can_be_freed_by_its_own_routine() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let routine = bench.routine(|kernel, arguments| {
        kernel.io_free_work_item(arguments[2])?;
        Ok(0)
    });
    let item = bench
        .kernel
        .io_allocate_work_item(device)
        .expect("a device");
    bench
        .kernel
        .io_queue_work_item(item, routine, DELAYED, 0, true)
        .expect("not queued");
    bench.kernel.run_until_idle();
    assert!(bench.rules().is_empty() && bench.stop().is_none());
}

#[test]
fn one_work_item_can_wait_for_another() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let event = bench.variable(24);
    bench
        .kernel
        .ke_initialize_event(DriverPtr::new(event), 0, 0)
        .expect("a variable");
    let waits = bench.routine(move |kernel, _| kernel.wait_for(event, None).map(u64::from));
    let sets =
        bench.routine(move |kernel, _| kernel.ke_set_event(DriverPtr::new(event), 0, 0).map(|_| 0));
    for routine in [waits, sets] {
        let item = bench
            .kernel
            .io_allocate_work_item(device)
            .expect("a device");
        bench
            .kernel
            .io_queue_work_item(item, routine, DELAYED, 0, false)
            .expect("not queued");
    }
    bench.kernel.run_until_idle();
    assert_eq!(bench.kernel.ob_references(device), 1, "both have run");
}

#[test]
fn a_queued_work_item_is_left_alone() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "a"), "");
    let routine = bench.routine(|_, _| Ok(0));
    let item = kernel.io_allocate_work_item(device).expect("a device");
    kernel
        .io_queue_work_item(item, routine, DELAYED, 0, false)
        .expect("not queued");
    let code = |stop: crate::Ddi<()>| match stop {
        Err(Stop::BugCheck(bug_check)) => (bug_check.code, bug_check.parameters[0]),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        code(kernel.io_queue_work_item(item, routine, DELAYED, 0, false)),
        (0xE4, 1)
    );
    assert_eq!(code(kernel.io_free_work_item(item)), (0xE4, 2));
    assert_eq!(
        code(kernel.io_initialize_work_item(device, item)),
        (0xE4, 3)
    );
    assert_eq!(bench.rules(), [ids::WORK_ITEM; 3]);
    assert_eq!(code(kernel.io_free_work_item(0x1234)), (0xE4, 3));
}

#[test]
fn a_work_item_in_the_drivers_own_memory_is_not_freed() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "a"), "");
    let bytes = kernel.io_sizeof_work_item().expect("a number");
    let item = bench.variable(bytes.into());
    kernel
        .io_initialize_work_item(device, item)
        .expect("a variable");
    kernel
        .io_uninitialize_work_item(item)
        .expect("it is not queued");
    kernel
        .io_initialize_work_item(device, item)
        .expect("a variable");
    assert!(kernel.io_free_work_item(item).is_err());
}

#[test]
fn io_timers_tick_once_a_second_at_dispatch_level() {
    let bench = bench();
    let log = Log::default();
    let device = device(&bench, driver(&bench, "a"), "");
    let own = log.clone();
    let routine = bench.routine(move |kernel, arguments| {
        assert_eq!(
            (kernel.irql().0, arguments[0], arguments[1]),
            (2, device, 8)
        );
        own.add(alloc::format!("{}", kernel.time_100ns() / 10_000_000));
        if own.0.borrow().len() == 3 {
            kernel.io_stop_timer(device)?;
        }
        Ok(0)
    });
    bench.on_thread(move |kernel| {
        assert_eq!(
            kernel.io_initialize_timer(device, routine, 8)?,
            NtStatus::SUCCESS
        );
        kernel.io_start_timer(device)
    });
    assert_eq!(log.take(), ["1", "2", "3"]);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_timer_is_initialised_once_and_first() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "a"), "");
    kernel.io_start_timer(device).expect("not fatal");
    assert_eq!(bench.rules(), [ids::TIMER_MISUSE]);
    kernel.io_initialize_timer(device, 1, 0).expect("a device");
    kernel.io_initialize_timer(device, 1, 0).expect("a device");
    assert_eq!(bench.rules().len(), 2);
    kernel.io_delete_device(device).expect("a device");
    assert_eq!(bench.rules().len(), 2);
}

#[test]
fn error_log_entries_are_kept_with_their_strings_and_data() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "edu"), "");
    assert_eq!(kernel.io_allocate_error_log_entry(device, 241), Ok(0));
    assert_eq!(kernel.io_allocate_error_log_entry(device, 39), Ok(0));
    assert_eq!(kernel.io_allocate_error_log_entry(1, 48), Ok(0));
    let entry = kernel
        .io_allocate_error_log_entry(device, 60)
        .expect("memory");
    let packet = DriverPtr::<IoErrorLogPacket>::new(entry);
    kernel
        .write(at!(packet, IoErrorLogPacket, dump_data_size), 4)
        .expect("pool");
    kernel
        .write(at!(packet, IoErrorLogPacket, number_of_strings), 1)
        .expect("pool");
    kernel
        .write(at!(packet, IoErrorLogPacket, string_offset), 44)
        .expect("pool");
    kernel
        .write(
            at!(packet, IoErrorLogPacket, error_code),
            NtStatus::DEVICE_NOT_READY,
        )
        .expect("pool");
    kernel
        .write(at!(packet, IoErrorLogPacket, unique_error_value), 7)
        .expect("pool");
    kernel.write_bytes(entry + 40, &[1, 2, 3, 4]).expect("pool");
    kernel.write_bytes(entry + 44, b"h\0i\0\0\0").expect("pool");
    kernel.io_write_error_log_entry(entry).expect("an entry");
    let expected = ErrorLogEntry {
        driver: Some(String::from("edu")),
        code: NtStatus::DEVICE_NOT_READY,
        final_status: NtStatus::SUCCESS,
        unique_value: 7,
        strings: alloc::vec![String::from("hi")],
        data: alloc::vec![1, 2, 3, 4],
    };
    assert_eq!(kernel.error_log(), [expected]);
    kernel.io_write_error_log_entry(entry).expect("not fatal");
    kernel.io_free_error_log_entry(entry).expect("not fatal");
    assert_eq!(
        bench.rules(),
        [ids::ERROR_LOG_ENTRY; 1],
        "the same finding is recorded once"
    );
}

#[test]
fn an_error_log_entry_that_lies_about_its_parts_is_cut() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "edu"), "");
    let entry = kernel
        .io_allocate_error_log_entry(device, 41)
        .expect("memory");
    let packet = DriverPtr::<IoErrorLogPacket>::new(entry);
    kernel
        .write(at!(packet, IoErrorLogPacket, dump_data_size), u16::MAX)
        .expect("pool");
    kernel
        .write(at!(packet, IoErrorLogPacket, number_of_strings), 2)
        .expect("pool");
    kernel
        .write(at!(packet, IoErrorLogPacket, string_offset), u16::MAX)
        .expect("pool");
    kernel.io_write_error_log_entry(entry).expect("an entry");
    let written = &kernel.error_log()[0];
    assert!(written.data.is_empty());
    assert_eq!(written.strings, [String::new(), String::new()]);
}

#[test]
fn shutdown_is_told_last_registered_first() {
    let bench = bench();
    let log = Log::default();
    let driver = driver(&bench, "a");
    let devices = [
        device(&bench, driver, ""),
        device(&bench, driver, ""),
        device(&bench, driver, ""),
    ];
    let own = log.clone();
    on(
        &bench,
        driver,
        major::IRP_MJ_SHUTDOWN,
        move |kernel, device, irp| {
            own.add(alloc::format!(
                "{:?}",
                devices.iter().position(|known| *known == device)
            ));
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        },
    );
    let kernel = &bench.kernel;
    kernel
        .io_register_last_chance_shutdown_notification(devices[2])
        .expect("a device");
    kernel
        .io_register_shutdown_notification(devices[0])
        .expect("a device");
    kernel
        .io_register_shutdown_notification(devices[1])
        .expect("a device");
    kernel
        .io_unregister_shutdown_notification(devices[1])
        .expect("a device");
    kernel
        .io_register_shutdown_notification(devices[1])
        .expect("a device");
    bench.on_thread(|kernel| kernel.shut_down());
    assert_eq!(log.take(), ["Some(1)", "Some(0)", "Some(2)"]);
}

#[test]
fn wmi_providers_are_registered_once() {
    let bench = bench();
    let kernel = &bench.kernel;
    let device = device(&bench, driver(&bench, "a"), "");
    let control = |action| {
        kernel
            .io_wmi_registration_control(device, action)
            .expect("a device")
    };
    assert_eq!(control(2), NtStatus::INVALID_DEVICE_REQUEST);
    assert_eq!(control(1), NtStatus::SUCCESS);
    assert_eq!(control(4), NtStatus::SUCCESS);
    assert_eq!(control(1), NtStatus::SUCCESS);
    assert_eq!(bench.rules(), [ids::WMI_REGISTERED_TWICE]);
    assert_eq!(control(2), NtStatus::SUCCESS);
    assert_eq!(control(9), NtStatus::INVALID_PARAMETER);
}

#[test]
fn named_events_are_made_once_and_start_signaled() {
    let bench = bench();
    let kernel = &bench.kernel;
    let name = DriverPtr::new(bench.unicode(r"\BaseNamedObjects\Ready"));
    let (first, second) = (
        DriverPtr::new(bench.variable(8)),
        DriverPtr::new(bench.variable(8)),
    );
    let event = kernel
        .io_create_notification_event(name, first)
        .expect("variables");
    assert_eq!(
        kernel.io_create_synchronization_event(name, second),
        Ok(event)
    );
    assert_eq!(kernel.ke_read_state_event(DriverPtr::new(event)), Ok(1));
    assert_ne!(kernel.read(first), kernel.read(second));
    let bad = DriverPtr::new(bench.unicode("nowhere"));
    assert_eq!(kernel.io_create_notification_event(bad, first), Ok(0));
    let nameless = || {
        kernel
            .io_create_synchronization_event(DriverPtr::NULL, first)
            .unwrap()
    };
    let (one, other) = (nameless(), nameless());
    assert!(one != 0 && other != 0 && one != other);
}

#[test]
fn configuration_information_is_one_structure() {
    let bench = bench();
    let kernel = &bench.kernel;
    let block = kernel
        .io_get_configuration_information()
        .expect("system memory");
    assert_eq!(
        kernel.read(DriverPtr::<[u32; 10]>::new(block)),
        Ok([0, 0, 0, 0, 0, 0, 0, 0, 40, 0])
    );
    assert_eq!(kernel.io_get_configuration_information(), Ok(block));
}

#[test]
fn the_version_of_wdm_goes_with_windows() {
    let cases = [
        (WindowsVersion::Server2003, (1, 0x30), 1),
        (WindowsVersion::Server2003, (1, 0x31), 0),
        (WindowsVersion::Vista, (6, 0), 1),
        (WindowsVersion::Vista, (6, 1), 0),
    ];
    for (windows, (major, minor), available) in cases {
        let bench = crate::testing::Bench::new(Config {
            windows,
            ..Config::default()
        });
        assert_eq!(
            bench.kernel.io_is_wdm_version_available(major, minor),
            Ok(available)
        );
    }
}

#[test]
fn controllers_are_taken_in_turn() {
    let bench = bench();
    let log = Log::default();
    let driver = driver(&bench, "a");
    let (first, second) = (device(&bench, driver, ""), device(&bench, driver, ""));
    let kernel = &bench.kernel;
    let controller = kernel.io_create_controller(8).expect("memory");
    let own = log.clone();
    let routine = bench.routine(move |_, arguments| {
        own.add(alloc::format!("{} {}", arguments[0] == first, arguments[3]));
        Ok(1)
    });
    kernel
        .io_allocate_controller(controller, first, routine, 1)
        .expect("objects");
    kernel
        .io_allocate_controller(controller, second, routine, 2)
        .expect("objects");
    assert_eq!(log.take(), ["true 1"]);
    kernel.io_free_controller(controller).expect("a controller");
    assert_eq!(log.take(), ["false 2"]);
    kernel.io_free_controller(controller).expect("a controller");
    kernel
        .io_delete_controller(controller)
        .expect("a controller");
    assert!(kernel.io_delete_controller(controller).is_err());
}
