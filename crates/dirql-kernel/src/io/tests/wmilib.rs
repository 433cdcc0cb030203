//! The WMI library.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::guid::Guid;
use dirql_abi::irp::{Irp, major, minor_wmi};
use dirql_abi::stack_parameters::StackParametersWmi;
use dirql_abi::wmi::irp_disposition;

use super::{Log, bench, complete, device, driver, on};
use crate::io::RequestOutcome;
use crate::testing::Bench;
use crate::{DriverPtr, Kernel, at};

const BLOCK: Guid = Guid::new(1, 2, 3, [4; 8]);
const OTHER: Guid = Guid::new(9, 2, 3, [4; 8]);
/// Offsets of the routines in a WMILIB_CONTEXT.
const QUERY_REG_INFO: u64 = 16;
const QUERY: u64 = 24;
const SET_BLOCK: u64 = 32;
const SET_ITEM: u64 = 40;
const EXECUTE: u64 = 48;
const CONTROL: u64 = 56;

/// A driver that gives all WMI requests to the library.
struct Provider {
    bench: Bench,
    log: Log,
    context: u64,
    device: u64,
    guids: [u64; 2],
    buffer: u64,
}

impl Provider {
    /// With one data block of `instances` instances.
    fn new(instances: u32) -> Self {
        let bench = bench();
        let log = Log::default();
        let context = bench.variable(64);
        let list = bench.variable(16);
        let disposition = bench.variable(4);
        let guids = [BLOCK, OTHER].map(|guid| {
            let at = bench.variable(16);
            bench
                .kernel
                .write(DriverPtr::new(at), guid)
                .expect("a variable");
            at
        });
        let name = driver(&bench, "a");
        let said = log.clone();
        on(
            &bench,
            name,
            major::IRP_MJ_SYSTEM_CONTROL,
            move |kernel, device, irp| {
                let pointer = DriverPtr::new(disposition);
                kernel.write(pointer, 77)?;
                let status =
                    kernel.wmi_system_control(DriverPtr::new(context), device, irp, pointer)?;
                let what = kernel.read(pointer)?;
                said.add(alloc::format!("disposition {what}: {status}"));
                if what == irp_disposition::IrpProcessed {
                    return Ok(status);
                }
                let irp_pointer = DriverPtr::<Irp>::new(irp);
                let status = kernel.read(at!(irp_pointer, Irp, io_status.status))?;
                let information = kernel.read(at!(irp_pointer, Irp, io_status.information))?;
                complete(kernel, irp, status, information)
            },
        );
        let device = device(&bench, name, "");
        let buffer = bench.variable(512);
        let provider = Self {
            bench,
            log,
            context,
            device,
            guids,
            buffer,
        };
        provider.put(context, 1);
        provider.put(context + 8, list as u32);
        provider.put(context + 12, (list >> 32) as u32);
        provider.put(list, guids[0] as u32);
        provider.put(list + 4, (guids[0] >> 32) as u32);
        provider.put(list + 8, instances);
        provider
    }

    fn put(&self, at: u64, value: u32) {
        self.bench
            .kernel
            .write(DriverPtr::new(at), value)
            .expect("a variable");
    }

    fn get(&self, offset: u64) -> u32 {
        self.bench
            .kernel
            .read(DriverPtr::new(self.buffer + offset))
            .expect("a variable")
    }

    /// Sets a routine, which is told its arguments and ends with WmiCompleteRequest.
    fn serve(
        &self,
        slot: u64,
        code: impl Fn(&Kernel, &[u64]) -> crate::Ddi<(NtStatus, u32)> + 'static,
    ) {
        let log = self.log.clone();
        let routine = self.bench.routine(move |kernel, arguments| {
            let rest: Vec<u64> = arguments[2..].to_vec();
            log.add(alloc::format!("routine {rest:x?}"));
            let (status, used) = code(kernel, arguments)?;
            kernel
                .wmi_complete_request(arguments[0], arguments[1], status, used, 0)
                .map(u64::from)
        });
        let at = DriverPtr::new(self.context + slot);
        self.bench.kernel.write(at, routine).expect("a variable");
    }

