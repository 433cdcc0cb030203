use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::dma::{DeviceDescription, ScatterGatherElement, ScatterGatherList};
use dirql_abi::io::allocation_action;
use dirql_abi::memory::Mdl;
use dirql_abi::{Irql, NtStatus};
use dirql_rules::ids;

use super::ListRequest;
use crate::mm::layout::{self, PAGE};
use crate::testing::Bench;
use crate::{Access, Config, DriverPtr, Kernel, Platform, Stop};

/// What a device can do.
#[derive(Clone, Copy)]
struct Can {
    gather: bool,
    reach_64: bool,
}

const GATHER_32: Can = Can {
    gather: true,
    reach_64: false,
};

fn bench() -> Bench {
    let bench = Bench::new(Config::default());
    let user = layout::USER.start;
    bench
        .platform
        .protect(user..user + 8 * PAGE, Access::ReadWrite);
    bench
}

fn adapter(bench: &Bench, can: Can, maximum_length: u32) -> (u64, u32) {
    let description = DeviceDescription {
        version: 1,
        master: 1,
        scatter_gather: u8::from(can.gather),
        dma32_bit_addresses: 1,
        dma64_bit_addresses: u8::from(can.reach_64),
        maximum_length,
        ..zerocopy::FromZeros::new_zeroed()
    };
    let wish = DriverPtr::new(bench.variable(40));
    let registers = DriverPtr::<u32>::new(bench.variable(4));
    bench.kernel.write(wish, description).unwrap();
    let adapter = bench.kernel.io_get_dma_adapter(0, wish, registers).unwrap();
    (adapter.address(), bench.kernel.read(registers).unwrap())
}

fn device(bench: &Bench) -> u64 {
    let image = crate::io::DriverImage {
        name: "sample".into(),
        base: 0,
        size: 0,
        entry: 0,
    };
    let driver = bench.kernel.create_driver(&image).unwrap().unwrap();
    let device = bench.kernel.create_device(driver, 0, None, 0x22, 0, 0);
    device.unwrap().unwrap()
}

/// A locked buffer of a user, which lies above 4 GiB.
fn user_mdl(bench: &Bench, offset: u64, bytes: u32) -> DriverPtr<Mdl> {
    let address = layout::USER.start + offset;
    let mdl = bench
        .kernel
        .io_allocate_mdl(address, bytes, 0, 0, DriverPtr::NULL)
        .unwrap();
    bench.kernel.mm_probe_and_lock_pages(mdl, 1, 1).unwrap();
    mdl
}

/// The elements of every list that a routine of the driver is given, at which level.
type Lists = Rc<RefCell<Vec<(u64, Irql, Vec<(u64, u32)>)>>>;

fn list_routine(bench: &Bench, lists: &Lists) -> u64 {
    let lists = lists.clone();
    bench.routine(move |kernel, arguments| {
        let head: ScatterGatherList = kernel.read(DriverPtr::new(arguments[2]))?;
        let first = DriverPtr::<ScatterGatherElement>::new(arguments[2] + 16);
        let mut elements = Vec::new();
        for index in 0..head.number_of_elements as usize {
            let element = kernel.read(first.element(index))?;
            elements.push((element.address, element.length));
        }
        lists
            .borrow_mut()
            .push((arguments[2], kernel.irql(), elements));
        Ok(0)
    })
}

fn at_dispatch<R>(kernel: &Kernel, body: impl FnOnce() -> R) -> R {
    let before = kernel.raise_irql(Irql::DISPATCH);
    let result = body();
    kernel.lower_irql(before).unwrap();
    result
}

#[test]
fn a_device_gets_a_register_more_than_its_longest_transfer_has_pages() {
    let bench = bench();
    assert_eq!(adapter(&bench, GATHER_32, 0).1, 1);
    assert_eq!(adapter(&bench, GATHER_32, 1).1, 2);
    assert_eq!(adapter(&bench, GATHER_32, 0x1_0000).1, 17);
    assert_eq!(adapter(&bench, GATHER_32, 0x1_0001).1, 18);
}

