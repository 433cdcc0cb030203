//! Every status that the pages and the sample name, each once.

use super::*;

/// A port whose interrupt is not for clients: nothing in the registry.
fn plain() -> Rig {
    Rig::with(Setup {
        values: &[],
        ..Setup::default()
    })
}

#[test]
fn success_is_what_an_allocation_of_a_free_port_gives() {
    let rig = Rig::new();
    assert_eq!(
        rig.ask(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0),
        RequestOutcome {
            status: NtStatus::SUCCESS,
            information: 0,
            data: Vec::new()
        }
    );
}

#[test]
fn pending_is_what_the_sender_of_a_waiting_request_gets() {
    let rig = Rig::new();
    let file = rig.open();
    rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0);
    let waits = rig.submit(file, ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0);
    assert_eq!(rig.outcome(waits), None);
    // The I/O manager compares what the dispatch routine returned with the pending bit.
    assert_eq!(rig.bench.rules(), []);
    rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_FREE, &[], 0);
    assert_eq!(rig.outcome(waits), Some(NtStatus::SUCCESS));
}

#[test]
fn cancelled_is_what_a_waiting_request_becomes() {
    let rig = Rig::new();
    let file = rig.open();
    rig.status(ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE, &[], 0);
    for code in [
        ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE,
        ioctl::IOCTL_INTERNAL_SELECT_DEVICE,
    ] {
        let waits = rig.submit(file, code, &command(4, 1), 0);
        assert!(
            rig.bench
                .on_thread(move |kernel| kernel.cancel_request(waits))
        );
        assert_eq!(rig.outcome(waits), Some(NtStatus::CANCELLED));
    }
    assert_eq!(rig.bench.rules(), []);
}

#[test]
fn cancelled_is_what_a_request_gets_that_was_cancelled_before() {
    let rig = Rig::new();
    let port = rig.information();
    let physical_device = rig.physical_device;
    let answer = rig.bench.on_thread(move |kernel| {
        let device = kernel.top_of_stack(physical_device);
        let irp = kernel.io_allocate_irp(2, 0)?;
        let pointer = DriverPtr::<dirql_abi::irp::Irp>::new(irp);
        kernel.write(crate::at!(pointer, dirql_abi::irp::Irp, cancel), 1)?;
        let code = ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE;
        send_by_hand(kernel, device, irp, code, 0)
    });
    assert_eq!(answer, (NtStatus::CANCELLED, 0));
    assert_eq!(
        rig.call(port.try_allocate, &[port.context]),
        1,
        "it did not get the port"
    );
}

#[test]
fn delete_pending_is_what_a_port_answers_that_was_pulled_out() {
    let rig = Rig::new();
    let file = rig.open();
    let device = rig.physical_device;
    assert_eq!(
        rig.bench
            .on_thread(move |kernel| kernel.surprise_remove_device(device)),
        Ok(())
    );
    for code in [
        ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE,
        ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO,
        ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT,
        0x16_FFFC,
    ] {
        let request = rig.submit(file, code, &[0; 32], 112);
        assert_eq!(
            rig.outcome(request),
            Some(NtStatus::DELETE_PENDING),
            "{code:#x}"
        );
    }
    let opened = rig
        .bench
        .on_thread(|kernel| kernel.open(r"\Device\ParallelPort0"));
    assert_eq!(opened, Err(NtStatus::DELETE_PENDING));
}

#[test]
fn invalid_parameter_is_what_an_unknown_request_gets() {
    let rig = Rig::new();
    for code in [0x16_0028, 0x16_0040, 0x16_0048, 0x16_0084, 0x22_0034] {
        assert_eq!(
            rig.status(code, &[0; 32], 112),
            NtStatus::INVALID_PARAMETER,
            "{code:#x}"
        );
    }
}

#[test]
fn invalid_parameter_is_what_an_application_gets() {
    let rig = Rig::new();
    let file = rig.open();
    let kind = RequestKind::Control {
        code: ioctl::IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE,
        input: Vec::new(),
        output: alloc::vec::Vec::new(),
        output_length: 0,
        internal: false,
    };
    let outcome = rig
        .bench
        .on_thread(move |kernel| kernel.request(file, &kind));
    assert_eq!(outcome.status, NtStatus::INVALID_PARAMETER);
}

