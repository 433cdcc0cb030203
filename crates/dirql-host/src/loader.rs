//! Driver images in the simulated computer's memory.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use dirql_image::{
    DEFAULT_SECURITY_COOKIE, Export, ExportTarget, Image, ImageError, Import, ImportRef, Placement,
    Symbol,
};
use dirql_kernel::mm::ImageSection;
use dirql_kernel::mm::layout::PAGE;
use dirql_kernel::{Access, Kernel, Platform, WindowsVersion, versions};

use crate::data_exports;
use crate::run::{LinuxPlatform, MissingImport};
use crate::thunk::Stubs;

/// Modules whose exports are the table of exports.
const SYSTEM_MODULES: &[&str] = &["ntoskrnl.exe", "ntkrnlmp.exe", "hal.dll", "wmilib.sys"];

/// How many forwarders one export may lead through. Windows has no chain longer than one.
const LONGEST_FORWARDING: u32 = 8;

/// An entry point that the Windows version does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingEntryPoint {
    /// The routine.
    pub name: Box<str>,
    /// The module that it is imported from.
    pub module: Box<str>,
}

/// Why an image could not be made ready to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is not a driver that could be loaded.
    #[error("{name}: {error}")]
    Image {
        /// The driver.
        name: Box<str>,
        /// What is wrong with its file.
        error: ImageError,
    },
    /// The image has no relocations and wants an address that this computer does not have.
    #[error(
        "{name}: the image has no relocations and can only be loaded at {base:#x}, which is not possible here"
    )]
    Fixed {
        /// The driver.
        name: Box<str>,
        /// Where it wants to be.
        base: u64,
    },
    /// There is no room for an image of this size.
    #[error("{name}: no room for an image of {bytes:#x} bytes")]
    NoRoom {
        /// The driver.
        name: Box<str>,
        /// Bytes in memory.
        bytes: u32,
    },
    /// Windows would not load it: it does not have these entry points.
    #[error("{}", entry_points_not_found(name, *windows, missing))]
    EntryPointNotFound {
        /// The driver.
        name: Box<str>,
        /// The version that does not have them.
        windows: WindowsVersion,
        /// All of them.
        missing: Vec<MissingEntryPoint>,
    },
    /// More imports without an implementation than there can be stubs.
    #[error("{name}: more than {} imports are not implemented", Stubs::MOST)]
    TooManyMissing {
        /// The driver.
        name: Box<str>,
    },
}

fn entry_points_not_found(
    name: &str,
    windows: WindowsVersion,
    missing: &[MissingEntryPoint],
) -> String {
    let each = missing
        .iter()
        .map(|entry| format!("entry point not found: {} in {}", entry.name, entry.module));
    let each: Vec<String> = each.collect();
    format!(
        "{name} cannot be loaded on Windows {windows}\n{}",
        each.join("\n")
    )
}

/// Where an address is in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLocation {
    /// The image's name.
    pub image: Box<str>,
    /// The section, if the address is in one.
    pub section: Option<Box<str>>,
    /// Bytes from the image's base.
    pub rva: u32,
}

impl fmt::Display for ImageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.image, self.rva)
    }
}

/// An image in memory, or one that was.
#[derive(Debug)]
pub struct LoadedImage {
    name: Box<str>,
    base: u64,
    size: u32,
    entry: Option<u64>,
    file: Option<Parsed>,
    loaded: Cell<bool>,
}

#[derive(Debug)]
struct Parsed {
    image: Image,
    bytes: Box<[u8]>,
}

impl LoadedImage {
    /// The stand-in for the image of an in-process driver: the part of this process that
    /// `range` is.
    pub(crate) fn native(name: &str, range: Range<u64>, entry: u64) -> Self {
        let size = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        Self {
            name: name.into(),
            base: range.start,
            size,
            entry: Some(entry),
            file: None,
            loaded: Cell::new(true),
        }
    }