    fn send_to(&self, provider: u64, minor: u8, path: u64, room: u32) -> RequestOutcome {
        let (device, buffer) = (self.device, self.buffer);
        self.bench.on_thread(move |kernel| {
            kernel.send_request(device, None, move |stack| {
                stack.major_function = major::IRP_MJ_SYSTEM_CONTROL;
                stack.minor_function = minor;
                stack.set_parameters(&StackParametersWmi {
                    provider_id: provider,
                    data_path: path,
                    buffer_size: room,
                    padding20: 0,
                    buffer,
                });
            })
        })
    }

    /// Sends a request for the data block; status and `Information`.
    fn send(&self, minor: u8, room: u32) -> (NtStatus, u64) {
        let outcome = self.send_to(self.device, minor, self.guids[0], room);
        (outcome.status, outcome.information)
    }

    /// A WNODE for an instance with static names.
    fn one_instance(&self, instance: u32, rest: &[u32]) {
        self.put(self.buffer + 44, 0x80);
        self.put(self.buffer + 52, instance);
        for (offset, value) in (56..).step_by(4).zip(rest) {
            self.put(self.buffer + offset, *value);
        }
    }

    fn said(&self) -> Vec<String> {
        self.log.take()
    }
}

#[test]
fn requests_of_others_are_left_alone() {
    let provider = Provider::new(1);
    let outcome = provider.send_to(4, minor_wmi::IRP_MN_QUERY_ALL_DATA, provider.guids[0], 512);
    assert_eq!(outcome.status, NtStatus::NOT_SUPPORTED);
    assert!(provider.said()[0].starts_with("disposition 3"));
    for (minor, what) in [(0x0A, 2), (0x0C, 2), (0x0B, 1), (0x09, 1)] {
        let outcome = provider.send_to(provider.device, minor, provider.guids[1], 512);
        let said = provider.said();
        assert!(
            said[0].starts_with(&alloc::format!("disposition {what}")),
            "{minor}: {said:?}"
        );
        assert_eq!(outcome.status == NtStatus::NOT_SUPPORTED, what == 2);
    }
}

#[test]
fn another_block_is_not_found() {
    let provider = Provider::new(1);
    let outcome = provider.send_to(provider.device, 0, provider.guids[1], 512);
    assert_eq!(outcome.status, NtStatus::WMI_GUID_NOT_FOUND);
    assert!(provider.said()[0].starts_with("disposition 1"));
}

#[test]
fn instances_of_one_size_are_laid_out_as_such() {
    let provider = Provider::new(2);
    provider.serve(QUERY, |kernel, arguments| {
        for index in 0..2 {
            kernel.write(DriverPtr::<u32>::new(arguments[5]).element(index), 6)?;
        }
        kernel.write(DriverPtr::<u32>::new(arguments[7]), 0x1234)?;
        Ok((NtStatus::SUCCESS, 14))
    });
    // 60 bytes, two pairs, to the next multiple of 8.
    assert_eq!(provider.send(0, 512), (NtStatus::SUCCESS, 80 + 14));
    assert_eq!(
        [0, 44, 48, 52, 56, 60, 80].map(|offset| provider.get(offset)),
        [94, 0x91, 80, 2, 0, 6, 0x1234]
    );
    assert!(provider.said()[0].starts_with("routine [0, 0, 2,"));
}

#[test]
fn instances_of_several_sizes_each_have_a_place() {
    let provider = Provider::new(2);
    provider.serve(QUERY, |kernel, arguments| {
        for (index, length) in [(0, 9), (1, 4_u32)] {
            kernel.write(DriverPtr::<u32>::new(arguments[5]).element(index), length)?;
        }
        Ok((NtStatus::SUCCESS, 20))
    });
    assert_eq!(provider.send(0, 100), (NtStatus::SUCCESS, 100));
    assert_eq!(provider.get(44), 0x81);
    assert_eq!(
        [60, 64, 68, 72].map(|offset| provider.get(offset)),
        [80, 9, 96, 4]
    );
}

