//! The section table, and where sections go.
//!
//! Source: PE Format, "Section Table (Section Headers)" and "Other Contents of the File" for images
//! whose sections are aligned to less than a page; WDK, "Making Drivers Pageable" for `PAGE*`.

use crate::error::{Allowed, ImageError, Part};
use crate::headers::{Headers, PAGE};
use crate::reader::{Reader, until_nul};

const HEADER_SIZE: u64 = 40;
const COFF_SYMBOL: u64 = 18;
/// Longest section name taken from the string table, in bytes.
const LONGEST_NAME: usize = 256;

const MEM_DISCARDABLE: u32 = 0x0200_0000;
const MEM_EXECUTE: u32 = 0x2000_0000;
const MEM_READ: u32 = 0x4000_0000;
const MEM_WRITE: u32 = 0x8000_0000;

/// One section of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    name: Box<str>,
    rva: u32,
    virtual_size: u32,
    characteristics: u32,
    /// Where its initialized part is in the file.
    pub(crate) raw_offset: u32,
    /// Length of that part in the file; padding beyond `virtual_size` included.
    pub(crate) raw_size: u32,
}

impl Section {
    /// Its name. Long names (`/4`) are looked up in the string table; bytes that are not UTF-8
    /// are replaced.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it starts, counted from the image base.
    #[must_use]
    pub const fn rva(&self) -> u32 {
        self.rva
    }

    /// Bytes in memory, not rounded to pages.
    #[must_use]
    pub const fn virtual_size(&self) -> u32 {
        self.virtual_size
    }

    /// The RVAs that it takes.
    #[must_use]
    pub const fn range(&self) -> std::ops::Range<u32> {
        self.rva..self.rva.saturating_add(self.virtual_size)
    }

    /// The section header's flags.
    #[must_use]
    pub const fn characteristics(&self) -> u32 {
        self.characteristics
    }

    /// Whether its code may be executed.
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        self.characteristics & MEM_EXECUTE != 0
    }

    /// Whether it may be read.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.characteristics & MEM_READ != 0
    }

    /// Whether it may be written.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.characteristics & MEM_WRITE != 0
    }

    /// Whether Windows frees it once the driver's entry point has returned: it is flagged as
    /// discardable, or named `INIT`.
    #[must_use]
    pub fn is_discardable(&self) -> bool {
        self.characteristics & MEM_DISCARDABLE != 0 || &*self.name == "INIT"
    }

    /// Whether Windows pages it out: its name begins with `PAGE`.
    ///
    /// The name alone decides for a driver. The flag `IMAGE_SCN_MEM_NOT_PAGED` changes nothing
    /// (mingw sets neither), and code in other sections is resident.
    #[must_use]
    pub fn is_pageable(&self) -> bool {
        self.name.starts_with("PAGE")
    }

    /// Bytes that come from the file; the rest of the section is zero.
    pub(crate) fn initialized(&self) -> u32 {
        self.raw_size.min(self.virtual_size)
    }
}

/// Reads the section table and checks that its sections can be placed.
pub(crate) fn parse(file: Reader<'_>, headers: &Headers) -> Result<Vec<Section>, ImageError> {
    let mut sections = Vec::with_capacity(headers.sections.into());
    let mut next: u64 = headers
        .size_of_headers
        .next_multiple_of(headers.section_alignment)
        .into();
    for index in 0..usize::from(headers.sections) {
        let section = read(
            file,
            headers,
            headers.section_table + HEADER_SIZE * index as u64,
        )?;
        let check = Check {
            file,
            headers,
            section: &section,
            index,
        };
        check.raw()?;
        next = if headers.is_low_aligned() {
            check.flat(next)?
        } else {
            check.paged(next)?
        };
        sections.push(section);
    }
    Ok(sections)
}

fn read(file: Reader<'_>, headers: &Headers, offset: u64) -> Result<Section, ImageError> {
    let virtual_size = file.u32("VirtualSize", offset + 8)?;
    let raw_size = file.u32("SizeOfRawData", offset + 16)?;
    let raw_offset = file.u32("PointerToRawData", offset + 20)?;
    let characteristics = file.u32("section Characteristics", offset + 36)?;
    // Uninitialized data has no place in the file, whatever old linkers wrote as its size.
    let in_file = raw_offset != 0;
    Ok(Section {
        name: name(file, headers, file.bytes("section name", offset, 8)?).into(),
        rva: file.u32("VirtualAddress", offset + 12)?,
        virtual_size: if virtual_size == 0 {
            raw_size
        } else {
            virtual_size
        },
        characteristics,
        raw_offset,
        raw_size: if in_file { raw_size } else { 0 },
    })
}

/// The section's name; `/n` means offset n in the COFF string table.
///
/// A reference that leads nowhere is kept as it stands: Windows does not follow it at all.
fn name(file: Reader<'_>, headers: &Headers, field: &[u8]) -> String {
    let short = String::from_utf8_lossy(until_nul(field)).into_owned();
    let Some(offset) = short
        .strip_prefix('/')
        .and_then(|digits| digits.parse::<u32>().ok())
    else {
        return short;
    };
    if headers.symbol_table == 0 {
        return short;
    }
    let table = u64::from(headers.symbol_table) + COFF_SYMBOL * u64::from(headers.symbols);
    let bytes = file.from(table + u64::from(offset));
    let long = until_nul(bytes.get(..LONGEST_NAME).unwrap_or(bytes));
    if long.is_empty() {
        short
    } else {
        String::from_utf8_lossy(long).into_owned()
    }
}

