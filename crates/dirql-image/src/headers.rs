//! The MS-DOS, COFF and optional headers and the data directory table.
//!
//! Source: PE Format, "MS-DOS Stub", "COFF File Header" and "Optional Header".

use crate::error::{Allowed, ImageError, Part};
use crate::reader::Reader;

/// Bytes per page of memory on x64.
pub const PAGE: u32 = 0x1000;

/// The largest `SizeOfImage` that is accepted, in bytes: 256 MiB.
///
/// The largest drivers that ship, those of display adapters, take about a third of it.
pub const MAX_SIZE_OF_IMAGE: u32 = 256 << 20;

/// The largest number of sections; Windows refuses more.
pub const MAX_SECTIONS: u16 = 96;

const DOS_SIGNATURE: u16 = 0x5a4d;
const NT_SIGNATURE: u32 = 0x0000_4550;
const MACHINE_AMD64: u16 = 0x8664;
const MAGIC_PE32: u16 = 0x010b;
const MAGIC_PE32_PLUS: u16 = 0x020b;
const SUBSYSTEM_NATIVE: u16 = 1;
const EXECUTABLE_IMAGE: u16 = 0x0002;
const RELOCS_STRIPPED: u16 = 0x0001;
/// From the signature to the optional header.
const COFF_END: u64 = 24;
/// Fixed part of a PE32+ optional header, before the directories.
const OPTIONAL_FIXED: u16 = 112;
const SECTION_HEADER: u64 = 40;
const MAX_DIRECTORIES: u32 = 16;

/// One entry of the data directory table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) rva: u32,
    pub(crate) size: u32,
}

impl Directory {
    pub(crate) const EXPORT: usize = 0;
    pub(crate) const IMPORT: usize = 1;
    pub(crate) const EXCEPTION: usize = 3;
    pub(crate) const SECURITY: usize = 4;
    pub(crate) const RELOCATION: usize = 5;
    pub(crate) const DEBUG: usize = 6;
    pub(crate) const LOAD_CONFIG: usize = 10;
    pub(crate) const DELAY_IMPORT: usize = 13;
    pub(crate) const COM_DESCRIPTOR: usize = 14;

    pub(crate) const fn is_present(self) -> bool {
        self.rva != 0 && self.size != 0
    }
}

const DIRECTORY_NAMES: [&str; 16] = [
    "Export Table",
    "Import Table",
    "Resource Table",
    "Exception Table",
    "Certificate Table",
    "Base Relocation Table",
    "Debug",
    "Architecture",
    "Global Ptr",
    "TLS Table",
    "Load Config Table",
    "Bound Import",
    "IAT",
    "Delay Import Descriptor",
    "CLR Runtime Header",
    "Reserved",
];

/// The fields of the headers that say something about a driver, checked.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) nt_offset: u64,
    pub(crate) machine: u16,
    pub(crate) sections: u16,
    pub(crate) section_table: u64,
    pub(crate) time_date_stamp: u32,
    pub(crate) symbol_table: u32,
    pub(crate) symbols: u32,
    pub(crate) characteristics: u16,
    pub(crate) entry_point: u32,
    pub(crate) image_base: u64,
    pub(crate) section_alignment: u32,
    pub(crate) file_alignment: u32,
    pub(crate) subsystem_version: (u16, u16),
    pub(crate) size_of_image: u32,
    pub(crate) size_of_headers: u32,
    pub(crate) checksum: u32,
    pub(crate) subsystem: u16,
    pub(crate) dll_characteristics: u16,
    directories: [Directory; MAX_DIRECTORIES as usize],
}

impl Headers {
    /// Reads and checks the headers.
    pub(crate) fn parse(file: Reader<'_>) -> Result<Self, ImageError> {
        let nt_offset = nt_offset(file)?;
        let headers = Self::read(file, nt_offset)?;
        headers.check(file)?;
        Ok(headers)
    }

    pub(crate) fn directory(&self, index: usize) -> Directory {
        self.directories.get(index).copied().unwrap_or_default()
    }

    pub(crate) const fn relocations_stripped(&self) -> bool {
        self.characteristics & RELOCS_STRIPPED != 0
    }

    /// Sections smaller than a page: the file is mapped as it is.
    pub(crate) const fn is_low_aligned(&self) -> bool {
        self.section_alignment < PAGE
    }

    /// `SizeOfImage` in whole pages, as memory is handed out.
    pub(crate) const fn mapped_size(&self) -> u32 {
        self.size_of_image.next_multiple_of(PAGE)
    }

