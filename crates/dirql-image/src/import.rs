//! What an image takes from others: the import table and the delay-load import table.
//!
//! Source: PE Format, "The .idata Section" and "Delay-Load Import Tables (Image Only)".

use crate::error::{Allowed, ImageError, Part};
use crate::headers::{Directory, Headers};
use crate::reader::Reader;
use crate::text::{LONGEST_MODULE, LONGEST_SYMBOL, Names};

/// The most imports that are read from one image.
///
/// Descriptors may share a table, so without a limit a small file could ask for any number.
/// Drivers import hundreds.
pub const MAX_IMPORTS: usize = 1 << 16;

/// The most modules that an image imports from.
pub const MAX_IMPORT_MODULES: usize = 1 << 10;

const DESCRIPTOR: u64 = 20;
const DELAY_DESCRIPTOR: u64 = 32;
const DELAY_BY_RVA: u32 = 1;
const THUNK: u64 = 8;
const BY_ORDINAL: u64 = 1 << 63;

/// How an import names what it wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    /// By name.
    Name {
        /// The exported name, printable ASCII.
        name: Box<str>,
        /// Where the name probably is in the exporter's table of names.
        hint: u16,
    },
    /// By ordinal.
    Ordinal(u16),
}

impl std::fmt::Display for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { name, .. } => f.write_str(name),
            Self::Ordinal(ordinal) => write!(f, "#{ordinal}"),
        }
    }
}

/// One imported function or variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What is wanted.
    pub symbol: Symbol,
    /// RVA of the eight bytes in the import address table that take its address.
    pub slot: u32,
}

/// What an image imports from one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportModule {
    /// The module's file name as the image spells it, such as `NTOSKRNL.exe`. Case does not
    /// count when it is looked up.
    pub name: Box<str>,
    /// Bound by a helper in the image when first called, instead of when the image is loaded.
    pub delayed: bool,
    /// In the order of the table.
    pub imports: Vec<Import>,
}

/// One import together with its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportRef<'a> {
    /// The module's file name as the image spells it.
    pub module: &'a str,
    /// What is wanted.
    pub symbol: &'a Symbol,
    /// RVA of the slot in the import address table.
    pub slot: u32,
    /// From the delay-load import table.
    pub delayed: bool,
}

impl std::fmt::Display for ImportRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}!{}", self.module, self.symbol)
    }
}

/// Reads both tables, first the import table.
pub(crate) fn parse<'a>(
    image: Reader<'a>,
    headers: &Headers,
    names: &mut Names<'a>,
) -> Result<Vec<ImportModule>, ImageError> {
    let mut tables = Tables {
        image,
        names,
        modules: Vec::new(),
        left: MAX_IMPORTS,
    };
    tables.imports(headers.directory(Directory::IMPORT))?;
    tables.delayed_imports(headers.directory(Directory::DELAY_IMPORT))?;
    Ok(tables.modules)
}

struct Tables<'a, 'n> {
    image: Reader<'a>,
    names: &'n mut Names<'a>,
    modules: Vec<ImportModule>,
    left: usize,
}

impl Tables<'_, '_> {
    /// The descriptors end with an empty one; as for Windows, the directory's size is not looked
    /// at.
    fn imports(&mut self, directory: Directory) -> Result<(), ImageError> {
        if directory.rva == 0 {
            return Ok(());
        }
        let mut offset = u64::from(directory.rva);
        loop {
            self.image.bytes("import descriptor", offset, DESCRIPTOR)?;
            let original = self.image.u32("OriginalFirstThunk", offset)?;
            let name = self.image.u32("Name", offset + 12)?;
            let first = self.image.u32("FirstThunk", offset + 16)?;
            if name == 0 {
                return Ok(());
            }
            // Old linkers wrote one table only. It holds names until it is bound.
            let lookup = if original == 0 { first } else { original };
            self.module("Name", name, "FirstThunk", first, lookup, false)?;
            offset += DESCRIPTOR;
        }
    }

