//! The bus driver and the plug and play manager.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::device::device_property as property;
use dirql_abi::guid::{
    GUID_BUS_INTERFACE_STANDARD, GUID_BUS_TYPE_PCI, GUID_PNP_LOCATION_INTERFACE, Guid,
};
use dirql_abi::irp::{IoStackLocation, major, minor_pnp};
use dirql_abi::pnp::{
    BusInterfaceStandard, DeviceCapabilities, PnpBusInformation, bus_query_id_type,
    device_relation_type,
};
use dirql_abi::resource::{
    CmInterrupt, CmMessageRaw, CmPartialResourceDescriptor, CmRange, IoInterrupt,
    IoResourceDescriptor,
};
use dirql_abi::stack_parameters::{
    StackParametersDeviceCapabilities, StackParametersDeviceRelations,
    StackParametersFilterResourceRequirements, StackParametersQueryId,
    StackParametersQueryInterface, StackParametersReadWriteConfig, StackParametersStartDevice,
};
use dirql_abi::{Irql, NtStatus};
use dirql_chips::Stimulus;
use dirql_chips::models::{self, PluggedDevice};
use dirql_rules::ids;

use super::{Log, below, bench, complete, driver, function_driver, on, pass, stack};
use crate::hal::testing::Rig;
use crate::hal::{LegacyWindow, LineWish, MessageWish, Plug, Socket};
use crate::io::pnp::{Agreed, Identity, NodeState, PnpError};
use crate::io::{DriverImage, RequestOutcome};
use crate::testing::Bench;
use crate::{Config, DriverPtr, Kernel, WindowsVersion, at};

/// Plugs a model in and enumerates it; its physical device object.
pub(super) fn plug(bench: &Bench, model: &str, name: &str, interrupts: MessageWish) -> u64 {
    let socket = match models::build(model, &[]).expect("a model") {
        PluggedDevice::Pci(function) => Socket::Pci(function),
        PluggedDevice::Legacy(legacy) => Socket::Legacy {
            device: legacy.device,
            windows: legacy
                .windows
                .into_iter()
                .map(|window| LegacyWindow {
                    space: window.space,
                    base: Some(window.base),
                    size: window.size,
                })
                .collect(),
            lines: legacy
                .lines
                .into_iter()
                .map(|line| LineWish {
                    gsi: Some(line.number.into()),
                    trigger: line.trigger,
                    shared: false,
                })
                .collect(),
        },
    };
    let device = bench.kernel.plug(Plug {
        name: String::from(name),
        socket,
        interrupts,
        gsi: None,
    });
    let device = device.expect("there is room");
    bench
        .on_thread(move |kernel| kernel.enumerate_device(device, &Identity::default()))
        .expect("there is memory")
}

pub(super) fn edu(bench: &Bench, interrupts: MessageWish) -> u64 {
    plug(bench, "edu", "edu0", interrupts)
}

/// Sends a plug and play request to the top of a stack.
fn ask(
    bench: &Bench,
    device: u64,
    minor: u8,
    fill: impl FnOnce(&mut IoStackLocation) + 'static,
) -> RequestOutcome {
    bench.on_thread(move |kernel| {
        let top = kernel.top_of_stack(device);
        kernel.send_request(top, None, |stack| {
            stack.major_function = major::IRP_MJ_PNP;
            stack.minor_function = minor;
            fill(stack);
        })
    })
}

/// The terminated string at an address.
fn text(kernel: &Kernel, address: u64) -> String {
    let units: Vec<u16> = (0..)
        .map(|index| {
            kernel
                .read(DriverPtr::<u16>::new(address).element(index))
                .expect("it is terminated")
        })
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

fn start(bench: &Bench, physical_device: u64, driver: u64) -> Result<(), PnpError> {
    bench
        .kernel
        .choose_driver(physical_device, driver)
        .expect("a physical device");
    bench.on_thread(move |kernel| kernel.start_device(physical_device))
}

#[test]
fn a_physical_device_is_named_and_ready_to_attach_to() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let kernel = &bench.kernel;
    assert_eq!(
        kernel.ob_name(physical_device).as_deref(),
        Some(r"\Device\NTPNP_PCI0000")
    );
    assert_eq!(kernel.device_flags(physical_device), Ok(0x1000 | 0x40));
    let node = kernel.node(physical_device).expect("it is a node");
    assert_eq!(
        node.hardware_ids[2..],
        [
            r"PCI\VEN_1234&DEV_11E8&CC_00FF00",
            r"PCI\VEN_1234&DEV_11E8&CC_00FF"
        ]
    );
    assert!(
        node.hardware_ids[0].starts_with(r"PCI\VEN_1234&DEV_11E8&SUBSYS_"),
        "{:?}",
        node.hardware_ids
    );
    assert_eq!(
        node.device.and_then(|device| kernel.pdo_of_device(device)),
        Some(physical_device)
    );
}