    fn read(file: Reader<'_>, nt: u64) -> Result<Self, ImageError> {
        let optional = nt + COFF_END;
        let machine = file.u16("Machine", nt + 4)?;
        if machine != MACHINE_AMD64 {
            return Err(ImageError::Machine { found: machine });
        }
        let optional_size = optional_size(file, nt)?;
        let directory_count = directory_count(file, optional, optional_size)?;
        Ok(Self {
            nt_offset: nt,
            machine,
            sections: file.u16("NumberOfSections", nt + 6)?,
            section_table: optional + u64::from(optional_size),
            time_date_stamp: file.u32("TimeDateStamp", nt + 8)?,
            symbol_table: file.u32("PointerToSymbolTable", nt + 12)?,
            symbols: file.u32("NumberOfSymbols", nt + 16)?,
            characteristics: file.u16("Characteristics", nt + 22)?,
            entry_point: file.u32("AddressOfEntryPoint", optional + 16)?,
            image_base: file.u64("ImageBase", optional + 24)?,
            section_alignment: file.u32("SectionAlignment", optional + 32)?,
            file_alignment: file.u32("FileAlignment", optional + 36)?,
            subsystem_version: (
                file.u16("MajorSubsystemVersion", optional + 48)?,
                file.u16("MinorSubsystemVersion", optional + 50)?,
            ),
            size_of_image: file.u32("SizeOfImage", optional + 56)?,
            size_of_headers: file.u32("SizeOfHeaders", optional + 60)?,
            checksum: file.u32("CheckSum", optional + 64)?,
            subsystem: file.u16("Subsystem", optional + 68)?,
            dll_characteristics: file.u16("DllCharacteristics", optional + 70)?,
            directories: directories(file, optional, directory_count)?,
        })
    }

    fn check(&self, file: Reader<'_>) -> Result<(), ImageError> {
        if self.subsystem != SUBSYSTEM_NATIVE {
            return Err(ImageError::Subsystem {
                found: self.subsystem,
            });
        }
        if self.directory(Directory::COM_DESCRIPTOR).is_present() {
            return Err(ImageError::Managed);
        }
        if self.characteristics & EXECUTABLE_IMAGE == 0 {
            let allowed = Allowed::Rule("must have EXECUTABLE_IMAGE (0x2) set: did it link?");
            return Err(field("Characteristics", self.characteristics, allowed));
        }
        between("NumberOfSections", self.sections, 1, MAX_SECTIONS)?;
        self.check_alignment()?;
        self.check_sizes(file)?;
        self.check_base()?;
        self.check_directories()
    }

    /// PE Format, "Optional Header Windows-Specific Fields", SectionAlignment and FileAlignment.
    fn check_alignment(&self) -> Result<(), ImageError> {
        let section = self.section_alignment;
        if !section.is_power_of_two() || section > MAX_SIZE_OF_IMAGE {
            let allowed = Allowed::PowerOfTwo(1, MAX_SIZE_OF_IMAGE.into());
            return Err(field("SectionAlignment", section, allowed));
        }
        let file = self.file_alignment;
        if self.is_low_aligned() {
            if file != section {
                return Err(field(
                    "FileAlignment",
                    file,
                    Allowed::Exactly(section.into()),
                ));
            }
            return Ok(());
        }
        let highest = section.min(0x10000);
        if !file.is_power_of_two() || !(0x200..=highest).contains(&file) {
            return Err(field(
                "FileAlignment",
                file,
                Allowed::PowerOfTwo(0x200, highest.into()),
            ));
        }
        Ok(())
    }

    fn check_sizes(&self, file: Reader<'_>) -> Result<(), ImageError> {
        between("SizeOfImage", self.size_of_image, 1, MAX_SIZE_OF_IMAGE)?;
        let table_end = self.section_table + SECTION_HEADER * u64::from(self.sections);
        let headers = u64::from(self.size_of_headers);
        if headers < table_end {
            return Err(field("SizeOfHeaders", headers, Allowed::AtLeast(table_end)));
        }
        if self.size_of_headers > self.size_of_image {
            let allowed = Allowed::AtMost(self.size_of_image.into());
            return Err(field("SizeOfHeaders", headers, allowed));
        }
        file.bytes("headers (SizeOfHeaders)", 0, headers)?;
        if self.entry_point >= self.size_of_image {
            let allowed = Allowed::AtMost(u64::from(self.size_of_image) - 1);
            return Err(field("AddressOfEntryPoint", self.entry_point, allowed));
        }
        Ok(())
    }

