//! Names and lines from a PDB.
//!
//! Source: LLVM, "The PDB File Format": "The PDB Info Stream", "The PDB DBI (Debug Info) Stream",
//! "The Module Information Stream" and "CodeView Symbol Records".
//!
//! A reader of our own, because the published one was seen to panic on malformed files (an index
//! out of range while the symbols of a module are read).
//!
//! Not read: types, inlined functions, PDBs of images that were rearranged after linking (OMAP),
//! PDBs from before Visual C++ 7.

mod msf;

use std::collections::BTreeMap;

use crate::debug::Guid;
use crate::error::{Allowed, ImageError};
use crate::image::Image;
use crate::reader::{Reader, until_nul};
use crate::symbols::pdb::msf::{Msf, field};
use crate::symbols::{SourceLine, Start, SymbolError, SymbolFrame, is_code, shown};

const INFO: u32 = 1;
const DEBUG: u32 = 3;
const VERSION_70: u32 = 20_000_404;
const NAMES: &[u8] = b"/names";
const NO_STREAM: u16 = u16::MAX;

const PUBLIC: u16 = 0x110e;
/// `S_LPROC32`, `S_GPROC32`, then the forms for type servers and for DPCs (`S_LPROC32_DPC`).
const PROCEDURES: [u16; 6] = [0x110f, 0x1110, 0x1146, 0x1147, 0x1155, 0x1156];

const LINES: u32 = 0xf2;
const FILES: u32 = 0xf4;
/// Lines that a debugger steps over or into; they are no lines.
const HIDDEN: [u32; 2] = [0xf0_0f00, 0xfe_efee];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Procedure {
    rva: u32,
    length: u32,
    name: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    rva: u32,
    end: u32,
    /// Index in the table of files.
    file: usize,
    line: u32,
}

/// What a PDB says about code, sorted by RVA.
#[derive(Clone, Debug, Default)]
pub(super) struct Pdb {
    procedures: Vec<Procedure>,
    publics: Vec<Start>,
    lines: Vec<Line>,
    files: Vec<Box<str>>,
}

impl Pdb {
    pub(super) fn load(image: &Image, bytes: &[u8]) -> Result<Self, SymbolError> {
        let mut msf = Msf::open(bytes)?;
        let info = msf.stream(INFO)?.unwrap_or_default();
        let info = Reader::stream(&info);
        check_identity(image, info)?;
        let names = match named_stream(info, NAMES)? {
            Some(number) => msf.stream(number)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let debug = msf.stream(DEBUG)?.unwrap_or_default();
        let mut load = Load {
            image,
            msf,
            names: &names,
            pdb: Self::default(),
        };
        if !debug.is_empty() {
            load.debug(Reader::stream(&debug))?;
        }
        let mut pdb = load.pdb;
        pdb.procedures.sort();
        pdb.lines.sort();
        Ok(pdb)
    }

    /// Every function that the PDB names.
    pub(super) fn starts(&self) -> impl Iterator<Item = Start> {
        let procedures = self.procedures.iter();
        let procedures = procedures.map(|Procedure { rva, name, .. }| (*rva, name));
        let publics = self.publics.iter().map(|Start { rva, name }| (*rva, name));
        procedures.chain(publics).map(|(rva, name)| Start {
            rva,
            name: name.clone(),
        })
    }

    /// The function and the line at `rva`.
    pub(super) fn frame(&self, rva: u32) -> Option<SymbolFrame> {
        let after = self
            .procedures
            .partition_point(|procedure| procedure.rva <= rva);
        let procedure = self.procedures.get(after.checked_sub(1)?)?;
        if rva - procedure.rva >= procedure.length {
            return None;
        }
        let after = self.lines.partition_point(|line| line.rva <= rva);
        let line = after.checked_sub(1).and_then(|index| self.lines.get(index));
        let line = line.filter(|line| rva < line.end && line.rva >= procedure.rva);
        let source = line.and_then(|line| {
            let file = self.files.get(line.file)?.clone();
            Some(SourceLine {
                file,
                line: Some(line.line),
            })
        });
        Some(SymbolFrame {
            function: Some(procedure.name.clone()),
            source,
        })
    }
}

/// The PDB and the image were written together.
fn check_identity(image: &Image, info: Reader<'_>) -> Result<(), SymbolError> {
    let version = info.u32("PDB Version", 0)?;
    if version < VERSION_70 {
        Err(field(
            "PDB Version",
            version,
            Allowed::AtLeast(VERSION_70.into()),
        ))?;
    }
    let mut found = Guid([0; 16]);
    found.0.copy_from_slice(info.bytes("PDB GUID", 12, 16)?);
    let wanted = image
        .code_view()
        .ok()
        .flatten()
        .ok_or(SymbolError::NoPdb)?
        .guid;
    if found == wanted {
        Ok(())
    } else {
        Err(SymbolError::OtherPdb { wanted, found })
    }
}

/// The number of a stream with a name: a table of names, then a hash table from offsets in it to
/// numbers, with a bit for each place that is taken.
fn named_stream(info: Reader<'_>, wanted: &[u8]) -> Result<Option<u32>, ImageError> {
    let size = u64::from(info.u32("stream names size", 28)?);
    let names = info.bytes("stream names", 32, size)?;
    let table = 32 + size;
    let entries = info.u32("named streams", table)?;
    let present = u64::from(info.u32("named streams present", table + 8)?) * 4;
    let deleted = table + 12 + present;
    let deleted_size = u64::from(info.u32("named streams deleted", deleted)?) * 4;
    let first = deleted + 4 + deleted_size;
    info.bytes("named stream", first, u64::from(entries) * 8)?;
    for entry in (first..).step_by(8).take(entries as usize) {
        let name = info.u32("stream name", entry)? as usize;
        if names.get(name..).map(until_nul) == Some(wanted) {
            return info.u32("stream number", entry + 4).map(Some);
        }
    }
    Ok(None)
}

/// A PDB being read.
struct Load<'a> {
    image: &'a Image,
    msf: Msf<'a>,
    /// The stream of file names.
    names: &'a [u8],
    pdb: Pdb,
}

