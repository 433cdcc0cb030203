//! Names and source lines for places in an image.
//!
//! Three sources, best first: a PDB (MSVC, clang), DWARF sections in the image (gcc), and the COFF
//! symbol table or the exports, which give names only.
//!
//! Directories of the machine that built the driver are not shown: an absolute path becomes the
//! file's name, a relative one stays as recorded. So the output is the same wherever the driver
//! was built.
//!
//! Not read: inlined functions in PDBs, DWARF in files other than the image.

mod coff;
mod dwarf;
mod pdb;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::debug::Guid;
use crate::error::ImageError;
use crate::export::ExportTarget;
use crate::image::Image;
use crate::symbols::dwarf::Dwarf;
use crate::symbols::pdb::Pdb;

/// Why names could not be read. The image runs without them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// The PDB belongs to another image.
    #[error("the PDB's GUID is {found}, the image asks for {wanted}")]
    OtherPdb {
        /// What the image's debug directory says.
        wanted: Guid,
        /// What the PDB says.
        found: Guid,
    },
    /// The image does not say which PDB it belongs to.
    #[error("the image's debug directory names no PDB")]
    NoPdb,
    /// The PDB is malformed.
    #[error("the PDB cannot be read: {0}")]
    Pdb(#[from] ImageError),
    /// The DWARF sections are malformed.
    #[error("the DWARF sections cannot be read: {reason}")]
    Dwarf {
        /// What is wrong with them.
        reason: String,
    },
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLine {
    /// The file, without directories of the machine it was compiled on.
    pub file: Box<str>,
    /// The line, from 1, if it is known.
    pub line: Option<u32>,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// One function at a place: the one whose code it is, or one that was inlined there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolFrame {
    /// The function's name.
    pub function: Option<Box<str>>,
    /// Where in it; for a function that others were inlined into, where they were.
    pub source: Option<SourceLine>,
}

/// A place in an image, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Bytes from the start of the function.
    pub offset: u32,
    /// At least one: inlined functions, innermost first, then the function whose code it is.
    pub frames: Vec<SymbolFrame>,
}

impl Location {
    /// The function whose code it is.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        self.frames.last()?.function.as_deref()
    }

    /// Where in that function.
    #[must_use]
    pub fn source(&self) -> Option<&SourceLine> {
        self.frames.last()?.source.as_ref()
    }

    /// The functions inlined at this place, innermost first.
    #[must_use]
    pub fn inlined(&self) -> &[SymbolFrame] {
        self.frames.split_last().map_or(&[], |(_, inlined)| inlined)
    }
}

impl fmt::Display for Location {
    /// As in `EduIsr+0x12 (edu.c:52)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function() {
            Some(function) => write!(f, "{function}+{:#x}", self.offset)?,
            None => write!(f, "?+{:#x}", self.offset)?,
        }
        self.source()
            .map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

/// The name of a function and where it starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Start {
    rva: u32,
    name: Box<str>,
}

/// The names of one image.
#[derive(Debug)]
pub struct Symbols {
    pdb: Option<Pdb>,
    dwarf: Option<Dwarf>,
    /// Sorted; one name for each RVA.
    starts: Vec<Start>,
    /// Starts of the functions that have unwind data, sorted.
    functions: Vec<(u32, u32)>,
}

impl Symbols {
    /// Reads the names of `image`, which was parsed from `file`, with its PDB if there is one.
    ///
    /// # Errors
    /// The PDB belongs to another image or is malformed; the DWARF sections are malformed.
    /// Malformed COFF symbols are skipped.
    pub fn load(image: &Image, file: &[u8], pdb: Option<&[u8]>) -> Result<Self, SymbolError> {
        let pdb = pdb.map(|pdb| Pdb::load(image, pdb)).transpose()?;
        let dwarf = Dwarf::load(image)?;
        let mut starts = coff::starts(image, file);
        starts.extend(exports(image));
        if let Some(pdb) = &pdb {
            starts.extend(pdb.starts());
        }
        // The sort is stable, so the first source wins.
        starts.sort_by_key(|start| start.rva);
        starts.dedup_by_key(|start| start.rva);
        let functions = image
            .functions()
            .iter()
            .map(|function| (function.begin, function.end))
            .collect();
        Ok(Self {
            pdb,
            dwarf,
            starts,
            functions,
        })
    }