#[test]
fn ids_are_answered_as_strings_and_lists_of_strings() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let kernel = bench.kernel.clone();
    let id = |id_type| {
        let outcome = ask(
            &bench,
            physical_device,
            minor_pnp::IRP_MN_QUERY_ID,
            move |stack| {
                stack.set_parameters(&StackParametersQueryId { id_type });
            },
        );
        (outcome.status, outcome.information)
    };
    let node = kernel.node(physical_device).expect("a node");
    let (status, device_id) = id(bus_query_id_type::BusQueryDeviceID);
    assert_eq!(
        (status, text(&kernel, device_id)),
        (NtStatus::SUCCESS, node.hardware_ids[0].clone())
    );
    let (_, list) = id(bus_query_id_type::BusQueryHardwareIDs);
    let mut at = list;
    for expected in &node.hardware_ids {
        assert_eq!(text(&kernel, at), *expected);
        at += 2 * (expected.len() as u64 + 1);
    }
    assert_eq!(text(&kernel, at), "", "an empty string ends the list");
    assert_eq!(
        text(&kernel, id(bus_query_id_type::BusQueryInstanceID).1),
        node.instance
    );
    assert_eq!(
        id(bus_query_id_type::BusQueryContainerID),
        (NtStatus::NOT_SUPPORTED, 0)
    );
}

#[test]
fn requests_that_the_bus_driver_does_not_know_keep_their_status() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let outcome = ask(&bench, physical_device, 0x7F, |_| {});
    assert_eq!(
        (outcome.status, outcome.information),
        (NtStatus::NOT_SUPPORTED, 0)
    );
    let power = bench.on_thread(move |kernel| {
        kernel.send_simple(physical_device, major::IRP_MJ_SYSTEM_CONTROL, 0)
    });
    assert_eq!(power, NtStatus::NOT_SUPPORTED);
}

#[test]
fn the_target_device_relation_is_the_device_with_a_reference() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let relation = |type_| {
        ask(
            &bench,
            physical_device,
            minor_pnp::IRP_MN_QUERY_DEVICE_RELATIONS,
            move |stack| {
                stack.set_parameters(&StackParametersDeviceRelations { type_ });
            },
        )
    };
    let list = relation(device_relation_type::TargetDeviceRelation).information;
    let kernel = &bench.kernel;
    assert_eq!(kernel.read(DriverPtr::<u32>::new(list)), Ok(1));
    assert_eq!(
        kernel.read(DriverPtr::<u64>::new(list + 8)),
        Ok(physical_device)
    );
    assert_eq!(kernel.ob_references(physical_device), 2);
    assert_eq!(
        relation(device_relation_type::BusRelations).status,
        NtStatus::NOT_SUPPORTED
    );
}

#[test]
fn capabilities_map_sleep_to_d3_and_say_where_the_device_is() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let block = DriverPtr::<DeviceCapabilities>::new(bench.variable(64));
    let kernel = &bench.kernel;
    let query = || {
        let capabilities = block.address();
        let ask = ask(
            &bench,
            physical_device,
            minor_pnp::IRP_MN_QUERY_CAPABILITIES,
            move |stack| {
                stack.set_parameters(&StackParametersDeviceCapabilities { capabilities });
            },
        );
        ask.status
    };
    assert_eq!(query(), NtStatus::UNSUCCESSFUL, "version 0");
    kernel
        .write(block.cast::<[u16; 2]>(), [64, 1])
        .expect("a variable");
    assert_eq!(query(), NtStatus::SUCCESS);
    let capabilities = kernel.read(block).expect("a variable");
    assert_eq!(capabilities.device_state, [0, 1, 4, 4, 4, 4, 4]);
    assert_eq!(capabilities.address, 1 << 16);
}

