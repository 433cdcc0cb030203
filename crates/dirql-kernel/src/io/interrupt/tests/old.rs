//! `IoConnectInterrupt`: every status of its page and every cause that Windows is known to have.

use dirql_abi::interrupt::interrupt_mode;
use dirql_abi::resource::interface_type;
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Trigger;

use super::above;
use crate::DriverPtr;
use crate::hal::testing::Rig;
use crate::io::interrupt::ConnectArguments;

/// Connects with one argument changed and expects this status, with a NULL result after a
/// failure.
#[track_caller]
fn check(rig: &Rig, arguments: ConnectArguments, status: NtStatus) {
    let (answer, object) = rig.connect(arguments);
    assert_eq!(answer, status);
    assert_eq!(
        object == 0,
        !status.is_success(),
        "the pointer is NULL after a failure only"
    );
}

#[test]
fn success_connects_on_every_processor_of_the_mask() {
    let rig = Rig::new(4);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    check(&rig, device.arguments(isr), NtStatus::SUCCESS);
    for processor in 0..4 {
        let processor = crate::ke::ProcessorId(processor);
        let connected = rig
            .kernel()
            .connected_isrs(processor, device.grant().vector);
        assert_eq!(connected.len(), 1, "processor {}", processor.0);
    }
    assert_eq!(rig.findings(), []);
}

#[test]
fn invalid_parameter_no_processors_were_specified() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = device.arguments(isr);
    check(
        &rig,
        ConnectArguments {
            processor_enable_mask: 0,
            ..good
        },
        NtStatus::INVALID_PARAMETER,
    );
    // Only processors that do not exist.
    check(
        &rig,
        ConnectArguments {
            processor_enable_mask: !3,
            ..good
        },
        NtStatus::INVALID_PARAMETER,
    );
    check(
        &rig,
        ConnectArguments {
            processor_enable_mask: u64::MAX,
            ..good
        },
        NtStatus::SUCCESS,
    );
}

#[test]
fn invalid_parameter_synchronize_irql_below_irql() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = device.arguments(isr);
    let below = Irql(good.irql.0 - 1);
    check(
        &rig,
        ConnectArguments {
            synchronize_irql: below,
            ..good
        },
        NtStatus::INVALID_PARAMETER,
    );
    check(
        &rig,
        ConnectArguments {
            synchronize_irql: Irql(16),
            ..good
        },
        NtStatus::INVALID_PARAMETER,
    );
    check(
        &rig,
        ConnectArguments {
            irql: Irql(255),
            synchronize_irql: Irql(255),
            ..good
        },
        NtStatus::INVALID_PARAMETER,
    );
    check(
        &rig,
        ConnectArguments {
            synchronize_irql: Irql::HIGH,
            ..good
        },
        NtStatus::SUCCESS,
    );
}

#[test]
fn invalid_parameter_a_mode_that_is_none() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    check(
        &rig,
        ConnectArguments {
            interrupt_mode: 2,
            ..device.arguments(isr)
        },
        NtStatus::INVALID_PARAMETER,
    );
}

#[test]
fn invalid_parameter_no_service_routine() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    check(&rig, device.arguments(0), NtStatus::INVALID_PARAMETER);
}

#[test]
fn invalid_parameter_a_vector_of_no_device() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let vector = u32::from(device.grant().vector.0) + 1;
    check(
        &rig,
        ConnectArguments {
            vector,
            ..device.arguments(isr)
        },
        NtStatus::INVALID_PARAMETER,
    );
    assert_eq!(rig.findings(), [522]);
}

/// DQ0522: what no computer can give is told apart from what this one cannot.
#[test]
fn what_can_never_be_connected_is_found_and_what_is_taken_is_not() {
    let refused = |change: fn(&mut ConnectArguments)| {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let isr = rig.isr("isr", device.device);
        let mut arguments = device.arguments(isr);
        change(&mut arguments);
        check(&rig, arguments, NtStatus::INVALID_PARAMETER);
        rig.findings()
    };
    assert_eq!(refused(|a| a.processor_enable_mask = 0b10), [522]);
    assert_eq!(refused(|a| a.service_routine = 0), [522]);
    assert_eq!(refused(|a| a.interrupt_mode = 2), [522]);
    assert_eq!(refused(|a| a.synchronize_irql = Irql(a.irql.0 - 1)), [522]);
    assert_eq!(refused(|a| a.synchronize_irql = Irql(16)), [522]);
    // The raw resource's level is the line's number, which is none of a processor's.
    let raw = |a: &mut ConnectArguments| {
        a.vector = 5;
        a.irql = Irql(17);
        a.synchronize_irql = Irql(17);
    };
    assert_eq!(refused(raw), [133]);
}

