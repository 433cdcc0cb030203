//! The table of functions that have unwind data.
//!
//! Source: PE Format, "The .pdata Section"; Microsoft, "x64 exception handling",
//! struct `RUNTIME_FUNCTION`.

use crate::error::ImageError;
use crate::headers::{Directory, Headers};
use crate::reader::Reader;

/// Bytes of a `RUNTIME_FUNCTION`.
pub(crate) const ENTRY: u64 = 12;

/// One `RUNTIME_FUNCTION`: a stretch of code and where its unwind data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// RVA of the first byte.
    pub begin: u32,
    /// RVA past the last byte.
    pub end: u32,
    /// RVA of the `UNWIND_INFO`; with bit 0 set, of another `RUNTIME_FUNCTION`.
    pub unwind_info: u32,
}

impl Function {
    /// Whether `rva` is in this stretch.
    #[must_use]
    pub const fn contains(&self, rva: u32) -> bool {
        self.begin <= rva && rva < self.end
    }

    pub(crate) fn read(image: Reader<'_>, offset: u64) -> Result<Self, ImageError> {
        Ok(Self {
            begin: image.u32("BeginAddress", offset)?,
            end: image.u32("EndAddress", offset + 4)?,
            unwind_info: image.u32("UnwindInfoAddress", offset + 8)?,
        })
    }
}

/// Reads the table and sorts it. Linkers do sort it; an image that was changed by a tool need not
/// be.
///
/// An entry that describes no code is left out: the unused ones at the end, which are zero, and
/// what tools leave behind that take functions away after linking. Windows looks an entry up when
/// it unwinds, and never finds these; no loader looks at them.
pub(crate) fn parse(image: Reader<'_>, headers: &Headers) -> Result<Vec<Function>, ImageError> {
    let directory = headers.directory(Directory::EXCEPTION);
    if !directory.is_present() {
        return Ok(Vec::new());
    }
    let size = u64::from(directory.size);
    let start = u64::from(directory.rva);
    image.bytes("exception table", start, size)?;
    let mut functions = Vec::new();
    for index in 0..size / ENTRY {
        let function = Function::read(image, start + index * ENTRY)?;
        if describes_code(image, function) {
            functions.push(function);
        }
    }
    functions.sort_unstable();
    Ok(functions)
}

/// Whether the stretch and its unwind data lie in the image.
fn describes_code(image: Reader<'_>, function: Function) -> bool {
    function.begin < function.end
        && u64::from(function.end) <= image.len()
        && u64::from(function.unwind_info) <= image.len().saturating_sub(4)
}

/// The function that `rva` is in. The table is sorted.
pub(crate) fn find(functions: &[Function], rva: u32) -> Option<&Function> {
    let after = functions.partition_point(|function| function.begin <= rva);
    functions
        .get(after.checked_sub(1)?)
        .filter(|function| function.contains(rva))
}