#[test]
fn there_is_no_adapter_for_the_system_controller_nor_for_version_4() {
    let bench = bench();
    let ask = |version, master| {
        let description = DeviceDescription {
            version,
            master,
            ..zerocopy::FromZeros::new_zeroed()
        };
        let wish = DriverPtr::new(bench.variable(40));
        bench.kernel.write(wish, description).unwrap();
        let registers = DriverPtr::new(bench.variable(4));
        bench.kernel.io_get_dma_adapter(0, wish, registers).unwrap()
    };
    assert!(ask(1, 0).is_null());
    assert!(ask(4, 1).is_null());
    assert!(!ask(0, 1).is_null() && !ask(2, 1).is_null() && !ask(3, 1).is_null());
}

#[test]
fn memory_that_the_device_reaches_is_given_as_it_is() {
    let bench = bench();
    let (adapter, _) = adapter(&bench, GATHER_32, 0x1_0000);
    let device = device(&bench);
    let kernel = &bench.kernel;
    let pool = kernel.pool_allocate(0, 3 * PAGE, 1).unwrap();
    let mdl = kernel
        .io_allocate_mdl(pool + 0x800, PAGE as u32, 0, 0, DriverPtr::NULL)
        .unwrap();
    kernel.mm_build_mdl_for_non_paged_pool(mdl).unwrap();
    let lists = Lists::default();
    let request = ListRequest {
        adapter,
        device,
        mdl,
        address: pool + 0x900,
        bytes: 0xF00,
        routine: list_routine(&bench, &lists),
        context: 0,
        write_to_device: 0,
    };
    let status = at_dispatch(kernel, || kernel.get_scatter_gather_list(request));
    assert_eq!(status, Ok(NtStatus::SUCCESS));
    let (list, level, elements) = lists.borrow()[0].clone();
    assert_eq!(level, Irql::DISPATCH);
    let physical = layout::physical(pool).unwrap();
    assert_eq!(elements, [(physical + 0x900, 0xF00)]);
    // One byte more is outside the MDL.
    let longer = ListRequest {
        bytes: 0xF01,
        ..request
    };
    assert_eq!(
        kernel.get_scatter_gather_list(longer),
        Ok(NtStatus::BUFFER_TOO_SMALL)
    );
    kernel.put_scatter_gather_list(adapter, list, 0).unwrap();
    kernel.put_dma_adapter(adapter).unwrap();
    assert_eq!(bench.rules(), []);
    assert!(matches!(
        kernel.get_dma_alignment(adapter),
        Err(Stop::Ended)
    ));
}

#[test]
fn memory_out_of_reach_is_copied_both_ways_and_keeps_its_place_in_the_page() {
    let bench = bench();
    let (adapter, _) = adapter(&bench, GATHER_32, 0x1_0000);
    let device = device(&bench);
    let kernel = &bench.kernel;
    let buffer = layout::USER.start + 0x10;
    kernel.write_bytes(buffer, b"to the device").unwrap();
    let lists = Lists::default();
    let mut request = ListRequest {
        adapter,
        device,
        mdl: user_mdl(&bench, 0x10, 0x1100),
        address: buffer,
        bytes: 0x1100,
        routine: list_routine(&bench, &lists),
        context: 0,
        write_to_device: 1,
    };
    kernel.get_scatter_gather_list(request).unwrap();
    let (list, _, elements) = lists.borrow()[0].clone();
    let [(logical, 0x1100)] = elements[..] else {
        panic!("{elements:x?}")
    };
    assert!(logical < 1 << 32 && logical % PAGE == 0x10);
    let visible = layout::virtual_address(logical).unwrap();
    assert_eq!(kernel.read_bytes(visible, 13).unwrap(), b"to the device");
    kernel.put_scatter_gather_list(adapter, list, 1).unwrap();

    request.write_to_device = 0;
    kernel.get_scatter_gather_list(request).unwrap();
    let (list, _, elements) = lists.borrow()[1].clone();
    kernel.dma_write(elements[0].0 + 0x10FF, b"!");
    assert_eq!(kernel.read_bytes(buffer + 0x10FF, 1).unwrap(), [0]);
    kernel.put_scatter_gather_list(adapter, list, 0).unwrap();
    assert_eq!(kernel.read_bytes(buffer + 0x10FF, 1).unwrap(), b"!");
    assert_eq!(bench.rules(), []);
}