#[test]
fn invalid_parameter_the_raw_vector_and_says_so() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    check(
        &rig,
        ConnectArguments {
            vector: 5,
            ..device.arguments(isr)
        },
        NtStatus::INVALID_PARAMETER,
    );
    assert_eq!(rig.findings(), [133]);
}

#[test]
fn invalid_parameter_connected_already_and_one_side_is_not_shared() {
    for (first, second) in [(1, 0), (0, 1), (0, 0)] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let isr = rig.isr("isr", device.device);
        let good = device.arguments(isr);
        check(
            &rig,
            ConnectArguments {
                share_vector: first,
                ..good
            },
            NtStatus::SUCCESS,
        );
        check(
            &rig,
            ConnectArguments {
                share_vector: second,
                ..good
            },
            NtStatus::INVALID_PARAMETER,
        );
    }
}

#[test]
fn invalid_parameter_connected_already_in_another_mode() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = device.arguments(isr);
    check(&rig, good, NtStatus::SUCCESS);
    let latched = ConnectArguments {
        interrupt_mode: interrupt_mode::Latched,
        ..good
    };
    check(&rig, latched, NtStatus::INVALID_PARAMETER);
    check(&rig, good, NtStatus::SUCCESS);
}

#[test]
fn any_byte_but_zero_is_a_true_share_vector() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = device.arguments(isr);
    check(
        &rig,
        ConnectArguments {
            share_vector: 2,
            ..good
        },
        NtStatus::SUCCESS,
    );
    check(
        &rig,
        ConnectArguments {
            share_vector: 0x80,
            ..good
        },
        NtStatus::SUCCESS,
    );
}

#[test]
fn insufficient_resources_not_enough_nonpaged_pool() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    while rig.kernel().allocate_system(1 << 20) != 0 {}
    while rig.kernel().allocate_system(16) != 0 {}
    // The thread that connects exists already where memory is this short.
    let variable = rig.bench.variable(8);
    let status = rig
        .kernel()
        .io_connect_interrupt(crate::DriverPtr::new(variable), device.arguments(isr));
    assert_eq!(status, Ok(NtStatus::INSUFFICIENT_RESOURCES));
    assert_eq!(
        rig.kernel().read(crate::DriverPtr::<u64>::new(variable)),
        Ok(0)
    );
}

#[test]
fn a_failure_overwrites_what_the_pointer_held() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let variable = crate::DriverPtr::new(rig.bench.variable(8));
    rig.kernel().write(variable, 0x1234_u64).unwrap();
    let bad = ConnectArguments {
        processor_enable_mask: 0,
        ..device.arguments(0x1000)
    };
    rig.bench
        .on_thread(move |kernel| kernel.io_connect_interrupt(variable, bad));
    assert_eq!(rig.kernel().read(variable), Ok(0));
}

#[test]
fn a_result_pointer_that_is_no_memory_faults() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let good = device.arguments(0x1000);
    let answer = rig
        .bench
        .try_on_thread(move |kernel| kernel.io_connect_interrupt(crate::DriverPtr::NULL, good));
    assert!(
        matches!(answer, Some(Err(crate::Stop::BadAddress(bad))) if bad.address == 0 && bad.write)
    );
}

/// Only group 0 is reached by this routine.
#[test]
fn the_mask_is_of_group_0() {
    let rig = Rig::new(70);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    check(&rig, device.arguments(isr), NtStatus::SUCCESS);
    let vector = device.grant().vector;
    assert_eq!(
        rig.kernel()
            .connected_isrs(crate::ke::ProcessorId(63), vector)
            .len(),
        1
    );
    assert_eq!(
        rig.kernel()
            .connected_isrs(crate::ke::ProcessorId(64), vector)
            .len(),
        0
    );
}

/// The processor gets there at the vector's level, whatever the driver says.
#[test]
fn an_irql_that_is_not_the_descriptors_is_told_and_not_followed() {
    let rig = Rig::new(1);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = device.arguments(isr);
    check(
        &rig,
        ConnectArguments {
            irql: Irql(3),
            synchronize_irql: Irql(3),
            ..good
        },
        NtStatus::SUCCESS,
    );
    assert_eq!(rig.findings(), [135]);
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.take(), [alloc::format!("isr at {}", good.irql.0)]);
}

