//! Requests of the bench: open, close, transfer, control, cancel.

use alloc::boxed::Box;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::{DriverObject, device_flags};
use dirql_abi::io::ctl_code;
use dirql_abi::irp::{Irp, irp_flags, major};
use dirql_abi::memory::Mdl;
use dirql_abi::stack_parameters::{StackParametersDeviceIoControl, StackParametersReadWrite};
use dirql_rules::ids;

use super::{Log, bench, complete, device, driver, on, opens_and_closes, stack};
use crate::io::{RequestKind, RequestOutcome};
use crate::ke::ThreadBody;
use crate::mm::layout::USER;
use crate::testing::Bench;
use crate::{Ddi, DriverPtr, Kernel, at};

/// A driver that can be opened; transfers are `code`.
fn openable(
    bench: &Bench,
    flags: u32,
    code: impl Fn(&Kernel, u64, u64) -> Ddi<NtStatus> + 'static,
) -> u64 {
    let driver = opens_and_closes(bench);
    let code = alloc::rc::Rc::new(code);
    for function in [
        major::IRP_MJ_READ,
        major::IRP_MJ_WRITE,
        major::IRP_MJ_DEVICE_CONTROL,
        major::IRP_MJ_INTERNAL_DEVICE_CONTROL,
    ] {
        let code = code.clone();
        on(bench, driver, function, move |kernel, device, irp| {
            code(kernel, device, irp)
        });
    }
    let device = device(bench, driver, r"\Device\A");
    bench
        .kernel
        .change_device_flags(device, 0, flags)
        .expect("a device");
    device
}

/// Opens the device, makes the request, closes.
fn ask(bench: &Bench, kind: RequestKind) -> RequestOutcome {
    bench.on_thread(move |kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        let outcome = kernel.request(file, &kind)?;
        kernel.close(file)?;
        Ok(outcome)
    })
}

fn irp_at(kernel: &Kernel, irp: u64) -> Ddi<Irp> {
    Ok(kernel.read(DriverPtr::<Irp>::new(irp))?)
}

#[test]
fn opening_and_closing_sends_create_cleanup_close() {
    let bench = bench();
    let log = Log::default();
    let driver = driver(&bench, "a");
    for function in [
        major::IRP_MJ_CREATE,
        major::IRP_MJ_CLEANUP,
        major::IRP_MJ_CLOSE,
    ] {
        let log = log.clone();
        on(&bench, driver, function, move |kernel, _, irp| {
            let file = stack(kernel, irp)?.file_object;
            let text = kernel.text_of(at!(
                DriverPtr::<dirql_abi::irp::FileObject>::new(file),
                dirql_abi::irp::FileObject,
                file_name
            ))?;
            log.add(alloc::format!(
                "{} {text}",
                major::name(function).unwrap_or_default()
            ));
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        });
    }
    let device = device(&bench, driver, r"\Device\A");
    let count = at!(
        DriverPtr::<dirql_abi::device::DeviceObject>::new(device),
        dirql_abi::device::DeviceObject,
        reference_count
    );
    let open = bench.on_thread(move |kernel| {
        let file = kernel.open(r"\Device\A\x")?.expect("it opens");
        let open = kernel.read(count)?;
        kernel.close(file)?;
        Ok(open)
    });
    assert_eq!((open, bench.kernel.read(count)), (1, Ok(0)));
    assert_eq!(
        log.take(),
        [
            r"IRP_MJ_CREATE \x",
            r"IRP_MJ_CLEANUP \x",
            r"IRP_MJ_CLOSE \x"
        ]
    );
}

#[test]
fn a_refused_open_leaves_nothing_behind() {
    let bench = bench();
    let driver = driver(&bench, "a");
    on(&bench, driver, major::IRP_MJ_CREATE, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::ACCESS_DENIED, 0)
    });
    let device = device(&bench, driver, r"\Device\A");
    let opened = bench.on_thread(|kernel| kernel.open(r"\Device\A"));
    assert_eq!(opened, Err(NtStatus::ACCESS_DENIED));
    assert_eq!(bench.kernel.ob_references(device), 1);
}