/// Each request with the sizes of its x64 structures, and those that 32-bit code would send.
#[test]
fn buffer_too_small_is_what_a_buffer_of_32_bit_size_gets() {
    #[rustfmt::skip] // read as a table
    let sizes = [
        //                                                      x64       32-bit
        (ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT,      (32, 32), (16, 16)),
        (ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT,      (32, 32), (32, 16)),
        (ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT,      (32, 32), (16, 32)),
        (ioctl::IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT,   (32, 0),  (16, 0)),
        (ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO,          (0, 56),  (0, 32)),
        (ioctl::IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO,     (0, 32),  (0, 24)),
        (ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO,           (0, 112), (0, 72)),
        (ioctl::IOCTL_INTERNAL_PARALLEL_SET_CHIP_MODE,          (2, 0),   (1, 0)),
        (ioctl::IOCTL_INTERNAL_PARALLEL_CLEAR_CHIP_MODE,        (2, 0),   (1, 0)),
        (ioctl::IOCTL_INTERNAL_SELECT_DEVICE,                   (8, 0),   (4, 0)),
        (ioctl::IOCTL_INTERNAL_DESELECT_DEVICE,                 (8, 0),   (4, 0)),
        (ioctl::IOCTL_INTERNAL_REGISTER_FOR_REMOVAL_RELATIONS,  (24, 0),  (12, 0)),
        (ioctl::IOCTL_INTERNAL_UNREGISTER_FOR_REMOVAL_RELATIONS, (24, 0), (12, 0)),
    ];
    for (code, full, small) in sizes {
        let status = |input: usize, output: usize| {
            let rig = Rig::new();
            rig.ask(code, &alloc::vec![0; input], output)
        };
        let refused = status(small.0, small.1);
        assert_eq!(
            refused.status,
            NtStatus::BUFFER_TOO_SMALL,
            "{code:#x} {small:?}"
        );
        assert_eq!(refused.information, 0);
        // One byte less than the structure is too small as well, the structure is not.
        if full.0 > 0 {
            let status = status(full.0 - 1, full.1).status;
            assert_eq!(status, NtStatus::BUFFER_TOO_SMALL, "{code:#x}");
        }
        if full.1 > 0 {
            let status = status(full.0, full.1 - 1).status;
            assert_eq!(status, NtStatus::BUFFER_TOO_SMALL, "{code:#x}");
        }
        assert_ne!(
            status(full.0, full.1).status,
            NtStatus::BUFFER_TOO_SMALL,
            "{code:#x}"
        );
    }
}

#[test]
fn unsuccessful_is_what_connect_gives_unless_the_registry_enables_it() {
    for values in [
        &[][..],
        &[
            ("EnableConnectInterruptIoctl", 0),
            ("FilterResourceMethod", 2),
        ],
    ] {
        let rig = Rig::with(Setup {
            values,
            ..Setup::default()
        });
        let connect = ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT;
        assert_eq!(rig.status(connect, &[0; 32], 32), NtStatus::UNSUCCESSFUL);
        // It is looked at before the buffers.
        assert_eq!(rig.status(connect, &[0; 16], 16), NtStatus::UNSUCCESSFUL);
    }
}

#[test]
fn not_supported_is_what_connect_gives_for_a_port_without_an_interrupt() {
    // Enabling alone is not enough: by default the port asks for no interrupt.
    let rig = Rig::with(Setup {
        values: &[("EnableConnectInterruptIoctl", 1)],
        ..Setup::default()
    });
    let connect = ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT;
    assert_eq!(rig.status(connect, &[0; 32], 32), NtStatus::NOT_SUPPORTED);
    assert_eq!(
        rig.status(connect, &[0; 31], 32),
        NtStatus::BUFFER_TOO_SMALL
    );
}

#[test]
fn insufficient_resources_is_what_connect_gives_without_memory_for_the_entry() {
    let rig = Rig::new();
    let physical_device = rig.physical_device;
    let isr = rig.isr(true);
    let outcome = rig.bench.on_thread(move |kernel| {
        let buffer = kernel.allocate_system(32);
        kernel.write_bytes(buffer, &service(isr, 1, 0, 0))?;
        let device = kernel.top_of_stack(physical_device);
        let irp = kernel.io_allocate_irp(2, 0)?;
        kernel.exhaust_nonpaged_pool();
        let code = ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT;
        send_by_hand(kernel, device, irp, code, buffer)
    });
    assert_eq!(outcome, (NtStatus::INSUFFICIENT_RESOURCES, 0));
    // Nothing is left of it; in the sample the line stays connected.
    assert!(rig.kernel().ke.interrupts.connections().is_empty());
    let ports = rig.kernel().parport.ports.borrow();
    assert!(
        ports
            .values()
            .all(|port| port.clients.is_empty() && port.object == 0)
    );
}