#[test]
fn a_mode_or_sharing_that_is_not_the_descriptors_is_told() {
    for (mode, share) in [
        (interrupt_mode::Latched, 1),
        (interrupt_mode::LevelSensitive, 0),
    ] {
        let rig = Rig::new(1);
        let device = rig.line("a", 5);
        let isr = rig.isr("isr", device.device);
        let arguments = ConnectArguments {
            interrupt_mode: mode,
            share_vector: share,
            ..device.arguments(isr)
        };
        check(&rig, arguments, NtStatus::SUCCESS);
        assert_eq!(rig.findings(), [135]);
    }
}

#[test]
fn a_mask_that_leaves_out_processors_is_told() {
    let rig = Rig::new(4);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    check(
        &rig,
        ConnectArguments {
            processor_enable_mask: 0b0110,
            ..device.arguments(isr)
        },
        NtStatus::SUCCESS,
    );
    assert_eq!(rig.findings(), [138]);
    // It arrives all the same.
    rig.press(&device);
    rig.run();
    assert_eq!(rig.log.len(), 1);
}

/// Table 7.1, Irql below SynchronizeIrql: the hardware arrives at Irql and the system raises.
#[test]
fn the_isr_runs_at_synchronize_irql() {
    let rig = Rig::new(1);
    let device = rig.lines("a", &[(5, Trigger::Edge)], true);
    let isr = rig.isr("isr", device.device);
    let level = above(&device);
    check(
        &rig,
        ConnectArguments {
            synchronize_irql: level,
            ..device.arguments(isr)
        },
        NtStatus::SUCCESS,
    );
    rig.pulse(&device, 0);
    rig.run();
    assert_eq!(rig.log.take(), [alloc::format!("isr at {}", level.0)]);
}

#[test]
fn the_kinterrupt_has_what_drivers_look_at() {
    use dirql_abi::interrupt::KInterrupt;

    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let isr = rig.isr("isr", device.device);
    let good = device.arguments(isr);
    let (_, object) = rig.connect(good);
    let image = rig
        .kernel()
        .read(crate::DriverPtr::<KInterrupt>::new(object))
        .unwrap();
    assert_eq!((image.type_, image.size), (22, 128));
    assert_eq!((image.service_routine, image.service_context), (isr, 0xC0));
    assert_eq!(image.actual_lock, object + 40, "its own spin lock");
    assert_eq!(
        (image.vector, image.irql, image.synchronize_irql),
        (good.vector, good.irql, good.irql)
    );
    assert_eq!(
        (
            image.connected,
            image.number,
            image.share_vector,
            image.mode
        ),
        (1, 0, 1, 0)
    );
}

/// A line of the ISA bus, and one of the PCI bus, as HalGetInterruptVector is asked for it.
const fn isa(line: u32) -> (i32, u32, u32) {
    (interface_type::Isa, 0, line)
}

const fn pci(line: u32) -> (i32, u32, u32) {
    (interface_type::PCIBus, 0, line)
}

#[test]
fn hal_get_interrupt_vector_knows_the_buses() {
    let rig = Rig::new(1);
    let (irql, affinity) = (
        DriverPtr::new(rig.bench.variable(1)),
        DriverPtr::new(rig.bench.variable(8)),
    );
    let ask = |question| {
        let kernel = rig.kernel();
        let vector = kernel.hal_get_interrupt_vector(question, irql, affinity);
        (vector.unwrap(), kernel.read(affinity).unwrap())
    };
    let (line9, _) = ask(isa(9));
    assert_ne!(line9, 0);
    assert_eq!(ask(isa(2)).0, line9, "the second controller is at input 2");
    assert_eq!(ask((interface_type::Eisa, 0, 9)).0, line9);
    assert_eq!(
        ask(pci(9)).0,
        line9,
        "the machine's lines have one number each"
    );
    assert_eq!(ask((interface_type::Internal, 0, 9)).0, line9);
    assert_ne!(ask(isa(15)).0, 0);
    assert_ne!(ask(pci(16)).0, 0);
    for nothing in [
        isa(16),
        (interface_type::Isa, 1, 9),
        (interface_type::PCIBus, 1, 9),
        (interface_type::MicroChannel, 0, 9),
        (-1, 0, 9),
    ] {
        assert_eq!(ask(nothing), (0, 0), "{nothing:?}");
    }
}