#[test]
fn bus_information_and_text_are_answered() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let outcome = ask(
        &bench,
        physical_device,
        minor_pnp::IRP_MN_QUERY_BUS_INFORMATION,
        |_| {},
    );
    let information = bench
        .kernel
        .read(DriverPtr::<PnpBusInformation>::new(outcome.information));
    let information = information.expect("it is pool");
    assert_eq!(
        (information.bus_type_guid, information.legacy_bus_type),
        (GUID_BUS_TYPE_PCI, 5)
    );
    let outcome = ask(
        &bench,
        physical_device,
        minor_pnp::IRP_MN_QUERY_DEVICE_TEXT,
        |_| {},
    );
    assert_eq!(text(&bench.kernel, outcome.information), "edu0");
}

#[test]
fn configuration_space_is_read_and_written_through_requests_and_the_interface() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let kernel = bench.kernel.clone();
    let buffer = bench.variable(16);
    let config = |minor, which_space, offset, length| {
        let outcome = ask(&bench, physical_device, minor, move |stack| {
            let wish = StackParametersReadWriteConfig {
                which_space,
                padding4: 0,
                buffer,
                offset,
                padding20: 0,
                length,
                padding28: 0,
            };
            stack.set_parameters(&wish);
        });
        (outcome.status, outcome.information)
    };
    assert_eq!(
        config(minor_pnp::IRP_MN_READ_CONFIG, 0, 0, 4),
        (NtStatus::SUCCESS, 4)
    );
    assert_eq!(kernel.read(DriverPtr::<u32>::new(buffer)), Ok(0x11E8_1234));
    assert_eq!(
        config(minor_pnp::IRP_MN_READ_CONFIG, 0, 0x1000, 4),
        (NtStatus::SUCCESS, 0)
    );
    assert_eq!(
        config(minor_pnp::IRP_MN_READ_CONFIG, 0, 0xFFE, 4),
        (NtStatus::SUCCESS, 2)
    );
    assert_eq!(
        config(minor_pnp::IRP_MN_READ_CONFIG, 1, 0, 4),
        (NtStatus::INVALID_PARAMETER, 0)
    );
    kernel
        .write(DriverPtr::<u32>::new(buffer), 0x5A)
        .expect("a variable");
    assert_eq!(
        config(minor_pnp::IRP_MN_WRITE_CONFIG, 0, 0x3C, 1),
        (NtStatus::SUCCESS, 1)
    );

    let interface = DriverPtr::<BusInterfaceStandard>::new(bench.variable(64));
    let (standard, location) = (bench.variable(16), bench.variable(16));
    kernel
        .write(
            DriverPtr::<Guid>::new(standard),
            GUID_BUS_INTERFACE_STANDARD,
        )
        .expect("a variable");
    kernel
        .write(
            DriverPtr::<Guid>::new(location),
            GUID_PNP_LOCATION_INTERFACE,
        )
        .expect("a variable");
    let query = |interface_type, size| {
        let outcome = ask(
            &bench,
            physical_device,
            minor_pnp::IRP_MN_QUERY_INTERFACE,
            move |stack| {
                let wish = StackParametersQueryInterface {
                    interface_type,
                    size,
                    version: 1,
                    padding12: 0,
                    interface: interface.address(),
                    interface_specific_data: 0,
                };
                stack.set_parameters(&wish);
            },
        );
        outcome.status
    };
    assert_eq!(query(location, 64), NtStatus::NOT_SUPPORTED);
    assert_eq!(query(standard, 63), NtStatus::INVALID_PARAMETER);
    assert_eq!(query(standard, 64), NtStatus::SUCCESS);
    assert_eq!(kernel.ob_references(physical_device), 2);
    let body = kernel.read(interface).expect("a variable");
    let read = bench.on_thread(move |kernel| {
        let read = kernel.call(
            "GetBusData",
            body.get_bus_data,
            &[body.context, 0, buffer, 0x3C, 1],
        );
        kernel.call(
            "InterfaceDereference",
            body.interface_dereference,
            &[body.context],
        );
        Ok(read)
    });
    assert_eq!(
        (read, kernel.read(DriverPtr::<u8>::new(buffer))),
        (1, Ok(0x5A))
    );
    assert_eq!(kernel.ob_references(physical_device), 1);
}

/// What IRP_MN_START_DEVICE brought: descriptors of the raw and the translated list.
type Lists = alloc::rc::Rc<
    core::cell::RefCell<Vec<(CmPartialResourceDescriptor, CmPartialResourceDescriptor)>>,