#[test]
fn a_device_with_64_address_lines_reaches_a_user_page_itself() {
    let bench = bench();
    let can = Can {
        reach_64: true,
        ..GATHER_32
    };
    let (adapter, _) = adapter(&bench, can, 0x1_0000);
    let lists = Lists::default();
    let request = ListRequest {
        adapter,
        device: device(&bench),
        mdl: user_mdl(&bench, 0, 0x1000),
        address: layout::USER.start,
        bytes: 0x1000,
        routine: list_routine(&bench, &lists),
        context: 0,
        write_to_device: 0,
    };
    bench.kernel.get_scatter_gather_list(request).unwrap();
    assert_eq!(lists.borrow()[0].2, [(layout::USER_PHYSICAL, 0x1000)]);
    bench.kernel.dma_write(layout::USER_PHYSICAL, b"direct");
    let seen = bench.kernel.read_bytes(layout::USER.start, 6);
    assert_eq!(seen.unwrap(), b"direct");
}

#[test]
fn who_waits_for_registers_gets_them_when_they_come_back() {
    let bench = bench();
    let (adapter, registers) = adapter(&bench, GATHER_32, 0x2000);
    assert_eq!(registers, 3);
    let lists = Lists::default();
    let request = ListRequest {
        adapter,
        device: device(&bench),
        mdl: user_mdl(&bench, 0, 0x4000),
        address: layout::USER.start,
        bytes: 0x2000,
        routine: list_routine(&bench, &lists),
        context: 0,
        write_to_device: 0,
    };
    let kernel = &bench.kernel;
    assert_eq!(
        kernel.get_scatter_gather_list(request),
        Ok(NtStatus::SUCCESS)
    );
    assert_eq!(
        kernel.get_scatter_gather_list(request),
        Ok(NtStatus::SUCCESS)
    );
    assert_eq!(lists.borrow().len(), 1);
    let first = lists.borrow()[0].0;
    kernel.put_scatter_gather_list(adapter, first, 0).unwrap();
    assert_eq!(lists.borrow().len(), 2);
    let more = ListRequest {
        bytes: 0x3001,
        ..request
    };
    assert_eq!(
        kernel.get_scatter_gather_list(more),
        Ok(NtStatus::INSUFFICIENT_RESOURCES)
    );
}

/// A routine that notes its base of map registers and answers `action`.
fn control(bench: &Bench, bases: &Rc<RefCell<Vec<u64>>>, action: u32) -> u64 {
    let bases = bases.clone();
    bench.routine(move |_, arguments| {
        bases.borrow_mut().push(arguments[2]);
        Ok(action.into())
    })
}