#[test]
fn an_exclusive_device_is_opened_once() {
    let bench = bench();
    openable(&bench, device_flags::DO_EXCLUSIVE, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let (second, third) = bench.on_thread(|kernel| {
        let first = kernel.open(r"\Device\A")?.expect("it opens");
        let second = kernel.open(r"\Device\A")?;
        kernel.close(first)?;
        Ok((second, kernel.open(r"\Device\A")?.is_ok()))
    });
    assert_eq!((second, third), (Err(NtStatus::ACCESS_DENIED), true));
}

#[test]
fn a_device_that_is_initializing_cannot_be_opened() {
    let bench = bench();
    openable(
        &bench,
        device_flags::DO_DEVICE_INITIALIZING,
        |kernel, _, irp| complete(kernel, irp, NtStatus::SUCCESS, 0),
    );
    assert_eq!(
        bench.on_thread(|kernel| kernel.open(r"\Device\A")),
        Err(NtStatus::NO_SUCH_DEVICE)
    );
    assert_eq!(
        bench.on_thread(|kernel| kernel.open(r"\Device\B")),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
    assert_eq!(
        bench.on_thread(|kernel| kernel.open(r"\Driver\a")),
        Err(NtStatus::OBJECT_TYPE_MISMATCH)
    );
}

#[test]
fn a_buffered_read_copies_what_the_driver_says() {
    let bench = bench();
    openable(&bench, device_flags::DO_BUFFERED_IO, |kernel, _, irp| {
        let body = irp_at(kernel, irp)?;
        let wish = stack(kernel, irp)?.parameters::<StackParametersReadWrite>();
        assert_eq!(
            (wish.length, wish.byte_offset, body.requestor_mode),
            (6, 0x1_0000_0000, 1)
        );
        assert_ne!(
            body.flags & (irp_flags::IRP_BUFFERED_IO | irp_flags::IRP_INPUT_OPERATION),
            0
        );
        kernel.write_bytes(body.associated_irp, b"abcdef")?;
        complete(kernel, irp, NtStatus::SUCCESS, 4)
    });
    let outcome = ask(
        &bench,
        RequestKind::Read {
            length: 6,
            offset: 0x1_0000_0000,
        },
    );
    let expected = RequestOutcome {
        status: NtStatus::SUCCESS,
        information: 4,
        data: b"abcd".to_vec(),
    };
    assert_eq!(outcome, expected);
    assert!(bench.rules().is_empty());
}

#[test]
fn an_error_brings_no_data_but_a_warning_does() {
    for (status, data) in [
        (NtStatus::UNSUCCESSFUL, &b""[..]),
        (NtStatus::BUFFER_OVERFLOW, b"abc"),
    ] {
        let bench = bench();
        openable(
            &bench,
            device_flags::DO_BUFFERED_IO,
            move |kernel, _, irp| {
                kernel.write_bytes(irp_at(kernel, irp)?.associated_irp, b"abc")?;
                complete(kernel, irp, status, 3)
            },
        );
        let outcome = ask(
            &bench,
            RequestKind::Read {
                length: 3,
                offset: 0,
            },
        );
        assert_eq!((outcome.status, &outcome.data[..]), (status, data));
    }
}

#[test]
fn more_information_than_room_is_found_and_not_copied() {
    let bench = bench();
    openable(&bench, device_flags::DO_BUFFERED_IO, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 5)
    });
    let outcome = ask(
        &bench,
        RequestKind::Read {
            length: 4,
            offset: 0,
        },
    );
    assert_eq!((outcome.information, outcome.data.len()), (5, 4));
    assert_eq!(bench.rules(), [ids::INFORMATION_TOO_LARGE]);
}

#[test]
fn a_buffered_write_brings_the_data() {
    let bench = bench();
    openable(&bench, device_flags::DO_BUFFERED_IO, |kernel, _, irp| {
        let bytes = kernel.read_bytes(irp_at(kernel, irp)?.associated_irp, 3)?;
        assert_eq!(bytes, b"xyz");
        complete(kernel, irp, NtStatus::SUCCESS, 3)
    });
    let outcome = ask(
        &bench,
        RequestKind::Write {
            data: b"xyz".to_vec(),
            offset: 0,
        },
    );
    assert_eq!(
        (outcome.status, outcome.information),
        (NtStatus::SUCCESS, 3)
    );
}

#[test]
fn direct_transfers_describe_the_users_pages() {
    let bench = bench();
    openable(&bench, device_flags::DO_DIRECT_IO, |kernel, _, irp| {
        let body = irp_at(kernel, irp)?;
        assert_eq!(body.associated_irp, 0);
        let mdl = kernel.read(DriverPtr::<Mdl>::new(body.mdl_address))?;
        assert_eq!(mdl.byte_count, 5000);
        let address = mdl.start_va + u64::from(mdl.byte_offset);
        assert!(USER.contains(&address));
        kernel.write_bytes(address + 4999, b"!")?;
        complete(kernel, irp, NtStatus::SUCCESS, 5000)
    });
    let outcome = ask(
        &bench,
        RequestKind::Read {
            length: 5000,
            offset: 0,
        },
    );
    assert_eq!((outcome.data.len(), outcome.data[4999]), (5000, b'!'));
    assert!(bench.rules().is_empty());
}