    /// Its name, for example `edu.sys`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address of its first byte.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Bytes in memory, whole pages.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// The addresses that it takes.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.base..self.base + self.size as u64
    }

    /// Address of its entry point; an export driver may have none.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        self.entry
    }

    /// What is in its file; `None` for an in-process driver.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        self.file.as_ref().map(|file| &file.image)
    }

    /// Its file, for symbols; empty for an in-process driver.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        self.file.as_ref().map_or(&[], |file| &file.bytes)
    }

    /// Whether it is still in memory.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.get()
    }

    pub(crate) fn set_unloaded(&self) {
        self.loaded.set(false);
    }

    /// The address of what it exports under a name; `None` for what it forwards, too.
    #[must_use]
    pub fn export_address(&self, name: &str) -> Option<u64> {
        match self.image()?.exports().by_name(name)?.target {
            ExportTarget::Rva(rva) => Some(self.base + u64::from(rva)),
            ExportTarget::Forwarder(_) => None,
        }
    }

    /// Where `address` is in it.
    #[must_use]
    pub fn locate(&self, address: u64) -> Option<ImageLocation> {
        if !self.range().contains(&address) {
            return None;
        }
        let rva = (address - self.base) as u32;
        let section = self.image().and_then(|image| image.section_at(rva));
        Some(ImageLocation {
            image: self.name.clone(),
            section: section.map(|section| section.name().into()),
            rva,
        })
    }

    /// The addresses of pages for which `wanted` says so, neighbours together.
    fn regions(&self, wanted: impl Fn(&dirql_image::Region) -> bool) -> Vec<Range<u64>> {
        let regions = self.image().map_or(&[][..], Image::regions);
        let address = |rva: u32| self.base + u64::from(rva);
        let mut found: Vec<Range<u64>> = Vec::new();
        for region in regions
            .iter()
            .filter(|region| region.size > 0 && wanted(region))
        {
            let (start, end) = (address(region.rva), address(region.rva + region.size));
            match found.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => found.push(start..end),
            }
        }
        found
    }

    /// Its sections as memory management knows them.
    pub(crate) fn sections(&self) -> Vec<ImageSection> {
        let regions = self.image().map_or(&[][..], Image::regions);
        let start = |region: &dirql_image::Region| self.base + u64::from(region.rva);
        let regions = regions.iter().filter(|region| region.size > 0);
        let section = |region: &dirql_image::Region| ImageSection {
            range: start(region)..start(region) + u64::from(region.size),
            pageable: region.pageable && !region.discardable,
        };
        regions.map(section).collect()
    }

    /// Pages that Windows can page out.
    #[must_use]
    pub fn pageable(&self) -> Vec<Range<u64>> {
        self.regions(|region| region.pageable)
    }

    /// Pages that Windows frees after the entry point has returned.
    #[must_use]
    pub fn discardable(&self) -> Vec<Range<u64>> {
        self.regions(|region| region.discardable)
    }

    fn export(&self, symbol: &Symbol) -> Option<&Export> {
        let exports = self.image()?.exports();
        match symbol {
            Symbol::Name { name, .. } => exports.by_name(name),
            Symbol::Ordinal(ordinal) => exports.by_ordinal(*ordinal),
        }
    }
}

/// Everything that loading needs of the rest.
pub(crate) struct Loader<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) platform: &'a LinuxPlatform,
}

