//! The list of loaded modules, as drivers find it.
//!
//! `DRIVER_OBJECT.DriverSection` points at the driver's entry, `PsLoadedModuleList` is the head,
//! and ZwQuerySystemInformation copies it out. The kernel and the HAL come first, then the
//! drivers in the order in which they were loaded.
//!
//! Not modelled: what an entry says of exception tables, debug information and sections.
//!
//! Sources: public symbols of ntoskrnl.exe, `KLDR_DATA_TABLE_ENTRY`; public headers,
//! `RTL_PROCESS_MODULES`, which are the same from Windows XP x64 on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use dirql_abi::list::ListEntry;
use dirql_abi::string::UnicodeString;

use super::driver::DriverImage;
use super::list;
use crate::{Ddi, DriverPtr, Kernel};

/// Bytes of a `KLDR_DATA_TABLE_ENTRY` and where in it things are.
const ENTRY_BYTES: u64 = 0xA0;
const DLL_BASE: u64 = 0x30;
const FULL_NAME: u64 = 0x48;
const BASE_NAME: u64 = 0x58;
const FLAGS: u64 = 0x68;

/// `LDRP_ENTRY_PROCESSED`.
const LOADED: u32 = 0x0000_4000;

/// Bytes of an `RTL_PROCESS_MODULE_INFORMATION`, and of its name.
const INFORMATION_BYTES: usize = 0x128;
const INFORMATION_NAME: usize = 0x28;

/// A module that the platform lays out: the kernel and the HAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemModule {
    /// File name.
    pub name: &'static str,
    /// Where its headers are.
    pub base: u64,
    /// Bytes that it takes.
    pub size: u32,
}

struct Module {
    entry: u64,
    base: u64,
    size: u32,
    directory: &'static str,
    name: String,
}

/// What is kept about the list.
#[derive(Default)]
pub(super) struct Modules {
    /// Address of the head; 0 before there is one.
    head: Cell<u64>,
    list: RefCell<Vec<Module>>,
}

impl Kernel {
    /// The address of `PsLoadedModuleList`, which is laid out now if nothing asked before.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn loaded_module_list(&self) -> Ddi<u64> {
        let head = self.io.modules.head.get();
        if head != 0 {
            return Ok(head);
        }
        let head = self.allocate_system(size_of::<ListEntry>() as u64);
        self.io.modules.head.set(head);
        list::initialize(self, head)?;
        for module in self.platform().system_modules() {
            let name = String::from(module.name);
            self.add_module(r"\SystemRoot\system32\", name, module.base, module.size, 0)?;
        }
        Ok(head)
    }

    /// Puts a driver's image on the list and returns its entry.
    pub(super) fn add_driver_module(&self, image: &DriverImage) -> Ddi<u64> {
        self.loaded_module_list()?;
        let name = format!("{}.sys", image.name);
        self.add_module(
            r"\SystemRoot\system32\drivers\",
            name,
            image.base,
            image.size,
            image.entry,
        )
    }

    fn add_module(
        &self,
        directory: &'static str,
        name: String,
        base: u64,
        size: u32,
        entry_point: u64,
    ) -> Ddi<u64> {
        let entry = self.allocate_system(ENTRY_BYTES);
        let image = [base, entry_point, u64::from(size)];
        let image: Vec<u8> = image.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_bytes(entry + DLL_BASE, &image)?;
        let full = self.system_string(&format!("{directory}{name}"))?;
        let tail = (directory.len() * 2) as u16;
        let base_name = UnicodeString {
            length: full.length - tail,
            maximum_length: full.maximum_length - tail,
            buffer: full.buffer + u64::from(tail),
            ..full
        };
        self.write(DriverPtr::new(entry + FULL_NAME), full)?;
        self.write(DriverPtr::new(entry + BASE_NAME), base_name)?;
        // The flags and, above them, a load count of 1.
        self.write(DriverPtr::new(entry + FLAGS), [LOADED, 1])?;
        list::insert_before(self, self.io.modules.head.get(), entry)?;
        self.io.modules.list.borrow_mut().push(Module {
            entry,
            base,
            size,
            directory,
            name,
        });
        Ok(entry)
    }