#[test]
fn neither_gives_the_users_own_address() {
    let bench = bench();
    openable(&bench, 0, |kernel, _, irp| {
        let body = irp_at(kernel, irp)?;
        assert_eq!((body.associated_irp, body.mdl_address), (0, 0));
        assert!(USER.contains(&body.user_buffer));
        kernel.write_bytes(body.user_buffer, b"hi")?;
        complete(kernel, irp, NtStatus::SUCCESS, 2)
    });
    assert_eq!(
        ask(
            &bench,
            RequestKind::Read {
                length: 2,
                offset: 0
            }
        )
        .data,
        b"hi"
    );
}

#[test]
fn empty_transfers_have_no_buffer() {
    for flags in [device_flags::DO_BUFFERED_IO, device_flags::DO_DIRECT_IO, 0] {
        let bench = bench();
        openable(&bench, flags, |kernel, _, irp| {
            let body = irp_at(kernel, irp)?;
            assert_eq!(
                (body.associated_irp, body.mdl_address, body.user_buffer),
                (0, 0, 0)
            );
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        });
        let outcome = ask(
            &bench,
            RequestKind::Read {
                length: 0,
                offset: 0,
            },
        );
        assert_eq!(outcome.status, NtStatus::SUCCESS);
    }
}

#[test]
fn control_requests_pass_data_by_their_codes_method() {
    for method in 0..4 {
        let bench = bench();
        let code = ctl_code(0x22, 0x801, method, 0);
        openable(&bench, 0, move |kernel, _, irp| {
            let body = irp_at(kernel, irp)?;
            let location = stack(kernel, irp)?;
            assert_eq!(location.major_function, major::IRP_MJ_DEVICE_CONTROL);
            let wish = location.parameters::<StackParametersDeviceIoControl>();
            assert_eq!(
                (
                    wish.io_control_code,
                    wish.input_buffer_length,
                    wish.output_buffer_length
                ),
                (code, 3, 4)
            );
            let input = if method == 3 {
                wish.type3_input_buffer
            } else {
                body.associated_irp
            };
            assert_eq!(kernel.read_bytes(input, 3)?, b"in.");
            let output = match method {
                0 => body.associated_irp,
                3 => body.user_buffer,
                _ => {
                    let mdl = kernel.read(DriverPtr::<Mdl>::new(body.mdl_address))?;
                    assert_eq!(mdl.byte_count, 4);
                    mdl.start_va + u64::from(mdl.byte_offset)
                }
            };
            if method != 1 {
                kernel.write_bytes(output, b"out!")?;
            }
            complete(kernel, irp, NtStatus::SUCCESS, 4)
        });
        let kind = RequestKind::Control {
            code,
            input: b"in.".to_vec(),
            output: if method == 1 {
                b"data".to_vec()
            } else {
                Vec::new()
            },
            output_length: 4,
            internal: false,
        };
        let outcome = ask(&bench, kind);
        let expected: &[u8] = if method == 1 { b"data" } else { b"out!" };
        assert_eq!(
            (outcome.status, &outcome.data[..]),
            (NtStatus::SUCCESS, expected),
            "method {method}"
        );
        assert!(
            bench.rules().is_empty(),
            "method {method}: {:?}",
            bench.kernel.findings()
        );
    }
}