    fn check_base(&self) -> Result<(), ImageError> {
        if !self.image_base.is_multiple_of(0x10000) {
            return Err(field(
                "ImageBase",
                self.image_base,
                Allowed::MultipleOf(0x10000),
            ));
        }
        let highest = u64::MAX - u64::from(MAX_SIZE_OF_IMAGE);
        if self.image_base > highest {
            return Err(field(
                "ImageBase",
                self.image_base,
                Allowed::AtMost(highest),
            ));
        }
        Ok(())
    }

    /// Every directory lies in the image. The certificate table is not loaded: its place is a
    /// file offset, and nothing here reads it.
    fn check_directories(&self) -> Result<(), ImageError> {
        let loaded = self.directories.iter().zip(DIRECTORY_NAMES).enumerate();
        for (_, (directory, name)) in loaded.filter(|(index, _)| *index != Directory::SECURITY) {
            let end = u64::from(directory.rva) + u64::from(directory.size);
            if directory.is_present() && end > u64::from(self.size_of_image) {
                return Err(ImageError::Field {
                    part: Part::Directory,
                    field: name,
                    found: end,
                    allowed: Allowed::Rule("must end within SizeOfImage"),
                });
            }
        }
        Ok(())
    }
}

fn field(field: &'static str, found: impl Into<u64>, allowed: Allowed) -> ImageError {
    ImageError::Field {
        part: Part::Header,
        field,
        found: found.into(),
        allowed,
    }
}

fn between<T>(name: &'static str, found: T, low: T, high: T) -> Result<(), ImageError>
where
    T: Copy + Into<u64> + PartialOrd,
{
    if found < low || found > high {
        return Err(field(
            name,
            found,
            Allowed::Between(low.into(), high.into()),
        ));
    }
    Ok(())
}

fn nt_offset(file: Reader<'_>) -> Result<u64, ImageError> {
    let found = file.u16("e_magic", 0)?;
    if found != DOS_SIGNATURE {
        return Err(ImageError::DosSignature { found });
    }
    let offset = file.u32("e_lfanew", 0x3c)?;
    if !offset.is_multiple_of(4) {
        return Err(field("e_lfanew", offset, Allowed::MultipleOf(4)));
    }
    let found = file.u32("Signature", offset.into())?;
    if found != NT_SIGNATURE {
        return Err(ImageError::NtSignature { found });
    }
    Ok(offset.into())
}

fn optional_size(file: Reader<'_>, nt: u64) -> Result<u16, ImageError> {
    let optional = nt + COFF_END;
    let size = file.u16("SizeOfOptionalHeader", nt + 20)?;
    let magic = file.u16("Magic", optional)?;
    if magic == MAGIC_PE32 {
        return Err(ImageError::Pe32);
    }
    if magic != MAGIC_PE32_PLUS {
        return Err(field(
            "Magic",
            magic,
            Allowed::Exactly(MAGIC_PE32_PLUS.into()),
        ));
    }
    if size < OPTIONAL_FIXED {
        return Err(field(
            "SizeOfOptionalHeader",
            size,
            Allowed::AtLeast(OPTIONAL_FIXED.into()),
        ));
    }
    file.bytes("optional header", optional, size.into())?;
    Ok(size)
}

/// How many directories are read. A larger `NumberOfRvaAndSizes` than 16 is legal and the rest is
/// without meaning.
fn directory_count(file: Reader<'_>, optional: u64, size: u16) -> Result<u32, ImageError> {
    let stated = file.u32("NumberOfRvaAndSizes", optional + 108)?;
    let count = stated.min(MAX_DIRECTORIES);
    let room = u32::from(size.saturating_sub(OPTIONAL_FIXED)) / 8;
    if count > room {
        return Err(field(
            "NumberOfRvaAndSizes",
            stated,
            Allowed::AtMost(room.into()),
        ));
    }
    Ok(count)
}

fn directories(
    file: Reader<'_>,
    optional: u64,
    count: u32,
) -> Result<[Directory; MAX_DIRECTORIES as usize], ImageError> {
    let mut directories = [Directory::default(); MAX_DIRECTORIES as usize];
    let mut offset = optional + u64::from(OPTIONAL_FIXED);
    for directory in directories.iter_mut().take(count as usize) {
        directory.rva = file.u32("data directory", offset)?;
        directory.size = file.u32("data directory", offset + 4)?;
        offset += 8;
    }
    Ok(directories)
}