struct Check<'a> {
    file: Reader<'a>,
    headers: &'a Headers,
    section: &'a Section,
    index: usize,
}

impl Check<'_> {
    /// The initialized part is in the file.
    fn raw(&self) -> Result<(), ImageError> {
        let Section {
            raw_offset,
            raw_size,
            ..
        } = *self.section;
        if raw_size == 0 {
            return Ok(());
        }
        let alignment = self.headers.file_alignment;
        if !raw_offset.is_multiple_of(alignment) {
            let allowed = Allowed::MultipleOf(alignment.into());
            return Err(self.field("PointerToRawData", raw_offset, allowed));
        }
        let end = u64::from(raw_offset) + u64::from(raw_size);
        if end > self.file.len() {
            let room = self.file.len().saturating_sub(raw_offset.into());
            return Err(self.field("SizeOfRawData", raw_size, Allowed::AtMost(room)));
        }
        Ok(())
    }

    /// Sections of whole pages follow each other without a gap: "ascending order and adjacent".
    /// Returns where the next one has to start.
    fn paged(&self, expected: u64) -> Result<u64, ImageError> {
        let rva = self.section.rva;
        if u64::from(rva) != expected {
            return Err(self.field("VirtualAddress", rva, Allowed::Exactly(expected)));
        }
        Ok(self
            .end()?
            .next_multiple_of(self.headers.section_alignment.into()))
    }

    /// Sections smaller than a page: the file is mapped as it is, so each lies in memory where
    /// it lies in the file. Returns the lowest place for the next one.
    fn flat(&self, lowest: u64) -> Result<u64, ImageError> {
        let Section {
            rva,
            virtual_size,
            raw_offset,
            raw_size,
            ..
        } = *self.section;
        if u64::from(rva) < lowest {
            return Err(self.field("VirtualAddress", rva, Allowed::AtLeast(lowest)));
        }
        if virtual_size > raw_size {
            return Err(self.field(
                "VirtualSize",
                virtual_size,
                Allowed::Rule(
                    "must be at most SizeOfRawData when SectionAlignment is below the page size",
                ),
            ));
        }
        if rva != raw_offset {
            return Err(self.field(
                "PointerToRawData",
                raw_offset,
                Allowed::Rule(
                    "must equal VirtualAddress when SectionAlignment is below the page size",
                ),
            ));
        }
        self.end()
    }

    /// Where the section ends, which is inside the image.
    fn end(&self) -> Result<u64, ImageError> {
        let Section {
            rva, virtual_size, ..
        } = *self.section;
        let end = u64::from(rva) + u64::from(virtual_size);
        // Whole pages are mapped, so a size that ends inside the last page is good enough.
        if end > u64::from(self.headers.mapped_size()) {
            let room = self.headers.mapped_size().saturating_sub(rva);
            return Err(self.field("VirtualSize", virtual_size, Allowed::AtMost(room.into())));
        }
        Ok(end)
    }

    fn field(&self, field: &'static str, found: u32, allowed: Allowed) -> ImageError {
        ImageError::Field {
            part: Part::Section {
                index: self.index,
                name: self.section.name.clone(),
            },
            field,
            found: found.into(),
            allowed,
        }
    }
}

/// What the pages of an image may be used for.
///
/// Pages are the unit of protection, so a page that several sections share (an image whose
/// sections are aligned to less than a page) allows what any of them allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// First RVA, a multiple of the page size.
    pub rva: u32,
    /// Bytes, a multiple of the page size.
    pub size: u32,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Is freed after the entry point has returned.
    pub discardable: bool,
    /// Can be paged out.
    pub pageable: bool,
}

/// The image in regions that cover `0..mapped_size` in order, without gaps or overlaps.
pub(crate) fn regions(headers: &Headers, sections: &[Section]) -> Vec<Region> {
    if headers.is_low_aligned() {
        // Mapped as one piece, everything allowed: PE Format requires nothing, and the memory
        // manager has no finer unit than a page.
        return vec![Region {
            rva: 0,
            size: headers.mapped_size(),
            readable: true,
            writable: true,
            executable: true,
            discardable: false,
            pageable: false,
        }];
    }
    let mut regions = vec![Region {
        rva: 0,
        size: 0,
        readable: true,
        writable: false,
        executable: false,
        discardable: false,
        pageable: false,
    }];
    for section in sections.iter().filter(|section| section.virtual_size > 0) {
        close(&mut regions, section.rva);
        regions.push(Region {
            rva: section.rva,
            size: 0,
            readable: section.is_readable(),
            writable: section.is_writable(),
            executable: section.is_executable(),
            discardable: section.is_discardable(),
            pageable: section.is_pageable(),
        });
    }
    close(&mut regions, headers.mapped_size());
    regions
}

/// Lets the last region end at `end`.
fn close(regions: &mut [Region], end: u32) {
    if let Some(last) = regions.last_mut() {
        last.size = end.saturating_sub(last.rva).next_multiple_of(PAGE);
    }
}
