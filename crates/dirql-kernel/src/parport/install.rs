//! The driver object, and AddDevice.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::{
    DeviceObject, DriverExtension, DriverObject, characteristics, device_flags, device_type,
};
use dirql_abi::irp::major;

use super::chip::Hardware;
use super::{Port, State, extension};
use crate::io::DriverImage;
use crate::{Ddi, DriverPtr, Kernel, at};

/// The service name.
const SERVICE: &str = "parport";

/// Longest name that has room in the extension, in characters.
const LONGEST_NAME: usize = 15;

/// Its dispatch routines.
const DISPATCH: [(u8, &str); 8] = [
    (major::IRP_MJ_CREATE, "dirql:ParportCreate"),
    (major::IRP_MJ_CLOSE, "dirql:ParportClose"),
    (major::IRP_MJ_CLEANUP, "dirql:ParportCleanup"),
    (major::IRP_MJ_DEVICE_CONTROL, "dirql:ParportDeviceControl"),
    (
        major::IRP_MJ_INTERNAL_DEVICE_CONTROL,
        "dirql:ParportInternalControl",
    ),
    (major::IRP_MJ_PNP, "dirql:ParportPnp"),
    (major::IRP_MJ_POWER, "dirql:ParportPower"),
    (major::IRP_MJ_SYSTEM_CONTROL, "dirql:ParportSystemControl"),
];

impl Kernel {
    /// The driver object of the function driver, to be chosen for a port; made when it is first
    /// asked for. On a thread, at PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The run's end. The inner error is a driver of the same name that was loaded first.
    pub fn parport_driver(&self) -> Ddi<Result<u64, NtStatus>> {
        let known = self.parport.driver.get();
        if known != 0 {
            return Ok(Ok(known));
        }
        let image = DriverImage {
            name: SERVICE.to_string(),
            base: 0,
            size: 0,
            entry: 0,
        };
        let driver = match self.create_driver(&image)? {
            Ok(driver) => driver,
            Err(status) => return Ok(Err(status)),
        };
        let object = DriverPtr::<DriverObject>::new(driver);
        let table = at!(object, DriverObject, major_function).cast::<u64>();
        for (function, name) in DISPATCH {
            let routine = self.kernel_routine(name);
            self.write(table.element(usize::from(function)), routine)?;
        }
        let more = DriverPtr::<DriverExtension>::new(self.read(at!(
            object,
            DriverObject,
            driver_extension
        ))?);
        self.write(
            at!(more, DriverExtension, add_device),
            self.kernel_routine("dirql:ParportAddDevice"),
        )?;
        self.parport.driver.set(driver);
        Ok(Ok(driver))
    }

    /// AddDevice.
    ///
    /// # Errors
    /// As the routines that it calls.
    pub fn parport_add_device(&self, driver: u64, physical_device: u64) -> Ddi<NtStatus> {
        let number = self.free_port_number();
        let created = self.create_device(
            driver,
            extension::SIZE,
            Some(format!(r"\Device\ParallelPort{number}")),
            device_type::FILE_DEVICE_PARALLEL_PORT,
            characteristics::FILE_DEVICE_SECURE_OPEN,
            0,
        )?;
        let device = match created {
            Ok(device) => device,
            Err(status) => return Ok(status),
        };
        let lower = self.io_attach_device_to_device_stack(device, physical_device)?;
        let object = DriverPtr::<DeviceObject>::new(device);
        let context = self.read(at!(object, DeviceObject, device_extension))?;
        self.ke_initialize_dpc(
            DriverPtr::new(context + extension::DPC),
            self.kernel_routine("dirql:ParportFreeDpc"),
            context,
        )?;
        self.ke_initialize_event(DriverPtr::new(context + extension::CONNECTING), 1, 1)?;
        let name = self
            .port_name(physical_device)
            .unwrap_or_else(|| format!("LPT{}", number + 1));
        self.write_port_name(context, &name)?;
        let port = Port {
            device,
            physical_device,
            lower,
            number,
            state: State::Stopped,
            hardware: Hardware::default(),
            line: None,
            queue: super::Queue::default(),
            hand_over: false,
            own_waiters: 0,
            clients: Vec::new(),
            object: 0,
            mode: 0,
            selected: None,
            chain_devices: 0,
            removal_relations: Vec::new(),
        };
        self.parport.ports.borrow_mut().insert(context, port);
        self.register_port_interface(context, physical_device)?;
        let flags = at!(object, DeviceObject, flags);
        let value = self.read(flags)? & !device_flags::DO_DEVICE_INITIALIZING;
        self.write(
            flags,
            value | device_flags::DO_BUFFERED_IO | device_flags::DO_POWER_PAGABLE,
        )?;
        Ok(NtStatus::SUCCESS)
    }

    fn free_port_number(&self) -> u32 {
        let ports = self.parport.ports.borrow();
        let is_free = |number: &u32| ports.values().all(|port| port.number != *number);
        (0..).find(is_free).unwrap_or_default()
    }

    fn write_port_name(&self, context: u64, name: &str) -> Ddi<()> {
        let units: Vec<u8> = name
            .encode_utf16()
            .take(LONGEST_NAME)
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        Ok(self.write_bytes(context + extension::NAME, &units)?)
    }

    /// The number of the port's device object, for messages.
    pub(super) fn port_text(&self, context: u64) -> String {
        let ports = self.parport.ports.borrow();
        ports.get(&context).map_or_else(String::new, |port| {
            format!(r"\Device\ParallelPort{}", port.number)
        })
    }
}