#[test]
fn a_device_that_cannot_gather_gets_one_piece_and_its_data_at_the_flush() {
    let bench = bench();
    let can = Can {
        gather: false,
        reach_64: false,
    };
    let (adapter, _) = adapter(&bench, can, 0x4000);
    let bases = Rc::default();
    let keep = allocation_action::DeallocateObjectKeepRegisters;
    let routine = control(&bench, &bases, keep);
    let kernel = &bench.kernel;
    kernel
        .allocate_adapter_channel(adapter, device(&bench), 3, routine, 0)
        .unwrap();
    let base = bases.borrow()[0];
    let mdl = user_mdl(&bench, 0x800, 0x1000);
    let length = DriverPtr::<u32>::new(bench.variable(4));
    kernel.write(length, 0x1000).unwrap();
    let address = layout::USER.start + 0x800;
    let logical = kernel
        .map_transfer(adapter, mdl, base, address, length, 0)
        .unwrap();
    assert_eq!(kernel.read(length), Ok(0x1000));
    kernel.dma_write(logical, b"from the device");
    assert_eq!(kernel.flush_adapter_buffers(adapter, base, 0), Ok(1));
    assert_eq!(kernel.read_bytes(address, 15).unwrap(), b"from the device");
    kernel.free_map_registers(adapter, base, 3).unwrap();
    assert_eq!(bench.rules(), []);
    assert!(kernel.free_map_registers(adapter, base, 3).is_err());
    assert_eq!(bench.rules(), [ids::DMA_ADAPTER]);
}

#[test]
fn registers_that_are_freed_before_the_flush_lose_the_data() {
    let bench = bench();
    let (adapter, _) = adapter(&bench, GATHER_32, 0x4000);
    let bases = Rc::default();
    let routine = control(&bench, &bases, allocation_action::KeepObject);
    let kernel = &bench.kernel;
    let device = device(&bench);
    kernel
        .allocate_adapter_channel(adapter, device, 1, routine, 0)
        .unwrap();
    // The channel is taken; this one waits.
    kernel
        .allocate_adapter_channel(adapter, device, 1, routine, 0)
        .unwrap();
    assert_eq!(bases.borrow().len(), 1);
    let base = bases.borrow()[0];
    let length = DriverPtr::<u32>::new(bench.variable(4));
    kernel.write(length, 0x1001).unwrap();
    let mdl = user_mdl(&bench, 0, 0x2000);
    kernel
        .map_transfer(adapter, mdl, base, layout::USER.start, length, 0)
        .unwrap();
    assert_eq!(
        bench.rules(),
        [ids::DMA_TRANSFER],
        "two pages, one register"
    );
    kernel.free_adapter_channel(adapter).unwrap();
    assert_eq!(bench.rules(), [ids::DMA_TRANSFER, ids::DMA_FLUSH]);
    assert_eq!(bases.borrow().len(), 2);
    kernel.free_adapter_channel(adapter).unwrap();
    kernel.free_adapter_channel(adapter).unwrap();
    assert_eq!(bench.rules().last(), Some(&ids::DMA_ADAPTER));
}

#[test]
fn a_common_buffer_is_where_the_device_reaches_it_and_goes_back_as_it_came() {
    let bench = bench();
    let (adapter, _) = adapter(&bench, GATHER_32, 0x1000);
    let kernel = &bench.kernel;
    let logical = DriverPtr::<u64>::new(bench.variable(8));
    let address = kernel
        .allocate_common_buffer(adapter, 0x1801, logical)
        .unwrap();
    let physical = kernel.read(logical).unwrap();
    assert_eq!(layout::physical(address), Some(physical));
    kernel.dma_write(physical + 0x1800, b"x");
    assert_eq!(kernel.read_bytes(address + 0x1800, 1).unwrap(), b"x");
    kernel.put_dma_adapter(adapter).unwrap();
    assert_eq!(bench.rules(), [ids::DMA_ADAPTER], "the buffer is left");
    let (adapter, _) = self::adapter(&bench, GATHER_32, 0x1000);
    let address = kernel
        .allocate_common_buffer(adapter, 0x1000, logical)
        .unwrap();
    let physical = kernel.read(logical).unwrap();
    kernel
        .free_common_buffer(adapter, 0x1000, physical, address)
        .unwrap();
    assert!(
        kernel
            .free_common_buffer(adapter, 0x1000, physical, address)
            .is_err()
    );
}