>;

/// A driver that looks at its resources.
fn looking_driver(bench: &Bench, log: &Log) -> (u64, Lists) {
    let driver = function_driver(bench, "looker", log);
    let lists = Lists::default();
    let seen = lists.clone();
    on(
        bench,
        driver,
        major::IRP_MJ_PNP,
        move |kernel, device, irp| {
            let location = stack(kernel, irp)?;
            let lower = below(kernel, device)?;
            if location.minor_function == minor_pnp::IRP_MN_START_DEVICE {
                let parameters = location.parameters::<StackParametersStartDevice>();
                let (raw, translated) = (
                    parameters.allocated_resources,
                    parameters.allocated_resources_translated,
                );
                seen.borrow_mut().clear();
                if raw != 0 {
                    let count = kernel.read(DriverPtr::<u32>::new(raw + 16))?;
                    assert_eq!(kernel.read(DriverPtr::<[u32; 4]>::new(raw))?[0], 1);
                    assert_eq!(kernel.read(DriverPtr::<u32>::new(translated + 16))?, count);
                    for index in 0..count as usize {
                        let at = |list: u64| {
                            DriverPtr::<CmPartialResourceDescriptor>::new(list + 20).element(index)
                        };
                        seen.borrow_mut()
                            .push((kernel.read(at(raw))?, kernel.read(at(translated))?));
                    }
                }
                kernel.io_forward_irp_synchronously(lower, irp)?;
                return complete(kernel, irp, NtStatus::SUCCESS, 0);
            }
            if location.minor_function == minor_pnp::IRP_MN_REMOVE_DEVICE {
                let status = pass(kernel, lower, irp)?;
                kernel.io_detach_device(lower)?;
                kernel.io_delete_device(device)?;
                return Ok(status);
            }
            pass(kernel, lower, irp)
        },
    );
    (driver, lists)
}

#[test]
fn a_device_goes_through_its_life_in_the_documented_order() {
    let bench = bench();
    let log = Log::default();
    let physical_device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &log);
    let state = |kernel: &Kernel| kernel.node(physical_device).map(|node| node.state);
    assert_eq!(start(&bench, physical_device, driver), Ok(()));
    assert_eq!(state(&bench.kernel), Some(NodeState::Started));
    assert_eq!(
        log.take(),
        [
            "AddDevice",
            "IRP_MN_QUERY_RESOURCE_REQUIREMENTS",
            "IRP_MN_FILTER_RESOURCE_REQUIREMENTS",
            "IRP_MN_START_DEVICE",
            "IRP_MN_QUERY_CAPABILITIES",
            "IRP_MN_QUERY_PNP_DEVICE_STATE",
            "IRP_MN_QUERY_DEVICE_RELATIONS",
        ]
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.stop_device(physical_device)),
        Ok(())
    );
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_STOP_DEVICE", "IRP_MN_STOP_DEVICE"]
    );
    assert_eq!(state(&bench.kernel), Some(NodeState::Stopped));
    assert_eq!(start(&bench, physical_device, driver), Ok(()));
    assert_eq!(
        log.take()[2],
        "IRP_MN_START_DEVICE",
        "AddDevice is called once"
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.cancel_stop_device(physical_device)),
        Err(PnpError::Agreed(None))
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.query_stop_device(physical_device)),
        Ok(())
    );
    let agreed = Err(PnpError::Agreed(Some(Agreed::Stop)));
    assert_eq!(
        bench.on_thread(move |kernel| kernel.query_remove_device(physical_device)),
        agreed
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.remove_device(physical_device)),
        agreed
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.cancel_stop_device(physical_device)),
        Ok(())
    );
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_STOP_DEVICE", "IRP_MN_CANCEL_STOP_DEVICE"]
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.query_remove_device(physical_device)),
        Ok(())
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.cancel_remove_device(physical_device)),
        Ok(())
    );
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_REMOVE_DEVICE", "IRP_MN_CANCEL_REMOVE_DEVICE"]
    );
    assert_eq!(
        bench.on_thread(move |kernel| kernel.remove_device(physical_device)),
        Ok(())
    );
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_REMOVE_DEVICE", "IRP_MN_REMOVE_DEVICE"]
    );
    assert_eq!(state(&bench.kernel), Some(NodeState::Enumerated));
    assert_eq!(bench.kernel.stack_of(physical_device), [physical_device]);
    assert_eq!(
        bench.on_thread(move |kernel| kernel.unload_driver(driver)),
        Ok(())
    );
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