#[test]
fn internal_control_comes_from_the_kernel() {
    let bench = bench();
    openable(&bench, 0, |kernel, _, irp| {
        assert_eq!(
            stack(kernel, irp)?.major_function,
            major::IRP_MJ_INTERNAL_DEVICE_CONTROL
        );
        assert_eq!(irp_at(kernel, irp)?.requestor_mode, 0);
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let kind = RequestKind::Control {
        code: 0x22_2000,
        input: Vec::new(),
        output: Vec::new(),
        output_length: 0,
        internal: true,
    };
    assert_eq!(ask(&bench, kind).status, NtStatus::SUCCESS);
}

#[test]
fn a_request_completed_while_somebody_is_about_to_cancel_it_stays_until_he_has_seen_it() {
    let bench = bench();
    openable(&bench, 0, |kernel, _, irp| {
        kernel.io.requests.cancelling.hold(irp);
        kernel.io.requests.cancelling.hold(irp);
        complete(kernel, irp, NtStatus::SUCCESS, 0)?;
        assert_eq!(kernel.io_cancel_irp(irp)?, 0);
        assert!(!kernel.io.requests.cancelling.let_go(irp));
        assert!(kernel.io.requests.cancelling.let_go(irp));
        kernel.release_irp(irp)?;
        Ok(NtStatus::SUCCESS)
    });
    let kind = RequestKind::Read {
        length: 1,
        offset: 0,
    };
    assert_eq!(ask(&bench, kind).status, NtStatus::SUCCESS);
    assert!(bench.rules().is_empty());
}

/// Who cancels refers to the file, which refers to the device.
#[test]
fn a_driver_is_not_unloaded_before_its_cancel_routine_has_returned() {
    let bench = bench();
    let log = Log::default();
    let told = log.clone();
    let cancel = bench.routine(move |kernel, arguments| {
        let irp = arguments[1];
        let level = kernel.read(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_irql))?;
        kernel.io_release_cancel_spin_lock(level.0)?;
        complete(kernel, irp, NtStatus::CANCELLED, 0)?;
        let never = kernel.take_event()?;
        kernel.wait_for(never, Some(10_000))?;
        kernel.give_event(never);
        told.add("the cancel routine returns");
        Ok(0)
    });
    let device = openable(&bench, 0, move |kernel, _, irp| {
        kernel.mark_pending(irp)?;
        kernel.write(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine), cancel)?;
        Ok(NtStatus::PENDING)
    });
    let told = log.clone();
    let unload = bench.routine(move |kernel, _| {
        told.add("unloaded");
        kernel.io_delete_device(device)?;
        Ok(0)
    });
    bench.on_thread(move |kernel| {
        let driver = kernel
            .with_device(device, |device| device.driver)
            .expect("a device");
        let object = DriverPtr::<DriverObject>::new(driver);
        kernel.write(at!(object, DriverObject, driver_unload), unload)?;
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        let read = RequestKind::Read {
            length: 1,
            offset: 0,
        };
        let request = kernel.submit(file, &read)?;
        let body = move |kernel: &Kernel| kernel.cancel_request(request).map(drop);
        kernel.spawn_thread("canceller", 8, ThreadBody::Native(Box::new(body)));
        assert_eq!(kernel.wait_request(request)?.status, NtStatus::CANCELLED);
        kernel.close(file)?;
        kernel.unload_driver(driver)?.expect("a driver");
        Ok(())
    });
    assert_eq!(log.take(), ["the cancel routine returns", "unloaded"]);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_pending_request_can_be_cancelled() {
    let bench = bench();
    let cancel = bench.routine(|kernel, arguments| {
        let irp = arguments[1];
        let level = kernel.read(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_irql))?;
        kernel.io_release_cancel_spin_lock(level.0)?;
        complete(kernel, irp, NtStatus::CANCELLED, 0)?;
        Ok(0)
    });
    openable(&bench, 0, move |kernel, _, irp| {
        kernel.mark_pending(irp)?;
        kernel.write(at!(DriverPtr::<Irp>::new(irp), Irp, cancel_routine), cancel)?;
        Ok(NtStatus::PENDING)
    });
    let outcome = bench.on_thread(|kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        let request = kernel.submit(
            file,
            &RequestKind::Read {
                length: 1,
                offset: 0,
            },
        )?;
        assert!(!kernel.request_is_done(request));
        assert!(kernel.cancel_request(request)?);
        assert!(kernel.request_is_done(request));
        assert!(!kernel.cancel_request(request)?);
        kernel.wait_request(request)
    });
    assert_eq!(outcome.status, NtStatus::CANCELLED);
    assert!(bench.rules().is_empty());
}

#[test]
fn a_closed_file_takes_no_requests() {
    let bench = bench();
    openable(&bench, 0, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let outcome = bench.on_thread(|kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        kernel.close(file)?;
        kernel.request(file, &RequestKind::Flush)
    });
    assert_eq!(outcome.status, NtStatus::INVALID_HANDLE);
}

#[test]
fn a_request_built_by_a_driver_writes_its_status_and_event() {
    let bench = bench();
    let device = openable(&bench, 0, |kernel, _, irp| {
        let input = irp_at(kernel, irp)?.associated_irp;
        assert_eq!(kernel.read_bytes(input, 2)?, b"ab");
        kernel.write_bytes(input, b"XYZ")?;
        complete(kernel, irp, NtStatus::SUCCESS, 3)
    });
    let (event, block, buffer) = (bench.variable(24), bench.variable(16), bench.variable(16));
    let kernel = &bench.kernel;
    kernel.write_bytes(buffer, b"ab").expect("a variable");
    let status = bench.on_thread(move |kernel| {
        kernel.ke_initialize_event(DriverPtr::new(event), 0, 0)?;
        let code = ctl_code(0x22, 0x800, 0, 0);
        let irp = kernel.io_build_device_io_control_request(
            code, device, buffer, 2, buffer, 3, 0, event, block,
        )?;
        kernel.iof_call_driver(device, irp)
    });
    assert_eq!(status, NtStatus::SUCCESS);
    assert_eq!(kernel.ke_read_state_event(DriverPtr::new(event)), Ok(1));
    assert_eq!(kernel.read(DriverPtr::<[u64; 2]>::new(block)), Ok([0, 3]));
    assert_eq!(kernel.read_bytes(buffer, 3), Ok(b"XYZ".to_vec()));
    assert!(bench.rules().is_empty());
}

