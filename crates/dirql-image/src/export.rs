//! What an image offers to others.
//!
//! Source: PE Format, "The .edata Section (Image Only)".

use crate::error::{Allowed, ImageError, Part};
use crate::headers::{Directory, Headers};
use crate::reader::Reader;
use crate::text::{LONGEST_MODULE, LONGEST_SYMBOL, Names};

/// One past the largest ordinal: an import names an ordinal with 16 bits.
const ORDINALS: u64 = 1 << 16;

/// What an export leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// An RVA in this image.
    Rva(u32),
    /// An export of another module: `MODULE.Name` or `MODULE.#ordinal`.
    Forwarder(Box<str>),
}

/// One exported name or ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name, if it has one. A function with several names is listed once for each.
    pub name: Option<Box<str>>,
    /// Its number.
    pub ordinal: u16,
    /// What it leads to.
    pub target: ExportTarget,
}

/// The export directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    /// The file name that the image was linked under, if it states one.
    pub module: Option<Box<str>>,
    /// First the named ones in the order of the table, then those without a name by ordinal.
    pub exports: Vec<Export>,
}

impl Exports {
    /// The export of this name. Case counts.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Export> {
        self.exports
            .iter()
            .find(|export| export.name.as_deref() == Some(name))
    }

    /// The export of this number.
    #[must_use]
    pub fn by_ordinal(&self, ordinal: u16) -> Option<&Export> {
        self.exports.iter().find(|export| export.ordinal == ordinal)
    }
}

/// Reads the export directory, if there is one.
pub(crate) fn parse(
    image: Reader<'_>,
    headers: &Headers,
    names: &mut Names<'_>,
) -> Result<Exports, ImageError> {
    let directory = headers.directory(Directory::EXPORT);
    if !directory.is_present() {
        return Ok(Exports::default());
    }
    let table = Table::read(image, directory)?;
    let module = if table.name == 0 {
        None
    } else {
        Some(names.read(|| Part::Exports, "export Name", table.name, LONGEST_MODULE)?)
    };
    Ok(Exports {
        module,
        exports: table.exports(names)?,
    })
}

struct Table<'a> {
    image: Reader<'a>,
    directory: Directory,
    name: u32,
    base: u32,
    functions: u32,
    names: u32,
    function_table: u32,
    name_table: u32,
    ordinal_table: u32,
}

impl<'a> Table<'a> {
    fn read(image: Reader<'a>, directory: Directory) -> Result<Self, ImageError> {
        let at = u64::from(directory.rva);
        image.bytes("export directory", at, 40)?;
        let table = Self {
            image,
            directory,
            name: image.u32("export Name", at + 12)?,
            base: image.u32("export Base", at + 16)?,
            functions: image.u32("NumberOfFunctions", at + 20)?,
            names: image.u32("NumberOfNames", at + 24)?,
            function_table: image.u32("AddressOfFunctions", at + 28)?,
            name_table: image.u32("AddressOfNames", at + 32)?,
            ordinal_table: image.u32("AddressOfNameOrdinals", at + 36)?,
        };
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<(), ImageError> {
        let base = u64::from(self.base);
        let (functions, names) = (u64::from(self.functions), u64::from(self.names));
        if base >= ORDINALS {
            return Err(field("Base", base, Allowed::AtMost(ORDINALS - 1)));
        }
        if functions > ORDINALS - base {
            return Err(field(
                "NumberOfFunctions",
                functions,
                Allowed::AtMost(ORDINALS - base),
            ));
        }
        if names > ORDINALS {
            return Err(field("NumberOfNames", names, Allowed::AtMost(ORDINALS)));
        }
        self.image.bytes(
            "AddressOfFunctions",
            self.function_table.into(),
            functions * 4,
        )?;
        self.image
            .bytes("AddressOfNames", self.name_table.into(), names * 4)?;
        self.image.bytes(
            "AddressOfNameOrdinals",
            self.ordinal_table.into(),
            names * 2,
        )?;
        Ok(())
    }

    fn exports(&self, names: &mut Names<'_>) -> Result<Vec<Export>, ImageError> {
        let mut exports = Vec::with_capacity(self.functions.max(self.names) as usize);
        let mut named = vec![false; self.functions as usize];
        for index in 0..u64::from(self.names) {
            let name = self
                .image
                .u32("AddressOfNames", u64::from(self.name_table) + index * 4)?;
            let name = names.read(|| Part::Exports, "export name", name, LONGEST_SYMBOL)?;
            let ordinals = u64::from(self.ordinal_table);
            let function = self
                .image
                .u16("AddressOfNameOrdinals", ordinals + index * 2)?;
            let Some(seen) = named.get_mut(usize::from(function)) else {
                let highest = u64::from(self.functions).saturating_sub(1);
                return Err(field("name ordinal", function, Allowed::AtMost(highest)));
            };
            *seen = true;
            exports.extend(self.export(function, Some(name), names)?);
        }
        for (function, _) in (0..).zip(&named).filter(|(_, named)| !**named) {
            exports.extend(self.export(function, None, names)?);
        }
        Ok(exports)
    }

    /// The export at `index` of the function table; `None` if that entry is unused.
    fn export(
        &self,
        index: u16,
        name: Option<Box<str>>,
        names: &mut Names<'_>,
    ) -> Result<Option<Export>, ImageError> {
        let offset = u64::from(self.function_table) + u64::from(index) * 4;
        let rva = self.image.u32("AddressOfFunctions", offset)?;
        if rva == 0 {
            return Ok(None);
        }
        let Directory { rva: start, size } = self.directory;
        let target = if (start..start.saturating_add(size)).contains(&rva) {
            let text = names.read(|| Part::Exports, "Forwarder RVA", rva, LONGEST_SYMBOL)?;
            ExportTarget::Forwarder(text)
        } else if u64::from(rva) < self.image.len() {
            ExportTarget::Rva(rva)
        } else {
            return Err(field(
                "Export RVA",
                rva,
                Allowed::AtMost(self.image.len() - 1),
            ));
        };
        // No overflow: `check` holds base plus the number of functions below 65,536.
        let ordinal = (self.base as u16).saturating_add(index);
        Ok(Some(Export {
            name,
            ordinal,
            target,
        }))
    }
}

fn field(field: &'static str, found: impl Into<u64>, allowed: Allowed) -> ImageError {
    ImageError::Field {
        part: Part::Exports,
        field,
        found: found.into(),
        allowed,
    }
}