#[test]
fn the_size_of_a_list_and_an_mdl_of_what_the_device_sees() {
    let bench = bench();
    let (adapter, _) = adapter(&bench, GATHER_32, 0x4000);
    let kernel = &bench.kernel;
    let mdl = user_mdl(&bench, 0x800, 0x1000);
    let address = layout::USER.start + 0x800;
    let (size, count) = (
        DriverPtr::new(bench.variable(4)),
        DriverPtr::new(bench.variable(4)),
    );
    let status = kernel.calculate_scatter_gather_list(adapter, mdl, address, 0x1000, size, count);
    assert_eq!(status, Ok(NtStatus::SUCCESS));
    assert_eq!(
        (kernel.read(size), kernel.read(count)),
        (Ok(16 + 2 * 24), Ok(2))
    );
    let lists = Lists::default();
    let request = ListRequest {
        adapter,
        device: device(&bench),
        mdl,
        address,
        bytes: 0x1000,
        routine: list_routine(&bench, &lists),
        context: 0,
        write_to_device: 0,
    };
    let buffer = bench.variable(64);
    let short = kernel.build_scatter_gather_list(request, buffer, 63);
    assert_eq!(short, Ok(NtStatus::BUFFER_TOO_SMALL));
    assert_eq!(
        kernel.build_scatter_gather_list(request, buffer, 64),
        Ok(NtStatus::SUCCESS)
    );
    let (list, _, elements) = lists.borrow()[0].clone();
    assert_eq!(list, buffer);
    let target = DriverPtr::<u64>::new(bench.variable(8));
    kernel
        .build_mdl_from_scatter_gather_list(adapter, list, mdl, target)
        .unwrap();
    let other = DriverPtr::<Mdl>::new(kernel.read(target).unwrap());
    let frames = [0, 1].map(|page| kernel.read(crate::mm::frame_at(other, page)).unwrap());
    assert_eq!(
        vec![frames[0], frames[1]],
        [elements[0].0 / PAGE, elements[0].0 / PAGE + 1]
    );
    kernel.put_scatter_gather_list(adapter, list, 0).unwrap();
    assert_eq!(bench.rules(), []);
}

/// An adapter of version 3 for a device with so many address lines.
fn adapter_3(bench: &Bench, width: u32, maximum_length: u32) -> u64 {
    let description = DeviceDescription {
        version: 3,
        master: 1,
        scatter_gather: 1,
        maximum_length,
        ..zerocopy::FromZeros::new_zeroed()
    };
    let wish = DriverPtr::new(bench.variable(64));
    let registers = DriverPtr::<u32>::new(bench.variable(4));
    bench.kernel.write(wish, description).unwrap();
    let width_at = DriverPtr::<u32>::new(wish.address() + 40);
    bench.kernel.write(width_at, width).unwrap();
    let adapter = bench.kernel.io_get_dma_adapter(0, wish, registers).unwrap();
    let operations = bench.kernel.read(adapter).unwrap().dma_operations;
    assert_eq!(
        bench.kernel.read(DriverPtr::<u32>::new(operations)),
        Ok(320)
    );
    adapter.address()
}

fn transfer(adapter: u64, device: u64, out: DriverPtr<u64>) -> super::TransferRequest {
    super::TransferRequest {
        adapter,
        device,
        transfer: 0x1000,
        flags: 1,
        routine: 0,
        context: 0,
        out,
    }
}

