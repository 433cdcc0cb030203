//! Names, the registry, stopping and removing, and what clients leave.

use dirql_abi::device::{DeviceObject, DriverObject};
use dirql_abi::irp::{major, minor_pnp};
use dirql_abi::pnp::device_relation_type;
use dirql_abi::resource::resource_type::{
    CmResourceTypeInterrupt, CmResourceTypeNull, CmResourceTypePort,
};
use dirql_abi::resource::share_disposition::CmResourceShareShared;
use dirql_abi::resource::{
    IoInterrupt, IoRange, IoResourceDescriptor, IoResourceList, IoResourceRequirementsList,
};
use dirql_abi::stack_parameters::StackParametersDeviceRelations;
use dirql_rules::ids;
use zerocopy::IntoBytes;

use super::*;
use crate::hal::Resource;
use crate::io::DriverImage;
use crate::io::pnp::PnpError;
use crate::parport::Cleanup;

#[test]
fn clients_find_the_port_by_name_and_by_interface() {
    let rig = Rig::new();
    let interfaces = rig.kernel().interfaces_of(rig.physical_device);
    let [link] = &interfaces[..] else {
        panic!("{interfaces:?}");
    };
    assert!(
        link.ends_with("#{97f76ef0-f883-11d0-af1f-0000f800845c}"),
        "{link}"
    );
    let link = link.clone();
    let by_link = rig.bench.on_thread(move |kernel| {
        let file = kernel.open(&link)?.expect("an interface");
        kernel.request(
            file,
            &control_kind(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, &[], 56),
        )
    });
    assert_eq!(by_link.status, NtStatus::SUCCESS);
    let by_name = rig.ask(ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, &[], 56);
    assert_eq!(by_link.data, by_name.data);
}

fn has_interrupt(rig: &Rig) -> bool {
    let assignment = rig.kernel().assignment(rig.device).expect("it is started");
    let mut resources = assignment.resources.iter();
    resources.any(|resource| matches!(resource, Resource::Interrupt(_)))
}

#[test]
fn only_method_2_leaves_the_port_its_interrupt() {
    for (values, expected) in [
        (&[][..], false),
        (&[("FilterResourceMethod", 0)], true),
        (&[("FilterResourceMethod", 1)], false),
        (&[("FilterResourceMethod", 2)], true),
        (&[("FilterResourceMethod", 3)], true),
    ] {
        let rig = Rig::with(Setup {
            values,
            ..Setup::default()
        });
        assert_eq!(has_interrupt(&rig), expected, "{values:?}");
    }
}

/// A requirements list: an alternative for each word, with its interrupts.
fn requirements(alternatives: &[usize]) -> Vec<u8> {
    let range = IoRange {
        length: 8,
        alignment: 1,
        minimum_address: 0x378,
        maximum_address: 0x37F,
    };
    let interrupt = IoInterrupt {
        minimum_vector: 7,
        maximum_vector: 7,
        affinity_policy: 0,
        group: 0,
        priority_policy: 0,
        targeted_processors: 0,
    };
    let mut lists = Vec::new();
    for interrupts in alternatives {
        let list = IoResourceList {
            version: 1,
            revision: 1,
            count: 1 + *interrupts as u32,
        };
        lists.extend_from_slice(list.as_bytes());
        let port = IoResourceDescriptor::new(0, CmResourceTypePort, 1, 1, &range);
        lists.extend_from_slice(port.as_bytes());
        for _ in 0..*interrupts {
            let line = IoResourceDescriptor::new(
                0,
                CmResourceTypeInterrupt,
                CmResourceShareShared,
                1,
                &interrupt,
            );
            lists.extend_from_slice(line.as_bytes());
        }
    }
    let head = IoResourceRequirementsList {
        list_size: (size_of::<IoResourceRequirementsList>() + lists.len()) as u32,
        interface_type: 0,
        bus_number: 0,
        slot_number: 0,
        reserved: [0; 3],
        alternative_lists: alternatives.len() as u32,
    };
    [head.as_bytes(), &lists].concat()
}

/// The list after filtering: its size, and the types of each alternative's descriptors.
fn filtered(values: &'static [(&'static str, u32)], alternatives: &[usize]) -> (u32, Vec<Vec<u8>>) {
    let rig = Rig::stopped(Setup {
        values,
        ..Setup::default()
    });
    let list = variable(&rig, &requirements(alternatives));
    let kernel = rig.kernel();
    kernel
        .filter_port_requirements(rig.physical_device, list)
        .expect("a list");
    let head = kernel
        .read(DriverPtr::<IoResourceRequirementsList>::new(list))
        .expect("a list");
    let mut at = list + size_of::<IoResourceRequirementsList>() as u64;
    let mut types = Vec::new();
    for _ in 0..head.alternative_lists {
        let count = kernel
            .read(DriverPtr::<IoResourceList>::new(at))
            .expect("a list")
            .count;
        at += size_of::<IoResourceList>() as u64;
        let descriptors = DriverPtr::<IoResourceDescriptor>::new(at);
        let read = |index| {
            kernel
                .read(descriptors.element(index))
                .expect("a list")
                .type_
        };
        types.push((0..count as usize).map(read).collect());
        at += u64::from(count) * size_of::<IoResourceDescriptor>() as u64;
    }
    assert_eq!(u64::from(head.list_size), at - list, "the size fits");
    (head.list_size, types)
}

