//! Driver objects: loading, adding devices, what a driver leaves behind.
//!
//! Source: WDK, "Writing a DriverEntry Routine", "Writing an AddDevice Routine", "Writing an
//! Unload Routine"; wdm.DRIVER_OBJECT.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::device::{DriverExtension, DriverObject, driver_flags, io_type};
use dirql_abi::device::{MAJOR_FUNCTIONS, device_flags};
use dirql_abi::registry::value_type;
use dirql_abi::string::UnicodeString;
use dirql_rules::ids;

use crate::ob::{self, Link, ObjectKind};
use crate::{Ddi, DriverPtr, Kernel, at};

/// DRVO_INITIALIZED: DriverEntry has succeeded.
const INITIALIZED: u32 = 0x10;

/// SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START and SERVICE_ERROR_NORMAL of wdm.h.
const SERVICE_KERNEL_DRIVER: u32 = 1;
const SERVICE_DEMAND_START: u32 = 3;
const SERVICE_ERROR_NORMAL: u32 = 1;

/// What is known of a loaded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverImage {
    /// Service name, without path or extension.
    pub name: String,
    /// Where the image begins.
    pub base: u64,
    /// Bytes that it takes.
    pub size: u32,
    /// Its entry point.
    pub entry: u64,
}

/// What is kept about a driver object.
pub(super) struct Driver {
    image: DriverImage,
    /// UNICODE_STRING that DriverEntry is given.
    registry_path: u64,
    /// Client identification address and address of the extension.
    extensions: Vec<(u64, u64)>,
    /// Names its devices have had.
    pub(super) device_names: Vec<String>,
    started: bool,
    reinitialize: Vec<(u64, u64)>,
}

impl Kernel {
    /// Makes the driver object of an image. Nothing of the driver runs yet.
    ///
    /// # Errors
    /// The status Windows loads nothing with: OBJECT_NAME_COLLISION if the name is taken,
    /// as for a driver that is already loaded.
    pub fn create_driver(&self, image: &DriverImage) -> Ddi<Result<u64, NtStatus>> {
        let bytes = size_of::<DriverObject>() as u64;
        let object = self.allocate_system(bytes + size_of::<DriverExtension>() as u64);
        let extension = object + bytes;
        let name = format!(r"\Driver\{}", image.name);
        let registry = format!(
            r"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Services\{}",
            image.name
        );
        self.registry_create(&format!(r"{registry}\Parameters"));
        self.describe_service(&registry, &image.name);
        let invalid = self.kernel_routine("dirql:InvalidDeviceRequest");
        let body = DriverObject {
            type_: io_type::IO_TYPE_DRIVER,
            size: size_of::<DriverObject>() as i16,
            driver_start: image.base,
            driver_size: image.size,
            driver_section: self.add_driver_module(image)?,
            driver_extension: extension,
            flags: driver_flags::DRVO_LEGACY_DRIVER,
            // Its terminator does not count.
            driver_name: UnicodeString {
                maximum_length: (name.len() * 2) as u16,
                ..self.system_string(&name)?
            },
            hardware_database: self
                .system_unicode(r"\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM")?,
            driver_init: image.entry,
            major_function: [invalid; MAJOR_FUNCTIONS],
            ..zeroed()
        };
        self.write(DriverPtr::new(object), body)?;
        let more = DriverExtension {
            driver_object: object,
            service_key_name: self.system_string(&image.name)?,
            ..zeroed()
        };
        self.write(DriverPtr::new(extension), more)?;
        self.ob_register(object, ObjectKind::Driver, ob::keep);
        if let Err(status) = self.name_insert(&name, object) {
            self.remove_driver_module(image.base)?;
            return Ok(Err(status));
        }
        let driver = Driver {
            image: image.clone(),
            registry_path: self.system_unicode(&registry)?,
            extensions: Vec::new(),
            device_names: Vec::new(),
            started: false,
            reinitialize: Vec::new(),
        };
        self.io.drivers.borrow_mut().insert(object, driver);
        Ok(Ok(object))
    }

