//! Device interfaces and who is told of them.

use alloc::string::String;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::pnp::{DeviceInterfaceChangeNotification, TargetDeviceRemovalNotification};
use dirql_abi::string::UnicodeString;
use dirql_rules::ids;

use super::pnp::edu;
use super::{Log, bench, complete, driver, function_driver, on};
use crate::DriverPtr;
use crate::hal::MessageWish;
use crate::io::pnp::PnpError;
use crate::testing::Bench;

const CLASS: Guid = Guid::new(0x1234_5678, 0x9ABC, 0xDEF0, [1, 2, 3, 4, 5, 6, 7, 8]);

fn class(bench: &Bench) -> DriverPtr<Guid> {
    let class = DriverPtr::new(bench.variable(16));
    bench.kernel.write(class, CLASS).expect("a variable");
    class
}

fn register(bench: &Bench, device: u64, reference: &str) -> (NtStatus, DriverPtr<UnicodeString>) {
    let link = DriverPtr::new(bench.variable(16));
    let reference = DriverPtr::new(if reference.is_empty() {
        0
    } else {
        bench.unicode(reference)
    });
    let status = bench
        .kernel
        .io_register_device_interface(device, class(bench), reference, link);
    (status.expect("variables"), link)
}

#[test]
fn an_enabled_interface_is_a_link_to_its_device() {
    let bench = bench();
    let kernel = bench.kernel.clone();
    let device = edu(&bench, MessageWish::Line);
    let (status, link) = register(&bench, device, "");
    assert_eq!(status, NtStatus::SUCCESS);
    let name = kernel.text_of(link).expect("a string");
    assert!(name.starts_with(r"\??\PCI#VEN_1234&DEV_11E8"), "{name}");
    assert!(
        name.ends_with("#{12345678-9abc-def0-0102-030405060708}"),
        "{name}"
    );
    assert!(kernel.name_resolve(&name).is_err(), "not enabled yet");
    let set = |enable| {
        kernel
            .io_set_device_interface_state(link, enable)
            .expect("a string")
    };
    assert_eq!(set(0), NtStatus::OBJECT_NAME_NOT_FOUND);
    assert_eq!(set(1), NtStatus::SUCCESS);
    assert_eq!(
        kernel.name_resolve(&name).map(|found| found.object),
        Ok(device)
    );
    assert_eq!(set(1), NtStatus::OBJECT_NAME_EXISTS);
    assert_eq!(kernel.interfaces_of(device).len(), 1);
    assert_eq!(set(0), NtStatus::SUCCESS);
    assert!(kernel.name_resolve(&name).is_err());
    assert!(kernel.interfaces_of(device).is_empty());
}

