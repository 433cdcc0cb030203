//! Unloading a driver that is still asked for something.

use dirql_abi::NtStatus;
use dirql_abi::device::DriverObject;
use dirql_abi::irp::major;

use super::{Log, bench, complete, device, on, opens_and_closes};
use crate::io::RequestKind;
use crate::ke::ThreadBody;
use crate::testing::Bench;
use crate::{Ddi, DriverPtr, Kernel, at};

const SECOND_100NS: u64 = 10_000_000;

const READ: RequestKind = RequestKind::Read {
    length: 1,
    offset: 0,
};

/// A driver with a device `\Device\A`, whose reads are `read`, and whose Unload deletes it.
fn readable(
    bench: &Bench,
    log: &Log,
    read: impl Fn(&Kernel, u64) -> Ddi<NtStatus> + 'static,
) -> u64 {
    let driver = opens_and_closes(bench);
    on(bench, driver, major::IRP_MJ_READ, move |kernel, _, irp| {
        read(kernel, irp)
    });
    let device = device(bench, driver, r"\Device\A");
    let log = log.clone();
    let unload = bench.routine(move |kernel, _| {
        log.add("unloaded");
        kernel.io_delete_device(device)?;
        Ok(0)
    });
    let object = DriverPtr::<DriverObject>::new(driver);
    bench
        .kernel
        .write(at!(object, DriverObject, driver_unload), unload)
        .expect("a driver object");
    driver
}

#[test]
fn an_unload_waits_for_a_request_in_the_driver() {
    let bench = bench();
    let log = Log::default();
    let told = log.clone();
    let driver = readable(&bench, &log, move |kernel, irp| {
        sleep(kernel, 3 * SECOND_100NS)?;
        told.add("the request ends");
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    read_and_unload(&bench, &log, driver);
}

#[test]
fn an_unload_waits_for_a_dispatch_routine_that_has_completed_its_request() {
    let bench = bench();
    let log = Log::default();
    let told = log.clone();
    let driver = readable(&bench, &log, move |kernel, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)?;
        sleep(kernel, 3 * SECOND_100NS)?;
        told.add("the request ends");
        Ok(NtStatus::SUCCESS)
    });
    read_and_unload(&bench, &log, driver);
}

#[test]
fn an_unload_waits_for_a_close_in_the_driver() {
    let bench = bench();
    let log = Log::default();
    let told = log.clone();
    let driver = readable(&bench, &log, |kernel, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    on(
        &bench,
        driver,
        major::IRP_MJ_CLOSE,
        move |kernel, _, irp| {
            sleep(kernel, 3 * SECOND_100NS)?;
            told.add("the request ends");
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        },
    );
    read_and_unload(&bench, &log, driver);
}

fn sleep(kernel: &Kernel, interval: u64) -> Ddi<()> {
    let event = kernel.take_event()?;
    kernel.wait_for(event, Some(interval))?;
    kernel.give_event(event);
    Ok(())
}

/// Unloads the driver one second after a read of three seconds was sent.
fn read_and_unload(bench: &Bench, log: &Log, driver: u64) {
    let (opened, told) = (log.clone(), log.clone());
    bench.on_thread(move |kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        let reader = move |kernel: &Kernel| {
            opened.add("the read begins");
            kernel.request(file, &READ)?;
            kernel.close(file)?;
            Ok(())
        };
        kernel.spawn_thread(
            "reader",
            8,
            ThreadBody::Native(alloc::boxed::Box::new(reader)),
        );
        sleep(kernel, SECOND_100NS)?;
        told.add("the unload begins");
        kernel.unload_driver(driver)?.expect("a driver");
        Ok(())
    });
    assert_eq!(
        log.take(),
        [
            "the read begins",
            "the unload begins",
            "the request ends",
            "unloaded"
        ]
    );
    assert!(bench.rules().is_empty());
}

#[test]
fn an_unload_does_not_wait_for_ever_for_a_request_that_stays() {
    let bench = bench();
    let log = Log::default();
    let driver = readable(&bench, &log, |kernel, irp| {
        kernel.mark_pending(irp)?;
        Ok(NtStatus::PENDING)
    });
    let waited = bench.on_thread(move |kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        kernel.submit(file, &READ)?;
        kernel.close(file)?;
        let begin = kernel.time_100ns();
        kernel.unload_driver(driver)?.expect("a driver");
        Ok(kernel.time_100ns() - begin)
    });
    assert_eq!(log.take(), ["unloaded"]);
    assert!(
        (16 * SECOND_100NS..18 * SECOND_100NS).contains(&waited),
        "{waited}"
    );
}

#[test]
fn an_unload_waits_for_handles_and_is_refused_while_one_is_open() {
    let bench = bench();
    let log = Log::default();
    let told = log.clone();
    let driver = readable(&bench, &log, |kernel, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    bench.on_thread(move |kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        let refused = kernel.unload_driver(driver)?;
        assert_eq!(refused, Err(crate::io::UnloadError::Open));
        let closer = move |kernel: &Kernel| {
            sleep(kernel, SECOND_100NS)?;
            told.add("the last handle is closed");
            kernel.close(file)?;
            Ok(())
        };
        let closer = ThreadBody::Native(alloc::boxed::Box::new(closer));
        kernel.spawn_thread("closer", 8, closer);
        kernel.unload_driver(driver)?.expect("nothing is open");
        Ok(())
    });
    assert_eq!(log.take(), ["the last handle is closed", "unloaded"]);
    assert!(bench.rules().is_empty());
}

#[test]
fn other_drivers_are_loaded_already_or_not_at_all() {
    let bench = bench();
    let kernel = &bench.kernel;
    let image = crate::io::DriverImage {
        name: alloc::string::String::from("other"),
        base: 0,
        size: 0,
        entry: bench.routine(|_, _| Ok(0)),
    };
    let driver = kernel.create_driver(&image).unwrap().unwrap();
    assert_eq!(kernel.run_driver_entry(driver), Ok(NtStatus::SUCCESS));
    let path = r"\Registry\Machine\System\CurrentControlSet\Services";
    let name = |service: &str| DriverPtr::new(bench.unicode(&[path, service].join("\\")));
    let (own, none) = (name("Other"), name("none"));
    assert_eq!(
        kernel.zw_load_driver(own),
        Ok(NtStatus::IMAGE_ALREADY_LOADED)
    );
    for status in [kernel.zw_load_driver(none), kernel.zw_unload_driver(none)] {
        assert_eq!(status, Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
    }
    let unload = || kernel.zw_unload_driver(own);
    assert_eq!(unload(), Ok(NtStatus::INVALID_DEVICE_REQUEST));
    let object = DriverPtr::<DriverObject>::new(driver);
    kernel
        .write(at!(object, DriverObject, driver_unload), 1)
        .unwrap();
    assert_eq!(unload(), Err(crate::Stop::Ended));
    assert_eq!(bench.rules(), [dirql_rules::ids::UNIMPLEMENTED_IMPORT]);
}