    fn delayed_imports(&mut self, directory: Directory) -> Result<(), ImageError> {
        if directory.rva == 0 {
            return Ok(());
        }
        let mut offset = u64::from(directory.rva);
        loop {
            self.image
                .bytes("delay-load descriptor", offset, DELAY_DESCRIPTOR)?;
            let attributes = self.image.u32("delay-load Attributes", offset)?;
            let name = self.image.u32("delay-load Name", offset + 4)?;
            let slots = self.image.u32("Delay Import Address Table", offset + 12)?;
            let lookup = self.image.u32("Delay Import Name Table", offset + 16)?;
            if name == 0 {
                return Ok(());
            }
            if attributes != DELAY_BY_RVA {
                return Err(ImageError::Field {
                    part: Part::Imports {
                        module: self.number(),
                    },
                    field: "delay-load Attributes",
                    found: attributes.into(),
                    allowed: Allowed::Exactly(DELAY_BY_RVA.into()),
                });
            }
            let slot_field = "Delay Import Address Table";
            self.module("delay-load Name", name, slot_field, slots, lookup, true)?;
            offset += DELAY_DESCRIPTOR;
        }
    }

    /// What a module is called before its name is known.
    fn number(&self) -> Box<str> {
        format!("module {}", self.modules.len()).into()
    }

    fn module(
        &mut self,
        name_field: &'static str,
        name: u32,
        slot_field: &'static str,
        slots: u32,
        lookup: u32,
        delayed: bool,
    ) -> Result<(), ImageError> {
        let number = self.number();
        let part = || Part::Imports {
            module: number.clone(),
        };
        if self.modules.len() == MAX_IMPORT_MODULES {
            let what = "imported modules";
            return Err(ImageError::TooMany {
                part: part(),
                what,
                limit: MAX_IMPORT_MODULES,
            });
        }
        let name = self.names.read(part, name_field, name, LONGEST_MODULE)?;
        if slots == 0 || lookup == 0 {
            return Err(ImageError::Field {
                part: Part::Imports { module: name },
                field: slot_field,
                found: 0,
                allowed: Allowed::Rule("must be an RVA"),
            });
        }
        let imports = self.entries(&name, slot_field, slots, lookup)?;
        self.modules.push(ImportModule {
            name,
            delayed,
            imports,
        });
        Ok(())
    }

    fn entries(
        &mut self,
        module: &str,
        slot_field: &'static str,
        slots: u32,
        lookup: u32,
    ) -> Result<Vec<Import>, ImageError> {
        let mut imports = Vec::new();
        for offset in (0..).step_by(8) {
            let thunk = self
                .image
                .u64("import lookup entry", u64::from(lookup) + offset)?;
            if thunk == 0 {
                break;
            }
            let slot = u64::from(slots) + offset;
            self.image.bytes(slot_field, slot, THUNK)?;
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| ImageError::TooMany {
                    part: Part::Imports {
                        module: module.into(),
                    },
                    what: "imports in one image",
                    limit: MAX_IMPORTS,
                })?;
            let symbol = self.symbol(module, thunk)?;
            // The slot is inside the image, whose size fits 32 bits.
            imports.push(Import {
                symbol,
                slot: slot as u32,
            });
        }
        Ok(imports)
    }

    fn symbol(&mut self, module: &str, thunk: u64) -> Result<Symbol, ImageError> {
        let part = || Part::Imports {
            module: module.into(),
        };
        if thunk & BY_ORDINAL != 0 {
            let ordinal = thunk & !BY_ORDINAL;
            return u16::try_from(ordinal)
                .map(Symbol::Ordinal)
                .map_err(|_| ImageError::Field {
                    part: part(),
                    field: "Ordinal Number",
                    found: ordinal,
                    allowed: Allowed::AtMost(u16::MAX.into()),
                });
        }
        let rva = u32::try_from(thunk).map_err(|_| ImageError::Field {
            part: part(),
            field: "Hint/Name Table RVA",
            found: thunk,
            allowed: Allowed::AtMost(self.image.len()),
        })?;
        let hint = self.image.u16("import Hint", rva.into())?;
        // No overflow: the hint is inside the image.
        let name = self
            .names
            .read(part, "import Name", rva + 2, LONGEST_SYMBOL)?;
        Ok(Symbol::Name { name, hint })
    }
}
