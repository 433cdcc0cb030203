//! Sections that drivers make or open, and views of them.
//!
//! `\Device\PhysicalMemory` is the section through which drivers of port and memory programs map
//! registers: its views are where [`Kernel::mm_map_io_space`] would map. A section of the page
//! file's has its pages from the beginning, in the process's part of memory.
//!
//! Choice: as every page has one address here ([`layout`]), all views of a page are at the same
//! address, those in system space too.
//!
//! Not modelled: sections of files and images (making one ends the run), a wanted address,
//! inheritance, protection that differs from view to view.
//!
//! Source: WDK reference, wdm.ZwOpenSection, wdm.ZwMapViewOfSection, wdm.ZwUnmapViewOfSection,
//! ntifs.ZwCreateSection, ntddk.MmMapViewInSystemSpace; "Managing Memory Sections".

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dirql_abi::NtStatus;
use dirql_abi::object::ObjectAttributes;
use dirql_rules::ids;

use super::layout::{self, PAGE, PHYSICAL_END};
use super::virtual_memory::access;
use crate::ob::ObjectKind;
use crate::{Ddi, DriverPtr, Kernel};

/// The section that stands for all physical memory.
const PHYSICAL_MEMORY: &str = r"\Device\PhysicalMemory";

/// Bytes of a section object that a driver could look at; drivers only hold its address.
const OBJECT_BYTES: u64 = 0x40;

/// Views begin at multiples of this in their section.
const GRANULARITY: u64 = 0x1_0000;

/// SEC_IMAGE, SEC_RESERVE, SEC_COMMIT.
const IMAGE: u32 = 0x0100_0000;
const RESERVE: u32 = 0x0400_0000;
const COMMIT: u32 = 0x0800_0000;

/// ViewShare and ViewUnmap of SECTION_INHERIT.
const INHERITANCE: core::ops::RangeInclusive<u32> = 1..=2;