    /// Takes a driver's image off the list.
    pub(super) fn remove_driver_module(&self, base: u64) -> Ddi<()> {
        let mut modules = self.io.modules.list.borrow_mut();
        let Some(place) = modules.iter().position(|module| module.base == base) else {
            return Ok(());
        };
        let module = modules.remove(place);
        drop(modules);
        list::remove(self, module.entry)
    }

    /// `RTL_PROCESS_MODULES`: SystemModuleInformation.
    pub(crate) fn module_information(&self) -> Ddi<Vec<u8>> {
        self.loaded_module_list()?;
        let modules = self.io.modules.list.borrow();
        let mut bytes = Vec::from((modules.len() as u64).to_le_bytes());
        for (order, module) in modules.iter().enumerate() {
            let mut one = [0; INFORMATION_BYTES];
            one[0x10..0x18].copy_from_slice(&module.base.to_le_bytes());
            one[0x18..0x1C].copy_from_slice(&module.size.to_le_bytes());
            // Flags, places in the orders of loading and initialising, count, start of the file name.
            one[0x1C..0x20].copy_from_slice(&LOADED.to_le_bytes());
            let numbers = [order as u16, 0, 1, module.directory.len() as u16];
            let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            one[0x20..0x28].copy_from_slice(&numbers);
            let path = format!("{}{}", module.directory, module.name);
            let room = INFORMATION_BYTES - INFORMATION_NAME - 1;
            let path = path.as_bytes().get(..room).unwrap_or(path.as_bytes());
            one[INFORMATION_NAME..INFORMATION_NAME + path.len()].copy_from_slice(path);
            bytes.extend(one);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use dirql_abi::device::DriverObject;

    use super::*;
    use crate::testing::Bench;
    use crate::{Config, at};

    #[test]
    fn drivers_are_on_the_list_while_they_are_loaded() {
        let bench = Bench::new(Config::default());
        let kernel = &bench.kernel;
        let load = |name: &str, base| {
            let image = DriverImage {
                name: name.into(),
                base,
                size: 0x3000,
                entry: base + 0x1000,
            };
            kernel.create_driver(&image).unwrap().unwrap()
        };
        let (one, _two) = (load("one", 0x1_0000), load("two", 0x2_0000));
        let section = at!(
            DriverPtr::<DriverObject>::new(one),
            DriverObject,
            driver_section
        );
        let entry = kernel.read(section).unwrap();
        assert_eq!(
            kernel.read(DriverPtr::new(entry + DLL_BASE)),
            Ok(0x1_0000_u64)
        );
        let name = |at| kernel.text_of(DriverPtr::new(entry + at)).unwrap();
        assert_eq!(name(FULL_NAME), r"\SystemRoot\system32\drivers\one.sys");
        assert_eq!(name(BASE_NAME), "one.sys");
        let head = kernel.loaded_module_list().unwrap();
        assert_eq!(list::first(kernel, head), Ok(Some(entry)));

        let bytes = kernel.module_information().unwrap();
        assert_eq!(bytes.len(), 8 + 2 * INFORMATION_BYTES);
        assert_eq!(bytes[0], 2);
        let second = &bytes[8 + INFORMATION_BYTES..];
        assert_eq!(second[0x10..0x1C], [0, 0, 2, 0, 0, 0, 0, 0, 0, 0x30, 0, 0]);
        let name = second[0x26];
        assert!(second[INFORMATION_NAME + usize::from(name)..].starts_with(b"two.sys\0"));

        kernel.remove_driver_module(0x1_0000).unwrap();
        assert_ne!(list::first(kernel, head), Ok(Some(entry)));
        assert_eq!(kernel.module_information().unwrap()[0], 1);
    }
}