#[test]
fn only_physical_devices_have_interfaces() {
    let bench = bench();
    assert_eq!(register(&bench, 1, "").0, NtStatus::INVALID_DEVICE_REQUEST);
    let device = edu(&bench, MessageWish::Line);
    assert_eq!(
        register(&bench, device, r"a\b").0,
        NtStatus::INVALID_DEVICE_REQUEST
    );
    let unknown = DriverPtr::new(bench.unicode(r"\??\nothing"));
    let status = bench.kernel.io_set_device_interface_state(unknown, 1);
    assert_eq!(status, Ok(NtStatus::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn reference_strings_share_a_link_and_tell_the_driver_which_it_is() {
    let bench = bench();
    let kernel = bench.kernel.clone();
    let device = edu(&bench, MessageWish::Line);
    let links = [
        register(&bench, device, "one").1,
        register(&bench, device, "two").1,
    ];
    for link in links {
        assert_eq!(
            kernel.io_set_device_interface_state(link, 1),
            Ok(NtStatus::SUCCESS)
        );
    }
    let name = kernel.text_of(links[1]).expect("a string");
    let found = kernel.name_resolve(&name).expect("it is enabled");
    assert_eq!((found.object, found.rest.as_str()), (device, r"\two"));
    kernel
        .io_set_device_interface_state(links[0], 0)
        .expect("a string");
    assert!(
        kernel.name_resolve(&name).is_ok(),
        "the other one still needs the link"
    );
    kernel
        .io_set_device_interface_state(links[1], 0)
        .expect("a string");
    assert!(kernel.name_resolve(&name).is_err());
}

#[test]
fn interfaces_of_a_class_are_listed() {
    let bench = bench();
    let kernel = bench.kernel.clone();
    let device = edu(&bench, MessageWish::Line);
    let (_, link) = register(&bench, device, "");
    let list = DriverPtr::new(bench.variable(8));
    let get = |flags| {
        assert_eq!(
            kernel.io_get_device_interfaces(class(&bench), 0, flags, list),
            Ok(NtStatus::SUCCESS)
        );
        let at = kernel.read(list).expect("a variable");
        kernel.read(DriverPtr::<u16>::new(at)).expect("pool") != 0
    };
    assert!(!get(0));
    assert!(get(1), "also those that are not active");
    kernel
        .io_set_device_interface_state(link, 1)
        .expect("a string");
    assert!(get(0));
}

#[test]
fn an_alias_is_the_same_device_in_another_class() {
    let bench = bench();
    let kernel = bench.kernel.clone();
    let device = edu(&bench, MessageWish::Line);
    let (_, link) = register(&bench, device, "");
    let other = DriverPtr::<Guid>::new(bench.variable(16));
    let alias = DriverPtr::new(bench.variable(16));
    let get = |link| {
        kernel
            .io_get_device_interface_alias(link, other, alias)
            .expect("variables")
    };
    assert_eq!(get(link), NtStatus::OBJECT_NAME_NOT_FOUND);
    kernel
        .io_register_device_interface(
            device,
            other,
            DriverPtr::NULL,
            DriverPtr::new(bench.variable(16)),
        )
        .expect("ok");
    assert_eq!(get(link), NtStatus::SUCCESS);
    assert_eq!(
        get(DriverPtr::new(bench.unicode("x"))),
        NtStatus::INVALID_HANDLE
    );
}

#[test]
fn whoever_registered_is_told_of_interfaces() {
    let bench = bench();
    let kernel = bench.kernel.clone();
    let log = Log::default();
    let (device, driver) = (edu(&bench, MessageWish::Line), driver(&bench, "listener"));
    let own = log.clone();
    let routine = bench.routine(move |kernel, arguments| {
        assert_eq!(kernel.irql().0, 0);
        let notification = DriverPtr::<DeviceInterfaceChangeNotification>::new(arguments[0]);
        let body = kernel.read(notification)?;
        assert_eq!(
            (body.version, body.size, body.interface_class_guid),
            (1, 48, CLASS)
        );
        let name = kernel.text_of(DriverPtr::new(body.symbolic_link_name))?;
        own.add(alloc::format!(
            "{:x} {} {}",
            body.event.data1 & 0xF,
            arguments[1],
            name.is_empty()
        ));
        Ok(0)
    });
    let (_, link) = register(&bench, device, "");
    let entry = DriverPtr::new(bench.variable(8));
    let data = class(&bench).address();
    let status = kernel.io_register_plug_play_notification(2, 0, data, driver, routine, 5, entry);
    assert_eq!(status, Ok(NtStatus::SUCCESS));
    for enable in [1, 0] {
        kernel
            .io_set_device_interface_state(link, enable)
            .expect("a string");
        kernel.run_until_idle();
    }
    assert_eq!(log.take(), ["4 5 false", "5 5 false"]);
    let entry = kernel.read(entry).expect("a variable");
    assert_eq!(
        kernel.io_unregister_plug_play_notification(entry),
        Ok(NtStatus::SUCCESS)
    );
    kernel
        .io_set_device_interface_state(link, 1)
        .expect("a string");
    kernel.run_until_idle();
    assert!(log.take().is_empty());
    kernel
        .io_unregister_plug_play_notification(entry)
        .expect("not fatal");
    assert_eq!(bench.rules(), [ids::NOT_IO_OBJECT]);
    let include = DriverPtr::new(bench.variable(8));
    bench.on_thread(move |kernel| {
        kernel.io_register_plug_play_notification(2, 1, data, driver, routine, 6, include)
    });
    assert_eq!(log.take(), ["4 6 false"], "those that exist already");
    let other = kernel.io_register_plug_play_notification(9, 0, data, driver, routine, 0, include);
    assert_eq!(other, Ok(NtStatus::INVALID_PARAMETER));
}

#[test]
fn a_driver_that_has_a_device_open_can_refuse_its_removal() {
    let bench = bench();
    let log = Log::default();
    let device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &Log::default());
    for function in [0, 0x12, 2] {
        on(&bench, driver, function, |kernel, _, irp| {
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        });
    }
    bench
        .kernel
        .choose_driver(device, driver)
        .expect("a physical device");
    bench
        .on_thread(move |kernel| kernel.start_device(device))
        .expect("it starts");
    let own = log.clone();
    let routine = bench.routine(move |kernel, arguments| {
        let body = kernel.read(DriverPtr::<TargetDeviceRemovalNotification>::new(
            arguments[0],
        ))?;
        own.add(alloc::format!("{:x}", body.event.data1 & 0xF));
        Ok(if own.0.borrow().len() == 1 {
            NtStatus::DEVICE_BUSY.into()
        } else {
            0
        })
    });
    let entry = DriverPtr::new(bench.variable(8));
    let file = bench.on_thread(move |kernel| {
        let file = kernel.open_object(device)?.expect("it opens");
        let status = kernel.io_register_plug_play_notification(
            3,
            0,
            file.file_object(),
            driver,
            routine,
            0,
            entry,
        )?;
        assert_eq!(status, NtStatus::SUCCESS);
        Ok(file)
    });
    let refused = bench.on_thread(move |kernel| kernel.remove_device(device));
    assert!(matches!(
        refused,
        Err(PnpError::Refused {
            status: NtStatus::DEVICE_BUSY,
            ..
        })
    ));
    assert_eq!(
        log.0.borrow().as_slice(),
        [String::from("6"), String::from("7")]
    );
    bench.on_thread(move |kernel| {
        kernel.close(file)?;
        assert_eq!(kernel.remove_device(device)?, Ok(()));
        Ok(())
    });
}