    /// What is at `rva`; `None` if nothing is known about it.
    #[must_use]
    pub fn lookup(&self, rva: u32) -> Option<Location> {
        let start = self.start(rva);
        let mut frames = self.frames(rva);
        if frames.is_empty() {
            frames.push(SymbolFrame::default());
        }
        if let (Some(last), Some((_, name))) = (frames.last_mut(), start)
            && last.function.is_none()
        {
            last.function = name.map(Into::into);
        }
        let known = frames
            .iter()
            .any(|frame| frame.function.is_some() || frame.source.is_some());
        let offset = rva - start.map_or(rva, |(start, _)| start);
        (known || start.is_some()).then_some(Location { offset, frames })
    }

    /// The RVA of a function by its name. Case counts.
    #[must_use]
    pub fn find(&self, function: &str) -> Option<u32> {
        self.starts
            .iter()
            .find(|start| &*start.name == function)
            .map(|start| start.rva)
    }

    /// RVAs of functions that have a name, in ascending order.
    pub fn function_starts(&self) -> impl Iterator<Item = u32> + '_ {
        self.starts.iter().map(|start| start.rva)
    }

    fn frames(&self, rva: u32) -> Vec<SymbolFrame> {
        let pdb = self.pdb.as_ref().and_then(|pdb| pdb.frame(rva));
        if let Some(frame) = pdb {
            return vec![frame];
        }
        self.dwarf
            .as_ref()
            .map(|dwarf| dwarf.frames(rva))
            .unwrap_or_default()
    }

    /// Where the function that `rva` is in starts, and its name if that is known.
    ///
    /// A name is taken from the nearest symbol below, unless unwind data says that another
    /// function has started in between.
    fn start(&self, rva: u32) -> Option<(u32, Option<&str>)> {
        let below = self
            .starts
            .partition_point(|start| start.rva <= rva)
            .checked_sub(1);
        let symbol = below.and_then(|index| self.starts.get(index));
        let below = self
            .functions
            .partition_point(|(begin, _)| *begin <= rva)
            .checked_sub(1);
        let function = below
            .and_then(|index| self.functions.get(index))
            .filter(|(_, end)| rva < *end)
            .map(|(begin, _)| *begin);
        match (symbol, function) {
            (Some(symbol), Some(begin)) if symbol.rva < begin => Some((begin, None)),
            (Some(symbol), _) => Some((symbol.rva, Some(&symbol.name))),
            (None, begin) => begin.map(|begin| (begin, None)),
        }
    }
}

/// Exported functions. An exported variable is in a section without code.
fn exports(image: &Image) -> impl Iterator<Item = Start> {
    image
        .exports()
        .exports
        .iter()
        .filter_map(|export| match export.target {
            ExportTarget::Rva(rva) if is_code(image, rva) => Some(Start {
                rva,
                name: export.name.clone()?,
            }),
            _ => None,
        })
}

fn is_code(image: &Image, rva: u32) -> bool {
    image
        .section_at(rva)
        .is_some_and(|section| section.is_executable())
}

/// A file's path as it is shown: no directories of the machine that compiled it.
fn shown(path: &str) -> Box<str> {
    let absolute = path.starts_with(['/', '\\']) || path.as_bytes().get(1) == Some(&b':');
    let file = path.rsplit(['/', '\\']).next().filter(|_| absolute);
    let relative = file.unwrap_or(path);
    relative.strip_prefix("./").unwrap_or(relative).into()
}