impl Loader<'_> {
    /// Maps and binds the image in `bytes`.
    pub(crate) fn load(&self, name: &str, bytes: &[u8]) -> Result<LoadedImage, LoadError> {
        let wrong = |error| LoadError::Image {
            name: name.into(),
            error,
        };
        let image = Image::parse(bytes).map_err(wrong)?;
        self.check_entry_points(name, &image)?;
        let base = self.place(name, &image)?;
        let placed = self.fill(name, &image, base);
        if let Err(error) = placed {
            self.kernel.free_image(base);
            return Err(error);
        }
        Ok(LoadedImage {
            name: name.into(),
            base,
            size: image.mapped_size(),
            entry: image.entry_point().map(|rva| base + u64::from(rva)),
            file: Some(Parsed {
                image,
                bytes: bytes.into(),
            }),
            loaded: Cell::new(true),
        })
    }

    /// Whether this Windows has what the image imports. Delay-loaded imports are only
    /// missed when they are used.
    fn check_entry_points(&self, name: &str, image: &Image) -> Result<(), LoadError> {
        let windows = self.kernel.config().windows;
        let is_missing = |import: &ImportRef<'_>| match import.symbol {
            Symbol::Name { name, .. } => {
                is_system_module(import.module) && !versions::exists(name, windows)
            }
            Symbol::Ordinal(_) => false,
        };
        let missing: Vec<MissingEntryPoint> = image
            .imports()
            .filter(|import| !import.delayed && is_missing(import))
            .map(|import| MissingEntryPoint {
                name: import.symbol.to_string().into(),
                module: import.module.into(),
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(LoadError::EntryPointNotFound {
            name: name.into(),
            windows,
            missing,
        })
    }

    fn place(&self, name: &str, image: &Image) -> Result<u64, LoadError> {
        // The simulated computer has no memory where Windows drivers prefer to be.
        if let Placement::Only(base) = image.placement() {
            return Err(LoadError::Fixed {
                name: name.into(),
                base,
            });
        }
        match self.kernel.allocate_image(image.mapped_size().into()) {
            0 => Err(LoadError::NoRoom {
                name: name.into(),
                bytes: image.mapped_size(),
            }),
            base => Ok(base),
        }
    }

    /// Puts the image, bound, where there is room for it.
    fn fill(&self, name: &str, image: &Image, base: u64) -> Result<(), LoadError> {
        let mut laid_out = image.lay_out(base).map_err(|error| LoadError::Image {
            name: name.into(),
            error,
        })?;
        let mut stubs_left = true;
        laid_out.bind(|import| {
            self.resolve(name, import).unwrap_or_else(|| {
                stubs_left = false;
                0
            })
        });
        if !stubs_left {
            return Err(LoadError::TooManyMissing { name: name.into() });
        }
        laid_out.set_security_cookie(security_cookie(name));
        let thunks = self.platform.thunks();
        laid_out.set_guard_pointers(thunks.guard_check(), thunks.guard_dispatch());
        self.platform
            .write(base, laid_out.bytes())
            .expect("room for an image is writable");
        self.protect(image, base);
        Ok(())
    }

    /// Gives each region the access that its sections ask for.
    fn protect(&self, image: &Image, base: u64) {
        let mut pending: Option<(Range<u64>, Access)> = None;
        for region in image.regions().iter().filter(|region| region.size > 0) {
            let start = base + u64::from(region.rva);
            let (range, access) = (start..start + u64::from(region.size), region_access(region));
            match &mut pending {
                Some((before, same)) if *same == access && before.end == range.start => {
                    before.end = range.end
                }
                _ => {
                    if let Some((range, access)) = pending.replace((range, access)) {
                        self.platform.protect(range, access);
                    }
                }
            }
        }
        if let Some((range, access)) = pending {
            self.platform.protect(range, access);
        }
    }

    /// The address that an import is bound to. `None` only if there is no room for a stub.
    fn resolve(&self, importer: &str, import: &ImportRef<'_>) -> Option<u64> {
        let found = if is_system_module(import.module) {
            self.system_export(import.symbol)
        } else {
            self.driver_export(import.module, import.symbol, LONGEST_FORWARDING)
        };
        found.or_else(|| {
            self.platform.add_stub(MissingImport {
                module: import.module.into(),
                name: import.symbol.to_string().into(),
                importer: importer.into(),
            })
        })
    }

    /// An export of the kernel, the HAL or wmilib. Ordinals differ between their versions, and
    /// nobody imports by them.
    fn system_export(&self, symbol: &Symbol) -> Option<u64> {
        match symbol {
            Symbol::Name { name, .. } => system_export(self.kernel, self.platform, name),
            Symbol::Ordinal(_) => None,
        }
    }

    /// An export of another loaded driver.
    fn driver_export(&self, module: &str, symbol: &Symbol, forwardings: u32) -> Option<u64> {
        let image = self.platform.image_named(module)?;
        match &image.export(symbol)?.target {
            ExportTarget::Rva(rva) => Some(image.base + u64::from(*rva)),
            ExportTarget::Forwarder(_) if forwardings == 0 => None,
            ExportTarget::Forwarder(text) => {
                let (module, symbol) = forwarder(text)?;
                if SYSTEM_MODULES
                    .iter()
                    .any(|system| is_called(system, module))
                {
                    self.system_export(&symbol)
                } else {
                    self.driver_export(module, &symbol, forwardings - 1)
                }
            }
        }
    }
}

/// The address of the system's export `name`, a routine or a variable, whatever the
/// Windows version is.
pub(crate) fn system_export(kernel: &Kernel, platform: &LinuxPlatform, name: &str) -> Option<u64> {
    if let Some(address) = platform.routine(name) {
        return Some(address);
    }
    // The only error is the end of the run, after which nothing is looked up.
    if let Ok(Some(address)) = kernel.ob_data_export(name) {
        return Some(address);
    }
    platform.variable(kernel, name)
}

/// What this release has for an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// A routine that is implemented.
    Routine,
    /// A variable.
    Data,
    /// Calling it ends the run.
    Missing,
}

/// What this release has for `import` of `module`, without loading anything.
#[must_use]
pub fn import_state(module: &str, import: &Import) -> ImportState {
    let Symbol::Name { name, .. } = &import.symbol else {
        return ImportState::Missing;
    };
    if !is_system_module(module) {
        return ImportState::Missing;
    }
    let name: &str = name;
    if crate::ddi::all().any(|export| export.name == name) {
        ImportState::Routine
    } else if data_exports::exists(name) {
        ImportState::Data
    } else {
        ImportState::Missing
    }
}

fn is_system_module(module: &str) -> bool {
    SYSTEM_MODULES
        .iter()
        .any(|system| system.eq_ignore_ascii_case(module))
}

/// Whether `name`, with or without its extension, is that of the module `file`.
fn is_called(file: &str, name: &str) -> bool {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    file.eq_ignore_ascii_case(name) || stem.eq_ignore_ascii_case(name)
}

