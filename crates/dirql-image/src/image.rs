//! One parsed driver file.

use crate::checksum;
use crate::debug::{self, CodeView};
use crate::error::ImageError;
use crate::export::{self, Exports};
use crate::function::{self, Function};
use crate::headers::{Directory, Headers};
use crate::import::{self, ImportModule, ImportRef};
use crate::layout::{LaidOut, Placed};
use crate::load_config::{self, LoadConfig};
use crate::reader::Reader;
use crate::relocation;
use crate::section::{self, Region, Section};
use crate::text::Names;

const FORCE_INTEGRITY: u16 = 0x0080;
const GUARD_CF: u16 = 0x4000;

/// Where an image may be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At any base that is a multiple of the page size: its relocations are there, or it has
    /// none because nothing in it depends on the base.
    Anywhere,
    /// At this base only: the linker removed its relocations.
    Only(u64),
}

/// A driver file that has passed every check.
///
/// It holds the headers and sections as they are in memory; nothing of the file is needed after
/// it was made.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) headers: Headers,
    pub(crate) placed: Placed,
    computed_checksum: u32,
    sections: Vec<Section>,
    regions: Vec<Region>,
    imports: Vec<ImportModule>,
    exports: Exports,
    load_config: Option<LoadConfig>,
    functions: Vec<Function>,
    code_view: Result<Option<CodeView>, ImageError>,
}

impl Image {
    /// Reads a driver file.
    ///
    /// # Errors
    /// The bytes are not a driver for x64 (PE32+, machine AMD64, subsystem native, no .NET code,
    /// no thread-local storage), or a header, section, relocation, import, export or load
    /// configuration is malformed. The error names the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let file = Reader::file(bytes);
        let headers = Headers::parse(file)?;
        let sections = section::parse(file, &headers)?;
        let placed = Placed::new(file, &headers, &sections)?;
        let image = placed.reader();
        let mut names = Names::new(image);
        relocation::walk(image, headers.directory(Directory::RELOCATION), |_| Ok(()))?;
        Ok(Self {
            computed_checksum: checksum::compute(bytes, headers.nt_offset),
            regions: section::regions(&headers, &sections),
            imports: import::parse(image, &headers, &mut names)?,
            exports: export::parse(image, &headers, &mut names)?,
            load_config: load_config::parse(image, &headers)?,
            functions: function::parse(image, &headers)?,
            code_view: debug::parse(file, image, &headers),
            headers,
            placed,
            sections,
        })
    }

    /// Makes the image ready for `base`: headers and sections in place and relocated.
    ///
    /// # Errors
    /// `base` is not a multiple of the page size or too high for the image; the relocations are
    /// stripped and `base` is not the preferred one; a 32-bit relocation does not fit.
    pub fn lay_out(&self, base: u64) -> Result<LaidOut<'_>, ImageError> {
        LaidOut::new(self, base)
    }

    /// The machine type: AMD64, 0x8664.
    #[must_use]
    pub const fn machine(&self) -> u16 {
        self.headers.machine
    }

    /// Where the linker expected the image, a multiple of 64 KiB.
    #[must_use]
    pub const fn preferred_base(&self) -> u64 {
        self.headers.image_base
    }

    /// Where the image may be placed.
    #[must_use]
    pub const fn placement(&self) -> Placement {
        if self.headers.relocations_stripped() {
            Placement::Only(self.headers.image_base)
        } else {
            Placement::Anywhere
        }
    }

    /// `SizeOfImage`, bytes, 1..=[`MAX_SIZE_OF_IMAGE`](crate::MAX_SIZE_OF_IMAGE).
    #[must_use]
    pub const fn size_of_image(&self) -> u32 {
        self.headers.size_of_image
    }

    /// Bytes of memory that the image takes: `SizeOfImage` in whole pages.
    #[must_use]
    pub const fn mapped_size(&self) -> u32 {
        self.headers.mapped_size()
    }

    /// Bytes of headers, which are mapped at RVA 0.
    #[must_use]
    pub const fn size_of_headers(&self) -> u32 {
        self.headers.size_of_headers
    }

    /// RVA of the entry point, or `None` for an export driver without one.
    #[must_use]
    pub const fn entry_point(&self) -> Option<u32> {
        match self.headers.entry_point {
            0 => None,
            rva => Some(rva),
        }
    }

    /// The subsystem: native, 1.
    #[must_use]
    pub const fn subsystem(&self) -> u16 {
        self.headers.subsystem
    }

    /// The oldest system the linker was told to support, as NT version (6.1 is Windows 7).
    #[must_use]
    pub const fn subsystem_version(&self) -> (u16, u16) {
        self.headers.subsystem_version
    }

    /// When the file was linked in seconds since 1970, or a hash of its contents.
    #[must_use]
    pub const fn time_date_stamp(&self) -> u32 {
        self.headers.time_date_stamp
    }

    /// The checksum that the file states.
    #[must_use]
    pub const fn checksum(&self) -> u32 {
        self.headers.checksum
    }

    /// The checksum that the file has. Windows loads no driver whose stated one is another.
    #[must_use]
    pub const fn computed_checksum(&self) -> u32 {
        self.computed_checksum
    }

    /// Whether the file was linked with `/INTEGRITYCHECK`.
    #[must_use]
    pub const fn forces_integrity(&self) -> bool {
        self.headers.dll_characteristics & FORCE_INTEGRITY != 0
    }

    /// Whether the file was linked with `/GUARD:CF`.
    #[must_use]
    pub const fn has_control_flow_guard(&self) -> bool {
        self.headers.dll_characteristics & GUARD_CF != 0
    }

    /// Whether there is a table of relocations.
    #[must_use]
    pub fn has_relocations(&self) -> bool {
        self.headers.directory(Directory::RELOCATION).is_present()
    }

    /// The sections in ascending order of RVA.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section that `rva` is in; the headers are in none.
    #[must_use]
    pub fn section_at(&self, rva: u32) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.range().contains(&rva))
    }

    /// What each page may be used for: regions in order, without gaps, over
    /// `0..`[`Image::mapped_size`].
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The modules imported from, in the order of the tables; delay-loaded ones last.
    #[must_use]
    pub fn import_modules(&self) -> &[ImportModule] {
        &self.imports
    }

    /// Every import with its module, in the order of the tables.
    pub fn imports(&self) -> impl Iterator<Item = ImportRef<'_>> {
        self.imports.iter().flat_map(|module| {
            module.imports.iter().map(|import| ImportRef {
                module: &module.name,
                symbol: &import.symbol,
                slot: import.slot,
                delayed: module.delayed,
            })
        })
    }

    /// What the image exports.
    #[must_use]
    pub const fn exports(&self) -> &Exports {
        &self.exports
    }

    /// The load configuration, if there is one.
    #[must_use]
    pub const fn load_config(&self) -> Option<&LoadConfig> {
        self.load_config.as_ref()
    }

    /// The functions that have unwind data, in ascending order of their start.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The entry for the code at `rva`; a function that calls nothing and saves nothing has none.
    #[must_use]
    pub fn function_at(&self, rva: u32) -> Option<&Function> {
        function::find(&self.functions, rva)
    }

    /// Which PDB belongs to the image, if its debug directory names one.
    ///
    /// # Errors
    /// The debug directory or its record is malformed. The image runs all the same.
    pub fn code_view(&self) -> Result<Option<&CodeView>, &ImageError> {
        self.code_view.as_ref().map(Option::as_ref)
    }
}