#[test]
fn alternatives_with_an_interrupt_are_dropped_if_there_is_one_without() {
    let (port, line, null) = (
        CmResourceTypePort,
        CmResourceTypeInterrupt,
        CmResourceTypeNull,
    );
    let mixed = [1, 0, 2, 0];
    let kept = alloc::vec![alloc::vec![port], alloc::vec![port]];
    for method in [
        &[("FilterResourceMethod", 0)][..],
        &[("FilterResourceMethod", 1)],
        &[],
    ] {
        assert_eq!(filtered(method, &mixed).1, kept);
    }
    let all = [1, 2];
    let whole = alloc::vec![alloc::vec![port, line], alloc::vec![port, line, line]];
    assert_eq!(filtered(&[("FilterResourceMethod", 0)], &all).1, whole);
    assert_eq!(filtered(&[("FilterResourceMethod", 2)], &all).1, whole);
    let nulled = alloc::vec![alloc::vec![port, null], alloc::vec![port, null, null]];
    assert_eq!(filtered(&[("FilterResourceMethod", 1)], &all).1, nulled);
    assert_eq!(filtered(&[("FilterResourceMethod", 2)], &mixed).1.len(), 4);
}

#[test]
fn a_port_with_a_client_is_neither_stopped_nor_removed() {
    let rig = Rig::new();
    let isr = rig.isr(true);
    rig.connect(isr, 1, 0, 0);
    let device = rig.physical_device;
    let refused = |request| {
        Err(PnpError::Refused {
            request,
            status: NtStatus::UNSUCCESSFUL,
        })
    };
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.stop_device(device)),
        refused("IRP_MN_QUERY_STOP_DEVICE")
    );
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.remove_device(device)),
        refused("IRP_MN_QUERY_REMOVE_DEVICE")
    );
    rig.interrupt();
    assert_eq!(rig.log.take(), ["isr 1"]);
    rig.disconnect(isr, 1);
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.stop_device(device)),
        Ok(())
    );
    let status = rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0);
    assert_eq!(status, NtStatus::DEVICE_NOT_READY);
    rig.start();
    rig.connect(isr, 1, 0, 0);
    rig.disconnect(isr, 1);
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.remove_device(device)),
        Ok(())
    );
    assert!(rig.kernel().parport.ports.borrow().is_empty());
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_port_that_was_removed_can_be_started_again() {
    let rig = Rig::new();
    let device = rig.physical_device;
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.remove_device(device)),
        Ok(())
    );
    rig.start();
    rig.information();
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn a_port_that_is_pulled_out_completes_what_waits_and_drops_its_line() {
    let rig = Rig::new();
    let file = rig.open();
    rig.connect(rig.isr(true), 1, 0, 0);
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    rig.status(allocate, &[], 0);
    let waits = [
        rig.submit(file, allocate, &[], 0),
        rig.submit(file, allocate, &[], 0),
    ];
    let device = rig.physical_device;
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.surprise_remove_device(device)),
        Ok(())
    );
    assert_eq!(
        waits.map(|request| rig.outcome(request)),
        [Some(NtStatus::CANCELLED); 2]
    );
    rig.bench.on_thread(move |kernel| kernel.close(file));
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.remove_device(device)),
        Ok(())
    );
    assert!(rig.kernel().ke.interrupts.connections().is_empty());
    assert_eq!(rig.bench.rules(), []);
}

/// Two handles wait; one is closed.
fn close_one(cleanup: Cleanup) -> [Option<NtStatus>; 2] {
    let rig = Rig::with(Setup {
        settings: Settings {
            cleanup,
            ..Settings::default()
        },
        ..Setup::default()
    });
    let port = rig.information();
    rig.call(port.try_allocate, &[port.context]);
    let (first, second) = (rig.open(), rig.open());
    let allocate = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
    let waits = [
        rig.submit(first, allocate, &[], 0),
        rig.submit(second, allocate, &[], 0),
    ];
    rig.bench.on_thread(move |kernel| kernel.close(first));
    assert_eq!(rig.bench.rules(), []);
    waits.map(|request| rig.outcome(request))
}

#[test]
fn closing_a_handle_cancels_what_was_sent_with_it() {
    assert_eq!(
        close_one(Cleanup::default()),
        [Some(NtStatus::CANCELLED), None]
    );
}

#[test]
fn closing_a_handle_cancels_everything_as_in_the_sample() {
    assert_eq!(close_one(Cleanup::Port), [Some(NtStatus::CANCELLED); 2]);
}