#[test]
fn a_surprise_removed_device_is_gone_after_its_removal() {
    let bench = bench();
    let log = Log::default();
    let physical_device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &log);
    start(&bench, physical_device, driver).expect("it starts");
    log.take();
    let surprise = bench.on_thread(move |kernel| kernel.surprise_remove_device(physical_device));
    assert_eq!(
        (surprise, log.take()),
        (Ok(()), alloc::vec![String::from("IRP_MN_SURPRISE_REMOVAL")])
    );
    let again = bench.on_thread(move |kernel| kernel.start_device(physical_device));
    assert_eq!(again, Err(PnpError::State(NodeState::SurpriseRemoved)));
    assert_eq!(
        bench.on_thread(move |kernel| kernel.remove_device(physical_device)),
        Ok(())
    );
    assert_eq!(log.take(), ["IRP_MN_REMOVE_DEVICE"]);
    assert!(bench.kernel.node(physical_device).is_none());
    assert!(!bench.kernel.is_device(physical_device));
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

/// DQ0134 is for a device that its driver can still silence.
#[test]
fn a_driver_need_not_silence_a_device_that_is_gone() {
    for is_gone in [false, true] {
        let rig = Rig::new(1);
        let plugged = rig.line("a", 5);
        let driver = function_driver(&rig.bench, "a", &Log::default());
        start(&rig.bench, plugged.pdo, driver).expect("it starts");
        let device = rig.restart(plugged.device, plugged.pdo);
        let (_, object) = rig.connect(device.arguments(rig.refusing_isr("isr")));
        rig.bench.on_thread(move |kernel| {
            let old = kernel.ke_raise_irql(Irql::HIGH.0)?;
            kernel.stimulate(device.device, &Stimulus::Press);
            // As if nothing had been taken in between.
            kernel.set_irql(Irql(old));
            if is_gone {
                kernel
                    .surprise_remove_device(device.pdo)?
                    .expect("it is started");
            }
            kernel.io_disconnect_interrupt(object)
        });
        let expected: &[u16] = if is_gone { &[] } else { &[134] };
        assert_eq!(rig.findings(), expected);
    }
}

#[test]
fn what_is_not_possible_in_a_state_is_said() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Line);
    let stop = bench.on_thread(move |kernel| kernel.stop_device(physical_device));
    assert_eq!(stop, Err(PnpError::State(NodeState::Enumerated)));
    let remove = bench.on_thread(move |kernel| kernel.remove_device(physical_device));
    assert_eq!(remove, Err(PnpError::State(NodeState::Enumerated)));
    let start = bench.on_thread(move |kernel| kernel.start_device(physical_device));
    assert_eq!(start, Err(PnpError::NoDriver));
    let nothing = bench.on_thread(|kernel| kernel.start_device(1));
    assert_eq!(nothing, Err(PnpError::NoDevice(1)));
    assert_eq!(bench.kernel.choose_driver(1, 1), Err(PnpError::NoDevice(1)));
    let without = driver(&bench, "plain");
    let status = self::start(&bench, physical_device, without);
    assert_eq!(
        status,
        Err(PnpError::AddDevice(NtStatus::INVALID_DEVICE_REQUEST))
    );
}

#[test]
fn a_line_is_told_raw_and_translated() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Line);
    let (driver, lists) = looking_driver(&bench, &Log::default());
    start(&bench, physical_device, driver).expect("it starts");
    let lists = lists.borrow();
    assert_eq!(lists.len(), 2);
    let (raw, translated) = lists[0];
    assert_eq!(
        (raw.type_, raw.share_disposition, raw),
        (3, 1, translated),
        "the memory window"
    );
    let range = raw.arm::<CmRange>();
    assert_eq!({ range.length }, 0x10_0000);
    let (raw, translated) = lists[1];
    assert_eq!((raw.type_, raw.share_disposition, { raw.flags }), (2, 3, 0));
    assert_eq!(
        (translated.type_, translated.share_disposition, {
            translated.flags
        }),
        (2, 3, 0)
    );
    let (bus, system) = (raw.arm::<CmInterrupt>(), translated.arm::<CmInterrupt>());
    assert_eq!(
        ({ bus.level }, { bus.affinity }),
        (bus.vector as u16, u64::MAX)
    );
    assert_eq!(
        { system.level },
        (system.vector >> 4) as u16,
        "the level of the vector"
    );
    assert_eq!({ system.affinity }, 1);
    assert_ne!({ bus.vector }, { system.vector });
}