#[test]
fn hal_get_interrupt_vector_gives_what_a_connect_takes() {
    let rig = Rig::new(2);
    let device = rig.line("a", 5);
    let (irql, affinity) = (
        DriverPtr::new(rig.bench.variable(1)),
        DriverPtr::new(rig.bench.variable(8)),
    );
    let kernel = rig.kernel();
    let vector = kernel
        .hal_get_interrupt_vector(isa(5), irql, affinity)
        .unwrap();
    let grant = device.grant();
    assert_eq!(vector, u32::from(grant.vector.0));
    assert_eq!(kernel.read(irql).unwrap(), grant.irql.0);
    assert_eq!(kernel.read(affinity).unwrap(), 0b11);
    assert_eq!(
        rig.findings(),
        [],
        "who asks is no plug and play driver, which would have resources"
    );
    let arguments = ConnectArguments {
        vector,
        ..device.arguments(rig.isr("isr", device.device))
    };
    assert!(rig.connect(arguments).0.is_success());
}

/// As a driver connects that asks for line 9 and keeps it to itself.
fn found_by_itself(rig: &Rig) -> ConnectArguments {
    let (irql, affinity) = (
        DriverPtr::new(rig.bench.variable(1)),
        DriverPtr::new(rig.bench.variable(8)),
    );
    let kernel = rig.kernel();
    let vector = kernel
        .hal_get_interrupt_vector(isa(9), irql, affinity)
        .unwrap();
    let level = kernel.read(irql).map(Irql).unwrap();
    ConnectArguments {
        service_routine: rig.refusing_isr("isr"),
        service_context: 0,
        spin_lock: 0,
        vector,
        irql: level,
        synchronize_irql: level,
        interrupt_mode: interrupt_mode::LevelSensitive,
        share_vector: 0,
        processor_enable_mask: 1,
    }
}

#[test]
fn a_line_that_nothing_is_wired_to_may_be_connected_in_either_mode() {
    let rig = Rig::new(1);
    let found = found_by_itself(&rig);
    for (mode, share_vector) in [
        (interrupt_mode::LevelSensitive, 1),
        (interrupt_mode::Latched, 1),
    ] {
        let arguments = ConnectArguments {
            interrupt_mode: mode,
            share_vector,
            ..found
        };
        let (status, object) = rig.connect(arguments);
        assert!(status.is_success());
        rig.bench
            .on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    }
    assert_eq!(rig.findings(), [], "there is no descriptor to differ from");
}

/// DQ0135 compares with a descriptor, and who asks HalGetInterruptVector has been given none.
#[test]
fn a_driver_that_found_its_hardware_by_itself_may_keep_its_line_to_itself() {
    let rig = Rig::new(1);
    let kernel = rig.kernel();
    let line = crate::hal::LineWish {
        gsi: Some(9),
        trigger: Trigger::Level,
        shared: true,
    };
    let plug = crate::hal::Plug {
        name: "old".into(),
        socket: crate::hal::Socket::Legacy {
            device: alloc::boxed::Box::new(crate::hal::testing::Sources::default()),
            windows: alloc::vec![],
            lines: alloc::vec![line],
        },
        interrupts: crate::hal::MessageWish::Line,
        gsi: None,
    };
    kernel.plug(plug).unwrap();
    let arguments = found_by_itself(&rig);
    let (status, object) = rig.connect(arguments);
    assert!(status.is_success());
    assert_eq!(rig.findings(), []);
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    // What it is wired as is the same for everybody.
    let latched = ConnectArguments {
        interrupt_mode: interrupt_mode::Latched,
        ..arguments
    };
    rig.connect(latched);
    assert_eq!(rig.findings(), [135]);
}

#[test]
fn hal_get_interrupt_vector_returns_0_for_a_line_that_is_none() {
    let rig = Rig::new(1);
    let (irql, affinity) = (
        DriverPtr::new(rig.bench.variable(1)),
        DriverPtr::new(rig.bench.variable(8)),
    );
    let lines = crate::hal::testing::LINES;
    let kernel = rig.kernel();
    assert_ne!(
        kernel.hal_get_interrupt_vector(pci(lines - 1), irql, affinity),
        Ok(0)
    );
    assert_eq!(
        kernel.hal_get_interrupt_vector(pci(lines), irql, affinity),
        Ok(0)
    );
    assert_eq!(kernel.read(affinity), Ok(0));
}