    /// What the service manager writes into the key of a kernel driver that is started on demand.
    /// Values that are there already stay.
    ///
    /// Source: WDK, "INF AddService Directive".
    fn describe_service(&self, key: &str, service: &str) {
        let image = format!("\\SystemRoot\\system32\\drivers\\{service}.sys\0");
        let image: Vec<u8> = image.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let number = |value: u32| (value_type::REG_DWORD, Vec::from(value.to_le_bytes()));
        for (name, (kind, data)) in [
            ("Type", number(SERVICE_KERNEL_DRIVER)),
            ("Start", number(SERVICE_DEMAND_START)),
            ("ErrorControl", number(SERVICE_ERROR_NORMAL)),
            ("ImagePath", (value_type::REG_EXPAND_SZ, image)),
        ] {
            if self.registry_get(key, name).is_none() {
                self.registry_set(key, name, kind, &data);
            }
        }
    }

    /// Calls DriverEntry on the current thread, at PASSIVE_LEVEL.
    ///
    /// - Returns: what DriverEntry returned. After a failure the driver object is gone and
    ///   nothing more of the driver is called.
    /// - Findings: returned at another IRQL; devices or interrupts left after a failure.
    /// - Source: WDK, "DriverEntry's Return Values".
    ///
    /// # Errors
    /// The run's end.
    pub fn run_driver_entry(&self, driver: u64) -> Ddi<NtStatus> {
        let Some((entry, registry_path)) =
            self.with_driver(driver, |d| (d.image.entry, d.registry_path))
        else {
            return Ok(NtStatus::DRIVER_UNABLE_TO_LOAD);
        };
        if !self.io.drivers.borrow().values().any(|d| d.started) {
            self.read_dpc_setting();
        }
        let status = self.call_at_same_level("DriverEntry", entry, &[driver, registry_path])?;
        let status = NtStatus(status as i32);
        if !status.is_success() {
            self.check_nothing_left(driver, "DriverEntry failed")?;
            self.forget_driver(driver)?;
            return Ok(status);
        }
        self.with_driver_mut(driver, |d| d.started = true);
        self.ready_driver(driver)?;
        self.run_reinitialization(driver)?;
        Ok(status)
    }

    /// Calls DllInitialize of an image from which others import, at PASSIVE_LEVEL.
    ///
    /// - Returns: what it returned.
    /// - Source: WDK, "DllInitialize and DllUnload Routines".
    ///
    /// # Errors
    /// The run's end.
    pub fn initialize_library(&self, service: &str, routine: u64) -> Ddi<NtStatus> {
        let path = format!(r"\REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Services\{service}");
        let path = self.system_unicode(&path)?;
        let status = self.call_at_same_level("DllInitialize", routine, &[path])?;
        Ok(NtStatus(status as i32))
    }

    /// Calls DllUnload of an image from which nobody imports any more, at PASSIVE_LEVEL.
    ///
    /// - Source: WDK, "DllInitialize and DllUnload Routines".
    ///
    /// # Errors
    /// The run's end.
    pub fn unload_library(&self, routine: u64) -> Ddi<NtStatus> {
        let status = self.call_at_same_level("DllUnload", routine, &[])?;
        Ok(NtStatus(status as i32))
    }

    /// What the I/O manager does to a driver object after DriverEntry: no dispatch pointer
    /// stays NULL, and devices made there are ready.
    fn ready_driver(&self, driver: u64) -> Ddi<()> {
        let object = DriverPtr::<DriverObject>::new(driver);
        let mut body = self.read(object)?;
        let invalid = self.kernel_routine("dirql:InvalidDeviceRequest");
        for routine in &mut body.major_function {
            if *routine == 0 {
                *routine = invalid;
            }
        }
        self.write(
            at!(object, DriverObject, major_function),
            body.major_function,
        )?;
        let extension = DriverPtr::<DriverExtension>::new(body.driver_extension);
        let legacy = self.read(at!(extension, DriverExtension, add_device))? == 0;
        let flags = if legacy {
            body.flags
        } else {
            body.flags & !driver_flags::DRVO_LEGACY_DRIVER
        };
        self.write(at!(object, DriverObject, flags), flags | INITIALIZED)?;
        for device in self.devices_of_driver(driver) {
            self.change_device_flags(device, device_flags::DO_DEVICE_INITIALIZING, 0)?;
        }
        Ok(())
    }