#[test]
fn a_message_is_told_raw_and_translated() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Msi(1));
    let (driver, lists) = looking_driver(&bench, &Log::default());
    start(&bench, physical_device, driver).expect("it starts");
    let (raw, translated) = lists.borrow()[1];
    assert_eq!(
        ({ raw.flags }, { translated.flags }),
        (3, 3),
        "latched and message"
    );
    let (message, system) = (raw.arm::<CmMessageRaw>(), translated.arm::<CmInterrupt>());
    assert_eq!({ message.message_count }, 1);
    assert_eq!({ system.level }, (system.vector >> 4) as u16);
    let node = bench.kernel.node(physical_device).expect("a node");
    assert!(
        node.device
            .and_then(|device| bench.kernel.assignment(device))
            .is_some()
    );
}

#[test]
fn before_vista_a_message_device_has_a_line() {
    let bench = Bench::new(Config {
        windows: WindowsVersion::Server2003,
        ..Config::default()
    });
    let physical_device = edu(&bench, MessageWish::Default);
    let (driver, lists) = looking_driver(&bench, &Log::default());
    start(&bench, physical_device, driver).expect("it starts");
    assert_eq!({ lists.borrow()[1].0.flags }, 0);
}

#[test]
fn a_filter_step_can_give_messages_up() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Default);
    let log = Log::default();
    let (driver, lists) = looking_driver(&bench, &log);
    let look = bench.kernel.read(at!(
        DriverPtr::<dirql_abi::device::DriverObject>::new(driver),
        dirql_abi::device::DriverObject,
        major_function
    ));
    let before = look.expect("a driver object")[usize::from(major::IRP_MJ_PNP)];
    on(
        &bench,
        driver,
        major::IRP_MJ_PNP,
        move |kernel, device, irp| {
            let location = stack(kernel, irp)?;
            if location.minor_function != minor_pnp::IRP_MN_FILTER_RESOURCE_REQUIREMENTS {
                return Ok(NtStatus(
                    kernel.call("DispatchPnp", before, &[device, irp]) as i32
                ));
            }
            kernel.io_forward_irp_synchronously(below(kernel, device)?, irp)?;
            let wish = location.parameters::<StackParametersFilterResourceRequirements>();
            let descriptors = wish.io_resource_requirement_list + 40;
            let second = DriverPtr::<IoResourceDescriptor>::new(descriptors).element(1);
            let mut descriptor = kernel.read(second)?;
            let arm = descriptor.arm::<IoInterrupt>();
            assert_eq!(
                (arm.minimum_vector, arm.maximum_vector),
                (0xFFFF_FFFE, 0xFFFF_FFFE)
            );
            descriptor.flags = 0;
            kernel.write(second, descriptor)?;
            complete(
                kernel,
                irp,
                NtStatus::SUCCESS,
                wish.io_resource_requirement_list,
            )
        },
    );
    start(&bench, physical_device, driver).expect("it starts");
    assert_eq!({ lists.borrow()[1].1.flags }, 0, "a line");
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

#[test]
fn a_driver_that_refuses_to_start_is_removed() {
    let bench = bench();
    let log = Log::default();
    let physical_device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &log);
    let kernel = bench.kernel.clone();
    let table = at!(
        DriverPtr::<dirql_abi::device::DriverObject>::new(driver),
        dirql_abi::device::DriverObject,
        major_function
    );
    let before = kernel.read(table).expect("a driver object")[usize::from(major::IRP_MJ_PNP)];
    on(
        &bench,
        driver,
        major::IRP_MJ_PNP,
        move |kernel, device, irp| {
            if stack(kernel, irp)?.minor_function == minor_pnp::IRP_MN_START_DEVICE {
                return complete(kernel, irp, NtStatus::DEVICE_CONFIGURATION_ERROR, 0);
            }
            Ok(NtStatus(
                kernel.call("DispatchPnp", before, &[device, irp]) as i32
            ))
        },
    );
    let refused = PnpError::Refused {
        request: "IRP_MN_START_DEVICE",
        status: NtStatus::DEVICE_CONFIGURATION_ERROR,
    };
    assert_eq!(start(&bench, physical_device, driver), Err(refused));
    assert_eq!(
        log.take().last().map(String::as_str),
        Some("IRP_MN_REMOVE_DEVICE")
    );
    assert_eq!(
        kernel.node(physical_device).map(|node| node.state),
        Some(NodeState::Enumerated)
    );
    assert!(bench.rules().is_empty(), "{:?}", bench.kernel.findings());
}