/// What a section is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Backing {
    /// All physical addresses.
    Physical,
    /// So many bytes at an address.
    Pages { address: u64, bytes: u64 },
    /// So many bytes at an address that came from a file, whose first `size` they are.
    File {
        address: u64,
        bytes: u64,
        size: u64,
        file: u64,
        is_written: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct View {
    section: u64,
    bytes: u64,
}

/// The sections, by their objects, and the views, by their address; several can be at one.
#[derive(Debug, Default)]
pub(super) struct Views {
    sections: BTreeMap<u64, Backing>,
    views: BTreeMap<u64, Vec<View>>,
}

impl Views {
    /// Takes away the newest view that holds `address`.
    fn remove(&mut self, address: u64) -> Option<(u64, View)> {
        let (start, views) = self
            .views
            .range_mut(..=address)
            .rev()
            .find(|(start, views)| views.iter().any(|view| address - **start < view.bytes))?;
        let start = *start;
        let newest = views
            .iter()
            .rposition(|view| address - start < view.bytes)?;
        let view = views.remove(newest);
        if views.is_empty() {
            self.views.remove(&start);
        }
        Some((start, view))
    }
}

/// What a view is wanted of.
#[derive(Clone, Copy, Debug)]
pub struct ViewArguments {
    /// `BaseAddress`: where its address goes.
    pub base: DriverPtr<u64>,
    /// `SectionOffset`, which may be null.
    pub offset: DriverPtr<u64>,
    /// `ViewSize`.
    pub size: DriverPtr<u64>,
    /// `InheritDisposition`.
    pub inherit: u32,
    /// `Win32Protect`.
    pub protect: u32,
}

fn delete_section(kernel: &Kernel, body: u64) -> Ddi<()> {
    let backing = kernel.mm.views.borrow_mut().sections.remove(&body);
    match backing {
        Some(Backing::Pages { address, .. }) => kernel.give_process_pages_back(address),
        Some(Backing::File {
            address,
            size,
            file,
            is_written,
            ..
        }) => return kernel.leave_file((address, size), file, is_written),
        Some(Backing::Physical) | None => {}
    }
    Ok(())
}

impl Kernel {
    /// `NTSTATUS ZwOpenSection(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: OBJECT_NAME_NOT_FOUND, OBJECT_TYPE_MISMATCH.
    /// - Source: WDK reference, wdm.ZwOpenSection.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_open_section(
        &self,
        handle: DriverPtr<u64>,
        access: u32,
        attributes: DriverPtr<ObjectAttributes>,
    ) -> Ddi<NtStatus> {
        self.make_physical_memory_section();
        self.zw_open_dispatcher(handle, access, attributes, ObjectKind::Section)
    }

    /// It is there from the beginning; nobody sees that it is made when somebody looks for it.
    fn make_physical_memory_section(&self) {
        if self.name_resolve(PHYSICAL_MEMORY).is_ok() {
            return;
        }
        let body = self.new_section(Backing::Physical);
        // The directory is there and the name is not, as was just seen.
        let _ = self.name_insert(PHYSICAL_MEMORY, body);
    }

    fn new_section(&self, backing: Backing) -> u64 {
        let body = self.allocate_system(OBJECT_BYTES);
        self.ob_register(body, ObjectKind::Section, delete_section);
        self.mm.views.borrow_mut().sections.insert(body, backing);
        body
    }

    /// `NTSTATUS ZwCreateSection(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PLARGE_INTEGER MaximumSize,
    /// ULONG SectionPageProtection, ULONG AllocationAttributes, HANDLE FileHandle)`
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_PARAMETER_4 without a size or a file, MAPPED_FILE_SIZE_ZERO, INVALID_PARAMETER_6 for attributes that are
    ///   neither SEC_COMMIT nor SEC_RESERVE, INVALID_PAGE_PROTECTION, SECTION_TOO_BIG, and what a
    ///   name brings.
    /// - Findings: DQ0002 for a section of an image, or of a file that is not on drive C:.
    /// - Source: WDK reference, ntifs.ZwCreateSection.
    ///
    /// # Errors
    /// An argument that is not memory; the run ends for a section of an image.
    #[expect(clippy::too_many_arguments, reason = "the signature is the DDI's")]
    pub fn zw_create_section(
        &self,
        handle: DriverPtr<u64>,
        wanted: u32,
        attributes: DriverPtr<ObjectAttributes>,
        size: DriverPtr<u64>,
        protect: u32,
        kind: u32,
        file: u64,
    ) -> Ddi<NtStatus> {
        if kind & IMAGE != 0 {
            let message = String::from("a section of an image was made, which is not implemented");
            return Err(self.find_fatal(ids::UNIMPLEMENTED_IMPORT, message, None));
        }
        let bytes = if size.is_null() { 0 } else { self.read(size)? };
        if bytes == 0 && file == 0 {
            return Ok(NtStatus::INVALID_PARAMETER_4);
        }
        let Some(access) = access(protect) else {
            return Ok(NtStatus::INVALID_PAGE_PROTECTION);
        };
        if kind & (COMMIT | RESERVE) == 0 {
            return Ok(NtStatus::INVALID_PARAMETER_6);
        }
        let backing = if file != 0 {
            match self.back_with_file(file, bytes, protect, access)? {
                Ok(backing) => backing,
                Err(status) => return Ok(status),
            }
        } else if let Some((address, bytes)) = self.take_process_pages(bytes, access) {
            Backing::Pages { address, bytes }
        } else {
            return Ok(NtStatus::SECTION_TOO_BIG);
        };
        let body = self.new_section(backing);
        if !attributes.is_null() {
            let name = self.read(attributes)?.object_name;
            if name != 0 {
                let name = self.text_of(DriverPtr::new(name))?;
                if let Err(status) = self.name_insert(&name, body) {
                    self.obf_dereference_object(body)?;
                    return Ok(status);
                }
            }
        }
        let value = self.ob_create_handle(body, wanted)?;
        self.obf_dereference_object(body)?;
        self.write(handle, value)?;
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwMapViewOfSection(HANDLE Section, HANDLE Process, PVOID *BaseAddress, ULONG_PTR
    /// ZeroBits, SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
    /// SECTION_INHERIT, ULONG AllocationType, ULONG Win32Protect)`
    ///
    /// Maps from the multiple of 64 KiB below the offset on; offset and size tell what was mapped.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE, OBJECT_TYPE_MISMATCH, INVALID_PARAMETER_8,
    ///   INVALID_PAGE_PROTECTION; CONFLICTING_ADDRESSES for an address of the caller's;
    ///   INVALID_VIEW_SIZE if the section ends before the view.
    /// - Source: WDK reference, wdm.ZwMapViewOfSection.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn zw_map_view_of_section(
        &self,
        section: u64,
        process: u64,
        arguments: ViewArguments,
    ) -> Ddi<NtStatus> {
        let Some(body) = self.ob_of_handle(section) else {
            return Ok(NtStatus::INVALID_HANDLE);
        };
        if !self.is_own_process(process) {
            return Ok(NtStatus::INVALID_HANDLE);
        }
        self.map_view(body, arguments)
    }

    /// `NTSTATUS MmMapViewInSystemSpace(PVOID Section, PVOID *MappedBase, PSIZE_T ViewSize)`: the
    /// section's first bytes, all of them if the size is 0.
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: as [`Kernel::zw_map_view_of_section`].
    /// - Source: WDK reference, ntifs.MmMapViewInSystemSpace.
    ///
    /// # Errors
    /// An argument that is not memory.
    pub fn mm_map_view_in_system_space(
        &self,
        section: u64,
        base: DriverPtr<u64>,
        size: DriverPtr<u64>,
    ) -> Ddi<NtStatus> {
        const READ_WRITE: u32 = 4;
        self.write(base, 0)?;
        let arguments = ViewArguments {
            base,
            offset: DriverPtr::NULL,
            size,
            inherit: *INHERITANCE.start(),
            protect: READ_WRITE,
        };
        self.map_view(section, arguments)
    }

    fn map_view(&self, section: u64, arguments: ViewArguments) -> Ddi<NtStatus> {
        let backing = self.mm.views.borrow().sections.get(&section).copied();
        let Some(backing) = backing else {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        let (wanted, size) = (self.read(arguments.base)?, self.read(arguments.size)?);
        let offset = match arguments.offset.is_null() {
            true => 0,
            false => self.read(arguments.offset)?,
        };
        if !INHERITANCE.contains(&arguments.inherit) {
            return Ok(NtStatus::INVALID_PARAMETER_8);
        }
        if access(arguments.protect).is_none() {
            return Ok(NtStatus::INVALID_PAGE_PROTECTION);
        }
        if wanted != 0 {
            return Ok(NtStatus::CONFLICTING_ADDRESSES);
        }
        let (begin, most) = match backing {
            Backing::Physical => (layout::PHYSICAL_WINDOW, PHYSICAL_END),
            Backing::Pages { address, bytes } | Backing::File { address, bytes, .. } => {
                (address, bytes)
            }
        };
        let first = offset & !(GRANULARITY - 1);
        let bytes = match size {
            0 => most.checked_sub(first),
            _ => size
                .checked_add(offset - first)
                .and_then(|bytes| bytes.checked_next_multiple_of(PAGE)),
        };
        let inside = bytes.filter(|bytes| {
            first
                .checked_add(*bytes)
                .is_some_and(|end| end <= most && *bytes > 0)
        });
        let Some(bytes) = inside else {
            return Ok(NtStatus::INVALID_VIEW_SIZE);
        };
        if let Backing::Physical = backing {
            self.mm_map_io_space(first, bytes, 0)?;
        }
        self.obf_reference_object(section)?;
        let address = begin + first;
        let mut views = self.mm.views.borrow_mut();
        let here = views.views.entry(address).or_default();
        here.push(View { section, bytes });
        drop(views);
        self.write(arguments.base, address)?;
        self.write(arguments.size, bytes)?;
        if !arguments.offset.is_null() {
            self.write(arguments.offset, first)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    /// `NTSTATUS ZwUnmapViewOfSection(HANDLE Process, PVOID BaseAddress)`: any address in the view
    /// will do.
    ///
    /// - IRQL: PASSIVE_LEVEL.
    /// - Returns: INVALID_HANDLE; NOT_MAPPED_VIEW.
    /// - Source: WDK reference, wdm.ZwUnmapViewOfSection.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn zw_unmap_view_of_section(&self, process: u64, address: u64) -> Ddi<NtStatus> {
        if !self.is_own_process(process) {
            return Ok(NtStatus::INVALID_HANDLE);
        }
        self.mm_unmap_view_in_system_space(address)
    }

    /// `NTSTATUS MmUnmapViewInSystemSpace(PVOID MappedBase)`
    ///
    /// - IRQL: at or below APC_LEVEL.
    /// - Returns: NOT_MAPPED_VIEW.
    /// - Source: WDK reference, ntifs.MmUnmapViewInSystemSpace.
    ///
    /// # Errors
    /// None that a driver can cause.
    pub fn mm_unmap_view_in_system_space(&self, address: u64) -> Ddi<NtStatus> {
        let removed = self.mm.views.borrow_mut().remove(address);
        let Some((start, view)) = removed else {
            return Ok(NtStatus::NOT_MAPPED_VIEW);
        };
        let backing = self.mm.views.borrow().sections.get(&view.section).copied();
        if let Some(Backing::Physical) = backing {
            self.mm_unmap_io_space(start, view.bytes)?;
        }
        self.obf_dereference_object(view.section)?;
        Ok(NtStatus::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::Bench;

    const PROCESS: u64 = u64::MAX;
    const READ_WRITE: u32 = 4;

    struct Rig {
        bench: Bench,
        arguments: ViewArguments,
        handle: DriverPtr<u64>,
    }

    fn rig() -> Rig {
        let bench = Bench::new(Config::default());
        let variable = || DriverPtr::<u64>::new(bench.variable(8));
        let arguments = ViewArguments {
            base: variable(),
            offset: variable(),
            size: variable(),
            inherit: 1,
            protect: READ_WRITE,
        };
        let handle = variable();
        Rig {
            bench,
            arguments,
            handle,
        }
    }

    impl Rig {
        fn kernel(&self) -> &Kernel {
            &self.bench.kernel
        }

        fn section(&self) -> u64 {
            self.kernel().read(self.handle).unwrap()
        }

        fn map(&self, offset: u64, size: u64) -> NtStatus {
            let (kernel, arguments) = (self.kernel(), self.arguments);
            kernel.write(arguments.base, 0).unwrap();
            kernel.write(arguments.offset, offset).unwrap();
            kernel.write(arguments.size, size).unwrap();
            kernel
                .zw_map_view_of_section(self.section(), PROCESS, arguments)
                .unwrap()
        }

        /// Address, offset and size of the view.
        fn view(&self) -> (u64, u64, u64) {
            let read = |at| self.kernel().read(at).unwrap();
            let ViewArguments {
                base, offset, size, ..
            } = self.arguments;
            (read(base), read(offset), read(size))
        }

        fn open(&self, name: &str) -> NtStatus {
            let attributes = self.bench.object_attributes(name);
            self.kernel()
                .zw_open_section(self.handle, 6, attributes)
                .unwrap()
        }
    }

    #[test]
    fn physical_memory_is_mapped_from_the_64_kib_below() {
        let rig = rig();
        assert_eq!(rig.open(r"\device\physicalmemory"), NtStatus::SUCCESS);
        assert_eq!(rig.map(0xFEB1_2345, 0x10), NtStatus::SUCCESS);
        let at = layout::PHYSICAL_WINDOW + 0xFEB1_0000;
        assert_eq!(rig.view(), (at, 0xFEB1_0000, 0x3000));
        let kernel = rig.kernel();
        assert!(kernel.is_io_space_mapped(at + 0x2345));
        assert_eq!(
            kernel.zw_unmap_view_of_section(PROCESS, at + 0x2345),
            Ok(NtStatus::SUCCESS)
        );
        assert!(!kernel.is_io_space_mapped(at));
        assert_eq!(
            kernel.zw_unmap_view_of_section(PROCESS, at),
            Ok(NtStatus::NOT_MAPPED_VIEW)
        );
        assert!(rig.bench.rules().is_empty());
    }

    #[test]
    fn a_view_ends_where_the_section_does() {
        let rig = rig();
        rig.open(PHYSICAL_MEMORY);
        let last = PHYSICAL_END - PAGE;
        assert_eq!(rig.map(last, PAGE), NtStatus::SUCCESS);
        assert_eq!(rig.map(last, PAGE + 1), NtStatus::INVALID_VIEW_SIZE);
        assert_eq!(rig.map(PHYSICAL_END, 0), NtStatus::INVALID_VIEW_SIZE);
        assert_eq!(rig.map(last, u64::MAX), NtStatus::INVALID_VIEW_SIZE);
    }

    #[test]
    fn a_section_of_pages_lives_as_long_as_its_views() {
        let rig = rig();
        let kernel = rig.kernel();
        let size = DriverPtr::<u64>::new(rig.bench.variable(8));
        kernel.write(size, 0x1_1001).unwrap();
        let create = |size, protect, kind| {
            let none = DriverPtr::NULL;
            kernel.zw_create_section(rig.handle, 6, none, size, protect, kind, 0)
        };
        let null = DriverPtr::NULL;
        assert_eq!(create(null, 4, COMMIT), Ok(NtStatus::INVALID_PARAMETER_4));
        assert_eq!(
            create(size, 3, COMMIT),
            Ok(NtStatus::INVALID_PAGE_PROTECTION)
        );
        assert_eq!(create(size, 4, 0), Ok(NtStatus::INVALID_PARAMETER_6));
        assert_eq!(create(size, 4, COMMIT), Ok(NtStatus::SUCCESS));
        assert_eq!(rig.map(0, 0), NtStatus::SUCCESS);
        let (whole, offset, bytes) = rig.view();
        assert_eq!((offset, bytes), (0, 0x1_2000));
        assert_eq!(rig.map(0x1_0010, 8), NtStatus::SUCCESS);
        assert_eq!(rig.view(), (whole + 0x1_0000, 0x1_0000, 0x1000));
        kernel.write_bytes(whole + 0x1_0010, b"seen").unwrap();
        let again = kernel.read_bytes(rig.view().0 + 0x10, 4).unwrap();
        assert_eq!(again, b"seen");
        kernel.zw_close(rig.section()).unwrap();
        for address in [rig.view().0, whole] {
            assert!(kernel.read_bytes(whole, 1).is_ok());
            kernel.mm_unmap_view_in_system_space(address).unwrap();
        }
        assert!(kernel.read_bytes(whole, 1).is_err());
    }

    #[test]
    fn a_section_of_an_image_ends_the_run() {
        let rig = rig();
        let size = DriverPtr::<u64>::new(rig.bench.variable(8));
        let none = DriverPtr::NULL;
        let stop = rig
            .kernel()
            .zw_create_section(rig.handle, 6, none, size, 2, IMAGE, 4);
        assert_eq!(stop, Err(crate::Stop::Ended));
        assert_eq!(rig.bench.rules(), [ids::UNIMPLEMENTED_IMPORT]);
    }
}