#[test]
fn registered_devices_are_the_ports_removal_relations() {
    let rig = Rig::new();
    let device = rig.kernel().top_of_stack(rig.physical_device);
    let relation = [&device.to_le_bytes()[..], &[0; 16]].concat();
    let register = ioctl::IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS;
    let unregister = ioctl::IOCTL_INTERNAL_UNREGISTER_FOR_REMOVAL_RELATIONS;
    let count = |rig: &Rig| {
        rig.bench.on_thread(move |kernel| {
            let outcome = kernel.send_request(device, None, |stack| {
                stack.major_function = major::IRP_MJ_PNP;
                stack.minor_function = minor_pnp::IRP_MN_QUERY_DEVICE_RELATIONS;
                stack.set_parameters(&StackParametersDeviceRelations {
                    type_: device_relation_type::RemovalRelations,
                });
            })?;
            if outcome.information == 0 {
                return Ok(0);
            }
            let count = kernel.read(DriverPtr::<u32>::new(outcome.information))?;
            for index in 0..count as usize {
                let list = DriverPtr::<u64>::new(outcome.information + 8);
                kernel.obf_dereference_object(kernel.read(list.element(index))?)?;
            }
            kernel.pool_free(outcome.information, None)?;
            Ok(count)
        })
    };
    assert_eq!(count(&rig), 0);
    assert_eq!(
        rig.status(register, &[0; 24], 0),
        NtStatus::INVALID_PARAMETER
    );
    for _ in 0..2 {
        assert_eq!(rig.status(register, &relation, 0), NtStatus::SUCCESS);
        assert_eq!(count(&rig), 1);
    }
    assert_eq!(rig.status(unregister, &relation, 0), NtStatus::SUCCESS);
    assert_eq!(count(&rig), 0);
}

/// A driver whose image is where its ISR is, and that can be unloaded.
fn client(rig: &Rig, isr: u64) -> u64 {
    let image = DriverImage {
        name: String::from("client"),
        base: isr,
        size: 0x10,
        entry: 0,
    };
    let created = rig.kernel().create_driver(&image);
    let client = created.expect("memory").expect("a name");
    let unload = rig.with_code(|_, _| Ok(0));
    let routine = crate::at!(
        DriverPtr::<DriverObject>::new(client),
        DriverObject,
        driver_unload
    );
    rig.kernel()
        .write(routine, unload)
        .expect("a driver object");
    client
}

fn unload(rig: &Rig, client: u64) {
    let unloaded = rig
        .bench
        .on_thread(move |kernel| kernel.unload_driver(client));
    assert_eq!(unloaded, Ok(()));
}

#[test]
fn a_client_that_is_unloaded_and_still_connected_is_found() {
    let rig = Rig::new();
    let isr = rig.isr(true);
    let client = client(&rig, isr);
    rig.connect(isr, 1, 0, 0);
    unload(&rig, client);
    assert_eq!(rig.bench.rules(), [ids::PORT_LEFT_CONNECTED]);
}

#[test]
fn a_client_that_is_unloaded_and_still_has_the_port_is_found() {
    for (address, expected) in [(0, &[ids::PORT_LEFT_ALLOCATED][..]), (0x10, &[])] {
        let rig = Rig::new();
        let isr = rig.isr(true);
        let client = client(&rig, isr);
        let context = rig.information().context;
        // Where it called from: its image, or behind it.
        let place = dirql_rules::Place {
            address: isr + address,
            ..dirql_rules::Place::default()
        };
        let taken = rig
            .kernel()
            .with_port(context, |port| port.queue.try_take(place));
        assert_eq!(taken, Ok(true));
        unload(&rig, client);
        assert_eq!(rig.bench.rules(), expected);
    }
}

#[test]
fn connecting_above_passive_level_is_found() {
    let rig = Rig::new();
    let file = rig.open();
    let isr = rig.isr(true);
    rig.connect(isr, 1, 0, 0);
    let kind = control_kind(
        ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT,
        &service(isr, 2, 0, 0),
        32,
    );
    let request = rig.bench.on_thread(move |kernel| {
        let level = kernel.raise_irql(dirql_abi::Irql::DISPATCH);
        let request = kernel.submit(file, &kind)?;
        kernel.lower_irql(level)?;
        Ok(request)
    });
    assert_eq!(rig.outcome(request), Some(NtStatus::SUCCESS));
    assert!(rig.bench.rules().contains(&ids::PORT_CONNECT_LEVEL));
}

#[test]
fn the_device_object_is_a_parallel_ports() {
    let rig = Rig::new();
    let device = rig.kernel().top_of_stack(rig.physical_device);
    let body = rig
        .kernel()
        .read(DriverPtr::<DeviceObject>::new(device))
        .expect("a device");
    assert_eq!(body.device_type, 0x16);
    assert_eq!(body.device_extension, rig.information().context);
}
