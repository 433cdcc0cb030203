//! HalAssignSlotResources.

use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::interrupt::interrupt_mode;
use dirql_abi::resource::resource_type::{CmResourceTypeInterrupt, CmResourceTypeMemory};
use dirql_abi::resource::{
    CmFullResourceDescriptor, CmInterrupt, CmPartialResourceDescriptor, CmRange, CmResourceList,
    interface_type,
};
use dirql_chips::Width;
use dirql_chips::models::{self, PluggedDevice};

use super::{device, driver};
use crate::hal::{DeviceId, MessageWish, Plug, Socket};
use crate::io::interrupt::ConnectArguments;
use crate::testing::Bench;
use crate::{Config, DriverPtr, Kernel};

const PCI: (i32, u32) = (interface_type::PCIBus, 0);

/// `PCIConfiguration` of BUS_DATA_TYPE.
const PCI_CONFIGURATION: u32 = 4;

/// The slot of the first device.
const SLOT: u32 = 1;

/// A computer with an `edu` that no driver has.
fn edu() -> (Bench, DeviceId) {
    let bench = Bench::new(Config::default());
    let Ok(PluggedDevice::Pci(function)) = models::build("edu", &[]) else {
        panic!("a PCI model");
    };
    let plugged = bench.kernel.plug(Plug {
        name: String::from("edu0"),
        socket: Socket::Pci(function),
        interrupts: MessageWish::Line,
        gsi: None,
    });
    let device = plugged.expect("there is room");
    (bench, device)
}

struct Owner {
    driver: u64,
    device: u64,
    allocated: DriverPtr<u64>,
}

fn owner(bench: &Bench, name: &str) -> Owner {
    let driver = driver(bench, name);
    Owner {
        driver,
        device: device(bench, driver, ""),
        allocated: DriverPtr::new(bench.variable(8)),
    }
}

impl Owner {
    fn assign(&self, bench: &Bench, bus: (i32, u32), slot: u32) -> (NtStatus, u64) {
        let (driver, device, allocated) = (self.driver, self.device, self.allocated);
        bench.on_thread(move |kernel| {
            kernel.write(allocated, 0xEEEE)?;
            let status = kernel.hal_assign_slot_resources(driver, device, bus, slot, allocated)?;
            Ok((status, kernel.read(allocated)?))
        })
    }
}

fn descriptors(kernel: &Kernel, list: u64) -> Vec<CmPartialResourceDescriptor> {
    let first = list + size_of::<CmResourceList>() as u64;
    let full = kernel
        .read(DriverPtr::<CmFullResourceDescriptor>::new(first))
        .unwrap();
    let (kind, number) = (full.interface_type, full.bus_number);
    assert_eq!((kind, number), PCI);
    let at = DriverPtr::<CmPartialResourceDescriptor>::new(
        first + size_of::<CmFullResourceDescriptor>() as u64,
    );
    (0..full.partial_resource_list.count as usize)
        .map(|index| kernel.read(at.element(index)).unwrap())
        .collect()
}

#[test]
fn the_windows_and_the_line_of_a_function_are_claimed_and_it_answers() {
    let (bench, edu) = edu();
    let kernel = &bench.kernel;
    let owner = owner(&bench, "legacy");
    let (status, list) = owner.assign(&bench, PCI, SLOT);
    assert_eq!(status, NtStatus::SUCCESS);
    let resources = descriptors(kernel, list);
    let [memory, line] = resources[..] else {
        panic!("a window and a line: {resources:?}");
    };
    assert_eq!(memory.type_, CmResourceTypeMemory);
    assert_eq!(line.type_, CmResourceTypeInterrupt);
    let base = memory.arm::<CmRange>().start;
    // The identification register.
    assert_eq!(kernel.read_device(base, Width::U32), 0x0100_00ED);

    // The line is that of the configuration space, and can be connected.
    let line = line.arm::<CmInterrupt>().vector;
    let byte = bench.variable(1);
    let read = kernel.hal_get_bus_data_by_offset(PCI_CONFIGURATION, (0, SLOT), byte, (0x3C, 1));
    assert_eq!(read, Ok(1));
    let in_space: u8 = kernel.read(DriverPtr::new(byte)).unwrap();
    assert_eq!(u32::from(in_space), line);
    let (irql, affinity) = (
        DriverPtr::new(bench.variable(1)),
        DriverPtr::new(bench.variable(8)),
    );
    let vector = kernel
        .hal_get_interrupt_vector((PCI.0, PCI.1, line), irql, affinity)
        .unwrap();
    let level = dirql_abi::Irql(kernel.read(irql).unwrap());
    let calls = alloc::rc::Rc::new(core::cell::Cell::new(0));
    let counted = calls.clone();
    let isr = bench.routine(move |kernel, _| {
        counted.set(counted.get() + 1);
        let causes = kernel.read_device(base + 0x24, Width::U32);
        kernel.write_device(base + 0x64, Width::U32, causes);
        Ok(1)
    });
    let arguments = ConnectArguments {
        service_routine: isr,
        service_context: 0,
        spin_lock: 0,
        vector,
        irql: level,
        synchronize_irql: level,
        interrupt_mode: interrupt_mode::LevelSensitive,
        share_vector: 1,
        processor_enable_mask: kernel.read(affinity).unwrap(),
    };
    let object = DriverPtr::new(bench.variable(8));
    let status = bench.on_thread(move |kernel| kernel.io_connect_interrupt(object, arguments));
    assert!(status.is_success());
    kernel.write_device(base + 0x60, Width::U32, 1);
    kernel.run_until_idle();
    assert_eq!(calls.get(), 1);
    assert!(
        kernel.assignment(edu).is_none(),
        "plug and play gave it nothing"
    );
    assert_eq!(bench.rules(), []);
}

#[test]
fn what_others_have_is_in_conflict_until_it_is_given_back() {
    let (bench, _) = edu();
    let (first, second) = (owner(&bench, "first"), owner(&bench, "second"));
    assert_eq!(first.assign(&bench, PCI, SLOT).0, NtStatus::SUCCESS);
    let refused = second.assign(&bench, PCI, SLOT);
    assert_eq!(refused, (NtStatus::CONFLICTING_ADDRESSES, 0));
    // Asking again is no conflict with oneself.
    assert_eq!(first.assign(&bench, PCI, SLOT).0, NtStatus::SUCCESS);
    let (driver, device) = (first.driver, first.device);
    let status = bench
        .on_thread(move |kernel| kernel.io_assign_resources(driver, device, 0, DriverPtr::new(0)));
    assert_eq!(status, NtStatus::SUCCESS);
    assert_eq!(second.assign(&bench, PCI, SLOT).0, NtStatus::SUCCESS);
}

#[test]
fn an_empty_slot_and_another_bus_are_told_apart() {
    let (bench, _) = edu();
    let owner = owner(&bench, "legacy");
    let nothing = owner.assign(&bench, PCI, SLOT + 1);
    assert_eq!(nothing, (NtStatus::NO_SUCH_DEVICE, 0));
    let other_bus = owner.assign(&bench, (interface_type::PCIBus, 1), SLOT);
    assert_eq!(other_bus, (NtStatus::NO_SUCH_DEVICE, 0));
    let isa = owner.assign(&bench, (interface_type::Isa, 0), SLOT);
    assert_eq!(isa, (NtStatus::NOT_SUPPORTED, 0));
}