/// A started device whose driver completes one minor function with a status.
fn contrary(minor: u8, status: NtStatus) -> (Bench, u64, Log) {
    let bench = bench();
    let log = Log::default();
    let physical_device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &log);
    let table = at!(
        DriverPtr::<dirql_abi::device::DriverObject>::new(driver),
        dirql_abi::device::DriverObject,
        major_function
    );
    let before = bench.kernel.read(table).expect("a driver object")[usize::from(major::IRP_MJ_PNP)];
    let own = log.clone();
    on(
        &bench,
        driver,
        major::IRP_MJ_PNP,
        move |kernel, device, irp| {
            if stack(kernel, irp)?.minor_function == minor {
                own.add(minor_pnp::name(minor).unwrap_or_default());
                return complete(kernel, irp, status, 0);
            }
            Ok(NtStatus(
                kernel.call("DispatchPnp", before, &[device, irp]) as i32
            ))
        },
    );
    start(&bench, physical_device, driver).expect("it starts");
    log.take();
    (bench, physical_device, log)
}

#[test]
fn a_refused_query_is_cancelled() {
    let (bench, device, log) = contrary(minor_pnp::IRP_MN_QUERY_STOP_DEVICE, NtStatus::DEVICE_BUSY);
    let refused = bench.on_thread(move |kernel| kernel.stop_device(device));
    assert!(matches!(
        refused,
        Err(PnpError::Refused {
            status: NtStatus::DEVICE_BUSY,
            ..
        })
    ));
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_STOP_DEVICE", "IRP_MN_CANCEL_STOP_DEVICE"]
    );
    assert_eq!(
        bench.kernel.node(device).map(|node| node.state),
        Some(NodeState::Started)
    );

    let (bench, device, log) =
        contrary(minor_pnp::IRP_MN_QUERY_REMOVE_DEVICE, NtStatus::DEVICE_BUSY);
    let refused = bench.on_thread(move |kernel| kernel.remove_device(device));
    assert!(matches!(refused, Err(PnpError::Refused { .. })));
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_REMOVE_DEVICE", "IRP_MN_CANCEL_REMOVE_DEVICE"]
    );
    assert_eq!(
        bench.kernel.node(device).map(|node| node.state),
        Some(NodeState::Started)
    );
}

#[test]
fn a_request_that_must_not_fail_and_does_is_found() {
    let (bench, device, _) = contrary(minor_pnp::IRP_MN_STOP_DEVICE, NtStatus::UNSUCCESSFUL);
    assert_eq!(
        bench.on_thread(move |kernel| kernel.stop_device(device)),
        Ok(())
    );
    assert_eq!(bench.rules(), [ids::PNP_MUST_SUCCEED]);
}

#[test]
fn a_driver_that_stays_attached_after_removal_is_found() {
    let (bench, device, _) = contrary(minor_pnp::IRP_MN_REMOVE_DEVICE, NtStatus::SUCCESS);
    assert_eq!(
        bench.on_thread(move |kernel| kernel.remove_device(device)),
        Ok(())
    );
    assert_eq!(bench.rules(), [ids::DEVICE_LEFT]);
}

#[test]
fn an_add_device_that_leaves_its_device_initializing_is_found() {
    // One that fails does not go on with it.
    for status in [NtStatus::SUCCESS, NtStatus::UNSUCCESSFUL] {
        let bench = bench();
        let physical_device = edu(&bench, MessageWish::Line);
        let driver = driver(&bench, "edu");
        super::on_add(&bench, driver, move |kernel, driver, physical_device| {
            let device = kernel
                .create_device(driver, 0, None, 0x22, 0, 0)?
                .expect("memory");
            kernel.io_attach_device_to_device_stack(device, physical_device)?;
            Ok(status)
        });
        bench.on_thread(move |kernel| kernel.add_device(driver, physical_device));
        let wrong = status.is_success().then_some(ids::DEVICE_INITIALIZING);
        assert_eq!(bench.rules(), wrong.as_slice());
    }
}