#[test]
fn a_request_that_fails_at_once_sets_no_event() {
    let bench = bench();
    let device = openable(&bench, 0, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::UNSUCCESSFUL, 0)
    });
    let (event, block) = (bench.variable(24), bench.variable(16));
    bench.on_thread(move |kernel| {
        kernel.ke_initialize_event(DriverPtr::new(event), 0, 0)?;
        let irp = kernel.io_build_synchronous_fsd_request(
            u32::from(major::IRP_MJ_READ),
            device,
            0,
            0,
            DriverPtr::NULL,
            event,
            block,
        )?;
        kernel.iof_call_driver(device, irp)
    });
    assert_eq!(
        bench.kernel.ke_read_state_event(DriverPtr::new(event)),
        Ok(0)
    );
    assert_eq!(
        bench.kernel.read(DriverPtr::<[u64; 2]>::new(block)),
        Ok([0, 0])
    );
}

#[test]
fn an_asynchronous_request_is_its_makers() {
    let bench = bench();
    let device = openable(&bench, device_flags::DO_BUFFERED_IO, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let status = bench.on_thread(move |kernel| {
        let function = u32::from(major::IRP_MJ_FLUSH_BUFFERS);
        let irp =
            kernel.io_build_asynchronous_fsd_request(function, device, 0, 0, DriverPtr::NULL, 0)?;
        let status = kernel.send_and_wait(device, irp)?;
        kernel.io_free_irp(irp)?;
        Ok(status)
    });
    assert_eq!(status, NtStatus::INVALID_DEVICE_REQUEST);
    assert!(bench.rules().is_empty());
}

#[test]
fn an_asynchronous_request_that_is_not_taken_back_ends_as_others_do() {
    let bench = bench();
    let device = openable(&bench, device_flags::DO_BUFFERED_IO, |kernel, _, irp| {
        complete(kernel, irp, NtStatus::SUCCESS, 0)
    });
    let block = bench.variable(16);
    let status = bench.on_thread(move |kernel| {
        let function = u32::from(major::IRP_MJ_CREATE);
        let no_offset = DriverPtr::NULL;
        let irp =
            kernel.io_build_asynchronous_fsd_request(function, device, 0, 0, no_offset, block)?;
        kernel.write(DriverPtr::new(block), u32::MAX)?;
        kernel.iof_call_driver(device, irp)?;
        Ok(kernel.read(DriverPtr::<u32>::new(block))?)
    });
    assert_eq!(status, 0);
    assert_eq!(bench.rules(), [ids::IRP_NOT_TAKEN_BACK]);
}

#[test]
fn a_file_is_closed_after_the_last_request_for_it() {
    let bench = bench();
    let log = Log::default();
    let driver = opens_and_closes(&bench);
    let kept = DriverPtr::<u64>::new(bench.variable(8));
    on(&bench, driver, major::IRP_MJ_READ, move |kernel, _, irp| {
        kernel.mark_pending(irp)?;
        kernel.write(kept, irp)?;
        Ok(NtStatus::PENDING)
    });
    for (function, what) in [
        (major::IRP_MJ_CLEANUP, "cleanup"),
        (major::IRP_MJ_CLOSE, "close"),
    ] {
        let told = log.clone();
        on(&bench, driver, function, move |kernel, _, irp| {
            told.add(what);
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        });
    }
    device(&bench, driver, r"\Device\A");
    let told = log.clone();
    bench.on_thread(move |kernel| {
        let file = kernel.open(r"\Device\A")?.expect("it opens");
        let read = RequestKind::Read {
            length: 1,
            offset: 0,
        };
        let request = kernel.submit(file, &read)?;
        kernel.close(file)?;
        told.add("the request ends");
        complete(kernel, kernel.read(kept)?, NtStatus::CANCELLED, 0)?;
        kernel.wait_request(request)?;
        Ok(())
    });
    assert_eq!(log.take(), ["cleanup", "the request ends", "close"]);
}