#[test]
fn version_3_gives_a_list_without_calling_a_routine() {
    let bench = bench();
    let adapter = adapter_3(&bench, 64, 2 * PAGE as u32);
    let device = device(&bench);
    let kernel = &bench.kernel;
    let span = super::TransferSpan {
        mdl: user_mdl(&bench, 0x10, 0x1100),
        offset: 0x20,
        bytes: 0x1000,
    };
    let info = DriverPtr::<[u32; 6]>::new(bench.variable(24));
    kernel.write(info, [1, 0, 0, 0, 0, 0]).unwrap();
    kernel.get_dma_adapter_info(adapter, info).unwrap();
    assert_eq!(kernel.read(info), Ok([1, 0, 3, 64, 0, 1]));
    let needs = DriverPtr::<[u32; 4]>::new(bench.variable(16));
    kernel.write(needs, [1, 0, 0, 0]).unwrap();
    kernel.get_dma_transfer_info(adapter, span, needs).unwrap();
    assert_eq!(kernel.read(needs), Ok([1, 2, 2, 64]));
    let out = DriverPtr::<u64>::new(bench.variable(8));
    let request = transfer(adapter, device, out);
    let get = |request| {
        kernel
            .scatter_gather_list_ex(request, span, 1, None)
            .unwrap()
    };
    assert_eq!(get(request), NtStatus::SUCCESS);
    let list = kernel.read(out).unwrap();
    let first = kernel.read(DriverPtr::<[u64; 4]>::new(list)).unwrap();
    assert_eq!(first, [1, 0, layout::USER_PHYSICAL + 0x30, 0x1000]);
    // Without a routine there is nobody to tell later.
    let later = super::TransferRequest {
        flags: 0,
        ..request
    };
    assert_eq!(get(later), NtStatus::INVALID_PARAMETER);
    kernel.put_scatter_gather_list(adapter, list, 1).unwrap();
    kernel.put_dma_adapter(adapter).unwrap();
    assert_eq!(bench.rules(), []);
}

#[test]
fn a_synchronous_request_does_not_wait_and_a_waiting_one_can_be_cancelled() {
    let bench = bench();
    let adapter = adapter_3(&bench, 32, PAGE as u32);
    let device = device(&bench);
    let kernel = &bench.kernel;
    let out = DriverPtr::<u64>::new(bench.variable(8));
    let request = transfer(adapter, device, out);
    let allocate = |request| kernel.allocate_adapter_channel_ex(request, 2).unwrap();
    assert_eq!(allocate(request), NtStatus::SUCCESS);
    let base = kernel.read(out).unwrap();
    assert_eq!(allocate(request), NtStatus::INSUFFICIENT_RESOURCES);
    let waits = super::TransferRequest {
        flags: 0,
        routine: bench.routine(|_, _| panic!("it was cancelled")),
        ..request
    };
    assert_eq!(allocate(waits), NtStatus::SUCCESS);
    assert_eq!(kernel.cancel_adapter_channel(adapter, 0x1000), Ok(1));
    assert_eq!(kernel.cancel_adapter_channel(adapter, 0x1000), Ok(0));
    // 4 GiB and above are out of reach: a copy in one piece for each page.
    let span = super::TransferSpan {
        mdl: user_mdl(&bench, 0x10, 0x800),
        offset: 0,
        bytes: 0x800,
    };
    let list = bench.variable(64);
    let map = |room| {
        kernel
            .map_transfer_ex((adapter, base), span, 1, (list, room))
            .unwrap()
    };
    assert_eq!(map(39), NtStatus::BUFFER_TOO_SMALL);
    assert_eq!(map(40), NtStatus::SUCCESS);
    let element = kernel.read(DriverPtr::<[u64; 4]>::new(list)).unwrap();
    assert!(element[0] == 1 && element[2] < layout::USER_PHYSICAL && element[3] == 0x800);
    kernel.flush_adapter_buffers_ex(adapter, base, 1).unwrap();
    at_dispatch(kernel, || kernel.free_adapter_object(adapter, 2)).unwrap();
    kernel.put_dma_adapter(adapter).unwrap();
    assert_eq!(bench.rules(), []);
}

#[test]
fn what_is_not_modelled_of_version_3_ends_the_run() {
    let bench = bench();
    assert_eq!(bench.kernel.dma_not_modelled(), Err(Stop::Ended));
    assert_eq!(bench.rules(), [ids::UNIMPLEMENTED_IMPORT]);
}