#[test]
fn a_buffer_that_is_too_small_is_answered_with_the_size_needed() {
    let provider = Provider::new(2);
    provider.serve(QUERY, |_, arguments| {
        assert_eq!(arguments[5] == 0, arguments[6] == 0);
        assert_eq!(arguments[7] == 0, arguments[6] == 0);
        Ok((NtStatus::BUFFER_TOO_SMALL, 20))
    });
    for room in [56, 80, 81, 99] {
        assert_eq!(provider.send(0, room), (NtStatus::SUCCESS, 56));
        assert_eq!(provider.get(44) & 0x20, 0x20);
        assert_eq!((provider.get(0), provider.get(48)), (56, 100));
    }
    provider.said();
    assert_eq!(provider.send(0, 55), (NtStatus::BUFFER_TOO_SMALL, 0));
    assert!(provider.said()[0].starts_with("disposition 1"));
    // One byte more than there is.
    provider.serve(QUERY, |_, _| Ok((NtStatus::SUCCESS, 20)));
    assert_eq!(provider.send(0, 99), (NtStatus::SUCCESS, 56));
}

#[test]
fn a_single_instance_is_returned_where_the_request_wants_it() {
    let provider = Provider::new(2);
    provider.serve(QUERY, |kernel, arguments| {
        kernel.write(DriverPtr::<u32>::new(arguments[5]), 4)?;
        kernel.write(DriverPtr::<u32>::new(arguments[7]), 0xABCD)?;
        Ok((NtStatus::SUCCESS, 4))
    });
    provider.one_instance(1, &[72, 0]);
    assert_eq!(provider.send(1, 76), (NtStatus::SUCCESS, 76));
    assert_eq!(
        (provider.get(0), provider.get(60), provider.get(72)),
        (76, 4, 0xABCD)
    );
    assert!(provider.said()[0].starts_with("routine [0, 1, 1,"));
    provider.one_instance(2, &[72, 0]);
    assert_eq!(provider.send(1, 76), (NtStatus::WMI_INSTANCE_NOT_FOUND, 0));
    provider.one_instance(1, &[72, 0]);
    provider.put(provider.buffer + 44, 0);
    assert_eq!(provider.send(1, 76), (NtStatus::WMI_INSTANCE_NOT_FOUND, 0));
    assert_eq!(provider.send(1, 63), (NtStatus::BUFFER_TOO_SMALL, 0));
}

#[test]
fn what_the_driver_does_not_serve_has_a_status_of_its_own() {
    let provider = Provider::new(1);
    provider.one_instance(0, &[64, 0, 0]);
    let wanted = [
        (0, NtStatus::INVALID_DEVICE_REQUEST),
        (1, NtStatus::INVALID_DEVICE_REQUEST),
        (2, NtStatus::WMI_READ_ONLY),
        (3, NtStatus::WMI_READ_ONLY),
        (4, NtStatus::SUCCESS),
        (7, NtStatus::SUCCESS),
        (8, NtStatus::INVALID_DEVICE_REQUEST),
        (9, NtStatus::INVALID_DEVICE_REQUEST),
    ];
    for (minor, status) in wanted {
        assert_eq!(provider.send(minor, 128), (status, 0), "{minor}");
        assert!(provider.said()[0].starts_with("disposition 1"), "{minor}");
    }
}

#[test]
fn changes_carry_the_data() {
    let provider = Provider::new(1);
    provider.serve(SET_BLOCK, |_, _| Ok((NtStatus::SUCCESS, 5)));
    provider.serve(SET_ITEM, |_, _| Ok((NtStatus::WMI_SET_FAILURE, 5)));
    let data = provider.buffer;
    provider.one_instance(0, &[64, 8]);
    assert_eq!(provider.send(2, 72), (NtStatus::SUCCESS, 0));
    assert_eq!(
        provider.said()[0],
        alloc::format!("routine [0, 0, 8, {:x}]", data + 64)
    );
    assert_eq!(provider.send(2, 71), (NtStatus::INVALID_PARAMETER, 0));
    provider.one_instance(0, &[63, 8]);
    assert_eq!(provider.send(2, 72), (NtStatus::INVALID_PARAMETER, 0));
    provider.said();
    provider.one_instance(0, &[5, 72, 4]);
    assert_eq!(provider.send(3, 76), (NtStatus::WMI_SET_FAILURE, 0));
    assert_eq!(
        provider.said()[0],
        alloc::format!("routine [0, 0, 5, 4, {:x}]", data + 72)
    );
}