#[test]
fn properties_are_those_of_the_bus() {
    let bench = bench();
    let physical_device = edu(&bench, MessageWish::Line);
    let kernel = bench.kernel.clone();
    let (buffer, length) = (
        bench.variable(512),
        DriverPtr::<u32>::new(bench.variable(4)),
    );
    let get = |which, room| {
        let status = kernel
            .io_get_device_property(physical_device, which, room, buffer, length)
            .expect("variables");
        (status, kernel.read(length).expect("a variable"))
    };
    let address = property::DevicePropertyAddress;
    assert_eq!(get(address, 4), (NtStatus::SUCCESS, 4));
    assert_eq!(kernel.read(DriverPtr::<u32>::new(buffer)), Ok(1 << 16));
    assert_eq!(get(address, 3), (NtStatus::BUFFER_TOO_SMALL, 4));
    assert_eq!(
        get(property::DevicePropertyBusNumber, 4),
        (NtStatus::SUCCESS, 4)
    );
    assert_eq!(
        get(property::DevicePropertyEnumeratorName, 512),
        (NtStatus::SUCCESS, 8)
    );
    assert_eq!(text(&kernel, buffer), "PCI");
    get(property::DevicePropertyPhysicalDeviceObjectName, 512);
    assert_eq!(text(&kernel, buffer), r"\Device\NTPNP_PCI0000");
    get(property::DevicePropertyHardwareID, 512);
    assert!(text(&kernel, buffer).starts_with(r"PCI\VEN_1234"));
    assert_eq!(
        get(property::DevicePropertyUINumber, 4),
        (NtStatus::OBJECT_NAME_NOT_FOUND, 0)
    );
    assert_eq!(get(999, 4), (NtStatus::INVALID_PARAMETER_2, 0));
    let other = kernel.io_get_device_property(1, address, 4, buffer, length);
    assert_eq!(other, Ok(NtStatus::INVALID_DEVICE_REQUEST));
}

#[test]
fn a_device_off_the_bus_has_a_root_identity_and_fixed_resources() {
    let bench = bench();
    let physical_device = plug(&bench, "button", "bell", MessageWish::Default);
    let node = bench.kernel.node(physical_device).expect("a node");
    assert_eq!(
        (node.device_id(), node.enumerator()),
        (r"ROOT\BELL", "ROOT")
    );
    let (driver, lists) = looking_driver(&bench, &Log::default());
    start(&bench, physical_device, driver).expect("it starts");
    assert_eq!(lists.borrow().last().map(|(raw, _)| raw.type_), Some(2));
}

#[test]
fn an_invalidated_state_is_asked_for_by_a_system_thread() {
    let bench = bench();
    let log = Log::default();
    let physical_device = edu(&bench, MessageWish::Line);
    let driver = function_driver(&bench, "edu", &log);
    start(&bench, physical_device, driver).expect("it starts");
    log.take();
    bench
        .kernel
        .io_invalidate_device_state(physical_device)
        .expect("a physical device");
    bench.kernel.run_until_idle();
    assert_eq!(log.take(), ["IRP_MN_QUERY_PNP_DEVICE_STATE"]);
    bench
        .kernel
        .io_invalidate_device_relations(physical_device, 0)
        .expect("a physical device");
    bench.kernel.run_until_idle();
    assert_eq!(log.take(), ["IRP_MN_QUERY_DEVICE_RELATIONS"]);
    bench
        .kernel
        .io_request_device_eject(physical_device)
        .expect("a physical device");
    bench.kernel.run_until_idle();
    assert_eq!(
        log.take(),
        ["IRP_MN_QUERY_REMOVE_DEVICE", "IRP_MN_REMOVE_DEVICE"]
    );
    assert!(bench.kernel.io_invalidate_device_state(1).is_err());
}

#[test]
fn the_name_of_a_service_cannot_be_the_bus_drivers() {
    let bench = bench();
    edu(&bench, MessageWish::Line);
    let image = DriverImage {
        name: String::from("dirql-bus"),
        base: 0,
        size: 0,
        entry: 0,
    };
    assert_eq!(
        bench.kernel.create_driver(&image),
        Ok(Err(NtStatus::OBJECT_NAME_COLLISION))
    );
}
