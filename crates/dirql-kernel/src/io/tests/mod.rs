//! The I/O manager against drivers that are closures.

mod device;
mod interface;
mod irp;
mod legacy_resources;
mod paths;
mod pnp;
mod power;
mod queue;
mod request;
mod resources;
mod system;
mod unload;
mod wmilib;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use dirql_abi::NtStatus;
use dirql_abi::device::{DeviceObject, DriverExtension, DriverObject, device_flags};
use dirql_abi::irp::{IoStackLocation, Irp, major, minor_pnp};

use super::DriverImage;
use crate::testing::Bench;
use crate::{Config, Ddi, DriverPtr, Kernel, at};

pub(super) fn bench() -> Bench {
    Bench::new(Config::default())
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(super) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(super) fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    pub(super) fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.borrow_mut())
    }
}

/// A driver object without an image.
pub(super) fn driver(bench: &Bench, name: &str) -> u64 {
    let image = DriverImage {
        name: String::from(name),
        base: 0,
        size: 0,
        entry: 0,
    };
    let driver = bench.kernel.create_driver(&image);
    driver.expect("system memory").expect("the name is free")
}

/// Sets a driver's dispatch routine.
pub(super) fn on(
    bench: &Bench,
    driver: u64,
    function: u8,
    code: impl Fn(&Kernel, u64, u64) -> Ddi<NtStatus> + 'static,
) {
    let routine = bench
        .routine(move |kernel, arguments| code(kernel, arguments[0], arguments[1]).map(u64::from));
    let table = at!(
        DriverPtr::<DriverObject>::new(driver),
        DriverObject,
        major_function
    )
    .cast::<u64>();
    bench
        .kernel
        .write(table.element(usize::from(function)), routine)
        .expect("a driver object");
}

/// Sets a driver's AddDevice.
pub(super) fn on_add(
    bench: &Bench,
    driver: u64,
    code: impl Fn(&Kernel, u64, u64) -> Ddi<NtStatus> + 'static,
) {
    let routine = bench
        .routine(move |kernel, arguments| code(kernel, arguments[0], arguments[1]).map(u64::from));
    let kernel = &bench.kernel;
    let extension = kernel.read(at!(
        DriverPtr::<DriverObject>::new(driver),
        DriverObject,
        driver_extension
    ));
    let extension = DriverPtr::<DriverExtension>::new(extension.expect("a driver object"));
    kernel
        .write(at!(extension, DriverExtension, add_device), routine)
        .expect("an extension");
}

/// A device of a driver, ready for requests.
pub(super) fn device(bench: &Bench, driver: u64, name: &str) -> u64 {
    let name = (!name.is_empty()).then(|| String::from(name));
    let kernel = &bench.kernel;
    let device = kernel
        .create_device(driver, 64, name, 0x22, 0, 0)
        .expect("memory")
        .expect("the name is free");
    kernel
        .change_device_flags(device, device_flags::DO_DEVICE_INITIALIZING, 0)
        .expect("a device");
    device
}

/// A driver that can be opened and closed.
pub(super) fn opens_and_closes(bench: &Bench) -> u64 {
    let driver = driver(bench, "a");
    for function in [
        major::IRP_MJ_CREATE,
        major::IRP_MJ_CLEANUP,
        major::IRP_MJ_CLOSE,
    ] {
        on(bench, driver, function, |kernel, _, irp| {
            complete(kernel, irp, NtStatus::SUCCESS, 0)
        });
    }
    driver
}

/// Completes a request.
pub(super) fn complete(
    kernel: &Kernel,
    irp: u64,
    status: NtStatus,
    information: u64,
) -> Ddi<NtStatus> {
    let pointer = DriverPtr::<Irp>::new(irp);
    kernel.write(at!(pointer, Irp, io_status.status), status)?;
    kernel.write(at!(pointer, Irp, io_status.information), information)?;
    kernel.iof_complete_request(irp, 0)?;
    Ok(status)
}

/// Passes a request on without looking at it again.
pub(super) fn pass(kernel: &Kernel, below: u64, irp: u64) -> Ddi<NtStatus> {
    kernel.skip_stack_location(irp)?;
    kernel.iof_call_driver(below, irp)
}

/// The current stack location.
pub(super) fn stack(kernel: &Kernel, irp: u64) -> Ddi<IoStackLocation> {
    Ok(kernel.read(kernel.current_location(irp)?)?)
}

/// The device that a device is attached to, kept at the start of its extension.
pub(super) fn below(kernel: &Kernel, device: u64) -> Ddi<u64> {
    Ok(kernel.read(DriverPtr::<u64>::new(
        device + size_of::<DeviceObject>() as u64,
    ))?)
}

/// A function driver that handles plug and play as the documentation says and logs it.
pub(super) fn function_driver(bench: &Bench, name: &str, log: &Log) -> u64 {
    let driver = driver(bench, name);
    let adds = log.clone();
    on_add(bench, driver, move |kernel, driver, physical_device| {
        adds.add("AddDevice");
        let device = match kernel.create_device(driver, 64, None, 0x22, 0, 0)? {
            Ok(device) => device,
            Err(status) => return Ok(status),
        };
        let lower = kernel.io_attach_device_to_device_stack(device, physical_device)?;
        kernel.write(
            DriverPtr::new(device + size_of::<DeviceObject>() as u64),
            lower,
        )?;
        kernel.change_device_flags(device, device_flags::DO_DEVICE_INITIALIZING, 0)?;
        Ok(NtStatus::SUCCESS)
    });
    let pnp = log.clone();
    on(
        bench,
        driver,
        major::IRP_MJ_PNP,
        move |kernel, device, irp| {
            let minor = stack(kernel, irp)?.minor_function;
            let lower = below(kernel, device)?;
            pnp.add(minor_pnp::name(minor).unwrap_or("?"));
            match minor {
                minor_pnp::IRP_MN_START_DEVICE => {
                    assert_eq!(kernel.io_forward_irp_synchronously(lower, irp)?, 1);
                    let status =
                        kernel.read(at!(DriverPtr::<Irp>::new(irp), Irp, io_status.status))?;
                    complete(kernel, irp, status, 0)
                }
                minor_pnp::IRP_MN_REMOVE_DEVICE => {
                    kernel.write(
                        at!(DriverPtr::<Irp>::new(irp), Irp, io_status.status),
                        NtStatus::SUCCESS,
                    )?;
                    let status = pass(kernel, lower, irp)?;
                    kernel.io_detach_device(lower)?;
                    kernel.io_delete_device(device)?;
                    Ok(status)
                }
                _ => pass(kernel, lower, irp),
            }
        },
    );
    on(
        bench,
        driver,
        major::IRP_MJ_POWER,
        move |kernel, device, irp| {
            kernel.po_start_next_power_irp(irp)?;
            kernel.skip_stack_location(irp)?;
            kernel.po_call_driver(below(kernel, device)?, irp)
        },
    );
    let unload = bench.routine(|_, _| Ok(0));
    let at = at!(
        DriverPtr::<DriverObject>::new(driver),
        DriverObject,
        driver_unload
    );
    bench.kernel.write(at, unload).expect("a driver object");
    driver
}

/// The name of a numbered thing, for logs.
pub(super) fn hex(value: u64) -> String {
    format!("{value:#x}")
}