#[test]
fn a_method_has_input_and_output_in_one_place() {
    let provider = Provider::new(1);
    provider.serve(EXECUTE, |_, _| Ok((NtStatus::SUCCESS, 12)));
    provider.one_instance(0, &[3, 72, 4]);
    assert_eq!(provider.send(9, 100), (NtStatus::SUCCESS, 84));
    let wanted = alloc::format!("routine [0, 0, 3, 4, 1c, {:x}]", provider.buffer + 72);
    assert_eq!(provider.said()[0], wanted);
    assert_eq!((provider.get(0), provider.get(64)), (84, 12));
}

#[test]
fn enabling_tells_what_and_whether() {
    let provider = Provider::new(1);
    provider.serve(CONTROL, |_, _| Ok((NtStatus::SUCCESS, 0)));
    for (minor, said) in [
        (4, "[0, 0, 1]"),
        (5, "[0, 0, 0]"),
        (6, "[0, 1, 1]"),
        (7, "[0, 1, 0]"),
    ] {
        assert_eq!(provider.send(minor, 48), (NtStatus::SUCCESS, 0));
        assert_eq!(provider.said()[0], alloc::format!("routine {said}"));
    }
}

#[test]
fn registration_lists_the_blocks_and_the_names() {
    let provider = Provider::new(3);
    let path = provider.bench.unicode("ab");
    let routine = provider.bench.routine(move |kernel, arguments| {
        kernel.write(DriverPtr::<u32>::new(arguments[1]), 8)?;
        let name = kernel.pool_allocate(0, 16, 1)?;
        kernel.write(DriverPtr::<u16>::new(name), 0x58)?;
        kernel.write(DriverPtr::<u16>::new(arguments[2]), 2)?;
        kernel.write(DriverPtr::<u64>::new(arguments[2] + 8), name)?;
        kernel.write(DriverPtr::<u64>::new(arguments[3]), path)?;
        Ok(0)
    });
    let slot = DriverPtr::new(provider.context + QUERY_REG_INFO);
    provider
        .bench
        .kernel
        .write(slot, routine)
        .expect("a variable");
    let register = |path, room| {
        let outcome = provider.send_to(provider.device, 0x0B, path, room);
        (outcome.status, outcome.information)
    };
    // 24 bytes, one block of 32, "ab" and "X" with their lengths.
    assert_eq!(register(0, 66), (NtStatus::SUCCESS, 66));
    assert_eq!(
        [0, 4, 8, 12, 16, 24, 40, 44, 48].map(|offset| provider.get(offset)),
        [66, 0, 56, 0, 1, 1, 8, 3, 62]
    );
    assert_eq!(
        (provider.get(56), provider.get(62)),
        (0x0061_0004, 0x0058_0002)
    );
    assert!(provider.said()[0].starts_with("disposition 1"));
    assert_eq!(register(0, 65), (NtStatus::BUFFER_TOO_SMALL, 4));
    assert_eq!(provider.get(0), 66);
    assert_eq!(register(0, 3), (NtStatus::BUFFER_TOO_SMALL, 0));
    // An update does not name the registry path again.
    assert_eq!(register(1, 66), (NtStatus::SUCCESS, 60));
    assert_eq!(provider.get(8), 0);
}

#[test]
fn an_event_takes_its_data() {
    let provider = Provider::new(1);
    let (device, guid) = (provider.device, provider.guids[0]);
    let fire = move |kernel: &Kernel, size| {
        let data = kernel.pool_allocate(0, 8, 1)?;
        kernel.wmi_fire_event(device, DriverPtr::new(guid), 0, size, data)
    };
    assert_eq!(
        provider.bench.on_thread(move |kernel| fire(kernel, 8)),
        NtStatus::SUCCESS
    );
    let status = provider
        .bench
        .on_thread(move |kernel| fire(kernel, u32::MAX));
    assert_eq!(status, NtStatus::INSUFFICIENT_RESOURCES);
    let status = provider
        .bench
        .on_thread(move |kernel| kernel.wmi_fire_event(device, DriverPtr::new(guid), 0, 8, 0));
    assert_eq!(status, NtStatus::SUCCESS);
    assert!(provider.bench.rules().is_empty());
}