    /// Calls AddDevice for a physical device.
    ///
    /// - Returns: what AddDevice returned; INVALID_DEVICE_REQUEST if the driver has none.
    /// - Findings: returned at another IRQL; after success, a device left with
    ///   DO_DEVICE_INITIALIZING.
    /// - Source: WDK, "Writing an AddDevice Routine"; Bug check 0xC9, parameter 0x22C.
    ///
    /// # Errors
    /// The run's end.
    pub fn add_device(&self, driver: u64, physical_device: u64) -> Ddi<NtStatus> {
        let object = DriverPtr::<DriverObject>::new(driver);
        let extension = self.read(at!(object, DriverObject, driver_extension))?;
        let extension = DriverPtr::<DriverExtension>::new(extension);
        let routine = self.read(at!(extension, DriverExtension, add_device))?;
        if routine == 0 {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let status = self.call_at_same_level("AddDevice", routine, &[driver, physical_device])?;
        let status = NtStatus(status as i32);
        if !status.is_success() {
            // What it has left is asked to go at once; nobody else is to use it.
            return Ok(status);
        }
        for device in self.stack_of(physical_device) {
            let flags = self.device_flags(device)?;
            if device != physical_device && flags & device_flags::DO_DEVICE_INITIALIZING != 0 {
                self.find_at(
                    ids::DEVICE_INITIALIZING,
                    format!(
                        "AddDevice returned and its device {} is still initializing",
                        self.device_text(device)
                    ),
                    self.here_at(routine),
                    None,
                )?;
            }
        }
        Ok(status)
    }

    /// Findings for what a driver that goes away has left behind.
    pub(super) fn check_nothing_left(&self, driver: u64, what: &str) -> Ddi<()> {
        let object = DriverPtr::<DriverObject>::new(driver);
        let unload = self.read(at!(object, DriverObject, driver_unload))?;
        let ddi = self.report.blame(unload);
        let found = self.find_devices_left(driver, what);
        self.report.resume_ddi(ddi);
        found
    }

    fn find_devices_left(&self, driver: u64, what: &str) -> Ddi<()> {
        for device in self.devices_of_driver(driver) {
            let created = self.with_device(device, |d| d.created.clone());
            self.find(
                ids::DEVICE_LEFT,
                format!(
                    "{what} and its device {} was not deleted",
                    self.device_text(device)
                ),
                created.map(|place| (String::from("the device was created here"), place)),
            )?;
        }
        let names = self
            .with_driver(driver, |d| d.device_names.clone())
            .unwrap_or_default();
        for link in self.links() {
            let Link { name, target, made } = link;
            if names.iter().any(|name| name.eq_ignore_ascii_case(&target)) {
                self.find(
                    ids::DEVICE_LEFT,
                    format!("{what} and the symbolic link {name} to {target} was not deleted"),
                    Some((String::from("the link was created here"), made)),
                )?;
            }
        }
        // Windows frees the extensions with the driver object.
        let extensions = self.with_driver_mut(driver, |d| core::mem::take(&mut d.extensions));
        for (_, extension) in extensions.unwrap_or_default() {
            self.pool_free(extension, None)?;
        }
        self.check_driver_left(driver)
    }

    pub(super) fn forget_driver(&self, driver: u64) -> Ddi<()> {
        self.withdraw_claims_of(driver);
        let record = self.io.drivers.borrow_mut().remove(&driver);
        if let Some(record) = record {
            self.remove_driver_module(record.image.base)?;
            self.name_remove(&format!(r"\Driver\{}", record.image.name));
        }
        Ok(())
    }

    /// `IoAllocateDriverObjectExtension(DriverObject, ClientIdentificationAddress, Size, *Extension)`
    ///
    /// Allocates zeroed memory that lives as long as the driver object.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: SUCCESS; INSUFFICIENT_RESOURCES; OBJECT_NAME_COLLISION if the driver has
    ///   one with this identification. `*Extension` is NULL on failure.
    /// - Source: WDK reference, wdm.IoAllocateDriverObjectExtension.
    ///
    /// # Errors
    /// An out pointer that is not memory.
    pub fn io_allocate_driver_object_extension(
        &self,
        driver: u64,
        client: u64,
        bytes: u32,
        extension: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        self.write(extension, 0)?;
        if !self.driver_extension_of(driver, client).eq(&0) {
            return Ok(NtStatus::OBJECT_NAME_COLLISION);
        }
        let memory = self.allocate_zeroed(u64::from(bytes), super::tag(b"DrvE"))?;
        if memory == 0 {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.with_driver_mut(driver, |d| d.extensions.push((client, memory)));
        self.write(extension, memory)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `PVOID IoGetDriverObjectExtension(PDRIVER_OBJECT, PVOID ClientIdentificationAddress)`
    ///
    /// - IRQL: at or below DISPATCH_LEVEL.
    /// - Returns: the extension, or NULL.
    /// - Source: WDK reference, wdm.IoGetDriverObjectExtension.
    ///
    /// # Errors
    /// None.
    pub fn io_get_driver_object_extension(&self, driver: u64, client: u64) -> Ddi<u64> {
        Ok(self.driver_extension_of(driver, client))
    }

    fn driver_extension_of(&self, driver: u64, client: u64) -> u64 {
        self.with_driver(driver, |d| {
            d.extensions
                .iter()
                .find(|(id, _)| *id == client)
                .map_or(0, |(_, memory)| *memory)
        })
        .unwrap_or(0)
    }

    /// `IoRegisterDriverReinitialization(DriverObject, Routine, Context)`
    ///
    /// Has `Routine(DriverObject, Context, Count)` called after DriverEntry has returned.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Source: WDK reference, ntddk.IoRegisterDriverReinitialization. The boot variant is
    ///   the same here: there are no drivers that load later.
    ///
    /// # Errors
    /// None.
    pub fn io_register_driver_reinitialization(
        &self,
        driver: u64,
        routine: u64,
        context: u64,
    ) -> Ddi<()> {
        self.with_driver_mut(driver, |d| d.reinitialize.push((routine, context)));
        Ok(())
    }

    fn run_reinitialization(&self, driver: u64) -> Ddi<()> {
        let object = DriverPtr::<DriverObject>::new(driver);
        let extension = self.read(at!(object, DriverObject, driver_extension))?;
        let count = at!(
            DriverPtr::<DriverExtension>::new(extension),
            DriverExtension,
            count
        );
        while let Some((routine, context)) = self
            .with_driver_mut(driver, |d| {
                (!d.reinitialize.is_empty()).then(|| d.reinitialize.remove(0))
            })
            .flatten()
        {
            let calls = self.read(count)? + 1;
            self.write(count, calls)?;
            self.call_at_same_level(
                "Reinitialize",
                routine,
                &[driver, context, u64::from(calls)],
            )?;
        }
        Ok(())
    }

    /// Calls driver code that must return at the level at which it was called, and sees to
    /// it that the kernel goes on at that level.
    #[inline]
    pub(crate) fn call_at_same_level(
        &self,
        kind: &'static str,
        routine: u64,
        arguments: &[u64],
    ) -> Ddi<u64> {
        let before = self.irql();
        let result = self.call(kind, routine, arguments);
        let after = self.irql();
        if after != before {
            self.find_at(
                ids::ROUTINE_IRQL,
                format!("{kind} was called at {before} and returned at {after}"),
                self.here_at(routine),
                self.raised_here(),
            )?;
            if after > before {
                self.lower_irql(before)?;
            } else {
                self.raise_irql(before);
            }
        }
        Ok(result)
    }

    /// The address of one of the kernel's own routines.
    ///
    /// # Panics
    /// If the table of exports lacks it, which is an error in dirql.
    pub(crate) fn kernel_routine(&self, name: &'static str) -> u64 {
        match self.platform().routine(name) {
            Some(address) => address,
            None => panic!("the table of exports has no {name}"),
        }
    }

    /// A UNICODE_STRING whose buffer is in system memory, terminated.
    pub(crate) fn system_string(&self, text: &str) -> Ddi<UnicodeString> {
        let units: Vec<u8> = text
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let buffer = self.allocate_system(units.len() as u64);
        self.write_bytes(buffer, &units)?;
        let length = units.len() as u16;
        Ok(UnicodeString {
            length: length - 2,
            maximum_length: length,
            padding4: 0,
            buffer,
        })
    }

    /// The address of a UNICODE_STRING in system memory.
    pub(crate) fn system_unicode(&self, text: &str) -> Ddi<u64> {
        let string = self.system_string(text)?;
        let header = self.allocate_system(size_of::<UnicodeString>() as u64);
        self.write(DriverPtr::new(header), string)?;
        Ok(header)
    }

    /// Nonpaged pool of the kernel's own, zeroed; 0 if there is none.
    pub(crate) fn allocate_zeroed(&self, bytes: u64, tag: u32) -> Ddi<u64> {
        let memory = self.pool_allocate(super::NONPAGED, bytes.max(1), tag)?;
        if memory != 0 {
            self.zero(memory, bytes)?;
        }
        Ok(memory)
    }

    /// Fills memory with zeroes.
    pub(crate) fn zero(&self, address: u64, bytes: u64) -> Ddi<()> {
        const ZEROES: [u8; 512] = [0; 512];
        let mut done = 0;
        while done < bytes {
            let chunk = (bytes - done).min(512);
            self.write_bytes(address.wrapping_add(done), &ZEROES[..chunk as usize])?;
            done += chunk;
        }
        Ok(())
    }

    /// The path of a driver's service key, if it is a driver object that was started.
    pub(crate) fn driver_registry_path(&self, driver: u64) -> Ddi<Option<String>> {
        match self.with_driver(driver, |d| d.registry_path) {
            Some(path) if path != 0 => self.text_of(DriverPtr::new(path)).map(Some),
            _ => Ok(None),
        }
    }

    /// The service name of a driver object.
    #[must_use]
    pub fn driver_name(&self, driver: u64) -> Option<String> {
        self.with_driver(driver, |d| d.image.name.to_string())
    }

    /// Whether a driver has an AddDevice routine; without one it finds its devices by itself.
    #[must_use]
    pub fn has_add_device(&self, driver: u64) -> bool {
        let object = self.read(DriverPtr::<DriverObject>::new(driver));
        let extension = object.and_then(|object| {
            self.read(DriverPtr::<DriverExtension>::new(object.driver_extension))
        });
        extension.is_ok_and(|extension| extension.add_device != 0)
    }

    /// The driver object whose image covers `address`.
    #[must_use]
    pub fn driver_of_address(&self, address: u64) -> Option<u64> {
        let covers = |image: &DriverImage| {
            address >= image.base && address - image.base < u64::from(image.size)
        };
        let drivers = self.io.drivers.borrow();
        drivers
            .iter()
            .find(|(_, driver)| covers(&driver.image))
            .map(|(object, _)| *object)
    }

    /// The image of a driver object.
    #[must_use]
    pub fn driver_image(&self, driver: u64) -> Option<DriverImage> {
        self.with_driver(driver, |d| d.image.clone())
    }

    /// Driver objects whose DriverEntry has succeeded, in order of address.
    #[must_use]
    pub fn started_drivers(&self) -> Vec<u64> {
        let drivers = self.io.drivers.borrow();
        drivers
            .iter()
            .filter(|(_, driver)| driver.started)
            .map(|(object, _)| *object)
            .collect()
    }

    pub(super) fn with_driver<R>(&self, driver: u64, look: impl FnOnce(&Driver) -> R) -> Option<R> {
        self.io.drivers.borrow().get(&driver).map(look)
    }

    pub(super) fn with_driver_mut<R>(
        &self,
        driver: u64,
        change: impl FnOnce(&mut Driver) -> R,
    ) -> Option<R> {
        self.io.drivers.borrow_mut().get_mut(&driver).map(change)
    }
}

/// A structure of zero bytes.
pub(crate) fn zeroed<T: zerocopy::FromZeros>() -> T {
    T::new_zeroed()
}