/// What a forwarder such as `OTHER.Name` or `OTHER.#12` leads to.
fn forwarder(text: &str) -> Option<(&str, Symbol)> {
    let (module, symbol) = text.rsplit_once('.')?;
    let symbol = match symbol.strip_prefix('#') {
        Some(ordinal) => Symbol::Ordinal(ordinal.parse().ok()?),
        None => Symbol::Name {
            name: symbol.into(),
            hint: 0,
        },
    };
    Some((module, symbol))
}

fn region_access(region: &dirql_image::Region) -> Access {
    match (region.executable, region.writable, region.readable) {
        (true, true, _) => Access::ReadWriteExecute,
        (true, false, _) => Access::ReadExecute,
        (false, true, _) => Access::ReadWrite,
        (false, false, true) => Access::Read,
        (false, false, false) => Access::None,
    }
}

/// A cookie that looks unpredictable and is the same in every run: the name's FNV-1a hash,
/// with the high 16 bits clear, as Windows leaves them.
fn security_cookie(name: &str) -> u64 {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    match hash & 0x0000_FFFF_FFFF_FFFF {
        0 | DEFAULT_SECURITY_COOKIE => 0x0000_5851_F42D_4C95,
        cookie => cookie,
    }
}

impl LinuxPlatform {
    /// Takes away what Windows frees after the entry point has returned.
    pub(crate) fn discard_init(&self, image: &LoadedImage) {
        for region in image.discardable() {
            self.space.discard(region);
        }
    }

    /// The loaded image of this file name.
    fn image_named(&self, module: &str) -> Option<Rc<LoadedImage>> {
        let images = self.images.borrow();
        images
            .iter()
            .find(|image| image.is_loaded() && is_called(&image.name, module))
            .cloned()
    }

    /// The loaded image that holds `address`.
    pub(crate) fn image_at(&self, address: u64) -> Option<Rc<LoadedImage>> {
        let images = self.images.borrow();
        images
            .iter()
            .find(|image| image.is_loaded() && image.range().contains(&address))
            .cloned()
    }

    /// Writes one byte of code, which stays executable.
    pub(crate) fn patch_code(&self, address: u64, byte: u8) -> bool {
        let page = address / PAGE * PAGE..address / PAGE * PAGE + PAGE;
        let access = self.space.access(address);
        if !matches!(access, Access::ReadExecute | Access::ReadWriteExecute) {
            return false;
        }
        self.space.forget_code(&(address..address + 1));
        self.space.protect(page.clone(), Access::ReadWriteExecute);
        let written = self.space.write(address, &[byte]).is_ok();
        self.space.protect(page, access);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_never_the_one_that_the_compiler_left() {
        for name in ["", "edu.sys", "serial.sys"] {
            let cookie = security_cookie(name);
            assert_ne!(cookie, DEFAULT_SECURITY_COOKIE);
            assert_ne!(cookie, 0);
            assert_eq!(cookie >> 48, 0);
            assert_eq!(cookie, security_cookie(name));
        }
        assert_ne!(security_cookie("a.sys"), security_cookie("b.sys"));
    }

    #[test]
    fn modules_are_found_in_any_case() {
        assert!(is_system_module("NTOSKRNL.exe") && is_system_module("HAL.dll"));
        assert!(!is_system_module("ndis.sys"));
    }

    #[test]
    fn a_forwarder_names_a_module_and_a_name_or_a_number() {
        let name = Symbol::Name {
            name: "IoB".into(),
            hint: 0,
        };
        assert_eq!(forwarder("other.IoB"), Some(("other", name)));
        assert_eq!(forwarder("other.#12"), Some(("other", Symbol::Ordinal(12))));
        assert_eq!(forwarder("other.#70000"), None);
        assert_eq!(forwarder("IoB"), None);
        assert!(is_called("other.sys", "OTHER") && is_called("other.sys", "Other.SYS"));
        assert!(!is_called("other.sys", "oth"));
    }

    #[test]
    fn all_missing_entry_points_are_listed() {
        let entry = |name: &str| MissingEntryPoint {
            name: name.into(),
            module: "ntoskrnl.exe".into(),
        };
        let error = LoadError::EntryPointNotFound {
            name: "edu.sys".into(),
            windows: WindowsVersion::Server2003,
            missing: vec![
                entry("IoConnectInterruptEx"),
                entry("IoDisconnectInterruptEx"),
            ],
        };
        assert_eq!(
            error.to_string(),
            "edu.sys cannot be loaded on Windows server2003\n\
             entry point not found: IoConnectInterruptEx in ntoskrnl.exe\n\
             entry point not found: IoDisconnectInterruptEx in ntoskrnl.exe"
        );
    }
}