/// Sends the request without taking pool, and keeps it at its completion.
fn send_by_hand(
    kernel: &Kernel,
    device: u64,
    irp: u64,
    code: u32,
    buffer: u64,
) -> Ddi<(NtStatus, u64)> {
    use dirql_abi::irp::{Irp, major};
    use dirql_abi::stack_parameters::StackParametersDeviceIoControl;
    let pointer = DriverPtr::<Irp>::new(irp);
    kernel.write(crate::at!(pointer, Irp, associated_irp), buffer)?;
    let next = kernel.next_location(irp)?;
    let mut stack = kernel.read(next)?;
    stack.major_function = major::IRP_MJ_INTERNAL_DEVICE_CONTROL;
    stack.set_parameters(&StackParametersDeviceIoControl {
        output_buffer_length: 32,
        padding4: 0,
        input_buffer_length: 32,
        padding12: 0,
        io_control_code: code,
        padding20: 0,
        type3_input_buffer: 0,
    });
    kernel.write(next, stack)?;
    let status = kernel.send_and_wait(device, irp)?;
    Ok((
        status,
        kernel.read(crate::at!(pointer, Irp, io_status.information))?,
    ))
}

#[test]
fn what_io_connect_interrupt_returned_is_what_the_first_client_gets() {
    let rig = Rig::new();
    // Somebody else has the vector, and does not share it.
    let line = {
        let ports = rig.kernel().parport.ports.borrow();
        let port = ports.values().next().expect("a port");
        port.line.expect("it has an interrupt")
    };
    let isr = rig.isr(false);
    let object = rig.bench.variable(8);
    let arguments = crate::io::interrupt::ConnectArguments {
        service_routine: isr,
        service_context: 0,
        spin_lock: 0,
        vector: line.vector,
        irql: line.irql,
        synchronize_irql: line.irql,
        interrupt_mode: dirql_abi::interrupt::interrupt_mode::Latched,
        share_vector: 0,
        processor_enable_mask: 1,
    };
    let other = rig
        .bench
        .on_thread(move |kernel| kernel.io_connect_interrupt(DriverPtr::new(object), arguments));
    assert_eq!(other, NtStatus::SUCCESS);
    let connect = ioctl::IOCTL_INTERNAL_PARALLEL_CONNECT_INTERRUPT;
    let outcome = rig.ask(connect, &service(isr, 1, 0, 0), 32);
    assert_eq!(
        (outcome.status, outcome.information),
        (NtStatus::INVALID_PARAMETER, 0)
    );
    let object = read_u64(&rig, object);
    rig.bench
        .on_thread(move |kernel| kernel.io_disconnect_interrupt(object));
    rig.connect(isr, 1, 0, 0);
}

#[test]
fn invalid_parameter_is_what_disconnect_gives_for_an_isr_that_is_not_connected() {
    let rig = Rig::new();
    let isr = rig.isr(true);
    assert_eq!(
        rig.disconnect(isr, 1),
        NtStatus::INVALID_PARAMETER,
        "nobody is"
    );
    rig.connect(isr, 1, 0, 0);
    assert_eq!(
        rig.disconnect(isr, 2),
        NtStatus::INVALID_PARAMETER,
        "another context"
    );
    assert_eq!(
        rig.disconnect(isr + 1, 1),
        NtStatus::INVALID_PARAMETER,
        "another ISR"
    );
    assert_eq!(rig.disconnect(isr, 1), NtStatus::SUCCESS);
    assert_eq!(rig.disconnect(isr, 1), NtStatus::INVALID_PARAMETER, "again");
}

#[test]
fn information_is_the_size_of_what_was_asked_for() {
    let rig = plain();
    for (code, size) in [
        (ioctl::IOCTL_INTERNAL_GET_PARALLEL_PORT_INFO, 56),
        (ioctl::IOCTL_INTERNAL_GET_MORE_PARALLEL_PORT_INFO, 32),
        (ioctl::IOCTL_INTERNAL_GET_PARALLEL_PNP_INFO, 112),
    ] {
        let outcome = rig.ask(code, &[], size + 8);
        assert_eq!(
            (outcome.status, outcome.information),
            (NtStatus::SUCCESS, size as u64)
        );
    }
}

#[test]
fn release_port_info_always_succeeds() {
    let rig = plain();
    for _ in 0..2 {
        let outcome = rig.ask(ioctl::IOCTL_INTERNAL_RELEASE_PARALLEL_PORT_INFO, &[], 0);
        assert_eq!(
            (outcome.status, outcome.information),
            (NtStatus::SUCCESS, 0)
        );
    }
}

#[test]
fn the_bus_and_rescan_requests_succeed() {
    let rig = plain();
    for code in [
        ioctl::IOCTL_INTERNAL_INIT_1284_3_BUS,
        ioctl::IOCTL_INTERNAL_DISABLE_END_OF_CHAIN_BUS_RESCAN,
        ioctl::IOCTL_INTERNAL_ENABLE_END_OF_CHAIN_BUS_RESCAN,
    ] {
        assert_eq!(rig.status(code, &[], 0), NtStatus::SUCCESS, "{code:#x}");
    }
}
