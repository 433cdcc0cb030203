//! Names, lines and inlined functions from DWARF sections in the image.

use std::fmt;
use std::sync::Arc;

use addr2line::{Context, LookupContinuation, LookupResult};
use gimli::{EndianArcSlice, LittleEndian};

use crate::image::Image;
use crate::symbols::{SourceLine, SymbolError, SymbolFrame, shown};

type Slice = EndianArcSlice<LittleEndian>;

/// The DWARF sections of one image, read as far as they were asked about.
pub(super) struct Dwarf {
    context: Context<Slice>,
    /// DWARF counts addresses from here.
    base: u64,
}

impl fmt::Debug for Dwarf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dwarf")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Dwarf {
    /// `None` if the image has no DWARF sections.
    pub(super) fn load(image: &Image) -> Result<Option<Self>, SymbolError> {
        if !image
            .sections()
            .iter()
            .any(|section| section.name() == ".debug_info")
        {
            return Ok(None);
        }
        let load = |id: gimli::SectionId| -> Result<Slice, gimli::Error> {
            Ok(Slice::new(section(image, id.name()), LittleEndian))
        };
        gimli::Dwarf::load(load)
            .and_then(Context::from_dwarf)
            .map(|context| {
                Some(Self {
                    context,
                    base: image.preferred_base(),
                })
            })
            .map_err(|error| SymbolError::Dwarf {
                reason: error.to_string(),
            })
    }

    /// The functions at `rva`, innermost first. What cannot be read counts as not there.
    pub(super) fn frames(&self, rva: u32) -> Vec<SymbolFrame> {
        self.try_frames(self.base + u64::from(rva))
            .unwrap_or_default()
    }

    fn try_frames(&self, address: u64) -> Result<Vec<SymbolFrame>, gimli::Error> {
        let mut lookup = self.context.find_frames(address);
        // Parts of the DWARF in other files are not read.
        let mut frames = loop {
            match lookup {
                LookupResult::Output(result) => break result?,
                LookupResult::Load { continuation, .. } => lookup = continuation.resume(None),
            }
        };
        let mut found = Vec::new();
        while let Some(frame) = frames.next()? {
            let function = match &frame.function {
                Some(name) => Some(name.raw_name()?.into()),
                None => None,
            };
            let source = frame.location.and_then(|location| {
                let line = location.line.filter(|line| *line != 0);
                Some(SourceLine {
                    file: self.shown(address, location.file?),
                    line,
                })
            });
            found.push(SymbolFrame { function, source });
        }
        Ok(found)
    }

    /// A path that was recorded relative to the directory of the compilation is joined to it by
    /// addr2line; this takes it away again.
    fn shown(&self, address: u64, path: &str) -> Box<str> {
        let mut lookup = self.context.find_dwarf_and_unit(address);
        let unit = loop {
            match lookup {
                LookupResult::Output(unit) => break unit,
                LookupResult::Load { continuation, .. } => lookup = continuation.resume(None),
            }
        };
        let directory = unit.and_then(|unit| unit.comp_dir.clone());
        let directory = directory.and_then(|directory| {
            gimli::Reader::to_string_lossy(&directory)
                .ok()
                .map(String::from)
        });
        let relative = directory
            .as_deref()
            .and_then(|directory| path.strip_prefix(directory));
        match relative.and_then(|path| path.strip_prefix(['/', '\\'])) {
            Some(relative) => shown(relative),
            None => shown(path),
        }
    }
}

fn section(image: &Image, name: &str) -> Arc<[u8]> {
    let section = image
        .sections()
        .iter()
        .find(|section| section.name() == name);
    section
        .and_then(|section| {
            let bytes = image.placed.reader();
            bytes
                .bytes(
                    "DWARF section",
                    section.rva().into(),
                    section.virtual_size().into(),
                )
                .ok()
        })
        .unwrap_or_default()
        .into()
}
