//! Power requests.

use dirql_abi::NtStatus;
use dirql_abi::irp::{major, minor_power};
use dirql_abi::power::{device_power_state, power_state_type};
use dirql_abi::stack_parameters::StackParametersPower;
use dirql_rules::ids;

use super::pnp::edu;
use super::{Log, below, bench, complete, device, driver, function_driver, on, pass, stack};
use crate::hal::MessageWish;
use crate::io::pnp::{PnpError, PowerState};
use crate::testing::Bench;
use crate::{Config, DriverPtr, WindowsVersion};

const D0: u32 = device_power_state::PowerDeviceD0;
const D3: u32 = device_power_state::PowerDeviceD3;

fn set_power(bench: &Bench, physical_device: u64, state: u8) -> Result<(), PnpError> {
    bench.on_thread(move |kernel| kernel.set_power(physical_device, PowerState::Device(state)))
}

fn started(bench: &Bench) -> (u64, u64) {
    let physical_device = edu(bench, MessageWish::Line);
    let driver = function_driver(bench, "edu", &Log::default());
    bench
        .kernel
        .choose_driver(physical_device, driver)
        .expect("a physical device");
    bench
        .on_thread(move |kernel| kernel.start_device(physical_device))
        .expect("it starts");
    (physical_device, driver)
}

#[test]
fn powering_down_asks_first_and_reaches_the_bus() {
    let bench = bench();
    let log = Log::default();
    let (physical_device, driver) = started(&bench);
    let own = log.clone();
    on(
        &bench,
        driver,
        major::IRP_MJ_POWER,
        move |kernel, device, irp| {
            let location = stack(kernel, irp)?;
            let wish = location.parameters::<StackParametersPower>();
            let name = minor_power::name(location.minor_function).unwrap_or_default();
            own.add(alloc::format!("{name} {} {}", wish.type_, wish.state));
            pass(kernel, below(kernel, device)?, irp)
        },
    );
    for (device, state) in [(3, D3), (0, D0)] {
        assert_eq!(set_power(&bench, physical_device, device), Ok(()));
        assert_eq!(
            bench.kernel.node(physical_device).map(|node| node.power),
            Some(state)
        );
    }
    let asked =
        bench.on_thread(move |kernel| kernel.query_power(physical_device, PowerState::System(3)));
    assert_eq!(asked, Ok(()));
    assert_eq!(
        log.take(),
        [
            "IRP_MN_QUERY_POWER 1 4",
            "IRP_MN_SET_POWER 1 4",
            "IRP_MN_SET_POWER 1 1",
            "IRP_MN_QUERY_POWER 0 4"
        ]
    );
    assert!(bench.rules().is_empty());
}

#[test]
fn a_refused_query_leaves_the_device_on() {
    let bench = bench();
    let (physical_device, driver) = started(&bench);
    on(&bench, driver, major::IRP_MJ_POWER, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::DEVICE_BUSY, 0)
    });
    let refused = set_power(&bench, physical_device, 3);
    let expected = PnpError::Refused {
        request: "IRP_MN_QUERY_POWER",
        status: NtStatus::DEVICE_BUSY,
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(
        bench.kernel.node(physical_device).map(|node| node.power),
        Some(D0)
    );
}

#[test]
fn a_driver_can_request_power_for_its_device() {
    let bench = bench();
    let log = Log::default();
    let (physical_device, _) = started(&bench);
    let own = log.clone();
    let routine = bench.routine(move |kernel, arguments| {
        let status = kernel.read(DriverPtr::<u32>::new(arguments[4]))?;
        own.add(alloc::format!(
            "{} {} {:#x} {status}",
            arguments[1],
            arguments[2],
            arguments[3]
        ));
        Ok(0)
    });
    let out = DriverPtr::new(bench.variable(8));
    let status = bench.on_thread(move |kernel| {
        kernel.po_request_power_irp(
            physical_device,
            minor_power::IRP_MN_SET_POWER,
            D3,
            routine,
            0x33,
            out,
        )
    });
    assert_eq!(status, NtStatus::PENDING);
    assert_eq!(log.take(), ["2 4 0x33 0"]);
    assert_eq!(bench.kernel.ob_references(physical_device), 1);
    let bad = bench.kernel.po_request_power_irp(
        physical_device,
        minor_power::IRP_MN_POWER_SEQUENCE,
        0,
        0,
        0,
        out,
    );
    assert_eq!(bad, Ok(NtStatus::INVALID_PARAMETER_2));
}

#[test]
fn a_missing_start_next_power_irp_is_found_before_vista_only() {
    for (windows, rules) in [
        (WindowsVersion::Server2003, &[ids::NEXT_POWER_IRP][..]),
        (WindowsVersion::Vista, &[]),
    ] {
        let bench = Bench::new(Config {
            windows,
            ..Config::default()
        });
        let (physical_device, driver) = started(&bench);
        on(
            &bench,
            driver,
            major::IRP_MJ_POWER,
            |kernel, device, irp| {
                kernel.skip_stack_location(irp)?;
                kernel.po_call_driver(below(kernel, device)?, irp)
            },
        );
        bench
            .on_thread(move |kernel| kernel.set_power(physical_device, PowerState::Device(0)))
            .expect("it is on");
        assert_eq!(bench.rules(), rules);
    }
}

#[test]
fn an_answered_power_request_is_no_finding_before_vista() {
    let bench = Bench::new(Config {
        windows: WindowsVersion::Server2003,
        ..Config::default()
    });
    let (physical_device, _) = started(&bench);
    bench
        .on_thread(move |kernel| kernel.set_power(physical_device, PowerState::Device(3)))
        .expect("it agrees");
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

#[test]
fn power_states_are_remembered_per_device() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let kernel = &bench.kernel;
    let set = |kind, state| kernel.po_set_power_state(device, kind, state);
    assert_eq!(set(power_state_type::DevicePowerState, D3), Ok(0));
    assert_eq!(set(power_state_type::DevicePowerState, D0), Ok(D3));
    assert_eq!(set(power_state_type::SystemPowerState, 4), Ok(0));
    assert_ne!(
        kernel.po_register_device_for_idle_detection(device, 1, 0),
        Ok(0)
    );
    assert_eq!(
        kernel.po_register_device_for_idle_detection(device, 0, 0),
        Ok(0)
    );
}

#[test]
fn a_driver_without_a_power_routine_fails_power_requests() {
    let bench = bench();
    let device = device(&bench, driver(&bench, "a"), "");
    let status = bench.on_thread(move |kernel| {
        kernel.send_system_power(device, minor_power::IRP_MN_SET_POWER, 4)
    });
    assert_eq!(status, NtStatus::INVALID_DEVICE_REQUEST);
}

#[test]
fn a_device_can_be_busy_and_shutting_down_has_one_event() {
    let bench = super::bench();
    let driver = super::driver(&bench, "busy");
    let device = super::device(&bench, driver, r"\Device\Busy");
    let kernel = &bench.kernel;
    let pointer = kernel.po_register_device_for_idle_detection(device, 1, 1);
    let pointer = crate::DriverPtr::new(pointer.unwrap());
    assert_eq!(kernel.po_set_device_busy_ex(pointer), Ok(()));
    assert!(
        kernel
            .po_set_device_busy_ex(crate::DriverPtr::NULL)
            .is_err()
    );
    let event = crate::DriverPtr::<u64>::new(bench.variable(8));
    kernel.po_request_shutdown_event(event).unwrap();
    let first = kernel.read(event).unwrap();
    kernel.po_request_shutdown_event(event).unwrap();
    assert_eq!(kernel.read(event), Ok(first));
}