impl Load<'_> {
    fn debug(&mut self, debug: Reader<'_>) -> Result<(), ImageError> {
        debug.bytes("DBI header", 0, 64)?;
        let records = debug.u16("DBI SymRecordStream", 20)?;
        let modules = u64::from(debug.u32("DBI ModInfoSize", 24)?);
        check_not_rearranged(debug)?;
        if records != NO_STREAM {
            let records = self.msf.stream(records.into())?.unwrap_or_default();
            self.symbols(Reader::stream(&records), 0)?;
        }
        debug.bytes("DBI modules", 64, modules)?;
        let (mut offset, end) = (64, 64 + modules);
        while offset < end {
            offset = self.module(debug, offset)?;
        }
        Ok(())
    }

    /// Reads one module and returns where the next one is described.
    fn module(&mut self, debug: Reader<'_>, offset: u64) -> Result<u64, ImageError> {
        let number = debug.u16("ModuleSymStream", offset + 34)?;
        let symbols = debug.u32("SymByteSize", offset + 36)?;
        let old_lines = debug.u32("C11ByteSize", offset + 40)?;
        let lines = debug.u32("C13ByteSize", offset + 44)?;
        let mut end = offset + 64;
        for field in ["ModuleName", "ObjFileName"] {
            debug.bytes(field, end, 1)?;
            end += until_nul(debug.from(end)).len() as u64 + 1;
        }
        if number != NO_STREAM {
            let stream = self.msf.stream(number.into())?.unwrap_or_default();
            let stream = Reader::stream(&stream);
            let symbols = stream.bytes("module symbols", 0, symbols.into())?;
            // A signature stands in front of the symbols.
            self.symbols(Reader::stream(symbols), 4)?;
            let start = symbols.len() as u64 + u64::from(old_lines);
            let lines = stream.bytes("module lines", start, lines.into())?;
            self.line_sections(Reader::stream(lines))?;
        }
        Ok(end.next_multiple_of(4))
    }

    /// Symbol records: length, kind, and what the kind says.
    fn symbols(&mut self, records: Reader<'_>, mut offset: u64) -> Result<(), ImageError> {
        while offset < records.len() {
            let length = records.u16("symbol record length", offset)?;
            if length < 2 {
                return Err(field("symbol record length", length, Allowed::AtLeast(2)));
            }
            let kind = records.u16("symbol record kind", offset + 2)?;
            let record = records.bytes("symbol record", offset + 4, u64::from(length) - 2)?;
            self.symbol(kind, Reader::stream(record))?;
            offset += 2 + u64::from(length);
        }
        Ok(())
    }

    fn symbol(&mut self, kind: u16, record: Reader<'_>) -> Result<(), ImageError> {
        if kind == PUBLIC {
            let rva = self.rva(record.u16("Segment", 8)?, record.u32("Offset", 4)?);
            if let Some(rva) = rva.filter(|rva| is_code(self.image, *rva)) {
                self.pdb.publics.push(Start {
                    rva,
                    name: text(record.from(10)),
                });
            }
        } else if PROCEDURES.contains(&kind) {
            let length = record.u32("CodeSize", 12)?;
            let rva = self.rva(record.u16("Segment", 32)?, record.u32("CodeOffset", 28)?);
            if let Some(rva) = rva {
                let name = text(record.from(35));
                self.pdb.procedures.push(Procedure { rva, length, name });
            }
        }
        Ok(())
    }

    /// The tables of lines and of files that one module has.
    fn line_sections(&mut self, sections: Reader<'_>) -> Result<(), ImageError> {
        let mut found = Vec::new();
        let mut offset = 0;
        while offset < sections.len() {
            let kind = sections.u32("subsection kind", offset)?;
            let length = u64::from(sections.u32("subsection length", offset + 4)?);
            found.push((kind, sections.bytes("subsection", offset + 8, length)?));
            offset = (offset + 8 + length).next_multiple_of(4);
        }
        let files = found.iter().find(|(kind, _)| *kind == FILES);
        let files = files.map(|(_, bytes)| *bytes).unwrap_or_default();
        let mut seen = BTreeMap::new();
        for (_, lines) in found.iter().filter(|(kind, _)| *kind == LINES) {
            self.lines(Reader::stream(lines), Reader::stream(files), &mut seen)?;
        }
        Ok(())
    }

    /// The lines of one stretch of code: where it is, then a block for each file.
    fn lines(
        &mut self,
        lines: Reader<'_>,
        files: Reader<'_>,
        seen: &mut BTreeMap<u32, usize>,
    ) -> Result<(), ImageError> {
        let start = lines.u32("line offset", 0)?;
        let segment = lines.u16("line segment", 4)?;
        let size = lines.u32("line code size", 8)?;
        let Some(start) = self.rva(segment, start) else {
            return Ok(());
        };
        let end = start.saturating_add(size);
        let first = self.pdb.lines.len();
        let mut offset = 12;
        while offset < lines.len() {
            let file = lines.u32("line block file", offset)?;
            let count = u64::from(lines.u32("line block count", offset + 4)?);
            let length = lines.u32("line block size", offset + 8)?;
            if u64::from(length) < 12 + count * 8 {
                return Err(field(
                    "line block size",
                    length,
                    Allowed::AtLeast(12 + count * 8),
                ));
            }
            lines.bytes("line block", offset, length.into())?;
            let file = self.file(files, file, seen)?;
            for entry in (offset + 12..).step_by(8).take(count as usize) {
                let rva = start.saturating_add(lines.u32("line offset", entry)?);
                let line = lines.u32("line number", entry + 4)? & 0xff_ffff;
                self.pdb.lines.push(Line {
                    rva,
                    end,
                    file,
                    line,
                });
            }
            offset += u64::from(length);
        }
        self.end_lines(first);
        Ok(())
    }

    /// A line goes on until the next one of the same stretch; then hidden lines can go.
    fn end_lines(&mut self, first: usize) {
        let mut added = self.pdb.lines.split_off(first);
        added.sort();
        let next: Vec<u32> = added.iter().skip(1).map(|line| line.rva).collect();
        for (line, next) in added.iter_mut().zip(next) {
            line.end = line.end.min(next);
        }
        added.retain(|line| line.rva < line.end && !HIDDEN.contains(&line.line));
        self.pdb.lines.append(&mut added);
    }

    /// The index of a file that lines refer to by its place in the table of checksums.
    fn file(
        &mut self,
        files: Reader<'_>,
        offset: u32,
        seen: &mut BTreeMap<u32, usize>,
    ) -> Result<usize, ImageError> {
        if let Some(index) = seen.get(&offset) {
            return Ok(*index);
        }
        // In the stream of names, twelve bytes of header come first.
        let name = u64::from(files.u32("file name", offset.into())?);
        let names = Reader::stream(self.names);
        names.bytes("file name", 12 + name, 1)?;
        let index = self.pdb.files.len();
        self.pdb.files.push(shown(&text(names.from(12 + name))));
        seen.insert(offset, index);
        Ok(index)
    }

    /// Segments are the image's sections, counted from 1. What is in none is not code.
    fn rva(&self, segment: u16, offset: u32) -> Option<u32> {
        let section = self
            .image
            .sections()
            .get(usize::from(segment).checked_sub(1)?)?;
        section
            .rva()
            .checked_add(offset)
            .filter(|rva| section.range().contains(rva))
    }
}

/// Tools that rearrange code after linking leave a map in the PDB. Without the map, names and
/// lines would be wrong.
fn check_not_rearranged(debug: Reader<'_>) -> Result<(), ImageError> {
    // The sizes of all that comes before the optional streams.
    let mut offset = 64;
    for size in [24, 28, 32, 36, 40, 52] {
        offset += u64::from(debug.u32("DBI substream size", size)?);
    }
    let size = debug.u32("DBI OptionalDbgHeaderSize", 48)?;
    for (index, name) in [
        (3, "DBI OMAP to source stream"),
        (4, "DBI OMAP from source stream"),
    ] {
        if index * 2 + 2 <= u64::from(size) {
            let stream = debug.u16(name, offset + index * 2)?;
            if stream != NO_STREAM {
                let allowed = Allowed::Rule("must be absent (0xffff): the image was rearranged");
                return Err(field(name, stream, allowed));
            }
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(until_nul(bytes)).into()
}
